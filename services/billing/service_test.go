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
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

func TestAtScaleACostChangeOn150InvoicesCosts460Requests(t *testing.T) {
	const n = 150
	b := newBench(t, halosim.Config{}, estate(n))
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "10"))
	}
	b.settled()
	if got := len(b.lines()); got != n {
		t.Fatalf("%d lines, want %d", got, n)
	}
	reading := b.requests()
	t.Logf("first reading: %v", b.sim.Requests())
	b.sim.ResetRequests()
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "11.5"))
	}
	b.settled()
	for i := 1; i <= n; i++ {
		if got := b.invoice(int64(-i)).Lines[0].UnitCost.String(); got != "11.5" {
			t.Fatalf("cost of line %d is %s, want 11.5", i, got)
		}
	}
	t.Logf("the change: %v", b.sim.Requests())
	if got := b.requests() + reading; got > 460 {
		t.Errorf("%d requests in all, want at most 460", got)
	}
	b.sim.ResetRequests()
	for i := 1; i <= n; i++ { // an unchanged poll, and a changed count
		b.licence(aLicenceEvent(i, int64(i), int64(5+i%2), "11.5"))
	}
	b.settled()
	if got := b.requests(); got != 0 {
		t.Errorf("%d requests for counts that Halo computes itself, want none", got)
	}
}

func TestSeveralLinesOfOneInvoiceAreOneWrite(t *testing.T) {
	st := estate(1)
	for i := 2; i <= 6; i++ {
		st.Licences = append(st.Licences, simLicence(i, 1, 5, "10"))
		st.Invoices[0].Lines = append(st.Invoices[0].Lines, simLinked(int64(1000+i), i, "10", "12"))
	}
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= 6; i++ {
		b.licence(aLicenceEvent(i, 1, 5, "10"))
	}
	b.settled()
	b.sim.ResetRequests()
	before := b.invoice(-1)
	b.rules(costPlus("all", "50"))
	b.settled()
	after := b.invoice(-1)
	if d := cmp.Diff(map[string]int{"GET /RecurringInvoice/{id}": 2, "POST /RecurringInvoice": 1}, b.sim.Requests()); d != "" {
		t.Error(d)
	}
	for i := range after.Lines {
		want := before.Lines[i]
		if want.QuantityType == 4 {
			want.UnitPrice = halosim.Pounds("15")
		}
		if d := cmp.Diff(want, after.Lines[i]); d != "" {
			t.Errorf("line %d, apart from our price:\n%s", want.ID, d)
		}
	}
}

func TestObserveShowsWhatAutoDoes(t *testing.T) {
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

// Two licences of one product are created, one of them later: a line that may be meant for either is neither's meanwhile.
func TestALicenceThatIsBeingCreatedIsNotTakenForAbsent(t *testing.T) {
	st := estate(1)
	st.Invoices[0].Lines[0] = halosim.Line{ID: 1001, ItemID: 77, Name: "product 1", Quantity: halosim.Pounds("12"), UnitCost: halosim.Pounds("10"), UnitPrice: halosim.Pounds("12")}
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	late := func(change func(*licencev1.Licence)) *licencev1.Licence {
		l := aLicenceEvent(2, 1, 7, "10")
		l.Subscription.Giacom.Name, l.Subscription.Giacom.Sku = "Product 1", "SKU-1"
		change(l)
		return l
	}
	b.licence(late(func(l *licencev1.Licence) {
		l.Applied, l.Status = nil, &itemv1.Status{State: itemv1.State_STATE_PENDING}
	}))
	b.settled()
	if lines := b.lines(); len(lines) != 0 {
		t.Errorf("decided about %v before the licence is there", lines)
	}
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	if s := b.state("add/giacom/1"); s != "parked not_billed" {
		t.Errorf("the first is %s, want parked not_billed", s)
	}
	b.licence(late(func(*licencev1.Licence) {}))
	b.settled()
	if s := b.state("add/giacom/2"); s != "parked not_billed" {
		t.Errorf("the second is %s, want parked not_billed", s)
	}
	if q := b.invoice(-1).Lines[0].Quantity.String(); q != "12" {
		t.Errorf("the line bills %s seats, want the 12 that a person set", q)
	}
}

// A licence that waits for a person, because Halo may have it already, may be the one that a line stands for.
func TestALineIsNotGivenAwayBesideAPossibleDuplicate(t *testing.T) {
	st := estate(1)
	st.Invoices[0].Lines[0] = halosim.Line{ID: 1001, ItemID: 77, Name: "product 1", Quantity: halosim.Pounds("12"), UnitCost: halosim.Pounds("10"), UnitPrice: halosim.Pounds("12")}
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	other := func(status *itemv1.Status) *licencev1.Licence {
		l := aLicenceEvent(2, 1, 7, "10")
		l.Subscription.Giacom.Name, l.Subscription.Giacom.Sku = "Product 1", "SKU-1"
		l.Applied, l.Status, l.Candidates = nil, status, []*licencev1.Candidate{{HaloId: 999, Count: 9}}
		return l
	}
	held := &itemv1.Status{State: itemv1.State_STATE_HELD, Reason: &itemv1.Reason{Code: "possible_duplicate"}}
	b.licence(other(held))
	b.settled()
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	if s := b.state("add/giacom/1"); s != "parked not_billed" {
		t.Errorf("the first is %s, want parked not_billed", s)
	}
	if q := b.invoice(-1).Lines[0].Quantity.String(); q != "12" {
		t.Errorf("the line bills %s seats, want the 12 that a person set", q)
	}
	b.licence(other(&itemv1.Status{State: itemv1.State_STATE_RETIRED}))
	b.settled()
	if q := b.invoice(-1).Lines[0].Quantity.String(); q != "5" {
		t.Errorf("without the doubt the line bills %s seats, want 5", q)
	}
	b.licence(other(held)) // the pair is known by now
	b.settled()
	if s := b.state("-1/1001"); s != "in_sync" {
		t.Errorf("the known pair is %s", s)
	}
}

// What was planned while a connection observes is not taken back when it begins to write.
func TestALinePlannedForALicenceStaysPlannedWhileThatIsCreated(t *testing.T) {
	st := estate(1)
	st.Invoices[0].Lines = st.Invoices[0].Lines[1:]
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.settled()
	b.rules(keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{} }))
	for _, status := range []*itemv1.Status{
		{State: itemv1.State_STATE_HELD, Reason: &itemv1.Reason{Code: reconcile.ReasonObserve.Code}},
		{State: itemv1.State_STATE_PENDING},
		{State: itemv1.State_STATE_APPLYING},
		{State: itemv1.State_STATE_FAILED, Reason: &itemv1.Reason{Code: "refused"}},
	} {
		l := aLicenceEvent(1, 1, 5, "10")
		l.Applied, l.Status = nil, status
		b.licence(l)
		b.settled()
		if s := b.state("add/giacom/1"); !strings.HasPrefix(s, "held") && !strings.HasPrefix(s, "parked") {
			t.Errorf("with its licence %s the addition is %s", status.GetState(), s)
		}
	}
}

func TestNothingIsAddedTwice(t *testing.T) {
	for _, fault := range []halosim.Fault{
		{Name: "cut_after", Times: 1}, {Name: "error_after", Times: 1}, {Name: "late", Delay: 200 * time.Millisecond, Times: 1},
		{Name: "late_504", Delay: 200 * time.Millisecond, Times: 1}, {Name: "hang", Times: 1}, {Name: "reset", Times: 2},
		{Name: "error_503", Times: 2}, {Name: "throttle", Times: 2, RetryAfter: 1}, {Name: "stale", Times: 1}, {Name: "empty_reply", Times: 1},
	} {
		t.Run(fault.Name, func(t *testing.T) {
			t.Parallel()
			st := estate(2)
			st.Items[0].SupplierPartCode = "SKU-1"
			st.Invoices[0].Lines = st.Invoices[0].Lines[1:]
			st.Invoices[1].Lines[0].UnitCost = halosim.Pounds("9")
			b := newBench(t, halosim.Config{}, st, func(c *Config) { c.Timeout = time.Second; c.Settle = 800 * time.Millisecond })
			fault.Method, fault.Route = "POST", "/RecurringInvoice"
			if err := b.sim.Inject(fault); err != nil {
				t.Fatal(err)
			}
			b.start()
			b.connection(connectionv1.Mode_MODE_AUTO)
			eventtest.Eventually(t, "the connection", func() bool {
				_, err := pricingv1.NewPricingServiceClient(b.rpc).GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"})
				return err == nil
			})
			b.rules(keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{} }))
			b.licence(aLicenceEvent(1, 1, 5, "10"))
			b.licence(aLicenceEvent(2, 2, 5, "10"))
			b.settled()
			time.Sleep(300 * time.Millisecond) // whatever may still land
			b.settled()
			links := 0
			for _, l := range b.invoice(-1).Lines {
				for _, r := range l.Subscriptions {
					if r.LicenceID == 501 {
						links++
					}
				}
			}
			if links != 1 {
				t.Errorf("the licence is linked %d times, want once", links)
			}
			if got := b.invoice(-2).Lines[0].UnitCost.String(); got != "10" {
				t.Errorf("cost %s, want 10", got)
			}
			for key, l := range b.lines() {
				if l.GetStatus().GetState() != itemv1.State_STATE_IN_SYNC {
					t.Errorf("line %s is %s", key, b.state(key))
				}
			}
		})
	}
}

func TestOneRefusedLineDoesNotHoldUpItsInvoice(t *testing.T) {
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
}

func TestLostLinesAreAnAlarm(t *testing.T) {
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
	if _, err := b.pool.Exec(t.Context(), `update items set ready_at = now() where reason_code = 'invoice_run'`); err != nil {
		t.Fatal(err)
	}
	if _, err := invoicelinev1.NewLineServiceClient(b.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(t.Context(), `update items set ready_at = now() where reason_code = 'invoice_run'`); err != nil {
		t.Fatal(err)
	}
	b.settled()
	if got := b.invoice(-1).Lines[0].UnitCost.String(); got != "11" {
		t.Errorf("cost %s after the run, want 11", got)
	}
}

func TestPriceRulesOverGRPC(t *testing.T) {
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
	got := fmt.Sprint(e.Type, " ", e.Run, " ", l.GetLicenceKeys(), l.GetApplied().GetLicenceIds(), l.GetLicencePrice().GetAmount(), " ", l.GetApplied().GetQuantity(), " ", l.GetObserved().GetUnitPrice().GetAmount())
	if want := "seatline.invoice_line.changed.v1 run-1 [giacom/1] [501]12 5 12"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b.send("licence", "removed", "giacom/1", &licencev1.Licence{Connection: "acme", Key: "giacom/1", Instance: "halo/sim", Status: &itemv1.Status{State: itemv1.State_STATE_RETIRED}})
	b.settled()
	if e := eventtest.State(t, b.conn, "invoice-line")["acme/-1/1001"]; e.Type != "seatline.invoice_line.removed.v1" {
		t.Errorf("the line of a licence that is gone: %s", e.Type)
	}
}

func TestEachInvoiceIsReadByItselfWhereListsAreNotWhole(t *testing.T) {
	b := newBench(t, halosim.Config{InvoiceLines: halosim.LinesThin}, estate(3))
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO, func(c *connectionv1.Connection) { c.Halo.Capabilities = nil })
	for i := 1; i <= 3; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "10"))
	}
	b.settled()
	if got := b.sim.Requests()["GET /RecurringInvoice/{id}"]; got != 3 {
		t.Errorf("%d invoices read, want 3", got)
	}
	if got := len(b.lines()); got != 3 {
		t.Errorf("%d lines, want 3", got)
	}
}
