package fetcher_test

import (
	"strings"
	"testing"
	"time"

	"seatline.dev/pkg/giacom/giacomsim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

func byMethod(m connectionv1.ImportMethod) func(*connectionv1.Connection) {
	return func(c *connectionv1.Connection) { c.Giacom.Method = m }
}

// What another import method lists under other ids is superseded at once, in the run that finds the new ids: it is not
// taken for a removal, holds no run, and no scheduled run makes it one.
func TestAnotherMethodSupersedesAndRemovesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(byMethod(connectionv1.ImportMethod_IMPORT_METHOD_REPORT)).estate(4, 3)
	w.succeeded(w.poll())
	preview, err := w.runs.GetPullPreview(t.Context(), &runv1.GetPullPreviewRequest{
		Connection: "demo", Subscriptions: true, Method: connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS,
	})
	w.must(err)
	if n := preview.GetSubscriptions(); n.GetNew() != 12 || n.GetSuperseded() != 12 || n.GetRemoved() != 0 || !preview.GetMethodChanged() ||
		preview.GetMatched() != 12 || preview.GetUnsure() != 0 || preview.GetUnmatched() != 0 || preview.GetReason() != nil {
		t.Fatalf("preview: %v", preview)
	}
	for _, r := range preview.GetRows() {
		if r.GetMatch() != runv1.PreviewRow_MATCH_ONE || strings.TrimLeft(r.GetKey(), "microsftga/") != strings.TrimLeft(r.GetMatchKey(), "microsftga/") {
			t.Errorf("%s is matched with %q", r.GetKey(), r.GetMatchKey())
		}
	}
	if n := w.count(`select count(*) from runs`) + w.count(`select count(*) from seen where entity = 2 and removal <> 0`); n != 1 {
		t.Errorf("the preview left something behind")
	}

	w.configure(byMethod(connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS))
	run := w.succeeded(w.pollAsScheduled())
	if n := run.GetSubscriptions(); n.GetNew() != 12 || n.GetSuperseded() != 12 || n.GetAbsent() != 0 || n.GetRemoved() != 0 {
		t.Errorf("the run after the change: %v", n)
	}
	for range 3 { // no later run makes a removal of it
		w.clock.Advance(2 * time.Hour)
		run = w.succeeded(w.pollAsScheduled())
		if n := run.GetSubscriptions(); n.GetUnchanged() != 12 || n.GetSuperseded()+n.GetAbsent()+n.GetRemoved() != 0 {
			t.Errorf("a later run: %v", n)
		}
	}
	for key, x := range w.published() {
		former := strings.HasPrefix(key, "microsoft/")
		if former != (x.Type == "seatline.giacom.subscription.removed.v1") || former != (x.Removal.GetProof() == giacomv1.Removal_PROOF_METHOD) || x.Removal.GetScheduled() {
			t.Errorf("%s: %s, %v", key, x.Type, x.Removal)
		}
	}

	// And back: the former ids live again.
	w.configure(byMethod(connectionv1.ImportMethod_IMPORT_METHOD_REPORT))
	if n := w.succeeded(w.poll()).GetSubscriptions(); n.GetChanged() != 12 || n.GetSuperseded() != 12 {
		t.Errorf("the way back: %v", n)
	}
	for key, x := range w.published() {
		if former := strings.HasPrefix(key, "giacom/"); former != (x.Removal != nil) {
			t.Errorf("after the way back %s: %s, %v", key, x.Type, x.Removal)
		}
	}
}

// A pull by the new method that is not complete supersedes nothing; the first complete one does.
func TestOnlyACompletePullSupersedes(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(byMethod(connectionv1.ImportMethod_IMPORT_METHOD_REPORT)).estate(2, 2)
	w.succeeded(w.poll())
	w.configure(byMethod(connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS))
	w.must(w.sim.Inject(giacomsim.Fault{Name: "no_id", Route: "subscriptions"}))
	w.want(w.poll(), runv1.Outcome_OUTCOME_INCOMPLETE)
	for key, x := range w.published() {
		if x.Removal != nil {
			t.Errorf("%s was superseded by a pull that was not complete", key)
		}
	}
}

// What is missing because Giacom no longer has it goes on to be a removal, and holds a run as before.
func TestARemovalUnderOneMethodStaysARemoval(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(oneMissProves).estate(2, 2)
	w.succeeded(w.poll())
	w.must(w.sim.Remove("s0001"))
	if n := w.succeeded(w.poll()).GetSubscriptions(); n.GetRemoved() != 1 || n.GetSuperseded() != 0 {
		t.Errorf("got %v", n)
	}
}

func TestPreviewOfAnImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(3, 2)
	w.succeeded(w.poll())
	s := subscription(1, "MEX001")
	s.Quantity.Decimal = s.Quantity.Decimal.Add(s.Quantity.Decimal)
	w.must(w.sim.PutSubscription(s))
	w.must(w.sim.PutSubscription(subscription(7, "MEX002")))
	w.must(w.sim.Remove("s0006"))
	before := w.count(`select coalesce(max(revision), 0) from seen`) + w.count(`select count(*) from history`)
	p, err := w.runs.GetPullPreview(t.Context(), &runv1.GetPullPreviewRequest{Connection: "demo"})
	w.must(err)
	if n := p.GetSubscriptions(); n.GetNew() != 1 || n.GetChanged() != 1 || n.GetUnchanged() != 4 || n.GetAbsent() != 1 || !p.GetComplete() {
		t.Errorf("preview: %v", p)
	}
	kinds := map[string]runv1.PreviewRow_Kind{}
	for _, r := range p.GetRows() {
		kinds[r.GetKey()] = r.GetKind()
		if r.GetKey() == "microsoft/g0001" && (r.GetQuantityBefore() != "1" || r.GetQuantity() != "2" || r.GetCustomerName() != "Customer MEX001") {
			t.Errorf("row: %v", r)
		}
	}
	if kinds["microsoft/g0001"] != runv1.PreviewRow_KIND_CHANGED || kinds["microsoft/g0007"] != runv1.PreviewRow_KIND_NEW || kinds["microsoft/g0006"] != runv1.PreviewRow_KIND_ABSENT || len(kinds) != 3 {
		t.Errorf("rows: %v", kinds)
	}
	if after := w.count(`select coalesce(max(revision), 0) from seen`) + w.count(`select count(*) from history`); after != before {
		t.Error("the preview stored or published something")
	}
	// The run does what the preview said.
	if n := w.succeeded(w.poll()).GetSubscriptions(); n.GetNew() != 1 || n.GetChanged() != 1 || n.GetAbsent() != 1 {
		t.Errorf("run: %v", n)
	}
	// Giacom away: a message, not a stack of causes.
	w.sim.RevokeKey()
	_, err = w.runs.GetPullPreview(t.Context(), &runv1.GetPullPreviewRequest{Connection: "demo"})
	if err == nil || !strings.Contains(err.Error(), "key not accepted") {
		t.Errorf("with the key revoked: %v", err)
	}
}

func TestSyncStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(1, 1)
	status := func() *runv1.SyncStatus {
		t.Helper()
		s, err := w.runs.GetSyncStatus(t.Context(), &runv1.GetSyncStatusRequest{Connection: "demo"})
		w.must(err)
		return s
	}
	if s := status(); s.GetLastRun() != nil || len(s.GetNextTimes()) != 0 || !strings.Contains(s.GetNoNext(), "switched off") {
		t.Errorf("at first: %v", s)
	}
	done := w.succeeded(w.poll())
	w.sim.RevokeKey()
	failed := w.want(w.poll(), runv1.Outcome_OUTCOME_FAILED)
	if s := status(); s.GetLastRun().GetId() != failed.GetId() || s.GetLastSuccess().GetId() != done.GetId() || s.GetLastError().GetReason().GetCode() != "giacom_key_rejected" {
		t.Errorf("after a failure: %v", s)
	}
	w.configure(func(c *connectionv1.Connection) {
		c.Schedule = &connectionv1.Schedule{Enabled: true, Cron: "0 7-9 * * *"}
	})
	var next []string
	for _, at := range status().GetNextTimes() {
		next = append(next, at.AsTime().UTC().Format("02 15:04"))
	}
	if got := strings.Join(next, ", "); got != "05 07:00, 05 08:00, 05 09:00, 06 07:00, 06 08:00" {
		t.Errorf("next: %s", got)
	}
	w.configure(func(c *connectionv1.Connection) { c.Enabled = false })
	if s := status(); len(s.GetNextTimes()) != 0 || !strings.Contains(s.GetNoNext(), "disabled") {
		t.Errorf("disabled: %v", s)
	}
}

// The default schedule does its seventeen runs on the days when London's clocks change, too.
func TestTheDefaultScheduleOnTheDaysWhenTheClocksChange(t *testing.T) {
	t.Parallel()
	for _, day := range []time.Time{time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC)} {
		w := newWorld(t).estate(1, 1)
		w.clock.Advance(day.Add(-2 * time.Hour).Sub(w.clock.Now()))
		w.configure(func(c *connectionv1.Connection) {
			c.Schedule = &connectionv1.Schedule{Enabled: true}
			c.CreateTime.Seconds = w.clock.Now().Unix()
		})
		for w.clock.Now().Before(day.Add(30 * time.Hour)) {
			w.clock.Advance(20 * time.Minute)
			s, err := w.runs.GetSyncStatus(t.Context(), &runv1.GetSyncStatusRequest{Connection: "demo"})
			w.must(err)
			if len(s.GetNextTimes()) > 0 && !s.GetNextTimes()[0].AsTime().After(w.clock.Now()) || s.GetOpenRun() != nil {
				w.settledRun()
			}
		}
		zone, err := time.LoadLocation("Europe/London")
		w.must(err)
		got, err := w.runs.ListRuns(t.Context(), &runv1.ListRunsRequest{PageSize: 100, OrderBy: "start_time"})
		w.must(err)
		var hours []int
		for _, r := range got.GetRuns() {
			if at := r.GetStartTime().AsTime().In(zone); at.YearDay() == day.YearDay() {
				hours = append(hours, at.Hour())
			}
		}
		if len(hours) != 17 || hours[0] != 6 || hours[16] != 22 {
			t.Errorf("on %s runs began in the hours %v by London's clocks, want each from 6 to 22", day.Format(time.DateOnly), hours)
		}
	}
}

// settledRun waits until what is due has begun and ended.
func (w *world) settledRun() {
	w.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		s, err := w.runs.GetSyncStatus(w.t.Context(), &runv1.GetSyncStatusRequest{Connection: "demo"})
		w.must(err)
		if s.GetOpenRun() == nil && len(s.GetNextTimes()) > 0 && s.GetNextTimes()[0].AsTime().After(w.clock.Now()) {
			return
		}
		w.clock.Advance(time.Second)
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatal("a run that is due does not come about")
}
