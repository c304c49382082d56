package billing

import (
	"context"
	"fmt"
	"time"
)

// pruneReports deletes up to limit reports of migrations from Inty that were made before a time, and tells how many.
// The last one of each connection stays, whatever its age: it says how the migration ended.
func (s *service) pruneReports(ctx context.Context, before time.Time, limit int) (int, error) {
	done, err := s.pool.Exec(ctx, `
		delete from inty_reports where (connection, id) in (
			select connection, id from inty_reports r where time < $1
				and exists (select from inty_reports n where n.connection = r.connection and n.id > r.id)
			order by time limit $2 for update skip locked)`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("prune reports of migrations from Inty: %w", err)
	}
	return int(done.RowsAffected()), nil
}
