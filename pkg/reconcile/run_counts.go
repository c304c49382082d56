package reconcile

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// ChangeCounts counts what each of some runs brought about so far, by outcome and action.
func (e *Engine[D]) ChangeCounts(ctx context.Context, q Querier, connection string, runs []string) ([]*opsv1.RunChangeCount, error) {
	rows, err := q.Query(ctx, `
		select run, outcome, action, count(*) from changes
		where run = any($2) and ($1 = '' or connection = $1) group by run, outcome, action order by run, outcome, action`, connection, runs)
	if err != nil {
		return nil, fmt.Errorf("count the changes of %d runs: %w", len(runs), err)
	}
	counts, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*opsv1.RunChangeCount, error) {
		c := &opsv1.RunChangeCount{Kind: e.Kind}
		return c, r.Scan(&c.Run, &c.Outcome, &c.Action, &c.Count)
	})
	if err != nil {
		return nil, fmt.Errorf("count the changes of %d runs: %w", len(runs), err)
	}
	return counts, nil
}
