package billing

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/postgres/postgrestest"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

func TestTwoReplicasWriteEachInvoiceOnce(t *testing.T) {
	t.Parallel()
	const n = 40
	b := newBench(t, halosim.Config{}, estate(n))
	b.start()
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "10"))
	}
	b.settled()
	b.sim.ResetRequests()
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "11"))
	}
	b.settled()
	if got := b.sim.Requests()["POST /RecurringInvoice"]; got != n {
		t.Errorf("%d writes, want %d: one each", got, n)
	}
	for i := 1; i <= n; i++ {
		if got := b.invoice(int64(-i)); got.Lines[0].UnitCost.String() != "11" || got.ChangeSeq != 4 {
			t.Errorf("invoice %d: cost %s, change_seq %d", -i, got.Lines[0].UnitCost, got.ChangeSeq)
		}
	}
}

func TestAReplicaThatStopsMidwayLosesNothing(t *testing.T) {
	t.Parallel()
	const n = 30
	b := newBench(t, halosim.Config{Latency: 10 * time.Millisecond}, estate(n))
	b.start()
	stop := b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "11"))
	}
	eventtest.Eventually(t, "the first writes", func() bool { return b.sim.Requests()["POST /RecurringInvoice"] > 3 })
	stop()
	b.settled()
	for i := 1; i <= n; i++ {
		if got := b.invoice(int64(-i)).Lines[0].UnitCost.String(); got != "11" {
			t.Errorf("invoice %d: cost %s", -i, got)
		}
	}
}

func TestADatabaseMadeAnewAddsNothingTwice(t *testing.T) {
	t.Parallel()
	st := estate(3)
	st.Items[0].SupplierPartCode = "SKU-1"
	st.Invoices[0].Lines = st.Invoices[0].Lines[1:]
	b := newBench(t, halosim.Config{}, st)
	stop := b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(2, 2, 5, "11"))
	b.licence(aLicenceEvent(3, 3, 5, "10"))
	b.settled()
	add := keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{} })
	b.rules(add)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	if got := len(b.invoice(-1).Lines); got != 2 {
		t.Fatalf("%d lines, want the added one and the other", got)
	}
	stop()
	b.sim.ResetRequests()
	b.pool, b.rpc = postgrestest.New(t), nil
	b.config.Pool = b.pool
	b.start()
	b.settled()
	if got := b.sim.Requests()["POST /RecurringInvoice"]; got != 0 {
		t.Errorf("%d writes after the loss of the database, want none", got)
	}
	if got := len(b.lines()); got != 3 {
		t.Errorf("%d lines, want 3", got)
	}
}

// Price rules are told like everything else, so an empty database, or an older one, has them again before anything is
// decided: without them lines would bill other quantities for a while.
func TestPriceRulesOutliveTheDatabase(t *testing.T) {
	t.Parallel()
	st := estate(1)
	st.Invoices[0].Lines[0] = halosim.Line{ID: 1001, ItemID: 77, Name: "product 1", Quantity: halosim.Pounds("12"), UnitCost: halosim.Pounds("10"), UnitPrice: halosim.Pounds("12")}
	b := newBench(t, halosim.Config{}, st)
	stop := b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	b.rules(keep("old"))
	included := keep("new", func(r *pricingv1.PriceRule) { r.IncludedQuantity = proto.Int64(2) })
	b.rules(included)
	b.settled()
	if q := b.invoice(-1).Lines[0].Quantity.String(); q != "3" {
		t.Fatalf("with two included the line bills %s", q)
	}
	rules := pricingv1.NewPricingServiceClient(b.rpc)
	was, err := rules.GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	b.sim.ResetRequests()
	b.pool, b.rpc = postgrestest.New(t), nil
	b.config.Pool = b.pool
	b.start()
	b.settled()
	is, err := pricingv1.NewPricingServiceClient(b.rpc).GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"})
	if err != nil || !proto.Equal(was, is) {
		t.Errorf("the rules are %v, want %v (%v)", is, was, err)
	}
	if got := b.sim.Requests()["POST /RecurringInvoice"]; got != 0 {
		t.Errorf("%d writes after the loss of the database, want none", got)
	}
	b.licence(aLicenceEvent(1, 1, 9, "10"))
	b.settled()
	if q := b.invoice(-1).Lines[0].Quantity.String(); q != "7" {
		t.Errorf("with two of nine included the line bills %s", q)
	}
	b.rules(keep("newer")) // revisions go on from there
	again, err := pricingv1.NewPricingServiceClient(b.rpc).GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"})
	if err != nil || again.GetRules()[0].GetName() != "newer" {
		t.Errorf("then the rules are %v (%v)", again, err)
	}
}

func TestALineEditedByHandIsSeenAndSetRight(t *testing.T) {
	t.Parallel()
	b := newBench(t, halosim.Config{}, estate(1))
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	if err := b.sim.EditInvoice(-1, func(i *halosim.Invoice) { i.Lines[0].UnitCost = halosim.Pounds("1") }); err != nil {
		t.Fatal(err)
	}
	resp, err := invoicelinev1.NewLineServiceClient(b.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"})
	if err != nil || resp.GetInvoices() != 1 || resp.GetLines() != 2 {
		t.Fatalf("refresh: %v, %v", resp, err)
	}
	b.settled()
	if got := b.invoice(-1).Lines[0].UnitCost.String(); got != "10" {
		t.Errorf("cost %s, want 10 again", got)
	}
	changes, err := opsv1.NewOpsServiceClient(b.rpc).ListChanges(t.Context(), &opsv1.ListChangesRequest{Connection: "acme", Filter: `outcome = "drifted"`})
	if err != nil || len(changes.GetChanges()) != 1 {
		t.Errorf("the change by hand in the log: %v, %v", changes, err)
	}
}
