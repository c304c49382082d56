package console

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event/eventtest"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/servicetest"
)

// A restart finds everything as it was, a second replica serves the same, and the end is clean.
func TestRunServesWhatAnEarlierOneStored(t *testing.T) {
	env := servicetest.Env(t)
	sealer := newSealer(t, filepath.Join(t.TempDir(), "keyset"))
	run := func() (connectionv1.ConnectionServiceClient, func()) {
		t.Helper()
		conn, stop := servicetest.Start(t, env, func(ctx context.Context, env chassis.Env) error { return Run(ctx, Config{Env: env, Sealer: sealer}) })
		eventtest.Eventually(t, "healthy", func() bool {
			h, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
			return err == nil && h.GetStatus() == healthpb.HealthCheckResponse_SERVING
		})
		return connectionv1.NewConnectionServiceClient(conn), stop
	}
	first, stop := run()
	made, err := first.ApplyConnection(t.Context(), acme("acme"))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	second, _ := run()
	third, _ := run()
	for _, replica := range []connectionv1.ConnectionServiceClient{second, third} {
		got, err := replica.GetConnection(t.Context(), slug("acme"))
		if err != nil || got.GetEtag() != made.GetEtag() {
			t.Errorf("after the restart: %v, %v", got, err)
		}
	}
	// Through either replica: the etag of one is good with the other.
	if _, err := third.ApplyConnection(t.Context(), edit(made, func(c *connectionv1.Connection) { c.DisplayName = "Acme" })); err != nil {
		t.Error(err)
	}
	eventtest.Eventually(t, "on the bus", func() bool {
		_, ok := eventtest.State(t, env.Bus, "connection")["acme/acme"]
		return ok
	})
}

func TestRunRefusesToStartWithoutAKeyset(t *testing.T) {
	if err := Run(t.Context(), Config{}); err == nil || !strings.Contains(err.Error(), "keyset") {
		t.Errorf("got %v", err)
	}
}
