package billing

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
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
