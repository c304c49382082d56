package reconcile

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	itemv1 "seatline.dev/proto/seatline/item/v1"
)

// observe has the items counted whenever somebody measures, until the returned function is called.
func (e *Engine[D]) observe() (stop func(), err error) {
	meters := e.Meters
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	meter := meters.Meter("seatline.dev/pkg/reconcile")
	items, err := meter.Int64ObservableGauge("seatline.items", metric.WithUnit("{item}"),
		metric.WithDescription("Items by kind, state and reason"))
	if err != nil {
		return nil, fmt.Errorf("measure %s items: %w", e.Kind, err)
	}
	oldest, err := meter.Float64ObservableGauge("seatline.items.oldest_pending", metric.WithUnit("s"),
		metric.WithDescription("Time since the last change of the item that waits longest to be written to Halo; 0 when none waits"))
	if err != nil {
		return nil, fmt.Errorf("measure %s items: %w", e.Kind, err)
	}
	registration, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		counts, err := e.Counts(ctx, e.Pool, "", "")
		if err != nil {
			return err
		}
		kind, age := attribute.String("kind", e.Kind), 0.0
		for _, c := range counts {
			o.ObserveInt64(items, c.N, metric.WithAttributes(kind, attribute.String("state", word(c.State)), attribute.String("reason", c.Reason)))
			if c.State == Pending || c.State == Applying {
				age = max(age, e.Clock.Since(c.Oldest).Seconds())
			}
		}
		o.ObserveFloat64(oldest, age, metric.WithAttributes(kind))
		return nil
	}, items, oldest)
	if err != nil {
		return nil, fmt.Errorf("measure %s items: %w", e.Kind, err)
	}
	return func() { _ = registration.Unregister() }, nil // it fails for another meter's registration only
}

// word of a state, as commands and filters write it.
func word(s State) string {
	return strings.ToLower(strings.TrimPrefix(itemv1.State(s).String(), "STATE_"))
}
