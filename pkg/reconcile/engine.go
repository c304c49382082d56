package reconcile

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"
	"github.com/shopspring/decimal"
	"go.opentelemetry.io/otel/metric"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
)

// Config of an engine: the collaborators, and the service's rules about its D.
type Config[D any] struct {
	Service string // "licence": the source of the events
	Kind    string // "licence": the kind of the items, in plans and changes
	Pool    *pgxpool.Pool
	Clock   clockwork.Clock
	Log     *slog.Logger

	// Diff lists the fields of ours in which Halo would have to change. before is nil when nothing
	// exists in Halo. A field that is not ours (absent in after) never differs.
	Diff func(before, after *D) []Field
	// Action names what would be done, for plans and the change log: "create", "update", …
	Action func(Item[D]) string
	// Event makes the full-state event of an item. The engine fills in connection, key, revision,
	// run, cause, trace and time.
	Event func(Item[D]) (event.Event, error)
	// Apply writes a batch to Halo and says what became of each item, in the same order. It may read
	// Halo first. Its context outlives a shutdown by Grace. Items of a batch share the instance and,
	// where they have one, the group.
	Apply func(ctx context.Context, batch []Item[D]) []Outcome[D]
	// Recorded is called each time outcomes have been committed; may be nil.
	Recorded func()

	// Listed: what its event says is kept with each item, for List.
	Listed bool

	Grouped   bool          // claim whole groups, one writer each
	Groups    int           // groups of one instance per claim, where they are claimed; default 1
	BatchSize int           // items per claim; default 500
	Workers   int           // claims at once; default 1
	Lease     time.Duration // how long a silent process keeps its claim; default 1 min; longer than any HTTP deadline
	Settle    time.Duration // how long after that a call may still land in Halo; default 3 min
	Grace     time.Duration // how long a shutdown waits for what is in hand; default 20 s
	Poll      time.Duration // how often to look for work nobody announced; default 500 ms
	Linger    time.Duration // how long the oldest item waits for company before a claim is made; default none
	TellAfter time.Duration // how long a new item that may be written is left untold, so that one event can tell that it is done; default none

	Meters metric.MeterProvider // of the counts of items, while Run runs; OpenTelemetry's global one if nil
}

// Engine reconciles the items of one service.
type Engine[D any] struct {
	Config[D]
	kick chan struct{}
}

// New returns an engine; Run makes it work.
func New[D any](c Config[D]) *Engine[D] {
	c.BatchSize = cmp.Or(c.BatchSize, 500)
	c.Workers = cmp.Or(c.Workers, 1)
	c.Groups = cmp.Or(c.Groups, 1)
	c.Lease = cmp.Or(c.Lease, time.Minute)
	c.Settle = cmp.Or(c.Settle, 3*time.Minute)
	c.Grace = cmp.Or(c.Grace, 20*time.Second)
	c.Poll = cmp.Or(c.Poll, 500*time.Millisecond)
	return &Engine[D]{Config: c, kick: make(chan struct{}, 1)}
}

// Kick tells the applier that there may be work. Call it after the transaction of a Desire commits;
// forgetting it costs at most Poll.
func (e *Engine[D]) Kick() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// Desire sets what is wanted. It is idempotent: a want that changes nothing writes nothing. The
// caller must hold locks on whatever it decided from, so that an older decision cannot overtake.
func (e *Engine[D]) Desire(ctx context.Context, tx pgx.Tx, wants ...Want[D]) error {
	if len(wants) == 0 {
		return nil
	}
	connections, keys := make([]string, len(wants)), make([]string, len(wants))
	for i, w := range wants {
		connections[i], keys[i] = w.Connection, w.Key
	}
	known, err := load[D](ctx, tx, connections, keys)
	if err != nil {
		return err
	}
	now := e.Clock.Now()
	var changed []*row[D]
	for _, w := range wants {
		k := [2]string{w.Connection, w.Key}
		x := known[k]
		if x == nil {
			if w.Desired == nil {
				continue // nothing was ever wanted
			}
			x = &row[D]{Item: Item[D]{Connection: w.Connection, Key: w.Key}}
			known[k] = x
		}
		moved, err := e.desire(x, w, now)
		if err != nil {
			return err
		}
		if moved && !slices.Contains(changed[max(0, len(changed)-1):], x) {
			changed = append(changed, x)
		}
	}
	return e.record(ctx, tx, changed, now, nil)
}

// desire applies one want to one row and tells whether anything changed.
func (e *Engine[D]) desire(x *row[D], w Want[D], now time.Time) (bool, error) {
	var was []byte
	if x.existed {
		var err error
		if was, err = fingerprint(x); err != nil {
			return false, err
		}
	}
	desireChanged, err := unequal(x.Desired, w.Desired)
	if err != nil {
		return false, fmt.Errorf("item %s/%s: %w", w.Connection, w.Key, err)
	}
	if w.LetGo && x.State != Applying && !x.Unclear {
		x.HaloID, x.Applied, x.Drifted = 0, nil, nil
	}
	if x.HaloID == 0 && w.HaloID != 0 {
		x.HaloID, x.Applied = w.HaloID, w.Applied
	}
	x.Instance, x.Group, x.Desired = w.Instance, w.Group, w.Desired
	x.Facts, x.Title, x.Customer, x.Follows = w.Facts, w.Title, w.Customer, w.Follows
	x.MonthlyBefore, x.MonthlyAfter, x.Currency = w.MonthlyBefore, w.MonthlyAfter, w.Currency
	x.Priority, x.verdict, x.mode = w.Priority, w.Verdict, w.Mode
	if desireChanged {
		x.Attempts = 0
	}
	if w.Doubt && w.Desired != nil && x.HaloID == 0 && x.Claim == "" && !x.Unclear {
		x.State, x.Reason, x.Unclear, x.Since, x.readyAt = Applying, reasonDoubt, true, now, now.Add(e.Settle)
	}
	e.settle(x, desireChanged, now)
	if x.existed {
		is, err := fingerprint(x)
		if err != nil || bytes.Equal(was, is) {
			return false, err
		}
	}
	x.Run, x.Cause, x.Trace, x.Who = w.Run, w.Cause, w.Trace, w.Who
	return true, nil
}

// settle puts the row into the state that its parts imply.
func (e *Engine[D]) settle(x *row[D], desireChanged bool, now time.Time) {
	before := x.State
	differs := x.Desired != nil && len(e.Diff(x.Applied, x.Desired)) > 0
	x.State, x.Reason, x.Sticky = settle(x.State, x.Sticky, desireChanged, differs, x.Desired != nil, x.verdict, x.mode, x.Reason)
	switch {
	case x.State == Pending && (before != Pending || desireChanged || x.readyAt.IsZero()):
		x.readyAt = now
	case x.State == Pending, x.State == Applying, x.State == Parked && x.Sticky:
		// keep the back-off, the lease or the wake-up
	default:
		x.readyAt = time.Time{}
	}
}

// record saves the rows, appends to the change log and publishes the events, all in tx. logged holds
// the change log entries that the outcomes of Halo calls made; holds and releases are added here.
func (e *Engine[D]) record(ctx context.Context, tx pgx.Tx, rows []*row[D], now time.Time, logged []change) error {
	events := make([]event.Event, 0, len(rows)+len(logged))
	kept := make([]*row[D], 0, len(rows))
	var forgotten []*row[D]
	for _, x := range rows {
		if x.State != x.previous {
			if c, ok := e.transition(x, now); ok {
				logged = append(logged, c)
			}
		}
		if x.State == Retired && !x.told() {
			forgotten = append(forgotten, x)
			continue
		}
		x.Updated = now.Truncate(time.Microsecond) // what the database keeps is what the event says
		kept = append(kept, x)
		if x.existed || x.State != Pending || e.TellAfter == 0 {
			x.Revision = event.NewRevision(x.Revision, now)
		}
	}
	rows = kept
	if err := forget(ctx, tx, forgotten); err != nil {
		return err
	}
	for _, x := range rows {
		if x.shown = nil; !x.told() {
			continue
		}
		ev, err := e.event(x.Item)
		if err != nil {
			return err
		}
		if e.Listed {
			if x.shown, err = keepShown(&ev, x.Facts); err != nil {
				return err
			}
		}
		events = append(events, ev)
	}
	if err := save(ctx, tx, rows); err != nil {
		return err
	}
	logEvents, err := e.appendChanges(ctx, tx, logged)
	if err != nil {
		return err
	}
	return event.Publish(ctx, tx, append(events, logEvents...)...)
}

// tellSize is how many items are told of in one transaction.
const tellSize = 1000

// Tell tells of new items that still wait after TellAfter, up to 1,000 of them, and how many those were. Run does so by itself.
func (e *Engine[D]) Tell(ctx context.Context) (n int, err error) {
	err = postgres.InTx(ctx, e.Pool, func(tx pgx.Tx) error {
		now := e.Clock.Now()
		// Those that wait longest, by their index; asked for in the order of locking, PostgreSQL goes through all items.
		rows, err := lock[D](ctx, tx, `(connection, key) in (select connection, key from items where revision = 0 and updated <= $1 order by updated limit $2)
			and revision = 0 order by connection, key`, now.Add(-e.TellAfter), tellSize)
		if err != nil {
			return err
		}
		n = len(rows)
		return e.record(ctx, tx, rows, now, nil)
	})
	if err != nil {
		return 0, fmt.Errorf("tell of %s items that wait: %w", e.Kind, err)
	}
	return n, nil
}

func (e *Engine[D]) event(x Item[D]) (event.Event, error) {
	ev, err := e.Event(x)
	if err != nil {
		return event.Event{}, fmt.Errorf("event of %s %s/%s: %w", e.Kind, x.Connection, x.Key, err)
	}
	ev.Connection, ev.Key, ev.Revision = x.Connection, x.Key, x.Revision
	ev.Run, ev.Cause, ev.TraceParent, ev.Time = x.Run, x.Cause, x.Trace, x.Updated
	ev.Source = "seatline/" + e.Service
	return ev, nil
}

// fingerprint is everything of a row that a want can change and that somebody would notice.
func fingerprint[D any](x *row[D]) ([]byte, error) {
	return json.Marshal(struct {
		A, B       *D
		C          []byte
		D, E, F, G string
		H, S       bool
		I, J       *decimal.Decimal
		K          string
		L          State
		M          Reason
		N          Verdict
		O          Mode
		P          int64
		Q          int16
	}{
		x.Desired, x.Applied, x.Facts, x.Instance, x.Group, x.Title, x.Customer, x.Follows, x.Sticky,
		x.MonthlyBefore, x.MonthlyAfter, x.Currency, x.State, x.Reason, x.verdict, x.mode, x.HaloID, x.Priority,
	})
}

func unequal[D any](a, b *D) (bool, error) {
	if (a == nil) != (b == nil) {
		return true, nil
	}
	if a == nil || reflect.DeepEqual(a, b) {
		return false, nil // what says the same may still be written differently: only its text tells
	}
	x, err := json.Marshal(a)
	if err != nil {
		return false, err
	}
	y, err := json.Marshal(b)
	if err != nil {
		return false, err
	}
	return !bytes.Equal(x, y), nil
}
