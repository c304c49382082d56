package giacom_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/giacom/giacomsim"
)

func TestFaultsOfOneRowNeverFailThePull(t *testing.T) {
	for fault, c := range map[string]struct {
		incomplete string // part of the reason
		bad, noID  int
		check      func(giacom.Subscription) bool
	}{
		"null_price":    {check: func(s giacom.Subscription) bool { return !s.Price.Valid }},
		"zero_licences": {check: func(s giacom.Subscription) bool { return s.Quantity.Valid && s.Quantity.Decimal.IsZero() }},
		"bad_quantity":  {bad: 1, check: func(s giacom.Subscription) bool { return !s.Quantity.Valid && len(s.Problems) == 1 }},
		"null_tenant":   {check: func(s giacom.Subscription) bool { return s.TenantID == "" }},
		"unknown_status": {check: func(s giacom.Subscription) bool {
			return giacom.ReadStatus(s.Status) == giacom.StatusUnknown && s.Status == "Hibernating"
		}},
		"date_1900":       {check: func(s giacom.Subscription) bool { return s.Start.IsZero() }},
		"two_spellings":   {check: func(s giacom.Subscription) bool { return s.MexID == "MEX10021" }},
		"numbers_as_text": {check: func(s giacom.Subscription) bool { return s.Price.Decimal.String() == "15.09" }},
		"pascal_case":     {check: func(s giacom.Subscription) bool { return s.Term == "Annual" }},
		"bare_array":      {check: func(s giacom.Subscription) bool { return s.Term == "Annual" }},
		"duplicate_rows":  {check: func(s giacom.Subscription) bool { return s.Term == "Annual" }},
		"no_id":           {noID: 1, incomplete: "no readable id"},
		"broken_row":      {noID: 1, incomplete: "no readable id"},
	} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t, giacomsim.Config{}).with(func(c *giacom.Config) { c.Method = giacom.MethodReport; c.DeriveCustomers = true })
			if err := w.sim.Inject(giacomsim.Fault{Name: fault}); err != nil {
				t.Fatal(err)
			}
			g := w.pull(t)
			if g.err != nil {
				t.Fatal(g.err)
			}
			p := g.result.Subscriptions
			if p.Complete != (c.incomplete == "") || !strings.Contains(p.Reason, c.incomplete) {
				t.Errorf("complete %v, reason %q; want reason with %q", p.Complete, p.Reason, c.incomplete)
			}
			if p.Bad != c.bad || p.NoID != c.noID {
				t.Errorf("bad %d, without id %d; want %d, %d", p.Bad, p.NoID, c.bad, c.noID)
			}
			if s, ok := g.subscriptions[premium]; c.check != nil && (!ok || !c.check(s)) {
				t.Errorf("row: %+v", s)
			}
		})
	}
}

func TestErrorClasses(t *testing.T) {
	for name, c := range map[string]struct {
		fault    giacomsim.Fault
		class    giacom.Class
		requests int // to the report
		after    time.Duration
	}{
		"missing key":            {giacomsim.Fault{Name: "key_missing"}, giacom.KeyRejected, 1, 0},
		"bad key":                {giacomsim.Fault{Name: "key_bad"}, giacom.KeyRejected, 1, 0},
		"key lacks the product":  {giacomsim.Fault{Name: "no_product"}, giacom.KeyLacksProduct, 1, 0},
		"quota":                  {giacomsim.Fault{Name: "quota"}, giacom.QuotaSpent, 1, 90 * time.Minute},
		"quota with Retry-After": {giacomsim.Fault{Name: "quota", RetryAfter: 60}, giacom.QuotaSpent, 1, time.Minute},
		"wrong path":             {giacomsim.Fault{Name: "not_found"}, giacom.NotFound, 1, 0},
		"bad request":            {giacomsim.Fault{Name: "bad_request"}, giacom.Refused, 1, 0},
		"redirect":               {giacomsim.Fault{Name: "redirect"}, giacom.Refused, 1, 0},
		"throttled for ever":     {giacomsim.Fault{Name: "throttle"}, giacom.RateLimited, 5, time.Second},
		"throttled for an hour":  {giacomsim.Fault{Name: "throttle", RetryAfter: 3600}, giacom.RateLimited, 1, time.Hour},
		"throttled, no header":   {giacomsim.Fault{Name: "throttle_bare"}, giacom.RateLimited, 5, 0},
		"500":                    {giacomsim.Fault{Name: "error_500"}, giacom.Unavailable, 5, 0},
		"502":                    {giacomsim.Fault{Name: "error_502"}, giacom.Unavailable, 5, 0},
		"503":                    {giacomsim.Fault{Name: "error_503"}, giacom.Unavailable, 5, 0},
		"504":                    {giacomsim.Fault{Name: "error_504"}, giacom.Unavailable, 5, 0},
		"cut body":               {giacomsim.Fault{Name: "cut"}, giacom.Unavailable, 5, 0},
		"cut connection":         {giacomsim.Fault{Name: "reset"}, giacom.Unavailable, 0, 0},
		"silence":                {giacomsim.Fault{Name: "hang"}, giacom.Unavailable, 5, 0},
		"HTML":                   {giacomsim.Fault{Name: "html"}, giacom.Malformed, 5, 0},
		"nothing":                {giacomsim.Fault{Name: "empty_body"}, giacom.Malformed, 5, 0},
		"an empty object":        {giacomsim.Fault{Name: "empty_object"}, giacom.Malformed, 5, 0},
		"data null":              {giacomsim.Fault{Name: "data_null"}, giacom.Malformed, 5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, giacomsim.Config{}).with(func(c *giacom.Config) {
				c.Method, c.DeriveCustomers, c.Silence = giacom.MethodReport, true, 100*time.Millisecond
			})
			if err := w.sim.Inject(c.fault); err != nil {
				t.Fatal(err)
			}
			g := w.pull(t)
			if giacom.ClassOf(g.err) != c.class {
				t.Fatalf("class %q (%v), want %q", giacom.ClassOf(g.err), g.err, c.class)
			}
			var e *giacom.Error
			if errors.As(g.err, &e); e.RetryAfter != c.after {
				t.Errorf("retry after %s, want %s", e.RetryAfter, c.after)
			}
			if n := w.sim.Requests()["report"]; c.requests > 0 && n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
			if g.result.Subscriptions.Complete || g.result.Customers.Complete {
				t.Error("a failed pull called itself complete")
			}
			if strings.Contains(g.err.Error(), "sim-key") || strings.Contains(g.err.Error(), "?") {
				t.Errorf("the error shows too much: %v", g.err)
			}
		})
	}
}

func TestPassingFaultsAreSatOut(t *testing.T) {
	for _, fault := range []string{"throttle", "throttle_bare", "error_503", "cut", "html", "reset", "empty_object"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t, giacomsim.Config{}).with(func(c *giacom.Config) { c.Method = giacom.MethodBoth })
			if err := w.sim.Inject(giacomsim.Fault{Name: fault, Times: 3}); err != nil {
				t.Fatal(err)
			}
			g := w.pull(t)
			if g.err != nil || !g.result.Subscriptions.Complete || len(g.subscriptions) != 4 {
				t.Fatalf("%v %+v %s", g.err, g.result, g.keys())
			}
			if g.result.Requests < 6 {
				t.Errorf("%d requests counted, want the 3 tries more", g.result.Requests)
			}
		})
	}
}

func TestKeyRevokedInTheMiddleOfAPull(t *testing.T) {
	w := newWorld(t, giacomsim.Config{}).with(func(c *giacom.Config) { c.PageSize = 1 })
	if err := w.sim.Inject(giacomsim.Fault{Name: "key_revoked", Route: "subscriptions", Skip: 1}); err != nil {
		t.Fatal(err)
	}
	g := w.pull(t)
	if giacom.ClassOf(g.err) != giacom.KeyRejected || len(g.subscriptions) != 1 || g.result.Subscriptions.Complete {
		t.Errorf("%v %+v", g.err, g.result)
	}
}

func TestACallersErrorEndsThePullAtOnce(t *testing.T) {
	w := newWorld(t, giacomsim.Config{})
	client, err := giacom.New(w.cfg)
	if err != nil {
		t.Fatal(err)
	}
	mine := errors.New("disk full")
	_, err = client.Products(t.Context(), func(giacom.Subscription) error { return mine })
	if !errors.Is(err, mine) || w.sim.Requests()["subscriptions"] != 1 {
		t.Errorf("%v after %d requests", err, w.sim.Requests()["subscriptions"])
	}
}

func TestBackOffWaitsAsAskedOnTheClockGiven(t *testing.T) {
	sim := giacomsim.New(giacomsim.Config{})
	server := httptest.NewServer(sim)
	defer server.Close()
	if err := sim.Inject(giacomsim.Fault{Name: "throttle", RetryAfter: 57, Times: 1}); err != nil {
		t.Fatal(err)
	}
	clock := clockwork.NewFakeClock()
	client, err := giacom.New(giacom.Config{BaseURL: server.URL + "/Billing/v1", Key: "sim-key", Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := client.Products(context.Background(), func(giacom.Subscription) error { return nil })
		done <- err
	}()
	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	clock.Advance(56 * time.Second)
	if n := sim.Requests()["subscriptions"]; n != 1 {
		t.Fatalf("%d requests before Retry-After had passed", n)
	}
	clock.Advance(30 * time.Second)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
