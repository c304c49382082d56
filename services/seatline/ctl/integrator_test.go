package ctl

import (
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

func (s *everything) GetDeletionEffects(_ context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.DeletionEffects, error) {
	return &connectionv1.DeletionEffects{
		Slug: req.GetSlug(), StaysInHalo: []*connectionv1.Effect{{Code: "licences_stay", Count: 7, Text: "7 licences stay in Halo as they are."}},
		Stops: []*connectionv1.Effect{{Code: "polling_stops", Text: "0 subscriptions are not read."}}, Unknown: []string{"billing"},
	}, nil
}

func (s *everything) GetLeaveObserve(_ context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.LeaveObserve, error) {
	x := &connectionv1.LeaveObserve{Slug: req.GetSlug(), Mode: connectionv1.Mode_MODE_OBSERVE, MayLeave: true, Blockers: s.blockers,
		Questions: append(s.questions, &connectionv1.Question{Question: "What does the customer pay?", Answer: "No price rule.", Consequence: "Prices stay.", Setting: "price_rules"})}
	for _, b := range s.blockers {
		x.MayLeave = x.MayLeave && b.GetOverridable()
	}
	return x, nil
}

func (s *everything) EnableConnection(_ context.Context, req *connectionv1.EnableConnectionRequest) (*connectionv1.Connection, error) {
	if req.GetOverrideReason() != "agreed by phone" {
		return nil, rpc.FailedPrecondition("TWO_WRITERS", req.GetSlug(), "connection %q cannot be enabled in mode auto", req.GetSlug()).Do("try again; or give a reason (--override)")
	}
	return s.connections[req.GetSlug()], nil
}

func (s *everything) GetMethodChange(_ context.Context, req *connectionv1.GetMethodChangeRequest) (*connectionv1.MethodChange, error) {
	return &connectionv1.MethodChange{Slug: req.GetSlug(), To: req.GetMethod(), Matched: 1, Explanation: []string{"1 licence matches."},
		Rows: []*connectionv1.MethodRow{{Kind: connectionv1.MethodRow_KIND_MATCHED, KeyBefore: "giacom/1", KeyAfter: "microsoft/a", Name: "Business Premium", QuantityBefore: "5", QuantityAfter: "5"}}}, nil
}

func (s *everything) RotateSecrets(_ context.Context, req *connectionv1.RotateSecretsRequest) (*connectionv1.RotateSecretsResponse, error) {
	s.rotated = req
	return &connectionv1.RotateSecretsResponse{Connection: &connectionv1.Connection{Slug: req.GetSlug(), Giacom: &connectionv1.Giacom{ApiKey: &connectionv1.SecretRef{Version: 2, LastFour: "0042"}}}}, nil
}

func (s *everything) ResealSecrets(context.Context, *connectionv1.ResealSecretsRequest) (*connectionv1.ResealSecretsResponse, error) {
	return &connectionv1.ResealSecretsResponse{Resealed: 3, Current: 1, Unreadable: s.unreadable}, nil
}

func (s *everything) ListConnectionChanges(_ context.Context, req *connectionv1.ListConnectionChangesRequest) (*connectionv1.ListConnectionChangesResponse, error) {
	s.filters = append(s.filters, req.GetFilter())
	return &connectionv1.ListConnectionChangesResponse{Changes: []*connectionv1.ConnectionChange{{
		Connection: "acme", What: "updated", Who: "olga", Time: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), Reason: "agreed by phone",
		Fields: []*itemv1.FieldChange{{Field: "mode", Before: "MODE_OBSERVE", After: "MODE_AUTO"}},
	}}}, nil
}

func (s *everything) GetRunReport(_ context.Context, req *runv1.GetRunReportRequest) (*runv1.RunReport, error) {
	return &runv1.RunReport{Run: &runv1.Run{Id: req.GetId(), Connection: "acme"}, Changes: []*itemv1.Change{{
		Run: req.GetId(), Kind: "licence", Key: "microsoft/a", Title: "=HYPERLINK(\"x\"), \"Ltd\"", Outcome: "applied", Action: "update", Time: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		Changes:       []*itemv1.FieldChange{{Field: "count", Before: "5", After: "6"}},
		MonthlyBefore: &moneyv1.Money{Amount: "-5.00", Currency: "GBP"}, MonthlyAfter: &moneyv1.Money{Amount: "6.00", Currency: "GBP"},
	}}}, nil
}

func TestDeletingShowsWhatItMeansFirst(t *testing.T) {
	out, code, message := seatline(t, start(t, &everything{}), "connections", "delete", "acme")
	if code != rpc.ExitUsage || !strings.Contains(message, "--yes") || !strings.Contains(out, "7 licences stay in Halo") || !strings.Contains(out, "what billing would add") ||
		strings.Contains(out, "0 subscriptions") {
		t.Errorf("%d %s\n%s", code, message, out)
	}
}

func TestLeavingObserveAsksAndRefuses(t *testing.T) {
	s := &everything{connections: map[string]*connectionv1.Connection{"acme": {Slug: "acme", Etag: "e1", Mode: connectionv1.Mode_MODE_OBSERVE}}}
	dir := start(t, s)
	if out, code, message := seatline(t, dir, "connections", "leave-observe", "acme"); code != 0 || !strings.Contains(out, "What does the customer pay?") || len(s.applied) != 0 {
		t.Errorf("%d %s\n%s", code, message, out)
	}
	for _, how := range [][]string{{"--canary", "MEX1"}, {"--override", "agreed by phone"}, {"--canary", "MEX1", "--override", "agreed by phone"}} {
		out, code, message := seatline(t, dir, append([]string{"connections", "leave-observe", "acme"}, how...)...)
		if code != rpc.ExitUsage || !strings.Contains(out, "What does the customer pay?") || !strings.Contains(message, "writes nothing yet") || !strings.Contains(message, "--yes") || !strings.Contains(message, how[0]) || len(s.applied) != 0 {
			t.Errorf("%v without --yes: %d %s\n%s", how, code, message, out)
		}
	}
	if out, code, message := seatline(t, dir, "connections", "leave-observe", "acme", "--yes", "--canary", "MEX1"); code != 0 || !strings.Contains(out, "what concerns MEX1") {
		t.Errorf("%d %s\n%s", code, message, out)
	}
	if got := s.applied[0]; got.GetConnection().GetMode() != connectionv1.Mode_MODE_AUTO || got.GetConnection().GetEtag() != "e1" || got.GetConnection().GetCanary().GetMexIds()[0] != "MEX1" {
		t.Errorf("applied %v", got)
	}
	s.blockers = []*connectionv1.Blocker{{Code: "halo_token", Text: "No token.", Fix: "Correct the secret."}}
	if _, code, message := seatline(t, dir, "connections", "leave-observe", "acme", "--yes"); code != rpc.ExitRefused || !strings.Contains(message, "Correct the secret") || len(s.applied) != 1 {
		t.Errorf("%d %s", code, message)
	}
	s.blockers[0].Overridable = true
	if _, code, message := seatline(t, dir, "connections", "leave-observe", "acme", "--yes", "--override", "agreed by phone"); code != 0 || s.applied[1].GetOverrideReason() != "agreed by phone" {
		t.Errorf("%d %s", code, message)
	}
}

func TestEnablingTakesAReason(t *testing.T) {
	s := &everything{connections: map[string]*connectionv1.Connection{"acme": {Slug: "acme", Mode: connectionv1.Mode_MODE_AUTO}}}
	dir := start(t, s)
	if _, code, message := seatline(t, dir, "connections", "enable", "acme"); code != rpc.ExitRefused || !strings.Contains(message, "--override") {
		t.Errorf("%d %s", code, message)
	}
	if out, code, message := seatline(t, dir, "connections", "enable", "acme", "--override", "agreed by phone"); code != 0 || !strings.Contains(out, "enabled, in mode auto") {
		t.Errorf("%d %s\n%s", code, message, out)
	}
}

func TestAMethodIsShownBeforeItIsChosen(t *testing.T) {
	s := &everything{connections: map[string]*connectionv1.Connection{"acme": {Slug: "acme", Giacom: &connectionv1.Giacom{}, Licences: &connectionv1.Licences{}}}}
	dir := start(t, s)
	out, code, message := seatline(t, dir, "connections", "method", "acme", "report")
	if code != 0 || !strings.Contains(out, "1 licence matches.") || !strings.Contains(out, "microsoft/a") || len(s.applied) != 0 {
		t.Errorf("%d %s\n%s", code, message, out)
	}
	if _, code, message := seatline(t, dir, "connections", "method", "acme", "report", "--yes", "--ask"); code != 0 || s.applied[0].GetConnection().GetLicences().GetAdoptAcrossMethods() ||
		s.applied[0].GetConnection().GetGiacom().GetMethod() != connectionv1.ImportMethod_IMPORT_METHOD_REPORT {
		t.Errorf("%d %s %v", code, message, s.applied)
	}
}

// Secrets come by reference, like those of files, and show nowhere.
func TestSecretsAreRotatedByReference(t *testing.T) {
	s := &everything{}
	dir := start(t, s)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("sesame-0042\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code, message := seatline(t, dir, "connections", "rotate", "acme", "--giacom-api-key", "file:"+file)
	if code != 0 || s.rotated.GetGiacomApiKey() != "sesame-0042" || !strings.Contains(out, "version 2 (ends in 0042)") || strings.Contains(out, "sesame") {
		t.Errorf("%d %s\n%s", code, message, out)
	}
	if _, code, message := seatline(t, dir, "connections", "rotate", "acme", "--halo-client-secret", "sesame"); code != rpc.ExitUsage || strings.Contains(message, "sesame") {
		t.Errorf("%d %s", code, message)
	}
	if _, code, _ := seatline(t, dir, "connections", "rotate", "acme"); code != rpc.ExitUsage {
		t.Errorf("nothing to rotate exits %d", code)
	}
	if out, code, _ := seatline(t, dir, "connections", "reseal"); code != 0 || !strings.Contains(out, "3 secrets sealed anew, 1 were already") {
		t.Errorf("%d %s", code, out)
	}
	s.unreadable = []string{"acme/giacom_api_key"}
	if _, code, message := seatline(t, dir, "connections", "reseal"); code != rpc.ExitFailed || !strings.Contains(message, "acme/giacom_api_key") {
		t.Errorf("%d %s", code, message)
	}
}

func TestTheIntegratorIsSet(t *testing.T) {
	s := &everything{connections: map[string]*connectionv1.Connection{"acme": {
		Slug: "acme", Etag: "e1", Schedule: &connectionv1.Schedule{Cron: "0 6-22 * * *", Customers: true, Subscriptions: true}, Licences: &connectionv1.Licences{},
	}}}
	dir := start(t, s)
	out, code, message := seatline(t, dir, "integrator", "set", "acme", "--enable", "--every", "90m", "--entities", "subscriptions", "--deactivate-removed")
	if code != 0 || !strings.Contains(out, "every 1h30m0s") || !strings.Contains(out, "are deactivated") {
		t.Fatalf("%d %s\n%s", code, message, out)
	}
	got := s.applied[0].GetConnection()
	if x := got.GetSchedule(); !x.GetEnabled() || x.GetInterval().AsDuration() != 90*time.Minute || x.GetCron() != "" || x.GetCustomers() || !x.GetSubscriptions() || !got.GetLicences().GetDeactivateRemoved() || got.GetEtag() != "e1" {
		t.Errorf("applied %v", got)
	}
	if out, code, _ := seatline(t, dir, "connections", "history", "acme"); code != 0 || !strings.Contains(out, "mode: MODE_OBSERVE → MODE_AUTO") || !strings.Contains(out, "agreed by phone") || s.filters[0] != `connection = "acme"` {
		t.Errorf("%d %s", code, out)
	}
}

// A report in a spreadsheet: quotes and commas hold, formulas do not run, money is a number.
func TestAReportAsCSV(t *testing.T) {
	out, code, message := seatline(t, start(t, &everything{}), "integrator", "report", "r1", "--csv")
	if code != 0 {
		t.Fatal(message)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(out, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%v, %v", rows, err)
	}
	if got := rows[1]; got[4] != `'=HYPERLINK("x"), "Ltd"` || got[7] != "count: 5 → 6" || got[9] != "-5.00" || got[11] != "GBP" {
		t.Errorf("row %q", got)
	}
}
