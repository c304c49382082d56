package mapper

import (
	"cmp"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// stake is what a subscription costs per month ex VAT, all seats, under either answer to what the
// price of a term longer than a month buys; nil where that cannot be said.
type stake struct {
	Currency        string
	IfMonth, IfTerm *decimal.Decimal
}

var termMonths = map[giacomv1.Term]int64{giacomv1.Term_TERM_MONTHLY: 1, giacomv1.Term_TERM_ANNUAL: 12, giacomv1.Term_TERM_TRIENNIAL: 36}

var cycleMonths = map[giacomv1.Cycle]int64{giacomv1.Cycle_CYCLE_UNSPECIFIED: 1, giacomv1.Cycle_CYCLE_MONTHLY: 1,
	giacomv1.Cycle_CYCLE_ANNUAL: 12, giacomv1.Cycle_CYCLE_TRIENNIAL: 36}

// stakeOf: what Giacom no longer or not yet bills, and what is bought once, costs nothing per month.
func stakeOf(g *giacomv1.Subscription) stake {
	s := stake{Currency: strings.ToUpper(g.GetPurchasePrice().GetCurrency())}
	switch g.GetStatus() {
	case giacomv1.Status_STATUS_CANCELLED, giacomv1.Status_STATUS_DELETED, giacomv1.Status_STATUS_PENDING:
		return stake{s.Currency, &decimal.Zero, &decimal.Zero}
	}
	if g.GetCycle() == giacomv1.Cycle_CYCLE_ONE_TIME {
		return stake{s.Currency, &decimal.Zero, &decimal.Zero}
	}
	seats, err := decimal.NewFromString(strings.TrimSpace(g.GetQuantity()))
	if err != nil {
		return s
	}
	price, err := decimal.NewFromString(g.GetPurchasePrice().GetAmount())
	if err != nil {
		return s
	}
	length, known := termMonths[g.GetTerm()]
	if g.GetTerm() == giacomv1.Term_TERM_UNSPECIFIED {
		length, known = cycleMonths[g.GetCycle()]
	}
	if !known {
		return s
	}
	sum := seats.Mul(price)
	term := sum.DivRound(decimal.NewFromInt(length), 6)
	return stake{s.Currency, &sum, &term}
}

// monthlySQL is the stake of a row s of subscriptions under the basis b, null where it is not known.
const monthlySQL = `case when b.basis = 1 or s.if_month = s.if_term then s.if_month when b.basis = 2 then s.if_term end`

// bases are the annual price bases and currencies of connections, as arguments for basesSQL.
type bases struct {
	slugs, currencies []string
	basis             []int32
	alertAfter        []float64 // seconds
}

func basesOf(all []*connectionv1.Connection) (b bases) {
	for _, c := range all {
		b.slugs, b.currencies = append(b.slugs, c.GetSlug()), append(b.currencies, strings.ToUpper(cmp.Or(c.GetGiacom().GetCurrency(), "GBP")))
		b.basis = append(b.basis, int32(c.GetGiacom().GetAnnualPriceBasis()))
		b.alertAfter = append(b.alertAfter, alertAfter(c).Seconds())
	}
	return b
}

func (b bases) args() []any { return []any{b.slugs, b.basis, b.currencies, b.alertAfter} }

// basesSQL takes the arguments of bases as $1 to $4.
const basesSQL = `unnest($1::text[], $2::int[], $3::text[], $4::float8[]) as b(slug, basis, currency, alert_after)`

// amounts are sums per month by currency, as the database adds them up.
type amounts map[string]decimal.Decimal

// money lists the sums in the order of their currencies, 2 places half up.
func (a amounts) money() []*moneyv1.Money {
	var out []*moneyv1.Money
	for currency, sum := range a {
		out = append(out, &moneyv1.Money{Amount: sum.Round(2).String(), Currency: currency, Basis: moneyv1.Basis_BASIS_PER_MONTH})
	}
	slices.SortFunc(out, func(x, y *moneyv1.Money) int { return strings.Compare(x.GetCurrency(), y.GetCurrency()) })
	return out
}

// add adds b to a, which may be nil.
func (a amounts) add(b amounts) amounts {
	if a == nil {
		a = amounts{}
	}
	for currency, sum := range b {
		a[currency] = a[currency].Add(sum)
	}
	return a
}
