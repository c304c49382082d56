package halosim_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/halo/halosim"
)

// TestClientUnderstandsIt runs the real client against the simulator: what one writes the other must read, whatever the
// options, and what the client probes must be what is configured.
func TestClientUnderstandsIt(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  halosim.Config
		want halo.Capabilities
	}{
		"kind":  {halosim.Config{}, halo.Capabilities{ListMarks: halo.Yes, WholeInvoices: halo.Yes}},
		"stern": {halosim.Config{NoListMarks: true, MaxPageSize: 20, InvoiceLines: halosim.LinesAbsent, ReplyLast: true}, halo.Capabilities{ListMarks: halo.No, WholeInvoices: halo.No, PageSize: 20}},
		"thin":  {halosim.Config{InvoiceLines: halosim.LinesThin}, halo.Capabilities{ListMarks: halo.Yes, WholeInvoices: halo.No}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			sim := halosim.New(c.cfg)
			client := sim.AddClient(halosim.Client{Name: "Acme Ltd"})
			srv := httptest.NewServer(sim)
			defer srv.Close()
			bucket, err := bustest.New(t).JS.KeyValue(ctx, bus.BudgetBucket)
			if err != nil {
				t.Fatal(err)
			}
			h, err := halo.New(halo.Config{
				Agent: "seatline-test/v1", BaseURL: srv.URL, Credentials: halo.Credentials{ClientID: "sim-client", Secret: "sim-secret", Tenant: "sim"},
				Budget: halo.NewBudget(halo.BudgetConfig{Bucket: bucket, Key: "sim", Limit: 10_000}), Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			var rows []halo.LicenceWrite
			for range 50 {
				count := halo.Int(3)
				rows = append(rows, halo.LicenceWrite{ClientID: client, Name: "Premium", Count: &count, Mark: "giacom:demo:microsoft/1"})
			}
			if _, err := h.PostLicences(ctx, rows); err != nil {
				t.Fatal(err)
			}
			id := sim.AddInvoice(halosim.Invoice{ClientID: client, Period: 2, Lines: []halosim.Line{{Name: "Support", UnitPrice: halosim.Pounds("50"), Extra: halosim.Extra{"xero_tax_code": []byte(`"A"`)}}}})
			caps, err := h.Probe(ctx, halo.Capabilities{})
			if err != nil || caps != c.want {
				t.Errorf("probed %+v, %v, want %+v", caps, err, c.want)
			}
			n := 0
			for _, err := range h.With(caps).Licences(ctx, halo.LicenceFilter{Inactive: true}) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if n != 50 {
				t.Errorf("%d licences listed", n)
			}
			inv, err := h.Invoice(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.PostInvoice(ctx, inv); err != nil {
				t.Fatal(err)
			}
			if got := sim.State().Invoices[0]; len(got.Lines) != 1 || string(got.Lines[0].Extra["xero_tax_code"]) != `"A"` || got.ChangeSeq != 1 {
				t.Errorf("after a rewrite %+v", got)
			}
			if by := sim.RequestsBy(); len(by) != 1 || by["seatline-test"]["POST /auth/token"] != 1 || by["seatline-test"]["POST /SoftwareLicence"] != 1 {
				t.Errorf("asked by %v, want all by seatline-test", by)
			}
		})
	}
}
