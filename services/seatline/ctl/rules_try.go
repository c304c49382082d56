package ctl

import (
	"context"
	"fmt"

	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/overview"
)

// RulesTry is `rules try`.
type RulesTry struct {
	Connection string `arg:"" help:"Connection."`
	File       string `short:"f" required:"" placeholder:"FILE" help:"YAML file with the list of rules; '-' for standard input."`
	Limit      int    `short:"n" default:"100" help:"Lines to show at most; 0 for all. The totals count all."`
}

func (cmd *RulesTry) Run(ctx context.Context, c *Client) error {
	rules, err := readRules(cmd.File)
	if err != nil {
		return err
	}
	var trial *pricingv1.PriceRuleTrial
	var rows []*pricingv1.TriedLine
	var more bool
	err = c.pricing(ctx, func(ctx context.Context, client pricingv1.PricingServiceClient) (err error) {
		more, err = List{Limit: cmd.Limit}.collect(func(size int32, token string) (int, string, error) {
			trial, err = client.GetPriceRuleTrial(ctx, &pricingv1.GetPriceRuleTrialRequest{
				Rules: &pricingv1.PriceRules{Connection: cmd.Connection, Rules: rules}, PageSize: size, PageToken: token,
			})
			rows = append(rows, trial.GetRows()...)
			return len(trial.GetRows()), trial.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		trial.Rows, trial.NextPageToken = rows, ""
		return printOne(c, trial)
	}
	err = printList(c, rows, more,
		column[*pricingv1.TriedLine]{"line", (*pricingv1.TriedLine).GetKey},
		column[*pricingv1.TriedLine]{"customer", (*pricingv1.TriedLine).GetCustomer},
		column[*pricingv1.TriedLine]{"product", (*pricingv1.TriedLine).GetDescription},
		column[*pricingv1.TriedLine]{"price", func(x *pricingv1.TriedLine) string { return money(x.GetUnitPriceBefore()) }},
		column[*pricingv1.TriedLine]{"then", func(x *pricingv1.TriedLine) string { return money(x.GetUnitPriceAfter()) }},
		column[*pricingv1.TriedLine]{"a month", func(x *pricingv1.TriedLine) string { return money(x.GetMonthlyBefore()) }},
		column[*pricingv1.TriedLine]{"then", func(x *pricingv1.TriedLine) string { return money(x.GetMonthlyAfter()) }},
		column[*pricingv1.TriedLine]{"rule", (*pricingv1.TriedLine).GetRuleAfter},
		column[*pricingv1.TriedLine]{"held by", func(x *pricingv1.TriedLine) string { return x.GetReasonAfter().GetText() }},
	)
	if err != nil {
		return err
	}
	difference := "no difference in money"
	if len(trial.GetDifference()) > 0 {
		difference = ""
		for i, m := range trial.GetDifference() {
			if i > 0 {
				difference += " and "
			}
			if !amount(m).IsNegative() {
				difference += "+"
			}
			difference += overview.Amount(m)
		}
		difference += " a month ex VAT"
	}
	fmt.Fprintf(c.out, "\n%s of %s would change, %s. Nothing was stored.\n",
		overview.Count(trial.GetChanged()), plural(int(trial.GetLines()), "line", "lines"), difference)
	for _, u := range trial.GetUses() {
		name := clean(u.GetName())
		if name == "" {
			name = "(no rule: the price is kept)"
		}
		fmt.Fprintf(c.out, "  %8s  %s\n", overview.Count(u.GetLicences()), name)
	}
	fmt.Fprintf(c.out, "To have them as tried: seatline rules set %s -f %s --etag %q\n", cmd.Connection, cmd.File, trial.GetEtag())
	return nil
}
