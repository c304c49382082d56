package billing

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
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/servicetest"
)

// bench is billing at work on a database, a bus and a Halo of its own. The console and the licence
// service are the test: it sends their events.
type bench struct {
	testing.TB
	pool     *pgxpool.Pool
	conn     *bus.Conn
	sim      *halosim.Sim
	url      string
	rpc      *grpc.ClientConn // of the first replica
	config   Config
	revision int64
}

func newBench(t testing.TB, sim halosim.Config, state halosim.State, change ...func(*Config)) *bench {
	t.Helper()
	env := servicetest.Env(t)
	b := &bench{TB: t, sim: halosim.New(sim), conn: env.Bus, pool: env.Pool}
	state.TopLevels = []halosim.TopLevel{{ID: 1, Name: "Customers"}}
	state.Control.CalculateQuantities = true
	b.sim.Set(state)
	server := httptest.NewServer(b.sim)
	t.Cleanup(server.Close)
	b.url = server.URL
	b.config = Config{
		Env: env, Secrets: servicetest.Secrets{},
		Timeout: 2 * time.Second, Settle: 300 * time.Millisecond, Pause: 50 * time.Millisecond, Poll: 20 * time.Millisecond,
	}
	for _, c := range change {
		c(&b.config)
	}
	return b
}

// start runs one replica until the test ends or stop is called.
func (b *bench) start() (stop func()) {
	b.Helper()
	conn, stop := servicetest.Start(b, b.config.Env, func(ctx context.Context, env chassis.Env) error {
		cfg := b.config
		cfg.Env = env
		return Run(ctx, cfg)
	})
	if b.rpc == nil {
		b.rpc = conn
	}
	return stop
}

// send publishes an event; the noun of its type is its entity, unless another one is given.
func (b *bench) send(noun, verb, key string, data proto.Message, entity ...string) {
	b.Helper()
	b.revision++
	eventtest.Send(b, b.conn, event.Event{
		Type: "seatline." + noun + "." + verb + ".v1", Entity: append(entity, noun)[0], Connection: "acme", Key: key, Data: data, Run: "run-1",
		Revision: time.Now().UnixMicro() + b.revision,
	})
}

func (b *bench) connection(mode connectionv1.Mode, change ...func(*connectionv1.Connection)) {
	b.Helper()
	c := &connectionv1.Connection{
		Slug: "acme", Enabled: true, Mode: mode,
		Giacom: &connectionv1.Giacom{Account: "main", Currency: "GBP", AnnualPriceBasis: moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH},
		Halo: &connectionv1.Halo{
			BaseUrl: b.url, Tenant: "sim", ClientId: "sim-client", Instance: "halo/sim", BudgetRequests: 100000, BudgetWindow: durationpb.New(time.Minute),
			Capabilities: &connectionv1.Capabilities{InvoiceListHasLines: proto.Bool(true), PageSize_1000: proto.Bool(true)},
		},
		Billing: &connectionv1.Billing{ProRata: proto.Int32(1)},
	}
	for _, f := range change {
		f(c)
	}
	b.send("connection", "changed", "acme", c)
}

// licence tells billing of a licence as the licence service would.
func (b *bench) licence(l *licencev1.Licence) {
	b.Helper()
	b.send("licence", "changed", l.GetKey(), l)
}

// aLicenceEvent is a licence in sync in Halo.
func aLicenceEvent(n int, client, count int64, cost string) *licencev1.Licence {
	price := &moneyv1.Money{Amount: cost, Currency: "GBP"}
	fields := func() *licencev1.Fields {
		return &licencev1.Fields{ClientId: client, Count: count, Active: true, PurchasePrice: price}
	}
	return &licencev1.Licence{
		Connection: "acme", Key: fmt.Sprintf("giacom/%d", n), Instance: "halo/sim", Desired: fields(), Applied: fields(),
		Status: &itemv1.Status{State: itemv1.State_STATE_IN_SYNC, HaloId: int64(500 + n)},
		Subscription: &subscriptionv1.Subscription{Connection: "acme", HaloClientId: client, HaloClientName: fmt.Sprintf("Client %d", client), Giacom: &giacomv1.Subscription{
			Key: fmt.Sprintf("giacom/%d", n), MexId: "MEX1", Name: fmt.Sprintf("Product %d", n), Sku: fmt.Sprintf("SKU-%d", n), Cycle: giacomv1.Cycle_CYCLE_MONTHLY, Term: giacomv1.Term_TERM_ANNUAL,
		}},
	}
}

func simLicence(n int, client, count int64, cost string) halosim.Licence {
	return halosim.Licence{ID: int64(500 + n), Type: 1, Name: fmt.Sprintf("Product %d", n), ClientID: client, Count: count, IsActive: true, PurchasePrice: halosim.Pounds(cost), ProductSKU: fmt.Sprintf("SKU-%d", n)}
}

func simLinked(id int64, n int, cost, price string) halosim.Line {
	return halosim.Line{
		ID: id, ItemID: 77, Name: "Subscription", QuantityType: 4, UnitCost: halosim.Pounds(cost), UnitPrice: halosim.Pounds(price),
		Subscriptions: []halosim.QuantityRow{{ID: id * 10, LineID: id, Kind: 4, LicenceID: int64(500 + n), ProRata: 2}},
		Extra:         halosim.Extra{"xero_tracking": []byte(`"10.50"`), "custom_rate": []byte(`1.500`)},
	}
}

// estate is n customers with one licence and one linked line each, cost 10, price 12, 5 seats.
func estate(n int) halosim.State {
	st := halosim.State{Items: []halosim.Item{{ID: 77, Name: "Licence", RecurringPrice: halosim.Pounds("13")}}}
	for i := 1; i <= n; i++ {
		st.Clients = append(st.Clients, halosim.Client{ID: int64(i), Name: fmt.Sprintf("Client %d", i)})
		st.Licences = append(st.Licences, simLicence(i, int64(i), 5, "10"))
		st.Invoices = append(st.Invoices, halosim.Invoice{ID: int64(-i), ClientID: int64(i), Period: 2, ChangeSeq: 3, Lines: []halosim.Line{
			simLinked(int64(1000+i), i, "10", "12"),
			{ID: int64(5000 + i), Name: "Support", Quantity: halosim.Pounds("1"), UnitPrice: halosim.Pounds("50"), Extra: halosim.Extra{"ünknown & <field>": []byte(`{"a":[1.0,null]}`)}},
		}})
	}
	return st
}

func (b *bench) lines() map[string]*invoicelinev1.Line {
	b.Helper()
	all := map[string]*invoicelinev1.Line{}
	token := ""
	for {
		resp, err := invoicelinev1.NewLineServiceClient(b.rpc).ListLines(b.Context(), &invoicelinev1.ListLinesRequest{PageSize: 500, PageToken: token})
		if err != nil {
			b.Fatal(err)
		}
		for _, l := range resp.GetLines() {
			all[l.GetKey()] = l
		}
		if token = resp.GetNextPageToken(); token == "" {
			return all
		}
	}
}

// settled waits until everything that was sent is digested, decided and written.
func (b *bench) settled() {
	b.Helper()
	servicetest.Settle(b, b.rpc, len((&service{}).handlers()))
}

func (b *bench) state(key string) string {
	b.Helper()
	l, err := invoicelinev1.NewLineServiceClient(b.rpc).GetLine(b.Context(), &invoicelinev1.GetLineRequest{Connection: "acme", Key: key})
	if err != nil {
		return err.Error()
	}
	s := strings.ToLower(strings.TrimPrefix(l.GetStatus().GetState().String(), "STATE_"))
	if code := l.GetStatus().GetReason().GetCode(); code != "" {
		s += " " + code
	}
	return s
}

func (b *bench) invoice(id int64) halosim.Invoice {
	b.Helper()
	for _, inv := range b.sim.State().Invoices {
		if inv.ID == id {
			return inv
		}
	}
	b.Fatalf("no invoice %d", id)
	return halosim.Invoice{}
}

func (b *bench) requests() (total int) {
	for _, n := range b.sim.Requests() {
		total += n
	}
	return total
}

func (b *bench) rules(list ...*pricingv1.PriceRule) {
	b.Helper()
	_, err := pricingv1.NewPricingServiceClient(b.rpc).SetPriceRules(b.Context(), &pricingv1.SetPriceRulesRequest{
		Rules: &pricingv1.PriceRules{Connection: "acme", Rules: list}, Force: true,
	})
	if err != nil {
		b.Fatal(err)
	}
}

func TestACostChangeOn150InvoicesCosts460Requests(t *testing.T) {
	const n = 150
	b := newBench(t, halosim.Config{}, estate(n))
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "10"))
	}
	b.settled()
	if got := len(b.lines()); got != n {
		t.Fatalf("%d lines, want %d", got, n)
	}
	reading := b.requests()
	t.Logf("first reading: %v", b.sim.Requests())
	b.sim.ResetRequests()
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "11.5"))
	}
	b.settled()
	for i := 1; i <= n; i++ {
		if got := b.invoice(int64(-i)).Lines[0].UnitCost.String(); got != "11.5" {
			t.Fatalf("cost of line %d is %s, want 11.5", i, got)
		}
	}
	t.Logf("the change: %v", b.sim.Requests())
	if got := b.requests() + reading; got > 460 {
		t.Errorf("%d requests in all, want at most 460", got)
	}
	b.sim.ResetRequests()
	for i := 1; i <= n; i++ { // an unchanged poll, and a changed count
		b.licence(aLicenceEvent(i, int64(i), int64(5+i%2), "11.5"))
	}
	b.settled()
	if got := b.requests(); got != 0 {
		t.Errorf("%d requests for counts that Halo computes itself, want none", got)
	}
}

func TestSeveralLinesOfOneInvoiceAreOneWrite(t *testing.T) {
	st := estate(1)
	for i := 2; i <= 6; i++ {
		st.Licences = append(st.Licences, simLicence(i, 1, 5, "10"))
		st.Invoices[0].Lines = append(st.Invoices[0].Lines, simLinked(int64(1000+i), i, "10", "12"))
	}
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= 6; i++ {
		b.licence(aLicenceEvent(i, 1, 5, "10"))
	}
	b.settled()
	b.sim.ResetRequests()
	before := b.invoice(-1)
	b.rules(costPlus("all", "50"))
	b.settled()
	after := b.invoice(-1)
	if d := cmp.Diff(map[string]int{"GET /RecurringInvoice/{id}": 2, "POST /RecurringInvoice": 1}, b.sim.Requests()); d != "" {
		t.Error(d)
	}
	for i := range after.Lines {
		want := before.Lines[i]
		if want.QuantityType == 4 {
			want.UnitPrice = halosim.Pounds("15")
		}
		if d := cmp.Diff(want, after.Lines[i]); d != "" {
			t.Errorf("line %d, apart from our price:\n%s", want.ID, d)
		}
	}
}

func TestObserveShowsWhatAutoDoes(t *testing.T) {
	st := estate(4)
	st.Invoices[0].Lines[0].UnitCost = halosim.Pounds("9") // to be corrected
	st.Invoices[1].Lines[0] = halosim.Line{ID: 1002, ItemID: 77, Name: "product 2", Quantity: halosim.Pounds("3"), UnitCost: halosim.Pounds("10"), UnitPrice: halosim.Pounds("12")}
	st.Invoices[2].Lines = st.Invoices[2].Lines[1:] // a line to be added
	st.Items = append(st.Items, halosim.Item{ID: 78, Name: "Third", SupplierPartCode: "SKU-3", RecurringPrice: halosim.Pounds("14.99")})
	st.Items = append(st.Items[1:], halosim.Item{ID: 77, Name: "Licence"})
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_OBSERVE)
	eventtest.Eventually(t, "the connection", func() bool {
		_, err := pricingv1.NewPricingServiceClient(b.rpc).GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"})
		return err == nil
	})
	b.rules(keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{} }))
	for i := 1; i <= 4; i++ {
		l := aLicenceEvent(i, int64(i), 5, "10")
		if i == 4 {
			l.Desired.Count = 8 // a follower
		}
		b.licence(l)
	}
	b.settled()
	plan, err := opsv1.NewOpsServiceClient(b.rpc).ListPlanItems(t.Context(), &opsv1.ListPlanItemsRequest{Connection: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, i := range plan.GetItems() {
		got[i.GetKey()] = fmt.Sprintf("%s %s %s→%s", i.GetAction(), i.GetStatus().GetReason().GetCode(), i.GetMonthlyBefore().GetAmount(), i.GetMonthlyAfter().GetAmount())
		if i.GetFollows() {
			got[i.GetKey()] += " follows"
		}
	}
	want := map[string]string{
		"-1/1001":      "update observe 60→60",
		"-2/1002":      "update observe 36→60",
		"add/giacom/3": "add observe 0→74.95",
		"-4/1004":      "none  60→96 follows",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n := b.sim.Requests()["POST /RecurringInvoice"]; n != 0 {
		t.Errorf("%d writes while observing", n)
	}
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.settled()
	after := map[string]string{}
	for key, l := range b.lines() {
		after[key] = l.GetMonthlyBefore().GetAmount()
	}
	added := b.invoice(-3).Lines[1]
	wantAfter := map[string]string{"-1/1001": "60", "-2/1002": "60", fmt.Sprintf("-3/%d", added.ID): "74.95", "-4/1004": "60"}
	if d := cmp.Diff(wantAfter, after); d != "" {
		t.Error(d)
	}
	if got := fmt.Sprint(added.ItemID, added.Name, added.UnitPrice, added.UnitCost, added.Subscriptions[0].LicenceID, added.Subscriptions[0].ProRata); got != "78Product 314.99 10 503 1" {
		t.Errorf("the added line is %s", got)
	}
	if s := b.state("add/giacom/3"); !strings.HasPrefix(s, "retired") {
		t.Errorf("the addition is %s, want retired", s)
	}
}

func TestNothingIsAddedTwice(t *testing.T) {
	for _, fault := range []halosim.Fault{
		{Name: "cut_after", Times: 1}, {Name: "error_after", Times: 1}, {Name: "late", Delay: 200 * time.Millisecond, Times: 1},
		{Name: "late_504", Delay: 200 * time.Millisecond, Times: 1}, {Name: "hang", Times: 1}, {Name: "reset", Times: 2},
		{Name: "error_503", Times: 2}, {Name: "throttle", Times: 2, RetryAfter: 1}, {Name: "stale", Times: 1}, {Name: "empty_reply", Times: 1},
	} {
		t.Run(fault.Name, func(t *testing.T) {
			t.Parallel()
			st := estate(2)
			st.Items[0].SupplierPartCode = "SKU-1"
			st.Invoices[0].Lines = st.Invoices[0].Lines[1:]
			st.Invoices[1].Lines[0].UnitCost = halosim.Pounds("9")
			b := newBench(t, halosim.Config{}, st, func(c *Config) { c.Timeout = time.Second; c.Settle = 800 * time.Millisecond })
			fault.Method, fault.Route = "POST", "/RecurringInvoice"
			if err := b.sim.Inject(fault); err != nil {
				t.Fatal(err)
			}
			b.start()
			b.connection(connectionv1.Mode_MODE_AUTO)
			eventtest.Eventually(t, "the connection", func() bool {
				_, err := pricingv1.NewPricingServiceClient(b.rpc).GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"})
				return err == nil
			})
			b.rules(keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{} }))
			b.licence(aLicenceEvent(1, 1, 5, "10"))
			b.licence(aLicenceEvent(2, 2, 5, "10"))
			b.settled()
			time.Sleep(300 * time.Millisecond) // whatever may still land
			b.settled()
			links := 0
			for _, l := range b.invoice(-1).Lines {
				for _, r := range l.Subscriptions {
					if r.LicenceID == 501 {
						links++
					}
				}
			}
			if links != 1 {
				t.Errorf("the licence is linked %d times, want once", links)
			}
			if got := b.invoice(-2).Lines[0].UnitCost.String(); got != "10" {
				t.Errorf("cost %s, want 10", got)
			}
			for key, l := range b.lines() {
				if l.GetStatus().GetState() != itemv1.State_STATE_IN_SYNC {
					t.Errorf("line %s is %s", key, b.state(key))
				}
			}
		})
	}
}

func TestOneRefusedLineDoesNotHoldUpItsInvoice(t *testing.T) {
	st := estate(1)
	for i := 2; i <= 4; i++ {
		st.Licences = append(st.Licences, simLicence(i, 1, 5, "10"))
		st.Invoices[0].Lines = append(st.Invoices[0].Lines, simLinked(int64(1000+i), i, "10", "12"))
	}
	// The licence that a line still has to be linked to does not exist in Halo any more.
	st.Invoices[0].Lines = append(st.Invoices[0].Lines, halosim.Line{ID: 1009, Name: "Product 9", QuantityType: 4})
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= 4; i++ {
		b.licence(aLicenceEvent(i, 1, 5, "11"))
	}
	b.licence(aLicenceEvent(9, 1, 5, "11"))
	b.settled()
	for i, l := range b.invoice(-1).Lines {
		if l.QuantityType == 4 && l.ID != 1009 && l.UnitCost.String() != "11" {
			t.Errorf("line %d: cost %s, want 11", i, l.UnitCost)
		}
	}
	if got := b.state("-1/1009"); got != "failed refused" {
		t.Errorf("the refused line is %s", got)
	}
}

func TestLostLinesAreAnAlarm(t *testing.T) {
	st := estate(1)
	b := newBench(t, halosim.Config{}, st)
	if err := b.sim.Inject(halosim.Fault{Name: "lost_lines", Method: "POST", Route: "/RecurringInvoice", Times: 1}); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "11"))
	eventtest.Eventually(t, "the alarm", func() bool { return b.state("-1/1001") == "held lines_lost" })
	var body []byte
	if err := b.pool.QueryRow(t.Context(), `select before from invoice_backups where instance = 'halo/sim' and id = -1`).Scan(&body); err != nil || !strings.Contains(string(body), "Support") {
		t.Errorf("the copy to restore from: %s, %v", body, err)
	}
	b.licence(aLicenceEvent(1, 1, 5, "12"))
	b.settled()
	if got := b.state("-1/1001") + " " + b.invoice(-1).Lines[0].UnitCost.String(); got != "held lines_lost 11" {
		t.Errorf("before anybody has looked: %s", got)
	}
	if _, err := invoicelinev1.NewLineServiceClient(b.rpc).RetryLine(t.Context(), &invoicelinev1.GetLineRequest{Connection: "acme", Key: "-1/1001"}); err != nil {
		t.Fatal(err)
	}
	b.settled()
	if got := b.state("-1/1001") + " " + b.invoice(-1).Lines[0].UnitCost.String(); got != "in_sync 12" {
		t.Errorf("after somebody has looked: %s", got)
	}
}

func TestAMovedLicenceIsUnlinkedMovedAndLinkedAgain(t *testing.T) {
	st := estate(2)
	st.Invoices[1].Lines[0] = halosim.Line{ID: 1002, Name: "Product 1", QuantityType: 4, UnitCost: halosim.Pounds("10"), UnitPrice: halosim.Pounds("12")}
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	l := aLicenceEvent(1, 1, 5, "10")
	b.licence(l)
	b.settled()
	moving := proto.Clone(l).(*licencev1.Licence)
	moving.Desired.ClientId, moving.Status.State, moving.Status.Reason = 2, itemv1.State_STATE_PARKED, &itemv1.Reason{Code: "line"}
	b.licence(moving)
	b.settled()
	if rows := b.invoice(-1).Lines[0].Subscriptions; len(rows) != 0 {
		t.Errorf("the old line still links %v", rows)
	}
	if rows := b.invoice(-2).Lines[0].Subscriptions; len(rows) != 0 {
		t.Errorf("the new line links %v before the licence moved", rows)
	}
	if got := b.state("-2/1002"); got != "parked licence_moving" {
		t.Errorf("the new line is %s", got)
	}
	moved := aLicenceEvent(1, 2, 5, "10")
	b.licence(moved)
	b.settled()
	if rows := b.invoice(-2).Lines[0].Subscriptions; len(rows) != 1 || rows[0].LicenceID != 501 {
		t.Errorf("the new line links %v, want 501", rows)
	}
	if got := b.state("-1/1001"); !strings.HasPrefix(got, "retired") {
		t.Errorf("the old line is %s", got)
	}
}

func TestALicenceThatMovedAheadIsStillUnlinkedAtTheOldCustomer(t *testing.T) {
	b := newBench(t, halosim.Config{}, estate(2))
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	b.licence(aLicenceEvent(1, 2, 5, "10"))
	b.settled()
	if rows := b.invoice(-1).Lines[0].Subscriptions; len(rows) != 0 {
		t.Errorf("the old line still links %v", rows)
	}
	var left int64
	if err := b.pool.QueryRow(t.Context(), `select left_client_id from licences`).Scan(&left); err != nil || left != 0 {
		t.Errorf("left %d, %v", left, err)
	}
	// From now on a parent may be invoiced for it again, when a person says so.
	if err := b.sim.EditInvoice(-1, func(i *halosim.Invoice) {
		i.Lines[0].Subscriptions = []halosim.QuantityRow{{ID: 1, LineID: 1001, Kind: 4, LicenceID: 501, ProRata: 1}}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := invoicelinev1.NewLineServiceClient(b.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"}); err != nil {
		t.Fatal(err)
	}
	b.settled()
	if got := b.state("-1/1001"); got != "in_sync" {
		t.Errorf("the line is %s", got)
	}
}

func TestTheInvoiceRunIsWaitedFor(t *testing.T) {
	st := estate(1)
	next := time.Now().Add(time.Hour)
	st.Invoices[0].NextCreation, st.Invoices[0].LastCreated = halosim.On(next), halosim.On(next.AddDate(0, -1, 0))
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "11"))
	eventtest.Eventually(t, "parked", func() bool { return b.state("-1/1001") == "parked invoice_run" })
	if n := b.sim.Requests()["POST /RecurringInvoice"]; n != 0 {
		t.Errorf("%d writes shortly before the run", n)
	}
	// Halo makes its invoice; the next look finds that, and the line is written.
	if err := b.sim.EditInvoice(-1, func(i *halosim.Invoice) {
		i.LastCreated, i.NextCreation = halosim.On(next), halosim.On(next.AddDate(0, 1, 0))
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(t.Context(), `update items set ready_at = now() where reason_code = 'invoice_run'`); err != nil {
		t.Fatal(err)
	}
	if _, err := invoicelinev1.NewLineServiceClient(b.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.pool.Exec(t.Context(), `update items set ready_at = now() where reason_code = 'invoice_run'`); err != nil {
		t.Fatal(err)
	}
	b.settled()
	if got := b.invoice(-1).Lines[0].UnitCost.String(); got != "11" {
		t.Errorf("cost %s after the run, want 11", got)
	}
}

func TestTwoReplicasWriteEachInvoiceOnce(t *testing.T) {
	const n = 40
	b := newBench(t, halosim.Config{}, estate(n))
	b.start()
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "10"))
	}
	b.settled()
	b.sim.ResetRequests()
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "11"))
	}
	b.settled()
	if got := b.sim.Requests()["POST /RecurringInvoice"]; got != n {
		t.Errorf("%d writes, want %d: one each", got, n)
	}
	for i := 1; i <= n; i++ {
		if got := b.invoice(int64(-i)); got.Lines[0].UnitCost.String() != "11" || got.ChangeSeq != 4 {
			t.Errorf("invoice %d: cost %s, change_seq %d", -i, got.Lines[0].UnitCost, got.ChangeSeq)
		}
	}
}

func TestAReplicaThatStopsMidwayLosesNothing(t *testing.T) {
	const n = 30
	b := newBench(t, halosim.Config{Latency: 10 * time.Millisecond}, estate(n))
	b.start()
	stop := b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "11"))
	}
	eventtest.Eventually(t, "the first writes", func() bool { return b.sim.Requests()["POST /RecurringInvoice"] > 3 })
	stop()
	b.settled()
	for i := 1; i <= n; i++ {
		if got := b.invoice(int64(-i)).Lines[0].UnitCost.String(); got != "11" {
			t.Errorf("invoice %d: cost %s", -i, got)
		}
	}
}

func TestADatabaseMadeAnewAddsNothingTwice(t *testing.T) {
	st := estate(3)
	st.Items[0].SupplierPartCode = "SKU-1"
	st.Invoices[0].Lines = st.Invoices[0].Lines[1:]
	b := newBench(t, halosim.Config{}, st)
	stop := b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(2, 2, 5, "11"))
	b.licence(aLicenceEvent(3, 3, 5, "10"))
	b.settled()
	add := keep("keep", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{} })
	b.rules(add)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	if got := len(b.invoice(-1).Lines); got != 2 {
		t.Fatalf("%d lines, want the added one and the other", got)
	}
	stop()
	b.sim.ResetRequests()
	b.pool, b.rpc = postgrestest.New(t), nil
	b.config.Pool = b.pool
	b.start()
	b.settled()
	b.rules(add)
	b.settled()
	if got := b.sim.Requests()["POST /RecurringInvoice"]; got != 0 {
		t.Errorf("%d writes after the loss of the database, want none", got)
	}
	if got := len(b.lines()); got != 3 {
		t.Errorf("%d lines, want 3", got)
	}
}

func TestALineEditedByHandIsSeenAndSetRight(t *testing.T) {
	b := newBench(t, halosim.Config{}, estate(1))
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	if err := b.sim.EditInvoice(-1, func(i *halosim.Invoice) { i.Lines[0].UnitCost = halosim.Pounds("1") }); err != nil {
		t.Fatal(err)
	}
	resp, err := invoicelinev1.NewLineServiceClient(b.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"})
	if err != nil || resp.GetInvoices() != 1 || resp.GetLines() != 2 {
		t.Fatalf("refresh: %v, %v", resp, err)
	}
	b.settled()
	if got := b.invoice(-1).Lines[0].UnitCost.String(); got != "10" {
		t.Errorf("cost %s, want 10 again", got)
	}
	changes, err := opsv1.NewOpsServiceClient(b.rpc).ListChanges(t.Context(), &opsv1.ListChangesRequest{Connection: "acme", Filter: `outcome = "drifted"`})
	if err != nil || len(changes.GetChanges()) != 1 {
		t.Errorf("the change by hand in the log: %v, %v", changes, err)
	}
}

func TestPriceRulesOverGRPC(t *testing.T) {
	b := newBench(t, halosim.Config{}, estate(1))
	b.start()
	client := pricingv1.NewPricingServiceClient(b.rpc)
	if _, err := client.GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "nowhere"}); rpc.Reason(err) == "" {
		t.Errorf("rules of an unknown connection: %v", err)
	}
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	set := func(etag string, only bool, list ...*pricingv1.PriceRule) (*pricingv1.PriceRules, error) {
		return client.SetPriceRules(t.Context(), &pricingv1.SetPriceRulesRequest{Rules: &pricingv1.PriceRules{Connection: "acme", Rules: list, Etag: etag}, ValidateOnly: only})
	}
	if _, err := set("", false, costPlus("a", "x"), keep("")); err == nil || !strings.Contains(err.Error(), "not a percentage") {
		t.Errorf("wrong rules: %v", err)
	}
	if _, err := set("", true, costPlus("a", "20")); err != nil {
		t.Errorf("validate only: %v", err)
	}
	if got, err := client.GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"}); err != nil || len(got.GetRules()) != 0 {
		t.Errorf("validate only stored %v, %v", got, err)
	}
	first, err := set("", false, costPlus("a", "20"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set("", false, costPlus("a", "30")); err == nil {
		t.Error("rules were replaced without their etag")
	}
	if _, err := set(first.GetEtag(), false, costPlus("a", "30")); err != nil {
		t.Error(err)
	}
	b.settled()
	if got := b.invoice(-1).Lines[0].UnitPrice.String(); got != "13" {
		t.Errorf("price %s, want 13", got)
	}
}

func TestEventsOfLines(t *testing.T) {
	st := estate(1)
	st.Invoices[0].Lines[0].Subscriptions[0].UsesSubsPrice = true
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	b.rules(costPlus("a", "20"))
	b.settled()
	e, ok := eventtest.State(t, b.conn, "invoice-line")["acme/-1/1001"]
	if !ok {
		t.Fatalf("no event of the line, but %v", eventtest.State(t, b.conn, "invoice-line"))
	}
	var l invoicelinev1.Line
	if err := e.Unmarshal(&l); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(e.Type, " ", e.Run, " ", l.GetLicenceKeys(), l.GetApplied().GetLicenceIds(), l.GetLicencePrice().GetAmount(), " ", l.GetApplied().GetQuantity(), " ", l.GetObserved().GetUnitPrice().GetAmount())
	if want := "seatline.invoice_line.changed.v1 run-1 [giacom/1] [501]12 5 12"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b.send("licence", "removed", "giacom/1", &licencev1.Licence{Connection: "acme", Key: "giacom/1", Instance: "halo/sim", Status: &itemv1.Status{State: itemv1.State_STATE_RETIRED}})
	b.settled()
	if e := eventtest.State(t, b.conn, "invoice-line")["acme/-1/1001"]; e.Type != "seatline.invoice_line.removed.v1" {
		t.Errorf("the line of a licence that is gone: %s", e.Type)
	}
}

func TestEachInvoiceIsReadByItselfWhereListsAreNotWhole(t *testing.T) {
	b := newBench(t, halosim.Config{InvoiceLines: halosim.LinesThin}, estate(3))
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO, func(c *connectionv1.Connection) { c.Halo.Capabilities = nil })
	for i := 1; i <= 3; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "10"))
	}
	b.settled()
	if got := b.sim.Requests()["GET /RecurringInvoice/{id}"]; got != 3 {
		t.Errorf("%d invoices read, want 3", got)
	}
	if got := len(b.lines()); got != 3 {
		t.Errorf("%d lines, want 3", got)
	}
}
