package web_test

import (
	"net/http"
	"strings"
	"testing"

	accessv1 "seatline.dev/proto/seatline/access/v1"
)

func TestWhoAmIAndWhere(t *testing.T) {
	h := build(t, nil)
	const name = `Zoë <b>"O’Neill"</b>`
	here, there, vera := h.operator(name), h.operator(name), h.enter("vera", accessv1.Role_ROLE_VIEWER)
	a := here.get("/you")
	for _, says := range []string{name, "Operator", "By a one-time link", "This one", "127.0.0.1", "2 hours after it was last used", "12 hours after it began"} {
		if !a.says(says) {
			t.Errorf("the page does not say %q:\n%s", says, a.text())
		}
	}
	if strings.Count(a.body, "By a one-time link") != 2 || strings.Count(a.body, "This one") != 1 || a.says("vera") || strings.Contains(a.body, "<b>") {
		t.Errorf("not one's own two sessions: %s", a.text())
	}
	if a := here.get("/connections"); !strings.Contains(a.body, `href="/you"`) {
		t.Error("no page leads there")
	}
	const everywhere = "/you/sign-out-everywhere"
	if a := vera.send(everywhere, vera.form(everywhere, everywhere)); a.to != "/sign-in" {
		t.Errorf("a viewer signs out everywhere: %d", a.status)
	}
	if a := there.get("/you"); a.status != http.StatusOK {
		t.Error("somebody else's sessions ended too")
	}
	if a := here.send(everywhere, here.form(everywhere, everywhere)); a.to != "/sign-in" {
		t.Fatalf("signing out everywhere: %d %s", a.status, a.text())
	}
	for who, g := range map[string]*guest{"here": here, "there": there, "vera": vera} {
		if a := g.get("/you"); a.status != http.StatusSeeOther || !strings.HasPrefix(a.to, "/sign-in") {
			t.Errorf("%s: still in: %d", who, a.status)
		}
	}
}
