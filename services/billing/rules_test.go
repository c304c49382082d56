package billing

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/reconcile"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

func dec(s string) *decimal.Decimal {
	d := decimal.RequireFromString(s)
	return &d
}

func ptr[T any](v T) *T { return &v }

// aLicence is a licence with nothing special about it: 7 seats of Business Premium at 15.09.
func aLicence(change ...func(*Licence)) Licence {
	l := Licence{
		Connection: "acme", Key: "giacom/1", HaloID: 501, ClientID: 39, ClientName: "Harbour Dental", Count: 7, Active: true, Holds: 7,
		Cost: dec("15.09"), RRP: dec("18.10"), Cycle: giacomv1.Cycle_CYCLE_MONTHLY, Term: giacomv1.Term_TERM_ANNUAL,
		MexID: "MEX1", SKU: "CFQ7:0002", Name: "Microsoft 365 Business Premium", Revision: 1,
	}
	for _, c := range change {
		c(&l)
	}
	return l
}

func costPlus(name, percent string, change ...func(*pricingv1.PriceRule)) *pricingv1.PriceRule {
	r := &pricingv1.PriceRule{Name: name, Price: &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: percent}}
	for _, c := range change {
		c(r)
	}
	return r
}

func keep(name string, change ...func(*pricingv1.PriceRule)) *pricingv1.PriceRule {
	r := &pricingv1.PriceRule{Name: name, Price: &pricingv1.PriceRule_Keep{Keep: true}}
	for _, c := range change {
		c(r)
	}
	return r
}

func rulesOf(t testing.TB, list ...*pricingv1.PriceRule) []Rule {
	t.Helper()
	rules, wrong := parseRules(list)
	if len(wrong) > 0 {
		t.Fatalf("rules: %v", wrong)
	}
	return rules
}

func TestPriceRules(t *testing.T) {
	t.Parallel()
	fixed := func(name, price string, change ...func(*pricingv1.PriceRule)) *pricingv1.PriceRule {
		r := &pricingv1.PriceRule{Name: name, Price: &pricingv1.PriceRule_Fixed{Fixed: price}}
		for _, c := range change {
			c(r)
		}
		return r
	}
	rrp := &pricingv1.PriceRule{Name: "rrp", Price: &pricingv1.PriceRule_Rrp{Rrp: true}}
	forTerm := func(r *pricingv1.PriceRule) { r.Terms = []giacomv1.Term{giacomv1.Term_TERM_ANNUAL} }
	tests := []struct {
		name    string
		rules   []*pricingv1.PriceRule
		licence Licence
		want    string // price, "keep" or the code of the hold
	}{
		{"without a rule the line's price is kept", nil, aLicence(), "keep"},
		{"cost plus percent", []*pricingv1.PriceRule{costPlus("a", "20")}, aLicence(), "18.11"},
		{"cost plus percent is rounded half up", []*pricingv1.PriceRule{costPlus("a", "0")}, aLicence(func(l *Licence) { l.Cost = dec("1.005") }), "1.01"},
		{"a step of 5 pence", []*pricingv1.PriceRule{costPlus("a", "20", func(r *pricingv1.PriceRule) { r.Rounding = "0.05" })}, aLicence(), "18.10"},
		{"a step of a pound", []*pricingv1.PriceRule{costPlus("a", "20", func(r *pricingv1.PriceRule) { r.Rounding = "1" })}, aLicence(), "18"},
		{"a cost of 0 is a cost", []*pricingv1.PriceRule{costPlus("a", "20")}, aLicence(func(l *Licence) { l.Cost = dec("0") }), "0"},
		{"the recommended price", []*pricingv1.PriceRule{rrp}, aLicence(), "18.10"},
		{"a rule that needs an RRP holds and does not fall through", []*pricingv1.PriceRule{rrp, keep("b")}, aLicence(func(l *Licence) { l.RRP = nil }), "rule_needs_rrp"},
		{"a rule about terms holds where there is none", []*pricingv1.PriceRule{fixed("a", "5", forTerm), keep("b")}, aLicence(func(l *Licence) { l.Term = 0 }), "rule_needs_term"},
		{"a rule about terms does not hold what it is not about otherwise", []*pricingv1.PriceRule{
			fixed("a", "5", forTerm, func(r *pricingv1.PriceRule) { r.Skus = []string{"X*"} }), keep("b"),
		}, aLicence(func(l *Licence) { l.Term = 0 }), "keep"},
		{"a rule about terms that matches", []*pricingv1.PriceRule{fixed("a", "5", forTerm)}, aLicence(), "5"},
		{"a rule about cost holds where there is none", []*pricingv1.PriceRule{costPlus("a", "20")}, aLicence(func(l *Licence) { l.Cost = nil }), "rule_needs_cost"},
		{"the first rule that matches wins", []*pricingv1.PriceRule{fixed("a", "5"), fixed("b", "6")}, aLicence(), "5"},
		{"customers are compared without case", []*pricingv1.PriceRule{fixed("a", "5", func(r *pricingv1.PriceRule) { r.Customers = []string{" mex1"} })}, aLicence(), "5"},
		{"a rule for another customer does not match", []*pricingv1.PriceRule{fixed("a", "5", func(r *pricingv1.PriceRule) { r.Customers = []string{"MEX2"} })}, aLicence(), "keep"},
		{"a SKU pattern", []*pricingv1.PriceRule{fixed("a", "5", func(r *pricingv1.PriceRule) { r.Skus = []string{"cfq7*"} })}, aLicence(), "5"},
		{"a name pattern", []*pricingv1.PriceRule{fixed("a", "5", func(r *pricingv1.PriceRule) { r.Names = []string{"*business pr?mium"} })}, aLicence(), "5"},
		{"all matchers must match", []*pricingv1.PriceRule{fixed("a", "5", func(r *pricingv1.PriceRule) { r.Names = []string{"*premium"}; r.Skus = []string{"Z*"} })}, aLicence(), "keep"},
		{"a missing cycle counts as monthly", []*pricingv1.PriceRule{fixed("a", "5", func(r *pricingv1.PriceRule) { r.Cycles = []giacomv1.Cycle{giacomv1.Cycle_CYCLE_MONTHLY} })}, aLicence(func(l *Licence) { l.Cycle = 0 }), "5"},
		{"another cycle does not match", []*pricingv1.PriceRule{fixed("a", "5", func(r *pricingv1.PriceRule) { r.Cycles = []giacomv1.Cycle{giacomv1.Cycle_CYCLE_ANNUAL} })}, aLicence(), "keep"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, verdict := priceOf(rulesOf(t, tt.rules...), tt.licence)
			got := "keep"
			switch {
			case verdict.State == reconcile.Held:
				got = verdict.Reason.Code
			case p.Unit != nil:
				got = p.Unit.String()
			}
			if want := tt.want; got != want && !(p.Unit != nil && p.Unit.Equal(*decOr(want))) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func decOr(s string) *decimal.Decimal {
	d, err := decimal.NewFromString(s)
	if err != nil {
		d = decimal.NewFromInt(-1)
	}
	return &d
}

func TestRulesAreChecked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		rules []*pricingv1.PriceRule
		field string
	}{
		{"a rule needs a name", []*pricingv1.PriceRule{keep(" ")}, "rules[0].name"},
		{"names differ", []*pricingv1.PriceRule{keep("a"), keep("a")}, "rules[1].name"},
		{"a rule needs a price", []*pricingv1.PriceRule{{Name: "a"}}, "rules[0].price"},
		{"a percentage is a number", []*pricingv1.PriceRule{costPlus("a", "20%")}, "rules[0].cost_plus_percent"},
		{"nothing is sold for less than nothing", []*pricingv1.PriceRule{costPlus("a", "-101")}, "rules[0].cost_plus_percent"},
		{"no endless numbers", []*pricingv1.PriceRule{costPlus("a", "1e999999999")}, "rules[0].cost_plus_percent"},
		{"a price is not negative", []*pricingv1.PriceRule{{Name: "a", Price: &pricingv1.PriceRule_Fixed{Fixed: "-1"}}}, "rules[0].fixed"},
		{"a step is above 0", []*pricingv1.PriceRule{keep("a", func(r *pricingv1.PriceRule) { r.Rounding = "0" })}, "rules[0].rounding"},
		{"recurring invoices have negative ids", []*pricingv1.PriceRule{keep("a", func(r *pricingv1.PriceRule) { r.AddLine = &pricingv1.AddLine{InvoiceId: 94} })}, "rules[0].add_line.invoice_id"},
		{"a minimum is not negative", []*pricingv1.PriceRule{keep("a", func(r *pricingv1.PriceRule) { r.MinimumQuantity = ptr(int64(-1)) })}, "rules[0].minimum_quantity"},
		{"an empty pattern would match nothing", []*pricingv1.PriceRule{keep("a", func(r *pricingv1.PriceRule) { r.Skus = []string{""} })}, "rules[0].skus"},
		{"an unknown cycle", []*pricingv1.PriceRule{keep("a", func(r *pricingv1.PriceRule) { r.Cycles = []giacomv1.Cycle{99} })}, "rules[0].cycles"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, wrong := parseRules(tt.rules)
			if len(wrong) != 1 || wrong[0].Field != tt.field {
				t.Errorf("got %v, want one about %s", wrong, tt.field)
			}
		})
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"", "", true}, {"", "a", false}, {"a*c", "abbc", true}, {"a*c", "abb", false}, {"?", "é", true},
		{"*a*b*", "xxaxxbxx", true}, {"*a*b*", "xxbxxaxx", false}, {strings.Repeat("*a", 30), strings.Repeat("a", 200) + "b", false},
	} {
		if got := glob([]rune(tt.pattern), []rune(tt.s)); got != tt.want {
			t.Errorf("glob(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}

func TestMoneyPerMonth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                     string
		quantity, unit, discount string
		period                   int64
		want                     string
	}{
		{"a monthly invoice", "7", "19.90", "0", 2, "139.3"},
		{"a yearly one, by twelve", "7", "120", "0", 3, "70"},
		{"a quarterly one", "1", "10", "0", 4, "3.33"},
		{"a six-monthly one", "1", "60", "0", 5, "10"},
		{"a three-yearly one", "1", "36", "0", 7, "1"},
		{"a weekly one, 52 times a year", "1", "3", "0", 1, "13"},
		{"a discount of the line", "10", "10", "25", 2, "75"},
		{"half a penny is rounded up", "1", "0.005", "0", 2, "0.01"},
		{"an unknown period is not guessed", "1", "1", "0", 6, "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := "unknown"
			if m := monthly(dec(tt.quantity), dec(tt.unit), *dec(tt.discount), tt.period); m != nil {
				got = m.String()
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestHaloCountsLinkedLines(t *testing.T) {
	t.Parallel()
	seats := func(id int64) (int64, bool) { n, ok := map[int64]int64{1: 10, 2: 3}[id]; return n, ok }
	row := func(id int64, free, minimum string) Row {
		return Row{LicenceID: id, Free: *dec(free), Minimum: *dec(minimum)}
	}
	for _, tt := range []struct {
		name string
		rows []Row
		want string
	}{
		{"the seats of all rows", []Row{row(1, "0", "0"), row(2, "0", "0")}, "13"},
		{"less the included ones", []Row{row(1, "4", "0")}, "6"},
		{"never below none", []Row{row(2, "4", "0")}, "0"},
		{"at least the minimum", []Row{row(2, "0", "5")}, "5"},
		{"the minima add up", []Row{row(1, "0", "12"), row(2, "0", "5")}, "17"},
		{"a licence of others is not known", []Row{row(1, "0", "0"), row(9, "0", "0")}, "unknown"},
		{"assigned seats are not known", []Row{{LicenceID: 1, Assigned: true}}, "unknown"},
		{"no row, no seats", nil, "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := "unknown"
			if n := counted(tt.rows, seats); n != nil {
				got = n.String()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRecommendedPricePerCycle(t *testing.T) {
	t.Parallel()
	annual, monthlyCycle := giacomv1.Cycle_CYCLE_ANNUAL, giacomv1.Cycle_CYCLE_MONTHLY
	perTerm, perMonth := moneyv1.Basis_BASIS_PER_SEAT_PER_TERM, moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH
	for _, tt := range []struct {
		name  string
		cycle giacomv1.Cycle
		term  giacomv1.Term
		basis moneyv1.Basis
		want  string
	}{
		{"a monthly term needs no basis", monthlyCycle, giacomv1.Term_TERM_MONTHLY, 0, "120"},
		{"an annual term billed monthly, per term", monthlyCycle, giacomv1.Term_TERM_ANNUAL, perTerm, "10"},
		{"an annual term billed monthly, per month", monthlyCycle, giacomv1.Term_TERM_ANNUAL, perMonth, "120"},
		{"an annual term billed annually, per month", annual, giacomv1.Term_TERM_ANNUAL, perMonth, "1440"},
		{"an annual term without a basis is not known", monthlyCycle, giacomv1.Term_TERM_ANNUAL, 0, "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := "unknown"
			if p := perCycle(dec("120"), tt.cycle, tt.term, tt.basis); p != nil {
				got = p.String()
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
