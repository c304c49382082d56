package console

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/overview"
	"seatline.dev/services/servicetest"
)

// running is a console that runs on a real database and a real NATS server, and its clients.
type running struct {
	pool                      *pgxpool.Pool
	bus                       *bus.Conn
	log                       *lockedBuffer
	addr                      string
	operator, viewer, service connectionv1.ConnectionServiceClient
	ops                       opsv1.OpsServiceClient
	integrator                runv1.IntegratorServiceClient
	keyset                    string
}

// down is a service that does not answer.
func down(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(rpc.Endpoint{Addr: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func start(t *testing.T) *running {
	t.Helper()
	keyset := filepath.Join(t.TempDir(), "keyset.json")
	if err := EnsureKeyset(keyset); err != nil {
		t.Fatal(err)
	}
	sealer, err := OpenSealer(keyset)
	if err != nil {
		t.Fatal(err)
	}
	env, log := servicetest.Env(t), &lockedBuffer{}
	env.Log = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	env.RPC.InsecureLoopback = false
	tokens := map[rpc.Role]telemetry.Secret{}
	for _, role := range []rpc.Role{rpc.RoleOperator, rpc.RoleViewer, rpc.RoleService} {
		tokens[role] = telemetry.Secret("token-of-the-" + string(role))
		env.RPC.Tokens = append(env.RPC.Tokens, rpc.Token{Name: string(role), Role: role, Secret: tokens[role]})
	}
	gone := down(t)
	services := overview.Services{Fetcher: gone, Mapper: gone, Licence: gone, Billing: gone}
	conn, _ := servicetest.Start(t, env, func(ctx context.Context, env chassis.Env) error {
		return Run(ctx, Config{Env: env, Sealer: sealer, Services: services})
	})
	r := &running{keyset: keyset, pool: env.Pool, bus: env.Bus, log: log, addr: conn.Target()}
	dial := func(role rpc.Role) connectionv1.ConnectionServiceClient {
		conn, err := rpc.Dial(rpc.Endpoint{Addr: r.addr, Token: tokens[role]})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if role == rpc.RoleViewer {
			r.ops, r.integrator = opsv1.NewOpsServiceClient(conn), runv1.NewIntegratorServiceClient(conn)
		}
		return connectionv1.NewConnectionServiceClient(conn)
	}
	r.operator, r.viewer, r.service = dial(rpc.RoleOperator), dial(rpc.RoleViewer), dial(rpc.RoleService)
	return r
}

// acme is a connection as an operator would write it.
func acme(slug string) *connectionv1.ApplyConnectionRequest {
	return &connectionv1.ApplyConnectionRequest{
		Connection: &connectionv1.Connection{
			Slug: slug, Enabled: true,
			Giacom: &connectionv1.Giacom{Account: slug + "-account"},
			Halo:   &connectionv1.Halo{BaseUrl: "https://acme.halopsa.com", Tenant: "Acme", ClientId: "0f6c"},
		},
		GiacomApiKey: "canary-giacom-key-0001", HaloClientSecret: "canary-halo-secret-0002",
	}
}

func (r *running) apply(t *testing.T, req *connectionv1.ApplyConnectionRequest) *connectionv1.Connection {
	t.Helper()
	c, err := r.operator.ApplyConnection(t.Context(), req)
	if err != nil {
		t.Fatal(rpc.Describe(err))
	}
	return c
}

// edit is c as it was read, changed.
func edit(c *connectionv1.Connection, change func(*connectionv1.Connection)) *connectionv1.ApplyConnectionRequest {
	c = proto.CloneOf(c)
	change(c)
	return &connectionv1.ApplyConnectionRequest{Connection: c}
}

// withSecrets says the stored secrets again, as one must to send them elsewhere.
func withSecrets(req *connectionv1.ApplyConnectionRequest) *connectionv1.ApplyConnectionRequest {
	given := acme(req.GetConnection().GetSlug())
	req.GiacomApiKey, req.HaloClientSecret = given.GiacomApiKey, given.HaloClientSecret
	return req
}

func slug(s string) *connectionv1.GetConnectionRequest {
	return &connectionv1.GetConnectionRequest{Slug: s}
}

// onBus waits until the bus shows the connection as the condition wants it.
func (r *running) onBus(t *testing.T, key, what string, condition func(*connectionv1.Connection, string) bool) {
	t.Helper()
	eventtest.Eventually(t, what, func() bool {
		e, ok := eventtest.State(t, r.bus, "connection")[key+"/"+key]
		if !ok {
			return false
		}
		var c connectionv1.Connection
		if err := e.Unmarshal(&c); err != nil {
			t.Fatal(err)
		}
		return condition(&c, e.Type)
	})
}

// lockedBuffer is written to by many goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
