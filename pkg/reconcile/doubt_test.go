package reconcile_test

import (
	"testing"
	"time"

	"seatline.dev/pkg/reconcile"
)

// What somebody who is known no more may have created is looked for before anything else, and not before it has landed.
func TestWhatIsInDoubtIsLookedForFirst(t *testing.T) {
	b := setup(t, nil)
	var seen []reconcile.Item[seats]
	b.halo.script = func(items []reconcile.Item[seats], _ func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		seen = append(seen, items...)
		return []reconcile.Outcome[seats]{reconcile.Done(7, items[0].Desired)}
	}
	w := want("a", 3)
	w.Doubt = true
	b.desire(w)
	if x := b.item("a"); x.State != reconcile.Applying || !x.Unclear {
		t.Errorf("a is %+v", x)
	}
	b.step()
	if len(seen) != 0 {
		t.Fatalf("Apply was called with %+v while the call could still land", seen)
	}
	b.clock.Advance(time.Hour)
	b.step()
	if len(seen) != 1 || !seen[0].Unclear {
		t.Fatalf("Apply was given %+v, want a with its doubt", seen)
	}
	b.desire(w) // nobody doubts what is there
	if x := b.item("a"); x.State != reconcile.InSync || x.Unclear {
		t.Errorf("a is %+v", x)
	}
}
