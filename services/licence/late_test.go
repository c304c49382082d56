package licence

import (
	"testing"
	"time"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/servicetest"
)

// A process claims a licence and stands still until another has taken it over. It does not write it any more.
func TestWhoStoodStillDoesNotWriteALicence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 1, halosim.Licence{ID: 11, Type: 1, ClientID: 1, Name: "Microsoft 365", Count: 7, IsActive: true})
	still := servicetest.Stand(t, &w.env)
	still.Once()
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 7))
	still.Wait()
	w.wantHalo("1 7 true giacom:acct:giacom/1")
	if n := w.sim.Requests()["POST /SoftwareLicence"]; n != 1 {
		t.Errorf("%d writes, want one, by whoever came after", n)
	}
}

// A licence is taken over, by a renewal or under the id of another method, while a write of its former owner is under way or
// nobody knows what became of it. The heir waits: what lands late would stand over what it writes. It gets the licence all
// the same, deactivated for nobody and not beside a second one.
func TestAnHeirWaitsForTheLastWriteOfItsPredecessor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 3)
	w.settling = 3 * time.Second
	w.start()
	w.connect()
	w.send(sub("microsoft/3", 3, 5), sub("microsoft/2", 2, 5), sub("giacom/1", 1, 5))
	w.wantHalo("1 5 true giacom:acct:giacom/1", "2 5 true giacom:acct:microsoft/2", "3 5 true giacom:acct:microsoft/3")
	// It lands later than the second try of the same write, and earlier than when that is held for settled.
	if err := w.sim.Inject(halosim.Fault{Name: "late_504", Method: "POST", Route: "/SoftwareLicence", Times: 1, Delay: 3600 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	w.sim.ResetRequests()
	w.send(sub("microsoft/3", 3, 6), sub("microsoft/2", 2, 6), sub("giacom/1", 1, 6))
	eventtest.Eventually(t, "the write", func() bool { return w.sim.Requests()["POST /SoftwareLicence"] > 0 })

	// While it is under way.
	w.send(sub("microsoft/3", 3, 6, removed))
	w.send(sub("microsoft/3/new", 3, 8))
	w.unclear("giacom/1")
	// While it is unclear, and long after the word that the former one is gone.
	w.send(sub("microsoft/2", 2, 6, removed), sub("giacom/1", 1, 6, former))
	w.eventually("to be deactivated", `select count(*) from items where key = 'microsoft/2' and desired->>'active' = 'false'`)
	w.send(sub("microsoft/2/new", 2, 8), sub("microsoft/a", 1, 8, otherFeed))

	eventtest.Eventually(t, "nothing can land any more", func() bool { return w.sim.Late() == 0 })
	w.wantHalo("1 8 true giacom:acct:microsoft/a", "2 8 true giacom:acct:microsoft/2/new", "3 8 true giacom:acct:microsoft/3/new")
	for _, old := range []string{"microsoft/3", "microsoft/2", "giacom/1"} {
		w.wantState(old, "retired replaced")
	}
}

// eventually waits until a query counts one.
func (w *world) eventually(what, sql string) {
	w.Helper()
	eventtest.Eventually(w.TB, what, func() bool {
		var n int
		err := w.pool.QueryRow(w.Context(), sql).Scan(&n)
		return err == nil && n == 1
	})
}

// Nobody knows whether an update took effect when Giacom takes it back. What Halo holds by then may not be what we know of,
// so all of ours is written anew, also where that has to be tried twice; and looked up where nothing may be written any more.
func TestAnUpdateThatIsUnclearIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 2)
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 5), sub("giacom/2", 2, 5))
	w.wantHalo("1 5 true giacom:acct:giacom/1", "2 5 true giacom:acct:giacom/2")
	if err := w.sim.Inject(halosim.Fault{Name: "cut_after", Method: "POST", Route: "/SoftwareLicence", Times: 1}); err != nil {
		t.Fatal(err)
	}
	w.send(sub("giacom/1", 1, 6), sub("giacom/2", 2, 6))
	w.unclear("giacom/1")
	if err := w.sim.Inject(halosim.Fault{Name: "error_503", Method: "POST", Route: "/auth/token", Times: 1}); err != nil {
		t.Fatal(err)
	}
	w.sim.ExpireTokens()
	w.conn.Canary = &connectionv1.Canary{HaloClientIds: []int64{1}} // and no longer the other
	w.connect()
	w.send(sub("giacom/1", 1, 5), sub("giacom/2", 2, 5))
	w.eventually("wanted as before", `select 1 from items having count(*) filter (where desired->>'count' = '5') = 2`)
	w.wantHalo("1 5 true giacom:acct:giacom/1", "2 6 true giacom:acct:giacom/2")
	w.wantState("giacom/1", "in_sync")
	w.wantState("giacom/2", "held canary")
}
