package fetcher

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// order is what is asked of a run.
type order struct {
	// scheduled: removals count as seen by the schedule. A scheduled order by the schedule itself has its due time.
	scheduled bool
	due       time.Time
	who       string // who started it by hand
	// Both entities when neither is set.
	customers, subscriptions bool
}

// errNotNow: a run is under way or held, or another replica was faster.
var errNotNow = errors.New("not now")

// openError is errNotNow with the run that stands in the way.
type openError struct{ run record }

func (e *openError) Error() string {
	return fmt.Sprintf("run %s is %s", e.run.GetId(), e.run.GetOutcome())
}
func (e *openError) Is(target error) bool { return target == errNotNow }

// lockSQL names the lock of a connection's runs. A session holds it from before the run's row is made until after the
// run is closed, so a run that is open while the lock is free belongs to a process that died.
const lockSQL = `hashtextextended('seatline run ' || current_schema() || ' ' || $1::text, 0)`

// lock takes the connection's lock on a database connection of its own; nil if another session still has it after
// patience.
func (f *fetcher) lock(ctx context.Context, connection string, patience time.Duration) (*pgx.Conn, error) {
	pooled, err := f.Pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	conn := pooled.Hijack()
	got, err := tryLock(ctx, conn, connection, patience)
	if err != nil {
		hangUp(conn)
		return nil, fmt.Errorf("lock the runs of %s: %w", connection, err)
	}
	if !got {
		hangUp(conn)
		return nil, nil
	}
	return conn, nil
}

func tryLock(ctx context.Context, conn *pgx.Conn, connection string, patience time.Duration) (got bool, err error) {
	if patience <= 0 {
		err = conn.QueryRow(ctx, `select pg_try_advisory_lock(`+lockSQL+`)`, connection).Scan(&got)
		return got, err
	}
	_, err = conn.Exec(ctx, `select set_config('lock_timeout', $1, false)`, strconv.FormatInt(patience.Milliseconds(), 10))
	if err != nil {
		return false, err
	}
	_, err = conn.Exec(ctx, `select pg_advisory_lock(`+lockSQL+`)`, connection)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "55P03" { // lock_not_available
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = conn.Exec(ctx, `reset lock_timeout`)
	return err == nil, err
}

// lettingGo is ample time for the session of a run that has ended to end too.
const lettingGo = 2 * time.Second

// hangUp ends a session and with it its lock, at shutdown too.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the server notices either way
}

// start begins a run and returns it; it goes on in the background until it is over or the service ends.
func (f *fetcher) start(ctx context.Context, c *connectionv1.Connection, o order) (record, error) {
	conn, err := f.lock(ctx, c.GetSlug(), 0)
	if err != nil {
		return record{}, err
	}
	if conn == nil {
		open, err := openRuns(ctx, f.Pool, c.GetSlug())
		if err != nil {
			return record{}, err
		}
		if len(open) > 0 {
			return record{}, &openError{open[0]}
		}
		// Whoever saw a run end may start the next at once, while the ended one is still about to let go of the lock.
		if conn, err = f.lock(ctx, c.GetSlug(), lettingGo); err != nil {
			return record{}, err
		}
		if conn == nil {
			return record{}, errNotNow
		}
	}
	started := false
	defer func() {
		if !started {
			hangUp(conn)
		}
	}()
	open, err := openRuns(ctx, conn, c.GetSlug())
	if err != nil {
		return record{}, err
	}
	for _, r := range open {
		if r.Outcome == runv1.Outcome_OUTCOME_HELD {
			return record{}, &openError{r}
		}
		if err := f.closeDead(ctx, conn, r); err != nil {
			return record{}, err
		}
	}
	// Settings may have changed since the caller read them.
	if c, err = connections.Read(ctx, conn, c.GetSlug()); err != nil {
		return record{}, err
	}
	if c.GetDeleted() || !c.GetEnabled() {
		return record{}, errNotNow
	}
	if !o.due.IsZero() { // another replica may have run it since we looked
		if !c.GetSchedule().GetEnabled() {
			return record{}, errNotNow
		}
		next, err := f.nextRun(ctx, c)
		if err != nil {
			return record{}, err
		}
		if next.IsZero() || next.After(f.Clock.Now()) {
			return record{}, errNotNow
		}
	}
	r := f.newRun(c, o)
	spanned, span := otel.Tracer("seatline.dev/services/fetcher").Start(ctx, "run", trace.WithAttributes(
		attribute.String("seatline.connection", r.Connection), attribute.String("seatline.run", r.Id)))
	r.trace = telemetry.TraceParent(spanned)
	err = pgx.BeginFunc(spanned, conn, func(tx pgx.Tx) error { return insertRun(spanned, tx, r, rulesOf(c), sourceOf(c)) })
	if err != nil {
		span.End()
		return record{}, err
	}
	answer := record{Run: proto.CloneOf(r.Run), scheduled: r.scheduled}
	started = true
	f.hold(r.Id)
	f.runs.Go(func() {
		defer f.release(r.Id)
		defer hangUp(conn)
		defer span.End()
		f.execute(trace.ContextWithSpan(f.serving, span), conn, c, r)
	})
	return answer, nil
}

func (f *fetcher) newRun(c *connectionv1.Connection, o order) record {
	r := record{scheduled: o.scheduled, Run: &runv1.Run{
		Id: uuid.Must(uuid.NewV7()).String(), Connection: c.GetSlug(), Trigger: runv1.Trigger_TRIGGER_MANUAL, Who: o.who,
		Outcome: runv1.Outcome_OUTCOME_RUNNING, Stage: "fetching", StartTime: f.now(),
		Customers: &runv1.Counts{}, Subscriptions: &runv1.Counts{},
		ImportCustomers: o.customers, ImportSubscriptions: o.subscriptions,
	}}
	if !o.due.IsZero() {
		r.Trigger = runv1.Trigger_TRIGGER_SCHEDULED
	}
	if !o.customers && !o.subscriptions {
		r.ImportCustomers, r.ImportSubscriptions = true, true
	}
	return r
}

// execute carries a run out and closes it, or leaves it held.
func (f *fetcher) execute(ctx context.Context, conn *pgx.Conn, c *connectionv1.Connection, r record) {
	log := f.Log.With("connection", r.Connection, "run", r.Id)
	log.Info("run started", "trigger", r.Trigger.String(), "who", r.Who)
	err := f.fetch(ctx, conn, c, r)
	if err != nil {
		trace.SpanFromContext(ctx).SetStatus(codes.Error, err.Error())
		if closing := f.fail(ctx, r, err); closing != nil {
			log.Error("the end of the run could not be stored; it will be found interrupted", "err", closing)
		}
	}
	log.Info("run ended", "outcome", r.Outcome.String(), "reason", r.Reason.GetText(), "requests", r.Requests,
		"new", r.Subscriptions.GetNew(), "changed", r.Subscriptions.GetChanged(), "removed", r.Subscriptions.GetRemoved(), "err", err)
}

func (f *fetcher) fetch(ctx context.Context, conn *pgx.Conn, c *connectionv1.Connection, r record) error {
	run := r.Run
	// Nothing is lost with what the run writes before its end: should the database crash, the run is found interrupted.
	if _, err := conn.Exec(ctx, `set synchronous_commit = off`); err != nil {
		return fmt.Errorf("prepare the run: %w", err)
	}
	result, rows, err := f.pull(ctx, conn, c, run, func() error { return saveRun(ctx, f.Pool, run) })
	if err != nil {
		return err
	}
	run.Stage = "comparing"
	if err := saveRun(ctx, conn, run); err != nil {
		return err
	}
	outcome, complete, why := concluded(giacom.Want{Customers: run.ImportCustomers, Subscriptions: run.ImportSubscriptions}, result)
	run.Complete = complete
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `set local synchronous_commit to default`); err != nil {
			return fmt.Errorf("prepare the end of the run: %w", err)
		}
		if err := prove(ctx, tx, c, run, result, rows); err != nil {
			return err
		}
		found, err := compare(ctx, tx, run.Id, run.Connection)
		if err != nil {
			return err
		}
		count(run, found, result)
		if hold := rulesOf(c).hold(found.shrink); hold != nil {
			if err := keepStaging(ctx, tx, run.Id); err != nil {
				return err
			}
			return f.close(ctx, tx, run, runv1.Outcome_OUTCOME_HELD, hold)
		}
		if err := apply(ctx, tx, run.Id, run.Connection, found); err != nil {
			return err
		}
		if err := dropStaging(ctx, tx, run.Id); err != nil {
			return err
		}
		return f.close(ctx, tx, run, outcome, why)
	})
	if err != nil {
		return err
	}
	if n := result.Subscriptions.LeftToReport; n > 0 {
		f.Log.Info("Microsoft rows of the other feed were left to the report", "connection", run.Connection, "run", run.Id, "rows", n)
	}
	return nil
}

// prove stores what a pull proves: whether absence means anything.
func prove(ctx context.Context, tx pgx.Tx, c *connectionv1.Connection, run *runv1.Run, result giacom.Result, rows int64) error {
	everyone := run.ImportSubscriptions || c.GetGiacom().GetCustomersFrom() == connectionv1.CustomersFrom_CUSTOMERS_FROM_DERIVED
	_, err := tx.Exec(ctx, `update runs set customers_complete = $2, subscriptions_complete = $3, all_customers = $4, staged = $5 where id = $1`,
		run.Id, run.ImportCustomers && result.Customers.Complete, run.ImportSubscriptions && result.Subscriptions.Complete, everyone, rows)
	if err != nil {
		return fmt.Errorf("store what the pull proves: %w", err)
	}
	return nil
}

// close gives a run its outcome, in the transaction that makes it true.
func (f *fetcher) close(ctx context.Context, tx pgx.Tx, run *runv1.Run, outcome runv1.Outcome, why *itemv1.Reason) error {
	run.Outcome, run.Reason = outcome, why
	kind := "seatline.run.held.v1"
	if outcome != runv1.Outcome_OUTCOME_HELD {
		kind, run.Stage, run.EndTime = "seatline.run.completed.v1", "done", f.now()
	}
	if err := saveRun(ctx, tx, run); err != nil {
		return err
	}
	return publishRun(ctx, tx, run, kind)
}

// fail closes a run whose work ended in cause, outside the run's own session, which may be what broke.
func (f *fetcher) fail(ctx context.Context, r record, cause error) error {
	outcome, why := runv1.Outcome_OUTCOME_FAILED, failure(cause)
	if ctx.Err() != nil {
		outcome = runv1.Outcome_OUTCOME_INTERRUPTED
		why = &itemv1.Reason{Code: "stopped", Text: "the fetcher was stopped while the run was under way; nothing of it was published"}
	}
	// Counts of what was not published would read as if it had been.
	for _, n := range []*runv1.Counts{r.Customers, r.Subscriptions} {
		n.New, n.Changed, n.Unchanged, n.Absent, n.Removed, n.Superseded = 0, 0, 0, 0, 0, 0
	}
	r.Complete = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := pgx.BeginFunc(ctx, f.Pool, func(tx pgx.Tx) error {
		var e *giacom.Error
		if errors.As(cause, &e) && e.RetryAfter > 0 {
			if _, err := tx.Exec(ctx, `update runs set retry_at = $2 where id = $1`, r.Id, f.Clock.Now().Add(e.RetryAfter)); err != nil {
				return err
			}
		}
		return f.close(ctx, tx, r.Run, outcome, why)
	})
	if err != nil {
		return err
	}
	return dropStaging(ctx, f.Pool, r.Id)
}

// hold and release note the runs of this process.
func (f *fetcher) hold(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mine[id] = true
}

func (f *fetcher) release(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mine, id)
}

func (f *fetcher) isMine(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mine[id]
}
