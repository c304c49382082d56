package licence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/reconcile"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// situation is all that a decision about one licence rests on.
type situation struct {
	Sub      *subscriptionv1.Subscription
	Settings Settings
	Item     *reconcile.Item[Fields] // nil: there was none yet
	// Match is what adoption says; only asked for while there is no licence in Halo.
	Match *match
	// Asks are the prices that invoice lines want to take from this licence.
	Asks []decimal.Decimal
	// LinkedAt is an invoice of the customer that the licence belongs to now, whose line links it; 0 for none.
	LinkedAt int64
	// Marked are all licences in Halo that carry our mark.
	Marked []found
}

// decision is what the rules say, with the reason in its verdict.
type decision struct {
	Desired    *Fields // nil: nothing is wanted in Halo
	Verdict    reconcile.Verdict
	Gone       bool // gone from Giacom, still active in Halo
	Adopt      *found
	Replaces   string
	Candidates []found
}

// exists tells whether there is, or may be, a licence of ours in Halo.
func (s situation) exists() bool {
	return s.Item != nil && (s.Item.HaloID != 0 && !s.letsGo() || s.inFlight())
}

// letsGo tells whether a licence that somebody else made is not taken over after all: nothing of ours has been written to it
// yet, and the subscription has been mapped to another customer. Whoever observes looks for wrong mappings, and putting one
// right must not move licences of the customer that it was wrong about.
func (s situation) letsGo() bool {
	x := s.Item
	if x == nil || x.HaloID == 0 || x.Applied == nil || x.Desired == nil || s.inFlight() || s.Sub.GetState() != subscriptionv1.State_STATE_RESOLVED {
		return false
	}
	if removed, _ := removalOf(s.Sub); removed {
		return false
	}
	ours := strings.HasPrefix(x.Applied.Mark, "giacom:") || slices.Contains(x.Drifted, markField) || len(s.Marked) > 0
	client := s.Sub.GetHaloClientId() // and not the licence, moved by hand
	return !ours && client != x.Applied.ClientID && client != x.Desired.ClientID
}

// inFlight tells whether a write is under way or its outcome is unclear.
func (s situation) inFlight() bool {
	return s.Item != nil && (s.Item.State == reconcile.Applying || s.Item.Unclear)
}

// holds is what Halo holds, or will when the write under way has landed.
func (s situation) holds() Fields {
	switch {
	case s.inFlight() && s.Item.Desired != nil:
		return *merge(s.Item.Applied, s.Item.Desired)
	case s.Item != nil && s.Item.Applied != nil:
		return *s.Item.Applied
	}
	return Fields{}
}

// needsMatch tells whether a decision has to know what adoption says.
func (s situation) needsMatch() bool {
	if removed, _ := removalOf(s.Sub); removed || s.exists() || s.Sub.GetGiacom().GetAbsentSince() != nil {
		return false
	}
	if s.Sub.GetState() != subscriptionv1.State_STATE_RESOLVED {
		return false
	}
	_, verdict := wanted(s.Sub.GetGiacom(), s.Settings)
	return verdict.State == reconcile.Pending
}

// decide is the rules, in the order in which they outrank each other.
func decide(s situation) decision {
	g := s.Sub.GetGiacom()
	if removed, scheduled := removalOf(s.Sub); removed {
		return s.decideRemoved(scheduled)
	}
	f, verdict := wanted(g, s.Settings)
	if t := g.GetAbsentSince(); t != nil {
		if s.exists() {
			f = s.holds()
		} else if s.Sub.GetState() == subscriptionv1.State_STATE_RESOLVED {
			f.ClientID = s.Sub.GetHaloClientId()
		}
		return decision{Desired: &f, Verdict: reconcile.Park("absent", fmt.Sprintf(
			"Missing from Giacom since %s, not yet proven removed: left as it is until Giacom has been asked again.", since(t)))}
	}
	switch s.Sub.GetState() {
	case subscriptionv1.State_STATE_RESOLVED:
	case subscriptionv1.State_STATE_CLIENT_PENDING:
		return decision{Desired: &f, Verdict: reconcile.Park("client_pending", "Waits for its customer to be created in Halo.")}
	default:
		r := s.Sub.GetReason()
		return decision{Desired: &f, Verdict: reconcile.Park(cmp.Or(r.GetCode(), "customer_not_mapped"), cmp.Or(r.GetText(), "Its Giacom customer is not mapped to one in Halo."))}
	}
	f.ClientID = s.Sub.GetHaloClientId()
	d := decision{Desired: &f, Verdict: verdict}
	if verdict.State != reconcile.Pending {
		return d
	}
	if !s.exists() {
		if s.Match == nil {
			d.Verdict = waitForList
			return d
		}
		d.Verdict, d.Adopt, d.Replaces, d.Candidates = s.Match.Verdict, s.Match.Adopt, s.Match.Replaces, s.Match.Candidates
		if d.Verdict.State != reconcile.Pending {
			return d
		}
	}
	if len(s.Marked) > 1 {
		d.Verdict, d.Candidates = duplicateMark(s.Marked), s.Marked
		return d
	}
	for i, ask := range s.Asks {
		if i > 0 && !ask.Equal(s.Asks[0]) {
			d.Verdict = reconcile.Hold("price_conflict", "Several invoice lines take their price from this licence, and their price rules differ. Make the rules agree, or give a line a price of its own.")
			return d
		}
		f.Price = &s.Asks[0]
	}
	if s.exists() && s.LinkedAt != 0 && s.holds().ClientID != f.ClientID {
		d.Verdict = reconcile.Park("line", fmt.Sprintf("Moves to another customer once recurring invoice %d no longer links it.", s.LinkedAt))
	}
	return d
}

// decideRemoved: nothing that Giacom no longer has keeps billing unseen, and nothing is ever deleted.
func (s situation) decideRemoved(scheduled bool) decision {
	if !s.exists() {
		return decision{Verdict: reconcile.Verdict{State: reconcile.Pending, Reason: reconcile.Reason{
			Code: "removed", Text: "Gone from Giacom before there was a licence in Halo.",
		}}}
	}
	f := s.holds()
	d := decision{Desired: &f, Verdict: reconcile.Go()}
	switch {
	case !f.Active:
	case superseded(s.Sub):
		d.Gone = true
		d.Verdict = reconcile.Hold("gone", "The import method chosen now does not list it, so it is not updated any more; still active in Halo. Choose a method that lists it, or deactivate it in Halo if it should no longer be billed.")
	case s.Settings.Deactivate && scheduled:
		f.Active = false
	default:
		d.Gone = true
		why := "Deactivating removed licences is switched off for this connection"
		if s.Settings.Deactivate {
			why = "Only a scheduled run deactivates, and none has seen it yet"
		}
		d.Verdict = reconcile.Hold("gone", "Gone from Giacom, still active in Halo. "+why+"; deactivate it in Halo if it should no longer be billed.")
	}
	return d
}
