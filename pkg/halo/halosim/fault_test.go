package halosim

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

const twoRows = `[{"client_id":39,"name":"first","snowid":"a"},{"client_id":39,"name":"second","snowid":"b"}]`

// TestFaults switches on each fault that answers a write, and looks at the reply and at what was written.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		fault   Fault
		status  int // 0: the connection is cut
		body    string
		written int
	}{
		{Fault{Name: "unauthorised"}, 401, "", 0},
		{Fault{Name: "forbidden"}, 403, "", 0},
		{Fault{Name: "not_found"}, 404, "", 0},
		{Fault{Name: "bad_request_field"}, 400, `{"[0].outcome_id":["Could not convert`, 0},
		{Fault{Name: "bad_request_exception"}, 400, `"ClassName":"System.Exception"`, 0},
		{Fault{Name: "bad_request_database"}, 400, `database error occurred (515)`, 0},
		{Fault{Name: "bad_request_string"}, 400, `"Priority Description must not be blank"`, 0},
		{Fault{Name: "bad_request_message"}, 400, `{"message"`, 0},
		{Fault{Name: "throttle"}, 429, "Rate Limit Reached - 300 Requests per rolling 5 minute window", 0},
		{Fault{Name: "error_500"}, 500, "", 0},
		{Fault{Name: "error_502"}, 502, "<html>", 0},
		{Fault{Name: "error_503"}, 503, "", 0},
		{Fault{Name: "error_504"}, 504, "<html>", 0},
		{Fault{Name: "stale"}, 400, "changed by another user", 0},
		{Fault{Name: "reset"}, 0, "", 0},
		{Fault{Name: "cut_after"}, 0, "", 2},
		{Fault{Name: "error_after"}, 500, "", 2},
		{Fault{Name: "partial"}, 400, "database error", 1},
		{Fault{Name: "partial", Match: "first"}, 400, "database error", 0},
		{Fault{Name: "bad_row", Match: "second"}, 400, `"[1].name"`, 0},
		{Fault{Name: "bad_row", Match: "third"}, 201, "", 2},
		{Fault{Name: "token_expired"}, 401, "", 0},
		{Fault{Name: "warning"}, 201, "_warning", 2},
		{Fault{Name: "empty_reply"}, 201, "", 2},
		{Fault{Name: "ignored_write"}, 201, "second", 0},
		{Fault{Name: "late_504", Delay: time.Minute}, 504, "", 0},
	} {
		t.Run(c.fault.Name+c.fault.Match, func(t *testing.T) {
			b := serve(t, Config{})
			body, _ := json.Marshal(c.fault)
			b.want(204, "POST", "/_sim/faults", string(body))
			status, text, _, err := b.do("POST", "/api/SoftwareLicence", twoRows)
			if (err != nil) != (c.status == 0) || status != c.status || !strings.Contains(text, c.body) {
				t.Errorf("%d %v %s", status, err, text)
			}
			if written := len(b.State().Licences) - 1; written != c.written {
				t.Errorf("%d rows written, want %d", written, c.written)
			}
			if b.On()[c.fault.Name] != 1 {
				t.Errorf("struck %v", b.On())
			}
			b.Clear("")
			b.login("all")
			b.want(201, "POST", "/api/SoftwareLicence", twoRows)
		})
	}
	b := serve(t, Config{})
	if err := b.Inject(Fault{Name: "nonsense"}); err == nil {
		t.Error("an unknown fault is accepted")
	}
}

func TestLateWriteLandsLater(t *testing.T) {
	b := serve(t, Config{})
	_ = b.Inject(Fault{Name: "late", Method: "POST", Delay: 90 * time.Second})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "POST", b.url+"/api/SoftwareLicence", strings.NewReader(twoRows))
	req.Header.Set("Authorization", "Bearer "+b.token)
	if _, err := http.DefaultClient.Do(req); err == nil {
		t.Fatal("a hanging reply came")
	}
	if n := len(b.State().Licences); n != 1 || b.Late() != 1 {
		t.Fatalf("%d licences, %d late", n, b.Late())
	}
	b.clock.Advance(90 * time.Second)
	for deadline := time.Now().Add(5 * time.Second); b.Late() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the write never lands")
		}
	}
	if n := len(b.State().Licences); n != 3 {
		t.Errorf("%d licences", n)
	}
}

func TestWhenFaultsStrike(t *testing.T) {
	statuses := func(f Fault, cfg Config, n int) (got []int) {
		b := serve(t, cfg)
		if err := b.Inject(f); err != nil {
			t.Fatal(err)
		}
		for range n {
			status, _, _, _ := b.do("GET", "/api/Item", "")
			got = append(got, status)
		}
		return got
	}
	for _, c := range []struct {
		fault Fault
		want  []int
	}{
		{Fault{Name: "error_503", Nth: 2}, []int{200, 503, 200, 200}},
		{Fault{Name: "error_503", Skip: 1, Times: 2}, []int{200, 503, 503, 200}},
		{Fault{Name: "error_503", Method: "POST"}, []int{200, 200, 200, 200}},
		{Fault{Name: "error_503", Route: "/item"}, []int{503, 503, 503, 503}},
		{Fault{Name: "error_503", Route: "/Client"}, []int{200, 200, 200, 200}},
	} {
		got := statuses(c.fault, Config{}, 4)
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%+v: %v, want %v", c.fault, got, c.want)
				break
			}
		}
	}
	struck := 0
	for _, status := range statuses(Fault{Name: "error_500", Rate: 0.3}, Config{Seed: 7}, 200) {
		if status == 500 {
			struck++
		}
	}
	if struck < 40 || struck > 80 {
		t.Errorf("a rate of 0.3 struck %d of 200", struck)
	}
}

func TestListFaults(t *testing.T) {
	b := serve(t, Config{})
	const second = "/api/SoftwareLicence?pageinate=true&page_size=1&page_no=2"
	b.contains(b.want(200, "GET", second, ""), `"licences":[]`)
	_ = b.Inject(Fault{Name: "repeated_page"})
	_ = b.Inject(Fault{Name: "wrong_count"})
	b.contains(b.want(200, "GET", second, ""), `"id":501`, `"record_count":2`)
	b.Clear("")
	_ = b.Inject(Fault{Name: "lost_lines"})
	lines := string(raw(b.invoice()["lines"]))
	b.want(201, "POST", "/api/RecurringInvoice", `[{"id":-94,"lines":`+lines+`}]`)
	if n := len(b.State().Invoices[0].Lines); n != 1 {
		t.Errorf("%d lines", n)
	}
	slow := serve(t, Config{})
	_ = slow.Inject(Fault{Name: "slow", Delay: time.Minute})
	go func() { _ = slow.clock.BlockUntilContext(context.Background(), 1); slow.clock.Advance(time.Minute) }()
	slow.want(200, "GET", "/api/Item", "")
	batches := serve(t, Config{PartialBatches: true})
	batches.want(400, "POST", "/api/SoftwareLicence", `[{"client_id":39,"name":"good"},{"client_id":1,"name":"bad"}]`)
	if n := len(batches.State().Licences); n != 2 {
		t.Errorf("%d licences", n)
	}
}
