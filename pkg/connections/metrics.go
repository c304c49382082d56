package connections

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"seatline.dev/pkg/halo"
)

// measure has the request budgets read whenever somebody measures, for as long as the process lives. The budget is
// shared, so every service that uses an instance tells the same.
func (h *Halo) measure() {
	meters := h.Meters
	if meters == nil {
		meters = otel.GetMeterProvider()
	}
	_, err := meters.Meter("seatline.dev/pkg/connections").Int64ObservableGauge("seatline.halo.budget.left", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that may be sent to a Halo instance now, by anyone; 0 while it is shut"),
		metric.WithInt64Callback(func(ctx context.Context, o metric.Int64Observer) error {
			for instance, left := range h.left(ctx) {
				o.Observe(int64(left), metric.WithAttributes(attribute.String("instance", instance)))
			}
			return nil
		}))
	if err != nil {
		otel.Handle(fmt.Errorf("measure Halo's request budget: %w", err))
	}
}

// left of each instance's budget. Connections to one instance may be set to different limits; the tightest is told. What
// cannot be read now is left out.
func (h *Halo) left(ctx context.Context) map[string]int {
	h.mu.Lock()
	budgets := make(map[*halo.Budget]string, len(h.budgets))
	for key, b := range h.budgets {
		budgets[b] = key.instance
	}
	h.mu.Unlock()
	out := map[string]int{}
	for b, instance := range budgets {
		left, err := b.Left(ctx)
		if err != nil {
			otel.Handle(fmt.Errorf("request budget of %s: %w", instance, err))
			continue
		}
		if least, known := out[instance]; !known || left < least {
			out[instance] = left
		}
	}
	return out
}
