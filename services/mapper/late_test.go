package mapper

import (
	"testing"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/servicetest"
)

// A process claims a customer and stands still until another has taken it over. It neither creates nor renames it any more.
func TestWhoStoodStillDoesNotWriteACustomer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	w.conn.Customers.Create = true
	still := servicetest.Stand(t, &w.env)
	w.start()
	w.connect()
	for i, name := range []string{"Acme", "Acme Group"} {
		still.Once()
		w.send(customerEvent("A", name), subscriptionEvent("giacom/1", "A", ""))
		still.Wait()
		w.settle()
		if n := w.sim.Requests()["POST /Client"]; n != i+1 || w.clients()[name] != 1 {
			t.Errorf("%d writes, Halo has %v; want one more for %s, by whoever came after", n, w.clients(), name)
		}
	}
}

// Nobody knows whether a customer was renamed when its connection is told to observe. Halo is read then, and not written again.
func TestANameThatMayHaveBeenWrittenIsReadOnceItMayNotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	w.conn.Customers.Create = true
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""))
	w.settle()
	if err := w.sim.Inject(halosim.Fault{Name: "cut_after", Method: "POST", Route: "/Client", Times: 1}); err != nil {
		t.Fatal(err)
	}
	w.send(customerEvent("A", "Acme Group"))
	eventtest.Eventually(t, "a rename that is unclear", func() bool { return w.count(`select count(*) from work where unclear`) == 1 })
	w.conn.Mode = connectionv1.Mode_MODE_OBSERVE
	w.connect()
	w.sim.ResetRequests()
	w.send(customerEvent("A", "Acme Holdings"))
	eventtest.Eventually(t, "another name is wanted", func() bool {
		return w.count(`select count(*) from items where desired->>'name' = 'Acme Holdings'`) == 1
	})
	w.settle()
	if n := w.sim.Requests()["POST /Client"]; n != 0 || w.clients()["Acme Group"] != 1 {
		t.Errorf("%d writes while observing, Halo has %v", n, w.clients())
	}
	if n := w.count(`select count(*) from items where state = 5 and reason_code = 'observe' and applied->>'name' = 'Acme Group'`); n != 1 {
		t.Error("what Halo holds, and that it is held for the mode, is not known")
	}
}
