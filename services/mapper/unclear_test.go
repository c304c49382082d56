package mapper

import (
	"testing"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/halo/halosim"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"

	"seatline.dev/pkg/event/eventtest"
)

// Nobody knows whether a customer was created when Giacom loses it, or a person decides otherwise. Halo is looked at all the
// same: what is there is recorded, what is not is not made, and nothing of Halo's is changed for want of knowing.
func TestACreateThatIsUnclearIsLookedUpWhateverIsWantedByThen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault string
		then  func(w *world)
		want  int
	}{
		"it landed, and Giacom lost it":         {"cut_after", (*world).lost, 1},
		"it did not land, and Giacom lost it":   {"hang", (*world).lost, 0},
		"it landed, and a person ignores it":    {"cut_after", (*world).ignored, 1},
		"it did not, and a person ignores it":   {"hang", (*world).ignored, 0},
		"it landed, and a person maps it":       {"cut_after", (*world).mapped, 1},
		"it did not land, and a person maps it": {"hang", (*world).mapped, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Harbour Dental"})
			w.conn.Customers.Create = true
			if err := w.sim.Inject(halosim.Fault{Name: c.fault, Method: "POST", Route: "/Client", Times: 1}); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.connect()
			w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""))
			eventtest.Eventually(t, "an unclear create", func() bool { return w.count(`select count(*) from work where unclear`) == 1 })
			c.then(w)
			eventtest.Eventually(t, "nothing is unclear", func() bool { return w.count(`select count(*) from work where unclear or claim <> ''`) == 0 })
			w.settle()
			if got := w.clients(); got["Acme"] != c.want || got["Harbour Dental"] != 1 || len(got) != 1+c.want {
				t.Errorf("Halo has %v, want Acme %d times and the other as it was", got, c.want)
			}
			logged := w.count(`select count(*) from changes where outcome = 'applied' and action = 'create'`)
			if logged != c.want {
				t.Errorf("the change log tells of %d created customers, want %d", logged, c.want)
			}
		})
	}
}

// lost: Giacom has the customer no longer.
func (w *world) lost() {
	customer, sub := customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", "")
	customer.Type, sub.Type = "seatline.giacom.customer.removed.v1", "seatline.giacom.subscription.removed.v1"
	w.decided(customer, sub)
}

// decided sends events and waits until the mapper has taken them in.
func (w *world) decided(events ...event.Event) {
	w.send(events...)
	eventtest.Eventually(w.TB, "taken in", func() bool {
		return w.count(`select count(*) from items where key = 'A' and desired->>'create' is distinct from 'true'`) == 1
	})
}

func (w *world) ignored() {
	_, err := w.mappings.IgnoreCustomer(w.Context(), &mappingv1.IgnoreCustomerRequest{Connection: "demo", MexId: "A", Reason: "internal"})
	if err != nil {
		w.Fatal(err)
	}
	w.decided()
}

func (w *world) mapped() {
	_, err := w.mappings.SetMapping(w.Context(), &mappingv1.SetMappingRequest{Connection: "demo", MexId: "A", HaloClientId: 7})
	if err != nil {
		w.Fatal(err)
	}
	w.decided()
}
