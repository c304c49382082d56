package halosim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults are all faults by name, with what each does.
var Faults = map[string]string{
	"unauthorised":          "401 with an empty body",
	"forbidden":             "403 with an empty body",
	"not_found":             "404",
	"bad_request_field":     "400 keyed by row and field",
	"bad_request_exception": "400 with a .NET exception",
	"bad_request_database":  "400 with a .NET exception about a database error",
	"bad_request_string":    "400 with a bare JSON string",
	"bad_request_message":   "400 with {message}",
	"throttle":              "429 with Retry-After if RetryAfter (seconds) is set",
	"error_500":             "500",
	"error_502":             "502 with an HTML body",
	"error_503":             "503",
	"error_504":             "504 with an HTML body; nothing was written",
	"slow":                  "waits Delay, then answers",
	"hang":                  "says nothing until the client goes; nothing is written",
	"reset":                 "cuts the connection before anything is done",
	"cut_after":             "cuts the connection after the write took effect",
	"error_after":           "500 after the write took effect",
	"late":                  "hangs until the client goes; the write lands after Delay",
	"late_504":              "504 at once; the write lands after Delay",
	"partial":               "400 after the rows before the bad one were written; the bad one is the row that Match names, else the middle one",
	"bad_row":               "400, nothing written, whenever a row that Match names is posted",
	"token_expired":         "all tokens given so far end now",
	"stale":                 "400, as if change_seq were behind",
	"warning":               "every object written comes back with a _warning",
	"empty_reply":           "201 with an empty body after the write",
	"lost_lines":            "the write of an invoice loses its last line",
	"ignored_write":         "201 with the objects as posted, but nothing is written",
	"wrong_count":           "a list announces one more record than it has",
	"repeated_page":         "a list ignores page_no",
}

// Fault is one fault that is switched on.
type Fault struct {
	Name string `json:"name"`
	// Method and Route it strikes, such as POST and /SoftwareLicence or /RecurringInvoice/{id}; all when empty. The token
	// route is struck only when named: /auth/token.
	Method string `json:"method,omitempty"`
	Route  string `json:"route,omitempty"`
	// Rate strikes that share of the requests, chosen by Config.Seed; 0 means every one.
	Rate float64 `json:"rate,omitempty"`
	// Nth strikes only the N-th request from now on that Method and Route fit.
	Nth int `json:"nth,omitempty"`
	// Skip lets that many pass first; Times ends it after so many strikes, 0 means until cleared.
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`
	// Delay of "slow" and of the late writes, on the simulator's clock.
	Delay time.Duration `json:"delay,omitempty"`
	// RetryAfter in seconds; 0 sends no header.
	RetryAfter int `json:"retryAfter,omitempty"`
	// Match names a row: its id, or a part of its name or snowid.
	Match string `json:"match,omitempty"`
}

type fault struct {
	Fault
	seen, struck int
}

// Inject switches a fault on, beside those that are on.
func (s *Sim) Inject(f Fault) error {
	if Faults[f.Name] == "" {
		return fmt.Errorf("no fault is called %q", f.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &fault{Fault: f})
	return nil
}

// Clear switches off the fault of that name, or all when it is empty.
func (s *Sim) Clear(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = slices.DeleteFunc(s.faults, func(f *fault) bool { return name == "" || f.Name == name })
}

// On lists the faults that are switched on, with how often each struck.
func (s *Sim) On() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	on := map[string]int{}
	for _, f := range s.faults {
		on[f.Name] += f.struck
	}
	return on
}

type struck []Fault

// strike decides which faults strike a request. The caller holds the lock.
func (s *Sim) strike(method, route string) struck {
	var now struck
	for _, f := range s.faults {
		if f.Method != "" && f.Method != method || f.Route != "" && !strings.EqualFold(f.Route, route) || f.Route == "" && route == tokenRoute {
			continue
		}
		f.seen++
		switch {
		case f.Nth > 0 && f.seen != f.Nth, f.seen <= f.Skip, f.Times > 0 && f.struck >= f.Times:
			continue
		case f.Rate > 0 && s.random.Float64() >= f.Rate:
			continue
		}
		f.struck++
		now = append(now, f.Fault)
	}
	return now
}

func (f struck) find(name string) (Fault, bool) {
	i := slices.IndexFunc(f, func(one Fault) bool { return one.Name == name })
	if i < 0 {
		return Fault{}, false
	}
	return f[i], true
}

func (f struck) has(name string) bool { _, ok := f.find(name); return ok }

// before does what happens before Halo does anything, and says whether that was the answer.
func (f struck) before(s *Sim, w http.ResponseWriter, r *http.Request) bool {
	if slow, ok := f.find("slow"); ok {
		select {
		case <-r.Context().Done():
			return true
		case <-s.cfg.Clock.After(slow.Delay):
		}
	}
	for _, one := range f {
		switch one.Name {
		case "unauthorised":
			w.WriteHeader(http.StatusUnauthorized)
		case "forbidden":
			w.WriteHeader(http.StatusForbidden)
		case "not_found":
			w.WriteHeader(http.StatusNotFound)
		case "bad_request_field":
			writeJSON(w, http.StatusBadRequest, refusals{"[0].outcome_id": {"Could not convert string to integer: x. Path '[0].outcome_id', line 1, position 139."}})
		case "bad_request_exception":
			writeJSON(w, http.StatusBadRequest, exception("Password is mandatory"))
		case "bad_request_database":
			writeJSON(w, http.StatusBadRequest, exception("A database error occurred (515) - Cannot insert the value NULL into column 'LName'."))
		case "bad_request_string":
			writeJSON(w, http.StatusBadRequest, "Priority Description must not be blank")
		case "bad_request_message":
			writeJSON(w, http.StatusBadRequest, map[string]string{"message": "The request is not valid."})
		case "throttle":
			s.throttled(w, one.RetryAfter)
		case "error_500":
			writeJSON(w, http.StatusInternalServerError, exception("Object reference not set to an instance of an object."))
		case "error_502":
			gateway(w, http.StatusBadGateway)
		case "error_503":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "error_504":
			gateway(w, http.StatusGatewayTimeout)
		case "hang":
			<-r.Context().Done()
		case "reset":
			panic(http.ErrAbortHandler)
		case "stale":
			writeJSON(w, s.cfg.StaleStatus, exception(staleText))
		default:
			continue
		}
		return true
	}
	return false
}

// throttled is Halo's 429: text, with a Retry-After sometimes [C].
func (s *Sim) throttled(w http.ResponseWriter, retryAfter int) {
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusTooManyRequests)
	requests, window := s.cfg.Limit, s.cfg.Window
	if requests == 0 {
		requests, window = 300, 5*time.Minute
	}
	fmt.Fprintf(w, "Rate Limit Reached - %d Requests per rolling %d minute window", requests, int(window.Minutes()))
}

func gateway(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html><head><title>%d %s</title></head></html>", status, http.StatusText(status))
}

const staleText = "The record has been changed by another user since it was loaded. Reload it and try again."

// exception is how .NET writes one [L].
func exception(message string) map[string]any {
	return map[string]any{
		"ClassName": "System.Exception", "Message": message, "Data": nil, "InnerException": nil, "HelpURL": nil,
		"StackTraceString": nil, "RemoteStackTraceString": nil, "RemoteStackIndex": 0, "ExceptionMethod": nil,
		"HResult": -2146233088, "Source": nil, "WatsonBuckets": nil,
	}
}

// named says whether a posted row is the one that a fault means.
func named(row map[string]json.RawMessage, match string) bool {
	if match == "" {
		return false
	}
	for _, field := range []string{"name", "snowid"} {
		var text string
		if json.Unmarshal(row[field], &text) == nil && strings.Contains(text, match) {
			return true
		}
	}
	return string(row["id"]) == match
}
