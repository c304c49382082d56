package billing

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

func TestMigrationFromIntyInTheGuidesOrder(t *testing.T) {
	t.Parallel()
	m := aMigrant(t, 2, halosim.Config{}, nil)
	before := []string{jsonOf(t, m.invoice(-1)), jsonOf(t, m.invoice(-2))}
	if got := m.steps(); got != "to_do to_do to_do to_do to_do" {
		t.Errorf("at first the steps are %s", got)
	}
	// 1: the mappings are saved, and no empty answer of a cleared module takes them away.
	saved, err := m.SaveMappings(t.Context(), &intyv1.SaveMappingsRequest{Connection: "acme"})
	m.must(err)
	if saved.GetSaved() != 2 || saved.GetAdded() != 2 || saved.GetFrom() != "halo" {
		t.Errorf("saved %v", saved)
	}
	// 2: the module is on, and says what is left to do.
	module, err := m.CheckModule(t.Context(), acme)
	m.must(err)
	if module.GetDone() || !module.GetIntegratorOn() || module.GetMappingsLeft() != 2 || len(module.GetToDo()) != 3 {
		t.Errorf("module %v", module)
	}
	_, err = m.RefreshMigration(t.Context(), acme)
	m.must(err)
	p, err := m.GetPreview(t.Context(), &intyv1.PreviewRequest{Connection: "acme"})
	m.must(err)
	_, err = m.ApplyMigration(t.Context(), &intyv1.ApplyMigrationRequest{Connection: "acme", Etag: p.GetEtag()})
	if rpc.Reason(err) != "INTY_MODULE_ON" {
		t.Errorf("applied while the module is on: %v", err)
	}
	m.noted()
	if module, err = m.CheckModule(t.Context(), acme); err != nil || !module.GetDone() {
		t.Errorf("module %v (%v)", module, err)
	}
	again, err := m.SaveMappings(t.Context(), &intyv1.SaveMappingsRequest{Connection: "acme"})
	if err != nil || again.GetSaved() != 2 || again.GetAdded() != 0 {
		t.Errorf("saved again: %v (%v)", again, err)
	}
	if got := m.steps(); got != "done done done done to_do" {
		t.Errorf("before re-pointing the steps are %s", got)
	}
	m.want("before", "701 ready linked", "702 ready linked")
	users, err := m.ListUserLines(t.Context(), &intyv1.ListUserLinesRequest{Connection: "acme"})
	if err != nil || len(users.GetLines()) != 2 || !strings.Contains(users.GetNote(), "nothing syncs them any more unless something else does") {
		t.Errorf("user lines %v (%v)", users, err)
	}
	// 5: preview. Inty bills 7 × 12, Giacom 5 × 12; two seats less may be a pro-rata row in mode 1 only.
	p, err = m.GetPreview(t.Context(), &intyv1.PreviewRequest{Connection: "acme"})
	m.must(err)
	x := p.GetItems()[0]
	if x.GetQuantityBefore() != "7" || x.GetQuantityAfter() != "5" || x.GetMonthlyBefore().GetAmount() != "84" || x.GetMonthlyAfter().GetAmount() != "60" || x.GetHeld() != nil || x.GetProRata() != nil {
		t.Errorf("preview %v", x)
	}
	if p.GetMonthlyBefore().GetAmount() != "168" || p.GetMonthlyAfter().GetAmount() != "120" || p.GetWritable() != 2 || p.GetDeactivated() != 2 {
		t.Errorf("sums of %v", p)
	}
	if m.requests(); jsonOf(t, m.invoice(-1)) != before[0] {
		t.Error("a preview changed something")
	}
	// One canary first.
	m.apply(2)
	m.want("after the canary", "701 ready linked", "702 moving moved")
	if diff := cmp.Diff(before[0], jsonOf(t, m.invoice(-1))); diff != "" {
		t.Errorf("the other customer's invoice changed:\n%s", diff)
	}
	l := m.invoice(-2).Lines[0]
	if r := l.Subscriptions[0]; r.LicenceID != 502 || r.ID != 10020 || r.ProRata != 2 || string(r.Extra["criteria"]) != `[{"a":1.50}]` || l.UnitCost.String() != "10" || l.UnitPrice.String() != "12" {
		t.Errorf("the line is %+v", l)
	}
	if got := m.state("-2/1002"); got != "in_sync" {
		t.Errorf("the line is %s", got)
	}
	if line := m.lines()["-2/1002"]; len(line.GetReplaced()) != 1 || line.GetReplaced()[0].GetHaloId() != 702 {
		t.Errorf("replaced: %v", line.GetReplaced())
	}
	m.deactivated(702)
	m.want("after the licence service has deactivated", "701 ready linked", "702 moved moved")
	verified, err := m.VerifyMigration(t.Context(), acme)
	if err != nil || verified.GetRight() != 1 || len(verified.GetWrong()) != 0 || len(verified.GetActive()) != 0 {
		t.Errorf("verified %v (%v)", verified, err)
	}
	// Undo waits for Inty's licence to be active again, and then the invoice is what it was, byte for byte.
	undone, err := m.UndoMigration(t.Context(), &intyv1.UndoMigrationRequest{Connection: "acme"})
	if err != nil || undone.GetLines() != 1 {
		t.Errorf("undone %v (%v)", undone, err)
	}
	m.settled()
	if got := m.state("-2/1002"); got != "parked inty_inactive" {
		t.Errorf("the line is %s", got)
	}
	if line := m.lines()["-2/1002"]; len(line.GetReplaced()) != 0 {
		t.Errorf("still replaced: %v", line.GetReplaced())
	}
	m.reactivated(702)
	m.want("after undo", "701 ready linked", "702 ready linked")
	if diff := cmp.Diff(before[1], jsonOf(t, m.invoice(-2))); diff != "" {
		t.Errorf("undo left the invoice as (-was +is):\n%s", diff)
	}
	if got := m.state("add/giacom/2"); got != "parked not_billed" {
		t.Errorf("Giacom's licence is %s", got)
	}
	// And all of it once more, for good.
	m.apply()
	m.deactivated(701, 702)
	m.want("in the end", "701 moved moved", "702 moved moved")
	if got := m.steps(); got != "done done done done done" {
		t.Errorf("in the end the steps are %s", got)
	}
	report, err := m.CreateReport(t.Context(), acme)
	m.must(err)
	if report.GetLeft() != 0 || strings.Count(report.GetCsv(), "\nmoved,") != 2 || strings.Count(report.GetCsv(), "\nuser line,") != 2 {
		t.Errorf("report: %d left\n%s", report.GetLeft(), report.GetCsv())
	}
	kept, err := m.GetReport(t.Context(), &intyv1.GetReportRequest{Connection: "acme", Id: report.GetId()})
	if err != nil || kept.GetCsv() != report.GetCsv() || kept.GetId() != report.GetId() {
		t.Errorf("the report was not kept: %v", err)
	}
}

// deactivated and reactivated do what the licence service does on billing's word.
func (m *migrant) deactivated(ids ...int64) { m.active(false, ids...) }
func (m *migrant) reactivated(ids ...int64) { m.active(true, ids...) }

func (m *migrant) active(active bool, ids ...int64) {
	m.Helper()
	for _, id := range ids {
		m.must(m.sim.EditLicence(id, func(l *halosim.Licence) { l.IsActive = active }))
		m.licence(&licencev1.Licence{Connection: "acme", Key: fmt.Sprint("inty/", id), Instance: "halo/sim", Applied: &licencev1.Fields{ClientId: id - 700, Active: active}, Status: &itemv1.Status{HaloId: id}})
	}
	m.settled()
}

// No line is added beside one that Inty's licence is on, neither before the re-pointing nor after undo.
func TestNoLineBesideIntys(t *testing.T) {
	t.Parallel()
	m := aMigrant(t, 1, halosim.Config{}, nil)
	m.noted()
	m.rules(&pricingv1.PriceRule{Name: "add", Price: &pricingv1.PriceRule_Keep{Keep: true}, AddLine: &pricingv1.AddLine{ItemId: 77}})
	m.settled()
	if n := len(m.invoice(-1).Lines); n != 3 || m.state("add/giacom/1") != "parked not_billed" {
		t.Fatalf("%d lines; Giacom's licence is %s", n, m.state("add/giacom/1"))
	}
	m.apply()
	if got := m.invoice(-1).Lines; len(got) != 3 || got[0].Subscriptions[0].LicenceID != 501 {
		t.Errorf("after re-pointing: %+v", got)
	}
}

func TestWhoIsLeftOutOfTheMigration(t *testing.T) {
	t.Parallel()
	m := aMigrant(t, 4, halosim.Config{}, func(st *halosim.State) {
		st.Sites[1].Extra = halosim.Extra{"country_code_name": []byte(`"United States"`)}
		st.Sites[2].Extra = nil
		st.Sites[3].Extra = nil
		st.Invoices[3].Extra = halosim.Extra{"currency_code_name": []byte(`"USD"`)}
	})
	// Lists of recurring invoices do not say the currency; where each is read by itself, it is known.
	m.connection(connectionv1.Mode_MODE_AUTO, func(c *connectionv1.Connection) { c.Halo.Capabilities = nil })
	m.settled()
	_, err := invoicelinev1.NewLineServiceClient(m.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"})
	m.must(err)
	m.noted()
	old, err := m.ListOldMappings(t.Context(), &intyv1.ListOldMappingsRequest{Connection: "acme"})
	m.must(err)
	for _, x := range old.GetMappings() {
		if x.GetRegionWhy() == "" {
			t.Errorf("no reason for where customer %d is", x.GetClientId())
		}
	}
	m.want("before anybody answers", "701 ready linked", "702 excluded linked", "703 asked linked", "704 excluded linked")
	answer, err := m.AnswerCustomers(t.Context(), &intyv1.AnswerCustomersRequest{Connection: "acme", AllAsked: true})
	if err != nil || answer.GetAnswered() != 1 || answer.GetAsked() != 0 {
		t.Errorf("answered %v (%v)", answer, err)
	}
	if _, err := m.AnswerCustomers(t.Context(), &intyv1.AnswerCustomersRequest{Connection: "acme", ClientIds: []int64{99}}); rpc.Reason(err) != "NOT_FOUND" {
		t.Errorf("answered for nobody: %v", err)
	}
	p := m.apply()
	if len(p.GetItems()) != 2 {
		t.Errorf("%d lines in the preview", len(p.GetItems()))
	}
	m.want("after", "701 moving moved", "702 excluded linked", "703 moving moved", "704 excluded linked")
}

// Licences that were taken over in place need nothing; those held as possible duplicates show the ways in.
func TestAdoptedAndHeldLicencesOfInty(t *testing.T) {
	t.Parallel()
	m := aMigrant(t, 3, halosim.Config{}, nil)
	adopted := aLicenceEvent(1, 1, 7, "10")
	adopted.Status.HaloId = 701
	m.licence(adopted)
	held := aLicenceEvent(2, 2, 5, "10")
	held.Applied, held.Status = nil, &itemv1.Status{State: itemv1.State_STATE_HELD, Reason: &itemv1.Reason{Code: "possible_duplicate", Text: "…"}}
	held.Candidates = []*licencev1.Candidate{{HaloId: 702, Count: 7}}
	m.licence(held)
	other := aLicenceEvent(3, 3, 5, "10")
	other.Subscription.Giacom.Name, other.Subscription.Giacom.Sku = "Visio", "VIS"
	m.licence(other)
	m.settled()
	m.noted()
	m.want("before", "701 adopted linked", "702 duplicate linked", "703 unpaired linked")
	if got := m.steps(); got != "done done done partly to_do" {
		t.Errorf("steps %s", got)
	}
	// A person chooses across products; then it is ready.
	if _, err := m.SetPair(t.Context(), &intyv1.SetPairRequest{Connection: "acme", HaloId: 703, Key: "giacom/1"}); rpc.Reason(err) != "OTHER_CUSTOMER" {
		t.Errorf("paired across customers: %v", err)
	}
	pair, err := m.SetPair(t.Context(), &intyv1.SetPairRequest{Connection: "acme", HaloId: 703, Key: "giacom/3"})
	if err != nil || pair.GetState() != intyv1.PairState_PAIR_STATE_READY {
		t.Errorf("paired %v (%v)", pair, err)
	}
	if _, err := m.SetPair(t.Context(), &intyv1.SetPairRequest{Connection: "acme", HaloId: 701, Leave: true}); rpc.Reason(err) != "ADOPTED" {
		t.Errorf("chose for an adopted one: %v", err)
	}
	// The operator adopted the second in place meanwhile.
	held.Applied, held.Status, held.Candidates = held.Desired, &itemv1.Status{State: itemv1.State_STATE_IN_SYNC, HaloId: 702}, nil
	m.licence(held)
	m.settled()
	m.apply()
	m.want("after", "701 adopted linked", "702 adopted linked", "703 moving moved")
	if got := m.invoice(-3).Lines[0].Subscriptions[0].LicenceID; got != 503 {
		t.Errorf("the line links %d", got)
	}
	if _, err := m.SetPair(t.Context(), &intyv1.SetPairRequest{Connection: "acme", HaloId: 703, Leave: true}); rpc.Reason(err) != "APPLIED_ALREADY" {
		t.Errorf("left alone after it was applied: %v", err)
	}
	if got := m.steps(); got != "done done done done done" {
		t.Errorf("steps %s", got)
	}
}

// Mappings from a file, and what they propose.
func TestOldMappingsFromAFile(t *testing.T) {
	t.Parallel()
	m := aMigrant(t, 3, halosim.Config{}, nil)
	m.mapped(2, 0)
	m.mapped(3, 0)
	b := m.bench
	b.send("giacom.customer", "changed", "MEX3", &giacomv1.Customer{MexId: "MEX3", TenantIds: []string{"tenant-3"}, Address: &giacomv1.Address{Country: "GB"}}, "giacom-customer")
	b.settled()
	_, err := m.RefreshMigration(t.Context(), acme)
	m.must(err)
	_, err = m.SaveMappings(t.Context(), &intyv1.SaveMappingsRequest{Connection: "acme", Rows: []*intyv1.SavedMapping{
		{Line: 2, IntyId: "A", ClientId: 1}, {Line: 3, IntyId: "", ClientId: 2}, {Line: 4, IntyId: "C", ClientName: "nobody"},
	}})
	if e, ok := rpc.ErrorFrom(err); !ok || len(e.Violations) != 2 || !strings.Contains(e.Violations[1].Description, "line 4") {
		t.Errorf("half a file: %v", err)
	}
	saved, err := m.SaveMappings(t.Context(), &intyv1.SaveMappingsRequest{Connection: "acme", Rows: []*intyv1.SavedMapping{
		{Line: 2, IntyId: "A", IntyName: "Client One", ClientId: 1}, {Line: 3, IntyId: "B", IntyName: "CLIENT 2 Limited", ClientName: "Client 2"},
		{Line: 4, IntyId: "C", IntyName: "Whatever", ClientId: 3, TenantId: "TENANT-3"},
	}})
	if err != nil || saved.GetSaved() != 3 || saved.GetFrom() != "csv" {
		t.Fatalf("saved %v (%v)", saved, err)
	}
	resp, err := m.ListOldMappings(t.Context(), &intyv1.ListOldMappingsRequest{Connection: "acme", PageSize: 2})
	m.must(err)
	rest, err := m.ListOldMappings(t.Context(), &intyv1.ListOldMappingsRequest{Connection: "acme", PageSize: 2, PageToken: resp.GetNextPageToken()})
	m.must(err)
	var got []string
	for _, x := range append(resp.GetMappings(), rest.GetMappings()...) {
		got = append(got, fmt.Sprint(x.GetIntyId(), " ", x.GetState(), " ", x.GetMexId(), " ", x.GetRegion()))
	}
	want := []string{
		"A OLD_MAPPING_STATE_MAPPED MEX1 REGION_ELSEWHERE", "B OLD_MAPPING_STATE_PROPOSED MEX2 REGION_ELSEWHERE", "C OLD_MAPPING_STATE_PROPOSED MEX3 REGION_ELSEWHERE",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("old mappings (-want +got):\n%s", diff)
	}
}
