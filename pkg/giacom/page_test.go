package giacom_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/giacom/giacomsim"
)

// large puts n subscriptions of one customer into w.
func (w *world) large(t *testing.T, n int) {
	t.Helper()
	a := giacomsim.Account{Customers: []giacomsim.Customer{{MexID: "M", Name: "M"}}}
	for i := range n {
		a.Subscriptions = append(a.Subscriptions, giacomsim.Subscription{
			ID: fmt.Sprintf("s%05d", i), MexID: "M", Name: "x", ProductID: fmt.Sprint(i), Quantity: decimal.NewNullDecimal(decimal.NewFromInt(1)),
		})
	}
	if err := w.sim.Set(a); err != nil {
		t.Fatal(err)
	}
}

func TestPagingEndsWithTheTruth(t *testing.T) {
	for name, c := range map[string]struct {
		rows, pageSize int
		sim            giacomsim.Config
		fault          string
		value          int
		seen, requests int
		incomplete     string
	}{
		"one page":                           {rows: 7, pageSize: 10, seen: 7, requests: 1},
		"several pages, no total":            {rows: 13, pageSize: 5, seen: 13, requests: 3},
		"a full last page, no total":         {rows: 15, pageSize: 5, seen: 15, requests: 4},
		"several pages, a total":             {rows: 13, pageSize: 5, sim: giacomsim.Config{Totals: true}, seen: 13, requests: 3},
		"a full last page, a total":          {rows: 15, pageSize: 5, sim: giacomsim.Config{Totals: true}, seen: 15, requests: 3},
		"a total that equals the page":       {rows: 5, pageSize: 5, sim: giacomsim.Config{Totals: true}, seen: 5, requests: 2},
		"pages capped by the server, total":  {rows: 13, pageSize: 10, sim: giacomsim.Config{Totals: true, MaxPageSize: 3}, seen: 13, requests: 5},
		"pages capped at a usual length":     {rows: 230, pageSize: 5000, fault: "page_capped", seen: 230, requests: 3},
		"all at once, whatever was asked":    {rows: 13, pageSize: 5, fault: "page_size_ignored", seen: 13, requests: 2, incomplete: "repeats"},
		"page argument ignored":              {rows: 13, pageSize: 5, fault: "page_number_ignored", seen: 5, requests: 2, incomplete: "repeats"},
		"page argument ignored, and a total": {rows: 13, pageSize: 5, sim: giacomsim.Config{Totals: true}, fault: "page_number_ignored", seen: 5, requests: 2, incomplete: "repeats"},
		"a total that is never reached":      {rows: 7, pageSize: 10, sim: giacomsim.Config{Totals: true}, fault: "wrong_total", seen: 7, requests: 2, incomplete: "counts 12 rows and gave 7"},
		"a short page, and a total":          {rows: 7, pageSize: 10, sim: giacomsim.Config{Totals: true}, fault: "short_page", seen: 6, requests: 2, incomplete: "counts 7 rows and gave 6"},
		"an empty account":                   {rows: 0, pageSize: 10, seen: 0, requests: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.sim).with(func(cfg *giacom.Config) { cfg.PageSize = c.pageSize })
			w.large(t, c.rows)
			if c.fault != "" {
				if err := w.sim.Inject(giacomsim.Fault{Name: c.fault, Route: "subscriptions", Value: c.value}); err != nil {
					t.Fatal(err)
				}
			}
			g := w.pull(t)
			if g.err != nil {
				t.Fatal(g.err)
			}
			p := g.result.Subscriptions
			if p.Complete != (c.incomplete == "") || !strings.Contains(p.Reason, c.incomplete) {
				t.Errorf("complete %v, reason %q; want %q", p.Complete, p.Reason, c.incomplete)
			}
			if len(g.subscriptions) != c.seen || p.Rows != c.seen {
				t.Errorf("%d seen, %d counted, want %d", len(g.subscriptions), p.Rows, c.seen)
			}
			if n := w.sim.Requests()["subscriptions"]; n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
		})
	}
}

func TestARepeatedPageOfAccountTotalsIsNotSummedTwice(t *testing.T) {
	w := newWorld(t, giacomsim.Config{}).with(func(c *giacom.Config) { c.PageSize = 5; c.AllProducts = giacom.FromAccountTotals })
	w.large(t, 13)
	if err := w.sim.Inject(giacomsim.Fault{Name: "page_number_ignored"}); err != nil {
		t.Fatal(err)
	}
	g := w.pull(t)
	for key, s := range g.subscriptions {
		if !s.Quantity.Decimal.Equal(decimal.NewFromInt(1)) {
			t.Errorf("%s: %s seats, want 1", key, s.Quantity.Decimal)
		}
	}
	if g.result.Subscriptions.Complete {
		t.Error("complete")
	}
}

func TestReportPagesMayCountSubscriptions(t *testing.T) {
	for _, size := range []int{1, 2, 3, 50} {
		w := newWorld(t, giacomsim.Config{CountSubscriptions: true}).with(func(c *giacom.Config) {
			c.Method, c.DeriveCustomers, c.PageSize = giacom.MethodReport, true, size
		})
		if g := w.pull(t); g.err != nil || !g.result.Subscriptions.Complete || len(g.subscriptions) != 3 {
			t.Errorf("page size %d: %v %+v %s", size, g.err, g.result, g.keys())
		}
	}
}

func TestLooksMicrosoft(t *testing.T) {
	for _, c := range []struct {
		name, service, sku string
		want               bool
	}{
		{"Microsoft 365 Business Premium (NCE Annual Term)", "", "55-a", true},
		{"Anything (NCE Monthly Term)", "", "", true},
		{"Anything", "", "CFQ7TTC0LCHC:0002", true},
		{"Anything", "", "CFQ7TTC0LCHC:0002:CFQ7TTC0Z123", true},
		{"Power BI Pro", "", "", true},
		{"Exclaimer for Microsoft 365", "", "90-b", false},
		{"Microsoft 365 backup", "Acronis", "", false},
		{"Business Premium", "Microsoft 365", "", true},
		{"Hornetsecurity 365 Total Protection", "", "1:2", false},
		{"", "", "", false},
	} {
		if got := giacom.LooksMicrosoft(c.name, c.service, c.sku); got != c.want {
			t.Errorf("LooksMicrosoft(%q, %q, %q) = %v", c.name, c.service, c.sku, got)
		}
	}
}
