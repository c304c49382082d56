package fetcher

import (
	"context"
	"fmt"
	"time"
)

// pruneRuns deletes up to limit runs that began before a time and are over. Of each connection the newest runs stay that
// the next one rests on: the last one, the last of the schedule, and the last that read the account whole.
func (f *fetcher) pruneRuns(ctx context.Context, before time.Time, limit int) (int, error) {
	done, err := f.Pool.Exec(ctx, `
		delete from runs where id in (
			select id from runs r where start_time < $1 and outcome not in (1, 4) and exists (
				select from runs n where n.connection = r.connection and n.start_time > r.start_time and n.outcome in (2, 3)
					and (n.scheduled or not r.scheduled) and (n.subscriptions_complete and n.source <> '' or not (r.subscriptions_complete and r.source <> '')))
			order by start_time limit $2 for update skip locked)`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("prune runs: %w", err)
	}
	return int(done.RowsAffected()), nil
}
