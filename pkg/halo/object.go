package halo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Object is a JSON object of which only some fields are understood. Fields keep their order and their exact text, so
// that reading an object, changing one field and writing it back changes that field only: 10.50 stays 10.50 and a field
// that a newer Halo added survives.
type Object struct {
	fields []field
}

type field struct {
	name string
	raw  json.RawMessage
}

// ParseObject reads one JSON object.
func ParseObject(b []byte) (Object, error) {
	var o Object
	err := json.Unmarshal(b, &o)
	return o, err
}

// UnmarshalJSON reads the text of an object, which must be valid JSON.
func (o *Object) UnmarshalJSON(b []byte) (err error) {
	*o, err = objectOf(bytes.Clone(b))
	return err
}

// MarshalJSON writes the fields in the order read, each with its exact text. Encode it with HTML escaping off (as this
// client does): encoding/json would otherwise rewrite & in the fields it was given.
func (o Object) MarshalJSON() ([]byte, error) { return o.appendTo(nil) }

func (o Object) appendTo(b []byte) ([]byte, error) {
	size := 2
	for _, f := range o.fields {
		size += len(f.name) + len(f.raw) + 4
	}
	b = append(slices.Grow(b, size), '{')
	for i, f := range o.fields {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := quoted(f.name)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), f.raw...)
	}
	return append(b, '}'), nil
}

// Raw is the exact text of a field, nil if the object has none of that name.
func (o Object) Raw(name string) json.RawMessage {
	for _, f := range slices.Backward(o.fields) { // as encoding/json does, the last of a repeated name counts
		if f.name == name {
			return f.raw
		}
	}
	return nil
}

// Has says whether the field was sent with a value other than null.
func (o Object) Has(name string) bool {
	raw := o.Raw(name)
	return raw != nil && !bytes.Equal(raw, []byte("null"))
}

// Set replaces the field in place, or appends it.
func (o *Object) Set(name string, value any) error {
	raw, err := encode(value)
	if err != nil {
		return fmt.Errorf("field %s: %w", name, err)
	}
	o.set(name, raw)
	return nil
}

func (o *Object) set(name string, raw json.RawMessage) {
	o.fields = slices.Clone(o.fields) // copies of an Object share their fields until one is written
	for i := range slices.Backward(o.fields) {
		if o.fields[i].name == name {
			o.fields[i].raw = raw
			return
		}
	}
	o.fields = append(o.fields, field{name, raw})
}

// Int, Money, Text, Bool and Date read a field leniently; a missing, null or unreadable one is the zero value.
func (o Object) Int(name string) int64 {
	var v Int
	o.read(name, &v)
	return int64(v)
}

func (o Object) Money(name string) Money {
	var v Money
	o.read(name, &v)
	return v
}

func (o Object) Text(name string) string {
	var v Text
	o.read(name, &v)
	return v.Value
}

func (o Object) Bool(name string) bool { return string(o.Raw(name)) == "true" }

func (o Object) Date(name string) Date {
	var v Date
	o.read(name, &v)
	return v
}

func (o Object) read(name string, into any) {
	if !o.Has(name) {
		return
	}
	// An unreadable value reads as zero: the caller compares and reports, and the text itself is kept.
	if u, ok := into.(json.Unmarshaler); ok {
		_ = u.UnmarshalJSON(o.Raw(name)) // which is valid JSON, as all of the object is
		return
	}
	_ = json.Unmarshal(o.Raw(name), into)
}

// encode is json.Marshal without HTML escaping, which would rewrite text that is not ours.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// unquote gives the text of a JSON string; null counts as "".
func unquote(b []byte) (string, bool) {
	b = bytes.TrimSpace(b)
	if bytes.Equal(b, []byte("null")) {
		return "", true
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return "", false
	}
	if inner := b[1 : len(b)-1]; !bytes.ContainsAny(inner, "\\\"") && utf8.Valid(inner) {
		return string(inner), true // as nearly all are
	}
	var s string
	if json.Unmarshal(b, &s) != nil {
		return "", false
	}
	return s, true
}

// quoted is the JSON of a name.
func quoted(name string) ([]byte, error) {
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return encode(name)
		}
	}
	return append(append([]byte{'"'}, name...), '"'), nil
}
