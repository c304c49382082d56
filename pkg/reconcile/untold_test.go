package reconcile_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/reconcile"
)

func (b *bench) told(key string) int {
	b.Helper()
	return b.count(`select count(*) from history where entity = 'seats' and key = '` + key + `'`)
}

func telling(c *reconcile.Config[seats]) { c.TellAfter = 5 * time.Second }

func (b *bench) tell() int {
	b.Helper()
	n, err := b.engine.Tell(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func TestWhatIsDoneAtOnceIsToldOnce(t *testing.T) {
	b := setup(t, telling)
	b.desire(want("a", 3))
	if n := b.told("a"); n != 0 {
		t.Errorf("told %d times of what is about to be written", n)
	}
	b.step()
	if n := b.told("a"); n != 1 {
		t.Errorf("told %d times, want once: that it is in sync", n)
	}
	b.clock.Advance(time.Minute)
	if n := b.tell(); n != 0 {
		t.Errorf("%d items told of again", n)
	}
}

func TestWhatStillWaitsIsTold(t *testing.T) {
	b := setup(t, telling)
	b.desire(want("a", 3))
	if n := b.tell(); n != 0 {
		t.Errorf("%d items told of at once", n)
	}
	b.clock.Advance(5 * time.Second)
	if n := b.tell(); n != 1 || b.told("a") != 1 {
		t.Errorf("told of %d items, of a %d times", n, b.told("a"))
	}
	if x := b.item("a"); x.State != reconcile.Pending || x.Revision == 0 {
		t.Errorf("a is %+v", x)
	}
	if n := b.tell(); n != 0 {
		t.Errorf("%d items told of again", n)
	}
}

// Whatever keeps an item from being written is told at once.
func TestWhatDoesNotGoOnIsToldAtOnce(t *testing.T) {
	for name, outcome := range map[string]reconcile.Outcome[seats]{
		"refused": reconcile.Refused[seats]("refused", "Halo says no."), "held": reconcile.HoldFor[seats]("held", "Ask somebody."),
		"unclear": reconcile.Unclear[seats]("unclear", "It may have landed."), "tried again": reconcile.Retry[seats](time.Second, "busy", "Later."),
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, telling)
			b.halo.script = func(items []reconcile.Item[seats], _ func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
				return []reconcile.Outcome[seats]{outcome}
			}
			b.desire(want("a", 3))
			b.step()
			if n := b.told("a"); n != 1 {
				t.Errorf("told %d times", n)
			}
		})
	}
	b := setup(t, telling)
	held := want("b", 3)
	held.Verdict = reconcile.Hold("rule", "A rule holds it.")
	b.desire(held)
	if n := b.told("b"); n != 1 {
		t.Errorf("told %d times of what a rule holds", n)
	}
}

// An item that ends in favour of another leaves nothing behind where nobody was told of it; else it is told that it ended.
func TestAnItemEndsInFavourOfAnother(t *testing.T) {
	for name, told := range map[string]bool{"untold": false, "told": true} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, telling)
			b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
				heir := want("line", 3)
				heir.HaloID, heir.Applied = 7, &seats{3}
				return []reconcile.Outcome[seats]{reconcile.Ended(7, &seats{3}, "billed", "It is a line now.").InFavourOf(heir)}
			}
			b.desire(want("add", 3))
			if told {
				b.clock.Advance(5 * time.Second)
				b.tell()
			}
			b.step()
			if x := b.item("line"); x.State != reconcile.InSync || x.HaloID != 7 || b.told("line") != 1 {
				t.Errorf("the heir is %+v, told %d times", x, b.told("line"))
			}
			if told {
				if x := b.item("add"); x.State != reconcile.Retired || x.Reason.Code != "billed" || b.told("add") != 2 {
					t.Errorf("the addition is %+v, told %d times", x, b.told("add"))
				}
			} else if n := b.count(`select count(*) from items where key = 'add'`) + b.told("add"); n != 0 {
				t.Errorf("the addition left %d traces", n)
			}
			if n := b.count(`select count(*) from work`); n != 0 {
				t.Errorf("%d items to be written", n)
			}
			var key, action, outcome string
			if err := b.pool.QueryRow(b.ctx, `select key, action, outcome from changes`).Scan(&key, &action, &outcome); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{"line", "create", "applied"}, []string{key, action, outcome}); d != "" {
				t.Error(d)
			}
			b.halo.script = nil
			b.desire(want("add", 4)) // it is wanted anew, for whatever reason
			if n := b.step(); n != 1 {
				t.Errorf("%d written", n)
			}
			if x := b.item("add"); x.State != reconcile.InSync || x.Applied.Count != 4 {
				t.Errorf("wanted anew it is %+v", x)
			}
		})
	}
}

// The heir may be known already: whoever read Halo meanwhile has seen it.
func TestTheHeirMayBeKnownAlready(t *testing.T) {
	b := setup(t, telling)
	heir := want("line", 3)
	heir.HaloID, heir.Applied = 7, &seats{3}
	b.halo.script = func([]reconcile.Item[seats], func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		b.desire(heir)
		return []reconcile.Outcome[seats]{reconcile.Ended(7, &seats{3}, "billed", "It is a line now.").InFavourOf(heir)}
	}
	b.desire(want("add", 3))
	b.step()
	if x := b.item("line"); x.State != reconcile.InSync || b.told("line") != 1 {
		t.Errorf("the heir is %+v, told %d times", x, b.told("line"))
	}
}
