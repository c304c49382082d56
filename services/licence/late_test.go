package licence

import (
	"testing"
	"time"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
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

// A licence is taken over, by a renewal or under the id of another method, while a write of its former owner is under way or
// nobody knows what became of it. The heir waits: what lands late would stand over what it writes. It gets the licence all
// the same, deactivated for nobody and not beside a second one.
func TestAnHeirWaitsForTheLastWriteOfItsPredecessor(t *testing.T) {
	t.Parallel()
	renewal := func(*subscriptionv1.Subscription) {}
	const lands = 3600 * time.Millisecond // later than the second try of the same write, earlier than when that is held for settled
	for name, c := range map[string]struct {
		old, heir string
		gone, new func(*subscriptionv1.Subscription)
		unclear   bool
		apart     bool // the word that the old one is gone comes long before the heir
	}{
		"a renewal, the write is under way":          {"microsoft/old", "microsoft/new", removed, renewal, false, false},
		"a renewal after the removal, it is unclear": {"microsoft/old", "microsoft/new", removed, renewal, true, true},
		"another method, the write is unclear":       {"giacom/1", "microsoft/a", former, otherFeed, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, halosim.Config{}, 1)
			w.settling = 3 * time.Second
			w.conn.Licences = &connectionv1.Licences{DeactivateRemoved: true}
			w.start()
			w.connect()
			w.send(sub(c.old, 1, 5))
			w.wantHalo("1 5 true giacom:acct:" + c.old)
			if err := w.sim.Inject(halosim.Fault{Name: "late_504", Method: "POST", Route: "/SoftwareLicence", Times: 1, Delay: lands}); err != nil {
				t.Fatal(err)
			}
			w.sim.ResetRequests()
			w.send(sub(c.old, 1, 6))
			eventtest.Eventually(t, "the write", func() bool { return w.sim.Requests()["POST /SoftwareLicence"] > 0 })
			if c.unclear {
				w.unclear(c.old)
			}
			w.send(sub(c.old, 1, 6, c.gone))
			if c.apart {
				eventtest.Eventually(t, "to be deactivated", func() bool {
					var n int
					err := w.pool.QueryRow(t.Context(), `select count(*) from items where key = $1 and desired->>'active' = 'false'`, c.old).Scan(&n)
					return err == nil && n == 1
				})
			}
			w.send(sub(c.heir, 1, 8, c.new))
			eventtest.Eventually(t, "nothing can land any more", func() bool { return w.sim.Late() == 0 })
			w.wantHalo("1 8 true giacom:acct:" + c.heir)
			w.wantState(c.old, "retired replaced")
			w.wantState(c.heir, "in_sync")
		})
	}
}

// Nobody knows whether an update took effect when Giacom takes it back. What Halo holds by then may not be what we know of,
// so all of ours is written anew, also where that comes to be tried twice; and looked up where nothing may be written any more.
func TestAnUpdateThatIsUnclearIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then  func(w *world)
		halo  string
		state string
	}{
		"written anew": {func(*world) {}, "1 5 true giacom:acct:giacom/1", "in_sync"},
		"tried twice": {func(w *world) {
			if err := w.sim.Inject(halosim.Fault{Name: "error_503", Method: "POST", Route: "/auth/token", Times: 1}); err != nil {
				w.Fatal(err)
			}
			w.sim.ExpireTokens()
		}, "1 5 true giacom:acct:giacom/1", "in_sync"},
		"looked up": {func(w *world) { w.conn.Mode = connectionv1.Mode_MODE_OBSERVE; w.connect() }, "1 6 true giacom:acct:giacom/1", "held observe"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, halosim.Config{}, 1)
			w.start()
			w.connect()
			w.send(sub("giacom/1", 1, 5))
			w.wantHalo("1 5 true giacom:acct:giacom/1")
			if err := w.sim.Inject(halosim.Fault{Name: "cut_after", Method: "POST", Route: "/SoftwareLicence", Times: 1}); err != nil {
				t.Fatal(err)
			}
			w.send(sub("giacom/1", 1, 6))
			w.unclear("giacom/1")
			c.then(w)
			w.send(sub("giacom/1", 1, 5))
			eventtest.Eventually(t, "wanted as before", func() bool {
				var n int
				err := w.pool.QueryRow(t.Context(), `select count(*) from items where key = 'giacom/1' and desired->>'count' = '5'`).Scan(&n)
				return err == nil && n == 1
			})
			w.wantHalo(c.halo)
			w.wantState("giacom/1", c.state)
		})
	}
}
