package giacom_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/giacom/giacomsim"
)

// estate has two customers and four subscriptions, one of them not Microsoft's.
func estate() giacomsim.Account {
	day := func(s string) time.Time { t, _ := time.Parse("2006-01-02", s); return t }
	money := func(s string) decimal.NullDecimal { return decimal.NewNullDecimal(decimal.RequireFromString(s)) }
	return giacomsim.Account{
		Customers: []giacomsim.Customer{
			{MexID: "MEX10021", Name: "Harbour Dental Ltd", TenantID: "t-1", HasGDAP: true, Created: day("2023-02-14"), Line1: "1 Quay", City: "Hull", Postcode: "HU1", Country: "GB", Email: "a@example.com"},
			{MexID: "MEX10022", Name: "Müller & Söhne", Created: day("2023-02-15")},
		},
		Subscriptions: []giacomsim.Subscription{
			{
				ID: "10482233", GUID: "0B5A3C1E-2F54-4D0D-8E2A-6A7F5B6C9D10", MexID: "MEX10021",
				Name: "Microsoft 365 Business Premium", Reference: "Microsoft 365 Business Premium (NCE Annual Term)",
				ProductID: "55-a", OfferID: "CFQ7TTC0LCHC:0002", Service: "Microsoft 365",
				Quantity: money("12"), Price: money("15.0900"), RRP: money("18.1000"), Start: day("2025-03-04"), Renewal: day("2026-03-04"),
				Cycle: "Monthly", Term: "Annual", TermEndAction: "RenewToNewTerm", NCE: true,
			},
			{
				ID: "10482234", GUID: "1b5a3c1e-2f54-4d0d-8e2a-6a7f5b6c9d11", MexID: "MEX10021", TenantID: "t-2",
				Name: "Exchange Online (Plan 1)", ProductID: "56-a", OfferID: "CFQ7TTC0LH16:0001",
				Quantity: money("3"), Price: money("3.2"), Start: day("2025-03-05"), Cycle: "Monthly", Term: "Monthly", Status: "Suspended",
			},
			{
				ID: "10482235", MexID: "MEX10022", Name: "Exclaimer for Microsoft 365", ProductID: "90-b", Service: "Exclaimer",
				Quantity: money("7"), Price: money("1.15"), Start: day("2024-01-01"), Cycle: "Monthly", CostAsTotal: true,
			},
			{
				ID: "10482236", GUID: "2b5a3c1e-2f54-4d0d-8e2a-6a7f5b6c9d12", MexID: "MEX10022", Name: "Visio Plan 2", ProductID: "57-a",
				OfferID: "CFQ7TTC0HD32:0002", Quantity: money("1"), Start: day("2024-01-01"), Status: "Cancelled",
			},
		},
	}
}

type world struct {
	sim   *giacomsim.Sim
	cfg   giacom.Config
	clock *clockwork.FakeClock
}

func newWorld(t *testing.T, cfg giacomsim.Config) *world {
	t.Helper()
	clock := clockwork.NewFakeClock()
	cfg.Now = clock.Now
	sim := giacomsim.New(cfg)
	if err := sim.Set(estate()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	// Back-off takes no time here; the waits themselves are tested on their own.
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				clock.Advance(10 * time.Second)
			}
		}
	}()
	return &world{sim: sim, clock: clock, cfg: giacom.Config{BaseURL: server.URL + "/Billing/v1", Key: "sim-key", Clock: clock}}
}

func (w *world) with(change func(*giacom.Config)) *world {
	change(&w.cfg)
	return w
}

type got struct {
	customers     map[string]giacom.Customer
	subscriptions map[string]giacom.Subscription
	result        giacom.Result
	err           error
}

func (w *world) pull(t *testing.T) got {
	t.Helper()
	client, err := giacom.New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	g := got{customers: map[string]giacom.Customer{}, subscriptions: map[string]giacom.Subscription{}}
	g.result, g.err = client.Import(t.Context(), giacom.Want{Customers: true, Subscriptions: true}, giacom.Sink{
		Customer:     func(c giacom.Customer) error { g.customers[c.MexID] = c; return nil },
		Subscription: func(s giacom.Subscription) error { g.subscriptions[s.Key()] = s; return nil },
	})
	return g
}

func (g got) keys() string { return strings.Join(slices.Sorted(mapKeys(g.subscriptions)), " ") }

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

const (
	premium  = "microsoft/0b5a3c1e-2f54-4d0d-8e2a-6a7f5b6c9d10"
	exchange = "microsoft/1b5a3c1e-2f54-4d0d-8e2a-6a7f5b6c9d11"
	visio    = "microsoft/2b5a3c1e-2f54-4d0d-8e2a-6a7f5b6c9d12"
)

func TestEachMethodSeesWhatItShould(t *testing.T) {
	for name, c := range map[string]struct {
		method  giacom.Method
		feed    giacom.AllProducts
		keys    []string
		left    int
		derived bool
	}{
		"subscriptions":            {method: giacom.MethodSubscriptions, keys: []string{"giacom/10482233", "giacom/10482234", "giacom/10482235"}},
		"subscriptions by totals":  {method: giacom.MethodSubscriptions, feed: giacom.FromAccountTotals, keys: []string{"giacom/MEX10021/55-a", "giacom/MEX10021/56-a", "giacom/MEX10022/90-b"}},
		"the report":               {method: giacom.MethodReport, keys: []string{premium, exchange, visio}, derived: true},
		"both":                     {method: giacom.MethodBoth, keys: []string{"giacom/10482235", premium, exchange, visio}, left: 2},
		"both, by totals, derived": {method: giacom.MethodBoth, feed: giacom.FromAccountTotals, keys: []string{"giacom/MEX10022/90-b", premium, exchange, visio}, left: 2, derived: true},
	} {
		for _, casing := range []giacomsim.Config{{}, {PascalCase: true}, {Totals: true}, {CountSubscriptions: true}} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, casing).with(func(cfg *giacom.Config) {
					cfg.Method, cfg.AllProducts, cfg.DeriveCustomers = c.method, c.feed, c.derived
				})
				g := w.pull(t)
				if g.err != nil {
					t.Fatal(g.err)
				}
				if diff := cmp.Diff(strings.Join(c.keys, " "), g.keys()); diff != "" {
					t.Errorf("subscriptions (-want +got):\n%s", diff)
				}
				if !g.result.Subscriptions.Complete || !g.result.Customers.Complete {
					t.Errorf("not complete: %+v", g.result)
				}
				if g.result.Subscriptions.LeftToReport != c.left {
					t.Errorf("left to the report: %d, want %d", g.result.Subscriptions.LeftToReport, c.left)
				}
				if len(g.customers) != 2 || g.customers["MEX10022"].Name != "Müller & Söhne" {
					t.Errorf("customers: %v", g.customers)
				}
			})
		}
	}
}

func TestCustomersLeftOutOfTheirPathAreSeenInTheFeed(t *testing.T) {
	w := newWorld(t, giacomsim.Config{})
	w.sim.PutCustomer(giacomsim.Customer{MexID: "MEX10022", Name: "Müller & Söhne", NotInList: true})
	g := w.pull(t)
	if g.err != nil || !g.customers["MEX10022"].Derived {
		t.Errorf("%v %+v", g.err, g.customers)
	}
}

func TestReportRowIsReadExactly(t *testing.T) {
	g := newWorld(t, giacomsim.Config{}).with(func(c *giacom.Config) { c.Method = giacom.MethodReport }).pull(t)
	s := g.subscriptions[premium]
	want := giacom.Subscription{
		Space: giacom.SpaceMicrosoft, ID: "0b5a3c1e-2f54-4d0d-8e2a-6a7f5b6c9d10", MexID: "MEX10021", CustomerName: "Harbour Dental Ltd",
		TenantID: "t-1", Name: "Microsoft 365 Business Premium", SKU: "CFQ7TTC0LCHC:0002", Microsoft: true,
		Quantity: decimal.NewNullDecimal(decimal.RequireFromString("12")),
		Price:    decimal.NewNullDecimal(decimal.RequireFromString("15.09")), RRP: decimal.NewNullDecimal(decimal.RequireFromString("18.1")),
		Start: time.Date(2025, 3, 4, 0, 0, 0, 0, time.UTC), Renewal: time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC),
		Cycle: "Monthly", Term: "Annual", Status: "Active", NCE: true, TermEndAction: "RenewToNewTerm",
	}
	if diff := cmp.Diff(want, s, cmp.Comparer(func(a, b decimal.Decimal) bool { return a.Equal(b) })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !s.End().Equal(s.Renewal) {
		t.Errorf("end %v, want the renewal date while commitmentEndDate is null", s.End())
	}
	if x := g.subscriptions[exchange]; x.TenantID != "t-2" || x.Status != "Suspended" || x.RRP.Valid {
		t.Errorf("second tenant: %+v", x)
	}
}

func TestCostPerSeatIsTheTotalSharedOutWhenItIsNought(t *testing.T) {
	g := newWorld(t, giacomsim.Config{}).pull(t)
	if p := g.subscriptions["giacom/10482235"].Price; !p.Valid || p.Decimal.String() != "1.15" {
		t.Errorf("price %v, want 1.15", p)
	}
}

func TestAccountTotalsSumsRowsOfOneProduct(t *testing.T) {
	w := newWorld(t, giacomsim.Config{Totals: true}).with(func(c *giacom.Config) { c.AllProducts = giacom.FromAccountTotals; c.PageSize = 2 })
	add := func(id string, seats int64, price string, start time.Time) {
		err := w.sim.PutSubscription(giacomsim.Subscription{
			ID: id, MexID: "MEX10021", Name: "x", ProductID: "55-a", Start: start,
			Quantity: decimal.NewNullDecimal(decimal.NewFromInt(seats)), Price: decimal.NewNullDecimal(decimal.RequireFromString(price)),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	add("a", 5, "15.09", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	add("b", 2, "16.50", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err := w.sim.Inject(giacomsim.Fault{Name: "error_503", Route: "accounttotals", Nth: 2}); err != nil {
		t.Fatal(err)
	}
	g := w.pull(t)
	if g.err != nil || !g.result.Subscriptions.Complete {
		t.Fatalf("%v %+v", g.err, g.result)
	}
	s := g.subscriptions["giacom/MEX10021/55-a"]
	if s.Quantity.Decimal.String() != "17" || s.Start.Year() != 2024 {
		t.Errorf("sum of 12 and 5 seats from 2024: got %s from %s", s.Quantity.Decimal, s.Start)
	}
	if s := g.subscriptions["giacom/MEX10021/55-a@16.5"]; s.Quantity.Decimal.String() != "2" {
		t.Errorf("the other price: %+v; keys %s", s, g.keys())
	}
}

func TestMisconfigurationIsRefusedBeforeAnythingIsSent(t *testing.T) {
	for name, cfg := range map[string]giacom.Config{
		"no key":                   {},
		"v2 without address":       {Version: giacom.V2, Key: "k"},
		"v2 in production":         {Version: giacom.V2, Key: "k", BaseURL: "https://api.integrations.giacom.com/v2"},
		"v2 on the v1 gateway":     {Version: giacom.V2, Key: "k", BaseURL: "https://CloudMarket-services.azure-api.net/PartnerCenter/v2"},
		"v2 without token address": {Version: giacom.V2, Key: "k", BaseURL: "https://x.example/v2", ClientID: "c"},
		"password in the address":  {Key: "k", BaseURL: "https://user:hunter2@x.example"},
		"unknown method":           {Key: "k", Method: "all"},
	} {
		_, err := giacom.New(cfg)
		if giacom.ClassOf(err) != giacom.Misconfigured {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: shows the password: %v", name, err)
		}
	}
}

func TestV2(t *testing.T) {
	for name, change := range map[string]func(*giacom.Config, string){
		"OAuth": func(c *giacom.Config, base string) {
			c.AuthURL, c.ClientID, c.Key = base+"/oauth2/token", "sim-client", "sim-secret"
		},
		"plain key": func(*giacom.Config, string) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, giacomsim.Config{})
			base := strings.TrimSuffix(w.cfg.BaseURL, "/Billing/v1")
			w.with(func(c *giacom.Config) { c.Version, c.BaseURL, c.PageSize = giacom.V2, base+"/v2", 2; change(c, base) })
			if name == "OAuth" {
				if err := w.sim.Inject(giacomsim.Fault{Name: "token_expired", Nth: 2}); err != nil {
					t.Fatal(err)
				}
			}
			g := w.pull(t)
			if g.err != nil || !g.result.Subscriptions.Complete || len(g.subscriptions) != 4 || len(g.customers) != 2 {
				t.Fatalf("%v %+v %s", g.err, g.result, g.keys())
			}
			s := g.subscriptions["giacom/svc-10482233"]
			if s.MexID != "MEX10021" || s.Price.Decimal.String() != "15.09" || s.Quantity.Decimal.String() != "12" ||
				s.Term != "Annual" || s.End().Year() != 2026 || giacom.ReadStatus(g.subscriptions["giacom/svc-10482236"].Status) != giacom.StatusCancelled {
				t.Errorf("%+v", s)
			}
			w.sim.RevokeKey()
			if g := w.pull(t); giacom.ClassOf(g.err) != giacom.KeyRejected {
				t.Errorf("after revocation: %v", g.err)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		faults []giacomsim.Fault
		failed string // name of the check that fails
		says   string
	}{
		"all well":                          {},
		"Status wants arguments":            {faults: []giacomsim.Fault{{Name: "status_400"}}},
		"no Status":                         {faults: []giacomsim.Fault{{Name: "not_found", Route: "status"}}},
		"bad key":                           {faults: []giacomsim.Fault{{Name: "key_bad"}}, failed: "Giacom key", says: "Settings > API"},
		"no customers path":                 {faults: []giacomsim.Fault{{Name: "not_found", Route: "customers"}}, failed: "Giacom customers", says: "derived"},
		"no subscriptions path":             {faults: []giacomsim.Fault{{Name: "not_found", Route: "subscriptions"}}, failed: "Giacom subscriptions", says: "AccountTotals"},
		"the key does not cover the report": {faults: []giacomsim.Fault{{Name: "no_product", Route: "report"}}, failed: "Giacom report", says: "does not cover"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, giacomsim.Config{}).with(func(c *giacom.Config) { c.Method = giacom.MethodBoth })
			for _, f := range c.faults {
				if err := w.sim.Inject(f); err != nil {
					t.Fatal(err)
				}
			}
			client, err := giacom.New(w.cfg)
			if err != nil {
				t.Fatal(err)
			}
			for _, check := range client.Validate(t.Context()) {
				if (check.Err != nil) != (check.Name == c.failed) {
					t.Errorf("%s: %v", check.Name, check.Err)
				}
				if check.Err != nil && !strings.Contains(check.Err.Error(), c.says) {
					t.Errorf("%s: %v does not say %q", check.Name, check.Err, c.says)
				}
			}
		})
	}
}

func TestTheKeyGoesIntoItsHeaderAndNowhereElse(t *testing.T) {
	var seen *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		_, _ = w.Write([]byte(`{"Data":[]}`))
	}))
	defer server.Close()
	client, err := giacom.New(giacom.Config{BaseURL: server.URL, Key: "hunter2", KeyHeader: "X-Key", SubscriptionsPath: "Elsewhere", PageSizeArgument: "top"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := client.Products(t.Context(), nil)
	if err != nil || !p.Complete {
		t.Fatalf("%v %+v", err, p)
	}
	if seen.Header.Get("X-Key") != "hunter2" || seen.URL.String() != "/Elsewhere?top=5000" || seen.Header.Get("Accept") != "application/json" {
		t.Errorf("%s %v", seen.URL, seen.Header)
	}
}
