package ctl

import (
	"context"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"seatline.dev/pkg/rpc"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/console/connectionfile"
)

// Rules is the command of that name.
type Rules struct {
	Client
	Get RulesGet `cmd:"" help:"Show the rules in their order: the first that matches decides."`
	Set RulesSet `cmd:"" help:"Replace the rules by those of a YAML file."`
	Try RulesTry `cmd:"" help:"Say which lines the rules of a YAML file would change, and by how much; nothing is stored."`
}

// RulesGet is `rules get`.
type RulesGet struct {
	Connection string `arg:"" help:"Connection."`
}

func (cmd *RulesGet) Run(ctx context.Context, c *Client) error {
	return c.pricing(ctx, func(ctx context.Context, client pricingv1.PricingServiceClient) error {
		rules, err := client.GetPriceRules(ctx, &pricingv1.GetPriceRulesRequest{Connection: cmd.Connection})
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printOne(c, rules)
		}
		return printList(c, rules.GetRules(), false,
			column[*pricingv1.PriceRule]{"rule", (*pricingv1.PriceRule).GetName},
			column[*pricingv1.PriceRule]{"customers", func(r *pricingv1.PriceRule) string { return orDash(strings.Join(r.GetCustomers(), ", ")) }},
			column[*pricingv1.PriceRule]{"names", func(r *pricingv1.PriceRule) string { return orDash(strings.Join(r.GetNames(), ", ")) }},
			column[*pricingv1.PriceRule]{"skus", func(r *pricingv1.PriceRule) string { return orDash(strings.Join(r.GetSkus(), ", ")) }},
			column[*pricingv1.PriceRule]{"cycles", func(r *pricingv1.PriceRule) string { return orDash(words(r.GetCycles())) }},
			column[*pricingv1.PriceRule]{"terms", func(r *pricingv1.PriceRule) string { return orDash(words(r.GetTerms())) }},
			column[*pricingv1.PriceRule]{"price", price},
			column[*pricingv1.PriceRule]{"adds lines", func(r *pricingv1.PriceRule) string {
				if r.GetAddLine() == nil {
					return "no"
				}
				return "yes"
			}},
		)
	})
}

func words[E protoreflect.Enum](list []E) string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = word(e)
	}
	return strings.Join(out, ", ")
}

func price(r *pricingv1.PriceRule) string {
	switch p := r.GetPrice().(type) {
	case *pricingv1.PriceRule_CostPlusPercent:
		return "cost + " + p.CostPlusPercent + " %"
	case *pricingv1.PriceRule_Rrp:
		return "RRP"
	case *pricingv1.PriceRule_Fixed:
		return p.Fixed
	default:
		return "keep"
	}
}

// readRules of a file.
func readRules(file string) ([]*pricingv1.PriceRule, error) {
	content, err := readFile(file)
	if err != nil {
		return nil, &rpc.Exit{Code: rpc.ExitUsage, Err: err}
	}
	rules, err := connectionfile.ParseRules(file, content)
	if err != nil {
		return nil, &rpc.Exit{Code: rpc.ExitUsage, Err: err}
	}
	return rules, nil
}

// RulesSet is `rules set`.
type RulesSet struct {
	Connection string `arg:"" help:"Connection."`
	File       string `short:"f" required:"" placeholder:"FILE" help:"YAML file with the list of rules; '-' for standard input."`
	Etag       string `help:"Refuse if somebody changed the rules since this etag was read; without it they are replaced."`
	DryRun     bool   `name:"dry-run" help:"Check the rules, store nothing."`
}

func (cmd *RulesSet) Run(ctx context.Context, c *Client) error {
	rules, err := readRules(cmd.File)
	if err != nil {
		return err
	}
	return c.pricing(ctx, func(ctx context.Context, client pricingv1.PricingServiceClient) error {
		stored, err := client.SetPriceRules(ctx, &pricingv1.SetPriceRulesRequest{
			Rules: &pricingv1.PriceRules{Connection: cmd.Connection, Rules: rules, Etag: cmd.Etag}, Force: cmd.Etag == "", ValidateOnly: cmd.DryRun,
		})
		if err != nil {
			return err
		}
		if cmd.DryRun {
			return done(c, stored, "%s would be stored.", plural(len(stored.GetRules()), "rule", "rules"))
		}
		return done(c, stored, "%s stored.", plural(len(stored.GetRules()), "rule", "rules"))
	})
}
