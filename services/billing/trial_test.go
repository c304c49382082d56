package billing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

func sums(list []*moneyv1.Money) string {
	var out []string
	for _, m := range list {
		out = append(out, m.GetAmount()+" "+m.GetCurrency())
	}
	return strings.Join(out, ", ")
}

// A trial says what saving would do, line by line, and changes nothing.
func TestPriceRuleTrial(t *testing.T) {
	t.Parallel()
	st := estate(5)
	st.Invoices[4].Lines = st.Invoices[4].Lines[1:] // the fifth is on no line
	st.Items = append(st.Items, halosim.Item{ID: 78, Name: "Fifth", SupplierPartCode: "SKU-5", RecurringPrice: halosim.Pounds("14")})
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_OBSERVE)
	for i := 1; i <= 5; i++ {
		l := aLicenceEvent(i, int64(i), 5, "10")
		l.Subscription.Giacom.MexId = fmt.Sprintf("MEX%d", i)
		b.licence(l)
	}
	b.settled()
	b.rules(costPlus("all", "20")) // 12, as Halo has it
	b.settled()
	client := pricingv1.NewPricingServiceClient(b.rpc)
	candidates := &pricingv1.PriceRules{Connection: "acme", Rules: []*pricingv1.PriceRule{
		{Name: "friends", Customers: []string{"MEX1"}, Price: &pricingv1.PriceRule_Keep{Keep: true}},
		{Name: "needs RRP", Customers: []string{"MEX2"}, Price: &pricingv1.PriceRule_Rrp{Rrp: true}},
		{Name: "dear", Customers: []string{"MEX3", "MEX5"}, Price: &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: "50"}, AddLine: &pricingv1.AddLine{}},
		{Name: "never", Customers: []string{"NOBODY"}, Price: &pricingv1.PriceRule_Keep{Keep: true}},
	}}
	requests, before := b.requests(), b.lines()
	trial, err := client.GetPriceRuleTrial(t.Context(), &pricingv1.GetPriceRuleTrialRequest{Rules: candidates})
	if err != nil {
		t.Fatal(err)
	}
	// -2: would be held; -3: 12 → 15; the fifth: a line is added. -1 and -4 keep what they have.
	got := map[string]string{}
	for _, r := range trial.GetRows() {
		got[r.GetKey()] = fmt.Sprintf("%s→%s %s→%s %s→%s", r.GetUnitPriceBefore().GetAmount(), r.GetUnitPriceAfter().GetAmount(),
			r.GetMonthlyBefore().GetAmount(), r.GetMonthlyAfter().GetAmount(), r.GetReasonBefore().GetCode(), r.GetReasonAfter().GetCode())
	}
	want := map[string]string{"-2/1002": "12→12 60→60 →rule_needs_rrp", "-3/1003": "12→15 60→75 →", "add/giacom/5": "→15 0→75 not_billed→"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if s := sums(trial.GetDifference()); s != "90 GBP" {
		t.Errorf("difference %q, want 90 GBP", s)
	}
	uses := map[string]int64{}
	for _, u := range trial.GetUses() {
		uses[u.GetName()] = u.GetLicences()
	}
	if diff := cmp.Diff(map[string]int64{"friends": 1, "needs RRP": 1, "dear": 2, "never": 0, "": 1}, uses); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	var paged []string
	for token := ""; ; {
		page, err := client.GetPriceRuleTrial(t.Context(), &pricingv1.GetPriceRuleTrialRequest{Rules: candidates, PageSize: 1, PageToken: token})
		if err != nil || page.GetChanged() != trial.GetChanged() || sums(page.GetDifference()) != "90 GBP" {
			t.Fatalf("%v, %v", page, err)
		}
		for _, r := range page.GetRows() {
			paged = append(paged, r.GetKey())
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if int64(len(paged)) != trial.GetChanged() {
		t.Errorf("%d rows in pages, %d change", len(paged), trial.GetChanged())
	}
	b.settled()
	if diff := cmp.Diff(states(before), states(b.lines())); diff != "" || b.requests() != requests {
		t.Errorf("a trial left a trace: %d requests\n%s", b.requests()-requests, diff)
	}
	_, err = client.GetPriceRuleTrial(t.Context(), &pricingv1.GetPriceRuleTrialRequest{Rules: &pricingv1.PriceRules{Connection: "acme", Rules: []*pricingv1.PriceRule{{Name: "x"}}}})
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "keep, cost_plus_percent, rrp or fixed") {
		t.Errorf("a rule without a price: %v", err)
	}

	// What was tried is what is saved, unless somebody was faster.
	candidates.Etag = trial.GetEtag()
	saved, err := client.SetPriceRules(t.Context(), &pricingv1.SetPriceRulesRequest{Rules: candidates})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.SetPriceRules(t.Context(), &pricingv1.SetPriceRulesRequest{Rules: candidates})
	if status.Code(err) != codes.Aborted || !strings.Contains(err.Error(), saved.GetUpdateTime().AsTime().Format("2 January 2006 at 15:04")) {
		t.Errorf("a stale etag: %v", err)
	}
	b.settled()
	lines := b.lines()
	for key, want := range map[string]string{"-3/1003": "75", "add/giacom/5": "75", "-1/1001": "60"} {
		if got := lines[key].GetMonthlyAfter().GetAmount(); got != want {
			t.Errorf("%s came to %s a month, tried as %s", key, got, want)
		}
	}
}

func states(lines map[string]*invoicelinev1.Line) map[string]string {
	out := map[string]string{}
	for key, l := range lines {
		out[key] = fmt.Sprint(l.GetStatus(), l.GetMonthlyAfter(), l.GetPriceRule())
	}
	return out
}

func today() time.Time { return time.Now().UTC().Truncate(24 * time.Hour) }

// The same numbers from four sides: margins, invoice runs, what waits, and the days.
func TestWhatAnOverviewNeeds(t *testing.T) {
	t.Parallel()
	next := halosim.On(today().AddDate(0, 0, 3))
	st := estate(3)
	for i := range st.Invoices {
		st.Invoices[i].NextCreation = next
	}
	b := newBench(t, halosim.Config{}, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_OBSERVE)
	for i := 1; i <= 3; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "10"))
	}
	b.settled()
	b.rules(costPlus("all", "30"), keep("rest"))
	b.settled()
	client, operations := invoicelinev1.NewLineServiceClient(b.rpc), opsv1.NewOpsServiceClient(b.rpc)
	ctx := t.Context()

	margins, err := client.ListMargins(ctx, &invoicelinev1.ListMarginsRequest{Connection: "acme", PageSize: 2, OrderBy: "margin, client_id desc"})
	if err != nil || len(margins.GetMargins()) != 2 || margins.GetNextPageToken() == "" || len(margins.GetTotals()) != 1 {
		t.Fatalf("%v, %v", margins, err)
	}
	m, all := margins.GetMargins()[0], margins.GetTotals()[0]
	if m.GetClientId() != 3 || m.GetClientName() != "Client 3" || m.GetCost().GetAmount() != "50" || m.GetPrice().GetAmount() != "60" || m.GetMargin().GetAmount() != "10" || m.GetPercent() != "16.7" {
		t.Errorf("margin %v", m)
	}
	if all.GetLines() != 3 || all.GetMargin().GetAmount() != "30" {
		t.Errorf("totals %v", all)
	}
	few, err := client.ListMargins(ctx, &invoicelinev1.ListMarginsRequest{Connection: "acme", Filter: `client_name = "Client 2" AND percent < 20`})
	if err != nil || len(few.GetMargins()) != 1 || few.GetTotals()[0].GetLines() != 1 {
		t.Errorf("filtered: %v, %v", few, err)
	}

	runs, err := client.ListInvoiceRuns(ctx, &invoicelinev1.ListInvoiceRunsRequest{Connection: "acme"})
	if err != nil || len(runs.GetRuns()) != 1 {
		t.Fatalf("%v, %v", runs, err)
	}
	r := runs.GetRuns()[0]
	if !r.GetTime().AsTime().Equal(next.Time) || r.GetInvoices() != 3 || r.GetLines() != 3 || r.GetHeld() != 3 || sums(r.GetAffectedBefore()) != "180.00 GBP" && sums(r.GetAffectedBefore()) != "180 GBP" || r.GetReadTime() == nil {
		t.Errorf("run %v", r)
	}
	listed, err := client.ListLines(ctx, &invoicelinev1.ListLinesRequest{Filter: r.GetFilter()})
	if err != nil || len(listed.GetLines()) != 3 {
		t.Errorf("the run's filter %q lists %d lines, %v", r.GetFilter(), len(listed.GetLines()), err)
	}

	waiting, err := operations.ListWaiting(ctx, &opsv1.ListWaitingRequest{Connection: "acme"})
	if err != nil || len(waiting.GetWaiting()) != 1 {
		t.Fatalf("%v, %v", waiting, err)
	}
	w := waiting.GetWaiting()[0]
	if w.GetState() != itemv1.State_STATE_HELD || w.GetReason().GetCode() != "observe" || w.GetCount() != 3 || !strings.HasPrefix(sums(w.GetAfter()), "195") {
		t.Errorf("waiting %v", w)
	}
	if plan, err := operations.ListPlanItems(ctx, &opsv1.ListPlanItemsRequest{Connection: "acme", Filter: w.GetFilter()}); err != nil || len(plan.GetItems()) != 3 {
		t.Errorf("its filter %q gives %v, %v", w.GetFilter(), plan, err)
	}

	billing, err := client.ListLicenceBilling(ctx, &invoicelinev1.ListLicenceBillingRequest{Connection: "acme", Licences: []*invoicelinev1.Seats{{HaloId: 501, Count: 7}, {HaloId: 999, Count: 1}}})
	if err != nil || len(billing.GetLicences()) != 1 || billing.GetLicences()[0].GetBilled().GetAmount() != "84" || billing.GetLicences()[0].GetLineKeys()[0] != "-1/1001" {
		t.Errorf("billing of a licence: %v, %v", billing, err)
	}

	if days, err := operations.ListChangeDays(ctx, &opsv1.ListChangeDaysRequest{Connection: "acme"}); err != nil || len(days.GetDays()) != 0 {
		t.Errorf("nothing was written, and the chart shows %v, %v", days, err)
	}
	b.connection(connectionv1.Mode_MODE_AUTO)
	eventtest.Eventually(t, "prices to be written", func() bool { return b.invoice(-3).Lines[0].UnitPrice.String() == "13" })
	b.settled()
	days, err := operations.ListChangeDays(ctx, &opsv1.ListChangeDaysRequest{Connection: "acme", StartTime: timestamppb.New(today().AddDate(0, 0, -1)), EndTime: timestamppb.New(today().AddDate(0, 0, 2))})
	if err != nil || len(days.GetDays()) != 1 {
		t.Fatalf("%v, %v", days, err)
	}
	if d := days.GetDays()[0]; d.GetClass() != "price" || d.GetCount() != 3 || !strings.HasPrefix(sums(d.GetDifference()), "15") || d.GetKind() != "invoice-line" {
		t.Errorf("day %v", d)
	}
	if _, err := operations.ListChangeDays(ctx, &opsv1.ListChangeDaysRequest{Connection: "acme", TimeZone: "Mars/Olympus"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a zone that is none: %v", err)
	}

	history, err := operations.ListHistory(ctx, &opsv1.ListHistoryRequest{Connection: "acme", Entity: "invoice-line", Key: "-3/1003", PageSize: 1})
	if err != nil || len(history.GetRevisions()) != 1 || history.GetNextPageToken() == "" {
		t.Fatalf("%v, %v", history, err)
	}
	seen, paths := 0, map[string]bool{}
	for token := ""; ; {
		page, err := operations.ListHistory(ctx, &opsv1.ListHistoryRequest{Connection: "acme", Entity: "invoice-line", Key: "-3/1003", PageSize: 1, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.GetRevisions() {
			seen++
			for _, c := range r.GetChanges() {
				paths[c.GetField()+" "+c.GetBefore()+"→"+c.GetAfter()] = true
			}
			line := &invoicelinev1.Line{}
			if err := r.GetData().UnmarshalTo(line); err != nil || line.GetKey() != "-3/1003" {
				t.Errorf("revision %d: %v, %v", r.GetRevision(), line, err)
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if seen < 3 || !paths["desired.unit_price.amount →13"] && !paths["desired.unit_price.amount 12→13"] || !paths["status.state STATE_HELD→STATE_PENDING"] {
		t.Errorf("%d revisions, with %v", seen, paths)
	}

	budget, err := operations.GetHaloBudget(ctx, &opsv1.GetHaloBudgetRequest{Connection: "acme"})
	if err != nil || budget.GetLimit() != 100000 || budget.GetLeft() >= budget.GetLimit() || budget.GetLeft() < 99000 || budget.GetWindow().GetSeconds() != 60 {
		t.Errorf("budget %v, %v", budget, err)
	}
}

// Of a canary's customer everything is written, of others nothing, whoever is invoiced.
func TestCanaryLines(t *testing.T) {
	t.Parallel()
	b := newBench(t, halosim.Config{}, estate(2))
	b.start()
	canary := &connectionv1.Canary{HaloClientIds: []int64{1}}
	set := func(c *connectionv1.Connection) { c.Canary = canary }
	b.connection(connectionv1.Mode_MODE_AUTO, set)
	for i := 1; i <= 2; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "11"))
	}
	b.settled()
	if one, two := b.invoice(-1).Lines[0].UnitCost.String(), b.invoice(-2).Lines[0].UnitCost.String(); one != "11" || two != "10" {
		t.Errorf("costs %s and %s, want 11 and 10", one, two)
	}
	if got := b.state("-2/1002"); got != "held canary" {
		t.Errorf("the other is %q", got)
	}
	canary = &connectionv1.Canary{HaloClientIds: []int64{1, 2}}
	b.connection(connectionv1.Mode_MODE_AUTO, set)
	eventtest.Eventually(t, "the other to be written", func() bool { return b.invoice(-2).Lines[0].UnitCost.String() == "11" })
}
