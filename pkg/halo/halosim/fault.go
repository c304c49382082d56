package halosim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"seatline.dev/pkg/simulator"
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

// Fault is one fault that is switched on, such as for the Method POST and the Route /SoftwareLicence or
// /RecurringInvoice/{id}. Its Delay passes on the simulator's clock, its Match is a row's id, or a part of its name or
// snowid.
type Fault = simulator.Fault

// struck are the faults that strike one request.
type struck struct{ simulator.Struck }

// before does what happens before Halo does anything, and says whether that was the answer.
func (f struck) before(s *Sim, w http.ResponseWriter, r *http.Request) bool {
	if slow, ok := f.Find("slow"); ok {
		select {
		case <-r.Context().Done():
			return true
		case <-s.cfg.Clock.After(slow.Delay):
		}
	}
	for _, one := range f.Struck {
		switch one.Name {
		case "unauthorised":
			w.WriteHeader(http.StatusUnauthorized)
		case "forbidden":
			w.WriteHeader(http.StatusForbidden)
		case "not_found":
			w.WriteHeader(http.StatusNotFound)
		case "bad_request_field":
			simulator.WriteJSON(w, http.StatusBadRequest, refusals{"[0].outcome_id": {"Could not convert string to integer: x. Path '[0].outcome_id', line 1, position 139."}})
		case "bad_request_exception":
			simulator.WriteJSON(w, http.StatusBadRequest, exception("Password is mandatory"))
		case "bad_request_database":
			simulator.WriteJSON(w, http.StatusBadRequest, exception("A database error occurred (515) - Cannot insert the value NULL into column 'LName'."))
		case "bad_request_string":
			simulator.WriteJSON(w, http.StatusBadRequest, "Priority Description must not be blank")
		case "bad_request_message":
			simulator.WriteJSON(w, http.StatusBadRequest, map[string]string{"message": "The request is not valid."})
		case "throttle":
			s.throttled(w, one.RetryAfter)
		case "error_500":
			simulator.WriteJSON(w, http.StatusInternalServerError, exception("Object reference not set to an instance of an object."))
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
			simulator.WriteJSON(w, s.cfg.StaleStatus, exception(staleText))
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
