package web

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

func TestRulesAreTriedBeforeTheyAreSaved(t *testing.T) {
	s, d := atDesk(t)
	p, other := s.enter(t, "olga", rpc.RoleOperator), s.enter(t, "oscar", rpc.RoleOperator)
	const rules, edit, draft = "/c/acme/rules", "/c/acme/rules/edit", "/c/acme/rules/draft"
	p.get(rules).tells(t, "the rules", "Set by ann on", "1,799 licences")
	r := p.post(edit, edit, "name", awkward, "price", "fixed", "fixed", "cheap", "names", "a*\nb", "cycles", "CYCLE_ANNUAL", "minimum_quantity", "3")
	if r.status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong price: answers %d", r.status)
	}
	r.tells(t, "the form", "is not a price, such as 19.90", `value="cheap"`, "a*\nb</textarea>", `value="CYCLE_ANNUAL" checked`, `name="minimum_quantity" value="3"`)
	if r := p.post(edit, edit, "name", "x", "price", "keep", "included_quantity", "some"); !strings.Contains(r.body, "is not a whole number") || !strings.Contains(r.body, `value="some"`) {
		t.Errorf("no number: answers %d", r.status)
	}
	if r := p.post(edit, edit, "name", awkward, "price", "fixed", "fixed", "19.90", "names", "a*\nb"); r.to != rules {
		t.Fatalf("into the draft: answers %d", r.status)
	}
	if req := last[*pricingv1.SetPriceRulesRequest](d); !req.GetValidateOnly() {
		t.Fatalf("the rules were saved: %v", req)
	}
	p.get(rules).tells(t, "the draft", "Of 2,011 lines these 212 would change, by ", "&#43;£384.20", "Line by line", "products a*, b", "19.90 ex VAT a seat", `name="etag" value="e1"`)
	if req := last[*pricingv1.GetPriceRuleTrialRequest](d); len(req.GetRules().GetRules()) != 2 {
		t.Errorf("tried %v", req)
	}
	if r := other.get(rules); strings.Contains(r.body, "Draft") {
		t.Error("somebody else sees the draft")
	}
	p.post(draft, rules, "do", "up", "rule", awkward)
	p.post(rules, rules, "etag", "e1")
	req := last[*pricingv1.SetPriceRulesRequest](d)
	if req.GetValidateOnly() || req.GetForce() || req.GetRules().GetEtag() != "e1" || req.GetRules().GetRules()[0].GetName() != awkward {
		t.Errorf("saved %v", req)
	}
	if r := p.get(rules); strings.Contains(r.body, "Draft") {
		t.Error("the draft is still there after it was saved")
	}

	// Another begins from the same rules, and comes second.
	other.post(draft, rules, "do", "delete", "rule", "first")
	d.rules = &pricingv1.PriceRules{Connection: "acme", Etag: "e2", Who: "olga", UpdateTime: stamp("2026-11-23T14:00:00Z"), Rules: req.GetRules().GetRules()}
	d.fail = rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "the price rules of acme are not those that you read: olga set them on 23 November 2026 at 14:00 UTC")
	r = other.post(rules, rules, "etag", "e1")
	d.fail = nil
	if r.status != http.StatusConflict {
		t.Errorf("second: answers %d", r.status)
	}
	r.tells(t, "the conflict", "Nothing was saved", "olga set them on 23 November", "Somebody else changed the rules", "19.90 ex VAT a seat", "Go on with mine")
	if r := other.post(draft, rules, "do", "go-on", "etag", "e1"); r.status != http.StatusConflict {
		t.Errorf("going on from what is not the newest: answers %d", r.status)
	}
	other.post(draft, rules, "do", "go-on", "etag", "e2")
	other.get(rules).tells(t, "gone on", `name="etag" value="e2"`)
	other.post(draft, rules, "do", "discard")
	if r := other.get(rules); strings.Contains(r.body, "Draft") {
		t.Error("the draft is still there after it was thrown away")
	}
	if r := s.enter(t, "vera", rpc.RoleViewer).get(edit); r.status != http.StatusForbidden {
		t.Errorf("a viewer edits rules: answers %d", r.status)
	}
}
