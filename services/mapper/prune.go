package mapper

import (
	"context"
	"fmt"
	"time"
)

// pruneImports deletes up to limit imports of customers that ended before a time, with their rows, and tells how many.
// The last one of each connection stays, whatever its age: it says where its customers came from.
func (s *service) pruneImports(ctx context.Context, before time.Time, limit int) (int, error) {
	done, err := s.Pool.Exec(ctx, `
		delete from imports where id in (
			select id from imports i where ended < $1
				and exists (select from imports n where n.connection = i.connection and n.started > i.started)
			order by ended limit $2 for update skip locked)`, before, limit)
	if err != nil {
		return 0, fmt.Errorf("prune imports: %w", err)
	}
	return int(done.RowsAffected()), nil
}
