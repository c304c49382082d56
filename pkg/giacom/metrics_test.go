package giacom_test

import (
	"context"
	"net/http/httptest"
	"regexp"
	"testing"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/telemetry"
)

func TestMetricsCountRequestsByOutcome(t *testing.T) {
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Service: "test", Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(context.Background())
	w := newWorld(t, giacomsim.Config{Key: "sim-key"}).with(func(c *giacom.Config) {
		c.Method, c.Meters = giacom.MethodReport, tel.Meters
	})
	if err := w.sim.Inject(giacomsim.Fault{Name: "error_500", Nth: 1}); err != nil {
		t.Fatal(err)
	}
	if g := w.pull(t); g.err != nil {
		t.Fatal(g.err)
	}
	scrape := httptest.NewRecorder()
	tel.MetricsHandler.ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	text := scrape.Body.String()
	for _, sample := range []string{
		`seatline_giacom_requests_total{class="unavailable",feed="Customers",.*} 1\n`,
		`seatline_giacom_requests_total{class="ok",feed="Customers",.*} [1-9]\d*\n`,
		`seatline_giacom_requests_total{class="ok",feed="SubscriptionsManagementReport",.*} [1-9]\d*\n`,
	} {
		if !regexp.MustCompile(sample).MatchString(text) {
			t.Errorf("there is no %s in\n%s", sample, text)
		}
	}
}
