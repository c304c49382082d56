package e2e

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/oracle"
	"seatline.dev/services/seatline/ctl"
)

// Halo's limit as it is said to be, in a shorter time: more than this in a window of a second is answered 429. As with the
// real one, the budget of the connection stays below it, because requests arrive later than they are sent.
const (
	haloLimit  = 18
	haloBudget = 15
)

// newcomer is an estate of ten customers, of which Halo does not have one, and has another under nearly its name.
func newcomer() (data estate.Data, created, near giacomsim.Customer) {
	data = estate.Plain(estate.Config{Seed: 5, Customers: 10, Subscriptions: 30, Now: time.Now()}, estate.LinkedLines)
	gone := data.Halo.Clients[9].ID
	data.Halo.Clients = data.Halo.Clients[:9]
	data.Halo.Clients[8].Name += " Limited"
	data.Halo.Licences = slices.DeleteFunc(data.Halo.Licences, func(l halosim.Licence) bool { return l.ClientID == gone })
	data.Halo.Invoices = slices.DeleteFunc(data.Halo.Invoices, func(i halosim.Invoice) bool { return i.ClientID == gone })
	term := &data.Giacom.Subscriptions[0]
	term.Cycle, term.Term = "Annual", "Annual"
	return data, data.Giacom.Customers[9], data.Giacom.Customers[8]
}

// A new connection, by version 2 of Giacom's API, which is for test systems only, into a Halo that allows few requests.
func TestVersion2IntoAHaloThatAllowsLittle(t *testing.T) {
	t.Parallel()
	data, created, near := newcomer()
	rules := []*pricingv1.PriceRule{
		{Name: "list price", Names: []string{"*Plan 0001"}, Price: &pricingv1.PriceRule_Rrp{Rrp: true}, AddLine: &pricingv1.AddLine{}},
		{Name: "plus 20 %", Price: &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: "20"}, AddLine: &pricingv1.AddLine{}},
	}
	s := tell(t, plot{
		estate: data, rules: rules,
		// With a client id the key is the client's secret.
		world: world.Options{Giacom: giacomsim.Config{ClientSecret: "sim-key"}, Halo: halosim.Config{Limit: haloLimit, Window: time.Second, RetryAfter: true}},
		settings: func(c *connectionv1.Connection) {
			address := strings.TrimSuffix(c.Giacom.BaseUrl, "/Billing/v1")
			c.Giacom.Version, c.Giacom.BaseUrl, c.Giacom.AuthUrl, c.Giacom.ClientId = connectionv1.GiacomVersion_GIACOM_VERSION_V2, address+"/v2", address+"/oauth2/token", "sim-client"
			c.Halo.BudgetRequests, c.Halo.BudgetWindow = haloBudget, durationpb.New(time.Second)
		},
	})
	s.refusesVersion2InProduction()

	// While the first import goes on, it can be seen how long what waits has waited, and how much Halo still allows.
	s.w.Halo.ResetRequests()
	s.must(s.w.Giacom.Inject(giacomsim.Fault{Name: "error_503", Route: "service", Times: 1}))
	s.must(s.w.Halo.Inject(halosim.Fault{Name: "error_503", Method: "GET", Route: "/RecurringInvoice/{id}", Times: 1}))
	began := time.Now()
	_, err := runv1.NewRunServiceClient(s.w.Client(ctl.Fetcher)).StartRun(s.ctx, &runv1.StartRunRequest{Connection: "acme", AsScheduled: true})
	s.must(err)
	waits := func() float64 {
		return s.metric(ctl.Billing, "seatline_items_oldest_pending_seconds", `kind="invoice-line"`)
	}
	for deadline := time.Now().Add(time.Minute); waits() == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no line was ever seen to wait")
		}
	}
	s.settle()
	took := time.Since(began)
	s.oracle.Observe(s.w.Giacom.Account(), oracle.Run{Scheduled: true, Complete: true, At: began})
	s.right("after the first import by version 2")
	requests, sum := s.w.Halo.Requests(), 0
	for route, n := range requests {
		if route != "429" {
			sum += n
		}
	}
	if requests["429"] > 0 {
		t.Errorf("Halo refused %d of %d requests: the limit was not respected", requests["429"], sum)
	}
	if soonest := time.Duration(sum/haloBudget-1) * time.Second; sum < 2*haloBudget || took < soonest {
		t.Errorf("%d requests in %s; %d are allowed in a second, and the story needs at least twice as many", sum, took, haloBudget)
	}
	s.says(s.command(0, "overview", "acme"), fmt.Sprintf(" of %d requests left in any 1s", haloBudget))
	s.measures()

	// A customer that Seatline created follows its name in Giacom; one that a person has to look at first does not exist.
	if c := s.client(near.Name); c != nil {
		t.Errorf("%q was created beside its near match", near.Name)
	}
	if s.client(created.Name) == nil {
		t.Fatalf("%q was not created", created.Name)
	}
	s.must(s.w.Giacom.Rename(created.MexID, "O'Brien & <b>Sons</b> 🎈"))
	s.must(s.w.Giacom.SetSeats(s.sub(1).ID, 17))
	s.poll(true)
	s.right("after the customer that was created is called otherwise")
	if s.client("O'Brien & <b>Sons</b> 🎈") == nil {
		t.Error("its name in Halo did not follow")
	}
}

// refusesVersion2InProduction: what is not available there is not tried.
func (s *story) refusesVersion2InProduction() {
	s.Helper()
	c := s.w.Connection("other")
	c.Giacom.Version, c.Giacom.BaseUrl = connectionv1.GiacomVersion_GIACOM_VERSION_V2, "https://api.integrations.giacom.com/v2"
	_, err := connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console)).ApplyConnection(s.ctx, &connectionv1.ApplyConnectionRequest{Connection: c, GiacomApiKey: "k", HaloClientSecret: "s"})
	if text := rpc.Describe(err); status.Code(err) != codes.InvalidArgument || !strings.Contains(text, "v2") || !strings.Contains(text, "production") {
		s.Fatalf("v2 against production: %s", text)
	}
}

// client of Halo by its name.
func (s *story) client(name string) *halosim.Client {
	clients := s.w.Halo.State().Clients
	if i := slices.IndexFunc(clients, func(c halosim.Client) bool { return c.Name == name }); i >= 0 {
		return &clients[i]
	}
	return nil
}

// metric is the sum of a metric's values with all these labels.
func (s *story) metric(service, name string, labels ...string) (sum float64) {
	s.Helper()
	all, err := s.w.Metrics(s.ctx, service)
	s.must(err)
	for _, x := range all {
		if x.Name == name && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(x.Labels, l) }) {
			sum += x.Value
		}
	}
	return sum
}

// measures holds /metrics of all services, at rest after an import, against what is true, and its names against README.md.
func (s *story) measures() {
	s.Helper()
	want := func(got, want float64, what string) {
		s.Helper()
		if got != want {
			s.Errorf("metrics tell of %v %s, there are %v", got, what, want)
		}
	}
	progress, err := s.w.Progress(s.ctx, "acme")
	s.must(err)
	for _, p := range progress {
		counts := map[itemv1.State]int64{}
		for _, c := range p.GetItems() {
			counts[c.GetState()] += c.GetCount()
		}
		for _, state := range []itemv1.State{itemv1.State_STATE_IN_SYNC, itemv1.State_STATE_PENDING, itemv1.State_STATE_HELD, itemv1.State_STATE_PARKED} {
			word := strings.ToLower(strings.TrimPrefix(state.String(), "STATE_"))
			want(s.metric(p.GetService(), "seatline_items", fmt.Sprintf("state=%q", word)), float64(counts[state]), p.GetService()+" items "+word)
		}
		for _, name := range []string{"seatline_consumer_lag", "seatline_outbox_rows", "seatline_outbox_age_seconds", "seatline_items_oldest_pending_seconds", "seatline_dead_letters_total"} {
			want(s.metric(p.GetService(), name), 0, name+" of "+p.GetService())
		}
	}
	sent := 0.0
	for _, service := range []string{ctl.Mapper, ctl.Licence, ctl.Billing} {
		if left := s.metric(service, "seatline_halo_budget_left"); left < 0 || left > haloBudget {
			s.Errorf("%s tells that %v requests of %d are left", service, left, haloBudget)
		}
		tokens := s.metric(service, "seatline_halo_requests_total", `route="/token"`, `class="ok"`)
		if tokens == 0 {
			s.Errorf("%s tells of no request for a token", service)
		}
		sent += s.metric(service, "seatline_halo_requests_total", `method="POST"`) - tokens
	}
	received := 0
	for route, n := range s.w.Halo.Requests() {
		if strings.HasPrefix(route, "POST /") && route != "POST /auth/token" {
			received += n
		}
	}
	want(sent, float64(received), "requests that write to Halo")
	if s.metric(ctl.Billing, "seatline_halo_requests_total", `class="unavailable"`, `route="/RecurringInvoice/{id}"`) < 1 || s.metric(ctl.Fetcher, "seatline_giacom_requests_total", `class="unavailable"`) < 1 {
		s.Error("metrics do not tell of the requests that Halo and Giacom could not answer")
	}
	want(s.metric(ctl.Mapper, "seatline_mappings_unmapped"), 1, "customers not mapped")

	exported, pruned := map[string]bool{}, map[string][]string{}
	for _, service := range ctl.Services() {
		all, err := s.w.Metrics(s.ctx, service)
		s.must(err)
		for _, x := range all {
			if strings.HasPrefix(x.Name, "seatline_") {
				exported[x.Name] = true
			}
			if table := regexp.MustCompile(`seatline_table="([a-z_]+)"`).FindStringSubmatch(x.Labels); table != nil {
				pruned[service] = append(pruned[service], table[1])
			}
		}
		slices.Sort(pruned[service])
	}
	if diff := cmp.Diff(map[string][]string{
		ctl.Console: {"history", "run_marks"}, ctl.Fetcher: {"history", "run_marks", "runs"}, ctl.Licence: {"changes", "history", "run_marks"},
		ctl.Mapper: {"changes", "history", "imports", "run_marks"}, ctl.Billing: {"changes", "history", "inty_reports", "run_marks"},
	}, pruned); diff != "" {
		s.Errorf("tables of which what is old goes (-want +got):\n%s", diff)
	}
	text, err := os.ReadFile("../../README.md")
	s.must(err)
	told := map[string]bool{}
	for _, m := range regexp.MustCompile("`(seatline_[a-z_]+)`").FindAllStringSubmatch(string(text), -1) {
		told[m[1]] = true
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(exported)), slices.Sorted(maps.Keys(told))); diff != "" {
		s.Errorf("metrics (-exported +README.md):\n%s", diff)
	}
}
