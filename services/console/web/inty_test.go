package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/billing"
	"seatline.dev/services/servicetest"
)

// beside notes what is asked of the mapper and the licence service.
type beside struct {
	mappingv1.UnimplementedMappingServiceServer
	licencev1.UnimplementedLicenceServiceServer
	mu    sync.Mutex
	asked []string
}

func (b *beside) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, fmt.Sprintf(format, args...))
}

func (b *beside) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.asked...)
}

func (b *beside) SetMapping(ctx context.Context, req *mappingv1.SetMappingRequest) (*mappingv1.Mapping, error) {
	b.note("%s maps %s to %d", rpc.Who(ctx), req.GetMexId(), req.GetHaloClientId())
	return &mappingv1.Mapping{MexId: req.GetMexId(), GiacomName: hostile, HaloClientName: "Client"}, nil
}

func (b *beside) ImportMappings(ctx context.Context, req *mappingv1.ImportMappingsRequest) (*mappingv1.ImportMappingsResponse, error) {
	rows := ""
	for _, x := range req.GetRows() {
		rows += fmt.Sprintf(" %s to %d", x.GetMexId(), x.GetHaloClientId())
		if x.GetHaloClientId() == 2 && len(req.GetRows()) > 1 {
			return &mappingv1.ImportMappingsResponse{Errors: []*mappingv1.RowError{{Line: x.GetLine(), Text: "customer 2 of Halo (Second Ltd) is inactive"}}}, nil
		}
	}
	b.note("%s maps at once%s", rpc.Who(ctx), rows)
	return &mappingv1.ImportMappingsResponse{Imported: int32(len(req.GetRows()))}, nil
}

func (b *beside) ListLicences(_ context.Context, req *licencev1.ListLicencesRequest) (*licencev1.ListLicencesResponse, error) {
	b.note("lists %s", req.GetFilter())
	return &licencev1.ListLicencesResponse{Licences: []*licencev1.Licence{{Key: "giacom/9", Desired: &licencev1.Fields{Count: 3}, Subscription: &subscriptionv1.Subscription{Giacom: &giacomv1.Subscription{Name: "Renamed " + hostile}}}}}, nil
}

// migrant is a web console with a real billing service behind it, whose provider comes from Inty: customer
// n has a licence of Inty's (700+n, 7 seats) on a line, and one of Giacom's (500+n, 5 seats) on none.
type migrant struct {
	*site
	t      *testing.T
	sim    *halosim.Sim
	rpc    *grpc.ClientConn
	beside *beside
	olga   *person
	send   func(kind, entity, key string, data proto.Message)
}

func startMigrant(t *testing.T) *migrant {
	t.Helper()
	env := servicetest.Env(t)
	env.Log = slog.New(slog.DiscardHandler)
	env.RPC = rpc.Config{Addr: "127.0.0.1:0", Tokens: []rpc.Token{{Name: "console", Role: rpc.RoleService, Secret: serviceToken}, {Name: "otto", Role: rpc.RoleOperator, Secret: operatorsToken}}}
	listening := make(chan string, 1)
	env.Listening = func(addr string) { listening <- addr }
	eventtest.Run(t, func(ctx context.Context) error {
		return billing.Run(ctx, billing.Config{Env: env, Secrets: servicetest.Secrets{}, Timeout: 5 * time.Second, Settle: 300 * time.Millisecond, Pause: 50 * time.Millisecond, Poll: 20 * time.Millisecond})
	})
	addr := ""
	select {
	case addr = <-listening:
	case <-time.After(30 * time.Second):
		t.Fatal("billing does not listen")
	}
	dial := func(token rpc.Endpoint) *grpc.ClientConn {
		conn, err := rpc.Dial(token)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	m := &migrant{t: t, sim: halosim.New(halosim.Config{}), rpc: dial(rpc.Endpoint{Addr: addr, Token: operatorsToken}), beside: &beside{}}
	m.sim.Set(intyState())
	api := httptest.NewServer(m.sim)
	t.Cleanup(api.Close)
	settings := &settingsOfAcme{connection: &connectionv1.Connection{
		Slug: "acme", DisplayName: "Acme IT", Enabled: true, Mode: connectionv1.Mode_MODE_AUTO, Etag: "1",
		Giacom: &connectionv1.Giacom{Account: "main", Currency: "GBP", AnnualPriceBasis: moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH},
		Halo: &connectionv1.Halo{BaseUrl: api.URL, Tenant: "sim", ClientId: "sim-client", Instance: "halo/sim", BudgetRequests: 100000, BudgetWindow: durationpb.New(time.Minute),
			Capabilities: &connectionv1.Capabilities{InvoiceListHasLines: proto.Bool(true), PageSize_1000: proto.Bool(true)}},
		Billing: &connectionv1.Billing{ProRata: proto.Int32(1)},
	}}
	others := serveGRPC(t, func(server grpc.ServiceRegistrar) {
		connectionv1.RegisterConnectionServiceServer(server, settings)
		mappingv1.RegisterMappingServiceServer(server, m.beside)
		licencev1.RegisterLicenceServiceServer(server, m.beside)
	})
	m.site = start(t, func(cfg *Config) {
		cfg.Services.Console, cfg.Services.Mapper, cfg.Services.Licence, cfg.Services.Billing = others, others, others, dial(rpc.Endpoint{Addr: addr, Token: serviceToken})
	})
	revision := time.Now().UnixMicro()
	m.send = func(kind, entity, key string, data proto.Message) {
		revision++
		eventtest.Send(t, env.Bus, event.Event{Type: "seatline." + kind + ".v1", Entity: entity, Connection: "acme", Key: key, Data: data, Run: "r1", Revision: revision})
	}
	m.send("connection.changed", "connection", "acme", settings.connection)
	for n := int64(1); n <= 2; n++ {
		key := fmt.Sprintf("giacom/%d", n)
		fields := func() *licencev1.Fields {
			return &licencev1.Fields{ClientId: n, Count: 5, Active: true, PurchasePrice: &moneyv1.Money{Amount: "10", Currency: "GBP"}}
		}
		m.send("licence.changed", "licence", key, &licencev1.Licence{
			Connection: "acme", Key: key, Instance: "halo/sim", Desired: fields(), Applied: fields(), Status: &itemv1.Status{State: itemv1.State_STATE_IN_SYNC, HaloId: 500 + n},
			Subscription: &subscriptionv1.Subscription{Connection: "acme", HaloClientId: n, HaloClientName: "Client", Giacom: &giacomv1.Subscription{
				Key: key, MexId: fmt.Sprintf("M%d", n), Name: fmt.Sprintf("Product %d", n), Cycle: giacomv1.Cycle_CYCLE_MONTHLY, Term: giacomv1.Term_TERM_ANNUAL,
			}},
		})
	}
	m.named("M1", hostile)
	m.named("M2", "Second Limited")
	m.settle()
	m.olga = m.enter(t, "olga", rpc.RoleOperator)
	return m
}

// named is a customer of Giacom's that is not mapped.
func (m *migrant) named(mex, name string) {
	m.send("customer.unmapped", "mapping", mex, &mappingv1.Mapping{Connection: "acme", MexId: mex, GiacomName: name, State: mappingv1.State_STATE_UNMAPPED})
}

func (m *migrant) settle() { m.t.Helper(); servicetest.Settle(m.t, m.rpc, 4) }

func intyState() halosim.State {
	st := halosim.State{
		TopLevels: []halosim.TopLevel{{ID: 1, Name: "Customers"}}, Items: []halosim.Item{{ID: 77, Name: "Licence"}},
		Clients: []halosim.Client{{ID: 1, Name: hostile}, {ID: 2, Name: "Second Ltd"}}, Sites: []halosim.Site{{ID: 1, ClientID: 1, Name: "Main", Extra: halosim.Extra{"country_code": []byte(`"GB"`)}}},
		Control: halosim.Control{CalculateQuantities: true, IntyURL: "https://inty.example", IntyUserName: "msp", IntyIntegrator: true},
	}
	for n := int64(1); n <= 2; n++ {
		name := fmt.Sprintf("Product %d", n)
		st.Control.IntyMappings = append(st.Control.IntyMappings, halosim.Link{ID: n, TableID: 2, HaloID: n, ThirdPartyID: fmt.Sprintf("IN-%d", n), Text: st.Clients[n-1].Name, HaloText: st.Clients[n-1].Name})
		st.Licences = append(st.Licences,
			halosim.Licence{ID: 500 + n, Type: 1, Name: name, ClientID: n, Count: 5, IsActive: true, PurchasePrice: halosim.Pounds("10"), SnowID: fmt.Sprintf("giacom:main:%d", n)},
			halosim.Licence{ID: 700 + n, Type: 1, Name: name + " (Active)", ClientID: n, Count: 7, IsActive: true, PurchasePrice: halosim.Pounds("9"), Distributor: "Inty"})
		st.Invoices = append(st.Invoices, halosim.Invoice{ID: -n, ClientID: n, ClientName: st.Clients[n-1].Name, Period: 2, ChangeSeq: 3, NextCreation: halosim.On(time.Now().AddDate(0, 0, 15)), LastCreated: halosim.On(time.Now().AddDate(0, 0, -15)), Lines: []halosim.Line{
			{ID: 1000 + n, ItemID: 77, Name: name, QuantityType: 4, UnitCost: halosim.Pounds("9"), UnitPrice: halosim.Pounds("12"), Subscriptions: []halosim.QuantityRow{{ID: 10 * n, LineID: 1000 + n, Kind: 4, LicenceID: 700 + n, ProRata: 1}}},
			{ID: 2000 + n, Name: "Support <per> user", QuantityType: 2, UnitPrice: halosim.Pounds("10"), Users: []halosim.QuantityRow{{ID: 2000 + n, Kind: 2}}},
		}})
	}
	return st
}

const escaped = `Zoë&#39;s &#34;Café&#34; &lt;b&gt;&amp;&lt;/b&gt; 🌱`

func TestIntyMappingsAreNotedAndAccepted(t *testing.T) {
	m := startMigrant(t)
	const inty = "/c/acme/inty"
	m.olga.get(inty).says(t, 200, "The old mappings are not saved.", "Save from Halo", "aria-current=\"step\"")
	vera := m.enter(t, "vera", rpc.RoleViewer)
	vera.get(inty).says(t, 200, "The old mappings are not saved.", "!Save from Halo", "!Write a report")
	if r := vera.postWith(vera.token(inty), inty+"/save"); r.status != http.StatusForbidden {
		t.Errorf("a viewer saves: %d", r.status)
	}

	for file, wrong := range map[string]string{
		"inty_id,client_id\nIN-1,\"1":       "the file ends within this line",
		"name\nx\n":                         "no column inty_id",
		"inty_id,client_id\n,1\nIN-2,\n":    "line 3: the customer of Halo is missing",
		"inty_id,client_name\nIN-1,Ghost\n": "0 customers of Halo are named",
	} {
		m.olga.upload(inty+"/save", inty+"/save", "old.csv", []byte(file)).says(t, http.StatusUnprocessableEntity, "Nothing was saved", wrong)
	}
	m.olga.upload(inty+"/save", inty+"/save", "", nil).says(t, http.StatusUnprocessableEntity, "No file was chosen.")
	if r := m.olga.upload(inty+"/save", inty+"/save", "old.csv", []byte("inty_id,client_id,country\nIN-9,1,US\n")); r.to != inty {
		t.Errorf("a good file: %d %s", r.status, r.to)
	}
	m.olga.post(inty+"/save", inty)
	m.olga.get(inty).says(t, 200, "3 old mappings are saved, 2 of them just now, from Halo.")
	m.olga.post(inty+"/module", inty)
	m.olga.get(inty).says(t, 200, "Remove the 2 customer mappings of the Inty module", "Switch off &#34;Enable the Halo Integrator")
	m.olga.post(inty+"/refresh", inty)
	m.settle()

	// Country says the United States, and Halo's site says otherwise: a person is asked.
	m.olga.get(inty+"/where").says(t, 200, escaped, "Country US, but country GB", "Second Ltd", "Neither country nor currency is known", "All at once")
	m.olga.post(inty+"/where", inty+"/where", "client", "all")
	m.olga.get(inty+"/where").says(t, 200, "Nothing was answered yet.")
	m.olga.post(inty+"/where", inty+"/where", "client", "2", "where", "elsewhere")
	m.olga.get(inty+"/where").says(t, 200, "Answered for 1 customer, not in the United States", "!Second Ltd")
	m.olga.post(inty+"/where", inty+"/where", "client", "1", "where", "us")
	m.olga.get(inty+"/mappings?state=excluded").says(t, 200, escaped, "Olga says that the customer is in the United States", "!Second Ltd")
	m.olga.post(inty+"/where", inty+"/where?customer=1", "client", "1", "where", "elsewhere")
	m.olga.get(inty+"/mappings?q=zo%C3%AB&order=customer+desc").says(t, 200, escaped, "IN-1", "!Second Ltd", "Accept")
	vera.get(inty+"/mappings").says(t, 200, escaped, "!Accept")

	// Accepted is what was shown, and nothing else, in one go or not at all.
	shown := m.olga.get(inty+"/mappings/accept").says(t, 200, ">M1<", ">M2<", escaped)
	m.olga.post(inty+"/mappings/accept", inty+"/mappings/accept", "these", shown.field(t, "these")).says(t, http.StatusUnprocessableEntity, "Nothing was mapped", "customer 2 of Halo (Second Ltd) is inactive")
	m.send("customer.mapped", "mapping", "M2", &mappingv1.Mapping{Connection: "acme", MexId: "M2", GiacomName: "Second Limited", State: mappingv1.State_STATE_MAPPED, HaloClientId: 2})
	m.settle()
	m.olga.post(inty+"/mappings/accept", inty+"/mappings/accept", "these", shown.field(t, "these")).says(t, http.StatusConflict, "not what was shown any more", "!>M2<")
	if asked := m.beside.all(); len(asked) != 0 {
		t.Errorf("mapped although refused: %q", asked)
	}
	shown = m.olga.get(inty + "/mappings/accept")
	m.olga.post(inty+"/mappings/accept", inty, "these", shown.field(t, "these"))
	m.olga.get(inty).says(t, 200, "1 proposal is accepted")
	if asked := m.beside.all(); len(asked) != 1 || asked[0] != "olga maps at once M1 to 1" {
		t.Errorf("asked of the mapper: %q", asked)
	}
	m.olga.post(inty+"/mappings/map", inty+"/mappings", "inty", "IN-1", "client", "1", "mex", "M2")
	m.olga.get(inty).says(t, 200, "That proposal is not there any more")
	m.olga.post(inty+"/mappings/map", inty+"/mappings", "inty", "IN-1", "client", "1", "mex", "M1")
	if asked := m.beside.all(); len(asked) != 2 || asked[1] != "olga maps M1 to 1" {
		t.Errorf("asked of the mapper: %q", asked)
	}
}

func TestIntyLinesAreRepointedAndPutBack(t *testing.T) {
	m := startMigrant(t)
	const inty = "/c/acme/inty"
	m.olga.post(inty+"/save", inty)
	m.olga.post(inty+"/refresh", inty)
	m.olga.post(inty+"/where", inty+"/where", "client", "2", "where", "elsewhere")
	m.olga.get(inty+"/pairs?q=zo%C3%AB+product&order=seats+desc").says(t, 200, "Product 1 (Active)", escaped, "Ready", "!Product 2 (Active)")
	m.olga.get(inty+"/pairs?order=colour").says(t, http.StatusUnprocessableEntity, "cannot be ordered by")
	m.olga.get(inty+"/pairs/999").says(t, http.StatusNotFound, "999")
	m.olga.get(inty+"/pairs/x%3Cb%3E").says(t, http.StatusNotFound, "x&lt;b&gt;")
	m.olga.get(inty+"/users?q=per").says(t, 200, "Support &lt;per&gt; user", "nothing syncs them any more")

	// Two people decide at once: the second is told what the first did.
	page := m.olga.get(inty+"/pairs/702").says(t, 200, "Leave it alone", "Product 2 (Active)", "Renamed "+escaped+", 3 seats")
	if asked := m.beside.all(); asked[0] != `lists connection = "acme" AND halo_client_id = 2` {
		t.Errorf("asked for the customer's licences: %q", asked)
	}
	otto := m.enter(t, "otto", rpc.RoleOperator)
	otto.post(inty+"/pairs/702", inty+"/pairs/702", "do", "leave", "etag", page.field(t, "etag"))
	m.olga.post(inty+"/pairs/702", inty+"/pairs/702", "do", "choose", "key", "giacom/2", "etag", page.field(t, "etag"))
	m.olga.get(inty+"/pairs/702").says(t, 200, "otto decided to leave it alone meanwhile", "Left alone", "Pair it after all")
	m.olga.post(inty+"/pairs/702", inty+"/pairs/702", "do", "adopt", "key", "giacom/2")
	m.olga.get(inty+"/pairs/702").says(t, 200, "no possible duplicate of that licence any more")

	m.olga.get(inty+"/preview?customers=1,acme").says(t, http.StatusUnprocessableEntity, "no number of a customer in Halo")
	m.olga.get(inty+"/preview").says(t, 200, "estimate for −2 seats", "−£24.00", "instead of Product 1 (Active)", "!Product 2 (Active)", "Apply …")
	m.enter(t, "vera", rpc.RoleViewer).get(inty+"/preview").says(t, 200, "−£24.00", "!Apply …")
	ask := m.olga.get(inty+"/apply?customers=1").says(t, 200, "Re-point 1 line?", "£24.00 ex VAT a month less than now", "the customers 1 alone")
	etag := ask.field(t, "etag")
	m.olga.post(inty+"/apply", inty+"/apply", "customers", "1", "etag", etag).says(t, http.StatusConflict, "still switched on", "have it checked in step 2")
	m.sim.EditControl(func(c *halosim.Control) {
		c.IntyMappings, c.IntyURL, c.IntyUserName, c.IntyIntegrator = nil, "", "", false
	})
	m.olga.post(inty+"/apply", inty+"/apply", "customers", "1", "etag", "of yesterday", "deactivate", "on").says(t, http.StatusConflict, "not what was shown any more", "checked")
	if r := m.olga.post(inty+"/apply", inty+"/apply", "customers", "1", "etag", etag); r.to != inty {
		t.Fatalf("applied: %d\n%s", r.status, mainOf(r.body))
	}
	m.settle()
	if got := m.links(1); got != 501 {
		t.Errorf("the line links %d", got)
	}
	m.olga.get(inty).says(t, 200, "1 line is being re-pointed", "1 of 1", "Undo …")
	m.olga.post(inty+"/verify", inty).says(t, 200, "Everything is as it should be", "1 line was read again")

	m.sim.EditInvoice(-1, func(inv *halosim.Invoice) { inv.Lines[0].Subscriptions[0].LicenceID = 502 })
	m.olga.post(inty+"/verify", inty).says(t, 200, "Not everything is as it should be", "Changed in Halo", escaped)
	m.sim.EditInvoice(-1, func(inv *halosim.Invoice) { inv.Lines[0].Subscriptions[0].LicenceID = 501 })
	m.olga.post(inty+"/verify", inty).says(t, 200, "Everything is as it should be")

	m.olga.get(inty+"/undo").says(t, 200, "1 line was re-pointed", "Pro-rata rows that Halo created stay")
	m.olga.post(inty+"/undo", inty+"/undo", "customers", "<b>").says(t, http.StatusUnprocessableEntity, "&lt;b&gt;", "no number of a customer in Halo")
	m.olga.post(inty+"/undo", inty+"/undo", "customers", "")
	m.settle()
	if got := m.links(1); got != 701 {
		t.Errorf("after undo the line links %d", got)
	}
	m.olga.get(inty+"/undo").says(t, 200, "Nothing to undo")

	report := m.olga.post(inty+"/reports", inty)
	m.olga.get(report.to).says(t, 200, escaped, "Apply the re-pointing.", "Only what is left")
	m.olga.get(report.to+"?show=left&q=zo%C3%AB").says(t, 200, escaped, "!Second Ltd")
	file := m.olga.get(report.to+"/csv").says(t, 200, "kind,customer,client_id", "ready,")
	if got := file.header.Get("Content-Disposition"); got != "attachment; filename=inty-migration-acme-1.csv" {
		t.Errorf("the file is named by %q", got)
	}
	m.olga.get(inty+"/reports").says(t, 200, "olga", report.to)
	m.olga.get(inty+"/reports/77").says(t, http.StatusNotFound, "does not exist")
}

// links is the licence that a customer's line counts.
func (m *migrant) links(customer int64) int64 {
	m.t.Helper()
	for _, inv := range m.sim.State().Invoices {
		if inv.ClientID == customer {
			return inv.Lines[0].Subscriptions[0].LicenceID
		}
	}
	return 0
}
