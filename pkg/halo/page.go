package halo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
)

// pageSize is what is asked for; public clients use 999 and 1,000 [C]. A server that caps it is met by going on with
// the size it gave.
const pageSize = 1000

// invoicePage is the page size of invoices with their lines, which are large.
const invoicePage = 100

// rows lists a route to its end, page by page. It ends with an error if Halo stops short of the count it announced:
// what a list does not show must never be taken for absent by mistake.
func rows[T any](ctx context.Context, c *Client, route, key string, query url.Values, size int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		query := maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		query.Set("pageinate", "true")
		seen, last := 0, []byte(nil)
		for no := 1; ; no++ {
			query.Set("page_no", strconv.Itoa(no))
			query.Set("page_size", strconv.Itoa(size))
			body, err := c.do(ctx, call{method: http.MethodGet, route: route, path: route, query: query, again: true})
			if err != nil {
				yield(zero, err)
				return
			}
			p, err := parsePage(body, key)
			if err != nil {
				yield(zero, &Error{Class: Unavailable, Method: http.MethodGet, Route: route, Message: "the list is not in a form Halo is known to send", Err: err})
				return
			}
			repeated := no > 1 && len(p.rows) > 0 && bytes.Equal(p.raw, last)
			last = p.raw
			if !repeated {
				for _, raw := range p.rows {
					var row T
					if err := unmarshal(raw, &row); err != nil {
						yield(zero, &Error{Class: Unavailable, Method: http.MethodGet, Route: route, Message: "a row of the list cannot be read", Err: err})
						return
					}
					if !yield(row, nil) {
						return
					}
				}
				seen += len(p.rows)
			}
			end, err := p.last(seen, size, repeated)
			if err != nil {
				yield(zero, &Error{Class: Unavailable, Method: http.MethodGet, Route: route, Err: err})
				return
			}
			if end {
				return
			}
			if no == 1 && len(p.rows) < size {
				size = len(p.rows) // the server caps the page; whatever it counts pages by, this size is the right one
			}
		}
	}
}

// page is one page of a list.
type page struct {
	rows  []json.RawMessage
	raw   []byte
	count int // as announced, -1 if it was not
}

// unmarshal is json.Unmarshal for what is known to be well formed: a type that reads itself is not searched for its end,
// which takes longer than reading it.
func unmarshal(raw []byte, into any) error {
	if u, ok := into.(json.Unmarshaler); ok {
		return u.UnmarshalJSON(raw)
	}
	return json.Unmarshal(raw, into)
}

// parsePage reads the envelope, whose key for the rows differs by route and is not known for all; some routes answer a
// bare array.
func parsePage(body []byte, key string) (page, error) {
	p := page{count: -1}
	if body = bytes.TrimSpace(body); len(body) > 0 && body[0] == '[' {
		p.raw = body
		return p, json.Unmarshal(body, &p.rows)
	}
	o, err := ParseObject(body)
	if err != nil {
		return p, err
	}
	if o.Has("record_count") {
		p.count = int(o.Int("record_count"))
	}
	p.raw = o.Raw(key)
	if p.raw == nil {
		for _, f := range o.fields {
			if f.name != "columns" && len(f.raw) > 0 && f.raw[0] == '[' {
				p.raw = f.raw
				break
			}
		}
	}
	if p.raw == nil || string(p.raw) == "null" {
		if p.count > 0 {
			return p, fmt.Errorf("%d records announced, but no list of them in the reply", p.count)
		}
		return p, nil
	}
	return p, json.Unmarshal(p.raw, &p.rows)
}

// last decides whether the list ends with this page. A short page alone does not end it: the server may cap the size.
func (p page) last(seen, size int, repeated bool) (bool, error) {
	switch {
	case p.count >= 0 && seen >= p.count:
		return true, nil
	case p.count >= 0 && (len(p.rows) == 0 || repeated):
		return true, fmt.Errorf("the list stopped at %d of %d rows", seen, p.count)
	case p.count < 0 && (len(p.rows) < size || repeated):
		return true, nil
	}
	return false, nil
}
