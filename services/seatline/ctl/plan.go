package ctl

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// Plan is the command of that name.
type Plan struct {
	Client
	Connection string `arg:"" help:"Connection."`
	Filter     string `short:"f" help:"AIP-160 filter, for example 'state = held' or 'customer : \"dental\"'."`
	Limit      int    `short:"n" default:"100" help:"Rows to show at most; 0 for all. The totals count all."`
}

func (cmd *Plan) Run(ctx context.Context, c *Client) error {
	var items []*itemv1.PlanItem
	for _, service := range []string{Mapper, Licence, Billing} { // the order in which it is carried out
		err := c.ops(ctx, service, func(ctx context.Context, client opsv1.OpsServiceClient) error {
			_, err := List{}.collect(func(size int32, token string) (int, string, error) {
				page, err := client.ListPlanItems(ctx, &opsv1.ListPlanItemsRequest{Connection: cmd.Connection, Filter: cmd.Filter, PageSize: size, PageToken: token})
				items = append(items, page.GetItems()...)
				return len(page.GetItems()), page.GetNextPageToken(), err
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	if c.Output == "json" {
		return printArray(c, items)
	}
	shown, more := items, false
	if cmd.Limit > 0 && len(items) > cmd.Limit {
		shown, more = items[:cmd.Limit], true
	}
	err := printList(c, shown, more,
		column[*itemv1.PlanItem]{"kind", (*itemv1.PlanItem).GetKind},
		column[*itemv1.PlanItem]{"action", action},
		column[*itemv1.PlanItem]{"customer", (*itemv1.PlanItem).GetCustomer},
		column[*itemv1.PlanItem]{"what", (*itemv1.PlanItem).GetTitle},
		column[*itemv1.PlanItem]{"changes", fieldChanges},
		column[*itemv1.PlanItem]{"a month", func(x *itemv1.PlanItem) string { return money(x.GetMonthlyBefore()) }},
		column[*itemv1.PlanItem]{"then", func(x *itemv1.PlanItem) string { return money(x.GetMonthlyAfter()) }},
		column[*itemv1.PlanItem]{"state", func(x *itemv1.PlanItem) string { return word(x.GetStatus().GetState()) }},
		column[*itemv1.PlanItem]{"why", func(x *itemv1.PlanItem) string { return x.GetStatus().GetReason().GetText() }},
	)
	if err != nil || len(items) == 0 {
		return err
	}
	_, err = fmt.Fprintf(c.out, "\n%s\n", totals(items))
	return err
}

func action(x *itemv1.PlanItem) string {
	if x.GetFollows() {
		return "follows"
	}
	return x.GetAction()
}

func fieldChanges(x *itemv1.PlanItem) string {
	parts := make([]string, len(x.GetChanges()))
	for i, f := range x.GetChanges() {
		parts[i] = fmt.Sprintf("%s %s → %s", f.GetField(), orDash(f.GetBefore()), orDash(f.GetAfter()))
	}
	return strings.Join(parts, ", ")
}

// totals of the whole plan: what customers are billed a month ex VAT, and what the seats cost, in each currency by itself.
func totals(items []*itemv1.PlanItem) string {
	type sums struct{ billed, thenBilled, cost, thenCost decimal.Decimal }
	counts, byCurrency := map[string]int{}, map[string]*sums{}
	for _, x := range items {
		counts[x.GetKind()]++
		add := func(m *moneyv1.Money, of func(*sums) *decimal.Decimal) {
			if m == nil {
				return
			}
			s := byCurrency[m.GetCurrency()]
			if s == nil {
				s = &sums{}
				byCurrency[m.GetCurrency()] = s
			}
			*of(s) = of(s).Add(amount(m))
		}
		switch x.GetKind() {
		case "invoice-line":
			add(x.GetMonthlyBefore(), func(s *sums) *decimal.Decimal { return &s.billed })
			add(x.GetMonthlyAfter(), func(s *sums) *decimal.Decimal { return &s.thenBilled })
		case "licence":
			add(x.GetMonthlyBefore(), func(s *sums) *decimal.Decimal { return &s.cost })
			add(x.GetMonthlyAfter(), func(s *sums) *decimal.Decimal { return &s.thenCost })
		}
	}
	text := fmt.Sprintf("%s, %s, %s.", plural(counts["customer"], "customer", "customers"),
		plural(counts["licence"], "licence", "licences"), plural(counts["invoice-line"], "line", "lines"))
	for _, currency := range slices.Sorted(maps.Keys(byCurrency)) {
		s := byCurrency[currency]
		text += fmt.Sprintf(" These lines bill %s %s a month ex VAT, then %s (%s). These licences cost %s %s, then %s.",
			s.billed.StringFixed(2), currency, s.thenBilled.StringFixed(2), signed(s.thenBilled.Sub(s.billed)),
			s.cost.StringFixed(2), currency, s.thenCost.StringFixed(2))
	}
	return text
}

func signed(d decimal.Decimal) string {
	if d.IsNegative() {
		return d.StringFixed(2)
	}
	return "+" + d.StringFixed(2)
}

// amount of money; what is not known counts as nothing.
func amount(m *moneyv1.Money) decimal.Decimal {
	d, err := decimal.NewFromString(m.GetAmount())
	if err != nil {
		return decimal.Zero
	}
	return d
}
