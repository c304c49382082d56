package billing

import (
	"strings"
	"testing"
	"time"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// Two licences of one product are created, one of them later: a line that may be meant for either is neither's meanwhile.
func TestALicenceThatIsBeingCreatedIsNotTakenForAbsent(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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

// An addition that is done at once leaves nothing but its line, and the line's page says how it came about.
func TestAnAdditionBecomesItsLine(t *testing.T) {
	t.Parallel()
	st := estate(1)
	st.Invoices[0].Lines = st.Invoices[0].Lines[1:]
	st.Items[0].SupplierPartCode = "SKU-1"
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.settled()
	b.rules(keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{} }))
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	key := lineKey(-1, b.invoice(-1).Lines[1].ID)
	if s := b.state(key); s != "in_sync" || len(b.lines()) != 1 {
		t.Errorf("the line is %s, among %d", s, len(b.lines()))
	}
	var told, left int
	err := b.pool.QueryRow(t.Context(), `select (select count(*) from history where entity = 'invoice-line'), (select count(*) from items where key <> $1)`, key).Scan(&told, &left)
	if err != nil || told != 1 || left != 0 {
		t.Errorf("told %d times of it, %d other items are left: %v", told, left, err)
	}
	changes, err := opsv1.NewOpsServiceClient(b.rpc).ListChanges(t.Context(), &opsv1.ListChangesRequest{Connection: "acme"})
	if err != nil || len(changes.GetChanges()) != 1 {
		t.Fatalf("%v, %v", changes.GetChanges(), err)
	}
	if c := changes.GetChanges()[0]; c.GetKey() != key || c.GetAction() != "add" || c.GetOutcome() != "applied" || c.GetMonthlyAfter().GetAmount() != "65" {
		t.Errorf("the change is %v", c)
	}
}

func TestNothingIsAddedTwice(t *testing.T) {
	t.Parallel()
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
