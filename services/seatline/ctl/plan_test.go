package ctl

import (
	"testing"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

func TestTotalsAreOfOneCurrencyEach(t *testing.T) {
	item := func(kind, currency, before, after string) *itemv1.PlanItem {
		return &itemv1.PlanItem{Kind: kind, MonthlyBefore: &moneyv1.Money{Amount: before, Currency: currency}, MonthlyAfter: &moneyv1.Money{Amount: after, Currency: currency}}
	}
	for want, items := range map[string][]*itemv1.PlanItem{
		"1 customer, 0 licences, 0 lines.": {{Kind: "customer"}},
		"0 customers, 1 licence, 2 lines. These lines bill 30.50 GBP a month ex VAT, then 27.00 (-3.50). These licences cost 5.00 GBP, then 6.00.": {
			item("invoice-line", "GBP", "10.50", "12"), item("invoice-line", "GBP", "20", "15"), item("licence", "GBP", "5", "6"),
		},
		"0 customers, 1 licence, 2 lines. These lines bill 0.00 EUR a month ex VAT, then 7.25 (+7.25). These licences cost 0.00 EUR, then 0.00." +
			" These lines bill 10.00 GBP a month ex VAT, then 10.00 (+0.00). These licences cost 5.00 GBP, then 6.00.": {
			item("invoice-line", "GBP", "10", "10"), {Kind: "invoice-line", MonthlyAfter: &moneyv1.Money{Amount: "7.25", Currency: "EUR"}}, item("licence", "GBP", "5", "6"),
		},
	} {
		if got := totals(items); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
}
