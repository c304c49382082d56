package reconcile_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/telemetry"
)

func TestMetricsTellItemsByStateAndHowLongTheOldestWaits(t *testing.T) {
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Service: "toy", Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(context.Background())
	entered, leave := make(chan struct{}), make(chan struct{})
	b := setup(t, func(c *reconcile.Config[seats]) { c.Meters = tel.Meters })
	b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		close(entered)
		<-leave
		out := make([]reconcile.Outcome[seats], len(items))
		for i, x := range items {
			write(x)
			out[i] = reconcile.Done(int64(i+1), x.Desired)
		}
		return out
	}
	held := want("c", 1)
	held.Verdict = reconcile.Hold("price_missing", "Giacom shows no price.")
	b.desire(want("a", 3), want("b", 5), held)

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.engine.Run(ctx) }()
	<-entered
	b.clock.Advance(90 * time.Second)
	text := scrape(tel)
	for _, sample := range []string{
		`seatline_items{kind="seats",otel_scope_name="seatline.dev/pkg/reconcile",otel_scope_schema_url="",otel_scope_version="",reason="",state="pending"} 2`,
		`seatline_items{kind="seats",otel_scope_name="seatline.dev/pkg/reconcile",otel_scope_schema_url="",otel_scope_version="",reason="price_missing",state="held"} 1`,
		`seatline_items_oldest_pending_seconds{kind="seats",otel_scope_name="seatline.dev/pkg/reconcile",otel_scope_schema_url="",otel_scope_version=""} 90`,
	} {
		if !strings.Contains(text, sample+"\n") {
			t.Errorf("there is no\n%s\nin\n%s", sample, text)
		}
	}
	close(leave)
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if text := scrape(tel); strings.Contains(text, "seatline_items") {
		t.Errorf("an engine that has ended still measures:\n%s", text)
	}
}

// scrape returns what Prometheus would read, of Seatline's own.
func scrape(tel *telemetry.Telemetry) string {
	w := httptest.NewRecorder()
	tel.MetricsHandler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	var own strings.Builder
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "seatline_") {
			own.WriteString(line)
		}
	}
	return own.String()
}
