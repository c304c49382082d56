package halo

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// dateLayout is how Halo writes a moment: UTC, without saying so.
const dateLayout = "2006-01-02T15:04:05"

// noDate is what is written for "no date". Halo's own default for an empty date lies in 1900 [S]; 1901-01-01 is what a
// public client writes and Halo accepts [C].
const noDate = "1901-01-01T00:00:00"

// Date is a moment as Halo stores it. The zero Date means none; 0001, 1900 and 1901 read as none.
type Date struct{ time.Time }

// NewDate is t in UTC, cut to the second that Halo keeps.
func NewDate(t time.Time) Date {
	if t.IsZero() {
		return Date{}
	}
	return Date{t.UTC().Truncate(time.Second)}
}

// ParseDate reads the forms seen in Halo's replies, with and without a zone, fraction or time of day.
func ParseDate(s string) (Date, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return Date{}, nil
	}
	// What time reads fastest is RFC 3339, and the usual form is that but for the zone.
	t, err := time.Parse(time.RFC3339, s+"Z")
	for _, layout := range []string{time.RFC3339, "2006-01-02", "2006-01-02 15:04:05"} {
		if err != nil {
			t, err = time.Parse(layout, s)
		}
	}
	switch {
	case err != nil:
		return Date{}, fmt.Errorf("%q is not a date in any form Halo is known to write", s)
	case t.Year() <= 1 || t.Year() == 1900 || t.Year() == 1901:
		return Date{}, nil
	default:
		return Date{t.UTC()}, nil
	}
}

func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.UTC().Format(dateLayout)
}

func (d Date) MarshalJSON() ([]byte, error) {
	if d.IsZero() {
		return []byte(`"` + noDate + `"`), nil
	}
	return []byte(`"` + d.String() + `"`), nil
}

func (d *Date) UnmarshalJSON(b []byte) error {
	s, ok := unquote(b)
	if !ok {
		return fmt.Errorf("%s is not a date", b)
	}
	v, err := ParseDate(s)
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// Money is an exact amount ex VAT. Halo sends numbers; a numeric string is read too; null and "" are 0.
type Money struct{ decimal.Decimal }

func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.Decimal.String()), nil }

func (m *Money) UnmarshalJSON(b []byte) error {
	d, err := number(b)
	if err != nil {
		return err
	}
	m.Decimal = d
	return nil
}

// Int is a whole number that Halo may send as 12, 12.0, "12" or null; it is written as 12, the only form Halo takes [L].
type Int int64

func (i *Int) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil { // as nearly all are
		*i = Int(n)
		return nil
	}
	d, err := number(b)
	if err != nil {
		return err
	}
	if !d.IsInteger() || !d.BigInt().IsInt64() {
		return fmt.Errorf("%s is not a whole number", b)
	}
	*i = Int(d.IntPart())
	return nil
}

// Text is a string of which it matters whether Halo sent the field at all: a list row without snowid says nothing about
// the licence's mark.
type Text struct {
	Value   string
	Present bool
}

func (t *Text) UnmarshalJSON(b []byte) error {
	s, ok := unquote(b)
	if !ok { // a number where text was expected is still what the operator typed
		s = string(b)
	}
	*t = Text{Value: s, Present: true}
	return nil
}

func (t Text) MarshalJSON() ([]byte, error) { return encode(t.Value) }

// IsZero lets omitzero leave out a Text that was never set.
func (t Text) IsZero() bool { return !t.Present }

func number(b []byte) (decimal.Decimal, error) {
	s, ok := unquote(b)
	if !ok {
		s = string(bytes.TrimSpace(b))
	}
	s = strings.TrimSpace(s)
	if s == "" {
		return decimal.Zero, nil
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return decimal.Zero, fmt.Errorf("%q is not a number", s)
	}
	return d, nil
}
