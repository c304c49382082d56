package mapper

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/servicetest"
)

// world is a mapper with everything around it.
type world struct {
	testing.TB
	env  chassis.Env
	bus  *bus.Conn
	pool *pgxpool.Pool // of the mapper's schema
	sim  *halosim.Sim
	api  *httptest.Server
	conn *connectionv1.Connection
	rpc  *grpc.ClientConn

	mappings      mappingv1.MappingServiceClient
	subscriptions subscriptionv1.SubscriptionServiceClient
	ops           opsv1.OpsServiceClient
}

const markField = "CFGiacomCustomerId"

func newWorld(t testing.TB, cfg halosim.Config, clients ...halosim.Client) *world {
	t.Helper()
	env := servicetest.Env(t)
	w := &world{TB: t, env: env, bus: env.Bus, pool: env.Pool, sim: halosim.New(cfg)}
	w.sim.Set(halosim.State{
		TopLevels: []halosim.TopLevel{{ID: 1, Name: "Customers"}, {ID: 2, Name: "Giacom"}}, Clients: clients, CustomFields: []string{markField},
	})
	w.api = httptest.NewServer(w.sim)
	t.Cleanup(w.api.Close)
	w.conn = &connectionv1.Connection{
		Slug: "demo", Enabled: true, Mode: connectionv1.Mode_MODE_AUTO, Giacom: &connectionv1.Giacom{Account: "acct"},
		Halo:      &connectionv1.Halo{BaseUrl: w.api.URL, Tenant: "sim", ClientId: "sim-client", Instance: "sim/sim", BudgetRequests: 100000},
		Customers: &connectionv1.Customers{},
	}
	return w
}

// start runs a mapper and connects to it. More than one may run.
func (w *world) start() (stop func()) {
	w.Helper()
	w.rpc, stop = servicetest.Start(w.TB, w.env, func(ctx context.Context, env chassis.Env) error {
		return Run(ctx, Config{
			Env: env, Secrets: servicetest.Secrets{},
			Quiet: 100 * time.Millisecond, Poll: 20 * time.Millisecond, HaloTimeout: 500 * time.Millisecond,
			Lease: 3 * time.Second, Settle: time.Second, AlertEvery: 50 * time.Millisecond,
		})
	})
	w.mappings, w.subscriptions = mappingv1.NewMappingServiceClient(w.rpc), subscriptionv1.NewSubscriptionServiceClient(w.rpc)
	w.ops = opsv1.NewOpsServiceClient(w.rpc)
	return stop
}

// connect publishes the connection as it is now.
func (w *world) connect() {
	eventtest.Send(w.TB, w.bus, event.Event{Type: "seatline.connection.changed.v1", Entity: "connection", Connection: "demo", Key: "demo", Data: w.conn})
}

func customerEvent(id, name string) event.Event {
	return event.Event{Type: "seatline.giacom.customer.changed.v1", Entity: "giacom-customer", Connection: "demo", Key: id, Run: "r1",
		Data: &giacomv1.Customer{MexId: id, Name: name}}
}

func subscriptionEvent(key, id, name string) event.Event {
	return event.Event{Type: "seatline.giacom.subscription.changed.v1", Entity: "giacom-subscription", Connection: "demo", Key: key, Run: "r1",
		Data: &giacomv1.Subscription{Key: key, MexId: id, CustomerName: name, Name: "Microsoft 365", Quantity: "5"}}
}

func (w *world) send(events ...event.Event) { eventtest.Send(w.TB, w.bus, events...) }

// settle waits until the mapper has nothing left to do.
func (w *world) settle() {
	w.Helper()
	servicetest.Settle(w.TB, w.rpc, 3)
}

// subs is what is on the stream of each subscription: "state client reason".
func (w *world) subs() map[string]string {
	w.Helper()
	out := map[string]string{}
	for _, e := range eventtest.State(w.TB, w.bus, "subscription") {
		var s subscriptionv1.Subscription
		if err := e.Unmarshal(&s); err != nil {
			w.Fatal(err)
		}
		out[e.Key] = told(&s)
	}
	return out
}

// told is a subscription in short.
func told(s *subscriptionv1.Subscription) string {
	return strings.TrimSpace(fmt.Sprintf("%s %d %s", strings.ToLower(strings.TrimPrefix(s.State.String(), "STATE_")), s.HaloClientId, s.Reason.GetCode()))
}

func (w *world) wantSubs(want map[string]string) {
	w.Helper()
	w.settle()
	if diff := cmp.Diff(want, w.subs()); diff != "" {
		w.Errorf("subscriptions (-want +got):\n%s", diff)
	}
}

// mapping is what is on the stream of a customer.
func (w *world) mapping(id string) *mappingv1.Mapping {
	w.Helper()
	e, ok := eventtest.State(w.TB, w.bus, "mapping")["demo/"+id]
	if !ok {
		w.Fatalf("no mapping of %s on the stream", id)
	}
	var m mappingv1.Mapping
	if err := e.Unmarshal(&m); err != nil {
		w.Fatal(err)
	}
	return &m
}

// clients are the customers of Halo: name to how many.
func (w *world) clients() map[string]int {
	out := map[string]int{}
	for _, c := range w.sim.State().Clients {
		out[c.Name]++
	}
	return out
}

func TestFirstImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Harbour Dental Ltd"}, halosim.Client{ID: 8, Name: "Native"}, halosim.Client{ID: 9, Name: "Near Ltd"})
	w.sim.EditControl(func(c *halosim.Control) {
		c.GiacomMappings = []halosim.Link{{ID: 1, TableID: 2, HaloID: 8, ThirdPartyID: " mex-n "}, {ID: 2, TableID: 2, HaloID: 9, ThirdPartyID: "-1"}}
	})
	w.conn.Customers.Create, w.conn.Customers.TopLevelId = true, 2
	w.start()
	w.connect()
	w.send(customerEvent("H", "Harbour Dental Ltd"), customerEvent("MEX-N", "Other Name"), customerEvent("NEAR", "Near Limited"), customerEvent("NEW", "Brand New"))
	w.send(subscriptionEvent("giacom/1", "H", ""), subscriptionEvent("giacom/2", "mex-n", ""), subscriptionEvent("giacom/3", "NEAR", ""),
		subscriptionEvent("giacom/4", "NEW", ""), subscriptionEvent("giacom/5", "UNHEARD", "Derived Co"))
	w.settle()
	state := w.sim.State()
	made := map[string]halosim.Client{}
	for _, c := range state.Clients {
		made[c.Name] = c
	}
	brandNew, derived := made["Brand New"], made["Derived Co"]
	w.wantSubs(map[string]string{
		"giacom/1": "resolved 7", "giacom/2": "resolved 8", "giacom/3": "unresolved 0 customer_not_mapped",
		"giacom/4": fmt.Sprintf("resolved %d", brandNew.ID), "giacom/5": fmt.Sprintf("resolved %d", derived.ID),
	})
	if brandNew.ID == 0 || brandNew.TopLevelID != 2 || len(brandNew.CustomFields) != 1 || brandNew.CustomFields[0].Value != "NEW" {
		t.Errorf("created as %+v", brandNew)
	}
	if m := w.mapping("NEW"); m.State != mapped || m.Origin != mappingv1.Origin_ORIGIN_CREATED || m.HaloClientId != brandNew.ID || m.Status.GetState().String() != "STATE_IN_SYNC" {
		t.Errorf("mapping of NEW is %v", m)
	}
	if m := w.mapping("NEAR"); m.State != unmapped || m.Reason.GetCode() != reasonNear || m.Status.GetState().String() != "STATE_HELD" {
		t.Errorf("mapping of NEAR is %v", m)
	}
	if got, want := w.clients(), map[string]int{"Harbour Dental Ltd": 1, "Native": 1, "Near Ltd": 1, "Brand New": 1, "Derived Co": 1}; !cmp.Equal(got, want) {
		t.Errorf("Halo has %v", got)
	}

	// The same again, and more of what is known: no request to Halo, and only the new is published.
	before := w.sim.Requests()
	history := w.count(`select count(*) from history`)
	w.send(customerEvent("H", "Harbour Dental Ltd"), customerEvent("NEAR", "Near Limited"), subscriptionEvent("giacom/6", "H", ""))
	w.settle()
	if diff := cmp.Diff(before, w.sim.Requests()); diff != "" {
		t.Errorf("requests to Halo (-before +after):\n%s", diff)
	}
	if n := w.count(`select count(*) from history`) - history; n != 1 {
		t.Errorf("%d events published, want that of the new subscription", n)
	}
}

func (w *world) count(query string, args ...any) (n int) {
	w.Helper()
	if err := w.pool.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

func TestObserveWritesNothingAndShowsThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	w.conn.Mode, w.conn.Customers.Create = connectionv1.Mode_MODE_OBSERVE, true
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""))
	w.wantSubs(map[string]string{"giacom/1": "client_pending 0 client_pending"})
	if n := len(w.sim.State().Clients); n != 0 {
		t.Errorf("%d customers in Halo", n)
	}
	plan, err := w.ops.ListPlanItems(t.Context(), &opsv1.ListPlanItemsRequest{Connection: "demo"})
	if err != nil || len(plan.Items) != 1 || plan.Items[0].Action != "create" || plan.Items[0].Status.Reason.Code != "observe" {
		t.Errorf("plan: %v, %v", plan, err)
	}
	w.conn.Mode = connectionv1.Mode_MODE_AUTO
	w.connect()
	eventtest.Eventually(t, "created", func() bool { return w.clients()["Acme"] == 1 })
	w.wantSubs(map[string]string{"giacom/1": fmt.Sprintf("resolved %d", w.sim.State().Clients[0].ID)})
}

// Whatever happens to the request, each customer exists once in the end.
func TestCreationsHappenOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg   halosim.Config
		fault halosim.Fault
	}{
		"the reply is lost":             {fault: halosim.Fault{Name: "cut_after", Times: 1}},
		"an error after the write":      {fault: halosim.Fault{Name: "error_after", Times: 1}},
		"the write lands later":         {fault: halosim.Fault{Name: "late_504", Times: 1, Delay: 300 * time.Millisecond}},
		"nothing was written":           {fault: halosim.Fault{Name: "reset", Times: 1}},
		"no answer at all":              {fault: halosim.Fault{Name: "hang", Times: 1}},
		"rows before a bad one written": {fault: halosim.Fault{Name: "partial", Times: 1}},
		"the reply holds the last row":  {cfg: halosim.Config{ReplyLast: true}},
		"an empty reply":                {fault: halosim.Fault{Name: "empty_reply"}},
		"too many requests":             {fault: halosim.Fault{Name: "throttle", RetryAfter: 1, Times: 1}},
		"the token ends early":          {fault: halosim.Fault{Name: "token_expired", Times: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.cfg)
			w.conn.Customers.Create = true
			if c.fault.Name != "" {
				c.fault.Method, c.fault.Route = "POST", "/Client"
				if err := w.sim.Inject(c.fault); err != nil {
					t.Fatal(err)
				}
			}
			w.start()
			w.connect()
			want, subs := map[string]int{}, map[string]string{}
			for i := range 5 {
				id := fmt.Sprintf("C%d", i)
				w.send(customerEvent(id, "Customer "+id), subscriptionEvent("giacom/"+id, id, ""))
				want["Customer "+id] = 1
			}
			eventtest.Eventually(t, "all are there", func() bool { return len(w.clients()) == 5 })
			w.settle()
			for _, x := range w.sim.State().Clients {
				subs["giacom/"+strings.TrimPrefix(x.Name, "Customer ")] = fmt.Sprintf("resolved %d", x.ID)
			}
			w.wantSubs(subs)
			if diff := cmp.Diff(want, w.clients()); diff != "" {
				t.Errorf("Halo (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWithoutTheCustomFieldALinkIsTheMark(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	w.conn.Customers.Create, w.conn.Customers.CustomField = true, "CFNotDefined"
	stop := w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""))
	eventtest.Eventually(t, "created", func() bool { return w.clients()["Acme"] == 1 })
	w.settle()
	links := w.sim.State().Links
	if len(links) != 1 || links[0].ThirdPartyID != "A" || links[0].TableID != 2 {
		t.Fatalf("links: %+v", links)
	}
	// The mapper's database is lost, and the customer was renamed in Halo: it is found by the link.
	stop()
	id := w.sim.State().Clients[0].ID
	if err := w.sim.EditClient(id, func(c *halosim.Client) { c.Name = "Something Else" }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), `truncate customers, subscriptions, clients, ties, instances, due, items, history, outbox, consumers`); err != nil {
		t.Fatal(err)
	}
	w.start()
	eventtest.Eventually(t, "its name follows Giacom again", func() bool { return w.clients()["Acme"] == 1 })
	w.settle()
	if m := w.mapping("A"); m.Origin != mappingv1.Origin_ORIGIN_MARK || m.HaloClientId != id {
		t.Errorf("mapping: %v", m)
	}
	if n := len(w.sim.State().Clients); n != 1 {
		t.Errorf("%d customers in Halo", n)
	}
}

func TestNamesFollowWhereTheyShould(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Mapped"})
	w.conn.Customers.Create = true
	w.start()
	w.connect()
	w.send(customerEvent("M", "Mapped"), customerEvent("C", "Created"))
	eventtest.Eventually(t, "created", func() bool { return w.clients()["Created"] == 1 })
	w.settle()
	w.send(customerEvent("M", "Mapped 2"), customerEvent("C", "Created 2"))
	eventtest.Eventually(t, "renamed", func() bool { return w.clients()["Created 2"] == 1 })
	w.settle()
	if got, want := w.clients(), map[string]int{"Mapped": 1, "Created 2": 1}; !cmp.Equal(got, want) {
		t.Errorf("Halo has %v, want %v", got, want)
	}
	w.conn.Customers.FollowNameOfMapped = true
	w.connect()
	eventtest.Eventually(t, "the other too", func() bool { return w.clients()["Mapped 2"] == 1 })
	w.settle()
	// Somebody renames it in Halo; the next look puts it right.
	if err := w.sim.EditClient(7, func(c *halosim.Client) { c.Name = "By hand" }); err != nil {
		t.Fatal(err)
	}
	if _, err := w.mappings.RefreshMappings(t.Context(), &mappingv1.RefreshMappingsRequest{Connection: "demo"}); err != nil {
		t.Fatal(err)
	}
	eventtest.Eventually(t, "put right", func() bool { return w.clients()["Mapped 2"] == 1 })
}

func TestTwoReplicasCreateOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{Latency: 20 * time.Millisecond})
	w.conn.Customers.Create = true
	w.start()
	w.start()
	w.connect()
	want := map[string]int{}
	for i := range 60 {
		id := fmt.Sprintf("C%02d", i)
		want["Customer "+id] = 1
		w.send(customerEvent(id, "Customer "+id), subscriptionEvent("giacom/"+id, id, ""))
	}
	eventtest.Eventually(t, "all are there", func() bool { return len(w.clients()) == 60 })
	w.settle()
	if diff := cmp.Diff(want, w.clients()); diff != "" {
		t.Errorf("Halo (-want +got):\n%s", diff)
	}
	for key, s := range w.subs() {
		if !strings.HasPrefix(s, "resolved ") || s == "resolved 0" {
			t.Errorf("%s is %s", key, s)
		}
	}
	if n := w.sim.Requests()["POST /Client"]; n > 4 {
		t.Errorf("%d requests to create 60 customers", n)
	}
}
