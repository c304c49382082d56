package connections_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

type secrets struct{}

func (secrets) GetSecrets(context.Context, *connectionv1.GetConnectionRequest, ...grpc.CallOption) (*connectionv1.Secrets, error) {
	return &connectionv1.Secrets{HaloClientSecret: "secret"}, nil
}

func TestMetricsTellWhatIsLeftOfEachInstancesBudget(t *testing.T) {
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Service: "test", Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(context.Background())
	conn := bustest.New(t)
	bucket, err := conn.JS.KeyValue(t.Context(), bus.BudgetBucket)
	if err != nil {
		t.Fatal(err)
	}
	clients := connections.NewHalo(connections.HaloConfig{Secrets: secrets{}, Bucket: bucket, Log: tel.Log, Meters: tel.Meters})
	client := func(slug, tenant string, limit int32) *halo.Client {
		c, err := clients.Client(t.Context(), &connectionv1.Connection{Slug: slug, Halo: &connectionv1.Halo{
			BaseUrl: "https://acme.halopsa.com", Tenant: tenant, ClientId: "id", BudgetRequests: limit,
		}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, _, other := client("a", "acme", 200), client("b", "acme", 100), client("c", "other", 50)
	for range 30 {
		if err := first.Budget().Take(t.Context(), halo.Urgent); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Budget().Take(t.Context(), halo.Urgent); err != nil {
		t.Fatal(err)
	}
	// Two connections of one instance share its window; the tighter limit is what counts.
	for tenant, left := range map[string]int{"acme": 70, "other": 49} {
		sample := fmt.Sprintf(`instance="acme_halopsa_com.%s",otel_scope_name="seatline.dev/pkg/connections",otel_scope_schema_url="",otel_scope_version=""} %d`, tenant, left)
		if text := scrape(tel); !strings.Contains(text, "seatline_halo_budget_left{"+sample+"\n") {
			t.Errorf("there is no\n%s\nin\n%s", sample, text)
		}
	}
}

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
