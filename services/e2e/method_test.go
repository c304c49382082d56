package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/seatline/ctl"
)

// perProduct counts the active licences of each customer and product in Halo, and their seats.
func (s *story) perProduct() map[string]string {
	count, seats := map[string]int{}, map[string]int64{}
	for _, l := range s.w.Halo.State().Licences {
		if !l.IsActive {
			continue
		}
		name, _, _ := strings.Cut(l.Name, " (")
		key := fmt.Sprint(l.ClientID, " ", name)
		count[key]++
		seats[key] += l.Count
	}
	all := map[string]string{}
	for key := range count {
		all[key] = fmt.Sprintf("%d licences of %d seats", count[key], seats[key])
	}
	return all
}

// The operator moves from all products to the report for Microsoft, as the guide says one may. Halo's own integration
// would create every licence a second time. Here the preview says what will happen, it happens so, every licence stays
// the one it was, every line its link, and the customers' bills stay what they were; then the way back.
func TestTheImportMethodIsChangedAndNothingIsBilledTwice(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: small(), rules: keepAndAdd, settings: func(c *connectionv1.Connection) {
		c.Giacom.Method = connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS
	}})
	s.poll(true)
	s.poll(true)
	before, bills := s.perProduct(), s.nextBills()
	licences, links := world.Links(s.w.Halo.State())
	if len(licences) == 0 || len(links) == 0 || bills.IsZero() {
		t.Fatalf("a story about nothing: %d licences, %d lines, %s", len(licences), len(links), bills)
	}

	console := connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console))
	change, err := console.GetMethodChange(s.ctx, &connectionv1.GetMethodChangeRequest{Slug: "acme", Method: connectionv1.ImportMethod_IMPORT_METHOD_BOTH})
	s.must(err)
	t.Log(strings.Join(change.GetExplanation(), "\n"))
	if total := change.GetSame() + change.GetMatched() + change.GetUnsure() + change.GetNew(); total != int64(len(s.data.Giacom.Subscriptions)) || change.GetMatched() == 0 || change.GetNew() != 0 || change.GetStops() != 0 {
		t.Fatalf("the preview says %v", change)
	}
	if after := s.nextBills(); !after.Equal(bills) || !maps.Equal(before, s.perProduct()) {
		t.Fatal("the preview changed something")
	}

	s.apply(func(c *connectionv1.Connection) { c.Giacom.Method = connectionv1.ImportMethod_IMPORT_METHOD_BOTH })
	run := s.pollOnly(true)
	if n := run.GetSubscriptions(); n.GetSuperseded() != change.GetMatched()+change.GetUnsure() || run.GetOutcome() != runv1.Outcome_OUTCOME_SUCCEEDED {
		t.Errorf("the run found %v, the preview said %d matched and %d unsure", n, change.GetMatched(), change.GetUnsure())
	}
	s.unchanged("after the change of the method", before, licences, links)
	marks := 0
	for _, l := range s.w.Halo.State().Licences {
		if strings.HasPrefix(l.SnowID, "giacom:acme:microsoft/") {
			marks++
		}
	}
	if int64(marks) < change.GetMatched() {
		t.Errorf("%d licences go on under their new id, the preview said %d", marks, change.GetMatched())
	}
	for range 3 { // what later runs conclude from the former ids that never come again: nothing
		s.pollOnly(true)
	}
	s.unchanged("after more runs", before, licences, links)

	s.apply(func(c *connectionv1.Connection) {
		c.Giacom.Method = connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS
	})
	s.pollOnly(true)
	s.unchanged("after the way back", before, licences, links)

	// The run can be reported at any later time, and the history says what each did.
	integrator := runv1.NewIntegratorServiceClient(s.w.Client(ctl.Console))
	report, err := integrator.GetRunReport(s.ctx, &runv1.GetRunReportRequest{Id: run.GetId()})
	s.must(err)
	adopted := int64(0)
	for _, n := range report.GetCounts() {
		if n.GetKind() == "licence" && n.GetAction() == "create" {
			t.Errorf("the report counts licences created: %v", n)
		}
		if n.GetKind() == "licence" && n.GetAction() == "adopt" && n.GetOutcome() == "applied" {
			adopted += n.GetCount()
		}
	}
	if adopted != change.GetMatched() || int64(len(report.GetChanges())) < adopted || len(report.GetUnknown()) != 0 {
		t.Errorf("the report tells of %d licences taken over, the preview said %d", adopted, change.GetMatched())
	}
	history, err := integrator.ListRunHistory(s.ctx, &runv1.ListRunHistoryRequest{Connection: "acme"})
	s.must(err)
	if len(history.GetRuns()) != 7 {
		t.Errorf("%d runs in the history, want 7", len(history.GetRuns()))
	}
}

// unchanged checks that nothing is billed twice: the licences, their seats and their links are the same.
func (s *story) unchanged(when string, before map[string]string, licences []int64, links map[int64][]int64) {
	s.Helper()
	if after := s.perProduct(); !maps.Equal(before, after) {
		s.Fatalf("%s, Halo has\n%v\nand had\n%v", when, after, before)
	}
	nowLicences, nowLinks := world.Links(s.w.Halo.State())
	if !slices.Equal(licences, nowLicences) {
		s.Fatalf("%s, the licences are %v, and were %v", when, nowLicences, licences)
	}
	if !maps.EqualFunc(links, nowLinks, slices.Equal[[]int64]) {
		s.Fatalf("%s, lines link %v, and did %v", when, nowLinks, links)
	}
}

// pollOnly is poll without the oracle, which knows one import method only.
func (s *story) pollOnly(scheduled bool) *runv1.Run {
	s.Helper()
	run, err := s.w.Run(s.ctx, "acme", scheduled)
	s.must(err)
	s.settle()
	return run
}

// To the report alone: what is not Microsoft's is not listed any more. Its licences stay as they are, although licences
// that are deleted from Giacom are deactivated, and are shown as gone.
func TestWhatTheReportDoesNotListStaysAsItIs(t *testing.T) {
	t.Parallel()
	data := small()
	other := 0
	for i := range data.Giacom.Subscriptions {
		if x := &data.Giacom.Subscriptions[i]; i%4 == 0 {
			other++
			x.GUID, x.Service, x.OfferID, x.ProductID = "", "Backup", "", fmt.Sprintf("bk-%d", i)
			x.Name, x.Reference = fmt.Sprintf("Hornet Backup %d", i), ""
		}
	}
	s := tell(t, plot{estate: data, rules: keepAndAdd})
	s.poll(true)
	before := s.perProduct()
	console := connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console))
	change, err := console.GetMethodChange(s.ctx, &connectionv1.GetMethodChangeRequest{Slug: "acme", Method: connectionv1.ImportMethod_IMPORT_METHOD_REPORT})
	s.must(err)
	if change.GetStops() != int64(other) || change.GetNew() != 0 || change.GetMatched() != 0 {
		t.Fatalf("the preview says %v, want %d to stop", change, other)
	}
	s.apply(func(c *connectionv1.Connection) { c.Giacom.Method = connectionv1.ImportMethod_IMPORT_METHOD_REPORT })
	for range 4 {
		s.pollOnly(true)
	}
	if after := s.perProduct(); !maps.Equal(before, after) {
		t.Fatalf("Halo has\n%v\nand had\n%v", after, before)
	}
	effects, err := console.GetDeletionEffects(s.ctx, &connectionv1.GetConnectionRequest{Slug: "acme"})
	s.must(err)
	if len(effects.GetUnknown()) != 0 || effects.GetStaysInHalo()[0].GetCount() == 0 {
		t.Errorf("deleting would mean %v", effects)
	}
}

// Leaving observe, with Halo's own integration switched on.
func TestLeavingObserveWithASecondWriter(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: small(), settings: func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_OBSERVE }})
	s.pollOnly(true)
	s.w.Halo.EditControl(func(c *halosim.Control) { c.GiacomIntegrator = true })
	console := connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console))
	leave, err := console.GetLeaveObserve(s.ctx, &connectionv1.GetConnectionRequest{Slug: "acme"})
	s.must(err)
	if len(leave.GetBlockers()) != 1 || leave.GetBlockers()[0].GetCode() != "two_writers_giacom" || len(leave.GetQuestions()) != 6 || len(leave.GetPlan()) == 0 || len(leave.GetUnknown()) != 0 {
		t.Errorf("leaving: %v", leave)
	}
	c, err := console.GetConnection(s.ctx, &connectionv1.GetConnectionRequest{Slug: "acme"})
	s.must(err)
	c.Mode = connectionv1.Mode_MODE_AUTO
	if _, err = console.ApplyConnection(s.ctx, &connectionv1.ApplyConnectionRequest{Connection: c}); err == nil || !strings.Contains(err.Error(), "cannot leave observe") {
		t.Fatalf("with two writers: %v", err)
	}
	s.w.Halo.EditControl(func(c *halosim.Control) { c.GiacomIntegrator = false })
	if leave, err = console.GetLeaveObserve(s.ctx, &connectionv1.GetConnectionRequest{Slug: "acme"}); err != nil || len(leave.GetBlockers()) != 0 || !leave.GetMayLeave() {
		t.Errorf("after it was switched off: %v, %v", leave, err)
	}
	_, err = console.ApplyConnection(s.ctx, &connectionv1.ApplyConnectionRequest{Connection: c})
	s.must(err)

	// The import that is shown is the one that comes.
	preview, err := runv1.NewIntegratorServiceClient(s.w.Client(ctl.Console)).GetSubscriptionImport(s.ctx, &runv1.GetSubscriptionImportRequest{Connection: "acme"})
	s.must(err)
	if !preview.GetComplete() || preview.GetCreate() != 0 || preview.GetUnchanged() != int64(len(s.data.Giacom.Subscriptions)) || len(preview.GetUnknown()) != 0 {
		t.Errorf("preview: %v", preview)
	}
}
