package event

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/propagation"
)

// publishRows is how many events go into one statement: enough to make its cost per row vanish,
// few enough to keep its parameters small.
const publishRows = 2000

// Publish writes state events into the history, and that they are to be sent into the outbox; log events go into the outbox
// whole. All within the caller's transaction; the relay sends them once it is committed. The caller has locked the
// entities' rows before, so that revisions of one key are written in order.
//
// It completes ID, Time and TraceParent where they are empty.
func Publish(ctx context.Context, tx pgx.Tx, events ...Event) error {
	trace := traceParent(ctx)
	now := time.Now()
	for len(events) > 0 {
		n := min(len(events), publishRows)
		if err := publish(ctx, tx, events[:n], trace, now); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func publish(ctx context.Context, tx pgx.Tx, events []Event, trace string, now time.Time) error {
	n := len(events)
	ids, types, entities, connections, keys := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	runs, causes, sources, traces := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	revisions, times, logs, payloads := make([]int64, n), make([]time.Time, n), make([]bool, n), make([][]byte, n)
	for i, e := range events {
		if e.ID == "" {
			e.ID = uuid.Must(uuid.NewV7()).String()
		}
		if e.Time.IsZero() {
			e.Time = now
		}
		if e.TraceParent == "" {
			e.TraceParent = trace
		}
		if err := e.valid(); err != nil {
			return err
		}
		data, err := e.payload()
		if err != nil {
			return err
		}
		if data == nil {
			data = []byte{} // An empty message is no NULL.
		}
		ids[i], types[i], entities[i], connections[i], keys[i] = e.ID, e.Type, e.Entity, e.Connection, e.Key
		runs[i], causes[i], sources[i], traces[i] = e.Run, e.Cause, e.Source, e.TraceParent
		revisions[i], times[i], logs[i], payloads[i] = e.Revision, e.Time, e.Log, data
	}
	_, err := tx.Exec(ctx, `
		with new as (
			select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
				$8::text[], $9::text[], $10::timestamptz[], $11::text[], $12::boolean[], $13::bytea[]) with ordinality
				as t(id, type, entity, connection, key, revision, run, cause, source, time, traceparent, log, payload, n)
		), kept as (
			insert into history (id, type, entity, connection, key, revision, run, cause, source, time, traceparent, payload)
			select id, type, entity, connection, key, revision, run, cause, source, time, traceparent, payload
			from new where not log
		)
		insert into outbox (entity, connection, key, revision, run, log, id, type, cause, source, time, traceparent, payload)
		select entity, connection, key, revision, run, log, case when log then id end, case when log then type end,
			case when log then cause end, case when log then source end, case when log then time end,
			case when log then traceparent end, case when log then payload end
		from new order by n`,
		ids, types, entities, connections, keys, revisions, runs, causes, sources, times, traces, logs, payloads)
	if err != nil {
		return fmt.Errorf("write %d events, the first %s %s %s, to the outbox: %w", n, events[0].Type, events[0].Connection, events[0].Key, err)
	}
	return nil
}

// PublishSelect publishes one state event for each row of a query, without the rows passing
// through this process. The query (a SELECT, or an INSERT, UPDATE or DELETE with RETURNING) must
// give these columns, in any order:
//
//	type, entity, connection, key text; revision bigint;
//	run, cause text (may be null); source text; payload bytea, the serialised message
//
// It returns the number of events. A query that begins with WITH may only select.
func PublishSelect(ctx context.Context, tx pgx.Tx, query string, args ...any) (int64, error) {
	args = append(args[:len(args):len(args)], traceParent(ctx))
	tag, err := tx.Exec(ctx, fmt.Sprintf(`
		with found as (%s),
		new as materialized (
			select gen_random_uuid()::text as id, type, entity, connection, key, revision, coalesce(run, '') as run,
				coalesce(cause, '') as cause, source, now() as time, $%d::text as traceparent, payload
			from found
		), kept as (
			insert into history (id, type, entity, connection, key, revision, run, cause, source, time, traceparent, payload)
			select id, type, entity, connection, key, revision, run, cause, source, time, traceparent, payload from new
		)
		insert into outbox (entity, connection, key, revision, run) select entity, connection, key, revision, run from new`,
		query, len(args)), args...)
	if err != nil {
		return 0, fmt.Errorf("write events to the outbox: %w", err)
	}
	return tag.RowsAffected(), nil
}

// Republish puts the latest state of everything this schema owns, or of one connection when it is
// not empty, into the outbox again, and returns the number of events. Consumers that have the
// state already are unharmed. Log events are not repeated.
func Republish(ctx context.Context, db interface {
	Begin(context.Context) (pgx.Tx, error)
}, connection string) (int64, error) {
	tx, err := db.Begin(ctx)
	if err != nil {
		return 0, fmt.Errorf("republish: %w", err)
	}
	defer tx.Rollback(ctx)
	n, err := republish(ctx, tx, connection)
	if err != nil {
		return 0, err
	}
	if err := tx.Commit(ctx); err != nil {
		return 0, fmt.Errorf("republish: %w", err)
	}
	return n, nil
}

func republish(ctx context.Context, tx pgx.Tx, connection string) (int64, error) {
	tag, err := tx.Exec(ctx, `
		insert into outbox (entity, connection, key, revision, run)
		select distinct on (entity, connection, key) entity, connection, key, revision, run
		from history where $1 = '' or connection = $1
		order by entity, connection, key, revision desc`, connection)
	if err != nil {
		return 0, fmt.Errorf("republish: %w", err)
	}
	return tag.RowsAffected(), nil
}

// traceParent returns the trace context of ctx in its W3C form; empty when there is none.
func traceParent(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c["traceparent"]
}

// remote returns ctx with the trace context that traceparent names.
func remote(ctx context.Context, traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}
