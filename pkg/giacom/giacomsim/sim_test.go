package giacomsim_test

import (
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/giacom/giacomsim"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func seed(t *testing.T, cfg giacomsim.Config) (*giacomsim.Sim, string) {
	t.Helper()
	day := time.Date(2025, 3, 4, 10, 12, 45, 0, time.UTC)
	money := func(s string) decimal.NullDecimal { return decimal.NewNullDecimal(decimal.RequireFromString(s)) }
	sim := giacomsim.New(cfg)
	if err := sim.Set(giacomsim.Account{
		Customers: []giacomsim.Customer{
			{MexID: "MEX1", Name: "Harbour & Sons <Ltd>", TenantID: "t-1", HasGDAP: true, Created: day, Line1: "1 Quay", City: "Hull", Postcode: "HU1 1AA", Country: "GB", Contact: "Ann", Email: "ann@example.com"},
			{MexID: "MEX2", Name: "Empty Ltd", TenantID: "t-9"},
		},
		Subscriptions: []giacomsim.Subscription{
			{ID: "101", GUID: "g-1", MexID: "MEX1", Name: "Business Premium", Reference: "Business Premium (NCE Annual Term)", ProductID: "55-a", OfferID: "CFQ7TTC0LCHC:0002", Service: "Microsoft 365", Quantity: money("12"), Price: money("15.0900"), RRP: money("18.1"), Start: day, Renewal: day.AddDate(1, 0, 0), Cancellable: day.AddDate(0, 0, 7), Cycle: "Monthly", Term: "Annual", TermEndAction: "RenewToNewTerm", NCE: true},
			{ID: "102", GUID: "g-2", MexID: "MEX1", CustomerName: "HARBOUR", TenantID: "t-2", Name: "Visio", ProductID: "56-a", Status: "Cancelled"},
			{ID: "103", MexID: "MEX1", Name: "Exclaimer", ProductID: "90-b", Quantity: money("3"), Price: money("1.15"), Start: day, CostAsTotal: true, NumbersAsText: true},
		},
	}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	return sim, server.URL
}

func call(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Ocp-Apim-Subscription-Key", "sim-key")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

func TestWireShapes(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  giacomsim.Config
		path string
	}{
		"report":        {path: "/Billing/v1/SubscriptionsManagementReport?pageSize=5000"},
		"report_pascal": {path: "/billing/v1/subscriptionsmanagementreport", cfg: giacomsim.Config{PascalCase: true}},
		"subscriptions": {path: "/Billing/v1/Subscriptions?pageSize=1&pageNumber=2", cfg: giacomsim.Config{Totals: true}},
		"accounttotals": {path: "/Billing/v1/AccountTotals"},
		"customers":     {path: "/Billing/v1/Customers"},
		"service":       {path: "/v2/service?offset=0&limit=1"},
		"organization":  {path: "/v2/organization"},
	} {
		t.Run(name, func(t *testing.T) {
			_, url := seed(t, c.cfg)
			_, got := call(t, "GET", url+c.path, "")
			file := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestStrictness(t *testing.T) {
	_, url := seed(t, giacomsim.Config{})
	for request, want := range map[string]int{
		"GET /Billing/v1/Nothing":                404,
		"POST /Billing/v1/Customers":             404,
		"GET /Billing/v1/Customers?pageSize=0":   400,
		"GET /Billing/v1/Customers?pageNumber=x": 400,
		"GET /Billing/v1/Customers?pageNumber=9": 200,
		"GET /Billing/v1/Status":                 200,
		"GET /v2/service?limit=x":                400,
		"POST /oauth2/token":                     400,
	} {
		method, path, _ := strings.Cut(request, " ")
		if status, body := call(t, method, url+path, ""); status != want {
			t.Errorf("%s: %d %s, want %d", request, status, body, want)
		}
	}
	resp, err := http.Get(url + "/Billing/v1/Customers?subscription-key=sim-key")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("a key in the query was taken: %d", resp.StatusCode)
	}
}

func TestAdminRoutes(t *testing.T) {
	sim, url := seed(t, giacomsim.Config{})
	must := func(want int, method, path, body string) string {
		t.Helper()
		status, got := call(t, method, url+path, body)
		if status != want {
			t.Fatalf("%s %s: %d %s", method, path, status, got)
		}
		return got
	}
	must(204, "POST", "/_sim/faults", `{"name":"error_503","route":"customers","times":1}`)
	must(400, "POST", "/_sim/faults", `{"name":"nonsense"}`)
	must(503, "GET", "/Billing/v1/Customers", "")
	must(200, "GET", "/Billing/v1/Customers", "")
	must(204, "POST", "/_sim/faults", `[{"name":"quota"},{"name":"slow","delay":1000000}]`)
	must(403, "GET", "/Billing/v1/Customers", "")
	must(204, "DELETE", "/_sim/faults", "")
	must(200, "GET", "/Billing/v1/Status", "")
	if diff := cmp.Diff(map[string]int{"customers": 3, "status": 1}, sim.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	must(204, "POST", "/_sim/change", `[{"op":"seats","id":"101","value":"99"},{"op":"rename","id":"MEX1","value":"New"},{"op":"remove","id":"102"}]`)
	must(400, "POST", "/_sim/change", `{"op":"seats","id":"404","value":"1"}`)
	got := must(200, "GET", "/Billing/v1/SubscriptionsManagementReport", "")
	if !strings.Contains(got, `"licences":99`) || !strings.Contains(got, `"customerName":"New"`) || strings.Contains(got, "g-2") {
		t.Error(got)
	}
	state := must(200, "GET", "/_sim/state", "")
	before := sim.Account()
	must(204, "PUT", "/_sim/state", state)
	if diff := cmp.Diff(before, sim.Account()); diff != "" {
		t.Errorf("state read back (-want +got):\n%s", diff)
	}
	must(204, "POST", "/_sim/change", `{"op":"revoke_key"}`)
	must(401, "GET", "/Billing/v1/Customers", "")
}

func TestChangesShowInEveryFeed(t *testing.T) {
	sim, url := seed(t, giacomsim.Config{})
	if err := sim.Renew("101", "201", "g-3"); err != nil {
		t.Fatal(err)
	}
	if err := sim.SetPrice("201", decimal.RequireFromString("16.01")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/Billing/v1/SubscriptionsManagementReport", "/Billing/v1/Subscriptions", "/Billing/v1/AccountTotals", "/v2/service"} {
		_, got := call(t, "GET", url+path, "")
		if !strings.Contains(got, "16.01") || strings.Contains(got, "15.09") || strings.Contains(got, "g-1\"") {
			t.Errorf("%s: %s", path, got)
		}
	}
	next, ok := sim.Subscription("201")
	if !ok || next.Start.Year() != 2026 || next.Renewal.Year() != 2027 {
		t.Errorf("renewal: %+v", next)
	}
	if err := sim.RemoveCustomer("MEX1"); err != nil {
		t.Fatal(err)
	}
	if left := sim.Account(); len(left.Customers) != 1 || len(left.Subscriptions) != 0 {
		t.Errorf("%+v", left)
	}
}

func TestFaultsAtARateAreTheSameEveryTime(t *testing.T) {
	pattern := func() string {
		sim, url := seed(t, giacomsim.Config{Seed: 7})
		if err := sim.Inject(giacomsim.Fault{Name: "error_500", Rate: 0.5}); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for range 20 {
			if status, _ := call(t, "GET", url+"/Billing/v1/Status", ""); status == 200 {
				b.WriteByte('.')
			} else {
				b.WriteByte('x')
			}
		}
		return b.String()
	}
	first := pattern()
	if again := pattern(); first != again || !strings.Contains(first, "x") || !strings.Contains(first, ".") {
		t.Errorf("%s then %s", first, again)
	}
}

func BenchmarkReportOf100000(b *testing.B) {
	sim := giacomsim.New(giacomsim.Config{})
	a := giacomsim.Account{Customers: []giacomsim.Customer{{MexID: "M", Name: "M"}}}
	for i := range 100_000 {
		id := "s" + decimal.NewFromInt(int64(i)).String()
		a.Subscriptions = append(a.Subscriptions, giacomsim.Subscription{ID: id, GUID: id, MexID: "M", Name: "x", ProductID: id})
	}
	if err := sim.Set(a); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, path := range []string{"/Billing/v1/Subscriptions?pageSize=100000"} {
			req := httptest.NewRequest("GET", path, nil)
			req.Header.Set("Ocp-Apim-Subscription-Key", "sim-key")
			sim.ServeHTTP(httptest.NewRecorder(), req)
		}
	}
}
