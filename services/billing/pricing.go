package billing

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/reconcile"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// Rule is a price rule that was checked. Empty matchers match everything.
type Rule struct {
	Name        string
	customers   []string
	skus, names []string
	cycles      []giacomv1.Cycle
	terms       []giacomv1.Term
	act         func(Licence) (*decimal.Decimal, reconcile.Verdict) // nil price: keep the line's
	words       string
	step        decimal.Decimal
	// Minimum and Included seats; nil: the line's own.
	Minimum, Included *int64
	// Add says how to bill a licence that is on no line; nil: show it.
	Add *pricingv1.AddLine
}

// Violation is what is wrong with one field of a rule.
type Violation struct{ Field, Text string }

// parseRules checks rules as a person wrote them.
func parseRules(list []*pricingv1.PriceRule) ([]Rule, []Violation) {
	var rules []Rule
	var wrong []Violation
	names := map[string]int{}
	for i, p := range list {
		bad := func(field, format string, args ...any) {
			wrong = append(wrong, Violation{fmt.Sprintf("rules[%d].%s", i, field), fmt.Sprintf(format, args...)})
		}
		r := Rule{
			Name: strings.TrimSpace(p.GetName()), customers: fold(p.GetCustomers()), skus: fold(p.GetSkus()), names: fold(p.GetNames()),
			cycles: p.GetCycles(), terms: p.GetTerms(), Minimum: p.MinimumQuantity, Included: p.IncludedQuantity, Add: p.GetAddLine(),
		}
		if r.Name == "" {
			bad("name", "is missing: plans and lines name the rule that made a price")
		} else if j, twice := names[r.Name]; twice {
			bad("name", "%q is also the name of rules[%d]; names must differ", r.Name, j)
		} else {
			names[r.Name] = i
		}
		for field, values := range map[string][]string{"customers": r.customers, "skus": r.skus, "names": r.names} {
			if slices.Contains(values, "") {
				bad(field, "holds an empty entry; leave the list empty to match everything")
			}
		}
		if slices.ContainsFunc(r.cycles, func(c giacomv1.Cycle) bool {
			return c == giacomv1.Cycle_CYCLE_UNSPECIFIED || c == giacomv1.Cycle_CYCLE_UNKNOWN || giacomv1.Cycle_name[int32(c)] == ""
		}) {
			bad("cycles", "may hold monthly, annual, triennial and one_time")
		}
		if slices.ContainsFunc(r.terms, func(t giacomv1.Term) bool {
			return t == giacomv1.Term_TERM_UNSPECIFIED || t == giacomv1.Term_TERM_UNKNOWN || giacomv1.Term_name[int32(t)] == ""
		}) {
			bad("terms", "may hold monthly, annual and triennial")
		}
		r.step = decimal.New(1, -2)
		if s := p.GetRounding(); s != "" {
			if d, err := number(s); err != nil || !d.IsPositive() {
				bad("rounding", "%q is not an amount above 0, such as 0.01 or 0.05", s)
			} else {
				r.step = d
			}
		}
		for field, n := range map[string]*int64{"minimum_quantity": r.Minimum, "included_quantity": r.Included} {
			if n != nil && (*n < 0 || *n > 1_000_000) {
				bad(field, "%d is not a number of seats", *n)
			}
		}
		if a := r.Add; a != nil {
			if a.GetItemId() < 0 {
				bad("add_line.item_id", "%d is not the id of an item; 0 takes the item whose supplier part code is the SKU", a.GetItemId())
			}
			if a.GetInvoiceId() > 0 {
				bad("add_line.invoice_id", "%d is not a recurring invoice: their ids are negative; 0 takes the customer's only fitting one", a.GetInvoiceId())
			}
		}
		r.setPrice(p, bad)
		rules = append(rules, r)
	}
	return rules, wrong
}

// setPrice turns the price part of a rule into a function.
func (r *Rule) setPrice(p *pricingv1.PriceRule, bad func(field, format string, args ...any)) {
	switch price := p.GetPrice().(type) {
	case *pricingv1.PriceRule_Keep:
		if !price.Keep {
			bad("keep", "must be true, or another way to make the price be chosen")
		}
		r.words = "keeps the line's price"
		r.act = func(Licence) (*decimal.Decimal, reconcile.Verdict) { return nil, reconcile.Go() }
	case *pricingv1.PriceRule_CostPlusPercent:
		percent, err := number(price.CostPlusPercent)
		if err != nil || percent.LessThan(decimal.NewFromInt(-100)) {
			bad("cost_plus_percent", "%q is not a percentage, such as 20 or 12.5", price.CostPlusPercent)
		}
		r.words = "cost plus " + price.CostPlusPercent + " %"
		r.act = func(l Licence) (*decimal.Decimal, reconcile.Verdict) {
			if l.Cost == nil {
				return nil, r.needs("a purchase price", "rule_needs_cost")
			}
			v := l.Cost.Mul(decimal.NewFromInt(100).Add(percent)).Div(decimal.NewFromInt(100))
			return r.round(v), reconcile.Go()
		}
	case *pricingv1.PriceRule_Rrp:
		if !price.Rrp {
			bad("rrp", "must be true, or another way to make the price be chosen")
		}
		r.words = "recommended retail price"
		r.act = func(l Licence) (*decimal.Decimal, reconcile.Verdict) {
			if l.RRP == nil {
				return nil, r.needs("a recommended retail price", "rule_needs_rrp")
			}
			return r.round(*l.RRP), reconcile.Go()
		}
	case *pricingv1.PriceRule_Fixed:
		fixed, err := number(price.Fixed)
		if err != nil || fixed.IsNegative() {
			bad("fixed", "%q is not a price, such as 19.90", price.Fixed)
		}
		r.words = "fixed at " + price.Fixed
		r.act = func(Licence) (*decimal.Decimal, reconcile.Verdict) { return r.round(fixed), reconcile.Go() }
	default:
		bad("price", "is missing: choose keep, cost_plus_percent, rrp or fixed")
	}
}

// round to a multiple of the rule's step, half up.
func (r *Rule) round(d decimal.Decimal) *decimal.Decimal {
	v := d.DivRound(r.step, 12).Round(0).Mul(r.step)
	return &v
}

// needs holds: a rule that cannot be applied does not fall through to the next one, which might bill
// something else altogether.
func (r *Rule) needs(what, code string) reconcile.Verdict {
	return reconcile.Hold(code, fmt.Sprintf("Price rule %q needs %s, which Giacom does not give for this subscription. Put a rule before it that matches this product, or change the rule.", r.Name, what))
}

// Price is what the rules say about a licence.
type Price struct {
	Unit              *decimal.Decimal // per seat and billing cycle; nil: keep the line's
	Minimum, Included *int64           // nil: keep the line's
	Rule              string           // in words
	Add               *pricingv1.AddLine
}

// priceOf applies the first rule that matches; without one the line's price is kept.
func priceOf(rules []Rule, l Licence) (Price, reconcile.Verdict) {
	for _, r := range rules {
		match, verdict := r.matches(l)
		if verdict.State != reconcile.Pending {
			return Price{Rule: r.Name, Add: r.Add}, verdict
		}
		if !match {
			continue
		}
		p := Price{Minimum: r.Minimum, Included: r.Included, Rule: r.Name + ": " + r.words, Add: r.Add}
		p.Unit, verdict = r.act(l)
		return p, verdict
	}
	return Price{Rule: "no rule matches: the line's price is kept"}, reconcile.Go()
}

// matches tells whether a rule is about a licence. A rule about terms cannot tell for a subscription
// whose feed has no term: it holds.
func (r *Rule) matches(l Licence) (bool, reconcile.Verdict) {
	cycle := l.Cycle
	if cycle == giacomv1.Cycle_CYCLE_UNSPECIFIED {
		cycle = giacomv1.Cycle_CYCLE_MONTHLY
	}
	switch {
	case len(r.customers) > 0 && !slices.Contains(r.customers, strings.ToLower(strings.TrimSpace(l.MexID))),
		len(r.skus) > 0 && !globs(r.skus, l.SKU),
		len(r.names) > 0 && !globs(r.names, l.Name),
		len(r.cycles) > 0 && !slices.Contains(r.cycles, cycle):
		return false, reconcile.Go()
	case len(r.terms) == 0:
		return true, reconcile.Go()
	case l.Term == giacomv1.Term_TERM_UNSPECIFIED:
		return false, r.needs("a term", "rule_needs_term")
	}
	return slices.Contains(r.terms, l.Term), reconcile.Go()
}

func fold(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToLower(strings.TrimSpace(s))
	}
	return out
}

func globs(patterns []string, s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	return slices.ContainsFunc(patterns, func(p string) bool { return glob([]rune(p), []rune(s)) })
}

// glob: * is any text, ? any one letter, all else itself. In time linear to both but for the stars.
func glob(p, s []rune) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == s[j]):
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// number reads a decimal as people write one. An exponent could make it as long as memory.
func number(s string) (decimal.Decimal, error) {
	if len(s) > 30 || strings.ContainsAny(s, "eE") {
		return decimal.Zero, fmt.Errorf("%q is not a plain decimal number", s)
	}
	return decimal.NewFromString(s)
}
