package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// to the report: 2 go on, 1 may, 1 is new, 1 is not listed any more.
func toTheReport() *runv1.PullPreview {
	row := func(kind runv1.PreviewRow_Kind, match runv1.PreviewRow_Match, key, before, name string) *runv1.PreviewRow {
		return &runv1.PreviewRow{Entity: "subscription", Key: key, MatchKey: before, Kind: kind, Match: match, MexId: "C-1", CustomerName: hostile, Name: name, Quantity: "12", QuantityBefore: "12"}
	}
	return &runv1.PullPreview{
		Complete: true, Matched: 2, Unsure: 1, Unmatched: 1, Subscriptions: &runv1.Counts{New: 4, Unchanged: 30},
		Rows: []*runv1.PreviewRow{
			row(runv1.PreviewRow_KIND_NEW, runv1.PreviewRow_MATCH_ONE, "microsoft/a", "product/1", "Business Premium"),
			row(runv1.PreviewRow_KIND_NEW, runv1.PreviewRow_MATCH_UNSURE, "microsoft/b", "product/2", "Exchange Online"),
			row(runv1.PreviewRow_KIND_NEW, 0, "microsoft/c", "", "Visio"),
			row(runv1.PreviewRow_KIND_SUPERSEDED, 0, "product/9", "", "Hornet Backup"),
		},
	}
}

func TestAnotherMethodIsShownBeforeItIsChosen(t *testing.T) {
	o := &others{preview: toTheReport()}
	h := build(t, o)
	olga := h.operator("olga")
	olga.add()
	if a := olga.get("/c/acme/method"); !a.says("create every licence a second time") || !a.says("Now: subscriptions") {
		t.Errorf("the page: %s", a.text())
	}
	vera := h.enter("vera", accessv1.Role_ROLE_VIEWER)
	if a := vera.get("/c/acme/method"); !a.says("Now: subscriptions") || a.says("Show what would change") {
		t.Errorf("the page for a viewer: %s", a.text())
	}
	query := url.Values{"method": {"IMPORT_METHOD_REPORT"}, "feed": {"ALL_PRODUCTS_FEED_SUBSCRIPTIONS"}}.Encode()
	preview := "/c/acme/method/preview?" + query
	if a := vera.get(preview); a.status != http.StatusForbidden {
		t.Errorf("a viewer's preview answers %d", a.status)
	}
	if a := olga.get(preview); !strings.Contains(a.body, `data-live="/c/acme/method/preview/live?`) || o.asked != nil {
		t.Error("the page waits for the account instead of following it")
	}
	whole := preview + "&whole=1"
	a := olga.get(whole)
	for _, says := range []string{
		"From subscriptions to subscriptionsmanagementreport.", "Same id in both 30", "Match across methods 2", "May match 1", "New 1", "Not listed any more 1",
		"2 licences match by customer, product and quantity", "2 licences go on as they are in Halo", "3 licences are held until somebody says", hostile, "Hornet Backup", "product/2 microsoft/b",
	} {
		if !a.says(says) {
			t.Errorf("the preview does not say %q:\n%s", says, a.text())
		}
	}
	if o.asked.GetMethod() != connectionv1.ImportMethod_IMPORT_METHOD_REPORT {
		t.Errorf("the account was read by %s", o.asked.GetMethod())
	}
	if live := olga.get("/c/acme/method/preview/live?" + query); !strings.Contains(live.body, "Match across methods") || !strings.HasSuffix(live.body, "event: end\ndata: done\n\n") {
		t.Errorf("the stream: %s", live.text())
	}
	if c := h.connection(); c.GetGiacom().GetMethod() != connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS {
		t.Fatal("looking changed the method")
	}

	// Somebody changes the connection meanwhile: the preview is no longer true.
	form := formOf(t, a, "/c/acme/method")
	zoe, edit := h.operator("zoe"), "/c/acme/connection/edit"
	zoe.send(edit, zoe.form(edit, edit), "giacom.currency", "EUR")
	if a := olga.send("/c/acme/method", form); a.status != http.StatusConflict || !a.says("zoe changed this connection meanwhile") || !a.says("Currency GBP → EUR") || !a.says("Show what would change now") {
		t.Errorf("an old preview: %d %s", a.status, a.text())
	}
	form = olga.form(whole, "/c/acme/method")
	if form.Get("adopt") != "yes" {
		t.Errorf("adopting is not proposed: %v", form)
	}
	if a := olga.send("/c/acme/method", form, "adopt", "no"); a.to != "/c/acme/connection" {
		t.Fatalf("choosing: %d %s", a.status, a.text())
	}
	c := h.connection()
	if c.GetGiacom().GetMethod() != connectionv1.ImportMethod_IMPORT_METHOD_REPORT || c.GetLicences().GetAdoptAcrossMethods() || c.GetGiacom().GetCurrency() != "EUR" {
		t.Errorf("stored: %v", c)
	}
	if a := olga.get("/c/acme/connection"); !a.says("The import method is subscriptionsmanagementreport from the next run on.") || !a.says("Import method subscriptions: all products → subscriptionsmanagementreport") {
		t.Errorf("after it: %s", a.text())
	}
}

func TestAPreviewThatCannotBeMadeSaysWhy(t *testing.T) {
	o := &others{}
	h := build(t, o)
	olga := h.operator("olga")
	olga.add()
	whole := "/c/acme/method/preview?method=IMPORT_METHOD_BOTH&whole=1"
	if a := olga.get(whole); a.status == http.StatusOK || !a.says("Giacom refuses the key") || !a.says("enter another key") {
		t.Errorf("a wrong key: %d %s", a.status, a.text())
	}
	if a := olga.get("/c/acme/method/preview/live?method=IMPORT_METHOD_BOTH"); !a.says("Giacom refuses the key") {
		t.Errorf("a wrong key, live: %s", a.text())
	}
	if a := olga.get("/c/acme/method/preview?method=NONE"); a.status != http.StatusUnprocessableEntity || !a.says("is no import method") {
		t.Errorf("no method: %d %s", a.status, a.text())
	}
	o.preview = toTheReport()
	o.preview.Complete, o.preview.Reason = false, &itemv1.Reason{Text: "Page 3 did not come."}
	if a := olga.get(whole); !a.says("The account did not come whole") || !a.says("Page 3 did not come.") {
		t.Errorf("half an account: %s", a.text())
	}
}
