package ui

import (
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// london is the time that an MSP in the United Kingdom lives by.
var london = func() *time.Location {
	if l, err := time.LoadLocation("Europe/London"); err == nil {
		return l
	}
	return time.UTC // a machine without time zones
}()

// DateTime is "23 Nov 2026, 14:05".
func DateTime(t time.Time) string { return t.In(london).Format("2 Jan 2006, 15:04") }

// Date is "23 Nov 2026".
func Date(t time.Time) string { return t.In(london).Format("2 Jan 2006") }

// Ago is "just now", "5 minutes ago", "yesterday" …; of the future "in 5 minutes".
func Ago(t, now time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		return "in " + Span(-d)
	}
	if d < 10*time.Second {
		return "just now"
	}
	return Span(d) + " ago"
}

// Span of time in its largest unit.
func Span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return Plural(int64(max(d/time.Second, 1)), "second", "seconds")
	case d < time.Hour:
		return Plural(int64(d/time.Minute), "minute", "minutes")
	case d < 48*time.Hour:
		return Plural(int64(d/time.Hour), "hour", "hours")
	default:
		return Plural(int64(d/(24*time.Hour)), "day", "days")
	}
}

// Count is "2,011".
func Count(n int64) string { return thousands(strconv.FormatInt(n, 10)) }

// Plural is "1 line" or "2,011 lines".
func Plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

func thousands(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "−", digits[1:]
	}
	whole, fraction, hasFraction := strings.Cut(digits, ".")
	var out strings.Builder
	for i, r := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(r)
	}
	if hasFraction {
		out.WriteString("." + fraction)
	}
	return sign + out.String()
}

// Amount of money ex VAT.
type Amount struct {
	Value    decimal.Decimal
	Currency string
	// Bare leaves "ex VAT" out, for columns and tiles whose heading says it.
	Bare bool
	// Signed shows a plus too, for differences.
	Signed bool
	// Fine shows up to four places, for the price of one seat.
	Fine bool
	// Per says for what, for example "a month"; may be empty.
	Per string
}

var symbols = map[string]string{"GBP": "£", "EUR": "€", "USD": "$"}

// Text is "£1,204.00".
func (a Amount) Text() string {
	digits := a.Value.Round(2).StringFixed(2)
	if a.Fine && !a.Value.Equal(a.Value.Round(2)) {
		digits = a.Value.Round(4).String()
	}
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "−", digits[1:]
	} else if a.Signed && !a.Value.IsZero() {
		sign = "+"
	}
	if symbol, ok := symbols[a.Currency]; ok {
		return sign + symbol + thousands(digits)
	}
	return sign + strings.TrimSpace(a.Currency+" "+thousands(digits))
}

// Full is "£1,204.00 ex VAT a month", for sentences.
func (a Amount) Full() string {
	return strings.TrimSpace(a.Text() + " ex VAT " + a.Per)
}

// Money shows an amount; nil when it is not known.
func Money(m *moneyv1.Money) any {
	a, ok := Known(m)
	if !ok {
		return nil
	}
	return a
}

// Bare is Money without "ex VAT", for a column whose heading says it.
func Bare(m *moneyv1.Money) any {
	a, ok := Known(m)
	if !ok {
		return nil
	}
	a.Bare = true
	return a
}

// Known reads an amount; false when it is not known.
func Known(m *moneyv1.Money) (Amount, bool) {
	if m == nil || m.GetAmount() == "" {
		return Amount{}, false
	}
	d, err := decimal.NewFromString(m.GetAmount())
	return Amount{Value: d, Currency: m.GetCurrency()}, err == nil
}
