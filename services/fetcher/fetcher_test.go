package fetcher_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/giacom/giacomsim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

func TestFirstPollPublishesEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(3, 2)
	run := w.succeeded(w.poll())
	if diff := cmp.Diff(&runv1.Counts{Seen: 6, New: 6}, run.Subscriptions, protocmp.Transform()); diff != "" {
		t.Errorf("subscriptions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(&runv1.Counts{Seen: 3, New: 3}, run.Customers, protocmp.Transform()); diff != "" {
		t.Errorf("customers (-want +got):\n%s", diff)
	}
	if run.Requests != 2 || !run.Complete || run.Stage != "done" {
		t.Errorf("run: %v", run)
	}
	got := w.published()["microsoft/g0003"]
	want := &giacomv1.Subscription{
		Key: "microsoft/g0003", MexId: "MEX002", CustomerName: "Customer MEX002", TenantId: "t-MEX002", Name: "Product", Microsoft: true,
		Quantity: "3", PurchasePrice: &moneyv1.Money{Amount: "15.09", Currency: "GBP"},
		StartTime: timestamppb.New(monday.AddDate(-1, 0, 0)), EndTime: timestamppb.New(monday.AddDate(0, 6, 0)),
		Cycle: giacomv1.Cycle_CYCLE_MONTHLY, CycleWord: "Monthly", Term: giacomv1.Term_TERM_ANNUAL, TermWord: "Annual",
		Status: giacomv1.Status_STATUS_ACTIVE, StatusWord: "Active",
	}
	if diff := cmp.Diff(want, got.Subscription, protocmp.Transform()); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	if got.Type != "seatline.giacom.subscription.changed.v1" || got.Run != run.Id || got.Source != "seatline/fetcher" {
		t.Errorf("event: %+v", got.Event)
	}
	c := w.customers()["MEX002"]
	if c.GetName() != "Customer MEX002" || c.GetDerived() || !cmp.Equal(c.GetTenantIds(), []string{"t-MEX002"}) {
		t.Errorf("customer: %v", c)
	}
}

func TestAnUnchangedPollWritesNothingButItsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(10, 10)
	w.succeeded(w.poll())
	w.drained()
	rows := func() map[string]int64 {
		counts := map[string]int64{}
		for _, table := range []string{"seen", "outbox", "history", "run_marks", "connections"} {
			// Row versions: an update that changes nothing still makes a new xmin.
			counts[table] = w.count(`select coalesce(sum(xmin::text::bigint), 0) + count(*) from ` + table + ` where ` +
				map[bool]string{true: "not log", false: "true"}[table == "outbox"])
		}
		counts["staging tables"] = w.count(`select count(*) from pg_class where relnamespace = current_schema()::regnamespace and relname like 'staging%'`)
		info, err := w.bus.JS.Stream(t.Context(), bus.StateStream)
		if err != nil {
			t.Fatal(err)
		}
		counts["stream"] = int64(info.CachedInfo().State.LastSeq)
		return counts
	}
	before, runs := rows(), w.count(`select count(*) from runs`)
	run := w.succeeded(w.pollAsScheduled())
	w.drained()
	after := rows()
	delete(before, "run_marks") // names the run's own log events
	delete(after, "run_marks")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("written by a poll that found nothing (-before +after):\n%s", diff)
	}
	if n := w.count(`select count(*) from runs`); n != runs+1 {
		t.Errorf("%d runs, want %d", n, runs+1)
	}
	if run.Subscriptions.Unchanged != 100 || run.Customers.Unchanged != 10 {
		t.Errorf("run: %v", run)
	}
}

func TestChangesAndOnlyChangesArePublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(3, 2)
	w.succeeded(w.poll())
	before := w.published()
	w.must(w.sim.SetSeats("s0001", 99))
	w.must(w.sim.SetPrice("s0002", decimal.RequireFromString("16.125")))
	w.must(w.sim.Suspend("s0003"))
	w.must(w.sim.PutSubscription(subscription(7, "MEX003")))
	w.must(w.sim.Rename("MEX003", "New Name"))
	run := w.succeeded(w.poll())
	// A rename changes the customer and the rows that spell its name.
	if diff := cmp.Diff(&runv1.Counts{Seen: 7, New: 1, Changed: 5, Unchanged: 1}, run.Subscriptions, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	after := w.published()
	if got := after["microsoft/g0001"]; got.Quantity != "99" || got.Event.Revision <= before["microsoft/g0001"].Event.Revision {
		t.Errorf("seats: %v", got)
	}
	if got := after["microsoft/g0002"]; got.PurchasePrice.Amount != "16.125" {
		t.Errorf("price: %v", got)
	}
	if got := after["microsoft/g0003"]; got.Status != giacomv1.Status_STATUS_SUSPENDED || got.Subscription.Removal != nil {
		t.Errorf("status: %v", got)
	}
	if after["microsoft/g0004"].Event.ID != before["microsoft/g0004"].Event.ID {
		t.Error("an unchanged subscription was published again")
	}
	if got := w.customers()["MEX003"].GetName(); got != "New Name" {
		t.Errorf("customer: %q", got)
	}
	if n := w.count(`select count(*) from history where entity = 'giacom-subscription'`); n != 6+6 {
		t.Errorf("%d revisions of subscriptions in the history, want 12", n)
	}
}

func TestRemovalNeedsTwoCompletePullsAnHourApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(3, 2)
	w.succeeded(w.pollAsScheduled())
	w.must(w.sim.Remove("s0001"))
	const key = "microsoft/g0001"
	is := func(step string, kind string, absent, removed bool) published {
		t.Helper()
		got := w.published()[key]
		if got.Type != "seatline.giacom.subscription."+kind+".v1" || (got.AbsentSince != nil) != absent || (got.Removal != nil) != removed {
			t.Fatalf("%s: %s %v", step, got.Type, got.Subscription)
		}
		if got.Quantity != "1" || got.MexId != "MEX001" {
			t.Fatalf("%s: what was known of it is gone: %v", step, got.Subscription)
		}
		return got
	}
	missed := w.clock.Now()
	if run := w.succeeded(w.pollAsScheduled()); run.Subscriptions.Absent != 1 || run.Subscriptions.Removed != 0 {
		t.Errorf("first miss: %v", run.Subscriptions)
	}
	if got := is("first miss", "changed", true, false); !got.AbsentSince.AsTime().Equal(missed) {
		t.Errorf("absent since %v, want %v", got.AbsentSince.AsTime(), missed)
	}
	w.clock.Advance(59 * time.Minute)
	w.succeeded(w.pollAsScheduled())
	is("second miss, too soon", "changed", true, false)
	w.clock.Advance(2 * time.Minute)
	if run := w.succeeded(w.pollAsScheduled()); run.Subscriptions.Absent != 0 || run.Subscriptions.Removed != 1 {
		t.Errorf("proof: %v", run.Subscriptions)
	}
	if got := is("proof", "removed", false, true); got.Removal.Proof != giacomv1.Removal_PROOF_ABSENT || !got.Removal.Scheduled || !got.Removal.Since.AsTime().Equal(missed) {
		t.Errorf("removal: %v", got.Removal)
	}
	if run := w.succeeded(w.pollAsScheduled()); run.Subscriptions.Removed != 0 || run.Subscriptions.Absent != 0 {
		t.Errorf("after proof: %v", run.Subscriptions)
	}
	w.must(w.sim.PutSubscription(subscription(1, "MEX001")))
	if run := w.succeeded(w.poll()); run.Subscriptions.Changed != 1 {
		t.Errorf("return: %v", run.Subscriptions)
	}
	is("return", "changed", false, false)
	if n := w.count(`select misses from seen where key = $1`, key); n != 0 {
		t.Errorf("%d misses after its return", n)
	}
}

func TestAManualRunProvesButOnlyTheScheduleConfirms(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(oneMissProves).estate(3, 2)
	w.succeeded(w.poll())
	w.must(w.sim.Remove("s0001"))
	w.must(w.sim.Cancel("s0003"))
	check := func(scheduled bool) {
		t.Helper()
		got := w.published()
		gone, cancelled := got["microsoft/g0001"], got["microsoft/g0003"]
		if gone.Removal.GetProof() != giacomv1.Removal_PROOF_ABSENT || gone.Removal.GetScheduled() != scheduled || gone.Type != "seatline.giacom.subscription.removed.v1" {
			t.Errorf("absent: %s %v", gone.Type, gone.Removal)
		}
		if cancelled.Removal.GetProof() != giacomv1.Removal_PROOF_STATUS || cancelled.Removal.GetScheduled() != scheduled ||
			cancelled.Type != "seatline.giacom.subscription.changed.v1" || cancelled.Status != giacomv1.Status_STATUS_CANCELLED {
			t.Errorf("cancelled: %s %v", cancelled.Type, cancelled.Subscription)
		}
	}
	run := w.succeeded(w.poll())
	if run.Subscriptions.Removed != 1 || run.Subscriptions.Changed != 1 {
		t.Errorf("manual: %v", run.Subscriptions)
	}
	check(false)
	w.succeeded(w.poll())
	check(false)
	w.succeeded(w.pollAsScheduled())
	check(true)
	ids := w.published()
	w.succeeded(w.pollAsScheduled())
	w.succeeded(w.poll())
	for key, now := range w.published() {
		if now.Event.ID != ids[key].Event.ID {
			t.Errorf("%s was published again after its removal was confirmed", key)
		}
	}
	w.must(w.sim.Activate("s0003"))
	w.succeeded(w.poll())
	if got := w.published()["microsoft/g0003"]; got.Removal != nil || got.Status != giacomv1.Status_STATUS_ACTIVE {
		t.Errorf("active again: %v", got)
	}
}

func TestIncompletePullsImportAndRemoveNothing(t *testing.T) {
	t.Parallel()
	for fault, reason := range map[string]string{"no_id": "no readable id", "broken_row": "no readable id", "page_number_ignored": "repeats"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t).configure(func(c *connectionv1.Connection) { oneMissProves(c); c.Giacom.PageSize = 2 }).estate(3, 2)
			w.succeeded(w.poll())
			w.must(w.sim.Remove("s0004"))
			w.must(w.sim.SetSeats("s0002", 50))
			w.must(w.sim.Inject(giacomsim.Fault{Name: fault, Route: "report"}))
			run := w.want(w.poll(), runv1.Outcome_OUTCOME_INCOMPLETE)
			if run.Complete || !strings.Contains(run.Reason.GetText(), reason) || run.Subscriptions.Removed+run.Subscriptions.Absent > 0 {
				t.Errorf("run: %v", run)
			}
			got := w.published()
			if got["microsoft/g0002"].Quantity != "50" {
				t.Error("the change was not imported")
			}
			for key, s := range got {
				if s.AbsentSince != nil || s.Removal != nil {
					t.Errorf("%s counts as missing: %v", key, s.Subscription)
				}
			}
			w.sim.Clear("")
			if run := w.succeeded(w.poll()); run.Subscriptions.Removed != 1 {
				t.Errorf("complete again: %v", run)
			}
		})
	}
}

func TestARowOfWhichOnlyTheIDCanBeReadWasSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(oneMissProves).estate(2, 1)
	w.succeeded(w.poll())
	before := w.published()
	a := w.sim.Account()
	a.Customers[0].MexID = " "
	a.Subscriptions[0].MexID = " "
	w.must(w.sim.Set(a))
	run := w.succeeded(w.run(&runv1.StartRunRequest{Connection: "demo", Subscriptions: true}))
	if run.Subscriptions.Bad != 1 || run.Subscriptions.Removed != 0 || run.Subscriptions.Unchanged != 2 {
		t.Errorf("run: %v", run.Subscriptions)
	}
	if got := w.published()["microsoft/g0001"]; got.Event.ID != before["microsoft/g0001"].Event.ID {
		t.Errorf("published: %v", got)
	}
}

func TestDuplicateRowsAreOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(3, 2)
	w.must(w.sim.Inject(giacomsim.Fault{Name: "duplicate_rows"}))
	if run := w.succeeded(w.poll()); run.Subscriptions.Seen != 6 || run.Customers.Seen != 3 || run.Subscriptions.New != 6 {
		t.Errorf("run: %v", run)
	}
	w.sim.Clear("")
	if run := w.succeeded(w.poll()); run.Subscriptions.Unchanged != 6 || run.Customers.Unchanged != 3 {
		t.Errorf("run: %v", run)
	}
}

func TestCustomersAreJoinedFromTheirRows(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]connectionv1.CustomersFrom{
		"endpoint": connectionv1.CustomersFrom_CUSTOMERS_FROM_ENDPOINT, "derived": connectionv1.CustomersFrom_CUSTOMERS_FROM_DERIVED,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).configure(func(c *connectionv1.Connection) { oneMissProves(c); c.Giacom.CustomersFrom = from }).estate(2, 3)
			// One customer with a second tenant under a second spelling, and one that its path leaves out.
			w.must(w.sim.Update("s0002", func(s *giacomsim.Subscription) { s.TenantID, s.CustomerName = "t-second", "CUSTOMER" }))
			w.sim.PutCustomer(giacomsim.Customer{MexID: "MEX009", Name: "Left out", NotInList: true})
			w.must(w.sim.PutSubscription(subscription(9, "MEX009")))
			w.succeeded(w.poll())
			got := w.customers()
			derived := name == "derived"
			if c := got["MEX001"]; c.GetName() != "Customer MEX001" || c.GetDerived() != derived || !cmp.Equal(c.GetTenantIds(), []string{"t-MEX001", "t-second"}) {
				t.Errorf("two tenants: %v", c)
			}
			if c := got["MEX009"]; c.GetName() != "Left out" || !c.GetDerived() {
				t.Errorf("left out of the customers path: %v", c)
			}
			// Customers alone do not prove that one is gone whom only the feed shows.
			run := w.succeeded(w.run(&runv1.StartRunRequest{Connection: "demo", Customers: true}))
			if run.Customers.Removed != 0 || run.Subscriptions.Seen != 0 {
				t.Errorf("customers only: %v", run)
			}
			w.must(w.sim.RemoveCustomer("MEX002"))
			if run := w.succeeded(w.poll()); run.Customers.Removed != 1 || run.Subscriptions.Removed != 3 {
				t.Errorf("customer removed: %v", run)
			}
			if got := w.customers(); got["MEX002"] != nil || len(got) != 2 {
				t.Errorf("customers left: %v", got)
			}
		})
	}
}

func TestEachMethodAndVersion(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*connectionv1.Giacom, string){
		"subscriptions": func(g *connectionv1.Giacom, _ string) {
			g.Method = connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS
		},
		"account totals": func(g *connectionv1.Giacom, _ string) {
			g.Method = connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS
			g.AllProductsFeed = connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_ACCOUNT_TOTALS
		},
		"both": func(g *connectionv1.Giacom, _ string) { g.Method = connectionv1.ImportMethod_IMPORT_METHOD_BOTH },
		"v2": func(g *connectionv1.Giacom, base string) {
			g.Version, g.BaseUrl = connectionv1.GiacomVersion_GIACOM_VERSION_V2, base+"/v2"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.configure(func(c *connectionv1.Connection) { change(c.Giacom, w.url) }).estate(1, 1)
			sub, _ := w.sim.Subscription("s0001")
			sub.Name = "Microsoft 365"
			w.must(w.sim.PutSubscription(sub))
			other := subscription(2, "MEX001")
			other.GUID, other.Name = "", "Exclaimer"
			w.must(w.sim.PutSubscription(other))
			w.succeeded(w.poll())
			want := map[string][]string{
				"subscriptions":  {"giacom/s0001", "giacom/s0002"},
				"account totals": {"giacom/MEX001/p0001", "giacom/MEX001/p0002"},
				"both":           {"giacom/s0002", "microsoft/g0001"},
				"v2":             {"giacom/svc-s0001", "giacom/svc-s0002"},
			}[name]
			got := w.published()
			for _, key := range want {
				if got[key].Subscription == nil {
					t.Errorf("%s is missing", key)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d published, want %d", len(got), len(want))
			}
		})
	}
}

// Nested loops over tables without statistics once took a minute for 30,000 rows: sixteen times as long for four times
// as many.
func TestAtScaleTheFirstPollsAreNotQuadratic(t *testing.T) {
	polls := func(each int) time.Duration {
		w := newWorld(t).configure(nil).estate(200, each)
		began := time.Now()
		for range 2 {
			w.succeeded(w.poll())
		}
		return time.Since(began)
	}
	small, large := polls(25), polls(100)
	if large > 9*small+time.Second {
		t.Fatalf("two polls of 5,000 subscriptions took %s, of 20,000 %s", small, large)
	}
}
