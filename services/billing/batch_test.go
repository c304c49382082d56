package billing

import (
	"strings"
	"testing"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// Invoices that are written together are decided about each as it is: what somebody changed in one by hand since it was
// stored is kept, what is gone or needs nothing costs no write.
func TestInvoicesOfOneClaimDoNotMixTheirFates(t *testing.T) {
	t.Parallel()
	const n = 12
	b := newBench(t, halosim.Config{}, estate(n))
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "10"))
	}
	b.settled()
	b.sim.ResetRequests()
	for id, change := range map[int64]func(*halosim.Invoice){
		-2: func(inv *halosim.Invoice) { inv.Lines[1].Name = "Support, as agreed by phone" },
		-3: func(inv *halosim.Invoice) { inv.Lines = inv.Lines[1:] },
		-4: func(inv *halosim.Invoice) { inv.Disabled = true },
		-5: func(inv *halosim.Invoice) { inv.Lines[0].UnitCost = halosim.Pounds("11") },
	} {
		if err := b.sim.EditInvoice(id, change); err != nil {
			t.Fatal(err)
		}
	}
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "11"))
	}
	b.settled()
	for i := int64(1); i <= n; i++ {
		inv, want := b.invoice(-i), "11"
		switch i {
		case 2:
			if inv.Lines[1].Name != "Support, as agreed by phone" {
				t.Errorf("what was changed by hand is %q", inv.Lines[1].Name)
			}
		case 3:
			if len(inv.Lines) != 1 {
				t.Errorf("a line that was deleted came back: %d lines", len(inv.Lines))
			}
			if s := b.state("-3/1003"); !strings.HasPrefix(s, "retired") {
				t.Errorf("a line that was deleted is %s", s)
			}
			continue
		case 4:
			want = "10" // nothing is billed there
		}
		if got := inv.Lines[0].UnitCost.String(); got != want {
			t.Errorf("invoice %d: cost %s, want %s", -i, got, want)
		}
	}
	// Three requests each, one for those where there is nothing to write.
	if got := b.sim.Requests(); got["POST /RecurringInvoice"] != n-3 || got["GET /RecurringInvoice/{id}"] != 2*(n-3)+3 {
		t.Errorf("requests: %v", got)
	}
}
