package billing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

func TestObserveShowsWhatAutoDoes(t *testing.T) {
	t.Parallel()
	st := estate(4)
	st.Invoices[0].Lines[0].UnitCost = halosim.Pounds("9") // to be corrected
	st.Invoices[1].Lines[0] = halosim.Line{ID: 1002, ItemID: 77, Name: "product 2", Quantity: halosim.Pounds("3"), UnitCost: halosim.Pounds("10"), UnitPrice: halosim.Pounds("12")}
	st.Invoices[2].Lines = st.Invoices[2].Lines[1:] // a line to be added
	st.Items = append(st.Items, halosim.Item{ID: 78, Name: "Third", SupplierPartCode: "SKU-3", RecurringPrice: halosim.Pounds("14.99")})
	st.Items = append(st.Items[1:], halosim.Item{ID: 77, Name: "Licence"})
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_OBSERVE)
	eventtest.Eventually(t, "the connection", func() bool {
		_, err := pricingv1.NewPricingServiceClient(b.rpc).GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"})
		return err == nil
	})
	b.rules(keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{} }))
	for i := 1; i <= 4; i++ {
		l := aLicenceEvent(i, int64(i), 5, "10")
		if i == 4 {
			l.Desired.Count = 8 // a follower
		}
		b.licence(l)
	}
	b.settled()
	plan, err := opsv1.NewOpsServiceClient(b.rpc).ListPlanItems(t.Context(), &opsv1.ListPlanItemsRequest{Connection: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, i := range plan.GetItems() {
		got[i.GetKey()] = fmt.Sprintf("%s %s %s→%s", i.GetAction(), i.GetStatus().GetReason().GetCode(), i.GetMonthlyBefore().GetAmount(), i.GetMonthlyAfter().GetAmount())
		if i.GetFollows() {
			got[i.GetKey()] += " follows"
		}
	}
	want := map[string]string{
		"-1/1001":      "update observe 60→60",
		"-2/1002":      "update observe 36→60",
		"add/giacom/3": "add observe 0→74.95",
		"-4/1004":      "none  60→96 follows",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := b.sim.Requests()["POST /RecurringInvoice"]; n != 0 {
		t.Errorf("%d writes while observing", n)
	}
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.settled()
	after := map[string]string{}
	for key, l := range b.lines() {
		after[key] = l.GetMonthlyBefore().GetAmount()
	}
	added := b.invoice(-3).Lines[1]
	wantAfter := map[string]string{"-1/1001": "60", "-2/1002": "60", fmt.Sprintf("-3/%d", added.ID): "74.95", "-4/1004": "60"}
	if d := cmp.Diff(wantAfter, after); d != "" {
		t.Error(d)
	}
	if got := fmt.Sprint(added.ItemID, added.Name, added.UnitPrice, added.UnitCost, added.Subscriptions[0].LicenceID, added.Subscriptions[0].ProRata); got != "78Product 314.99 10 503 1" {
		t.Errorf("the added line is %s", got)
	}
	if s := b.state("add/giacom/3"); !strings.HasPrefix(s, "retired") {
		t.Errorf("the addition is %s, want retired", s)
	}
}

func TestOneRefusedLineDoesNotHoldUpItsInvoice(t *testing.T) {
	t.Parallel()
	st := estate(1)
	for i := 2; i <= 4; i++ {
		st.Licences = append(st.Licences, simLicence(i, 1, 5, "10"))
		st.Invoices[0].Lines = append(st.Invoices[0].Lines, simLinked(int64(1000+i), i, "10", "12"))
	}
	// The licence that a line still has to be linked to does not exist in Halo any more.
	st.Invoices[0].Lines = append(st.Invoices[0].Lines, halosim.Line{ID: 1009, Name: "Product 9", QuantityType: 4})
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= 4; i++ {
		b.licence(aLicenceEvent(i, 1, 5, "11"))
	}
	b.licence(aLicenceEvent(9, 1, 5, "11"))
	b.settled()
	for i, l := range b.invoice(-1).Lines {
		if l.QuantityType == 4 && l.ID != 1009 && l.UnitCost.String() != "11" {
			t.Errorf("line %d: cost %s, want 11", i, l.UnitCost)
		}
	}
	if got := b.state("-1/1009"); got != "failed refused" {
		t.Errorf("the refused line is %s", got)
	}
	// Its customer was made inactive since: that is what to mend.
	if err := b.sim.EditClient(1, func(c *halosim.Client) { c.Inactive = true }); err != nil {
		t.Fatal(err)
	}
	lines := invoicelinev1.NewLineServiceClient(b.rpc)
	if _, err := lines.RetryLine(t.Context(), &invoicelinev1.GetLineRequest{Connection: "acme", Key: "-1/1009"}); err != nil {
		t.Fatal(err)
	}
	eventtest.Eventually(t, "why it is refused", func() bool { return b.state("-1/1009") == "failed halo_customer_inactive" })
}

func TestLostLinesAreAnAlarm(t *testing.T) {
	t.Parallel()
	st := estate(1)
	b := newBench(t, halosim.Config{}, st)
	if err := b.sim.Inject(halosim.Fault{Name: "lost_lines", Method: "POST", Route: "/RecurringInvoice", Times: 1}); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "11"))
	eventtest.Eventually(t, "the alarm", func() bool { return b.state("-1/1001") == "held lines_lost" })
	var body []byte
	if err := b.pool.QueryRow(t.Context(), `select before from invoice_backups where instance = 'halo/sim' and id = -1`).Scan(&body); err != nil || !strings.Contains(string(body), "Support") {
		t.Errorf("the copy to restore from: %s, %v", body, err)
	}
	b.licence(aLicenceEvent(1, 1, 5, "12"))
	b.settled()
	if got := b.state("-1/1001") + " " + b.invoice(-1).Lines[0].UnitCost.String(); got != "held lines_lost 11" {
		t.Errorf("before anybody has looked: %s", got)
	}
	if _, err := invoicelinev1.NewLineServiceClient(b.rpc).RetryLine(t.Context(), &invoicelinev1.GetLineRequest{Connection: "acme", Key: "-1/1001"}); err != nil {
		t.Fatal(err)
	}
	b.settled()
	if got := b.state("-1/1001") + " " + b.invoice(-1).Lines[0].UnitCost.String(); got != "in_sync 12" {
		t.Errorf("after somebody has looked: %s", got)
	}
}

func TestAMovedLicenceIsUnlinkedMovedAndLinkedAgain(t *testing.T) {
	t.Parallel()
	st := estate(2)
	st.Invoices[1].Lines[0] = halosim.Line{ID: 1002, Name: "Product 1", QuantityType: 4, UnitCost: halosim.Pounds("10"), UnitPrice: halosim.Pounds("12")}
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	l := aLicenceEvent(1, 1, 5, "10")
	b.licence(l)
	b.settled()
	moving := proto.Clone(l).(*licencev1.Licence)
	moving.Desired.ClientId, moving.Status.State, moving.Status.Reason = 2, itemv1.State_STATE_PARKED, &itemv1.Reason{Code: "line"}
	b.licence(moving)
	b.settled()
	if rows := b.invoice(-1).Lines[0].Subscriptions; len(rows) != 0 {
		t.Errorf("the old line still links %v", rows)
	}
	if rows := b.invoice(-2).Lines[0].Subscriptions; len(rows) != 0 {
		t.Errorf("the new line links %v before the licence moved", rows)
	}
	if got := b.state("-2/1002"); got != "parked licence_moving" {
		t.Errorf("the new line is %s", got)
	}
	moved := aLicenceEvent(1, 2, 5, "10")
	b.licence(moved)
	b.settled()
	if rows := b.invoice(-2).Lines[0].Subscriptions; len(rows) != 1 || rows[0].LicenceID != 501 {
		t.Errorf("the new line links %v, want 501", rows)
	}
	if got := b.state("-1/1001"); !strings.HasPrefix(got, "retired") {
		t.Errorf("the old line is %s", got)
	}
}

func TestALicenceThatMovedAheadIsStillUnlinkedAtTheOldCustomer(t *testing.T) {
	t.Parallel()
	b := newBench(t, halosim.Config{}, estate(2))
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	b.licence(aLicenceEvent(1, 2, 5, "10"))
	b.settled()
	if rows := b.invoice(-1).Lines[0].Subscriptions; len(rows) != 0 {
		t.Errorf("the old line still links %v", rows)
	}
	var left int64
	if err := b.pool.QueryRow(t.Context(), `select left_client_id from licences`).Scan(&left); err != nil || left != 0 {
		t.Errorf("left %d, %v", left, err)
	}
	// From now on a parent may be invoiced for it again, when a person says so.
	if err := b.sim.EditInvoice(-1, func(i *halosim.Invoice) {
		i.Lines[0].Subscriptions = []halosim.QuantityRow{{ID: 1, LineID: 1001, Kind: 4, LicenceID: 501, ProRata: 1}}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := invoicelinev1.NewLineServiceClient(b.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"}); err != nil {
		t.Fatal(err)
	}
	b.settled()
	if got := b.state("-1/1001"); got != "in_sync" {
		t.Errorf("the line is %s", got)
	}
}

func TestTheInvoiceRunIsWaitedFor(t *testing.T) {
	t.Parallel()
	st := estate(1)
	next := time.Now().Add(time.Hour)
	st.Invoices[0].NextCreation, st.Invoices[0].LastCreated = halosim.On(next), halosim.On(next.AddDate(0, -1, 0))
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "11"))
	eventtest.Eventually(t, "parked", func() bool { return b.state("-1/1001") == "parked invoice_run" })
	if n := b.sim.Requests()["POST /RecurringInvoice"]; n != 0 {
		t.Errorf("%d writes shortly before the run", n)
	}
	// Halo makes its invoice; the next look finds that, and the line is written.
	if err := b.sim.EditInvoice(-1, func(i *halosim.Invoice) {
		i.LastCreated, i.NextCreation = halosim.On(next), halosim.On(next.AddDate(0, 1, 0))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := invoicelinev1.NewLineServiceClient(b.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"}); err != nil {
		t.Fatal(err)
	}
	// It would be looked at when the run should be over; whoever looks just before Halo has made its invoice parks it again.
	eventtest.Eventually(t, "the line is written after the run", func() bool {
		if _, err := b.pool.Exec(t.Context(), `update work set ready_at = now() where (connection, key) in (select connection, key from items where reason_code = 'invoice_run')`); err != nil {
			t.Fatal(err)
		}
		return b.invoice(-1).Lines[0].UnitCost.String() == "11"
	})
	b.settled()
}

func TestPriceRulesOverGRPC(t *testing.T) {
	t.Parallel()
	b := newBench(t, halosim.Config{}, estate(1))
	b.start()
	client := pricingv1.NewPricingServiceClient(b.rpc)
	if _, err := client.GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "nowhere"}); rpc.Reason(err) == "" {
		t.Errorf("rules of an unknown connection: %v", err)
	}
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	set := func(etag string, only bool, list ...*pricingv1.PriceRule) (*pricingv1.PriceRules, error) {
		return client.SetPriceRules(t.Context(), &pricingv1.SetPriceRulesRequest{Rules: &pricingv1.PriceRules{Connection: "acme", Rules: list, Etag: etag}, ValidateOnly: only})
	}
	if _, err := set("", false, costPlus("a", "x"), keep("")); err == nil || !strings.Contains(err.Error(), "not a percentage") {
		t.Errorf("wrong rules: %v", err)
	}
	if _, err := set("", true, costPlus("a", "20")); err != nil {
		t.Errorf("validate only: %v", err)
	}
	if got, err := client.GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"}); err != nil || len(got.GetRules()) != 0 {
		t.Errorf("validate only stored %v, %v", got, err)
	}
	first, err := set("", false, costPlus("a", "20"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set("", false, costPlus("a", "30")); err == nil {
		t.Error("rules were replaced without their etag")
	}
	if _, err := set(first.GetEtag(), false, costPlus("a", "30")); err != nil {
		t.Error(err)
	}
	b.settled()
	if got := b.invoice(-1).Lines[0].UnitPrice.String(); got != "13" {
		t.Errorf("price %s, want 13", got)
	}
}

func TestEventsOfLines(t *testing.T) {
	t.Parallel()
	st := estate(1)
	st.Invoices[0].Lines[0].Subscriptions[0].UsesSubsPrice = true
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	b.rules(costPlus("a", "20"))
	b.settled()
	e, ok := eventtest.State(t, b.conn, "invoice-line")["acme/-1/1001"]
	if !ok {
		t.Fatalf("no event of the line, but %v", eventtest.State(t, b.conn, "invoice-line"))
	}
	var l invoicelinev1.Line
	if err := e.Unmarshal(&l); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(e.Type, " ", e.Run, " ", l.GetLicenceKeys(), l.GetApplied().GetLicenceIds(), l.GetLicencePrice().GetAmount(), " ", l.GetApplied().GetQuantity(), " ", l.GetApplied().GetUnitPrice().GetAmount())
	if want := "seatline.invoice_line.changed.v1 run-1 [giacom/1] [501]12 5 12"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b.send("licence", "removed", "giacom/1", &licencev1.Licence{Connection: "acme", Key: "giacom/1", Instance: "halo/sim", Status: &itemv1.Status{State: itemv1.State_STATE_RETIRED}})
	b.settled()
	if e := eventtest.State(t, b.conn, "invoice-line")["acme/-1/1001"]; e.Type != "seatline.invoice_line.removed.v1" {
		t.Errorf("the line of a licence that is gone: %s", e.Type)
	}
}
