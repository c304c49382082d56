package licence

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/servicetest"
)

// world is a licence service with everything around it.
type world struct {
	testing.TB
	env      chassis.Env
	bus      *bus.Conn
	pool     *pgxpool.Pool
	sim      *halosim.Sim
	conn     *connectionv1.Connection
	rpc      *grpc.ClientConn
	licences licencev1.LicenceServiceClient
	ops      opsv1.OpsServiceClient
	settling time.Duration // how long a write may land after it was given up
}

func newWorld(t testing.TB, cfg halosim.Config, customers int, licences ...halosim.Licence) *world {
	t.Helper()
	env := servicetest.Env(t)
	w := &world{TB: t, env: env, bus: env.Bus, pool: env.Pool, sim: halosim.New(cfg), settling: 1500 * time.Millisecond}
	state := halosim.State{Licences: licences}
	for i := range customers {
		state.Clients = append(state.Clients, halosim.Client{ID: int64(i + 1), Name: fmt.Sprint("Customer ", i+1)})
	}
	w.sim.Set(state)
	api := httptest.NewServer(w.sim)
	t.Cleanup(api.Close)
	w.conn = &connectionv1.Connection{
		Slug: "demo", Enabled: true, Mode: connectionv1.Mode_MODE_AUTO, Giacom: &connectionv1.Giacom{Account: "acct"},
		Halo:     &connectionv1.Halo{BaseUrl: api.URL, Tenant: "sim", ClientId: "sim-client", Instance: "sim/sim", BudgetRequests: 100_000_000},
		Licences: &connectionv1.Licences{DeactivateRemoved: true},
	}
	return w
}

// start runs the service and connects to it. It may be stopped and started again, and run more than once.
func (w *world) start() (stop func()) {
	w.Helper()
	w.rpc, stop = servicetest.Start(w.TB, w.env, func(ctx context.Context, env chassis.Env) error {
		return Run(ctx, Config{
			Env: env, Secrets: servicetest.Secrets{},
			Poll: 20 * time.Millisecond, Quiet: 200 * time.Millisecond, HaloTimeout: time.Second, Lease: 2 * time.Second, Settle: w.settling,
		})
	})
	w.licences, w.ops = licencev1.NewLicenceServiceClient(w.rpc), opsv1.NewOpsServiceClient(w.rpc)
	return stop
}

func (w *world) connect() {
	eventtest.Send(w.TB, w.bus, event.Event{Type: "seatline.connection.changed.v1", Entity: "connection", Connection: "demo", Key: "demo", Revision: time.Now().UnixMicro(), Data: w.conn})
}

// sub is a resolved subscription of a customer.
func sub(key string, client int64, seats int, change ...func(*subscriptionv1.Subscription)) *subscriptionv1.Subscription {
	s := &subscriptionv1.Subscription{
		Connection: "demo", Key: key, State: subscriptionv1.State_STATE_RESOLVED, HaloClientId: client, HaloClientName: fmt.Sprint("Customer ", client),
		Giacom: &giacomv1.Subscription{
			Key: key, MexId: fmt.Sprint("M", client), Name: "Microsoft 365", Sku: "SKU1", Quantity: fmt.Sprint(seats), Microsoft: true,
			PurchasePrice: &moneyv1.Money{Amount: "16.60", Currency: "GBP"}, Cycle: giacomv1.Cycle_CYCLE_MONTHLY, Status: giacomv1.Status_STATUS_ACTIVE,
			StartTime: timestamppb.New(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
		},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func removed(s *subscriptionv1.Subscription) {
	s.State = subscriptionv1.State_STATE_REMOVED
	s.Giacom.Removal = &giacomv1.Removal{Proof: giacomv1.Removal_PROOF_ABSENT, Scheduled: true}
}

func (w *world) send(subs ...*subscriptionv1.Subscription) {
	w.Helper()
	events := make([]event.Event, len(subs))
	for i, s := range subs {
		events[i] = event.Event{Type: "seatline.subscription.resolved.v1", Entity: "subscription", Connection: "demo", Key: s.Key, Revision: time.Now().UnixMicro(), Run: "r1", Data: s}
	}
	eventtest.Send(w.TB, w.bus, events...)
}

// settle waits until the service has nothing left to do.
func (w *world) settle() {
	w.Helper()
	servicetest.Settle(w.TB, w.rpc, 3)
}

// arrived waits until the service has decided about n subscriptions.
func (w *world) arrived(n int) {
	w.Helper()
	eventtest.Eventually(w.TB, fmt.Sprint(n, " subscriptions decided"), func() bool {
		var items int
		err := w.pool.QueryRow(context.Background(), `select count(*) from items where reason_code <> 'halo_list'`).Scan(&items)
		return err == nil && items >= n
	})
}

// in is a licence in Halo in words: "client seats active mark".
func in(l halosim.Licence) string {
	return fmt.Sprintf("%d %d %t %s", l.ClientID, l.Count, l.IsActive, l.SnowID)
}

func (w *world) wantHalo(want ...string) {
	w.Helper()
	w.settle()
	var got []string
	for _, l := range w.sim.State().Licences {
		got = append(got, in(l))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		w.Errorf("Halo holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// state of a licence in words: "held possible_duplicate".
func (w *world) state(key string) string {
	w.Helper()
	l, err := w.licences.GetLicence(context.Background(), &licencev1.GetLicenceRequest{Connection: "demo", Key: key})
	if err != nil {
		w.Fatal(err)
	}
	return strings.TrimSpace(strings.ToLower(strings.TrimPrefix(l.Status.State.String(), "STATE_")) + " " + l.Status.GetReason().GetCode())
}

func (w *world) wantState(key, want string) {
	w.Helper()
	w.settle()
	if got := w.state(key); got != want {
		w.Errorf("%s is %s, want %s", key, got, want)
	}
}

// api counts the requests to Halo but for tokens.
func (w *world) api() (n int) {
	for route, count := range w.sim.Requests() {
		if !strings.Contains(route, "token") {
			n += count
		}
	}
	return n
}

func TestALicenceLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 2)
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 5))
	w.wantHalo("1 5 true giacom:acct:giacom/1")
	got := w.sim.State().Licences[0]
	if got.Name != "Microsoft 365" || got.ProductSKU != "SKU1" || got.Distributor != "Giacom" || got.Vendor != "Microsoft" || got.Type != 1 ||
		!got.PurchasePrice.Equal(halosim.Pounds("16.6")) || got.BillingCycle != "Monthly" || got.ThirdPartyID != "M1" {
		t.Errorf("created %+v", got)
	}
	w.send(sub("giacom/1", 1, 7))
	w.wantHalo("1 7 true giacom:acct:giacom/1")
	w.sim.ResetRequests()
	w.send(sub("giacom/1", 1, 7))
	w.settle()
	if n := w.api(); n != 0 {
		t.Errorf("an unchanged subscription cost %d requests", n)
	}
	w.send(sub("giacom/1", 2, 7))
	w.wantHalo("2 7 true giacom:acct:giacom/1")
	w.send(sub("giacom/1", 2, 7, removed, func(s *subscriptionv1.Subscription) { s.Giacom.Removal.Scheduled = false }))
	w.wantHalo("2 7 true giacom:acct:giacom/1")
	w.wantState("giacom/1", "held gone")
	w.send(sub("giacom/1", 2, 7, removed))
	w.wantHalo("2 7 false giacom:acct:giacom/1")
	w.send(sub("giacom/1", 2, 8))
	w.wantHalo("2 8 true giacom:acct:giacom/1")
}

func TestAdoptionAndItsHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 4,
		halosim.Licence{ID: 11, Type: 1, ClientID: 1, Name: "Microsoft 365 (Active)", Count: 5, IsActive: true},
		halosim.Licence{ID: 12, Type: 1, ClientID: 2, Name: "Microsoft 365", ProductSKU: "SKU1", Count: 9, IsActive: true},
		halosim.Licence{ID: 13, Type: 1, ClientID: 3, Name: "Microsoft 365", ProductSKU: "SKU1", Count: 3, IsActive: true})
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 5), sub("giacom/2", 2, 4), sub("giacom/3", 3, 3), sub("giacom/4", 3, 3))
	w.wantHalo("1 5 true giacom:acct:giacom/1", "2 9 true ", "3 3 true ")
	w.wantState("giacom/2", "held possible_duplicate")
	w.wantState("giacom/3", "held possible_duplicate")
	w.wantState("giacom/4", "held possible_duplicate")
	ctx := context.Background()
	if _, err := w.licences.AdoptLicence(ctx, &licencev1.AdoptLicenceRequest{Connection: "demo", Key: "giacom/2", HaloId: 11}); err == nil {
		t.Error("a licence that belongs to another subscription was given away")
	}
	if _, err := w.licences.AdoptLicence(ctx, &licencev1.AdoptLicenceRequest{Connection: "demo", Key: "giacom/2", HaloId: 12}); err != nil {
		t.Error(err)
	}
	if _, err := w.licences.CreateLicence(ctx, &licencev1.GetLicenceRequest{Connection: "demo", Key: "giacom/4"}); err != nil {
		t.Error(err)
	}
	w.wantHalo("1 5 true giacom:acct:giacom/1", "2 4 true giacom:acct:giacom/2", "3 3 true giacom:acct:giacom/3", "3 3 true giacom:acct:giacom/4")
}

func TestARenewalTakesOverItsLicence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 1)
	w.start()
	w.connect()
	w.send(sub("microsoft/old", 1, 5))
	w.wantHalo("1 5 true giacom:acct:microsoft/old")
	absent := func(s *subscriptionv1.Subscription) { s.Giacom.AbsentSince = timestamppb.Now() }
	w.send(sub("microsoft/old", 1, 5, absent), sub("microsoft/new", 1, 6))
	w.wantState("microsoft/new", "parked may_be_renewal")
	w.wantState("microsoft/old", "parked absent")
	w.send(sub("microsoft/old", 1, 5, removed))
	w.wantHalo("1 6 true giacom:acct:microsoft/new")
	w.wantState("microsoft/old", "retired replaced")
}

func TestObserveWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 1)
	w.conn.Mode = connectionv1.Mode_MODE_OBSERVE
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 5))
	w.wantHalo()
	w.wantState("giacom/1", "held observe")
	w.conn.Mode = connectionv1.Mode_MODE_AUTO
	w.connect()
	w.wantHaloSoon("1 5 true giacom:acct:giacom/1")
}

// wantHaloSoon waits for what no event on the stream announces.
func (w *world) wantHaloSoon(want string) {
	w.Helper()
	eventtest.Eventually(w.TB, want, func() bool {
		for _, l := range w.sim.State().Licences {
			if in(l) == want {
				return true
			}
		}
		return false
	})
	w.wantHalo(want)
}

// Every way in which a create may go wrong ends with each licence there once.
func TestNothingIsCreatedTwice(t *testing.T) {
	t.Parallel()
	post := func(f halosim.Fault) halosim.Fault {
		f.Method, f.Route = "POST", "/SoftwareLicence"
		return f
	}
	for name, f := range map[string]halosim.Fault{
		"connection cut after the write":    post(halosim.Fault{Name: "cut_after", Times: 1}),
		"500 after the write":               post(halosim.Fault{Name: "error_after", Times: 1}),
		"reply hangs, the write is lost":    post(halosim.Fault{Name: "hang", Times: 1}),
		"reply hangs, the write lands":      post(halosim.Fault{Name: "late", Times: 1, Delay: 1500 * time.Millisecond}),
		"504, the write lands later":        post(halosim.Fault{Name: "late_504", Times: 1, Delay: time.Second}),
		"batch applied in part":             post(halosim.Fault{Name: "partial", Times: 1}),
		"429":                               post(halosim.Fault{Name: "throttle", Times: 1, RetryAfter: 1}),
		"the list of what was made fails":   {Name: "error_503", Method: "GET", Route: "/SoftwareLicence", Skip: 1, Times: 5},
		"the list announces one too many":   {Name: "wrong_count", Method: "GET", Route: "/SoftwareLicence", Skip: 1, Times: 1},
		"tokens end in between":             {Name: "token_expired", Method: "POST", Route: "/SoftwareLicence", Times: 1},
		"201, but nothing has been written": post(halosim.Fault{Name: "ignored_write", Times: 1}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, halosim.Config{}, 3)
			if err := w.sim.Inject(f); err != nil {
				t.Fatal(err)
			}
			w.start()
			w.connect()
			var subs []*subscriptionv1.Subscription
			for i := range 60 {
				subs = append(subs, sub(fmt.Sprintf("giacom/%02d", i), int64(i%3+1), i))
			}
			w.send(subs...)
			w.arrived(60)
			w.settle()
			marks := map[string]int{}
			for _, l := range w.sim.State().Licences {
				marks[l.SnowID]++
			}
			if len(marks) != 60 || len(w.sim.State().Licences) != 60 {
				t.Errorf("%d licences with %d marks, want 60 of each", len(w.sim.State().Licences), len(marks))
			}
			for _, s := range subs {
				if got := w.state(s.Key); got != "in_sync" {
					t.Errorf("%s is %s", s.Key, got)
				}
			}
		})
	}
}

func TestOneBadRowDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{PartialBatches: true}, 1)
	if err := w.sim.Inject(halosim.Fault{Name: "bad_row", Method: "POST", Route: "/SoftwareLicence", Match: "giacom/07"}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.connect()
	var subs []*subscriptionv1.Subscription
	for i := range 30 {
		subs = append(subs, sub(fmt.Sprintf("giacom/%02d", i), 1, i))
	}
	w.send(subs...)
	w.arrived(30)
	w.wantState("giacom/07", "failed refused")
	if n := len(w.sim.State().Licences); n != 29 {
		t.Errorf("%d licences, want 29", n)
	}
	w.sim.Clear("")
	if _, err := w.licences.RetryLicence(context.Background(), &licencev1.GetLicenceRequest{Connection: "demo", Key: "giacom/07"}); err != nil {
		t.Fatal(err)
	}
	w.wantState("giacom/07", "in_sync")
}

// The counts that DESIGN promises, and what they are on an instance that lacks one of the probed capabilities.
func TestAtScaleFewRequestsAreSpent(t *testing.T) {
	for name, c := range map[string]struct {
		cfg              halosim.Config
		licences, budget int
		updates          int
		others           int // in Halo from the beginning, of other customers
	}{
		"3,000 new ones":              {halosim.Config{}, 3_000, 85, 30, 0},
		"3,000 new ones among 10,000": {halosim.Config{}, 3_000, 105, 30, 10_000},
		"lists in no order asked for": {halosim.Config{IgnoreOrder: true}, 1_000, 40, 30, 3_000},
		"pages of 100 only":           {halosim.Config{MaxPageSize: 100}, 1_000, 70, 30, 0},
		// Each licence is read by itself; of those that two batches look for at the same time, some twice.
		"lists without marks":                 {halosim.Config{NoListMarks: true}, 1_000, 1_100, 30, 0},
		"posts answered with one object only": {halosim.Config{ReplyLast: true}, 1_000, 35, 30, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.cfg, 200)
			state := w.sim.State()
			state.Clients = append(state.Clients, halosim.Client{ID: 999, Name: "Other"})
			for i := range c.others {
				state.Licences = append(state.Licences, halosim.Licence{ID: int64(i + 1), Type: 1, ClientID: 999, Name: fmt.Sprint("Antivirus ", i), Count: 1, IsActive: true})
			}
			w.sim.Set(state)
			w.start()
			w.connect()
			subs := make([]*subscriptionv1.Subscription, c.licences)
			for i := range subs {
				subs[i] = sub(fmt.Sprintf("giacom/%05d", i), int64(i%200+1), 5)
			}
			w.send(subs...)
			eventtest.Eventually(t, "all created", func() bool { return len(w.sim.State().Licences) >= c.licences+c.others })
			w.settle()
			if n := w.api(); n > c.budget {
				t.Errorf("%d licences took %d requests, want at most %d: %v", c.licences, n, c.budget, w.sim.Requests())
			} else {
				t.Logf("%d licences took %d requests", c.licences, n)
			}
			w.sim.ResetRequests()
			for i := range subs[:1000] {
				subs[i] = sub(subs[i].Key, subs[i].HaloClientId, 6)
			}
			w.send(subs[:1000]...)
			eventtest.Eventually(t, "all updated", func() bool {
				n := 0
				for _, l := range w.sim.State().Licences {
					if l.Count == 6 {
						n++
					}
				}
				return n == 1000
			})
			w.settle()
			if n := w.api(); n > c.updates {
				t.Errorf("1,000 changed counts took %d requests, want at most %d", n, c.updates)
			} else {
				t.Logf("1,000 changed counts took %d requests", n)
			}
		})
	}
}
