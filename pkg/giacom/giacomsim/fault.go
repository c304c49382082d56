package giacomsim

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/simulator"
)

// Faults are all faults by name, with what each does.
var Faults = map[string]string{
	"key_missing":   "401, as if no key had been sent",
	"key_bad":       "401, as if the key were wrong",
	"key_revoked":   "401 from now on; for v2 also for tokens",
	"no_product":    "403, the key does not cover this API",
	"quota":         "403, the call quota is spent; with Retry-After if RetryAfter is set",
	"throttle":      "429 with Retry-After (RetryAfter seconds, default 1)",
	"throttle_bare": "429 without Retry-After",
	"bad_request":   "400", "not_found": "404", "redirect": "302 to another host",
	"error_500": "500", "error_502": "502 with an HTML body", "error_503": "503", "error_504": "504",
	"slow":  "waits Delay, then answers",
	"hang":  "says nothing until the client goes",
	"reset": "cuts the connection before any answer",
	"cut":   "cuts the connection in the middle of the body",
	"html":  "200 with an HTML page", "empty_object": "200 with {}", "empty_body": "200 with nothing",
	"data_null": "data is null", "bare_array": "rows without an envelope",
	"empty":               "no rows, although there are some",
	"short_page":          "the last row of the page is missing",
	"page_capped":         "no more than Value rows a page (default 100), whatever was asked for",
	"page_size_ignored":   "all rows on every page",
	"page_number_ignored": "always the first page",
	"wrong_total":         "totalCount is Value too high (default 5); see Config.Totals",
	"pascal_case":         "field names begin with a capital",
	"numbers_as_text":     "numbers are strings",
	"duplicate_rows":      "every row comes twice",
	"no_id":               "the first row lacks its id",
	"broken_row":          "one row is a number",
	"two_spellings":       "the first row writes its customer's id in lower case with spaces around",
	"null_price":          "the first row's price is null",
	"null_tenant":         "the first row's tenant is null",
	"bad_quantity":        "the first row's quantity is the word many",
	"zero_licences":       "the first row's quantity is 0",
	"unknown_status":      "the first row's status is a word nobody knows",
	"date_1900":           "the first row's start date is in 1900",
	"change_mid_run":      "a price changes after the first page",
	"status_400":          "Status answers 400, as it may without arguments",
	"token_expired":       "v2 tokens are refused",
}

// Fault is one fault that is switched on. Its Route is a key of [Sim.Requests], its Delay passes on the real clock.
type Fault = simulator.Fault

// struck are the faults that strike one request.
type struck struct{ simulator.Struck }

// number is the Value of a fault.
func (f struck) number(name string, otherwise int) int {
	if one, ok := f.Find(name); ok && one.Value > 0 {
		return one.Value
	}
	return otherwise
}

// before does what happens before the API is reached, and says whether that was the answer.
func (f struck) before(w http.ResponseWriter, r *http.Request) bool {
	if slow, ok := f.Find("slow"); ok {
		select {
		case <-r.Context().Done():
			return true
		case <-time.After(slow.Delay):
		}
	}
	for _, one := range f.Struck {
		switch one.Name {
		case "hang":
			<-r.Context().Done()
			return true
		case "reset":
			panic(http.ErrAbortHandler)
		case "no_product":
			gatewayError(w, http.StatusForbidden, "The subscription is not allowed to access this API.")
		case "quota":
			retryAfter(w, one.RetryAfter)
			gatewayError(w, http.StatusForbidden, "Out of call volume quota. Quota will be replenished in 01:30:00.")
		case "throttle":
			seconds := max(one.RetryAfter, 1)
			retryAfter(w, seconds)
			gatewayError(w, http.StatusTooManyRequests, "Rate limit is exceeded. Try again in "+strconv.Itoa(seconds)+" seconds.")
		case "throttle_bare":
			gatewayError(w, http.StatusTooManyRequests, "Rate limit is exceeded.")
		case "bad_request":
			gatewayError(w, http.StatusBadRequest, "The request is not valid.")
		case "not_found":
			gatewayError(w, http.StatusNotFound, "Resource not found")
		case "redirect":
			w.Header().Set("Location", "https://elsewhere.example/")
			w.WriteHeader(http.StatusFound)
		case "error_500":
			simulator.WriteJSON(w, http.StatusInternalServerError, map[string]any{"statusCode": 500, "message": "Internal server error", "activityId": "0b5a3c1e-2f54-4d0d-8e2a-6a7f5b6c9d10"})
		case "error_502":
			page(w, http.StatusBadGateway, "Bad Gateway")
		case "error_503":
			gatewayError(w, http.StatusServiceUnavailable, "Service Unavailable")
		case "error_504":
			gatewayError(w, http.StatusGatewayTimeout, "Gateway Timeout")
		case "html":
			page(w, http.StatusOK, "We are carrying out maintenance")
		case "empty_object":
			simulator.WriteJSON(w, http.StatusOK, struct{}{})
		case "empty_body":
			w.WriteHeader(http.StatusOK)
		default:
			continue
		}
		return true
	}
	return false
}

func retryAfter(w http.ResponseWriter, seconds int) {
	if seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
}

func page(w http.ResponseWriter, status int, title string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html><head><title>%s</title></head><body><h1>%s</h1></body></html>", title, title)
}

// Fields that the row faults change, in whichever feed they appear.
var (
	idField       = regexp.MustCompile(`"(subscriptionId|id)":"[^"]*"|"productId":"[^"]*"`)
	customerField = regexp.MustCompile(`"(mexId|customerId)":"([^"]*)"`)
	priceField    = regexp.MustCompile(`"(price|costPerSeat|totalCost)":("[^"]*"|[-0-9.]+)`)
	tenantField   = regexp.MustCompile(`"tenantId":"[^"]*"`)
	quantityField = regexp.MustCompile(`"(licences|quantity)":("[^"]*"|[-0-9.]+|null)`)
	statusField   = regexp.MustCompile(`"status":"[^"]*"`)
	startField    = regexp.MustCompile(`"(orderDate|created|createdDate|startDate)":("[^"]*"|null)`)
	cent          = decimal.New(1, -2)
)

// rows bends the rows of a page, and their total.
func (f struck) rows(rows [][]byte, total int) ([][]byte, int) {
	rows = slices.Clone(rows)
	bend := func(fault string, field *regexp.Regexp, to string) {
		if f.Has(fault) {
			for i, row := range rows {
				if field.Match(row) {
					rows[i] = bendFirst(row, field, to, fault == "null_price")
					return
				}
			}
		}
	}
	if f.Has("empty") {
		return nil, 0
	}
	if f.Has("short_page") && len(rows) > 0 {
		rows = rows[:len(rows)-1]
	}
	bend("null_price", priceField, `"$1":null`)
	bend("null_tenant", tenantField, `"tenantId":null`)
	bend("bad_quantity", quantityField, `"$1":"many"`)
	bend("zero_licences", quantityField, `"$1":0`)
	bend("unknown_status", statusField, `"status":"Hibernating"`)
	bend("date_1900", startField, `"$1":"1900-01-01T00:00:00"`)
	bend("two_spellings", customerField, `"$1":" $2 "`)
	bend("no_id", idField, `"id":null`)
	if f.Has("two_spellings") && len(rows) > 0 {
		rows[0] = customerField.ReplaceAllFunc(rows[0], func(m []byte) []byte {
			key, value, _ := strings.Cut(string(m), ":")
			return []byte(key + ":" + strings.ToLower(value))
		})
	}
	if f.Has("duplicate_rows") {
		twice := make([][]byte, 0, 2*len(rows))
		for _, row := range rows {
			twice = append(twice, row, row)
		}
		rows, total = twice, 2*total
	}
	if f.Has("broken_row") {
		rows = append(rows, []byte("42"))
		total++
	}
	return rows, total
}

// bendFirst rewrites the first match of field in row, or all within the row's first object.
func bendFirst(row []byte, field *regexp.Regexp, to string, all bool) []byte {
	end := len(row)
	if all { // prices stand side by side: costPerSeat and totalCost of one row
		if i := strings.IndexByte(string(row), '}'); i >= 0 {
			end = i
		}
		return append(field.ReplaceAll(row[:end:end], []byte(to)), row[end:]...)
	}
	at := field.FindSubmatchIndex(row)
	out := append([]byte{}, row[:at[0]]...)
	out = field.Expand(out, []byte(to), row, at)
	return append(out, row[at[1]:]...)
}

// write answers with body, or with half of it and a cut connection.
func (f struck) write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if !f.Has("cut") {
		_, _ = w.Write(body)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body[:len(body)/2])
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	panic(http.ErrAbortHandler)
}
