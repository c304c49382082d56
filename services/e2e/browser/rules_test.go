package browser

import (
	"regexp"
	"testing"

	"github.com/shopspring/decimal"

	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/seatline/ctl"
)

var movedBy = regexp.MustCompile(`would change, by ([+−])£([0-9,.]+) a month`)

// TestPriceRules is a person who edits, tries and saves price rules, and one who does so at the same time.
func TestPriceRules(t *testing.T) {
	t.Parallel()
	s := tell(t, untidy(), accessv1.Role_ROLE_OPERATOR)
	s.connect(func(c *connectionv1.Connection) { c.Mode, c.Customers.Create = connectionv1.Mode_MODE_OBSERVE, false })
	s.poll()

	s.must(s.Go("/c/acme/rules"))
	s.says("keep, and add what is missing", "keeps the line’s price", "Set by operator", "42 licences")
	s.must(s.Press("Add a rule"))
	s.must(s.Look("rule-new"))

	// What is wrong is said where it is wrong, and what was entered stays.
	s.must(s.Fill("Name", `dearer for "Söhne" <b>`))
	s.must(s.Fill("Percentage on top", "a lot"))
	s.must(s.Fill("Products, by name", "Microsoft 365 Plan 0001\nMicrosoft 365 Plan 0007"))
	s.Expect("422")
	s.must(s.Press("Into the draft"))
	s.says("is not a percentage, such as 20 or 12.5")
	s.must(s.Look("rule-wrong"))
	if kept, err := s.Truth(`document.querySelector("[name=names]").value.includes("Plan 0007") && document.querySelector("[name=cost_plus_percent]").value === "a lot"`); err != nil || !kept {
		t.Errorf("what was entered is lost (%v)", err)
	}
	s.must(s.Fill("Percentage on top", "50"))
	s.must(s.Press("Into the draft"))

	// The new rule comes last, where the one for everything decides before it: nothing changes until it is moved up.
	s.says("The rule is in your draft", "0 would change", "0 licences")
	s.must(s.Press(`Up dearer for "Söhne" <b>`))
	s.says("would change, by +£", "10 licences", "Line by line")
	s.must(s.Look("rules-draft"))
	saved, err := pricingv1.NewPricingServiceClient(s.w.Client(ctl.Billing)).GetPriceRules(t.Context(), &pricingv1.GetPriceRulesRequest{Connection: "acme"})
	s.must(err)
	if len(saved.GetRules()) != 1 {
		t.Fatalf("rules were saved without being asked: %v", saved)
	}

	// Somebody else saves first. Nothing of either is lost.
	_, err = pricingv1.NewPricingServiceClient(s.w.Client(ctl.Billing)).SetPriceRules(t.Context(), &pricingv1.SetPriceRulesRequest{Rules: &pricingv1.PriceRules{
		Connection: "acme", Etag: saved.GetEtag(), Rules: []*pricingv1.PriceRule{{Name: "their rule", Price: &pricingv1.PriceRule_Rrp{Rrp: true}}},
	}})
	s.must(err)
	s.must(s.w.Settle(t.Context(), "acme"))
	s.Expect("409")
	s.must(s.Press("Save"))
	s.says("Nothing was saved", "operator set them on", "their rule: recommended retail price", `dearer for "Söhne" <b>`)
	s.must(s.Look("rules-conflict"))
	s.must(s.Press("Go on with mine"))
	s.says("Your draft is compared with the rules as they are now")

	// Saving does what the trial said.
	text, err := s.Text()
	s.must(err)
	said := movedBy.FindStringSubmatch(text)
	if said == nil {
		t.Fatalf("the page does not say by how much:\n%s", text)
	}
	before := s.billed()
	s.must(s.Press("Save"))
	s.says("The price rules are saved", "Set by Zoë O’Neill")
	s.must(s.w.Settle(t.Context(), "acme"))
	want := decimal.RequireFromString(regexp.MustCompile(`,`).ReplaceAllString(said[2], ""))
	if said[1] == "−" {
		want = want.Neg()
	}
	if got := s.billed().Sub(before); !got.Equal(want) {
		t.Errorf("the trial said %s, the lines moved by %s", want, got)
	}

	// Edit and delete, and throw it away.
	s.must(s.Press(`Edit dearer for "Söhne" <b>`))
	s.must(s.Fill("Name", "renamed"))
	s.must(s.Click(`input[name=price][value=keep]`))
	s.must(s.Press("Into the draft"))
	s.says("renamed", "keeps the line’s price")
	s.must(s.Press("Delete keep, and add what is missing"))
	s.says("No rule matches")
	s.must(s.Press("Throw it away"))
	s.says("Your draft is thrown away", `dearer for "Söhne" <b>`)
	s.must(s.Look("rules"))
}
