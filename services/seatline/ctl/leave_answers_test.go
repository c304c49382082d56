package ctl

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

func (s *everything) SetPriceRules(_ context.Context, req *pricingv1.SetPriceRulesRequest) (*pricingv1.PriceRules, error) {
	for _, r := range req.GetRules().GetRules() {
		if r.GetFixed() == "cheap" {
			return nil, rpc.InvalidArgument("rules.rules[0].fixed", "%q is not a price", "cheap")
		}
	}
	if !req.GetValidateOnly() {
		s.rules = append(s.rules, req)
	}
	return req.GetRules(), nil
}

// observing is a connection that has answered nothing yet.
func observing() *everything {
	return &everything{connections: map[string]*connectionv1.Connection{"acme": {
		Slug: "acme", Etag: "e1", Mode: connectionv1.Mode_MODE_OBSERVE,
		Giacom: &connectionv1.Giacom{}, Customers: &connectionv1.Customers{Create: true}, Licences: &connectionv1.Licences{}, Billing: &connectionv1.Billing{},
	}}}
}

func TestQuestionsSayHowTheyAreAnswered(t *testing.T) {
	s := observing()
	yes := []*connectionv1.Choice{{Value: "true", Text: "Yes"}, {Value: "false", Text: "No"}}
	s.questions = []*connectionv1.Question{
		{Setting: "billing.pro_rata", Choices: []*connectionv1.Choice{{Value: "0", Text: "none"}, {Value: "1", Text: "from the date of change"}}},
		{Setting: "giacom.annual_price_basis", Choices: []*connectionv1.Choice{{Value: "PER_SEAT_PER_MONTH", Text: "A seat for a month"}}},
		{Setting: "customers.create", Choices: yes}, {Setting: "licences.deactivate_removed", Choices: yes},
	}
	dir := start(t, s)
	out, code, message := seatline(t, dir, "connections", "leave-observe", "acme")
	if code != 0 {
		t.Fatalf("%d %s", code, message)
	}
	for _, want := range []string{
		"--pro-rata=0 (none), 1 (from the date of change)", "--price-basis=per-seat-per-month (A seat for a month)", "--create-customers=true (Yes), false (No)", "--deactivate-removed=true (Yes)", "--rules=FILE",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not said in:\n%s", want, out)
		}
	}
	if len(s.applied)+len(s.rules) != 0 {
		t.Errorf("looking changed %v %v", s.applied, s.rules)
	}
}

func TestAnswersAreKeptWithoutBeginning(t *testing.T) {
	s := observing()
	dir := start(t, s)
	file := filepath.Join(dir, "rules.yaml")
	write(t, file, "- {cost_plus_percent: 20, add_line: {}}\n")
	out, code, message := seatline(t, dir, "connections", "leave-observe", "acme", "--pro-rata=0", "--price-basis=per-seat-per-term", "--create-customers=false", "--deactivate-removed", "--rules", file)
	if code != 0 || !strings.Contains(out, "Before it writes to Halo") {
		t.Fatalf("%d %s\n%s", code, message, out)
	}
	want := &connectionv1.Connection{
		Slug: "acme", Etag: "e1", Mode: connectionv1.Mode_MODE_OBSERVE, Giacom: &connectionv1.Giacom{AnnualPriceBasis: moneyv1.Basis_BASIS_PER_SEAT_PER_TERM},
		Customers: &connectionv1.Customers{}, Licences: &connectionv1.Licences{DeactivateRemoved: true}, Billing: &connectionv1.Billing{ProRata: proto.Int32(0)},
	}
	if len(s.applied) != 1 || !proto.Equal(s.applied[0].GetConnection(), want) {
		t.Errorf("the answers became %v, want %v", s.applied, want)
	}
	if len(s.rules) != 1 || s.rules[0].GetRules().GetConnection() != "acme" || s.rules[0].GetRules().GetRules()[0].GetCostPlusPercent() != "20" || s.rules[0].GetRules().GetRules()[0].GetAddLine() == nil {
		t.Errorf("the rules became %v", s.rules)
	}
	// One answer leaves the others as they are.
	if _, code, message := seatline(t, dir, "connections", "leave-observe", "acme", "--no-deactivate-removed"); code != 0 || !s.applied[1].GetConnection().GetCustomers().GetCreate() || len(s.rules) != 1 {
		t.Errorf("%d %s %v", code, message, s.applied[1])
	}
}

func TestNoAnswerIsKeptWhenOneIsWrong(t *testing.T) {
	s := observing()
	dir := start(t, s)
	file := filepath.Join(dir, "rules.yaml")
	for content, says := range map[string]string{"- {cost_plus: 20}\n": "rules.yaml:1", "- {fixed: cheap}\n": "is not a price"} {
		write(t, file, content)
		if _, code, message := seatline(t, dir, "connections", "leave-observe", "acme", "--yes", "--pro-rata=1", "--rules", file); code != rpc.ExitUsage || !strings.Contains(message, says) {
			t.Errorf("%q: %d %s", content, code, message)
		}
	}
	if _, code, message := seatline(t, dir, "connections", "leave-observe", "acme", "--price-basis=per-seat-per-day"); code != rpc.ExitUsage || !strings.Contains(message, "per-seat-per-month") {
		t.Errorf("%d %s", code, message)
	}
	s.blockers = []*connectionv1.Blocker{{Code: "halo_token", Text: "No token.", Fix: "Correct the secret."}}
	if _, code, _ := seatline(t, dir, "connections", "leave-observe", "acme", "--yes", "--pro-rata=1"); code != rpc.ExitRefused {
		t.Errorf("blocked: exit %d", code)
	}
	if len(s.applied)+len(s.rules) != 0 {
		t.Errorf("kept all the same: %v %v", s.applied, s.rules)
	}
}

// Whoever answers and begins at once writes by the answers, not by what held before.
func TestAnswersAreKeptBeforeItBegins(t *testing.T) {
	s := observing()
	dir := start(t, s)
	if _, code, message := seatline(t, dir, "connections", "leave-observe", "acme", "--pro-rata=1", "--yes"); code != 0 || len(s.applied) != 2 {
		t.Fatalf("%d %s %v", code, message, s.applied)
	}
	if first := s.applied[0].GetConnection(); first.GetBilling().GetProRata() != 1 || first.GetMode() != connectionv1.Mode_MODE_OBSERVE {
		t.Errorf("first %v", first)
	}
	if then := s.applied[1].GetConnection(); then.GetMode() != connectionv1.Mode_MODE_AUTO {
		t.Errorf("then %v", then)
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
