package billing

import "github.com/shopspring/decimal"

// Periods of recurring invoices, as how many of them make how many months [C]. A weekly invoice comes
// 52 times in 12 months.
var periods = map[int64]struct{ times, months int64 }{
	1: {52, 12}, 2: {1, 1}, 3: {1, 12}, 4: {1, 3}, 5: {1, 6}, 7: {1, 36}, 8: {1, 24}, 9: {1, 48},
}

// monthly is what a line bills per month, ex VAT, 2 places half up; nil when the period or an amount
// is not known.
func monthly(quantity, unit *decimal.Decimal, discount decimal.Decimal, period int64) *decimal.Decimal {
	p, ok := periods[period]
	if !ok || quantity == nil || unit == nil {
		return nil
	}
	hundred := decimal.NewFromInt(100)
	sum := quantity.Mul(*unit).Mul(hundred.Sub(discount)).Mul(decimal.NewFromInt(p.times)).
		DivRound(hundred.Mul(decimal.NewFromInt(p.months)), 8).Round(2)
	return &sum
}

// counted is the quantity that Halo computes for a linked line: over its rows the sum of seats less
// the included ones, raised to the sum of the minima, never below 0 [C]. nil when a row counts only
// assigned seats, or names a licence whose seats we do not know.
func counted(rows []Row, seats func(licence int64) (int64, bool)) *decimal.Decimal {
	var sum, least decimal.Decimal
	for _, r := range rows {
		if r.LicenceID <= 0 {
			continue
		}
		n, ok := seats(r.LicenceID)
		if !ok || r.Assigned {
			return nil
		}
		sum, least = sum.Add(decimal.NewFromInt(n).Sub(r.Free)), least.Add(r.Minimum)
	}
	sum = decimal.Max(sum, least, decimal.Zero)
	return &sum
}
