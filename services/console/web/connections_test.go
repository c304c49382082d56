package web_test

import (
	"net/http"
	"strings"
	"testing"

	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

const hostile = `Müller & Söhne <b>"O'Neill"</b> 🌱`

func TestAConnectionIsAddedEditedAndDeleted(t *testing.T) {
	h := build(t, nil)
	olga := h.operator("olga")
	if a := olga.get("/connections"); !a.says("No connection yet") || !strings.Contains(a.body, `href="/connections/new"`) {
		t.Error("an empty list does not say how to begin")
	}
	page := olga.get("/connections/new")
	for _, says := range []string{"My Account & Settings > Settings > API", "v2 of the Giacom API is not available for production accounts", "subscriptionsmanagementreport", "observing"} {
		if !page.says(says) {
			t.Errorf("the form does not say %q", says)
		}
	}
	if a := olga.add("display_name", hostile); a.status != http.StatusSeeOther || a.to != "/c/acme/validate" {
		t.Fatalf("adding answers %d: %s", a.status, a.text())
	}
	if c := h.connection(); c.GetMode() != connectionv1.Mode_MODE_OBSERVE || c.GetDisplayName() != hostile || c.GetUpdatedBy() != "olga" || c.GetGiacom().GetBaseUrl() != h.giacomA {
		t.Errorf("stored: %v", c)
	}
	for _, path := range []string{"/connections", "/c/acme/connection", "/c/acme/connection/edit", "/c/acme/connection/delete", "/c/acme/connection/keys"} {
		a := olga.get(path)
		if a.status != http.StatusOK || !a.says(hostile) || strings.Contains(a.body, "<b>") {
			t.Errorf("%s answers %d, or takes a name for markup", path, a.status)
		}
	}
	if a := olga.get("/c/acme/connection"); !a.says("One is set that ends in 0001") || !a.says("olga") || !a.says("Created") {
		t.Errorf("the connection's page: %s", a.text())
	}

	edit := "/c/acme/connection/edit"
	if a := olga.send(edit, olga.form(edit, edit), "display_name", "Acme", "giacom.annual_price_basis", "BASIS_PER_SEAT_PER_TERM"); a.to != "/c/acme/connection" {
		t.Fatalf("editing answers %d: %s", a.status, a.text())
	}
	if a := olga.get("/c/acme/connection"); !a.says("Saved.") || !a.says("A seat for the whole term") || !a.says("Price of annual and longer terms") {
		t.Errorf("after the edit: %s", a.text())
	}
	if a := olga.send(edit, olga.form(edit, edit)); a.to != "/c/acme/connection" {
		t.Errorf("an edit of nothing answers %d: %s", a.status, a.text())
	}
	if !olga.get("/c/acme/connection").says("Nothing was different") {
		t.Error("an edit of nothing does not say so")
	}
	rules := "/c/acme/connection/edit/rules"
	if a := olga.send(rules, olga.form(rules, rules), "billing.pro_rata", "1", "customers.map_by_name", "", "guards.removal_interval", "90", "licences.deactivate_removed", "on"); a.to != "/c/acme/connection" {
		t.Fatalf("rules: %d: %s", a.status, a.text())
	}
	if c := h.connection(); c.GetBilling().GetProRata() != 1 || c.GetCustomers().MapByName == nil || c.GetCustomers().GetMapByName() || c.GetGuards().GetRemovalInterval().GetSeconds() != 5400 || !c.GetLicences().GetDeactivateRemoved() ||
		!c.GetCustomers().GetFollowNameOfCreated() || c.GetMode() != connectionv1.Mode_MODE_OBSERVE {
		t.Errorf("rules stored: %v", c)
	}

	disable := "/c/acme/connection/disable"
	if a := olga.get(disable); !a.says("Halo goes on to bill by it") {
		t.Errorf("disabling is not explained: %s", a.text())
	}
	olga.send(disable, olga.form(disable, disable))
	if a := olga.get("/c/acme/connection"); h.connection().GetEnabled() || !a.says("The connection is disabled") {
		t.Error("not disabled")
	}
	olga.send("/c/acme/connection/enable", olga.form("/c/acme/connection", "/c/acme/connection/enable"))
	if !h.connection().GetEnabled() {
		t.Error("not enabled")
	}

	gone := "/c/acme/connection/delete"
	a := olga.get(gone)
	for _, says := range []string{"Stays in Halo", "Is forgotten", "2 secrets are dropped for good.", `The name "acme" is never free again`, "2 recurring invoice lines stay as they are.", "2 subscriptions are not read", "cannot be undone"} {
		if !a.says(says) {
			t.Errorf("deleting does not say %q", says)
		}
	}
	if a := olga.send(gone, olga.form(gone, gone), "slug", "other"); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.wrong("slug"), "which is acme") {
		t.Errorf("a name typed wrong: %d %s", a.status, a.text())
	}
	if a := olga.send(gone, olga.form(gone, gone), "slug", "acme"); a.to != "/connections" {
		t.Fatalf("deleting answers %d: %s", a.status, a.text())
	}
	if a := olga.get("/connections"); !a.says("is deleted. What is in Halo stays") || !a.says("No connection yet") {
		t.Errorf("after it: %s", a.text())
	}
	if a := olga.get("/connections?state=deleted"); !a.says("Deleted") || !a.says("acme") || strings.Contains(a.body, `href="/c/acme/connection"`) {
		t.Errorf("the deleted ones: %s", a.text())
	}
	if a := olga.add(); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.wrong("slug"), "never used again") {
		t.Errorf("its name once more: %d %q", a.status, a.wrong("slug"))
	}
}

func TestWhatIsWrongStandsAtItsField(t *testing.T) {
	h := build(t, nil)
	olga := h.operator("olga")
	for _, x := range []struct {
		pairs []string
		field string
		says  string
	}{
		{[]string{"giacom.version", "GIACOM_VERSION_V2", "giacom.base_url", "https://cloudmarket-services.azure-api.net/Billing/v2"}, "giacom.version", "v2 is not available for production accounts"},
		{[]string{"giacom.base_url", "https://u:p@host/x"}, "giacom.base_url", "secrets have fields of their own"},
		{[]string{"slug", "Acme IT"}, "slug", "a-z, 0-9 and -"},
		{[]string{"giacom.currency", "quid"}, "giacom.currency", "no currency of ISO 4217"},
		{[]string{"giacom.api_key", ""}, "giacom.api_key", "make one in the Giacom portal"},
		{[]string{"halo.client_secret", ""}, "halo.client_secret", "is missing"},
		{[]string{"halo.base_url", "http://example.halopsa.com"}, "halo.base_url", "unencrypted"},
		{[]string{"giacom.method", "IMPORT_METHOD_BY_HAND"}, "giacom.method", "none of the choices"},
	} {
		a := olga.add(append(x.pairs, "display_name", hostile)...)
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.wrong(x.field), x.says) {
			t.Errorf("%v: answers %d, at the field %q, want %q", x.pairs, a.status, a.wrong(x.field), x.says)
		}
		if a.field("display_name") != hostile || a.field("halo.tenant") != "sim" {
			t.Errorf("%v: what was entered is gone: %q", x.pairs, a.field("display_name"))
		}
		if a.field("giacom.api_key") != "" || x.field != "giacom.api_key" && !a.says("Enter it again: what is secret is not sent back") {
			t.Errorf("%v: of the key the page does not say to enter it again", x.pairs)
		}
	}
	if a := olga.get("/connections"); !a.says("No connection yet") {
		t.Error("something was stored")
	}
	// A test system may be spoken to in v2, and its page warns.
	if a := olga.add("giacom.version", "GIACOM_VERSION_V2"); a.status != http.StatusSeeOther {
		t.Fatalf("v2 at a test system: %d %s", a.status, a.text())
	}
	if a := olga.get("/c/acme/connection"); !a.says("This connection uses v2") {
		t.Error("no warning of v2")
	}
	if a := olga.add(); !strings.Contains(a.wrong("slug"), "There is a connection \"acme\" already") {
		t.Errorf("twice: %d %s", a.status, a.text())
	}
}

func TestTwoOperatorsAtOnce(t *testing.T) {
	h := build(t, nil)
	olga, zoe := h.operator("olga"), h.operator(`Zoë <i>O’Neill</i>`)
	olga.add()
	edit := "/c/acme/connection/edit"
	form := olga.form(edit, edit)
	zoe.send(edit, zoe.form(edit, edit), "giacom.currency", "EUR", "display_name", "Acme Ltd")

	// Olga changed the tenant, which Zoë did not, and the name, which Zoë did too.
	a := olga.send(edit, form, "halo.tenant", "elsewhere", "display_name", hostile)
	if a.status != http.StatusConflict {
		t.Fatalf("a stale edit answers %d: %s", a.status, a.text())
	}
	for _, says := range []string{"Zoë <i>O’Neill</i> changed this connection meanwhile", "Nothing of yours is saved yet", "Currency GBP EUR not changed", "Name Acme IT Acme Ltd " + hostile} {
		if !a.says(says) {
			t.Errorf("a stale edit does not say %q:\n%s", says, a.text())
		}
	}
	if c := h.connection(); c.GetDisplayName() != "Acme Ltd" || c.GetHalo().GetTenant() != "sim" {
		t.Fatalf("the stale edit was stored: %v", c)
	}
	if a.field("giacom.currency") != "EUR" || a.field("halo.tenant") != "elsewhere" || a.field("display_name") != hostile || !strings.Contains(a.wrong("display_name"), `became "Acme Ltd"`) {
		t.Errorf("the form does not have both: %q %q %q %q", a.field("giacom.currency"), a.field("halo.tenant"), a.field("display_name"), a.wrong("display_name"))
	}
	if a = olga.send(edit, formOf(t, a, edit)); a.to != "/c/acme/connection" {
		t.Fatalf("once more: %d %s", a.status, a.text())
	}
	if c := h.connection(); c.GetDisplayName() != hostile || c.GetHalo().GetTenant() != "elsewhere" || c.GetGiacom().GetCurrency() != "EUR" || c.GetUpdatedBy() != "olga" {
		t.Errorf("both changes together: %v", c)
	}
	// One who changed what is on another page is named too.
	form = olga.form(edit, edit)
	rules := edit + "/rules"
	zoe.send(rules, zoe.form(rules, rules), "billing.pro_rata", "3")
	if a := olga.send(edit, form, "display_name", "Mine"); a.status != http.StatusConflict || !a.says("Pro rata of links that Seatline makes") || !a.says("Invoice at once") {
		t.Errorf("a change elsewhere: %d %s", a.status, a.text())
	}
}

func TestKeysAreTriedBeforeTheyAreStored(t *testing.T) {
	h := build(t, nil)
	olga := h.operator("olga")
	olga.add()
	keys := "/c/acme/connection/keys"
	if a := olga.get(keys); !a.says("My Account & Settings > Settings > API") || !a.says("One is set that ends in 0001") || a.field("giacom_api_key") != "" {
		t.Errorf("the page of keys: %s", a.text())
	}
	a := olga.send(keys, olga.form(keys, keys), "giacom_api_key", "canary-wrong-key-9999")
	if a.status != http.StatusConflict || !a.says("the old one stays") || !a.says("Enter it again") || h.connection().GetGiacom().GetApiKey().GetVersion() != 1 {
		t.Errorf("a wrong key: %d %s", a.status, a.text())
	}
	if a := olga.send(keys, olga.form(keys, keys)); a.status != http.StatusUnprocessableEntity || !strings.Contains(a.wrong("giacom_api_key"), "is missing") {
		t.Errorf("no key at all: %d %s", a.status, a.text())
	}
	if a := olga.send(keys, olga.form(keys, keys), "giacom_api_key", "canary-wrong-key-9999", "untried", "on"); a.to != "/c/acme/connection" {
		t.Errorf("untried: %d %s", a.status, a.text())
	}
	if a := olga.get("/c/acme/connection"); !a.says("Stored, untried") || !a.says("ends in 9999") {
		t.Errorf("after it: %s", a.text())
	}
	if a := olga.send(keys, olga.form(keys, keys), "giacom_api_key", apiKey); a.to != "/c/acme/connection" || !olga.get("/c/acme/connection").says("Tried and stored") {
		t.Errorf("the right one: %d %s", a.status, a.text())
	}
	if a := olga.get("/c/acme/connection"); !a.says("version 3, ends in 0001") {
		t.Errorf("the record of keys: %s", a.text())
	}
}

func TestViewersLookAndDoNotTouch(t *testing.T) {
	h := build(t, nil)
	h.operator("olga").add()
	vera := h.enter("vera", accessv1.Role_ROLE_VIEWER)
	for _, path := range []string{"/connections", "/c/acme/connection", "/c/acme/integrator", "/you"} {
		a := vera.get(path)
		if a.status != http.StatusOK {
			t.Errorf("%s answers %d: %s", path, a.status, a.text())
		}
		for _, command := range []string{"Add a connection", "New keys", "Delete …", "Disable …", "Run now", ">Save<", "Validate"} {
			if strings.Contains(a.body, command) {
				t.Errorf("%s offers a viewer %q", path, command)
			}
		}
	}
	for _, path := range []string{"/connections/new", "/c/acme/connection/edit", "/c/acme/connection/keys", "/c/acme/connection/delete", "/c/acme/validate", "/c/acme/validate/live"} {
		if a := vera.get(path); a.status != http.StatusForbidden || !a.says("this is for operators") {
			t.Errorf("%s answers a viewer %d", path, a.status)
		}
	}
}

func TestTheListOfConnectionsIsSearchedSortedAndPaged(t *testing.T) {
	h := build(t, nil)
	olga := h.operator("olga")
	for _, slug := range []string{"beta", "acme", "coastal"} {
		olga.add("slug", slug, "giacom.account", slug, "display_name", strings.ToUpper(slug))
	}
	if a := olga.get("/connections?order=display_name+desc"); strings.Index(a.text(), "COASTAL coastal") > strings.Index(a.text(), "ACME acme") {
		t.Error("not in the order asked for")
	}
	if a := olga.get("/connections?q=coast"); !a.says("COASTAL coastal") || strings.Contains(a.body, `href="/c/beta/connection"`) {
		t.Errorf("a search: %s", a.text())
	}
	if a := olga.get("/connections?state=disabled"); !a.says("Nothing found") {
		t.Errorf("a filter: %s", a.text())
	}
}
