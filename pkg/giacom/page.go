package giacom

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// feed is one list of the API: where its pages are and what to do with a row.
type feed struct {
	path string
	// begin is called before each attempt at a page, end once it came whole and was no repetition; both may be nil.
	begin, end func()
	// row decodes the next row and hands it on, noting it in the tally. Rows of a page that breaks off are handed on
	// again by the next attempt.
	row func(*json.Decoder, *tally) error
}

// tally counts one page.
type tally struct {
	elements int    // of the data array: what pages are made of, as far as is known
	rows     int    // subscriptions or customers with an id
	noID     int    // rows whose id could not be read
	bad      int    // rows with an id and something else that could not be read
	left     int    // rows left to the report
	first    string // identity of the first row
}

func (t *tally) saw(id string) {
	t.rows++
	if t.first == "" {
		t.first = id
	}
}

// add sums pages; first stays that of the first.
func (t *tally) add(o tally) {
	t.elements += o.elements
	t.rows += o.rows
	t.noID += o.noID
	t.bad += o.bad
	t.left += o.left
}

// page reads page n (from 1) of f, of which before elements came so far. total is -1 if Giacom names none.
func (c *Client) page(ctx context.Context, f feed, n, before int) (t tally, total int64, err error) {
	args := url.Values{}
	if c.cfg.Version == V2 {
		args.Set("offset", strconv.Itoa(before))
		args.Set("limit", strconv.Itoa(c.cfg.PageSize))
	} else {
		args.Set(c.cfg.PageSizeArgument, strconv.Itoa(c.cfg.PageSize))
		if n > 1 { // page 1 is asked for with nothing but what is known to work
			args.Set(c.cfg.PageArgument, strconv.Itoa(n))
		}
	}
	address := c.cfg.BaseURL + "/" + strings.TrimLeft(f.path, "/") + "?" + args.Encode()
	err = c.get(ctx, address, func(h http.Header, body io.Reader) error {
		t = tally{}
		if f.begin != nil {
			f.begin()
		}
		var err error
		total, err = decodePage(body, c.cfg.DataKeys, func(dec *json.Decoder) error {
			t.elements++
			return f.row(dec, &t)
		})
		if err != nil {
			return err
		}
		if count := h.Get("X-Total-Count"); total < 0 && count != "" { // TMF [G]
			if total, err = strconv.ParseInt(count, 10, 64); err != nil {
				total = -1
			}
		}
		return nil
	})
	return t, total, err
}

// totalKeys are the fields that may say how many rows there are in all [G].
var totalKeys = []string{"totalCount", "total", "totalRecords"}

// decodePage reads {"data":[…],"totalCount":n} or a bare array, element by element, so that a page of any length takes
// the memory of one row. An answer without an array of rows is malformed, as is one that breaks off.
func decodePage(body io.Reader, dataKeys []string, row func(*json.Decoder) error) (total int64, err error) {
	total = -1
	dec := json.NewDecoder(body)
	tok, err := dec.Token()
	if err != nil {
		return total, malformed(err, "no JSON")
	}
	found := false
	switch tok {
	case json.Delim('['):
		found = true
		if err := decodeRows(dec, row); err != nil {
			return total, err
		}
	case json.Delim('{'):
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return total, malformed(err, "broken JSON")
			}
			name, _ := key.(string)
			switch {
			case matches(name, dataKeys):
				open, err := dec.Token()
				if err != nil {
					return total, malformed(err, "broken JSON")
				}
				if open != json.Delim('[') {
					return total, malformed(nil, "field "+name+" is not an array")
				}
				found = true
				if err := decodeRows(dec, row); err != nil {
					return total, err
				}
			default:
				var raw json.RawMessage
				if err := dec.Decode(&raw); err != nil {
					return total, malformed(err, "broken JSON")
				}
				if n, ok := readNumber(text(scalar(raw))); matches(name, totalKeys) && ok && n.Valid && !n.Decimal.IsNegative() {
					total = n.Decimal.IntPart()
				}
			}
		}
		if _, err := dec.Token(); err != nil {
			return total, malformed(err, "broken JSON")
		}
	}
	if !found {
		return total, malformed(nil, "no array of rows in it")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return total, malformed(err, "something follows the JSON")
	}
	return total, nil
}

// decodeRows reads the elements after an opened array, and its end.
func decodeRows(dec *json.Decoder, row func(*json.Decoder) error) error {
	for dec.More() {
		if err := row(dec); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return malformed(err, "broken JSON")
	}
	return nil
}

// decode reads one row into v. A value of another type than expected leaves its field empty; only broken JSON is an error.
func decode(dec *json.Decoder, v any) error {
	err := dec.Decode(v)
	var odd *json.UnmarshalTypeError
	if err == nil || errors.As(err, &odd) {
		return nil
	}
	return malformed(err, "broken JSON")
}

// malformed keeps an error of the connection as it is: that the body broke off is not the fault of the JSON.
func malformed(err error, message string) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		message = "the answer broke off"
	}
	return &Error{Class: Malformed, Message: message, Err: err}
}

func matches(name string, any []string) bool {
	return slices.ContainsFunc(any, func(s string) bool { return strings.EqualFold(s, name) })
}
