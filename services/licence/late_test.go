package licence

import (
	"testing"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/services/servicetest"
)

// A process claims a licence and stands still until another has taken it over. It neither creates nor updates it any more.
func TestWhoStoodStillDoesNotWriteALicence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 1)
	still := servicetest.Stand(t, &w.env)
	w.start()
	w.connect()
	for i, seats := range []int{5, 7} {
		still.Once()
		w.send(sub("giacom/1", 1, seats))
		still.Wait()
		w.settle()
		if n := w.sim.Requests()["POST /SoftwareLicence"]; n != i+1 {
			t.Errorf("%d writes for %d seats, want one more, by whoever came after", n, seats)
		}
	}
	w.wantHalo("1 7 true giacom:acct:giacom/1")
}
