package web

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/ui"
)

func TestCustomersAreImportedWithAnswers(t *testing.T) {
	state, events := estateOf()
	m := startMapped(t, state, events...)
	if r := m.olga.post("/c/acme/mappings/T/ignore", "/c/acme/mappings/T/ignore", "reason", "twins"); r.status != 303 {
		t.Fatal(r.status)
	}
	m.settle()
	at := "/c/acme/imports/customers"
	preview := m.olga.get(at).says(t, 200, "Link or create?", "Quite Unlike Any", "Import 1 customer<", "It is ignored: twins", `name="answer.N"`, "Near match: it is in Halo as &#34;Northwind Bakery Ltd&#34;", "Link to “Zoë&#39;s")
	m.olga.get(at+"?show=skip").says(t, 200, "twins", "!>Quite Unlike Any</a>")

	// Answers make another preview; it lists what they do, and keeps them.
	answered := m.olga.post(at, at, "do", "preview", "etag", preview.field(t, "etag"), "answer.N", "link:8", "answer.Z", "create", "answer.H", "skip").
		says(t, 200, "What your answers do", "Import 3 customers", `<option value="link:8" selected>Link to “Northwind Bakery Ltd” (no. 8,`, `<option value="create" selected>`, "Left for now, as you said.")
	// The button with answers that were not looked at asks to look first.
	m.olga.post(at, at, "etag", preview.field(t, "etag"), "answer.N", "link:8").says(t, 409, "Look again first", "Nothing was imported.", "Import 2 customers")
	m.olga.post(at, at, "etag", preview.field(t, "etag"), "answer.N", "link:10", "answer.Z", "create").
		says(t, 409, "N (Northwind Bakery Limited) cannot be linked", `<option value="link:10" selected>`, `<option value="create" selected>`)
	m.olga.post(at, at, "answer.N", "perhaps").says(t, 422, "is no answer")

	r := m.olga.post(at, at, "etag", answered.field(t, "etag"), "answer.N", "link:8", "answer.Z", "create", "answer.H", "skip")
	if r.status != 303 || !strings.HasPrefix(r.to, at+"/") {
		t.Fatalf("started: %d to %q\n%s", r.status, r.to, mainOf(r.body))
	}
	report := r.to
	eventtest.Eventually(t, "the import ended", func() bool { return strings.Contains(m.olga.get(report).body, "The import has ended") })
	m.olga.get(report).says(t, 200, "Everything that was to be done is done.", "Quite Unlike Any", "olga", "Halo’s default", "Download CSV", "!<b>&")
	m.olga.get(report+"?show=create").says(t, 200, "Quite Unlike Any", "!Northwind")
	m.olga.get(report+"/live").says(t, 200, "event: replace", "The import has ended", "event: end")
	file := m.olga.get(report + "/file?format=csv")
	if rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(file.body, "\ufeff"))).ReadAll(); err != nil || len(rows) != 6 {
		t.Errorf("the CSV has %d rows (%v):\n%s", len(rows), err, file.body)
	}
	var document struct{ Created int }
	if file := m.olga.get(report + "/file?format=json"); json.Unmarshal([]byte(file.body), &document) != nil || document.Created != 2 {
		t.Errorf("the JSON says %+v:\n%s", document, file.body)
	}
	m.olga.get("/c/acme/imports").says(t, 200, report, "Import customers")
	m.olga.get("/c/acme/imports/customers/past?who=olg").says(t, 200, report)
	m.olga.get("/c/acme/imports/customers/past?who=nobody").says(t, 200, "!"+report)
	m.olga.get(at+"/nothing").says(t, 404, "does not exist")
	if names := namesInHalo(m.sim); names[hostile] != 2 || names["Quite Unlike Any"] != 1 {
		t.Errorf("Halo has %v", names)
	}
	if x := m.mapping("N"); x.GetHaloClientId() != 8 {
		t.Errorf("N is %v", x)
	}
	// Viewers see previews and reports, and start nothing.
	vera := m.enter(t, "vera", rpc.RoleViewer)
	vera.get(at).says(t, 200, "Would be created", "!Import 1 customer")
	vera.get(report).says(t, 200, "The import has ended")
}

func namesInHalo(sim *halosim.Sim) map[string]int {
	out := map[string]int{}
	for _, c := range sim.State().Clients {
		out[c.Name]++
	}
	return out
}

func TestAConnectionThatObservesImportsNothing(t *testing.T) {
	state, events := estateOf()
	m := startMapped(t, state, events...)
	observing := proto.CloneOf(m.settings.connection)
	observing.Mode = connectionv1.Mode_MODE_OBSERVE
	eventtest.Send(t, m.env.Bus, event.Event{Type: "seatline.connection.changed.v1", Entity: "connection", Connection: "acme", Key: "acme", Revision: 9e15, Data: observing})
	m.settle()
	at := "/c/acme/imports/customers"
	preview := m.olga.get(at).says(t, 200, "This is a preview only", "observes: nothing is written to Halo", "!Import 1 customer")
	m.olga.post(at, at, "etag", preview.field(t, "etag")).says(t, 409, "nothing is written to Halo")
	if x := m.mapping("X"); x.GetState() != mappingv1.State_STATE_UNMAPPED {
		t.Errorf("X is %v", x)
	}
}

func TestSubscriptionsArePreviewedImportedAndReported(t *testing.T) {
	m := startMapped(t, halosim.State{})
	m.settings.preview = &runv1.SubscriptionImport{
		Connection: "acme", Create: 12, Update: 3, Unchanged: 1943, Skip: 2, Complete: true, Note: "The import writes to Halo.", Unknown: []string{"mapper"},
		Skips: []*runv1.SkipCount{{Code: "customer_not_mapped", Text: "Their Giacom customer is not mapped to a Halo customer.", Count: 2}},
		Rows: []*runv1.ImportRow{{Kind: runv1.ImportRow_KIND_UPDATE, Key: "giacom/1", MexId: "Z", CustomerName: hostile, HaloClientName: hostile, Name: `365 "E3" <b>`, QuantityBefore: "5", QuantityAfter: "7"},
			{Kind: runv1.ImportRow_KIND_SKIP, Key: "giacom/2", MexId: "X", CustomerName: "Nobody", Name: "Exchange", QuantityAfter: "1", Reason: &itemv1.Reason{Text: "not mapped"}}},
	}
	run := &runv1.Run{Id: "r1", Connection: "acme", Trigger: runv1.Trigger_TRIGGER_MANUAL, Who: "olga", ImportSubscriptions: true, Outcome: runv1.Outcome_OUTCOME_SUCCEEDED, Complete: true, StartTime: stamp("2026-11-23T14:00:00Z"), EndTime: stamp("2026-11-23T14:01:00Z"), Subscriptions: &runv1.Counts{Seen: 1958, New: 12}}
	m.runs = map[string]*runv1.Run{"r1": run, "other": {Id: "other", Connection: "globex"}, "held": {Id: "held", Connection: "acme", Outcome: runv1.Outcome_OUTCOME_HELD, Reason: &itemv1.Reason{Text: "A whole customer would be removed."}}}
	m.settings.report = &runv1.RunReport{Run: run, Counts: []*runv1.ChangeCount{{Kind: "licence", Outcome: "applied", Action: "create", Count: 12}},
		Changes: []*itemv1.Change{{Kind: "licence", Key: "giacom/1", Title: "=cmd()", Outcome: "applied", Action: "update", Run: "r1", Time: stamp("2026-11-23T14:01:00Z"), Changes: []*itemv1.FieldChange{{Field: "count", Before: "5", After: "7"}}}},
		Skips:   []*runv1.SkipCount{{Code: "customer_ignored", Text: "Their Giacom customer is ignored.", Count: 4}}}

	at := "/c/acme/imports/subscriptions"
	m.olga.get(at).says(t, 200, "Show what it would do", "all subscriptions in Giacom", "No: the method does not tell it", at+"/r1")
	m.olga.get(at+"/preview").says(t, 200, `data-live="`+at+`/preview/live"`, "Reading the account from Giacom")
	m.olga.get(at+"/preview/live").says(t, 200, "event: replace", "1,943", "event: end")
	preview := m.olga.get(at+"/preview?wait=1").says(t, 200, "1,943", "365 &#34;E3&#34; &lt;b&gt;", "Map their customers", "Import now", "No answer from: mapper")
	if r := m.olga.postWith(tokenField.FindStringSubmatch(preview.body)[1], at); r.status != 303 || r.to != at+"/r1" || m.caller("StartRun").Name != "olga" {
		t.Errorf("started: %d to %q by %v\n%s", r.status, r.to, m.caller("StartRun"), mainOf(r.body))
	}
	m.olga.get(at+"/r1").says(t, 200, "What came of it in Halo", "Licence", "Their Giacom customer is ignored.", "=cmd()", "Everything that could happen by itself has happened.", "1,958")
	m.olga.get(at+"/r1/live").says(t, 200, "What came of it in Halo", "event: end")
	m.olga.get(at+"/held").says(t, 200, "Held: a person must decide", "A whole customer would be removed.")
	m.olga.get(at+"/other").says(t, 404, "belongs to another connection")
	if file := m.olga.get(at + "/r1/file?format=csv"); !strings.Contains(file.body, "'=cmd()") || !strings.Contains(file.header.Get("Content-Disposition"), "subscriptions-acme-2026-11-23-1400.csv") {
		t.Errorf("the CSV (%v):\n%s", file.header, file.body)
	}
	var document struct{ Counts []struct{ Kind string } }
	if file := m.olga.get(at + "/r1/file?format=json"); json.Unmarshal([]byte(file.body), &document) != nil || len(document.Counts) != 1 {
		t.Errorf("the JSON:\n%s", file.body)
	}
	vera := m.enter(t, "vera", rpc.RoleViewer)
	vera.get(at).says(t, 200, "!Show what it would do")
	vera.get(at+"/preview").says(t, 403)
	m.services.fail = rpc.FailedPrecondition("RUN_OPEN", "acme", "a run of acme is under way").Do("wait for it")
	if r := m.olga.postWith(tokenField.FindStringSubmatch(preview.body)[1], at); r.status != 409 || !strings.Contains(r.body, "a run of acme is under way") {
		t.Errorf("while one is under way: %d\n%s", r.status, r.body)
	}
}

func TestStagesWithoutWorkHaveNoBar(t *testing.T) {
	got := importStages(&mappingv1.CustomerImport{Create: 40, Created: 12, Link: 3, Linked: 3})
	want := []ui.Block{ui.Progress{Label: "Link to Halo’s customers", Done: 3, Total: 3}, ui.Progress{Label: "Create in Halo", Done: 12, Total: 40}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}
