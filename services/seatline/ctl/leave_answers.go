package ctl

import (
	"context"
	"fmt"
	"strings"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// answers to the questions that cannot be guessed; what is not answered stays as it is.
type answers struct {
	Rules           string `placeholder:"FILE" help:"Answer, kept at once: YAML file with the price rules, which say what the customer pays and where lines are added; '-' for standard input. They replace those there are."`
	ProRata         *int32 `name:"pro-rata" placeholder:"MODE" help:"Answer, kept at once: how Halo bills seats that come or go within a period: 0 none, 1 from the date of change, 2 exclude, 3 invoice at once, 4 ready for invoicing."`
	PriceBasis      string `name:"price-basis" enum:",per-seat-per-month,per-seat-per-term" default:"" help:"Answer, kept at once: what Giacom's price of an annual or longer term buys, per-seat-per-month or per-seat-per-term."`
	CreateCustomers *bool  `name:"create-customers" negatable:"" help:"Answer, kept at once: whether customers may be created in Halo."`
	Deactivate      *bool  `name:"deactivate-removed" negatable:"" help:"Answer, kept at once: whether licences that are deleted from Giacom may be deactivated."`
}

// settings tells whether any of the answers is kept in the connection.
func (a answers) settings() bool {
	return a.ProRata != nil || a.PriceBasis != "" || a.CreateCustomers != nil || a.Deactivate != nil
}

func (a answers) answer(x *connectionv1.Connection) {
	if a.ProRata != nil {
		x.Billing.ProRata = a.ProRata
	}
	if a.PriceBasis != "" {
		x.Giacom.AnnualPriceBasis = moneyv1.Basis(moneyv1.Basis_value["BASIS_"+strings.ToUpper(strings.ReplaceAll(a.PriceBasis, "-", "_"))])
	}
	if a.CreateCustomers != nil {
		x.Customers.Create = *a.CreateCustomers
	}
	if a.Deactivate != nil {
		x.Licences.DeactivateRemoved = *a.Deactivate
	}
}

// keep stores the answers. None is stored when one is wrong.
func (a answers) keep(ctx context.Context, c *Client, slug string) error {
	var rules *pricingv1.PriceRules
	if a.Rules != "" {
		read, err := readRules(a.Rules)
		if err != nil {
			return err
		}
		rules = &pricingv1.PriceRules{Connection: slug, Rules: read}
		if err := setRules(ctx, c, rules, true); err != nil {
			return err
		}
	}
	if a.settings() {
		if _, err := c.change(ctx, slug, "", func(x *connectionv1.Connection) error { a.answer(x); return nil }); err != nil {
			return err
		}
	}
	if rules != nil {
		return setRules(ctx, c, rules, false)
	}
	return nil
}

// howToAnswer a question on the command line: its flag with the choices. "" for a question that no flag answers.
func howToAnswer(q *connectionv1.Question) string {
	var choices []string
	for _, x := range q.GetChoices() {
		value := x.GetValue()
		if q.GetSetting() == "giacom.annual_price_basis" {
			value = strings.ToLower(strings.ReplaceAll(value, "_", "-"))
		}
		choices = append(choices, fmt.Sprintf("%s (%s)", clean(value), clean(x.GetText())))
	}
	all := strings.Join(choices, ", ")
	switch q.GetSetting() {
	case "price_rules":
		return "--rules=FILE, a YAML list of price rules. What they may say: " + all
	case "billing.pro_rata":
		return "--pro-rata=" + all
	case "giacom.annual_price_basis":
		return "--price-basis=" + all
	case "customers.create":
		return "--create-customers=" + all
	case "licences.deactivate_removed":
		return "--deactivate-removed=" + all
	}
	return ""
}
