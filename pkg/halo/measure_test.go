package halo

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Every request that is sent is counted by what came of it, those for tokens too.
func TestRequestsAreCountedByClass(t *testing.T) {
	for secret, want := range map[string]map[string]int64{
		"s3cret": {"POST /token ok": 1, "GET /SoftwareLicence/{id} not_found": 1},
		"wr0ng":  {"POST /token unauthorised": 1},
	} {
		reader := sdkmetric.NewManualReader()
		c, _ := serve(t, &stub{secret: secret, meters: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))}, http.NotFound)
		if _, err := c.Licence(context.Background(), 7); err == nil {
			t.Error("no error")
		}
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, scope := range all.ScopeMetrics {
			for _, m := range scope.Metrics {
				for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
					label := func(name string) string { v, _ := p.Attributes.Value(attribute.Key(name)); return v.AsString() }
					got[fmt.Sprintf("%s %s %s", label("method"), label("route"), label("class"))] += p.Value
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", secret, diff)
		}
	}
}
