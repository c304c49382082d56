package giacom

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// text is a field that should be text. Numbers and booleans are kept as they were written; null and objects are empty.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	*t = text(scalar(b))
	return nil
}

func (t text) trim() string { return strings.TrimSpace(string(t)) }

// scalar is a JSON value as text, trimmed; empty for null, objects and arrays.
func scalar(b []byte) string {
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return ""
	}
	switch b[0] {
	case '"':
		if inner := b[1 : len(b)-1]; bytes.IndexByte(inner, '\\') < 0 {
			return strings.TrimSpace(strings.ToValidUTF8(string(inner), "\uFFFD"))
		}
		var s string
		if json.Unmarshal(b, &s) != nil {
			return ""
		}
		// PostgreSQL, for one, has no text with a zero byte: one such row must not fail a whole pull.
		return strings.TrimSpace(strings.ReplaceAll(s, "\x00", "\uFFFD"))
	case 'n', '{', '[':
		return ""
	}
	return string(b)
}

// maxNumber bounds the digits of a number: more is garbage, and exact arithmetic on it would be expensive.
const maxNumber = 40

// readNumber reads a JSON number or a numeric string exactly. Missing, null and blank are not valid, which is not zero;
// ok is false when there is something that is no number.
func readNumber(t text) (n decimal.NullDecimal, ok bool) {
	s := t.trim()
	if s == "" {
		return n, true
	}
	if len(s) > maxNumber {
		return n, false
	}
	d, err := decimal.NewFromString(s)
	if err != nil || d.Exponent() > 18 || d.Exponent() < -maxNumber {
		return n, false
	}
	return decimal.NewNullDecimal(d), true
}

// readBool reads true, "true", "Yes" and 1; everything else is false.
func readBool(t text) bool {
	switch strings.ToLower(t.trim()) {
	case "true", "1", "yes", "y":
		return true
	}
	return false
}

// dateLayouts are tried in turn. Without a zone UTC is assumed; the last is how Giacom's CSV export writes dates [weak F].
var dateLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02", "2006-01-02 15:04:05", "02/01/2006", "02/01/2006 15:04:05"}

// readDate reads a date. Blank, null and the years 1, 1900 and 1901 mean none; ok is false when it is no date.
func readDate(t text) (at time.Time, ok bool) {
	s := t.trim()
	if s == "" {
		return at, true
	}
	for _, layout := range dateLayouts {
		d, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		d = d.UTC()
		if y := d.Year(); y <= 1 || y == 1900 || y == 1901 || y == 1899 {
			return time.Time{}, true
		}
		return d, true
	}
	return at, false
}
