package halo

import (
	"bytes"
	"context"
	"net/url"
	"slices"
	"strconv"
)

// Answer is what a probe found out; Unknown means that the instance held nothing to tell by.
type Answer int8

const (
	Unknown Answer = iota
	Yes
	No
)

// Capabilities are three things about an instance that nobody has proven of Halo in general. Whoever probes remembers
// them per instance. The zero value is safe: every caller has a way without them.
type Capabilities struct {
	// ListMarks: list rows of licences carry snowid. Without it a created licence is found by reading the rows of its
	// client one by one.
	ListMarks Answer `json:"list_marks"`
	// WholeInvoices: includelines lists recurring invoices with the same lines as reading each. Without it each is read.
	WholeInvoices Answer `json:"whole_invoices"`
	// PageSize that the server honours, 0 if it was never seen to cap one.
	PageSize int `json:"page_size"`
}

func (c Capabilities) pageSize() int {
	if c.PageSize > 0 {
		return c.PageSize
	}
	return pageSize
}

// Probe finds out what is still unknown of an instance, in at most four requests, and changes nothing there.
func (c *Client) Probe(ctx context.Context, known Capabilities) (Capabilities, error) {
	if known.ListMarks == Unknown || known.PageSize == 0 {
		p, err := c.firstPage(ctx, "/SoftwareLicence", "licences", url.Values{"includeinactive": {"true"}}, pageSize)
		if err != nil {
			return known, err
		}
		if n := len(p.rows); n > 0 && n < pageSize && p.count > n {
			known.PageSize = n
		}
		if known.ListMarks, err = c.probeMarks(ctx, p); err != nil {
			return known, err
		}
	}
	if known.WholeInvoices == Unknown {
		p, err := c.firstPage(ctx, "/RecurringInvoice", "invoices", url.Values{"includelines": {"true"}}, 10)
		if err != nil {
			return known, err
		}
		if known.WholeInvoices, err = c.probeLines(ctx, p); err != nil {
			return known, err
		}
	}
	return known, nil
}

func (c *Client) firstPage(ctx context.Context, route, key string, q url.Values, size int) (page, error) {
	q.Set("pageinate", "true")
	q.Set("page_no", "1")
	q.Set("page_size", strconv.Itoa(size))
	body, err := c.do(ctx, call{method: "GET", route: route, path: route, query: q, again: true})
	if err != nil {
		return page{}, err
	}
	p, err := parsePage(body, key)
	if err != nil {
		return page{}, &Error{Class: Unavailable, Method: "GET", Route: route, Message: "the list is not in a form Halo is known to send", Err: err}
	}
	return p, nil
}

// probeMarks: a row with a mark proves it; a row without one whose licence has one disproves it.
func (c *Client) probeMarks(ctx context.Context, p page) (Answer, error) {
	var first int64
	for _, raw := range p.rows {
		o, err := ParseObject(raw)
		if err != nil {
			continue
		}
		if o.Text("snowid") != "" {
			return Yes, nil
		}
		if first == 0 {
			first = o.Int("id")
		}
	}
	if first == 0 {
		return Unknown, nil
	}
	one, err := c.Licence(ctx, first)
	if err != nil {
		return Unknown, err
	}
	if one.Mark.Value != "" {
		return No, nil
	}
	return Unknown, nil
}

// probeLines compares a listed invoice with the same invoice read by itself.
func (c *Client) probeLines(ctx context.Context, p page) (Answer, error) {
	if len(p.rows) == 0 {
		return Unknown, nil
	}
	var listed Invoice
	for _, raw := range p.rows { // one with lines tells more than one without
		var i Invoice
		if err := i.UnmarshalJSON(raw); err != nil {
			return No, nil // lines in another form than those of a single invoice
		}
		if listed.ID() == 0 || len(i.Lines) > len(listed.Lines) {
			listed = i
		}
	}
	single, err := c.Invoice(ctx, listed.ID())
	if err != nil {
		return Unknown, err
	}
	if len(single.Lines) == 0 {
		return Unknown, nil
	}
	if !listed.Whole || !slices.EqualFunc(listed.Lines, single.Lines, sameLine) {
		return No, nil
	}
	return Yes, nil
}

func sameLine(a, b Line) bool {
	x, errX := a.MarshalJSON()
	y, errY := b.MarshalJSON()
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
