package web

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// writerOf is one service with a change log and a plan of its own, which pages as the real ones do.
type writerOf struct {
	opsv1.UnimplementedOpsServiceServer
	changes []*itemv1.Change // the newest first
	plan    []*itemv1.PlanItem
	down    bool
}

var before = regexp.MustCompile(`id < (\d+)`)

func (w *writerOf) ListChanges(_ context.Context, req *opsv1.ListChangesRequest) (*opsv1.ListChangesResponse, error) {
	if w.down {
		return nil, rpc.Unavailable("DOWN", time.Second, "down")
	}
	resp := &opsv1.ListChangesResponse{}
	for _, c := range w.changes {
		if m := before.FindStringSubmatch(req.GetFilter()); m != nil {
			limit, _ := strconv.ParseInt(m[1], 10, 64)
			if _, id, _ := cutLast(c.GetId(), "-"); id >= limit {
				continue
			}
		}
		if len(resp.Changes) == int(req.GetPageSize()) {
			resp.NextPageToken = "more"
			break
		}
		resp.Changes = append(resp.Changes, c)
	}
	return resp, nil
}

func (w *writerOf) ListPlanItems(_ context.Context, req *opsv1.ListPlanItemsRequest) (*opsv1.ListPlanItemsResponse, error) {
	if w.down {
		return nil, rpc.Unavailable("DOWN", time.Second, "down")
	}
	from, _ := strconv.Atoi(req.GetPageToken())
	to := min(from+int(req.GetPageSize()), len(w.plan))
	resp := &opsv1.ListPlanItemsResponse{Items: w.plan[from:to]}
	if to < len(w.plan) {
		resp.NextPageToken = strconv.Itoa(to)
	}
	return resp, nil
}

// startWith a service of its own for each kind.
func startWith(t *testing.T, writers map[string]*writerOf) *site {
	t.Helper()
	return start(t, func(c *Config) {
		for name, w := range writers {
			conn := serveOps(t, w)
			switch name {
			case "mapper":
				c.Services.Mapper = conn
			case "licence":
				c.Services.Licence = conn
			case "billing":
				c.Services.Billing = conn
			}
		}
	})
}

var nextPage = regexp.MustCompile(`href="([^"]*)" rel="next"`)

// walk a list to its end, and return what keys find on each page.
func (p *person) walk(path string, keys *regexp.Regexp) (pages [][]string) {
	p.t.Helper()
	for range 20 {
		r := p.get(path)
		if r.status != http.StatusOK {
			p.t.Fatalf("%s answers %d: %s", path, r.status, r.body)
		}
		var page []string
		for _, m := range keys.FindAllStringSubmatch(r.body, -1) {
			page = append(page, m[1])
		}
		pages = append(pages, page)
		next := nextPage.FindStringSubmatch(r.body)
		if next == nil {
			return pages
		}
		path = strings.ReplaceAll(next[1], "&amp;", "&")
	}
	p.t.Fatal("the list does not end")
	return nil
}

func TestChangesOfAllServicesAreOneList(t *testing.T) {
	writers := map[string]*writerOf{"mapper": {}, "licence": {}, "billing": {}}
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	var want []string
	for i := range 170 { // the newest first; services take turns, unevenly
		name := []string{"mapper", "licence", "billing", "billing", "licence"}[i%5]
		if i > 100 {
			name = "licence"
		}
		title := fmt.Sprintf("thing-%03d", i)
		want = append(want, title)
		w := writers[name]
		w.changes = append(w.changes, &itemv1.Change{Id: fmt.Sprintf("%s-%d", name, 1000-i), Title: title, Kind: name, Outcome: "applied", Who: "olga", Time: timestamppb.New(at.Add(-time.Duration(i) * time.Second))})
	}
	s := startWith(t, writers)
	p := s.enter(t, "vera", rpc.RoleViewer)
	pages := p.walk("/c/acme/changes", regexp.MustCompile(`(thing-\d+)`))
	if diff := cmp.Diff(want, slices.Concat(pages...)); diff != "" {
		t.Errorf("the list is not every change once, the newest first (-want +got):\n%s", diff)
	}
	if len(pages) != 4 || len(pages[0]) != pageSize {
		t.Errorf("%d pages, the first of %d", len(pages), len(pages[0]))
	}
	writers["licence"].down = true
	r := p.get("/c/acme/changes")
	if r.status != http.StatusOK || !strings.Contains(r.body, "No answer from: licence") || !strings.Contains(r.body, "thing-000") {
		t.Errorf("without one service: answers %d", r.status)
	}
}

func TestThePlanIsOneListInTheOrderOfItsDoing(t *testing.T) {
	writers := map[string]*writerOf{"mapper": {}, "licence": {}, "billing": {}}
	pounds := func(s string) *moneyv1.Money { return &moneyv1.Money{Amount: s, Currency: "GBP"} }
	var want []string
	add := func(name, kind string, n int) {
		for i := range n {
			title := fmt.Sprintf("%s-%03d", name, i)
			want = append(want, title)
			writers[name].plan = append(writers[name].plan, &itemv1.PlanItem{Kind: kind, Title: title, Action: "update", Status: &itemv1.Status{State: itemv1.State_STATE_HELD, Reason: &itemv1.Reason{Code: "x", Text: "because"}},
				MonthlyBefore: pounds("10"), MonthlyAfter: pounds("22.04"), Changes: []*itemv1.FieldChange{{Field: "count", Before: "12", After: "15"}}})
		}
	}
	add("mapper", "customer", 3)
	add("licence", "licence", 60)
	add("billing", "invoice-line", 100)
	s := startWith(t, writers)
	p := s.enter(t, "vera", rpc.RoleViewer)
	pages := p.walk("/c/acme/plan", regexp.MustCompile(`((?:mapper|licence|billing)-\d{3})`))
	if diff := cmp.Diff(want, slices.Concat(pages...)); diff != "" {
		t.Errorf("the plan is not every item once, in order (-want +got):\n%s", diff)
	}
	r := p.get("/c/acme/plan")
	for _, says := range []string{"£1,000.00", "£2,204.00", "&#43;£1,204.00", "163", "because"} {
		if !strings.Contains(r.body, says) {
			t.Errorf("the plan does not say %q", says)
		}
	}
	lines := p.walk("/c/acme/plan?kind=invoice-line", regexp.MustCompile(`((?:mapper|licence|billing)-\d{3})`))
	if got := slices.Concat(lines...); len(got) != 100 || got[0] != "billing-000" {
		t.Errorf("%d lines", len(got))
	}
}

func TestARunIsFollowedAsItGoes(t *testing.T) {
	s := start(t)
	run := func(stage string, seen int64, outcome runv1.Outcome) *runv1.Run {
		return &runv1.Run{Id: "r1", Connection: "acme", Stage: stage, Outcome: outcome, StartTime: stamp("2026-11-23T14:00:00Z"), Subscriptions: &runv1.Counts{Seen: seen}}
	}
	s.runs = map[string]*runv1.Run{"r1": run("fetching", 10, runv1.Outcome_OUTCOME_RUNNING), "theirs": {Id: "theirs", Connection: "other"}}
	s.watch = []*runv1.Run{run("fetching", 1000, runv1.Outcome_OUTCOME_RUNNING), run("comparing", 2011, runv1.Outcome_OUTCOME_RUNNING), run("done", 2011, runv1.Outcome_OUTCOME_SUCCEEDED)}
	p := s.enter(t, "vera", rpc.RoleViewer)
	if r := p.get("/c/acme/runs/r1"); !strings.Contains(r.body, `data-live="/c/acme/runs/r1/live"`) {
		t.Error("a run under way does not keep itself up to date")
	}
	r := p.get("/c/acme/runs/r1/live", header("Accept", "text/event-stream"))
	if r.header.Get("Content-Type") != "text/event-stream" || strings.Count(r.body, "event: replace\n") != 3 || !strings.HasSuffix(r.body, "event: end\ndata: done\n\n") {
		t.Errorf("the stream is:\n%s", r.body)
	}
	for _, says := range []string{"1,000", "2,011", "Compare with what was known", "Succeeded"} {
		if !strings.Contains(r.body, says) {
			t.Errorf("the stream does not say %q", says)
		}
	}
	for line := range strings.Lines(r.body) {
		if line != "\n" && !strings.HasPrefix(line, "data: ") && !strings.HasPrefix(line, "event: ") {
			t.Fatalf("the stream has the line %q", line)
		}
	}
	for _, path := range []string{"/c/acme/runs/theirs", "/c/acme/runs/theirs/live"} {
		if r := p.get(path); r.status != http.StatusNotFound {
			t.Errorf("another connection's run at %s: answers %d", path, r.status)
		}
	}
}

func TestAHeldRunIsDecidedOnWithAReason(t *testing.T) {
	s := start(t)
	s.runs = map[string]*runv1.Run{"r1": {Id: "r1", Connection: "acme", Outcome: runv1.Outcome_OUTCOME_HELD, Reason: &itemv1.Reason{Text: "12 would be removed"}, StartTime: stamp("2026-11-23T14:00:00Z")}}
	p := s.enter(t, "olga", rpc.RoleOperator)
	page := "/c/acme/runs/r1/decide?as=release"
	if r := p.post("/c/acme/runs/r1/decide", page, "as", "release", "reason", " "); r.status != http.StatusUnprocessableEntity || !strings.Contains(r.body, "Say in a few words") || !strings.Contains(r.body, `aria-invalid="true"`) {
		t.Errorf("without a reason: answers %d", r.status)
	}
	if r := p.post("/c/acme/runs/r1/decide", page, "as", "release", "reason", "customer left"); r.to != "/c/acme/runs/r1" {
		t.Fatalf("answers %d: %s", r.status, r.body)
	}
	if got := s.caller("ReleaseRun customer left"); got.Name != "olga" {
		t.Errorf("released by %+v", got)
	}
	if r := p.get("/c/acme/runs/r1"); !strings.Contains(r.body, "The run is released") {
		t.Error("the page after it does not say so")
	}
	if r := p.get("/c/acme/runs/r1"); strings.Contains(r.body, "The run is released") {
		t.Error("it is said twice")
	}
	s.fail = rpc.FailedPrecondition("RUN_DECIDED", "r1", "run r1 was rejected by ann meanwhile").Do("look at it again")
	if r := p.post("/c/acme/runs/r1/decide", page, "as", "release", "reason", "customer left"); r.status != http.StatusConflict || !strings.Contains(r.body, "rejected by ann") || !strings.Contains(r.body, "customer left</textarea>") {
		t.Errorf("too late: answers %d", r.status)
	}
}
