package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/postgres"
)

// Run applies until ctx ends, then waits up to Grace for what is in hand.
func (e *Engine[D]) Run(ctx context.Context) error {
	stop, err := e.observe()
	if err != nil {
		return err
	}
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	for range e.Workers {
		g.Go(func() error { return e.work(ctx) })
	}
	if e.TellAfter > 0 {
		g.Go(func() error { return e.tellOn(ctx) })
	}
	if e.Listed {
		g.Go(func() error {
			if _, err := e.Keep(ctx); err != nil && ctx.Err() == nil { // lists take longer until the next start
				e.Log.WarnContext(ctx, "keep what is shown of items", "kind", e.Kind, "err", err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (e *Engine[D]) tellOn(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.Clock.After(e.TellAfter / 2):
		}
		for n := tellSize; n == tellSize && ctx.Err() == nil; {
			var err error
			if n, err = e.Tell(ctx); err != nil && ctx.Err() == nil {
				e.Log.WarnContext(ctx, "tell of what waits", "kind", e.Kind, "err", err)
			}
		}
	}
}

func (e *Engine[D]) work(ctx context.Context) error {
	for {
		n, err := e.Step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			e.Log.ErrorContext(ctx, "reconcile step", "kind", e.Kind, "err", err)
		}
		if n > 0 && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-e.kick:
		case <-e.Clock.After(e.Poll):
		}
	}
}

// Step claims one batch, applies it and records the outcomes. It tells how many items it claimed.
func (e *Engine[D]) Step(ctx context.Context) (int, error) {
	claim := uuid.NewString()
	batch, err := e.take(ctx, claim)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	callCtx, stop := e.outlive(ctx)
	defer stop()
	release := e.heartbeat(callCtx, claim)
	outcomes := e.call(callCtx, batch)
	release()
	if err := e.complete(callCtx, claim, batch, outcomes); err != nil {
		return len(batch), fmt.Errorf("record outcomes of %d %s items: %w", len(batch), e.Kind, err)
	}
	if e.Recorded != nil {
		e.Recorded()
	}
	return len(batch), nil
}

// outlive returns a context that ends Grace after ctx does, so that a call to Halo that is under way
// at a shutdown can end well.
func (e *Engine[D]) outlive(ctx context.Context) (context.Context, func()) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, func() {
		select {
		case <-out.Done():
		case <-e.Clock.After(e.Grace):
			cancel()
		}
	})
	return out, func() { detach(); cancel() }
}

// take claims a batch: the intent of each item is on record before Halo is called.
func (e *Engine[D]) take(ctx context.Context, claim string) (batch []*row[D], err error) {
	err = postgres.InTx(ctx, e.Pool, func(tx pgx.Tx) error {
		now := e.Clock.Now()
		lease := now.Add(e.Lease + e.Settle)
		instance, groups, err := e.pick(ctx, tx, claim, now, lease)
		if err != nil || instance == nil {
			return err
		}
		if batch, err = e.claim(ctx, tx, claim, *instance, groups, now, lease); err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		if len(batch) == 0 && e.Grouped {
			// Another replica did the group's work between our two statements: do not keep it closed.
			if _, err := tx.Exec(ctx, `delete from writers where owner = $1`, claim); err != nil {
				return fmt.Errorf("free the group: %w", err)
			}
		}
		return nil
	})
	slices.SortFunc(batch, func(a, b *row[D]) int {
		if a.Priority != b.Priority {
			return int(a.Priority) - int(b.Priority)
		}
		if c := strings.Compare(a.Connection, b.Connection); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
	return batch, err
}

// pick says whose work is next: an instance, and where one writer at a time is allowed, which of its groups are ours now.
// A nil instance: nothing is ready.
func (e *Engine[D]) pick(ctx context.Context, tx pgx.Tx, claim string, now, lease time.Time) (instance *string, groups []string, err error) {
	if !e.Grouped {
		err := tx.QueryRow(ctx, `select instance from work where ready_at <= $1 order by priority, ready_at limit 1`, now.Add(-e.Linger)).Scan(&instance)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return nil, nil, fmt.Errorf("look for work: %w", err)
		}
		return instance, nil, nil
	}
	// Random ones of the first few, so that replicas do not all fight for the same groups.
	rows, err := tx.Query(ctx, `
		with free as materialized (
			select w.instance, w.grp from work w left join writers o using (instance, grp)
			where w.ready_at <= $1 and w.grp <> '' and (o.lease_until is null or o.lease_until <= $1)
			order by w.priority, w.ready_at limit 8 * $4
		), chosen as (
			select distinct instance, grp from free where instance = (select instance from free limit 1)
		)
		insert into writers (instance, grp, owner, lease_until)
		select instance, grp, $2, $3 from (select * from chosen order by random() limit $4) c order by grp
		on conflict (instance, grp) do update set owner = excluded.owner, lease_until = excluded.lease_until
		where writers.lease_until <= $1
		returning instance, grp`, now, claim, lease, e.Groups)
	if err != nil {
		return nil, nil, fmt.Errorf("look for work: %w", err)
	}
	var group string
	_, err = pgx.ForEachRow(rows, []any{&instance, &group}, func() error {
		groups = append(groups, group)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look for work: %w", err)
	}
	return instance, groups, nil
}

// claim takes what is ready of an instance, or of groups of it. In three statements, each by the keys that the one before
// gave: nobody can say beforehand how much is ready, and PostgreSQL, asked for all at once, guesses badly.
func (e *Engine[D]) claim(ctx context.Context, tx pgx.Tx, claim, instance string, groups []string, now, lease time.Time) ([]*row[D], error) {
	// Customer by customer, so that whoever follows these items (the lines of a customer's invoices, above all) sees what
	// belongs together at about the same time.
	ready := `select connection, key from work where ready_at <= $1 and instance = $2 and $3::text[] is null
		order by priority, customer, ready_at limit $4`
	if groups != nil { // each by its name: all that is ready may be a thousand times as much
		ready = `select w.connection, w.key from unnest($3::text[]) g cross join lateral (
				select connection, key, priority, customer, ready_at from work
				where instance = $2 and grp = g and grp <> '' and ready_at <= $1 order by priority, ready_at limit $4) w
			order by w.priority, w.customer, w.ready_at limit $4`
	}
	rows, err := tx.Query(ctx, ready, now, instance, groups, e.BatchSize)
	if err != nil {
		return nil, err
	}
	var connections, keys []string
	var k [2]string
	if _, err = pgx.ForEachRow(rows, []any{&k[0], &k[1]}, func() error {
		connections, keys = append(connections, k[0]), append(keys, k[1])
		return nil
	}); err != nil || len(keys) == 0 {
		return nil, err
	}
	// An item is locked before its work is claimed, and left out where somebody is deciding about it.
	locked, err := read[D](ctx, tx, withKeys+` for update skip locked`, connections, keys)
	if err != nil {
		return nil, err
	}
	at := make(map[[2]string]*row[D], len(locked))
	connections, keys = connections[:0], keys[:0]
	for _, x := range locked {
		at[[2]string{x.Connection, x.Key}] = x
		connections, keys = append(connections, x.Connection), append(keys, x.Key)
	}
	// Nor is it taken where it was decided otherwise, moved elsewhere or claimed by somebody else since it was found ready.
	// What changes at this moment, because its lease is extended, is left: its place is another then.
	rows, err = tx.Query(ctx, `
		with taken as (
			select x.place, i.desired from unnest($1::text[], $2::text[]) t(connection, key)
			cross join lateral ( -- each by its key, however little is known of a table that just filled
				select ctid as place, ready_at, instance, grp from work where connection = t.connection and key = t.key limit 1
			) x
			cross join lateral (select desired from items where connection = t.connection and key = t.key limit 1) i
			where (x.ready_at <= $5 and x.instance = $6 and ($7::text[] is null or x.grp = any($7))) is true
		)
		update work w set claim = $3, unclear = w.unclear or w.claim <> '', attempts = w.attempts + 1, ready_at = $4,
			since = case when w.unclear or w.claim <> '' then w.since else $5 end,
			-- what may have landed stays on record, whatever is wanted by now, until somebody has looked
			claimed = case when w.unclear or w.claim <> '' then coalesce(w.claimed, t.desired) else t.desired end
		from taken t where w.ctid = t.place
		returning w.connection, w.key, w.since, w.unclear, w.attempts, case when w.unclear then w.claimed end`, connections, keys, claim, lease, now, instance, groups)
	if err != nil {
		return nil, err
	}
	batch := make([]*row[D], 0, len(locked))
	w := work{claim: claim, readyAt: lease}
	var intent []byte
	_, err = pgx.ForEachRow(rows, []any{&k[0], &k[1], &w.since, &w.unclear, &w.attempts, &intent}, func() error {
		x := at[k]
		x.take(w)
		batch = append(batch, x)
		if !w.unclear || intent == nil {
			return nil
		}
		var err error
		x.Intent, err = decode[D](intent)
		return err
	})
	return batch, err
}

// heartbeat keeps the claim while Halo is being called, and stops when the returned function is called.
func (e *Engine[D]) heartbeat(ctx context.Context, claim string) func() {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-e.Clock.After(e.Lease / 3):
			}
			lease := e.Clock.Now().Add(e.Lease + e.Settle)
			_, err := e.Pool.Exec(ctx, `
				update work set ready_at = $2 where (connection, key) in (
					select connection, key from work where claim = $1 order by connection, key for update)`, claim, lease)
			if err == nil && e.Grouped {
				_, err = e.Pool.Exec(ctx, `update writers set lease_until = $2 where owner = $1`, claim, lease)
			}
			if err != nil && ctx.Err() == nil {
				e.Log.WarnContext(ctx, "extend lease", "kind", e.Kind, "err", err)
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// call runs the service's Apply in a span that continues the trace of the run, and links every other
// trace that the batch carries.
func (e *Engine[D]) call(ctx context.Context, batch []*row[D]) []Outcome[D] {
	items := make([]Item[D], len(batch))
	var links []trace.Link
	seen := map[string]bool{}
	for i, x := range batch {
		items[i] = x.Item
		if x.Trace == "" || seen[x.Trace] {
			continue
		}
		seen[x.Trace] = true
		parent := propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": x.Trace})
		if len(seen) == 1 {
			ctx = parent
		} else if len(links) < 128 { // the SDK's own limit
			links = append(links, trace.LinkFromContext(parent))
		}
	}
	ctx, span := otel.Tracer("seatline.dev/pkg/reconcile").Start(ctx, "apply "+e.Kind, trace.WithLinks(links...),
		trace.WithAttributes(attribute.Int("seatline.items", len(batch)), attribute.String("seatline.instance", batch[0].Instance)))
	defer span.End()
	outcomes := e.Apply(ctx, items)
	if len(outcomes) != len(items) {
		// A defect of the service: nothing may be assumed about what landed.
		e.Log.ErrorContext(ctx, "apply answered with the wrong number of outcomes", "kind", e.Kind, "items", len(items), "outcomes", len(outcomes))
		outcomes = make([]Outcome[D], len(items))
		for i := range outcomes {
			outcomes[i] = Unclear[D]("internal", "The outcome of the last write is not known; it is being looked up.")
		}
	}
	return outcomes
}

// backoff before attempt n+1: 1 s doubling to 5 min.
func backoff(attempts int) time.Duration {
	return min(time.Second<<min(max(attempts-1, 0), 9), 5*time.Minute)
}
