package reconcile_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"seatline.dev/pkg/reconcile"
)

// A process stands still between its claim and its call. What it would write by then is not its any more, whether anybody
// has taken it over or only may at any moment; and a lost group is lost even where the items seem to be its own.
func TestWhoStoodStillIsNotToWrite(t *testing.T) {
	b := setup(t, func(c *reconcile.Config[seats]) { c.Grouped, c.Lease, c.Settle = true, time.Minute, 3*time.Minute })
	for name, c := range map[string]struct {
		still   time.Duration // without a heartbeat: the clock of those is held
		another string        // what another process does meanwhile
		lost    bool
	}{
		"not at all":              {},
		"for less than the lease": {still: 59 * time.Second},
		"for longer than it":      {still: 61 * time.Second, lost: true},
		"another took the item":   {another: `update work set claim = 'another' where key = $1`, lost: true},
		"the item was put away":   {another: `delete from work where key = $1`, lost: true},
		"another took the group":  {another: `update writers set owner = 'another' where grp = $1`, lost: true},
		"the group is free":       {another: `delete from writers where grp = $1`, lost: true},
	} {
		var asked error
		late := b.config
		late.Clock = clockwork.NewFakeClockAt(b.clock.Now().Add(c.still))
		b.config.Apply = func(ctx context.Context, items []reconcile.Item[seats]) []reconcile.Outcome[seats] {
			if c.another != "" {
				if _, err := b.pool.Exec(ctx, c.another, name); err != nil {
					t.Error(err)
				}
			}
			asked = reconcile.New(late).Guard(items...)(ctx)
			return []reconcile.Outcome[seats]{reconcile.Done(1, items[0].Desired)}
		}
		w := want(name, 1)
		w.Group = name
		b.desire(w)
		if n, err := reconcile.New(b.config).Step(b.ctx); n != 1 || err != nil {
			t.Fatalf("%s: claimed %d, %v", name, n, err)
		}
		if c.lost != errors.Is(asked, reconcile.ErrClaimLost) || !c.lost && asked != nil {
			t.Errorf("%s: the guard says %v, want lost: %t", name, asked, c.lost)
		}
	}
}
