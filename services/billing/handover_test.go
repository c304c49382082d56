package billing

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// meanwhile is a way to Halo on which something happens once while an invoice is being posted.
type meanwhile struct {
	once sync.Once
	then func()
}

func (m *meanwhile) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/RecurringInvoice") {
		m.once.Do(m.then)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// A line is added to the invoice of another customer, and while that is written its licence changes and is decided about. The
// writer knows nothing of that, and its word is not the last.
func TestWhatChangesWhileALineIsAddedIsNotLost(t *testing.T) {
	t.Parallel()
	st := estate(2)
	st.Items[0].SupplierPartCode = "SKU-1"
	st.Invoices[0].Lines = st.Invoices[0].Lines[1:]
	m := &meanwhile{}
	b := newBench(t, halosim.Config{}, st, func(c *Config) { c.Transport = m })
	m.then = func() {
		b.licence(aLicenceEvent(1, 1, 5, "11"))
		eventtest.Eventually(t, "the decision", func() bool {
			var cost string
			err := b.pool.QueryRow(t.Context(), `select desired->>'cost' from items where key = 'add/giacom/1'`).Scan(&cost)
			return err == nil && cost == "11"
		})
	}
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.settled()
	b.rules(keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{InvoiceId: -2} }))
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	added := b.invoice(-2).Lines[2]
	if got := added.UnitCost.String(); got != "11" {
		t.Errorf("the added line costs %s, want 11", got)
	}
	if s := b.state(lineKey(-2, added.ID)); s != "in_sync" {
		t.Errorf("the line is %s", s)
	}
}

// Adding lines to an invoice that nothing else happens to takes one decision, not one before and one after.
func TestAnAddedLineIsDecidedAboutOnce(t *testing.T) {
	t.Parallel()
	st := estate(1)
	st.Items[0].SupplierPartCode = "SKU-1"
	st.Invoices[0].Lines = st.Invoices[0].Lines[1:]
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.settled()
	b.rules(keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{} }))
	b.settled()
	queued := func() (n int) {
		if err := b.pool.QueryRow(t.Context(), `select coalesce(pg_sequence_last_value(pg_get_serial_sequence('dirty', 'id')::regclass), 0)`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := queued()
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	if len(b.invoice(-1).Lines) != 2 {
		t.Fatal("no line was added")
	}
	if n := queued() - before; n != 1 {
		t.Errorf("the customer was queued %d times", n)
	}
}
