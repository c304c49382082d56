package web

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/access"
	"seatline.dev/services/overview"
)

var olga = access.Person{Name: "olga", Role: rpc.RoleOperator}

const serviceToken = telemetry.Secret("the-services-token-of-a-test")

// services answer what a test gives them, and note who called. They are reached over real gRPC, so that
// roles and names are what a real service would see.
type services struct {
	connectionv1.UnimplementedConnectionServiceServer
	runv1.UnimplementedRunServiceServer
	opsv1.UnimplementedOpsServiceServer

	connections []*connectionv1.Connection
	runs        map[string]*runv1.Run
	watch       []*runv1.Run
	fail        error

	mu      sync.Mutex
	callers map[string]rpc.Caller // by method
}

func (s *services) note(ctx context.Context, method string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.callers == nil {
		s.callers = map[string]rpc.Caller{}
	}
	s.callers[method] = rpc.CallerFrom(ctx)
}

func (s *services) caller(method string) rpc.Caller {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.callers[method]
}

func (s *services) ListConnections(ctx context.Context, _ *connectionv1.ListConnectionsRequest) (*connectionv1.ListConnectionsResponse, error) {
	s.note(ctx, "ListConnections")
	return &connectionv1.ListConnectionsResponse{Connections: s.connections}, nil
}

func (s *services) ListRuns(ctx context.Context, _ *runv1.ListRunsRequest) (*runv1.ListRunsResponse, error) {
	s.note(ctx, "ListRuns")
	resp := &runv1.ListRunsResponse{}
	for _, r := range s.runs {
		resp.Runs = append(resp.Runs, r)
	}
	return resp, s.fail
}

func (s *services) GetRun(ctx context.Context, req *runv1.GetRunRequest) (*runv1.Run, error) {
	if r, ok := s.runs[req.GetId()]; ok {
		return r, nil
	}
	return nil, rpc.NotFound("run", req.GetId())
}

func (s *services) StartRun(ctx context.Context, req *runv1.StartRunRequest) (*runv1.Run, error) {
	s.note(ctx, "StartRun")
	return &runv1.Run{Id: "r1", Connection: req.GetConnection()}, s.fail
}

func (s *services) ReleaseRun(ctx context.Context, req *runv1.DecideRunRequest) (*runv1.Run, error) {
	s.note(ctx, "ReleaseRun "+req.GetReason())
	return s.runs[req.GetId()], s.fail
}

func (s *services) WatchRun(_ *runv1.GetRunRequest, to grpc.ServerStreamingServer[runv1.Run]) error {
	for _, r := range s.watch {
		if err := to.Send(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *services) GetProgress(context.Context, *opsv1.GetProgressRequest) (*opsv1.Progress, error) {
	return &opsv1.Progress{}, s.fail
}

// site is a web console on a real database, with its services.
type site struct {
	*Server
	*services
	store *access.Store
	clock *clockwork.FakeClock
}

func newStore(t *testing.T) (*access.Store, *clockwork.FakeClock) {
	t.Helper()
	clock := clockwork.NewFakeClockAt(time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC))
	return &access.Store{Pool: postgrestest.New(t, access.Migrations()), Clock: clock, Idle: 2 * time.Hour, Max: 12 * time.Hour}, clock
}

func start(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	store, clock := newStore(t)
	s := &site{services: &services{connections: []*connectionv1.Connection{{Slug: "acme", DisplayName: "Acme IT", Enabled: true}}}, store: store, clock: clock}
	dialled := serveServices(t, s.services)
	cfg := Config{Addr: "127.0.0.1:0", Services: overview.Services{Console: dialled, Fetcher: dialled, Mapper: dialled, Licence: dialled, Billing: dialled}, Log: slog.New(slog.DiscardHandler), Clock: clock}
	for _, f := range change {
		f(&cfg)
	}
	s.Server = serveSite(t, cfg, store)
	return s
}

func serveServices(t *testing.T, s *services) grpc.ClientConnInterface {
	t.Helper()
	return serveGRPC(t, func(server grpc.ServiceRegistrar) {
		connectionv1.RegisterConnectionServiceServer(server, s)
		runv1.RegisterRunServiceServer(server, s)
		opsv1.RegisterOpsServiceServer(server, s)
	})
}

func serveOps(t *testing.T, s opsv1.OpsServiceServer) grpc.ClientConnInterface {
	t.Helper()
	return serveGRPC(t, func(server grpc.ServiceRegistrar) { opsv1.RegisterOpsServiceServer(server, s) })
}

func serveGRPC(t *testing.T, register func(grpc.ServiceRegistrar)) grpc.ClientConnInterface {
	t.Helper()
	server, err := rpc.NewServer(rpc.Config{Addr: "127.0.0.1:0", Tokens: []rpc.Token{{Name: "console", Role: rpc.RoleService, Secret: serviceToken}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	eventtest.Run(t, server.Serve)
	conn, err := rpc.Dial(rpc.Endpoint{Addr: server.Addr(), Token: serviceToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func serveSite(t *testing.T, cfg Config, store *access.Store) *Server {
	t.Helper()
	up := make(chan string, 1)
	cfg.Listening = func(url string) { up <- url }
	s, err := New(cfg, store)
	if err != nil {
		t.Fatal(err)
	}
	eventtest.Run(t, s.Serve)
	select {
	case <-up:
	case <-time.After(20 * time.Second):
		t.Fatal("does not serve")
	}
	return s
}

// person has a browser with cookies of its own, which follows no redirect by itself.
type person struct {
	t      *testing.T
	client *http.Client
	base   string
}

func (s *site) visitor(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t, &http.Client{Jar: jar, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, s.URL()}
}

// enter signs somebody in by a link.
func (s *site) enter(t *testing.T, name string, role rpc.Role) *person {
	t.Helper()
	link, _, err := s.store.NewLink(t.Context(), access.Person{Name: name, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	p := s.visitor(t)
	if r := p.get(strings.TrimPrefix(s.SignInLink()(link), s.URL())); r.status != http.StatusSeeOther || r.to != "/" {
		t.Fatalf("the link answers %d to %q: %s", r.status, r.to, r.body)
	}
	return p
}

type reply struct {
	status int
	to     string
	body   string
	header http.Header
}

func (p *person) send(method, path string, body io.Reader, change ...func(*http.Request)) reply {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range change {
		f(req)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header.Get("Location"), string(content), resp.Header}
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func (p *person) get(path string, change ...func(*http.Request)) reply {
	p.t.Helper()
	return p.send(http.MethodGet, path, nil, change...)
}

var tokenField = regexp.MustCompile(`name="token" value="([0-9a-f]{64})"`)

// token of the forms on a page.
func (p *person) token(path string) string {
	p.t.Helper()
	r := p.get(path)
	m := tokenField.FindStringSubmatch(r.body)
	if m == nil {
		p.t.Fatalf("no form on %s: %d\n%s", path, r.status, r.body)
	}
	return m[1]
}

// post sends a form with the token of the page it stands on.
func (p *person) post(path, page string, pairs ...string) reply {
	p.t.Helper()
	return p.postWith(p.token(page), path, pairs...)
}

func (p *person) postWith(token, path string, pairs ...string) reply {
	p.t.Helper()
	form := url.Values{}
	if token != "" {
		form.Set("token", token)
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return p.send(http.MethodPost, path, strings.NewReader(form.Encode()), header("Content-Type", "application/x-www-form-urlencoded"), header("Sec-Fetch-Site", "same-origin"))
}

func (p *person) cookies() []*http.Cookie {
	u, err := url.Parse(p.base)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.client.Jar.Cookies(u)
}

func stamp(s string) *timestamppb.Timestamp {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return timestamppb.New(t)
}
