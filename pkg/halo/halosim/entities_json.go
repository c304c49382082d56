package halosim

import (
	"encoding/json"
)

func (o Client) MarshalJSON() ([]byte, error) {
	type plain Client
	if o.CustomFields == nil {
		o.CustomFields = []CustomField{}
	}
	return withExtra(plain(o), o.Extra)
}

func (o *Client) UnmarshalJSON(b []byte) error { return decode(b, o) }

func (o Site) MarshalJSON() ([]byte, error) {
	type plain Site
	return withExtra(plain(o), o.Extra)
}

func (o *Site) UnmarshalJSON(b []byte) error { return decode(b, o) }

func (o Item) MarshalJSON() ([]byte, error) {
	type plain Item
	return withExtra(plain(o), o.Extra)
}

func (o *Item) UnmarshalJSON(b []byte) error { return decode(b, o) }

func (o Licence) MarshalJSON() ([]byte, error) {
	type plain Licence
	return withExtra(plain(o), o.Extra)
}

func (o *Licence) UnmarshalJSON(b []byte) error { return decode(b, o) }

func (o QuantityRow) MarshalJSON() ([]byte, error) {
	type plain QuantityRow
	return withExtra(plain(o), o.Extra)
}

func (o *QuantityRow) UnmarshalJSON(b []byte) error { return decode(b, o) }

func (o ProRataRow) MarshalJSON() ([]byte, error) {
	type plain ProRataRow
	return withExtra(plain(o), o.Extra)
}

func (o *ProRataRow) UnmarshalJSON(b []byte) error { return decode(b, o) }

func (o Line) MarshalJSON() ([]byte, error) {
	type plain Line
	for _, rows := range []*[]QuantityRow{&o.Subscriptions, &o.Licences, &o.Users, &o.Assets} {
		if *rows == nil {
			*rows = []QuantityRow{}
		}
	}
	if o.ProRata == nil {
		o.ProRata = []ProRataRow{}
	}
	return withExtra(plain(o), o.Extra)
}

func (o *Line) UnmarshalJSON(b []byte) error { return decode(b, o) }

func (o Invoice) MarshalJSON() ([]byte, error) {
	type plain Invoice
	lines := o.Lines
	o.Lines = nil
	b, err := withExtra(plain(o), o.Extra)
	return withLines(b, lines), err
}

func (o *Invoice) UnmarshalJSON(b []byte) error { return decode(b, o) }

func (o Link) MarshalJSON() ([]byte, error) {
	type plain Link
	return withExtra(plain(o), o.Extra)
}

func (o *Link) UnmarshalJSON(b []byte) error { return decode(b, o) }

func (o Control) MarshalJSON() ([]byte, error) {
	type plain Control
	for _, links := range []*[]Link{&o.GiacomMappings, &o.IntyMappings} {
		if *links == nil {
			*links = []Link{}
		}
	}
	return withExtra(plain(o), o.Extra)
}

func (o *Control) UnmarshalJSON(b []byte) error { return decode(b, o) }

// withLines adds lines to an object. Marshalling them with it would copy and check each of their bytes three times.
func withLines(b []byte, lines []Line) []byte {
	b = append(b[:len(b)-1], `,"lines":[`...)
	for i, l := range lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, render(l)...)
	}
	return append(b, ']', '}')
}

// render is an object as every route shows it: byte for byte the same in a list and by itself.
func render(o json.Marshaler) []byte {
	b, err := o.MarshalJSON()
	if err != nil {
		panic(err) // a type of this package, whose marshalling cannot fail
	}
	return b
}

// shown is an object as a reply shows it.
func shown(v any) []byte {
	if o, ok := v.(json.Marshaler); ok {
		return render(o)
	}
	return raw(v)
}

// raw is v as JSON; v is a type of this package, whose marshalling cannot fail.
func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
