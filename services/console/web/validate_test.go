package web_test

import (
	"net/http"
	"strings"
	"testing"

	"seatline.dev/pkg/halo/halosim"
)

func TestValidationSaysCheckByCheckWhatToDo(t *testing.T) {
	h := build(t, nil)
	olga := h.operator("olga")
	olga.add()
	if a := olga.get("/c/acme/validate"); !strings.Contains(a.body, `data-live="/c/acme/validate/live"`) || !strings.Contains(a.body, `href="/c/acme/validate?whole=1"`) {
		t.Error("the page neither follows the checks nor offers them without the script")
	}
	live := olga.get("/c/acme/validate/live")
	if n := strings.Count(live.body, "event: replace\n"); n < 10 || live.header.Get("Content-Type") != "text/event-stream" || !strings.HasSuffix(live.body, "event: end\ndata: done\n\n") {
		t.Errorf("the stream has %d steps", n)
	}
	a := olga.get("/c/acme/validate?whole=1")
	for _, says := range []string{"It works, with ", "Giacom key", "Token", "Giacom and Halo together", "Price of annual and longer terms Warning Not set"} {
		if !a.says(says) && !(says == "Token" && a.says("Halo token")) {
			t.Errorf("the validation does not say %q:\n%s", says, a.text())
		}
	}
	if !strings.Contains(a.body, `href="/c/acme/connection/edit"`) {
		t.Error("a warning does not lead to where it is mended")
	}

	// Halo's own integrator is a second writer.
	h.halo.EditControl(func(c *halosim.Control) { c.GiacomIntegrator = true })
	if a := olga.get("/c/acme/validate?whole=1"); !a.says("before leaving observe") {
		t.Errorf("two writers: %s", a.text())
	}
	h.halo.EditControl(func(c *halosim.Control) { c.GiacomIntegrator = false })

	// A wrong key.
	h.giacom.RevokeKey()
	if a := olga.get("/c/acme/validate?whole=1"); !a.says("check failed") && !a.says("checks failed") || !a.says("Enter another key") || strings.Count(a.text(), "Settings > API") != 1 || !a.says("Key not accepted (HTTP 401)") || a.says("Failed Giacom http") {
		t.Errorf("a wrong key: %s", a.text())
	}
	h.giacom.RestoreKey()

	// A wrong tenant.
	edit := "/c/acme/connection/edit"
	olga.send(edit, olga.form(edit, edit), "halo.tenant", "nobody")
	if a := olga.get("/c/acme/validate?whole=1"); !a.says("failed") || !a.says("tenant") || !a.says("Needs a token first.") {
		t.Errorf("a wrong tenant: %s", a.text())
	}
	// A right is missing.
	olga.send(edit, olga.form(edit, edit), "halo.tenant", "sim")
	if err := h.halo.Inject(halosim.Fault{Name: "forbidden", Method: "GET", Route: "/SoftwareLicence"}); err != nil {
		t.Fatal(err)
	}
	if a := olga.get("/c/acme/validate?whole=1"); !a.says("Read licences Failed") || !a.says("right") {
		t.Errorf("a missing right: %s", a.text())
	}
	h.halo.Clear("forbidden")
	// Halo is down.
	if a := olga.send(edit, olga.form(edit, edit), "halo.base_url", "http://127.0.0.1:1"); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.wrong("halo.client_secret"), "enter it again") {
		t.Errorf("the stored secret goes to another host: %d %s", a.status, a.text())
	}
	technical := edit + "/technical"
	if a := olga.send(technical, olga.form(technical, technical), "halo.auth_url", "http://127.0.0.1:1/auth"); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.wrong("halo.client_secret"), "enter it again") {
		t.Errorf("the stored secret goes to another host for a token: %d %s", a.status, a.text())
	}
	olga.send(edit, olga.form(edit, edit), "halo.base_url", "http://127.0.0.1:1", "halo.client_secret", clientSecret)
	a = olga.get("/c/acme/validate?whole=1")
	if a.status != http.StatusOK || !a.says("failed") || !a.says("Halo token Failed") {
		t.Errorf("Halo down: %d %s", a.status, a.text())
	}
}
