package event

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PruneHistory deletes up to limit revisions that were superseded before a time, and tells how many. The last one of
// each key from before it stays, whatever its age: it is what was true then, and where nothing came after it, it is
// what is published when the stream is made anew.
func PruneHistory(ctx context.Context, pool *pgxpool.Pool, before time.Time, limit int) (int, error) {
	return prune(ctx, pool, "history", `
		delete from history where ctid in (
			select ctid from history h where recorded_at < $1 and exists (
				select from history n where n.entity = h.entity and n.connection = h.connection and n.key = h.key and n.revision > h.revision and n.recorded_at < $1)
			limit $2 for update skip locked)`, before, limit)
}

// PruneRunMarks deletes up to limit marks of runs of which nothing was published since a time: whether those are settled
// is not asked any more.
func PruneRunMarks(ctx context.Context, pool *pgxpool.Pool, before time.Time, limit int) (int, error) {
	return prune(ctx, pool, "run_marks", `
		delete from run_marks where ctid in (select ctid from run_marks where time < $1 limit $2 for update skip locked)`, before, limit)
}

func prune(ctx context.Context, pool *pgxpool.Pool, table, sql string, before time.Time, limit int) (int, error) {
	done, err := pool.Exec(ctx, sql, before, limit)
	if err != nil {
		return 0, fmt.Errorf("prune %s: %w", table, err)
	}
	return int(done.RowsAffected()), nil
}
