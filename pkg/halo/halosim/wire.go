package halosim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
)

// Extra are the fields of an object that the simulator does not know: kept as sent, returned as sent.
type Extra map[string]json.RawMessage

// Date is a moment in UTC, written without a zone. The zero Date is "none", which Halo writes as 1900-01-01 [S].
type Date struct{ time.Time }

// On is the Date of t.
func On(t time.Time) Date { return Date{t.UTC().Truncate(time.Second)} }

func (d Date) Equal(o Date) bool { return d.Time.Equal(o.Time) }

func (d Date) MarshalJSON() ([]byte, error) {
	if d.IsZero() {
		return []byte(`"1900-01-01T00:00:00"`), nil
	}
	return d.UTC().AppendFormat(nil, `"2006-01-02T15:04:05"`), nil
}

func (d *Date) UnmarshalJSON(b []byte) error {
	var s string
	if err := read(b, &s); err != nil {
		return err
	}
	for _, layout := range []string{"2006-01-02T15:04:05", time.RFC3339, "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			if *d = On(t); t.Year() <= 1901 && (t.Year() <= 1 || t.Year() >= 1900) {
				*d = Date{}
			}
			return nil
		}
	}
	return fmt.Errorf("%q is not a date", s)
}

// Money is an exact amount ex VAT, a number on the wire.
type Money struct{ decimal.Decimal }

// Pounds reads an amount such as "16.60"; it panics on anything else, being for constants.
func Pounds(s string) Money { return Money{decimal.RequireFromString(s)} }

func (m Money) Equal(o Money) bool           { return m.Decimal.Equal(o.Decimal) }
func (m Money) MarshalJSON() ([]byte, error) { return []byte(m.Decimal.String()), nil }

func (m *Money) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return fmt.Errorf("%s is not a number", b) // a double is strict, too
	}
	return m.Decimal.UnmarshalJSON(b)
}

// shape says where a type keeps which JSON field.
type shape struct {
	fields map[string]int
	extra  int
}

var shapes sync.Map // reflect.Type to *shape; what a type looks like never changes

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := &shape{fields: map[string]int{}, extra: -1}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		switch {
		case t.Field(i).Type == reflect.TypeFor[Extra]():
			s.extra = i
		case name != "-":
			s.fields[name] = i
		}
	}
	shapes.Store(t, s)
	return s
}

// refusals are per-field messages, in the shape Halo gives them: "[0].count" to a list of texts [L].
type refusals map[string][]string

// merge sets the fields of *dst that an object names; null sets the zero value. Unknown fields go to Extra. readOnly are
// silently ignored, as Halo ignores them.
func merge(dst any, object map[string]json.RawMessage, path string, readOnly ...string) refusals {
	v := reflect.ValueOf(dst).Elem()
	s := shapeOf(v.Type())
	var bad refusals
	for name, raw := range object {
		if slices.Contains(readOnly, name) {
			continue
		}
		i, known := s.fields[name]
		if !known {
			if s.extra >= 0 {
				f := v.Field(s.extra)
				extra := make(Extra, f.Len()+1) // never write to a map that a copy may share
				for k, old := range f.Interface().(Extra) {
					extra[k] = old
				}
				extra[name] = bytes.Clone(raw)
				f.Set(reflect.ValueOf(extra))
			}
			continue
		}
		f := v.Field(i)
		if string(raw) == "null" {
			f.SetZero()
			continue
		}
		fresh := reflect.New(f.Type())
		if err := read(raw, fresh.Interface()); err != nil {
			if bad == nil {
				bad = refusals{}
			}
			at := path + "." + name
			bad[at] = []string{fmt.Sprintf("Could not convert %s to %s: %s. Path '%s', line 1, position %d.",
				kindOf(raw), wanted(f.Type()), strings.Trim(string(raw), `"`), at, len(at)+len(raw))}
			continue
		}
		if f.Kind() == reflect.Slice && fresh.Elem().Len() == 0 {
			f.SetZero() // so that states compare
			continue
		}
		f.Set(fresh.Elem())
	}
	return bad
}

// read is json.Unmarshal for a value that is known to be well formed; what a licence consists of is read without its help,
// which takes several times as long.
func read(raw []byte, into any) error {
	switch p := into.(type) {
	case *int64:
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			*p = n
			return nil
		}
	case *string:
		if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
			*p = string(raw[1 : n-1])
			return nil
		}
	case json.Unmarshaler:
		return p.UnmarshalJSON(raw)
	}
	return json.Unmarshal(raw, into)
}

func kindOf(raw []byte) string {
	switch raw[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	}
	return "number"
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Slice:
		return "array"
	}
	if t == reflect.TypeFor[Date]() {
		return "DateTime"
	}
	return "double"
}

// withExtra writes v, a struct without marshalling methods, and then the fields that are not ours in the order of their names.
func withExtra(v any, extra Extra) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil || len(extra) == 0 {
		return b, err
	}
	names := make([]string, 0, len(extra))
	for name := range extra {
		names = append(names, name)
	}
	slices.Sort(names)
	b = b[:len(b)-1]
	for _, name := range names {
		key, _ := json.Marshal(name)
		b = append(append(append(append(b, ','), key...), ':'), extra[name]...)
	}
	return append(b, '}'), nil
}

// decode reads an object into a struct with Extra.
func decode(b []byte, dst any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(b, &object); err != nil {
		return err
	}
	for name, texts := range merge(dst, object, "") {
		return fmt.Errorf("%s: %s", name, texts[0])
	}
	return nil
}
