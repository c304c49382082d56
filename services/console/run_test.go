package console

import (
	"context"
	"crypto/rand"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// database makes one for the test alone: Run takes the schema "console" in it, whatever else is there.
func database(t *testing.T) string {
	t.Helper()
	server := postgrestest.URL(t)
	admin, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	name := "t_" + strings.ToLower(rand.Text()[:12])
	if _, err := admin.Exec(t.Context(), "create database "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "drop database "+name+" with (force)"); err != nil {
			t.Error(err)
		}
		admin.Close(context.Background())
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// A restart finds everything as it was, a second replica serves the same, and the end is clean.
func TestRunServesWhatAnEarlierOneStored(t *testing.T) {
	at, conn := database(t), bustest.New(t)
	sealer := newSealer(t, filepath.Join(t.TempDir(), "keyset"))
	run := func() (connectionv1.ConnectionServiceClient, func()) {
		t.Helper()
		addr := make(chan string, 1)
		stop := eventtest.Run(t, func(ctx context.Context) error {
			return Run(ctx, Config{
				Database: at, Bus: conn, Sealer: sealer, RPC: rpc.Config{Addr: "127.0.0.1:0", InsecureLoopback: true},
				Listening: func(a string) { addr <- a },
			})
		})
		select {
		case a := <-addr:
			dialled, err := rpc.Dial(rpc.Endpoint{Addr: a})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { dialled.Close() })
			eventtest.Eventually(t, "healthy", func() bool {
				h, err := healthpb.NewHealthClient(dialled).Check(t.Context(), &healthpb.HealthCheckRequest{})
				return err == nil && h.GetStatus() == healthpb.HealthCheckResponse_SERVING
			})
			return connectionv1.NewConnectionServiceClient(dialled), stop
		case <-time.After(20 * time.Second):
			t.Fatal("does not listen")
			return nil, nil
		}
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
		_, ok := eventtest.State(t, conn, "connection")["acme/acme"]
		return ok
	})
}

func TestRunRefusesToStartWithoutAKeyset(t *testing.T) {
	if err := Run(t.Context(), Config{Bus: bustest.New(t)}); err == nil || !strings.Contains(err.Error(), "keyset") {
		t.Errorf("got %v", err)
	}
}
