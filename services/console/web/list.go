package web

import (
	"net/url"
	"strconv"
	"strings"

	"seatline.dev/services/console/web/ui"
)

// listing reads a list's search, filters, order and page from the address, and makes the addresses of
// other pages and orders of it. With it a table sorts, narrows and pages without anything being kept.
type listing struct {
	path   string
	values url.Values
	// names of the parameters that narrow: they stay when the order changes, and go with Clear.
	names []string
	terms []string
}

// pageSize of lists; a screenful is less, but searching in the browser finds more on a long page.
const pageSize = 50

// listing of the page at hand.
func (v *visit) listing() *listing {
	return &listing{path: v.r.URL.Path, values: v.r.URL.Query()}
}

// value of a parameter that narrows.
func (l *listing) value(name string) string {
	l.names = append(l.names, name)
	return strings.TrimSpace(l.values.Get(name))
}

// search makes a field for words to look for, and a term of the AIP-160 filter: each word must occur.
func (l *listing) search(label, placeholder string) ui.Field {
	words := l.value("q")
	for word := range strings.FieldsSeq(words) {
		l.terms = append(l.terms, quote(word))
	}
	return ui.Field{Name: "q", Label: label, Kind: "search", Value: words, Placeholder: placeholder, ID: "q"}
}

// choice makes a field to choose from, and a term "field = value" unless the first option is chosen,
// which should be the one for all and have the value "".
func (l *listing) choice(name, label, field string, pairs ...string) ui.Field {
	value := l.value(name)
	if value != "" && field != "" {
		l.terms = append(l.terms, field+" = "+quote(value))
	}
	return ui.Field{Name: name, Label: label, Kind: "select", Options: ui.Options(value, pairs...), Auto: true}
}

// and adds a term of one's own.
func (l *listing) and(term string) { l.terms = append(l.terms, term) }

// filter in AIP-160.
func (l *listing) filter() string {
	if len(l.terms) == 1 {
		return l.terms[0]
	}
	var parts []string
	for _, t := range l.terms {
		parts = append(parts, "("+t+")")
	}
	return strings.Join(parts, " AND ")
}

// token of the page asked for, and order in the syntax of order_by.
func (l *listing) token() string { return l.values.Get("page") }
func (l *listing) order() string { return l.values.Get("order") }

// fields of the form above the table.
func (l *listing) form(fields ...ui.Field) ui.Filter {
	f := ui.Filter{Action: l.path, Fields: fields}
	for _, name := range l.names {
		if l.values.Get(name) != "" {
			f.Clear = l.with("")
		}
	}
	if order := l.order(); order != "" {
		f.Fields = append(f.Fields, ui.Field{Name: "order", Kind: "hidden", Value: order})
	}
	return f
}

// narrowed tells whether anything narrows the list: what is empty then is not empty for good.
func (l *listing) narrowed() bool {
	for _, name := range l.names {
		if l.values.Get(name) != "" {
			return true
		}
	}
	return false
}

// sorted is a column that the list can be ordered by; field is its name in order_by.
func (l *listing) sorted(c ui.Column, field string) ui.Column {
	next := field
	switch l.order() {
	case field:
		c.Sorted, next = "ascending", field+" desc"
	case field + " desc":
		c.Sorted = "descending"
	}
	kept := l.kept()
	kept.Set("order", next)
	c.Sort = l.path + "?" + kept.Encode()
	return c
}

// pager for a page of so many rows.
func (l *listing) pager(next string, rows int) ui.Pager {
	p := ui.Pager{}
	if next != "" {
		p.Next = l.with(next)
	}
	if l.token() != "" {
		p.First = l.with("")
		if kept := l.kept(); len(kept) > 0 {
			p.First = l.path + "?" + kept.Encode()
		}
	}
	if p.Next != "" || p.First != "" {
		p.Note = ui.Plural(int64(rows), "row", "rows") + " on this page"
	}
	return p
}

// kept is what stays from page to page.
func (l *listing) kept() url.Values {
	out := url.Values{}
	for name, values := range l.values {
		if name != "page" && len(values) > 0 && values[0] != "" {
			out[name] = values[:1]
		}
	}
	return out
}

// with is the address of another page; "" of the list without anything that narrows it.
func (l *listing) with(token string) string {
	if token == "" {
		return l.path
	}
	kept := l.kept()
	kept.Set("page", token)
	return l.path + "?" + kept.Encode()
}

// quote makes any text a value of AIP-160.
func quote(s string) string { return strconv.Quote(s) }
