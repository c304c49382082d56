package billing

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
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
	t.Parallel()
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

func TestEachInvoiceIsReadByItselfWhereListsAreNotWhole(t *testing.T) {
	t.Parallel()
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
