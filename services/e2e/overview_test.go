package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

// disorder is six customers of ten subscriptions each, of which little is in order. By the place among the customer's
// ten: 2 has three seats more in Halo than in Giacom, 3 too and the licence is not known to be the same, 4 is gone from
// Giacom at the first three customers, 5 has become dearer, 6 is on no line. The last customer is called otherwise in Halo.
func disorder() (data estate.Data, strays decimal.Decimal) {
	data = estate.Plain(estate.Config{Seed: 11, Customers: 6, Subscriptions: 60, Now: time.Now()}, estate.LinkedLines)
	gone, offLine, stray := map[int]bool{}, map[int64]bool{}, map[int64]int64{}
	for i := range data.Giacom.Subscriptions {
		l := &data.Halo.Licences[i]
		switch i % 10 {
		case 2:
			l.SnowID = "giacom:acme:microsoft/" + data.Giacom.Subscriptions[i].GUID
			l.Count += 3
		case 3:
			l.Count += 3
		case 4:
			if i < 30 {
				gone[i], stray[l.ID] = true, l.Count
			}
		case 5:
			p := &data.Giacom.Subscriptions[i].Price.Decimal
			*p = p.Add(decimal.NewFromInt(1))
		case 6:
			offLine[l.ID] = true
		}
	}
	links := func(line halosim.Line, ids map[int64]bool) bool {
		return slices.ContainsFunc(line.Subscriptions, func(r halosim.QuantityRow) bool { return ids[r.LicenceID] })
	}
	for i := range data.Halo.Invoices {
		inv := &data.Halo.Invoices[i]
		inv.Lines = slices.DeleteFunc(inv.Lines, func(line halosim.Line) bool { return links(line, offLine) })
		for _, line := range inv.Lines {
			for _, r := range line.Subscriptions {
				strays = strays.Add(line.UnitPrice.Mul(decimal.NewFromInt(stray[r.LicenceID])))
			}
		}
	}
	var kept []giacomsim.Subscription
	for i, sub := range data.Giacom.Subscriptions {
		if !gone[i] {
			kept = append(kept, sub)
		}
	}
	data.Giacom.Subscriptions = kept
	data.Halo.Clients[5].Name = "Somebody else altogether"
	return data, strays
}

func TestTheFirstHour(t *testing.T) {
	t.Parallel()
	data, strays := disorder()
	keep := []*pricingv1.PriceRule{{Name: "keep", Price: &pricingv1.PriceRule_Keep{Keep: true}}}
	s := tell(t, plot{estate: data, rules: keep, settings: func(c *connectionv1.Connection) {
		c.Mode, c.Customers.Create = connectionv1.Mode_MODE_OBSERVE, false
	}})
	s.poll(true)

	// Parity: every subscription in one class, every number a list, before anything is written.
	p, err := s.w.Services().Parity(s.ctx, "acme", "")
	s.must(err)
	want := map[string]int64{"details": 27, "count": 5, "ambiguous": 5, "stray": 3, "cost": 5, "no_line": 5, "unmapped": 10}
	got := map[string]int64{}
	var strayClass *itemv1.Standing
	for _, c := range p.GetClasses() {
		if c.GetCount() > 0 {
			got[c.GetClass()] = c.GetCount()
		}
		if c.GetClass() == "stray" {
			strayClass = c
		}
		page, err := s.w.Services().ParityRows(s.ctx, &licencev1.ListParityRequest{PageSize: 1000, Filter: `connection = acme AND ` + c.GetFilter()})
		s.must(err)
		if int64(len(page.GetRows())) != c.GetCount() {
			t.Errorf("%s: %d counted, %d listed", c.GetClass(), c.GetCount(), len(page.GetRows()))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("classes (-want +got):\n%s", diff)
	}
	if p.GetSubscriptions() != 57 || p.GetAgree() != 27 {
		t.Errorf("%d of %d agree, want 27 of 57", p.GetAgree(), p.GetSubscriptions())
	}
	if len(strayClass.GetBilled()) != 1 || !pounds(t, strayClass.GetBilled()[0]).Equal(strays) {
		t.Errorf("licences that nobody has in Giacom bill %v, in Halo it is %s", strayClass.GetBilled(), strays)
	}
	for _, text := range []string{"27 of 57 subscriptions agree with Halo", "3 licences in Halo belong to no subscription, billing £", "5 are on no invoice line, costing £", "5 counts differ"} {
		if out := s.command(0, "parity", "acme"); !strings.Contains(out, text) {
			t.Errorf("the command does not say %q:\n%s", text, out)
		}
	}
	var rows []json.RawMessage
	s.must(json.Unmarshal([]byte(s.command(0, "parity", "acme", "--class", "no_line", "-n", "2", "-o", "json")), &rows))
	if len(rows) != 2 {
		t.Errorf("%d rows asked for 2", len(rows))
	}

	// Overview: what needs attention, and what hides behind customers that are not mapped.
	o, err := s.w.Services().Overview(s.ctx, "acme")
	s.must(err)
	if o.GetInStep() || len(o.GetMissing()) > 0 || o.GetUnmappedCustomers() != 1 || o.GetUnmapped()[0].GetSubscriptions() != 10 || len(o.GetUnmapped()[0].GetCost()) != 1 {
		t.Errorf("overview: in step %t, missing %v, unmapped %v", o.GetInStep(), o.GetMissing(), o.GetUnmapped())
	}
	if len(o.GetMargin()) != 1 || o.GetBudget().GetLeft() == 0 || o.GetSync().GetLastSuccess() == nil || len(o.GetDays()) != 0 {
		t.Errorf("margin %v, budget %v, sync %v, days %v", o.GetMargin(), o.GetBudget(), o.GetSync(), o.GetDays())
	}
	if out := s.command(7, "overview", "acme", "--check"); !strings.Contains(out, "Needs attention") || !strings.Contains(out, "Lowest margins") {
		t.Errorf("overview says\n%s", out)
	}

	// One licence, one customer: everything about them.
	first := s.sub(0)
	key := "microsoft/" + first.GUID
	licence, err := s.w.Services().LicenceDetail(s.ctx, "acme", key)
	s.must(err)
	if len(licence.GetLines()) != 1 || licence.GetMargin() == nil || len(licence.GetHistory()) == 0 || len(licence.GetLinks()) != 2 || licence.GetCustomer().GetHaloClientId() == 0 {
		t.Errorf("licence: %v", licence)
	}
	if want := pounds(t, licence.GetPrice()).Sub(pounds(t, licence.GetCost())); !pounds(t, licence.GetMargin()).Equal(want) {
		t.Errorf("margin %v of %v and %v", licence.GetMargin(), licence.GetPrice(), licence.GetCost())
	}
	line, err := s.w.Services().LineDetail(s.ctx, "acme", licence.GetLines()[0].GetKey())
	s.must(err)
	if len(line.GetLicences()) != 1 || !pounds(t, line.GetMargin()).Equal(pounds(t, licence.GetMargin())) {
		t.Errorf("line: %v", line)
	}
	customer, err := s.w.Services().CustomerDetail(s.ctx, "acme", strings.ToLower(licence.GetCustomer().GetMexId()))
	s.must(err)
	if customer.GetParity().GetSubscriptions() != 9 || len(customer.GetRows()) != 10 || len(customer.GetLines()) < 7 || len(customer.GetMargin()) != 1 {
		t.Errorf("customer: %d subscriptions, %d rows, %d lines, margin %v", customer.GetParity().GetSubscriptions(), len(customer.GetRows()), len(customer.GetLines()), customer.GetMargin())
	}
	s.command(0, "show", "licence", "acme", key)
	s.command(0, "show", "customer", "acme", licence.GetCustomer().GetMexId(), "-o", "json")
	s.command(3, "show", "line", "acme", "--", "-1/1")

	// Rules are tried before they are set, and do what the trial said.
	file := filepath.Join(t.TempDir(), "rules.yaml")
	s.must(os.WriteFile(file, []byte("- name: dearer\n  cost_plus_percent: \"50\"\n"), 0o600))
	if out := s.command(0, "rules", "try", "acme", "-f", file); !strings.Contains(out, "would change") {
		t.Errorf("rules try says\n%s", out)
	}
	candidates := []*pricingv1.PriceRule{{Name: "dearer", Price: &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: "50"}}}
	pricing := pricingv1.NewPricingServiceClient(s.w.Client(ctl.Billing))
	trial, err := pricing.GetPriceRuleTrial(s.ctx, &pricingv1.GetPriceRuleTrialRequest{Rules: &pricingv1.PriceRules{Connection: "acme", Rules: candidates}})
	s.must(err)
	before := s.billed()
	_, err = pricing.SetPriceRules(s.ctx, &pricingv1.SetPriceRulesRequest{Rules: &pricingv1.PriceRules{Connection: "acme", Rules: candidates, Etag: trial.GetEtag()}})
	s.must(err)
	s.settle()
	if moved := s.billed().Sub(before); trial.GetChanged() == 0 || !moved.Equal(pounds(t, trial.GetDifference()[0])) {
		t.Errorf("the trial said %v for %d lines, the plan moved by %s", trial.GetDifference(), trial.GetChanged(), moved)
	}
	_, err = pricing.SetPriceRules(s.ctx, &pricingv1.SetPriceRulesRequest{Rules: &pricingv1.PriceRules{Connection: "acme", Rules: keep, Etag: trial.GetEtag()}})
	if err == nil || !strings.Contains(err.Error(), "not those that you read") {
		t.Errorf("a second operator with the etag of before: %v", err)
	}

	// Leaving observe with one canary: of all customers only this one's things change.
	s.rules = candidates
	canary := licence.GetCustomer().GetHaloClientId()
	was := s.w.Halo.State()
	s.apply(func(c *connectionv1.Connection) {
		c.Mode, c.Canary = connectionv1.Mode_MODE_AUTO, &connectionv1.Canary{HaloClientIds: []int64{canary}}
	})
	s.settle()
	touched := world.Touched(was, s.w.Halo.State())
	if len(touched) != 1 || touched[canary] < 5 {
		t.Errorf("written to customers %v, want %d only", touched, canary)
	}
	o, err = s.w.Services().Overview(s.ctx, "acme")
	s.must(err)
	if len(o.GetDays()) == 0 || o.GetCanary() == nil {
		t.Errorf("days %v", o.GetDays())
	}
	canaryHeld := int64(0)
	for _, w := range o.GetWaiting() {
		if w.GetReason().GetCode() == "canary" {
			canaryHeld += w.GetCount()
		}
	}
	if canaryHeld == 0 {
		t.Error("nothing is held for the canary")
	}
	if rest, err := s.w.Services().Parity(s.ctx, "acme", `halo_client_id = 0`); err != nil || rest.GetSubscriptions() != 10 {
		t.Errorf("of no customer: %v, %v", rest, err)
	}
}

// billed is what all lines of ours should bill a month.
func (s *story) billed() decimal.Decimal {
	s.Helper()
	sum, err := s.w.Monthly(s.ctx)
	s.must(err)
	return sum
}
