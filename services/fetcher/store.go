package fetcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// record is a run's row.
type record struct {
	*runv1.Run
	scheduled bool
	trace     string
	version   int64
	staged    int64
}

// insertRun stores a run that begins, and its event.
func insertRun(ctx context.Context, tx pgx.Tx, r record, rules rules, source string) error {
	body, err := proto.Marshal(r.Run)
	if err != nil {
		return fmt.Errorf("run %s: %w", r.Id, err)
	}
	_, err = tx.Exec(ctx, `
		insert into runs (id, connection, trigger, outcome, start_time, scheduled, trace, confirmations, removal_interval, body, source, supersedes)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11 <> coalesce((
			select source from runs where connection = $2 and subscriptions_complete and source <> '' and outcome in (2, 3)
			order by start_time desc, id desc limit 1), $11))`,
		r.Id, r.Connection, r.Trigger, r.Outcome, r.StartTime.AsTime(), r.scheduled, r.trace, rules.confirmations, rules.interval, body, source)
	if err != nil {
		return fmt.Errorf("store run %s: %w", r.Id, err)
	}
	return publishRun(ctx, tx, r.Run, "seatline.run.started.v1")
}

// sourceOf names how an account is read: two runs of one source know a subscription by the same id.
func sourceOf(c *connectionv1.Connection) string {
	g := c.GetGiacom()
	method := g.GetMethod()
	switch {
	case g.GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2:
		return "v2"
	case method == connectionv1.ImportMethod_IMPORT_METHOD_REPORT:
		return "report"
	case method == connectionv1.ImportMethod_IMPORT_METHOD_BOTH && g.GetAllProductsFeed() == connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_ACCOUNT_TOTALS:
		return "report and account totals"
	case method == connectionv1.ImportMethod_IMPORT_METHOD_BOTH:
		return "report and subscriptions"
	case g.GetAllProductsFeed() == connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_ACCOUNT_TOTALS:
		return "account totals"
	}
	return "subscriptions"
}

// saveRun stores a run that is open as it now is. It says so when the run was closed by someone else.
func saveRun(ctx context.Context, q querier, r *runv1.Run) error {
	body, err := proto.Marshal(r)
	if err != nil {
		return fmt.Errorf("run %s: %w", r.Id, err)
	}
	tag, err := q.Exec(ctx, `update runs set outcome = $2, body = $3, version = version + 1 where id = $1 and outcome in (1, 4)`, r.Id, r.Outcome, body)
	if err != nil {
		return fmt.Errorf("store run %s: %w", r.Id, err)
	}
	if tag.RowsAffected() == 0 {
		return fmt.Errorf("run %s was closed meanwhile", r.Id)
	}
	return nil
}

func publishRun(ctx context.Context, tx pgx.Tx, r *runv1.Run, kind string) error {
	return event.Publish(ctx, tx, runEvent(r, kind))
}

func runEvent(r *runv1.Run, kind string) event.Event {
	return event.Event{
		Type: kind, Entity: "run", Connection: r.Connection, Key: r.Id, Run: r.Id, Source: "seatline/fetcher", Log: true, Data: r,
	}
}

// readRun reads a run; its row stays locked if lock is set.
func readRun(ctx context.Context, q querier, id string, lock bool) (record, error) {
	sql := `select body, scheduled, trace, version, staged from runs where id = $1`
	if lock {
		sql += ` for update`
	}
	return scanRun(q.QueryRow(ctx, sql, id), id)
}

func scanRun(row pgx.Row, id string) (record, error) {
	r := record{Run: &runv1.Run{}}
	var body []byte
	err := row.Scan(&body, &r.scheduled, &r.trace, &r.version, &r.staged)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, rpc.NotFound("run", id)
	}
	if err != nil {
		return r, fmt.Errorf("read run %s: %w", id, err)
	}
	if err := proto.Unmarshal(body, r.Run); err != nil {
		return r, fmt.Errorf("read run %s: %w", id, err)
	}
	return r, nil
}

// openRuns are those that run or are held, of one connection or of all.
func openRuns(ctx context.Context, q querier, connection string) ([]record, error) {
	rows, err := q.Query(ctx, `select body, scheduled, trace, version, staged from runs where outcome in (1, 4) and ($1 = '' or connection = $1) order by id`, connection)
	if err != nil {
		return nil, fmt.Errorf("read open runs: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (record, error) { return scanRun(row, "") })
}

type scheduled struct {
	open           bool
	start, retryAt time.Time
}

func lastScheduled(ctx context.Context, q querier, connection string) (scheduled, error) {
	var s scheduled
	var start, retry *time.Time
	err := q.QueryRow(ctx, `
		select exists (select from runs where connection = $1 and outcome in (1, 4)),
			(select start_time from runs where connection = $1 and scheduled order by start_time desc limit 1),
			(select retry_at from runs where connection = $1 order by start_time desc limit 1)`, connection).Scan(&s.open, &start, &retry)
	if err != nil {
		return s, fmt.Errorf("read the last run of %s: %w", connection, err)
	}
	if start != nil {
		s.start = *start
	}
	if retry != nil {
		s.retryAt = *retry
	}
	return s, nil
}

// createStaging makes a run's own table. It is temporary: rows cost little, and vanish with the run's session.
func createStaging(ctx context.Context, q querier, run string) error {
	_, err := q.Exec(ctx, staged(run, `create temporary table {staging} (
		seq bigint not null, entity smallint not null, key text not null collate "C", hash bytea, body bytea, tenant bytea,
		mex_id text not null, name text not null, status_word text not null, quantity text not null, ended boolean not null, derived boolean not null
	)`))
	if err != nil {
		return fmt.Errorf("make the staging table: %w", err)
	}
	return nil
}

// keepStaging keeps the rows of a run that is held beyond its session.
func keepStaging(ctx context.Context, q querier, run string) error {
	_, err := q.Exec(ctx, staged(run, `create unlogged table {staging} with (autovacuum_enabled = false) as table pg_temp.{staging}`))
	if err != nil {
		return fmt.Errorf("keep the staging table: %w", err)
	}
	return nil
}

var stagingColumns = []string{"seq", "entity", "key", "hash", "body", "tenant", "mex_id", "name", "status_word", "quantity", "ended", "derived"}

// stage writes rows, of which the first has number seq.
func stage(ctx context.Context, conn *pgx.Conn, run string, rows []pulled, currency string, seq int64) error {
	table := pgx.Identifier{strings.Trim(stagingTable(run), `"`)}
	_, err := conn.CopyFrom(ctx, table, stagingColumns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
		r, err := rows[i].row(currency)
		if err != nil {
			return nil, err
		}
		return []any{seq + int64(i), r.entity, r.key, r.hash, r.body, r.tenant, r.mexID, r.name, r.statusWord, r.quantity, r.ended, r.derived}, nil
	}))
	if err != nil {
		return fmt.Errorf("stage %d rows: %w", len(rows), err)
	}
	return nil
}

func dropStaging(ctx context.Context, q querier, run string) error {
	if _, err := q.Exec(ctx, staged(run, `drop table if exists {staging}`)); err != nil {
		return fmt.Errorf("drop the staging table: %w", err)
	}
	return nil
}
