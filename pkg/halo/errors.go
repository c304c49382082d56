package halo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Class says what a caller can do about an error.
type Class string

const (
	// Unauthorised: the client id or secret was refused by the token server. A person has to correct them.
	Unauthorised Class = "unauthorised"
	// MissingRights: a fresh token was refused: the application's scopes, or the module rights of the agent it logs in
	// as, do not allow this. A person has to grant them.
	MissingRights Class = "missing_rights"
	// NotFound: Halo does not know this id; what we remember is stale.
	NotFound Class = "not_found"
	// Refused: Halo understood and said no; trying the same again cannot help. Rows may say which row was at fault.
	Refused Class = "refused"
	// RateLimited: not sent, or refused unread, because the request budget was spent. Try after RetryAfter.
	RateLimited Class = "rate_limited"
	// Unavailable: Halo, or the shared budget, could not be reached and nothing was written. Try later.
	Unavailable Class = "unavailable"
	// Unclear: a write whose reply did not come. It may have landed, and may still land while a gateway hangs on to it.
	Unclear Class = "unclear"
)

// Error is every error this package returns except a context's own.
type Error struct {
	Class  Class
	Method string
	Route  string // the path with {id} for ids
	Status int    // HTTP status, 0 if there was no reply
	// Message is what Halo said, shortened.
	Message string
	// Rows holds, by position in the posted array, what Halo said of single rows.
	Rows       map[int]string
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "halo %s %s: %s", e.Method, e.Route, explain[e.Class])
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

var explain = map[Class]string{
	Unauthorised:  "client id or secret not accepted; check the Halo application's credentials",
	MissingRights: "not allowed; grant the application the scope, and its agent the module rights, for this",
	NotFound:      "Halo has no such object",
	Refused:       "Halo refused it",
	RateLimited:   "request budget spent",
	Unavailable:   "Halo could not be reached",
	Unclear:       "no reply, the write may have landed",
}

// ClassOf is the class of err, "" if it did not come from this package.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ""
}

// rowKey is how Halo names the offending field of a row: "[0].outcome_id" [L].
var rowKey = regexp.MustCompile(`^\[(\d+)\]`)

// maxMessage bounds what of a reply is kept in an error: an HTML error page helps nobody.
const maxMessage = 600

// parseRefusal reads the bodies a 4xx is known to have: per-field messages keyed "[row].field", an exception object, a
// bare JSON string, or anything else as text [L][C].
func parseRefusal(body []byte) (message string, rows map[int]string) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return "", nil
	}
	if s, ok := unquote(body); ok {
		return shorten(s), nil
	}
	var o Object
	if json.Unmarshal(body, &o) != nil {
		return shorten(string(body)), nil
	}
	var all []string
	for _, f := range o.fields {
		m := rowKey.FindStringSubmatch(f.name)
		if m == nil {
			continue
		}
		row, err := strconv.Atoi(m[1])
		if err != nil {
			continue
		}
		text := strings.Join(texts(f.raw), "; ")
		all = append(all, fmt.Sprintf("row %d: %s", row, text))
		if rows == nil {
			rows = map[int]string{}
		}
		if rows[row] != "" {
			text = rows[row] + "; " + text
		}
		rows[row] = shorten(text)
	}
	if rows != nil {
		return shorten(strings.Join(all, "; ")), rows
	}
	for _, name := range []string{"Message", "message", "errorMessage", "error_description", "error"} {
		if s := o.Text(name); s != "" {
			return shorten(s), nil
		}
	}
	return shorten(string(body)), nil
}

// texts reads a message that is one string or a list of them.
func texts(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	if s, ok := unquote(raw); ok {
		return []string{s}
	}
	return []string{string(raw)}
}

func shorten(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

// warnings collects the _warning texts that Halo puts into objects it accepted.
func warnings(objects []json.RawMessage) []string {
	var found []string
	for _, raw := range objects {
		var row struct {
			Warning Text `json:"_warning"`
		}
		if !bytes.Contains(raw, []byte(`_warning`)) {
			continue // a reply is as long as what was posted
		}
		if json.Unmarshal(raw, &row) == nil && row.Warning.Value != "" && !slices.Contains(found, row.Warning.Value) {
			found = append(found, shorten(row.Warning.Value))
		}
	}
	return found
}
