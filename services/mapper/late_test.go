package mapper

import (
	"testing"

	"seatline.dev/pkg/halo/halosim"
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
