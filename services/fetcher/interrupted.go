package fetcher

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// interrupted closes the runs of processes that died: those that say they run while nobody holds their lock.
func (f *fetcher) interrupted(ctx context.Context) error {
	open, err := openRuns(ctx, f.Pool, "")
	if err != nil {
		return err
	}
	for _, r := range open {
		if r.Outcome != runv1.Outcome_OUTCOME_RUNNING || f.isMine(r.Id) {
			continue
		}
		conn, err := f.lock(ctx, r.Connection, 0)
		if err != nil {
			return err
		}
		if conn == nil {
			continue // alive, in another replica
		}
		err = f.closeDead(ctx, conn, r)
		hangUp(conn)
		if err != nil {
			return err
		}
	}
	return f.sweep(ctx)
}

// closeDead marks one such run, under its lock, unless it was closed since it was read.
func (f *fetcher) closeDead(ctx context.Context, conn *pgx.Conn, r record) error {
	closed := false
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		now, err := readRun(ctx, tx, r.Id, true)
		if err != nil || now.Outcome != runv1.Outcome_OUTCOME_RUNNING {
			return err
		}
		closed = true
		for _, n := range []*runv1.Counts{now.Customers, now.Subscriptions} {
			n.New, n.Changed, n.Unchanged, n.Absent, n.Removed, n.Superseded = 0, 0, 0, 0, 0, 0
		}
		return f.close(ctx, tx, now.Run, runv1.Outcome_OUTCOME_INTERRUPTED, &itemv1.Reason{
			Code: "process_died", Text: "the process that ran it died; nothing of it was published, and the next run starts anew",
		})
	})
	if err != nil {
		return fmt.Errorf("close run %s, whose process died: %w", r.Id, err)
	}
	if !closed {
		return nil
	}
	f.Log.Warn("run was interrupted: its process died", "connection", r.Connection, "run", r.Id)
	return dropStaging(ctx, conn, r.Id)
}

// sweep drops staging tables that no open run owns, such as that of a process killed after closing its run. A table is
// made after its run is stored, so what has no open run in a later look has none at all.
func (f *fetcher) sweep(ctx context.Context) error {
	rows, err := f.Pool.Query(ctx, `
		select c.relname from pg_class c where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and starts_with(c.relname, $1)`, stagingPrefix)
	if err != nil {
		return fmt.Errorf("look for staging tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for staging tables: %w", err)
	}
	if len(tables) == 0 {
		return nil
	}
	open, err := openRuns(ctx, f.Pool, "")
	if err != nil {
		return err
	}
	owned := map[string]bool{}
	for _, r := range open {
		owned[strings.Trim(stagingTable(r.Id), `"`)] = true
	}
	for _, table := range tables {
		if owned[table] {
			continue
		}
		if _, err := f.Pool.Exec(ctx, `drop table if exists `+pgx.Identifier{table}.Sanitize()); err != nil {
			return fmt.Errorf("drop staging table %s: %w", table, err)
		}
	}
	return nil
}
