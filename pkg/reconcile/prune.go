package reconcile

import (
	"context"
	"fmt"
	"time"
)

// Prune deletes up to limit entries of the change log that are older than a time, the oldest first, and tells how many.
// What Halo holds now and what is wanted there are items, not changes, and stay.
func (e *Engine[D]) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	done, err := e.Pool.Exec(ctx, `
		delete from changes where id in (
			select id from (select id, time from changes order by id limit $2 for update skip locked) oldest where time < $1)`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("prune the changes of %s items: %w", e.Kind, err)
	}
	return int(done.RowsAffected()), nil
}
