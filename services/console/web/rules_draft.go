package web

import (
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// A draft of the price rules is kept with the session while somebody edits: rules are saved as a whole, after they were
// tried. Its etag is that of the rules it was begun with.

func (v *visit) draftName() string { return "rules/" + v.connection.GetSlug() }

// savedAndDraft reads the rules that count, and those that this person is editing; nil when they are not.
func (v *visit) savedAndDraft() (saved, draft *pricingv1.PriceRules, err error) {
	saved, err = v.Pricing().GetPriceRules(v.ctx(), &pricingv1.GetPriceRulesRequest{Connection: v.connection.GetSlug()})
	if err != nil || !v.operator() {
		return saved, nil, err
	}
	var content json.RawMessage
	there, err := v.s.store.Draft(v.ctx(), v.id, v.draftName(), &content)
	if err != nil || !there {
		return saved, nil, err
	}
	draft = &pricingv1.PriceRules{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(content, draft); err != nil {
		return nil, nil, fmt.Errorf("draft of the price rules of %s: %w", v.connection.GetSlug(), err)
	}
	draft.Connection = v.connection.GetSlug()
	return saved, draft, nil
}

// keepDraft for the next page. A draft that is what was saved is none.
func (v *visit) keepDraft(saved, draft *pricingv1.PriceRules) error {
	if draft.GetEtag() == saved.GetEtag() && sameRules(saved.GetRules(), draft.GetRules()) {
		return v.dropDraft()
	}
	content, err := protojson.Marshal(draft)
	if err != nil {
		return fmt.Errorf("draft of the price rules of %s: %w", v.connection.GetSlug(), err)
	}
	return v.s.store.PutDraft(v.ctx(), v.id, v.draftName(), json.RawMessage(content))
}

func (v *visit) dropDraft() error { return v.s.store.DropDraft(v.ctx(), v.id, v.draftName()) }

func sameRules(a, b []*pricingv1.PriceRule) bool {
	return slices.EqualFunc(a, b, func(x, y *pricingv1.PriceRule) bool { return proto.Equal(x, y) })
}

// editable is the draft at hand, or one begun with the rules that count.
func editable(saved, draft *pricingv1.PriceRules) *pricingv1.PriceRules {
	if draft != nil {
		return draft
	}
	return &pricingv1.PriceRules{Connection: saved.GetConnection(), Etag: saved.GetEtag(), Rules: slices.Clone(saved.GetRules())}
}

// placeOf a rule by its name, which differs from every other's. By name, since another tab may have moved it.
func placeOf(rules []*pricingv1.PriceRule, name string) int {
	return slices.IndexFunc(rules, func(r *pricingv1.PriceRule) bool { return r.GetName() == name })
}

// changeDraft moves or deletes one rule, or ends the editing.
func changeDraft(v *visit) error {
	saved, draft, err := v.savedAndDraft()
	if err != nil {
		return err
	}
	what, to := v.form("do"), v.at("/rules")
	switch what {
	case "discard":
		if err := v.dropDraft(); err != nil {
			return err
		}
		return v.done(to, said("Your draft is thrown away; the saved rules stand."))
	case "go-on": // against what somebody else saved meanwhile
		if draft == nil {
			return v.done(to)
		}
		if v.form("etag") != saved.GetEtag() {
			return rpc.Conflict("price rules of", v.connection.GetSlug()).Do("look at them once more, then decide")
		}
		draft.Etag = saved.GetEtag()
		if err := v.keepDraft(saved, draft); err != nil {
			return err
		}
		return v.done(to, said("Your draft is compared with the rules as they are now. Saving it replaces them."))
	}
	d := editable(saved, draft)
	i := placeOf(d.GetRules(), v.form("rule"))
	if i < 0 {
		return rpc.NotFound("price rule", v.form("rule")).Do("it was renamed or deleted meanwhile: look at the rules again")
	}
	swap := func(j int) {
		if j >= 0 && j < len(d.Rules) {
			d.Rules[i], d.Rules[j] = d.Rules[j], d.Rules[i]
		}
	}
	switch what {
	case "up":
		swap(i - 1)
	case "down":
		swap(i + 1)
	case "delete":
		d.Rules = slices.Delete(d.Rules, i, i+1)
	default:
		return rpc.InvalidArgument("do", "%q is nothing that can be done with a rule", what)
	}
	if err := v.keepDraft(saved, d); err != nil {
		return err
	}
	return v.done(to)
}
