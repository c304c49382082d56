package web

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

func TestALicenceIsDecidedOnByOperatorsOnly(t *testing.T) {
	s, d := atDesk(t)
	page := "/c/acme/licences/giacom/10%3F%231"
	vera, olga := s.enter(t, "vera", rpc.RoleViewer), s.enter(t, "olga", rpc.RoleOperator)
	r := vera.get(page)
	r.tells(t, "a licence", "Halo has two of them.", "licence 514", "£9.8765", "should be: count", "The customer in Halo", "are a guess", "https://acme.halopsa.com/customers?clientid=12")
	if strings.Contains(r.body, "Take it over") || strings.Contains(r.body, "Decide …") || strings.Contains(r.body, "unsaid") {
		t.Error("a viewer is offered what operators may, or told what is for programs")
	}
	if r := vera.post(page, page, "do", "adopt", "halo", "514"); r.status != http.StatusForbidden || last[*licencev1.AdoptLicenceRequest](d) != nil {
		t.Errorf("a viewer adopts: answers %d", r.status)
	}
	olga.get(page).tells(t, "a licence", `href="/c/acme/licences/giacom/10%3F%231?ask=adopt&amp;halo=514"`, "Create a new one …", "Try again")
	olga.get(page+"?ask=adopt&halo=514").tells(t, "the question", "Take over licence 514?", "from 9 to 12", "This connection observes")
	if r := olga.get(page + "?ask=adopt&halo=x"); r.status != http.StatusUnprocessableEntity {
		t.Errorf("no id: answers %d", r.status)
	}
	if r := olga.post(page, page, "do", "adopt", "halo", "514"); r.to != page {
		t.Errorf("adopted: answers %d to %q", r.status, r.to)
	}
	if req := last[*licencev1.AdoptLicenceRequest](d); req.GetHaloId() != 514 || req.GetKey() != "giacom/10?#1" {
		t.Errorf("adopted %v", req)
	}
	d.fail = rpc.FailedPrecondition("HELD_BY_RULE", "x", "it is held by a rule: no price").Do("correct it in Giacom")
	if r := olga.post(page, page, "do", "retry"); r.status != http.StatusConflict {
		t.Errorf("held by a rule: answers %d", r.status)
	} else {
		r.tells(t, "the refusal", "it is held by a rule: no price", "correct it in Giacom")
	}
	d.fail = nil
	if r := olga.get("/c/acme/licences/none"); r.status != http.StatusNotFound {
		t.Errorf("an unknown licence: answers %d", r.status)
	}
	olga.get("/c/acme/lines/-7/3").tells(t, "a line", "Halo said no.", "£148.15", "should be: count", "Seats")
	olga.get("/c/acme/customers/MEX%2F1%3F").tells(t, "a customer", "Mapped", `href="/c/acme/mappings/MEX%2F1%3F"`, "£1,204.00", "−£20.00")
}

// Many possible duplicates are shown with what would become of them, and decided as they were shown.
func TestPossibleDuplicatesAreDecidedTogether(t *testing.T) {
	s, d := atDesk(t)
	const page = "/c/acme/licences/duplicates"
	vera, olga := s.enter(t, "vera", rpc.RoleViewer), s.enter(t, "olga", rpc.RoleOperator)
	r := vera.get(page + "?q=zo%C3%AB")
	r.tells(t, "the list", "Seats", "No. 514", "£120.00", "3 licences in Halo could be it.", `href="/c/acme/licences/giacom/10%3F%231"`)
	if req := last[*licencev1.GetDuplicateDecisionsRequest](d); req.GetFilter() != `"zoë"` || req.GetWay() != licencev1.Way_WAY_ADOPT {
		t.Errorf("asked for %v", req)
	}
	if strings.Contains(r.body, `name="pick"`) || strings.Contains(r.body, "on every page") {
		t.Error("a viewer is offered to decide")
	}
	if r := vera.post(page, "/c/acme/licences", "pick", "514 giacom/1"); r.status != http.StatusForbidden {
		t.Errorf("a viewer decides: answers %d", r.status)
	}
	olga.get(page).tells(t, "the list", `name="pick" value="514 giacom/10?#1" form="decide"`, " checked", `id="decide"`, "Take over those picked", "on every page …")
	if r := olga.get(page + "?picked=none"); strings.Contains(r.body, " checked>") {
		t.Error("picked although none was to be")
	}
	olga.get(page+"?way=create").tells(t, "beside", `value="0 giacom/10?#1"`, "Create those picked")
	if r := olga.post(page, page, "way", "adopt", "q", "zoë"); !strings.HasPrefix(r.to, page) || last[*licencev1.DecideDuplicatesRequest](d) != nil {
		t.Errorf("nothing picked: %d to %s", r.status, r.to)
	}
	olga.post(page, page, "way", "adopt", "pick", "514 giacom/10?#1")
	if req := last[*licencev1.DecideDuplicatesRequest](d); len(req.GetDecisions()) != 1 || req.GetDecisions()[0].GetKey() != "giacom/10?#1" || req.GetDecisions()[0].GetHaloId() != 514 {
		t.Errorf("decided %v", req)
	}
	olga.get(page).tells(t, "afterwards", "1 possible duplicate is decided.")
	olga.get(page+"?ask=all&way=create").tells(t, "the question", "1 new licence is made beside", "may be billed twice", `name="all" value="1"`)
	olga.post(page, page, "way", "create", "all", "2")
	olga.get(page).tells(t, "another number", "There are 1 by now, not 2")
	olga.post(page, page, "way", "create", "all", "1")
	if req := last[*licencev1.DecideDuplicatesRequest](d); req.GetDecisions()[0].GetHaloId() != 0 {
		t.Errorf("decided %v", req)
	}
	if r := olga.post(page, page, "pick", "x"); r.status != http.StatusUnprocessableEntity && r.status != http.StatusBadRequest {
		t.Errorf("a pick of nothing: answers %d", r.status)
	}
}

func TestWhatIsDecidedAboutASubscriptionIsNeverLost(t *testing.T) {
	s, d := atDesk(t)
	p := s.enter(t, "olga", rpc.RoleOperator)
	page := "/c/acme/subscriptions/giacom/10%3F%231"
	p.get(page).tells(t, "the page", "Leave it unbilled", `name="etag" value="s1"`)
	if r := p.post(page, page, "do", "exclude", "etag", "s1", "reason", "director's own"); r.to != page {
		t.Fatalf("excluded: answers %d: %s", r.status, r.body)
	}
	if req := last[*subscriptionv1.ExcludeSubscriptionRequest](d); req.GetEtag() != "s1" || req.GetReason() != "director's own" || req.GetKey() != "giacom/10?#1" {
		t.Errorf("excluded by %v", req)
	}
	d.fail = rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "the subscription was changed by ann on 23 November 2026 at 14:01 UTC").Do("look at it again, then decide")
	r := p.post(page, page, "do", "exclude", "etag", "s0", "reason", "director's own")
	if r.status != http.StatusConflict {
		t.Errorf("a stale etag: answers %d", r.status)
	}
	r.tells(t, "the refusal", "changed by ann", "director&#39;s own", `name="etag" value="s1"`)
}
