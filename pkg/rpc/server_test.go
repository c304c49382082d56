package rpc

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

const (
	viewerToken   = telemetry.Secret("viewer-token-0123456789")
	operatorToken = telemetry.Secret("operator-token-0123456789")
	serviceToken  = telemetry.Secret("service-token-0123456789")
)

func tokens() []Token {
	return []Token{{"vera", RoleViewer, viewerToken}, {"olga", RoleOperator, operatorToken}, {"licence", RoleService, serviceToken}}
}

// connections answers with what the test gives it.
type connections struct {
	connectionv1.UnimplementedConnectionServiceServer
	get func(context.Context) (*connectionv1.Connection, error)
}

func (c connections) GetConnection(ctx context.Context, _ *connectionv1.GetConnectionRequest) (*connectionv1.Connection, error) {
	return c.get(ctx)
}

func (connections) DeleteConnection(context.Context, *connectionv1.GetConnectionRequest) (*connectionv1.DeleteConnectionResponse, error) {
	return &connectionv1.DeleteConnectionResponse{}, nil
}

func (connections) GetSecrets(context.Context, *connectionv1.GetConnectionRequest) (*connectionv1.Secrets, error) {
	return &connectionv1.Secrets{}, nil
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

// serve starts a server on a free port; stop ends it and waits.
func serve(t *testing.T, cfg Config, get func(context.Context) (*connectionv1.Connection, error)) (addr string, log *syncBuffer, stop func()) {
	t.Helper()
	log = &syncBuffer{}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	server, err := NewServer(cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	connectionv1.RegisterConnectionServiceServer(server, connections{get: get})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return server.Addr(), log, stop
}

func dial(t *testing.T, to Endpoint) *grpc.ClientConn {
	t.Helper()
	conn, err := Dial(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestRolesDecideWhoMayWhat(t *testing.T) {
	addr, _, _ := serve(t, Config{Tokens: tokens()}, func(ctx context.Context) (*connectionv1.Connection, error) {
		if outside, viewer := AskOutside(ctx), CallerFrom(ctx).Role == RoleViewer; (status.Code(outside) == codes.PermissionDenied) != viewer {
			t.Errorf("asking Giacom or Halo as %s: %v", Who(ctx), outside)
		}
		return &connectionv1.Connection{}, nil
	})
	calls := map[string]func(connectionv1.ConnectionServiceClient) error{
		"read": func(c connectionv1.ConnectionServiceClient) error {
			_, err := c.GetConnection(t.Context(), &connectionv1.GetConnectionRequest{})
			return err
		},
		"command": func(c connectionv1.ConnectionServiceClient) error {
			_, err := c.DeleteConnection(t.Context(), &connectionv1.GetConnectionRequest{})
			return err
		},
		"secrets": func(c connectionv1.ConnectionServiceClient) error {
			_, err := c.GetSecrets(t.Context(), &connectionv1.GetConnectionRequest{})
			return err
		},
	}
	const ok, denied, unknown = codes.OK, codes.PermissionDenied, codes.Unauthenticated
	for _, test := range []struct {
		who                    string
		token                  telemetry.Secret
		read, command, secrets codes.Code
	}{
		{"viewer", viewerToken, ok, denied, denied},
		{"operator", operatorToken, ok, ok, denied},
		{"service", serviceToken, ok, denied, ok},
		{"nobody", "", unknown, unknown, unknown},
		{"stranger", "some-other-token-0123456789", unknown, unknown, unknown},
	} {
		client := connectionv1.NewConnectionServiceClient(dial(t, Endpoint{Addr: addr, Token: test.token}))
		for name, want := range map[string]codes.Code{"read": test.read, "command": test.command, "secrets": test.secrets} {
			if got := status.Code(calls[name](client)); got != want {
				t.Errorf("%s, %s: %v, want %v", test.who, name, got, want)
			}
		}
	}
}

func TestLoopbackWithoutTokensStillGuardsSecrets(t *testing.T) {
	var caller Caller
	addr, _, _ := serve(t, Config{InsecureLoopback: true, Tokens: tokens()}, func(ctx context.Context) (*connectionv1.Connection, error) {
		caller = CallerFrom(ctx)
		return &connectionv1.Connection{}, nil
	})
	client := connectionv1.NewConnectionServiceClient(dial(t, Endpoint{Addr: addr}))
	if _, err := client.GetConnection(t.Context(), &connectionv1.GetConnectionRequest{}); err != nil {
		t.Error(err)
	}
	if want := (Caller{Name: "local", Role: RoleOperator}); caller != want {
		t.Errorf("caller %v, want %v", caller, want)
	}
	if _, err := client.GetSecrets(t.Context(), &connectionv1.GetConnectionRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("secrets without a token: %v", err)
	}
}

func TestServerRefusesToBeOpen(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  Config
		want string
	}{
		"open beyond the machine":      {Config{Addr: "0.0.0.0:0", InsecureLoopback: true}, "loopback"},
		"open on all addresses":        {Config{Addr: ":0", InsecureLoopback: true}, "loopback"},
		"no tokens":                    {Config{Addr: "0.0.0.0:0"}, "no way for callers to authenticate"},
		"no tokens on loopback either": {Config{Addr: "127.0.0.1:0"}, "no way for callers to authenticate"},
		"unknown role":                 {Config{Addr: "127.0.0.1:0", Tokens: []Token{{"x", "root", viewerToken}}}, "roles are"},
		"short token":                  {Config{Addr: "127.0.0.1:0", Tokens: []Token{{"x", RoleViewer, "short"}}}, "16 characters"},
		"nameless token":               {Config{Addr: "127.0.0.1:0", Tokens: []Token{{"", RoleViewer, viewerToken}}}, "no name"},
	} {
		_, err := NewServer(test.cfg, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want it to say %q", name, err, test.want)
		}
	}
}

func TestFaultsAreLoggedAndNotTold(t *testing.T) {
	fault := errors.New("connect to postgres://seatline:hunter2@db")
	for name, get := range map[string]func(context.Context) (*connectionv1.Connection, error){
		"error": func(context.Context) (*connectionv1.Connection, error) { return nil, fault },
		"panic": func(context.Context) (*connectionv1.Connection, error) { panic(fault) },
	} {
		t.Run(name, func(t *testing.T) {
			addr, log, stop := serve(t, Config{InsecureLoopback: true}, get)
			client := connectionv1.NewConnectionServiceClient(dial(t, Endpoint{Addr: addr}))
			_, err := client.GetConnection(t.Context(), &connectionv1.GetConnectionRequest{})
			if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the caller sees %v", err)
			}
			if Reason(err) != "INTERNAL" {
				t.Errorf("reason %q", Reason(err))
			}
			stop()
			if !strings.Contains(log.text(), "hunter2@db") {
				t.Errorf("the log lacks the cause: %s", log.text())
			}
		})
	}
}

func TestDrainFinishesCallsInHandAndTurnsHealthOff(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	addr, _, stop := serve(t, Config{Tokens: tokens()}, func(context.Context) (*connectionv1.Connection, error) {
		close(started)
		<-finish
		return &connectionv1.Connection{Slug: "demo"}, nil
	})
	conn := dial(t, Endpoint{Addr: addr, Token: viewerToken})
	// Health needs no token.
	watch, err := healthpb.NewHealthClient(dial(t, Endpoint{Addr: addr})).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	awaitHealth(t, watch, healthpb.HealthCheckResponse_SERVING)

	answered := make(chan error, 1)
	go func() {
		_, err := connectionv1.NewConnectionServiceClient(conn).GetConnection(t.Context(), &connectionv1.GetConnectionRequest{})
		answered <- err
	}()
	<-started
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	awaitHealth(t, watch, healthpb.HealthCheckResponse_NOT_SERVING)
	close(finish)
	if err := <-answered; err != nil {
		t.Errorf("the call in hand was cut off: %v", err)
	}
	// Nobody ended the health watch: a stream must not keep the server for its whole drain time.
	select {
	case <-stopped:
	case <-time.After(5 * time.Second):
		t.Error("the server waits for a stream")
		<-stopped
	}
	if _, err := watch.Recv(); Reason(err) != "STOPPING" {
		t.Errorf("the stream ended with %v", err)
	}
}

func awaitHealth(t *testing.T, watch healthpb.Health_WatchClient, want healthpb.HealthCheckResponse_ServingStatus) {
	t.Helper()
	for {
		response, err := watch.Recv()
		if err != nil {
			t.Fatalf("health watch ended before %v: %v", want, err)
		}
		if response.GetStatus() == want {
			return
		}
	}
}

func TestDrainIsBounded(t *testing.T) {
	started := make(chan struct{})
	addr, log, stop := serve(t, Config{InsecureLoopback: true, DrainTimeout: 50 * time.Millisecond}, func(ctx context.Context) (*connectionv1.Connection, error) {
		close(started)
		<-ctx.Done() // only when cut off
		return nil, ctx.Err()
	})
	go connectionv1.NewConnectionServiceClient(dial(t, Endpoint{Addr: addr})).GetConnection(t.Context(), &connectionv1.GetConnectionRequest{})
	<-started
	stop()
	if !strings.Contains(log.text(), "cut off") {
		t.Error("the log does not say that a call was cut off")
	}
}

func TestUnhealthyIsShown(t *testing.T) {
	addr, _, _ := serve(t, Config{InsecureLoopback: true, Healthy: func(context.Context) error { return errors.New("database gone") }}, nil)
	watch, err := healthpb.NewHealthClient(dial(t, Endpoint{Addr: addr})).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	awaitHealth(t, watch, healthpb.HealthCheckResponse_NOT_SERVING)
}

func TestReflectionNeedsAToken(t *testing.T) {
	addr, _, _ := serve(t, Config{Tokens: tokens()}, nil)
	ask := func(token telemetry.Secret) error {
		stream, err := reflectionpb.NewServerReflectionClient(dial(t, Endpoint{Addr: addr, Token: token})).ServerReflectionInfo(t.Context())
		if err != nil {
			return err
		}
		_ = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
		_, err = stream.Recv()
		return err
	}
	if err := ask(viewerToken); err != nil {
		t.Error(err)
	}
	if err := ask(""); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
}

func TestTraceReachesTheHandler(t *testing.T) {
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{Service: "test", Output: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(t.Context())
	var seen string
	addr, _, _ := serve(t, Config{InsecureLoopback: true, Telemetry: tel}, func(ctx context.Context) (*connectionv1.Connection, error) {
		seen = telemetry.TraceParent(ctx)
		return &connectionv1.Connection{}, nil
	})
	ctx, span := tel.Tracer("test").Start(t.Context(), "client")
	defer span.End()
	client := connectionv1.NewConnectionServiceClient(dial(t, Endpoint{Addr: addr, Telemetry: tel}))
	if _, err := client.GetConnection(ctx, &connectionv1.GetConnectionRequest{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(seen, span.SpanContext().TraceID().String()) {
		t.Errorf("the handler's traceparent is %q, the client's trace %s", seen, span.SpanContext().TraceID())
	}
}

func TestPortInUseIsOneClearLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = NewServer(Config{Addr: taken.Addr().String(), InsecureLoopback: true}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("got %v", err)
	}
}
