package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
)

// ErrNotFound: there is no such item.
var ErrNotFound = errors.New("no such item")

// ErrHeldByRule: a person cannot release what a rule holds; its reason names the way out.
var ErrHeldByRule = errors.New("held by a rule")

// Seen is what Halo showed of one item.
type Seen[D any] struct {
	Connection, Key string
	// Observed holds our fields as Halo has them; nil: the object is gone.
	Observed *D
}

// Observe records what Halo showed. Where that differs from what was last written, somebody changed
// it by hand, or our own record is older than Halo (a restored backup): either way Halo's word is
// taken for what is applied, the difference is logged as "drifted", and what is desired is written
// again if the mode allows. Items with a write under way are left alone.
func (e *Engine[D]) Observe(ctx context.Context, tx pgx.Tx, seen ...Seen[D]) error {
	connections, keys := make([]string, len(seen)), make([]string, len(seen))
	for i, s := range seen {
		connections[i], keys[i] = s.Connection, s.Key
	}
	known, err := load[D](ctx, tx, connections, keys)
	if err != nil {
		return err
	}
	now := e.Clock.Now()
	var rows []*row[D]
	var logged []change
	for _, s := range seen {
		x := known[[2]string{s.Connection, s.Key}]
		if x == nil || x.State == Applying || x.State == Retired {
			continue
		}
		var drift []Field
		switch {
		case s.Observed == nil && x.HaloID != 0:
			drift = []Field{{Name: "existence", Before: "in Halo", After: "gone"}}
		case s.Observed != nil:
			drift = reversed(e.Diff(s.Observed, orEmpty(x.Applied)))
		}
		if len(drift) == 0 {
			continue // Halo holds what we put there: nothing to remember, nothing to tell
		}
		c := e.entry(x, "drifted", now)
		c.fields, c.action = drift, "none"
		logged = append(logged, c)
		x.Applied = s.Observed
		for _, f := range drift { // since the last write, however often Halo was looked at
			if !slices.Contains(x.Drifted, f.Name) {
				x.Drifted = append(x.Drifted, f.Name)
			}
		}
		if s.Observed == nil {
			x.HaloID = 0
		}
		e.settle(x, true, now)
		rows = append(rows, x)
	}
	return e.record(ctx, tx, rows, now, logged)
}

// reversed is what Diff says of writing what was known over what Halo shows, the other way round, as it happened.
func reversed(fields []Field) []Field {
	for i := range fields {
		fields[i].Before, fields[i].After = fields[i].After, fields[i].Before
	}
	return fields
}

// SetMode settles every item of a connection under its mode, in batches of their own transactions.
func (e *Engine[D]) SetMode(ctx context.Context, connection string, mode Mode) error {
	after := ""
	for {
		n, last, err := e.resettle(ctx, connection, after, func(x *row[D]) bool {
			if x.mode == mode {
				return false
			}
			x.mode = mode
			return true
		})
		if err != nil {
			return fmt.Errorf("set the mode of connection %s: %w", connection, err)
		}
		if n == 0 {
			e.Kick()
			return nil
		}
		after = last
	}
}

// resettle applies change to up to 1,000 items after a key and records those whose state moved.
func (e *Engine[D]) resettle(ctx context.Context, connection, after string, change func(*row[D]) bool) (n int, last string, err error) {
	err = postgres.InTx(ctx, e.Pool, func(tx pgx.Tx) error {
		list, err := lock[D](ctx, tx, `connection = $1 and key > $2 order by key limit 1000`, connection, after)
		if err != nil {
			return err
		}
		n = len(list)
		now := e.Clock.Now()
		var moved, quiet []*row[D]
		for _, x := range list {
			last = x.Key
			if !change(x) {
				continue
			}
			e.settle(x, false, now)
			if x.State != x.previous {
				moved = append(moved, x)
			} else {
				quiet = append(quiet, x)
			}
		}
		if err := save(ctx, tx, quiet); err != nil {
			return err
		}
		return e.record(ctx, tx, moved, now, nil)
	})
	return n, last, err
}

// Release lets a person move one item on: a failed one is tried again, one that was held by what
// Halo showed is decided anew. who is the person. facts replaces what the item carries (a decision,
// for example), when not nil. An item that a rule holds is not released: ErrHeldByRule.
func (e *Engine[D]) Release(ctx context.Context, tx pgx.Tx, connection, key, who string, facts []byte) error {
	known, err := load[D](ctx, tx, []string{connection}, []string{key})
	if err != nil {
		return err
	}
	x := known[[2]string{connection, key}]
	if x == nil {
		return fmt.Errorf("%s %s/%s: %w", e.Kind, connection, key, ErrNotFound)
	}
	if facts != nil {
		x.Facts = facts
	}
	now := e.Clock.Now()
	x.Who, x.Attempts = who, 0
	e.settle(x, true, now)
	if x.State == Held || x.State == Parked {
		return fmt.Errorf("%s %s/%s is %w: %s", e.Kind, connection, key, ErrHeldByRule, x.Reason.Text)
	}
	return e.record(ctx, tx, []*row[D]{x}, now, nil)
}

// Retire ends items whose object in Halo now belongs to another item, or is gone for good. It
// forgets the object: nothing is written to Halo.
func (e *Engine[D]) Retire(ctx context.Context, tx pgx.Tx, reason Reason, connection string, keys ...string) error {
	connections := make([]string, len(keys))
	for i := range connections {
		connections[i] = connection
	}
	known, err := load[D](ctx, tx, connections, keys)
	if err != nil {
		return err
	}
	now := e.Clock.Now()
	rows := make([]*row[D], 0, len(known))
	for _, key := range keys {
		x := known[[2]string{connection, key}]
		if x == nil || x.State == Retired && x.Reason == reason {
			continue
		}
		x.retire(reason)
		e.settle(x, true, now)
		rows = append(rows, x)
	}
	return e.record(ctx, tx, rows, now, nil)
}

// retire forgets what is wanted and what is in Halo.
func (x *row[D]) retire(reason Reason) {
	x.Desired, x.Applied, x.HaloID, x.State = nil, nil, 0, 0
	x.verdict = Verdict{State: Pending, Reason: reason}
	x.Claim, x.Unclear = "", false
}

// Get returns the items with these keys; those that do not exist are left out.
func (e *Engine[D]) Get(ctx context.Context, tx pgx.Tx, connection string, keys ...string) ([]Item[D], error) {
	return e.query(ctx, tx, ofConnection, connection, keys)
}

// Query returns items by a condition in SQL over the columns of items; For the service's own reads; Lock is for those that decide.
func (e *Engine[D]) Query(ctx context.Context, tx Querier, where string, args ...any) ([]Item[D], error) {
	return e.query(ctx, tx, where, args...)
}

// Lock returns items like Query, and locks them: until tx ends nobody else decides about them or claims them. The
// condition must end in an order by connection and key, as everybody's does, so that no two wait for each other.
func (e *Engine[D]) Lock(ctx context.Context, tx pgx.Tx, where string, args ...any) ([]Item[D], error) {
	rows, err := lock[D](ctx, tx, where, args...)
	if err != nil {
		return nil, err
	}
	items := make([]Item[D], len(rows))
	for i, x := range rows {
		items[i] = x.Item
	}
	return items, nil
}

// LockKeys is Lock of the items with these keys; those that do not exist are left out.
func (e *Engine[D]) LockKeys(ctx context.Context, tx pgx.Tx, connection string, keys ...string) ([]Item[D], error) {
	return e.Lock(ctx, tx, ofConnection, connection, keys)
}

// Look is Lock in a transaction and Query elsewhere, for rules that decide in the one and only show in the other what they
// would decide. The condition must do for both.
func (e *Engine[D]) Look(ctx context.Context, q Querier, where string, args ...any) ([]Item[D], error) {
	if tx, ok := q.(pgx.Tx); ok {
		return e.Lock(ctx, tx, where, args...)
	}
	return e.Query(ctx, q, where, args...)
}

// Querier is a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func (e *Engine[D]) query(ctx context.Context, q Querier, where string, args ...any) ([]Item[D], error) {
	rows, err := q.Query(ctx, `
		select `+columns+`, ready_at, claim, since, unclear, attempts from items
			left join (select connection, key, ready_at, claim, since, unclear, attempts from work) w using (connection, key)
		where `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s items: %w", e.Kind, err)
	}
	items, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (Item[D], error) {
		var readyAt, since *time.Time
		var claim *string
		var unclear *bool
		var attempts *int
		x, err := scan[D](r, &readyAt, &claim, &since, &unclear, &attempts)
		if err != nil {
			return Item[D]{}, err
		}
		if readyAt != nil {
			x.take(work{readyAt: *readyAt, claim: *claim, since: orZero(since), unclear: *unclear, attempts: *attempts})
		}
		return x.Item, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s items: %w", e.Kind, err)
	}
	return items, nil
}

// EventOf makes the full-state event of an item as it is now, for republishing.
func (e *Engine[D]) EventOf(x Item[D]) (event.Event, error) { return e.event(x) }
