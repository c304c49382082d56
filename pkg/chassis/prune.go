package chassis

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"seatline.dev/pkg/event"
)

// Retention says for how long what is over is kept. What is true now, what waits, and what an unfinished run needs
// is kept whatever its age: of each kind of report the last one, and dead letters until somebody redrives or discards
// them, which takes them away at once.
type Retention struct {
	// History of entities, changes written to Halo, runs, and what else a service keeps of what is over (Spec.Prune);
	// default 400 days: the same month of last year, and more.
	History time.Duration
	// RunMarks, which tell whether a run is settled; default 30 days.
	RunMarks time.Duration
}

const (
	day = 24 * time.Hour
	// pruneEvery is how often it is looked for what is over, and pruneBatch how many rows one statement deletes.
	pruneEvery = 6 * time.Hour
	pruneBatch = 2000
)

// Prune deletes up to limit rows of the service's own that were over before a time, and tells how many.
type Prune func(ctx context.Context, before time.Time, limit int) (int, error)

// pruning is the loop that deletes what is kept for long enough, a batch of each table at a time.
func (e Env) pruning(spec Spec) func(context.Context) error {
	history, marks := cmp.Or(e.Retention.History, 400*day), cmp.Or(e.Retention.RunMarks, 30*day)
	type kind struct {
		name  string
		keep  time.Duration
		prune Prune
	}
	own := func(f func(context.Context, *pgxpool.Pool, time.Time, int) (int, error)) Prune {
		return func(ctx context.Context, before time.Time, limit int) (int, error) {
			return f(ctx, e.Pool, before, limit)
		}
	}
	kinds := []kind{{"history", history, own(event.PruneHistory)}, {"run_marks", marks, own(event.PruneRunMarks)}}
	if spec.Engine != nil {
		kinds = append(kinds, kind{"changes", history, spec.Engine.Prune})
	}
	for name, prune := range spec.Prune {
		kinds = append(kinds, kind{name, history, prune})
	}
	counter, err := otel.Meter("seatline.dev/pkg/chassis").Int64Counter("seatline.pruned.rows", metric.WithUnit("{row}"), metric.WithDescription("Rows deleted because they were kept for long enough"))
	if err != nil {
		return func(context.Context) error { return err }
	}
	labels := func(table string) metric.MeasurementOption {
		return metric.WithAttributes(attribute.String("seatline.service", spec.Name), attribute.String("seatline.table", table))
	}
	for _, k := range kinds {
		counter.Add(context.Background(), 0, labels(k.name)) // tells that nothing went yet
	}
	return e.Loop("delete what was kept for long enough", nil, pruneEvery, func(ctx context.Context) (did int, err error) {
		now := e.Clock.Now()
		for _, k := range kinds {
			n, err := k.prune(ctx, now.Add(-k.keep), pruneBatch)
			if err != nil {
				return did, err
			}
			if did += n; n > 0 {
				counter.Add(ctx, int64(n), labels(k.name))
				e.Log.InfoContext(ctx, "deleted what was kept for long enough", "table", k.name, "rows", n, "before", now.Add(-k.keep).UTC().Format(time.DateOnly))
			}
		}
		return did, nil
	})
}
