package giacom_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"seatline.dev/pkg/giacom"
)

// TestLenientReading writes one subscription in every form that the API might choose, and reads it back the same.
func TestLenientReading(t *testing.T) {
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(body)) }))
	defer server.Close()
	client, err := giacom.New(giacom.Config{BaseURL: server.URL, Key: "k", Clock: clockwork.NewRealClock()})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		cents := rapid.Int64Range(-1_000_000, 100_000_000).Draw(t, "price in 1/10000")
		seats := rapid.Int64Range(0, 1_000_000).Draw(t, "seats")
		promo := rapid.Bool().Draw(t, "promo")
		start := time.Unix(rapid.Int64Range(1e9, 2e9).Draw(t, "start"), 0).UTC()
		price := decimal.New(cents, -4)
		name := rapid.String().Draw(t, "name")

		number := func(d decimal.Decimal) any {
			return rapid.SampledFrom([]any{json.Number(d.String()), d.String(), " " + d.StringFixed(6) + " "}).Draw(t, "number")
		}
		fields := map[string]any{
			"subscriptionId": rapid.SampledFrom([]any{"AB-1", " ab-1 "}).Draw(t, "id"),
			"name":           name,
			rapid.SampledFrom([]string{"licences", "licenses", "quantity"}).Draw(t, "seats field"): number(decimal.NewFromInt(seats)),
			"price":          number(price),
			"isPromoApplied": rapid.SampledFrom(map[bool][]any{true: {true, "true", "True", 1, "1"}, false: {false, "false", 0, nil, ""}}[promo]).Draw(t, "bool"),
			"orderDate":      start.Format(rapid.SampledFrom([]string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05.000Z", "2006-01-02 15:04:05"}).Draw(t, "layout")),
			"renewalDate":    rapid.SampledFrom([]any{nil, "", " ", "0001-01-01T00:00:00", "1900-01-01T00:00:00Z", "1901-01-01"}).Draw(t, "no date"),
			"status":         "Winding Down",
			"somethingNew":   rapid.SampledFrom([]any{nil, 1, "x", []int{1}, map[string]any{"a": []any{1, "]}"}}}).Draw(t, "unknown"),
		}
		block := map[string]any{"mexId": rapid.SampledFrom([]any{"MEX1", " mex1 "}).Draw(t, "mexId"), "customerName": "C", "subscriptions": []any{fields}}
		pascal := rapid.Bool().Draw(t, "PascalCase")
		var doc any = []any{recase(block, pascal)}
		if wrap := rapid.SampledFrom([]string{"", "data", "Data", "DATA"}).Draw(t, "envelope"); wrap != "" {
			doc = map[string]any{wrap: doc, "meta": map[string]any{"x": 1}}
		}
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		body = string(raw)

		var got []giacom.Subscription
		p, err := client.Report(t.Context(), func(giacom.Customer) error { return nil }, func(s giacom.Subscription) error { got = append(got, s); return nil })
		if err != nil || !p.Complete || len(got) != 1 {
			t.Fatalf("%v %+v from %s", err, p, body)
		}
		s := got[0]
		switch {
		case s.Key() != "microsoft/ab-1", s.MexID != "MEX1", s.Name != strings.TrimSpace(strings.ReplaceAll(name, "\x00", "\uFFFD")), s.Status != "Winding Down",
			!s.Quantity.Valid || !s.Quantity.Decimal.Equal(decimal.NewFromInt(seats)),
			!s.Price.Valid || !s.Price.Decimal.Equal(price), s.Promo != promo, !s.Start.Equal(start), !s.End().IsZero(), len(s.Problems) > 0:
			t.Fatalf("read %+v from %s", s, body)
		}
	})
}

func recase(v any, pascal bool) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, field := range v {
			if pascal {
				k = strings.ToUpper(k[:1]) + k[1:]
			}
			out[k] = recase(field, pascal)
		}
		return out
	case []any:
		for i := range v {
			v[i] = recase(v[i], pascal)
		}
	}
	return v
}

// TestAnyRowIsSurvived feeds rows of arbitrary JSON: nothing panics, nothing fails the pull, and every row is accounted for.
func TestAnyRowIsSurvived(t *testing.T) {
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(body)) }))
	defer server.Close()
	client, err := giacom.New(giacom.Config{BaseURL: server.URL, Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	odd := rapid.SampledFrom([]any{nil, true, 1, -1.5, json.Number("1e999999"), json.Number("99999999999999999999999999999999999999999999999"), "", "x", "1,5", "£3", "a\x00b", []any{}, []any{1}, map[string]any{}, "31/02/2026", "2026-13-01"})
	rapid.Check(t, func(t *rapid.T) {
		row := map[string]any{"subscriptionId": "s1"}
		for _, field := range []string{"mexId", "customerName", "quantity", "costPerSeat", "totalCost", "billingFrequency", "created", "currency", "serviceName", "productId"} {
			row[field] = odd.Draw(t, field)
		}
		raw, err := json.Marshal(map[string]any{"data": []any{row, odd.Draw(t, "row"), map[string]any{"subscriptionId": "s2", "mexId": "M"}}})
		if err != nil {
			t.Fatal(err)
		}
		body = string(raw)
		var ids []string
		p, err := client.Products(t.Context(), func(s giacom.Subscription) error {
			ids = append(ids, s.ID)
			if strings.ContainsRune(s.CustomerName, 0) {
				t.Fatalf("a zero byte in %q", s.CustomerName)
			}
			return nil
		})
		if err != nil || strings.Join(ids, " ") != "s1 s2" || p.Rows != 2 || p.NoID != 1 || p.Complete {
			t.Fatalf("%v %+v %v from %s", err, p, ids, body)
		}
	})
}

func TestWords(t *testing.T) {
	for word, want := range map[string]giacom.Cycle{
		"": giacom.CycleNone, "Monthly": giacom.CycleMonthly, "annually": giacom.CycleAnnual, "Yearly": giacom.CycleAnnual,
		"Triennial": giacom.CycleTriennial, "One-Time": giacom.CycleOneTime, "OneTime": giacom.CycleOneTime, "Quarterly": giacom.CycleUnknown,
	} {
		if got := giacom.ReadCycle(word); got != want {
			t.Errorf("cycle %q: %v, want %v", word, got, want)
		}
	}
	for word, want := range map[string]giacom.Term{
		"": giacom.TermNone, "P1M": giacom.TermMonthly, "1 Month": giacom.TermMonthly, "Annual": giacom.TermAnnual, "P1Y": giacom.TermAnnual,
		"1 Year": giacom.TermAnnual, "3 Year": giacom.TermTriennial, "P3Y": giacom.TermTriennial, "P2Y": giacom.TermUnknown,
	} {
		if got := giacom.ReadTerm(word); got != want {
			t.Errorf("term %q: %v, want %v", word, got, want)
		}
	}
	for word, want := range map[string]giacom.Status{
		"": giacom.StatusNone, " active ": giacom.StatusActive, "Canceled": giacom.StatusCancelled, "Cancelled": giacom.StatusCancelled,
		"Deleted": giacom.StatusDeleted, "Pending": giacom.StatusPending, "Expired": giacom.StatusExpired, "Hibernating": giacom.StatusUnknown,
	} {
		if got := giacom.ReadStatus(word); got != want {
			t.Errorf("status %q: %v, want %v", word, got, want)
		}
	}
}
