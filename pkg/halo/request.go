package halo

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// get reads one object.
func (c *Client) get(ctx context.Context, route string, id int64, query url.Values, into any) error {
	path := route
	if id != 0 {
		path, route = path+"/"+strconv.FormatInt(id, 10), route+"/{id}"
	}
	body, err := c.do(ctx, call{method: http.MethodGet, route: route, path: path, query: query, again: true})
	if err != nil {
		return err
	}
	if err := decode(body, into); err != nil {
		return &Error{Class: Unavailable, Method: http.MethodGet, Route: route, Message: "the reply is not what Halo is known to send", Err: err}
	}
	return nil
}

// decode reads a document. One that reads itself is asked at once: encoding/json would look for its end first.
func decode(body []byte, into any) error {
	if own, ok := into.(json.Unmarshaler); ok && json.Valid(body) {
		return own.UnmarshalJSON(bytes.TrimSpace(body))
	}
	return json.Unmarshal(body, into)
}

// Reply is what Halo answered to a POST. How it answers one of several rows is not known (one object per row, only the
// last, nothing): learn ids by listing.
type Reply struct {
	posted  int
	Objects []json.RawMessage
	// Astray: an earlier try of this write got no answer and may land yet, after this one and after whatever is written
	// next. A caller that may write something else soon waits, and writes again.
	Astray bool
}

// ID is the id of the row posted, 0 unless exactly one row was posted and one object came back.
func (r Reply) ID() int64 {
	if r.posted != 1 || len(r.Objects) != 1 {
		return 0
	}
	o, err := ParseObject(r.Objects[0])
	if err != nil {
		return 0
	}
	return o.Int("id")
}

// post writes rows in one request. Only rows that all name an id are repeated when no clear answer comes.
func post[T any](ctx context.Context, c *Client, route string, rows []T, hasID func(T) bool) (Reply, error) {
	if len(rows) == 0 {
		return Reply{}, nil
	}
	q := call{method: http.MethodPost, route: route, path: route, write: true, again: true}
	for _, row := range rows {
		q.again = q.again && hasID(row)
	}
	body, err := encode(rows)
	if err != nil {
		return Reply{}, err
	}
	q.body = body
	answer, astray, err := c.attempt(ctx, q)
	if class := ClassOf(err); err != nil && astray && class != Unclear && class != Refused && class != NotFound {
		// However the last try ended, the one before it may land yet.
		return Reply{}, &Error{Class: Unclear, Method: q.method, Route: q.route, Err: err}
	}
	if err != nil {
		return Reply{}, err
	}
	reply := Reply{posted: len(rows), Astray: astray}
	if answer = bytes.TrimSpace(answer); len(answer) == 0 {
		return reply, nil
	}
	if json.Unmarshal(answer, &reply.Objects) != nil {
		reply.Objects = []json.RawMessage{answer}
	}
	for _, text := range warnings(reply.Objects) {
		c.log.WarnContext(ctx, "Halo accepted a write with a warning", "route", route, "warning", text)
	}
	return reply, nil
}
