package licence

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// billed tells the licence service of a line as billing would.
func (w *world) billed(key string, change func(*invoicelinev1.Line), licences ...string) {
	w.Helper()
	fields := func() *invoicelinev1.Fields {
		return &invoicelinev1.Fields{Quantity: "5", UnitPrice: gbp("20"), UnitCost: gbp("16.6")}
	}
	l := &invoicelinev1.Line{
		Connection: "demo", Key: key, LicenceKeys: licences, Desired: fields(), Applied: fields(),
		Status: &itemv1.Status{State: itemv1.State_STATE_IN_SYNC}, MonthlyBefore: gbp("100"), MonthlyAfter: gbp("100"),
	}
	if change != nil {
		change(l)
	}
	eventtest.Send(w.TB, w.bus, event.Event{
		Type: "seatline.invoice_line.changed.v1", Entity: "invoice-line", Connection: "demo", Key: key, Revision: time.Now().UnixMicro(), Data: l,
	})
}

func gbp(amount string) *moneyv1.Money { return &moneyv1.Money{Amount: amount, Currency: "GBP"} }

// parity is every row as "key class cost billed".
func (w *world) parity(filter string) []string {
	w.Helper()
	var rows []string
	for token := ""; ; {
		page, err := w.licences.ListParity(w.Context(), &licencev1.ListParityRequest{PageSize: 3, PageToken: token, Filter: filter})
		if err != nil {
			w.Fatal(err)
		}
		for _, r := range page.GetRows() {
			rows = append(rows, strings.TrimSpace(fmt.Sprint(r.GetKey(), " ", r.GetClass(), " ", r.GetCost().GetAmount(), " ", r.GetBilled().GetAmount())))
		}
		if token = page.GetNextPageToken(); token == "" {
			return rows
		}
	}
}

// Before anything is written, every subscription stands in exactly one class, and every number is a list.
func TestParityWhileObserving(t *testing.T) {
	t.Parallel()
	there := func(id, client int64, count int64, change ...func(*halosim.Licence)) halosim.Licence {
		l := halosim.Licence{
			ID: id, Type: 1, ClientID: client, Name: "Microsoft 365", ProductSKU: "SKU1", Count: count, IsActive: true, PurchasePrice: halosim.Pounds("16.60"),
			BillingCycle: "Monthly", StartDate: halosim.On(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
		}
		for _, f := range change {
			f(&l)
		}
		return l
	}
	marked := func(key string) func(*halosim.Licence) {
		return func(l *halosim.Licence) { l.SnowID = "giacom:acct:" + key }
	}
	w := newWorld(t, halosim.Config{}, 12,
		there(501, 1, 5, marked("g/01")), // agrees
		there(502, 2, 5),                 // details: our mark is missing
		there(503, 3, 3, marked("g/03")), // counts differ
		there(504, 4, 5, marked("g/04")), // on no line
		there(505, 5, 5, marked("g/05"), func(l *halosim.Licence) { l.PurchasePrice = halosim.Pounds("15") }),
		there(506, 6, 5, marked("g/06")),   // the price of its line differs
		there(507, 7, 4, marked("g/07")),   // gone from Giacom
		there(508, 8, 5), there(509, 8, 7), // which of them?
		there(510, 1, 2, func(l *halosim.Licence) { l.ProductSKU, l.Name = "SKU9", "Visio (Active)" }),                              // nobody's, of a product that Giacom sells
		there(511, 1, 2, func(l *halosim.Licence) { l.ProductSKU, l.Name = "A", "Adobe" }),                                          // another distributor's
		there(512, 1, 2, func(l *halosim.Licence) { l.ProductSKU, l.Name, l.Distributor = "B", "Backup", "Giacom (Cloud Market)" }), // nobody's, and says whose
	)
	w.conn.Mode = connectionv1.Mode_MODE_OBSERVE
	w.conn.Licences.DeactivateRemoved = false
	w.start()
	w.connect()
	unmapped := func(s *subscriptionv1.Subscription) {
		s.State, s.HaloClientId = subscriptionv1.State_STATE_UNRESOLVED, 0
		s.Reason = &itemv1.Reason{Code: "customer_not_mapped", Text: "Its customer is not mapped."}
	}
	w.send(sub("g/01", 1, 5), sub("g/02", 2, 5), sub("g/03", 3, 4), sub("g/04", 4, 5), sub("g/05", 5, 5), sub("g/06", 6, 5), sub("g/07", 7, 4),
		sub("g/08", 8, 6), sub("g/09", 9, 1),
		sub("g/10", 10, 2, unmapped),
		sub("g/11", 11, 2, unmapped, func(s *subscriptionv1.Subscription) { s.Reason.Code = "excluded" }),
		sub("g/12", 12, 2, func(s *subscriptionv1.Subscription) { s.Giacom.PurchasePrice = nil }),
		sub("g/13", 12, 2, func(s *subscriptionv1.Subscription) { s.Giacom.AbsentSince = timestamppb.Now() }),
		sub("g/14", 2, 1, func(s *subscriptionv1.Subscription) {
			s.Giacom.Sku, s.Giacom.Name, s.State = "SKU9", "Visio", subscriptionv1.State_STATE_CLIENT_PENDING
			s.HaloClientId = 0
		}),
	)
	w.arrived(14)
	w.settle()
	w.send(sub("g/07", 7, 4, removed))
	for i, n := range []string{"01", "02", "03", "05", "07"} {
		w.billed(fmt.Sprintf("-1/%d", i), nil, "g/"+n)
	}
	w.billed("-1/9", func(l *invoicelinev1.Line) {
		l.Desired.UnitPrice, l.MonthlyAfter = gbp("25"), gbp("125")
		l.Status = &itemv1.Status{State: itemv1.State_STATE_HELD, Reason: &itemv1.Reason{Code: "observe", Text: "observes"}}
	}, "g/06")
	w.billed("add/g/04", func(l *invoicelinev1.Line) {
		l.Status = &itemv1.Status{State: itemv1.State_STATE_PARKED, Reason: &itemv1.Reason{Code: "not_billed", Text: "On no line."}}
		l.MonthlyBefore, l.MonthlyAfter = gbp("0"), gbp("0")
	}, "g/04")
	eventtest.Eventually(t, "the last line to arrive", func() bool { return slices.Contains(w.parity(""), "g/06 price 83 100") })
	want := []string{
		"g/01 agrees 83 100", "g/02 details 83 100", "g/03 count 66.4 100", "g/04 no_line 83 0", "g/05 cost 83 100", "g/06 price 83 100",
		"g/07 gone 66.4 100", "g/08 ambiguous 99.6", "g/09 no_licence 16.6", "g/10 unmapped 33.2", "g/11 excluded 33.2", "g/12 held", "g/13 waiting 33.2", "g/14 unmapped 16.6",
		"halo/510 stray", "halo/512 stray",
	}
	if diff := cmp.Diff(want, w.parity("")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	p, err := w.licences.GetParity(t.Context(), &licencev1.GetParityRequest{Connection: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	if p.GetSubscriptions() != 13 || p.GetAgree() != 2 || p.GetLicencesReadTime() == nil {
		t.Errorf("%d of %d agree, read %v", p.GetAgree(), p.GetSubscriptions(), p.GetLicencesReadTime())
	}
	total := int64(0)
	for _, c := range p.GetClasses() {
		rows := w.parity(c.GetFilter())
		if int64(len(rows)) != c.GetCount() {
			t.Errorf("%s: %d counted, and its filter %q lists %v", c.GetClass(), c.GetCount(), c.GetFilter(), rows)
		}
		total += c.GetCount()
		if c.GetClass() == "unmapped" && (len(c.GetCost()) != 1 || c.GetCost()[0].GetAmount() != "49.8" || c.GetCost()[0].GetCurrency() != "GBP") {
			t.Errorf("unmapped: %v", c)
		}
		if c.GetClass() == "price" && (c.GetBilled()[0].GetAmount() != "100" || c.GetWanted()[0].GetAmount() != "125") {
			t.Errorf("price: %v", c)
		}
	}
	if total != int64(len(want)) {
		t.Errorf("%d in classes, %d rows", total, len(want))
	}
	some, err := w.licences.GetParity(t.Context(), &licencev1.GetParityRequest{Connection: "demo", Filter: `customer_name = "Customer 2"`})
	if err != nil || some.GetSubscriptions() != 2 || len(w.parity(some.GetClasses()[13].GetFilter())) != 1 {
		t.Errorf("of one customer: %v, %v", some, err)
	}
}

// Leaving observe can begin with one customer, named by either side; a changed canary settles everything anew.
func TestCanaryLicences(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 3)
	w.conn.Canary = &connectionv1.Canary{HaloClientIds: []int64{1}}
	w.start()
	w.connect()
	w.send(sub("g/1", 1, 5), sub("g/2", 2, 6), sub("g/3", 3, 7))
	w.arrived(3)
	w.wantHalo("1 5 true giacom:acct:g/1")
	l, err := w.licences.GetLicence(t.Context(), &licencev1.GetLicenceRequest{Connection: "demo", Key: "g/2"})
	if err != nil || l.GetStatus().GetState() != itemv1.State_STATE_HELD || l.GetStatus().GetReason().GetCode() != "canary" {
		t.Errorf("%v, %v", l.GetStatus(), err)
	}
	w.conn.Canary.MexIds = []string{"m2"}
	w.connect()
	eventtest.Eventually(t, "the second customer to be written", func() bool { return len(w.sim.State().Licences) == 2 })
	w.wantHalo("1 5 true giacom:acct:g/1", "2 6 true giacom:acct:g/2")
	// Out of the canary again: what is written stays, what comes is held.
	w.conn.Canary = &connectionv1.Canary{}
	w.connect()
	w.send(sub("g/1", 1, 9))
	eventtest.Eventually(t, "the change to be held", func() bool {
		l, err := w.licences.GetLicence(t.Context(), &licencev1.GetLicenceRequest{Connection: "demo", Key: "g/1"})
		return err == nil && l.GetDesired().GetCount() == 9 && l.GetStatus().GetReason().GetCode() == "canary"
	})
	w.conn.Canary = nil
	w.connect()
	eventtest.Eventually(t, "all to be written", func() bool { return len(w.sim.State().Licences) == 3 && w.sim.State().Licences[0].Count == 9 })
}
