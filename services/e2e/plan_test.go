package e2e

import (
	"maps"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

// plan is the whole plan of the connection, in the order in which it must happen.
func (s *story) plan() []*itemv1.PlanItem {
	s.Helper()
	var all []*itemv1.PlanItem
	for _, service := range []string{ctl.Mapper, ctl.Licence, ctl.Billing} {
		client, token := opsv1.NewOpsServiceClient(s.w.Client(service)), ""
		for {
			resp, err := client.ListPlanItems(s.ctx, &opsv1.ListPlanItemsRequest{Connection: "acme", PageToken: token})
			s.must(err)
			all = append(all, resp.GetItems()...)
			if token = resp.GetNextPageToken(); token == "" {
				break
			}
		}
	}
	return all
}

// nextBills is what every recurring invoice would come to if Halo made its next one now.
func (s *story) nextBills() decimal.Decimal {
	s.Helper()
	copied := halosim.New(halosim.Config{})
	state := s.w.Halo.State()
	due := time.Time{}
	for i := range state.Invoices {
		for j := range state.Invoices[i].Lines {
			state.Invoices[i].Lines[j].ProRata = nil // parts of the period that passed are Halo's affair
		}
		if next := state.Invoices[i].NextCreation.Time; next.After(due) {
			due = next
		}
	}
	copied.Set(state)
	sum := decimal.Zero
	for _, bill := range copied.Process(due) {
		sum = sum.Add(bill.Net.Decimal)
	}
	return sum
}

func pounds(t *testing.T, m *moneyv1.Money) decimal.Decimal {
	t.Helper()
	if m == nil {
		return decimal.Zero
	}
	d, err := decimal.NewFromString(m.GetAmount())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestObserveShowsExactlyWhatAutoDoes(t *testing.T) {
	t.Parallel()
	data := estate.Plain(estate.Config{Seed: 9, Customers: 20, Subscriptions: 200, Now: time.Now()}, estate.LinkedLines)
	for i := range data.Giacom.Subscriptions { // what Halo has is out of date
		s := &data.Giacom.Subscriptions[i]
		switch i % 5 {
		case 0:
			s.Price.Decimal = s.Price.Decimal.Mul(decimal.RequireFromString("1.0737")).Round(4)
		case 1:
			s.OfferID, s.Name = s.OfferID+"-new", s.Name+" new" // Halo has nothing of this one yet
		}
	}
	for i, l := range data.Halo.Licences { // and counts have moved since, for licences that we know already
		if i%5 == 2 {
			data.Halo.Licences[i].SnowID = "giacom:acme:microsoft/" + data.Giacom.Subscriptions[i].GUID
			data.Halo.Licences[i].Count = l.Count + 3
		}
	}
	s := tell(t, plot{estate: data, rules: keepAndAdd, settings: func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_OBSERVE }})
	initial := s.w.Halo.State()
	requests := maps.Clone(s.w.Halo.Requests())
	s.poll(true)
	if posts := posts(requests, s.w.Halo.Requests()); posts != 0 {
		t.Fatalf("%d writes while observing", posts)
	}
	if string(initial.JSON()) != string(s.w.Halo.State().JSON()) {
		t.Fatal("Halo changed while the connection observed")
	}
	shown := s.plan()
	if len(shown) == 0 {
		t.Fatal("the plan is empty")
	}
	planned, delta := map[string]string{}, decimal.Zero
	for _, p := range shown {
		if p.GetKind() == "invoice-line" {
			delta = delta.Add(pounds(t, p.GetMonthlyAfter())).Sub(pounds(t, p.GetMonthlyBefore()))
		}
		if len(p.GetChanges()) > 0 && p.GetStatus().GetReason().GetCode() == "observe" {
			planned[p.GetKind()+" "+p.GetKey()] = p.GetAction()
		}
	}
	before := s.nextBills()

	s.apply(func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_AUTO })
	s.settle()
	s.oracle.Settle(time.Now())
	s.right("after the plan was carried out")
	if after := s.nextBills(); !after.Sub(before).Equal(delta) {
		t.Errorf("the next invoices moved by %s, the plan said %s", after.Sub(before), delta)
	}
	done := map[string]string{}
	for _, service := range []string{ctl.Mapper, ctl.Licence, ctl.Billing} {
		client, token := opsv1.NewOpsServiceClient(s.w.Client(service)), ""
		for {
			resp, err := client.ListChanges(s.ctx, &opsv1.ListChangesRequest{Connection: "acme", Filter: `outcome = "applied"`, PageToken: token})
			s.must(err)
			for _, c := range resp.GetChanges() {
				if c.GetAction() != "none" {
					done[c.GetKind()+" "+c.GetKey()] = c.GetAction()
				}
			}
			if token = resp.GetNextPageToken(); token == "" {
				break
			}
		}
	}
	for item, action := range planned {
		if done[item] != action {
			t.Errorf("planned to %s %s, did %q", action, item, done[item])
		}
	}
	for item, action := range done {
		if planned[item] == "" {
			t.Errorf("did %s %s, which was not planned", action, item)
		}
	}
}
