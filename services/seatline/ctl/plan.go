package ctl

import (
	"context"
	"fmt"
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

// totals of the whole plan: what customers are billed a month ex VAT, and what the seats cost.
func totals(items []*itemv1.PlanItem) string {
	type sum struct{ before, after decimal.Decimal }
	sums, currency := map[string]*sum{"licence": {}, "invoice-line": {}}, ""
	counts := map[string]int{}
	for _, x := range items {
		counts[x.GetKind()]++
		if s := sums[x.GetKind()]; s != nil {
			s.before, s.after = s.before.Add(amount(x.GetMonthlyBefore())), s.after.Add(amount(x.GetMonthlyAfter()))
		}
		for _, m := range []*moneyv1.Money{x.GetMonthlyBefore(), x.GetMonthlyAfter()} {
			if m.GetCurrency() != "" {
				currency = m.GetCurrency()
			}
		}
	}
	lines, licences := sums["invoice-line"], sums["licence"]
	return fmt.Sprintf("%s, %s, %s. These lines bill %s %s a month ex VAT, then %s (%s). These licences cost %s, then %s.",
		plural(counts["customer"], "customer", "customers"), plural(counts["licence"], "licence", "licences"), plural(counts["invoice-line"], "line", "lines"),
		lines.before.StringFixed(2), currency, lines.after.StringFixed(2), signed(lines.after.Sub(lines.before)),
		licences.before.StringFixed(2), licences.after.StringFixed(2))
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
