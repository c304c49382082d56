package giacom

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Class says what a caller can do about an error.
type Class string

const (
	// Misconfigured: nothing was sent; the settings cannot work. Message says what to change.
	Misconfigured Class = "misconfigured"
	// KeyRejected: 401, the key is missing, wrong, or its gateway subscription is not active. A person must renew it.
	KeyRejected Class = "key_rejected"
	// KeyLacksProduct: 403, the key is good but does not cover this API product.
	KeyLacksProduct Class = "key_lacks_product"
	// QuotaSpent: 403, the key's call volume is used up. RetryAfter says when it is renewed, 0 if Giacom did not say.
	QuotaSpent Class = "quota_spent"
	// NotFound: 404, the address or a path is wrong.
	NotFound Class = "not_found"
	// RateLimited: 429 after all tries, or with a wait too long to sit out. Try after RetryAfter.
	RateLimited Class = "rate_limited"
	// Refused: another 4xx, or a redirect; trying the same again cannot help.
	Refused Class = "refused"
	// Unavailable: 5xx, cut connection or silence, after all tries.
	Unavailable Class = "unavailable"
	// Malformed: 2xx with a body that is not the expected JSON, after all tries.
	Malformed Class = "malformed"
)

// Error is every error of this package, except a context's own and those of the caller's callbacks.
type Error struct {
	Class  Class
	URL    string // without query; the key is never part of it
	Status int    // HTTP status, 0 if there was no reply
	// Message is what Giacom said, shortened, or what we found wrong.
	Message    string
	RetryAfter time.Duration
	Err        error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("giacom")
	if e.URL != "" {
		b.WriteString(" " + e.URL)
	}
	if x, ok := explain[e.Class]; ok {
		b.WriteString(": " + x.what + "; " + x.next)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "; possible again in %s", e.RetryAfter)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// What went wrong, without what to do about it, for those who say that themselves. The address comes last, and only where
// it may be what is wrong.
func (e *Error) What() string {
	text := e.Message
	if x, ok := explain[e.Class]; ok {
		text = x.what
		if e.Status != 0 {
			text += fmt.Sprintf(" (HTTP %d)", e.Status)
		}
		if e.Message != "" {
			text += ": " + e.Message
		}
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf("; possible again in %s", e.RetryAfter)
	}
	if e.Err != nil {
		text += fmt.Sprintf(": %v", e.Err)
	}
	switch e.Class {
	case KeyRejected, KeyLacksProduct, QuotaSpent, RateLimited:
		return text
	}
	if e.URL != "" {
		text = strings.TrimRight(text, ". ") + ". Asked was " + e.URL
	}
	return text
}

// explain says what each class is, and what to do about it.
var explain = map[Class]struct{ what, next string }{
	KeyRejected:     {"key not accepted", "make a new one in the Giacom portal under Settings > API and enter it in the connection"},
	KeyLacksProduct: {"the key does not cover this API", "ask Giacom to add it to the key's subscription, or enter another key"},
	QuotaSpent:      {"the key's call quota is used up", "the next run after its renewal goes on"},
	NotFound:        {"no such address", "check base URL and path in the connection"},
	RateLimited:     {"too many requests", "the next run tries again"},
	Refused:         {"Giacom refused the request", "check version, paths and paging arguments in the connection"},
	Unavailable:     {"Giacom did not answer properly", "the next run tries again"},
	Malformed:       {"the answer is not the JSON expected", "check base URL, version and method in the connection"},
}

// ClassOf is the class of err, "" if it is not one of this package's errors.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return ""
}

// retryable says whether the same request may do better in a moment.
func (e *Error) retryable() bool {
	switch e.Class {
	case RateLimited, Unavailable, Malformed:
		return true
	}
	return false
}

// fromResponse reads an answer that is not 2xx. A 403 is not always a bad key: the gateway also sends it for a spent
// quota [F], so its message decides.
func fromResponse(url string, resp *http.Response, body []byte, now time.Time) *Error {
	e := &Error{URL: url, Status: resp.StatusCode, Message: gatewayMessage(body)}
	e.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized:
		e.Class = KeyRejected
	case code == http.StatusForbidden && strings.Contains(strings.ToLower(e.Message), "quota"):
		e.Class = QuotaSpent
		if e.RetryAfter == 0 {
			e.RetryAfter = replenished(e.Message)
		}
	case code == http.StatusForbidden:
		e.Class = KeyLacksProduct
	case code == http.StatusNotFound:
		e.Class = NotFound
	case code == http.StatusTooManyRequests:
		e.Class = RateLimited
	case code == http.StatusRequestTimeout || code >= 500:
		e.Class = Unavailable
	default:
		e.Class = Refused
	}
	return e
}

// gatewayMessage is the message of {"statusCode":…,"message":…} [F], of a TMF error [G], or the start of anything else.
func gatewayMessage(body []byte) string {
	var m struct{ Message, Reason, Error string }
	text := string(body)
	if json.Unmarshal(body, &m) == nil {
		for _, s := range []string{m.Message, m.Reason, m.Error} {
			if s != "" {
				text = s
				break
			}
		}
	}
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "")
	if r := []rune(text); len(r) > 300 {
		text = string(r[:300]) + "…"
	}
	return text
}

// retryAfter reads the header's two forms, seconds and a date.
func retryAfter(header string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(header)); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(header); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}

var replenishedIn = regexp.MustCompile(`replenished in (?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})|replenished in (\d+(?:\.\d+)?) days`)

// replenished reads "Quota will be replenished in 12:30:00" and the older "2.12 days" [F]; 0 when there is neither.
func replenished(message string) time.Duration {
	m := replenishedIn.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	if m[5] != "" {
		days, _ := strconv.ParseFloat(m[5], 64)
		return time.Duration(days * float64(24*time.Hour)).Round(time.Minute)
	}
	var d time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi(m[i+1])
		d += time.Duration(n) * unit
	}
	return d
}
