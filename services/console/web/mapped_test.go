package web

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/mapper"
	"seatline.dev/services/servicetest"
)

// settingsOfAcme is the console's part of what these pages ask: connections with etags, and the integrator.
type settingsOfAcme struct {
	connectionv1.UnimplementedConnectionServiceServer
	runv1.UnimplementedIntegratorServiceServer
	connection *connectionv1.Connection
	preview    *runv1.SubscriptionImport
	report     *runv1.RunReport
}

func (s *settingsOfAcme) ListConnections(context.Context, *connectionv1.ListConnectionsRequest) (*connectionv1.ListConnectionsResponse, error) {
	return &connectionv1.ListConnectionsResponse{Connections: []*connectionv1.Connection{s.connection}}, nil
}

func (s *settingsOfAcme) GetConnection(context.Context, *connectionv1.GetConnectionRequest) (*connectionv1.Connection, error) {
	return s.connection, nil
}

func (s *settingsOfAcme) ApplyConnection(ctx context.Context, req *connectionv1.ApplyConnectionRequest) (*connectionv1.Connection, error) {
	if req.GetConnection().GetEtag() != s.connection.GetEtag() {
		return nil, rpc.Conflict("connection", "acme")
	}
	s.connection = proto.CloneOf(req.GetConnection())
	s.connection.Etag, s.connection.UpdatedBy = s.connection.Etag+"+", rpc.Who(ctx)
	return s.connection, nil
}

func (s *settingsOfAcme) GetSubscriptionImport(context.Context, *runv1.GetSubscriptionImportRequest) (*runv1.SubscriptionImport, error) {
	return s.preview, nil
}

func (s *settingsOfAcme) GetRunReport(context.Context, *runv1.GetRunReportRequest) (*runv1.RunReport, error) {
	return s.report, nil
}

// patience of a test with Halo: more than the simulator ever needs.
const patience = 3 * time.Second

// mapped is a web console with a real mapper behind it, which maps against a simulated Halo.
type mapped struct {
	*site
	t        *testing.T
	sim      *halosim.Sim
	api      *httptest.Server
	settings *settingsOfAcme
	mapper   *grpc.ClientConn
	env      chassis.Env
	olga     *person
}

const operatorsToken = telemetry.Secret("an-operators-token-of-a-test")

func startMapped(t *testing.T, state halosim.State, events ...event.Event) *mapped {
	t.Helper()
	env := servicetest.Env(t)
	env.Log = slog.New(slog.DiscardHandler)
	env.RPC = rpc.Config{Addr: "127.0.0.1:0", Tokens: []rpc.Token{{Name: "console", Role: rpc.RoleService, Secret: serviceToken}, {Name: "otto", Role: rpc.RoleOperator, Secret: operatorsToken}}}
	listening := make(chan string, 1)
	env.Listening = func(addr string) { listening <- addr }
	eventtest.Run(t, func(ctx context.Context) error {
		return mapper.Run(ctx, mapper.Config{Env: env, Secrets: servicetest.Secrets{}, Quiet: 100 * time.Millisecond, Poll: 20 * time.Millisecond, HaloTimeout: 5 * time.Second, Lease: 20 * time.Second, Settle: time.Second})
	})
	var addr string
	select {
	case addr = <-listening:
	case <-time.After(30 * time.Second):
		t.Fatal("the mapper does not listen")
	}
	dial := func(token telemetry.Secret) *grpc.ClientConn {
		conn, err := rpc.Dial(rpc.Endpoint{Addr: addr, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	m := &mapped{t: t, sim: halosim.New(halosim.Config{}), env: env, mapper: dial(operatorsToken)}
	if state.TopLevels == nil {
		state.TopLevels = []halosim.TopLevel{{ID: 1, Name: "Customers"}, {ID: 2, Name: "Giacom <new> & \"bright\""}}
	}
	state.CustomFields = []string{"CFGiacomCustomerId"}
	m.sim.Set(state)
	m.api = httptest.NewServer(m.sim)
	t.Cleanup(m.api.Close)
	off := false
	m.settings = &settingsOfAcme{connection: &connectionv1.Connection{
		Slug: "acme", DisplayName: "Acme IT", Enabled: true, Mode: connectionv1.Mode_MODE_AUTO, Etag: "1",
		Giacom:    &connectionv1.Giacom{Account: "acct", Currency: "GBP", Method: connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS},
		Halo:      &connectionv1.Halo{BaseUrl: m.api.URL, Tenant: "sim", ClientId: "sim-client", Instance: "sim/sim", BudgetRequests: 100000},
		Customers: &connectionv1.Customers{MapByName: &off, MapFromNative: &off, UnmappedAlertAfter: durationpb.New(time.Millisecond)},
	}}
	console := serveGRPC(t, func(server grpc.ServiceRegistrar) {
		connectionv1.RegisterConnectionServiceServer(server, m.settings)
		runv1.RegisterIntegratorServiceServer(server, m.settings)
	})
	m.site = start(t, func(cfg *Config) {
		cfg.Services.Console, cfg.Services.Mapper, cfg.Patience = console, dial(serviceToken), patience
	})
	eventtest.Send(t, env.Bus, append([]event.Event{{Type: "seatline.connection.changed.v1", Entity: "connection", Connection: "acme", Key: "acme", Data: m.settings.connection}}, events...)...)
	m.settle()
	m.olga = m.enter(t, "olga", rpc.RoleOperator)
	return m
}

func (m *mapped) settle() { m.t.Helper(); servicetest.Settle(m.t, m.mapper, 3) }

func customerOf(id, name string) event.Event {
	return event.Event{Type: "seatline.giacom.customer.changed.v1", Entity: "giacom-customer", Connection: "acme", Key: id, Run: "r1", Data: &giacomv1.Customer{MexId: id, Name: name}}
}

func subscriptionOf(key, id, price string) event.Event {
	return event.Event{Type: "seatline.giacom.subscription.changed.v1", Entity: "giacom-subscription", Connection: "acme", Key: key, Run: "r1",
		Data: &giacomv1.Subscription{Key: key, MexId: id, Name: "Microsoft 365", Quantity: "5", PurchasePrice: &moneyv1.Money{Amount: price, Currency: "GBP"}}}
}

func (m *mapped) mapping(id string) *mappingv1.Mapping {
	m.t.Helper()
	x, err := mappingv1.NewMappingServiceClient(m.mapper).GetMapping(m.t.Context(), &mappingv1.GetMappingRequest{Connection: "acme", MexId: id})
	if err != nil {
		m.t.Fatal(err)
	}
	return x
}

const hostile = `Zoë's "Café" <b>&</b> 🌱`

func estateOf() (halosim.State, []event.Event) {
	return halosim.State{Clients: []halosim.Client{{ID: 7, Name: "Harbour Dental"}, {ID: 8, Name: "Northwind Bakery Ltd"}, {ID: 9, Name: hostile}, {ID: 10, Name: "Old <i>one</i>", Inactive: true}, {ID: 11, Name: "Twin"}, {ID: 12, Name: "Twin"}}},
		[]event.Event{customerOf("H", "Harbour Dental"), customerOf("N", "Northwind Bakery Limited"), customerOf("Z", hostile), customerOf("T", "Twin"), customerOf("X", "Quite Unlike Any"),
			subscriptionOf("giacom/1", "X", "10"), subscriptionOf("giacom/2", "Z", "2.5")}
}
