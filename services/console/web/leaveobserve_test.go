package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

func TestObserveIsLeftWithReasonsAndACanary(t *testing.T) {
	s, d := atDesk(t, func(d *desk) {
		d.leave.Questions = []*connectionv1.Question{
			{Code: "pro_rata", Setting: "billing.pro_rata", Question: "How does Halo bill?", Answer: "Not answered.", Choices: []*connectionv1.Choice{{Value: "0", Text: "none"}, {Value: "1", Text: "from the date of change"}}},
			{Code: "sell_price", Setting: "price_rules", Question: "What does the customer pay?", Answer: "1 price rule", Answered: true},
		}
		d.leave.Blockers = []*connectionv1.Blocker{{Code: "two_writers_inty", Text: "Halo’s Inty integration is switched on.", Fix: "Turn it off.", Overridable: true}}
		d.leave.Plan = []*connectionv1.Effect{{Code: "licence", Count: 43, Text: "43 licences would be written."}}
	})
	p := s.enter(t, "olga", rpc.RoleOperator)
	const page, begin = "/c/acme/leave-observe", "/c/acme/leave-observe/begin"
	p.get(page).tells(t, "the page", "How does Halo bill?", "Not answered", "Turn it off.", "43 licences would be written.", "Choose a few customers")
	p.post(page, page, "etag", "c1", "billing.pro_rata", "1")
	req := last[*connectionv1.ApplyConnectionRequest](d)
	if c := req.GetConnection(); c.GetBilling().GetProRata() != 1 || c.GetEtag() != "c1" || c.GetMode() != connectionv1.Mode_MODE_OBSERVE || req.GetForce() {
		t.Errorf("the answer became %v", req)
	}
	p.get(page+"/canary?with=MEX%2F1%3F").tells(t, "the choice", "Chosen", "Go on", "/begin?with=MEX%2F1%3F")
	with := begin + "?" + url.Values{"with": {"MEX/1?", "halo:12"}}.Encode()
	p.get(with).tells(t, "the question", "Begin with 2 customers?", "Why it is right all the same", "halo:12")
	if r := p.post(begin, with, "etag", "c1", "with", "MEX/1?"); r.status != http.StatusUnprocessableEntity || last[*connectionv1.ApplyConnectionRequest](d) != req {
		t.Errorf("without a reason: answers %d", r.status)
	}
	if r := p.post(begin, with, "etag", "c1", "with", "MEX/1?", "reason", "Inty is read only"); r.to != "/c/acme" {
		t.Errorf("begun: answers %d: %s", r.status, r.body)
	}
	req = last[*connectionv1.ApplyConnectionRequest](d)
	if c := req.GetConnection(); c.GetMode() != connectionv1.Mode_MODE_AUTO || c.GetEtag() != "c1" || req.GetOverrideReason() != "Inty is read only" || !proto.Equal(c.GetCanary(), &connectionv1.Canary{MexIds: []string{"MEX/1?"}}) {
		t.Errorf("begun with %v", req)
	}
	d.fail = rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "the connection was changed by ann").Do("read it again")
	if r := p.post(begin, with, "etag", "c0", "reason", "because"); r.status != http.StatusConflict || !strings.Contains(r.body, "changed by ann") || !strings.Contains(r.body, `value="because"`) {
		t.Errorf("a stale etag: answers %d", r.status)
	}
	d.fail, d.leave.MayLeave, d.leave.Blockers[0].Overridable = nil, false, false
	if r := p.post(begin, page, "etag", "c1", "reason", "because"); r.status != http.StatusConflict || strings.Contains(r.body, "Begin to write</button>") {
		t.Errorf("blocked: answers %d", r.status)
	}
	p.post(page+"/back", page+"/back", "etag", "c1")
	if c := last[*connectionv1.ApplyConnectionRequest](d).GetConnection(); c.GetMode() != connectionv1.Mode_MODE_OBSERVE {
		t.Errorf("back: %v", c)
	}
	d.leave.Blockers, d.leave.MayLeave = nil, true
	scope := &connectionv1.Check{Name: "Halo: scope edit:invoices", Outcome: connectionv1.Check_OUTCOME_OK, Text: "Granted."}
	d.leave.Checks, d.leave.LookTime = []*connectionv1.Check{scope}, stamp("2026-11-23T12:00:00Z")
	p.get(page).tells(t, "when Halo was asked", "Halo was asked just now.", "Nothing, by all that Halo was asked", "Granted.")
	scope.Outcome, scope.Text = connectionv1.Check_OUTCOME_WARNING, "Halo does not say which scopes it granted."
	p.get(page).tells(t, "when Halo keeps to itself what it granted", "Nothing that is known", "Halo does not say which scopes it granted.")
	d.leave.Checks = append(d.leave.Checks, &connectionv1.Check{Code: "control_unread"})
	p.get(page).tells(t, "when Halo does not say who writes", "did not answer everything", "23 Nov 2026, 12:00")
	d.leave.Checks = nil
	r := s.enter(t, "vera", rpc.RoleViewer).get(page)
	r.tells(t, "for a viewer, of an old look", "Halo was not asked for this page", "on 23 Nov 2026, 12:00", "no other integration wrote licences then")
	d.leave.LookTime = nil
	r = s.enter(t, "vic", rpc.RoleViewer).get(page)
	r.tells(t, "for a viewer, when nobody looked", "It never said yet who else writes there.", "neither the rights nor other writers were looked at")
	for _, untrue := range []string{"asked just now", "Nothing, by all"} {
		if strings.Contains(r.body, untrue) {
			t.Errorf("to a viewer the page says %q", untrue)
		}
	}
	r.tells(t, "for a viewer", "Not answered")
	if strings.Contains(r.body, "Keep these answers") || strings.Contains(r.body, "Choose a few") {
		t.Error("a viewer is offered to leave observe")
	}
}

// Enabling what is in mode auto is refused while somebody else writes in Halo: the page asks for the reason, and keeps to it.
func TestEnablingAsksForAReasonWhereItIsRefused(t *testing.T) {
	s, d := atDesk(t, func(d *desk) {
		d.connection.Enabled, d.connection.Mode = false, connectionv1.Mode_MODE_AUTO
		d.fail = rpc.FailedPrecondition("TWO_WRITERS", "acme", "connection \"acme\" cannot be enabled in mode auto: the Inty integration is switched on").Do("turn it off. Then try again; or give a reason")
	})
	p := s.enter(t, "olga", rpc.RoleOperator)
	const page, enable = "/c/acme/connection", "/c/acme/connection/enable"
	r := p.post(enable, page)
	if r.status != http.StatusConflict {
		t.Errorf("refused: answers %d", r.status)
	}
	r.tells(t, "the refusal", "all the same?", "the Inty integration is switched on", "urn it off", "Why it is right all the same", "Enable it all the same")
	d.fail = nil
	if r := p.post(enable, page, "reason", "Inty is read only"); r.to != page || last[*connectionv1.EnableConnectionRequest](d).GetOverrideReason() != "Inty is read only" {
		t.Errorf("with a reason: answers %d, asked %v", r.status, last[*connectionv1.EnableConnectionRequest](d))
	}
}
