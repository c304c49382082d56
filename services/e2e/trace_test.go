package e2e

import (
	"context"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	logsv1 "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricsv1 "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/e2e/world"
)

// collector keeps, by trace, which services made which spans.
type collector struct {
	collectorv1.UnimplementedTraceServiceServer
	mu     sync.Mutex
	traces map[string]map[string][]string // trace → service → span names
}

func (c *collector) Export(_ context.Context, req *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range req.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				if c.traces[id] == nil {
					c.traces[id] = map[string][]string{}
				}
				c.traces[id][service] = append(c.traces[id][service], span.GetName())
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// whole returns a trace in which every service has a part and both of Halo's objects are written.
func (c *collector) whole() map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	writes := func(spans []string, route string) bool {
		return slices.ContainsFunc(spans, func(name string) bool { return strings.Contains(name, "POST") && strings.Contains(name, route) })
	}
	for _, services := range c.traces {
		if len(services["fetcher"]) > 0 && len(services["mapper"]) > 0 && writes(services["licence"], "/SoftwareLicence") && writes(services["billing"], "/RecurringInvoice") {
			return services
		}
	}
	return nil
}

// One trace leads from the poll of Giacom to the writes in Halo, through every service and its outbox.
func TestOneTraceFromThePollToHalo(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{traces: map[string]map[string][]string{}}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, c)
	logsv1.RegisterLogsServiceServer(server, logsv1.UnimplementedLogsServiceServer{})
	metricsv1.RegisterMetricsServiceServer(server, metricsv1.UnimplementedMetricsServiceServer{})
	go server.Serve(listener) //nolint:errcheck // it ends with the test
	t.Cleanup(server.Stop)
	dearer := []*pricingv1.PriceRule{{Name: "plus 20 %", Price: &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: "20"}}}
	s := tell(t, plot{estate: small(), rules: dearer, world: world.Options{Env: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + listener.Addr().String(), "OTEL_BSP_SCHEDULE_DELAY=200",
	}}})
	s.poll(true)
	for deadline := time.Now().Add(30 * time.Second); c.whole() == nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.mu.Lock()
			defer c.mu.Unlock()
			for id, services := range c.traces {
				if len(services) > 1 {
					t.Logf("%s: %v", id, services)
				}
			}
			t.Fatal("no trace leads through all services")
		}
	}
}
