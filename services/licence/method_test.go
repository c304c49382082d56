package licence

import (
	"testing"
	"time"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// A customer's licences when the import method was changed: which go on under which id.
func TestAdoptionAcrossMethods(t *testing.T) {
	t.Parallel()
	seats := func(n int64) *int64 { return &n }
	held := func(id int64, owner owner, count int64, name, key string) found {
		return found{HaloID: id, ClientID: 1, Type: halo.TypeSubscription, Name: name, Active: true, MarkKnown: true, Owner: owner, OwnerKey: key,
			Fields: Fields{ClientID: 1, Count: seats(count), Active: true, Mark: "giacom:acct:" + key}}
	}
	fresh := func(key, name string, count int64) newcomer {
		return newcomer{Key: key, Mark: "giacom:acct:" + key, ClientID: 1, Name: name, SKU: "CFQ7TTC0LCHC:0002", Count: seats(count), Across: true}
	}
	const product, term = "Business Premium", "Business Premium (NCE Annual Term)"
	for name, c := range map[string]struct {
		newcomers []newcomer
		rows      []found
		adopt     map[string]int64  // by new key; 0: created
		reason    map[string]string // of those that wait
	}{
		"one, under another name": {
			[]newcomer{fresh("microsoft/a", product, 5)}, []found{held(7, ownedByFormer, 5, term, "giacom/1")},
			map[string]int64{"microsoft/a": 7}, nil,
		},
		"one, in another quantity: nobody else can be meant": {
			[]newcomer{fresh("microsoft/a", product, 6)}, []found{held(7, ownedByFormer, 5, term, "giacom/1")},
			map[string]int64{"microsoft/a": 7}, nil,
		},
		"two, told apart by their quantities": {
			[]newcomer{fresh("microsoft/a", product, 5), fresh("microsoft/b", product, 9)},
			[]found{held(7, ownedByFormer, 9, term, "giacom/1"), held(8, ownedByFormer, 5, term, "giacom/2")},
			map[string]int64{"microsoft/a": 8, "microsoft/b": 7}, nil,
		},
		"two alike: a person decides": {
			[]newcomer{fresh("microsoft/a", product, 5), fresh("microsoft/b", product, 5)},
			[]found{held(7, ownedByFormer, 5, term, "giacom/1"), held(8, ownedByFormer, 5, term, "giacom/2")},
			nil, map[string]string{"microsoft/a": "possible_duplicate", "microsoft/b": "possible_duplicate"},
		},
		"one alike and one more: what is certain goes on, the other is created": {
			[]newcomer{fresh("microsoft/a", product, 5), fresh("microsoft/b", product, 9)},
			[]found{held(7, ownedByFormer, 9, term, "giacom/1")},
			map[string]int64{"microsoft/b": 7, "microsoft/a": 0}, nil,
		},
		"the word that the former id is gone has not come": {
			[]newcomer{fresh("microsoft/a", product, 5)}, []found{held(7, ownedByLive, 5, term, "giacom/1")},
			nil, map[string]string{"microsoft/a": "possible_duplicate"},
		},
		"a live one of the same feed is another subscription": {
			[]newcomer{fresh("microsoft/a", product, 5)}, []found{held(7, ownedByLive, 5, term, "microsoft/b")},
			map[string]int64{"microsoft/a": 0}, nil,
		},
		"not to be adopted across methods": {
			[]newcomer{func() newcomer { n := fresh("microsoft/a", product, 5); n.Across = false; return n }()},
			[]found{held(7, ownedByFormer, 5, term, "giacom/1")},
			nil, map[string]string{"microsoft/a": "possible_duplicate"},
		},
		"another product": {
			[]newcomer{fresh("microsoft/a", "Business Basic", 5)}, []found{held(7, ownedByFormer, 5, term, "giacom/1")},
			map[string]int64{"microsoft/a": 0}, nil,
		},
	} {
		for key, m := range adopt(c.newcomers, c.rows) {
			if code, waits := c.reason[key]; waits || m.Verdict.State != reconcile.Pending {
				if m.Verdict.Reason.Code != code || m.Adopt != nil || len(m.Candidates) == 0 {
					t.Errorf("%s: %s is %+v, want it held for %q", name, key, m, code)
				}
				continue
			}
			var got int64
			if m.Adopt != nil {
				got = m.Adopt.HaloID
				if m.Replaces != m.Adopt.OwnerKey {
					t.Errorf("%s: %s replaces %q", name, key, m.Replaces)
				}
			}
			if got != c.adopt[key] {
				t.Errorf("%s: %s takes over %d, want %d", name, key, got, c.adopt[key])
			}
		}
	}
}

// former is what the fetcher says of a subscription that the import method chosen now does not list.
func former(s *subscriptionv1.Subscription) {
	s.State = subscriptionv1.State_STATE_REMOVED
	s.Giacom.Removal = &giacomv1.Removal{Proof: giacomv1.Removal_PROOF_METHOD}
}

// otherFeed is a subscription as the report has it.
func otherFeed(s *subscriptionv1.Subscription) {
	s.Giacom.Sku, s.Giacom.Name = "CFQ7TTC0LCHC:0002", "microsoft 365"
}

// The import method is changed and changed back: the licence stays one, whichever word comes first, and what the new
// method does not list stays as it is although removals are deactivated.
func TestALicenceGoesOnUnderTheIDOfAnotherMethod(t *testing.T) {
	t.Parallel()
	for name, newFirst := range map[string]bool{"the new id first": true, "the former id first": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, halosim.Config{}, 2)
			w.start()
			w.conn.Licences = &connectionv1.Licences{DeactivateRemoved: true}
			w.connect()
			w.send(sub("giacom/1", 1, 5), sub("giacom/2", 2, 3))
			w.wantHalo("1 5 true giacom:acct:giacom/1", "2 3 true giacom:acct:giacom/2")
			there, back := sub("microsoft/a", 1, 5, otherFeed), sub("giacom/1", 1, 5)
			gone := sub("giacom/1", 1, 5, former)
			if newFirst {
				w.send(there)
				w.send(gone, sub("giacom/2", 2, 3, former))
			} else {
				w.send(gone, sub("giacom/2", 2, 3, former))
				w.send(there)
			}
			w.wantHalo("1 5 true giacom:acct:microsoft/a", "2 3 true giacom:acct:giacom/2")
			w.wantState("giacom/1", "retired replaced")
			w.wantState("giacom/2", "held gone")
			w.wantState("microsoft/a", "in_sync")

			w.send(sub("microsoft/a", 1, 5, otherFeed, former), back, sub("giacom/2", 2, 3))
			w.wantHalo("1 5 true giacom:acct:giacom/1", "2 3 true giacom:acct:giacom/2")
			w.wantState("giacom/1", "in_sync")
			w.wantState("giacom/2", "in_sync")
			w.wantState("microsoft/a", "retired replaced")
		})
	}
}

// The import method is changed while nobody knows yet whether the licence was created under the former id: the other id
// waits until that is known, and there is one licence in the end, whatever became of the call.
func TestAMethodChangeWaitsForACreateThatIsUnclear(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]halosim.Fault{
		"the write lands":                 {Name: "cut_after"},
		"the write lands later":           {Name: "late", Delay: 1500 * time.Millisecond},
		"the write is lost":               {Name: "hang"},
		"the write is lost, no word came": {Name: "hang", Delay: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, halosim.Config{}, 1)
			silent := fault.Delay == 1
			fault.Method, fault.Route, fault.Times = "POST", "/SoftwareLicence", 1
			if err := w.sim.Inject(fault); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.connect()
			w.send(sub("giacom/1", 1, 5))
			w.unclear("giacom/1")
			if silent {
				w.send(sub("microsoft/a", 1, 5, otherFeed))
			} else {
				w.send(sub("microsoft/a", 1, 5, otherFeed), sub("giacom/1", 1, 5, former))
			}
			eventtest.Eventually(t, "a decision about the other id", func() bool {
				var n int
				err := w.pool.QueryRow(t.Context(), `select count(*) from items where key = 'microsoft/a'`).Scan(&n)
				return err == nil && n == 1
			})
			if silent {
				w.wantHalo("1 5 true giacom:acct:giacom/1")
				w.wantState("microsoft/a", "held possible_duplicate")
				return
			}
			w.wantHalo("1 5 true giacom:acct:microsoft/a")
			w.wantState("microsoft/a", "in_sync")
			if got := w.state("giacom/1"); got != "retired replaced" && got != "retired removed" {
				t.Errorf("the former id is %s", got)
			}
		})
	}
}

// What was being created when a connection was told to observe is looked up, and not sent again.
func TestNothingIsSentAgainOnceAConnectionObserves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 1)
	if err := w.sim.Inject(halosim.Fault{Name: "hang", Method: "POST", Route: "/SoftwareLicence", Times: 1}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 5))
	w.unclear("giacom/1")
	w.conn.Mode = connectionv1.Mode_MODE_OBSERVE
	w.connect()
	w.wantHalo()
	w.wantState("giacom/1", "held observe")
}

// unclear waits until nobody knows whether the licence was created.
func (w *world) unclear(key string) {
	w.Helper()
	eventtest.Eventually(w.TB, "a create whose outcome is unclear", func() bool {
		var n int
		err := w.pool.QueryRow(w.Context(), `select count(*) from work where key = $1 and unclear`, key).Scan(&n)
		return err == nil && n == 1
	})
}

// A customer was mapped anew before the method is changed. The last listing shows the licence at the former one still.
func TestALicenceThatMovedGoesOnUnderTheIDOfAnotherMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 2)
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 5))
	w.wantHalo("1 5 true giacom:acct:giacom/1")
	w.send(sub("giacom/1", 2, 5))
	w.wantHalo("2 5 true giacom:acct:giacom/1")
	w.send(sub("microsoft/a", 2, 5, otherFeed))
	w.send(sub("giacom/1", 2, 5, former))
	w.wantHalo("2 5 true giacom:acct:microsoft/a")
	w.wantState("giacom/1", "retired replaced")

	// Nor is it a candidate of a newcomer where it was.
	w.send(sub("giacom/2", 1, 5, otherFeed))
	w.wantHalo("2 5 true giacom:acct:microsoft/a", "1 5 true giacom:acct:giacom/2")
}

// A customer is mapped anew while nobody knows whether its licence was created. It is looked for where it would be, and there
// is one licence in the end, with the customer it is for now.
func TestAMappingThatMovesWaitsForACreateThatIsUnclear(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]halosim.Fault{
		"the write lands":       {Name: "cut_after"},
		"the write lands later": {Name: "late", Delay: 1500 * time.Millisecond},
		"the write is lost":     {Name: "hang"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, halosim.Config{}, 2)
			fault.Method, fault.Route, fault.Times = "POST", "/SoftwareLicence", 1
			if err := w.sim.Inject(fault); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.connect()
			w.send(sub("giacom/1", 1, 5))
			w.unclear("giacom/1")
			w.send(sub("giacom/1", 2, 5))
			eventtest.Eventually(t, "wanted for the other customer", func() bool {
				var n int
				err := w.pool.QueryRow(t.Context(), `select count(*) from items where key = 'giacom/1' and desired->>'client' = '2'`).Scan(&n)
				return err == nil && n == 1
			})
			w.wantHalo("2 5 true giacom:acct:giacom/1")
			w.wantState("giacom/1", "in_sync")
		})
	}
}

// A mapping that was wrong is put right while the connection observes, as one does before anything is written. What was to be
// taken over stays with the customer that has it, for its own subscription.
func TestAMappingPutRightWhileObservingTakesNothingAlong(t *testing.T) {
	t.Parallel()
	made := func(id, client int64) halosim.Licence {
		return halosim.Licence{ID: id, Type: 1, ClientID: client, Name: "Microsoft 365", ProductSKU: "SKU1", Count: 5, IsActive: true}
	}
	w := newWorld(t, halosim.Config{}, 4, made(11, 1), made(13, 4))
	w.conn.Mode = connectionv1.Mode_MODE_OBSERVE
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 5), sub("giacom/4", 4, 5))
	w.wantState("giacom/1", "held observe")
	w.send(sub("giacom/2", 1, 5)) // for which nothing is left
	w.wantState("giacom/2", "held observe")
	w.send(sub("giacom/1", 2, 5))
	w.wantState("giacom/1", "held observe")
	w.conn.Mode = connectionv1.Mode_MODE_AUTO
	w.connect()
	eventtest.Eventually(t, "all is written", func() bool {
		return w.state("giacom/1") == "in_sync" && w.state("giacom/2") == "in_sync" && w.state("giacom/4") == "in_sync"
	})
	w.wantHalo("1 5 true giacom:acct:giacom/2", "4 5 true giacom:acct:giacom/4", "2 5 true giacom:acct:giacom/1")
}

// A subscription comes back before its renewal has written that it takes the licence over: it has its licence again, and the
// renewal gets one of its own.
func TestWhatComesBackHasItsLicenceAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 1)
	w.start()
	w.connect()
	w.send(sub("microsoft/old", 1, 5))
	w.wantHalo("1 5 true giacom:acct:microsoft/old")
	w.conn.Mode = connectionv1.Mode_MODE_OBSERVE
	w.connect()
	w.send(sub("microsoft/old", 1, 5, removed))
	w.send(sub("microsoft/new", 1, 6))
	w.wantState("microsoft/new", "held observe")
	w.wantState("microsoft/old", "retired replaced")
	w.send(sub("microsoft/old", 1, 5))
	w.wantState("microsoft/new", "held observe")
	w.wantState("microsoft/old", "in_sync")
	w.conn.Mode = connectionv1.Mode_MODE_AUTO
	w.connect()
	eventtest.Eventually(t, "the renewal has a licence of its own", func() bool { return w.state("microsoft/new") == "in_sync" })
	w.wantHalo("1 5 true giacom:acct:microsoft/old", "1 6 true giacom:acct:microsoft/new")
}
