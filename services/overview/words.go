package overview

import (
	"fmt"
	"strings"

	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// Amount in British form: £1,204.00; of other currencies EUR 1,204.00.
func Amount(m *moneyv1.Money) string {
	d := value(m)
	sign, digits := "", d.Abs().StringFixed(2)
	if d.IsNegative() {
		sign = "−"
	}
	integer, cents, _ := strings.Cut(digits, ".")
	text := separate(integer) + "." + cents
	if m.GetCurrency() == "GBP" {
		return sign + "£" + text
	}
	return sign + m.GetCurrency() + " " + text
}

// Amounts of several currencies.
func Amounts(sums []*moneyv1.Money) string {
	parts := make([]string, len(sums))
	for i, m := range sums {
		parts[i] = Amount(m)
	}
	return strings.Join(parts, " and ")
}

// Count with separators: 2,011.
func Count(n int64) string {
	if n < 0 {
		return "−" + separate(fmt.Sprint(-n))
	}
	return separate(fmt.Sprint(n))
}

func amountOf(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

func separate(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
