package mapper

import (
	"strings"
	"testing"

	"seatline.dev/pkg/halo/halosim"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// A customer that a person chose for one subscription may become inactive in Halo, too: the subscription waits and says
// so, until the customer is active again.
func TestAnAssignedCustomerThatIsInactiveIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Acme"}, halosim.Client{ID: 8, Name: "Eight"})
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""), subscriptionEvent("giacom/2", "A", ""))
	w.wantSubs(map[string]string{"giacom/1": "resolved 7", "giacom/2": "resolved 7"})
	if _, err := w.subscriptions.AssignSubscription(t.Context(), &subscriptionv1.AssignSubscriptionRequest{Connection: "demo", Key: "giacom/1", HaloClientId: 8}); err != nil {
		t.Fatal(err)
	}
	turn := func(inactive bool) {
		t.Helper()
		if err := w.sim.EditClient(8, func(c *halosim.Client) { c.Inactive = inactive }); err != nil {
			t.Fatal(err)
		}
		if _, err := w.mappings.RefreshMappings(t.Context(), &mappingv1.RefreshMappingsRequest{Connection: "demo"}); err != nil {
			t.Fatal(err)
		}
	}
	turn(true)
	w.wantSubs(map[string]string{"giacom/1": "unresolved 0 halo_customer_inactive", "giacom/2": "resolved 7"})
	x, err := w.subscriptions.GetSubscription(t.Context(), &subscriptionv1.GetSubscriptionRequest{Connection: "demo", Key: "giacom/1"})
	if err != nil || !x.GetAssigned() || !strings.Contains(x.GetReason().GetText(), "Customer 8 of Halo (Eight) is inactive") {
		t.Errorf("the subscription says %v (%v)", x.GetReason(), err)
	}
	w.send(subscriptionEvent("giacom/1", "A", "")) // Giacom's next word changes nothing of that
	w.wantSubs(map[string]string{"giacom/1": "unresolved 0 halo_customer_inactive", "giacom/2": "resolved 7"})
	turn(false)
	w.wantSubs(map[string]string{"giacom/1": "resolved 8", "giacom/2": "resolved 7"})
}
