package fetcher_test

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"
	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/fetcher"
	"seatline.dev/services/servicetest"
)

// monday is when every test begins: six in the morning in London, in winter.
var monday = time.Date(2026, 1, 5, 6, 0, 0, 0, time.UTC)

// world is a fetcher with a simulated Giacom, a real database and a real NATS server; the test holds the clock.
type world struct {
	t     testing.TB
	clock *clockwork.FakeClock
	sim   *giacomsim.Sim
	url   string
	pool  *pgxpool.Pool
	bus   *bus.Conn
	runs  runv1.RunServiceClient
	stop  func()
	base  *connectionv1.Connection
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, clock: clockwork.NewFakeClockAt(monday), pool: postgrestest.New(t), bus: bustest.New(t)}
	w.sim = giacomsim.New(giacomsim.Config{Now: w.clock.Now})
	server := httptest.NewServer(w.sim)
	t.Cleanup(server.Close)
	w.url = server.URL
	w.base = &connectionv1.Connection{
		Slug: "demo", Enabled: true, CreateTime: timestamppb.New(monday),
		Giacom: &connectionv1.Giacom{
			Account: "acme", BaseUrl: server.URL + "/Billing/v1", Method: connectionv1.ImportMethod_IMPORT_METHOD_REPORT,
		},
		Schedule: &connectionv1.Schedule{},
	}
	w.runs, w.stop = w.serve()
	return w
}

// serve runs one replica more.
func (w *world) serve() (runv1.RunServiceClient, func()) {
	w.t.Helper()
	env := chassis.Env{
		Pool: w.pool, Bus: w.bus, Clock: w.clock, Log: eventtest.Log(w.t),
		RPC: rpc.Config{Addr: "127.0.0.1:0", InsecureLoopback: true, DrainTimeout: 100 * time.Millisecond},
	}
	conn, stop := servicetest.Start(w.t, env, func(ctx context.Context, env chassis.Env) error {
		return fetcher.Run(ctx, fetcher.Config{Env: env, Secrets: servicetest.Secrets{}})
	})
	return runv1.NewRunServiceClient(conn), stop
}

// configure sends the connection's settings, changed by change, and waits until the fetcher has them.
func (w *world) configure(change func(*connectionv1.Connection)) *world {
	w.t.Helper()
	if change != nil {
		change(w.base)
	}
	e := event.Event{Type: "seatline.connection.changed.v1", Entity: "connection", Connection: w.base.Slug, Key: w.base.Slug, Revision: event.NewRevision(0, time.Now()), Data: w.base}
	eventtest.Send(w.t, w.bus, e)
	eventtest.Eventually(w.t, "connection known", func() bool {
		var revision int64
		return w.pool.QueryRow(w.t.Context(), `select coalesce(max(revision), 0) from connections where slug = $1`, w.base.Slug).Scan(&revision) == nil && revision >= e.Revision
	})
	return w
}

// oneMissProves makes a single complete pull proof of removal.
func oneMissProves(c *connectionv1.Connection) {
	c.Guards = &connectionv1.Guards{RemovalConfirmations: 1, RemovalInterval: durationpb.New(0), AllowCustomerRemoval: true, MaxRemovals: 1000}
}

// estate fills the account with customers of so many subscriptions each; ids are s0001 and on, GUIDs g0001 and on.
func (w *world) estate(customers, each int) *world {
	w.t.Helper()
	var a giacomsim.Account
	for c := range customers {
		mex := fmt.Sprintf("MEX%03d", c+1)
		a.Customers = append(a.Customers, giacomsim.Customer{MexID: mex, Name: "Customer " + mex, TenantID: "t-" + mex})
		for range each {
			a.Subscriptions = append(a.Subscriptions, subscription(len(a.Subscriptions)+1, mex))
		}
	}
	if err := w.sim.Set(a); err != nil {
		w.t.Fatal(err)
	}
	return w
}

func subscription(n int, mex string) giacomsim.Subscription {
	return giacomsim.Subscription{
		ID: fmt.Sprintf("s%04d", n), GUID: fmt.Sprintf("g%04d", n), MexID: mex, Name: "Product", ProductID: fmt.Sprintf("p%04d", n),
		Quantity: decimal.NewNullDecimal(decimal.NewFromInt(int64(n))), Price: decimal.NewNullDecimal(decimal.RequireFromString("15.09")),
		Start: monday.AddDate(-1, 0, 0), Renewal: monday.AddDate(0, 6, 0), Cycle: "Monthly", Term: "Annual",
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// poll starts a run by hand and waits for its end.
func (w *world) poll() *runv1.Run {
	w.t.Helper()
	return w.run(&runv1.StartRunRequest{Connection: "demo"})
}

// pollAsScheduled counts as the schedule's.
func (w *world) pollAsScheduled() *runv1.Run {
	w.t.Helper()
	return w.run(&runv1.StartRunRequest{Connection: "demo", AsScheduled: true})
}

func (w *world) run(req *runv1.StartRunRequest) *runv1.Run {
	w.t.Helper()
	run, err := w.runs.StartRun(w.t.Context(), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.end(run.Id)
}

// end watches a run to its end, while time goes on for its back-off.
func (w *world) end(id string) *runv1.Run {
	w.t.Helper()
	stream, err := w.runs.WatchRun(w.t.Context(), &runv1.GetRunRequest{Id: id})
	if err != nil {
		w.t.Fatal(err)
	}
	var last *runv1.Run
	for {
		run, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			w.t.Fatal(err)
		}
		last = run
	}
	// The outcome is true at commit; the lock goes a moment later.
	eventtest.Eventually(w.t, "the run's lock is free", func() bool {
		var held bool
		err := w.pool.QueryRow(w.t.Context(), `select exists (select from pg_locks where locktype = 'advisory' and
			(classid::bigint << 32 | objid::bigint) = hashtextextended('seatline run ' || current_schema() || ' demo', 0))`).Scan(&held)
		return err == nil && !held
	})
	return last
}

// succeeded fails the test unless the run's outcome is the one wanted.
func (w *world) want(run *runv1.Run, outcome runv1.Outcome) *runv1.Run {
	w.t.Helper()
	if run.Outcome != outcome {
		w.t.Fatalf("run is %s (%s), want %s", run.Outcome, run.GetReason().GetText(), outcome)
	}
	return run
}

func (w *world) succeeded(run *runv1.Run) *runv1.Run {
	w.t.Helper()
	return w.want(run, runv1.Outcome_OUTCOME_SUCCEEDED)
}

// published waits for the outbox and returns the subscriptions as the stream has them, by key.
func (w *world) published() map[string]published {
	w.t.Helper()
	w.drained()
	out := map[string]published{}
	for _, e := range eventtest.State(w.t, w.bus, "giacom-subscription") {
		m := &giacomv1.Subscription{}
		w.must(e.Unmarshal(m))
		out[e.Key] = published{e, m}
	}
	return out
}

type published struct {
	event.Event
	*giacomv1.Subscription
}

func (w *world) customers() map[string]*giacomv1.Customer {
	w.t.Helper()
	w.drained()
	out := map[string]*giacomv1.Customer{}
	for _, e := range eventtest.State(w.t, w.bus, "giacom-customer") {
		m := &giacomv1.Customer{}
		w.must(e.Unmarshal(m))
		if e.Type == "seatline.giacom.customer.changed.v1" {
			out[e.Key] = m
		}
	}
	return out
}

func (w *world) drained() {
	w.t.Helper()
	eventtest.Eventually(w.t, "outbox empty", func() bool { return w.count(`select count(*) from outbox`) == 0 })
}

func (w *world) count(sql string, args ...any) int64 {
	w.t.Helper()
	var n int64
	if err := w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}
