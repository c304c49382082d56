package licence

import (
	"fmt"
	"strings"
	"testing"

	"seatline.dev/pkg/halo/halosim"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// A customer is made inactive, or deleted, between two listings, and Halo refuses its licences: that is what people are told,
// with what to do, and not what Halo said of a row.
func TestALicenceRefusedForItsCustomerSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 3)
	otherSKU := func(s *subscriptionv1.Subscription) { s.Giacom.Sku, s.Giacom.Name = "SKU2", "Visio" }
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 5), sub("giacom/2", 2, 5))
	w.wantHalo("1 5 true giacom:acct:giacom/1", "2 5 true giacom:acct:giacom/2")
	if err := w.sim.EditClient(2, func(c *halosim.Client) { c.Inactive = true }); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{fmt.Sprint(w.sim.State().Licences[1].ID), "giacom/2b", "giacom/3"} {
		if err := w.sim.Inject(halosim.Fault{Name: "bad_row", Method: "POST", Route: "/SoftwareLicence", Match: row}); err != nil {
			t.Fatal(err)
		}
	}
	w.send(sub("giacom/1", 1, 6), sub("giacom/2", 2, 6), sub("giacom/2b", 2, 1, otherSKU), sub("giacom/3", 3, 1))
	w.wantState("giacom/1", "in_sync")
	w.wantState("giacom/2", "failed halo_customer_inactive")
	w.wantState("giacom/2b", "failed halo_customer_inactive")
	w.wantState("giacom/3", "failed refused") // nothing is wrong with its customer
	plain, err := w.licences.GetLicence(t.Context(), &licencev1.GetLicenceRequest{Connection: "demo", Key: "giacom/3"})
	if text := plain.GetStatus().GetReason().GetText(); err != nil || text != "Halo refused it: This record is refused by the simulator. Correct the cause, then retry." {
		t.Errorf("people are told %q (%v)", text, err)
	}
	l, err := w.licences.GetLicence(t.Context(), &licencev1.GetLicenceRequest{Connection: "demo", Key: "giacom/2"})
	if text := l.GetStatus().GetReason().GetText(); err != nil || !strings.Contains(text, "customer 2 of Halo (Customer 2) is inactive") || !strings.Contains(text, "Activate it there, or map") {
		t.Errorf("people are told %q (%v)", text, err)
	}
	if n := w.sim.Requests()["GET /Client/{id}"]; n != 2 {
		t.Errorf("Halo was asked about customers %d times, want once each", n)
	}
	if err := w.sim.EditClient(2, func(c *halosim.Client) { c.Inactive = false }); err != nil {
		t.Fatal(err)
	}
	w.sim.Clear("")
	if _, err := w.licences.RetryLicence(t.Context(), &licencev1.GetLicenceRequest{Connection: "demo", Key: "giacom/2"}); err != nil {
		t.Fatal(err)
	}
	w.wantState("giacom/2", "in_sync")
}
