package licence

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
)

// owner says to whom a licence found in Halo belongs, as far as we know.
type owner int

const (
	ownedByNobody   owner = iota // no mark and no item of ours
	ownedByLive                  // of a subscription that Giacom has
	ownedByAbsent                // of one that is missing from Giacom, not proven removed
	ownedByRemoved               // of one that is proven removed
	ownedByFormer                // of one that the import method chosen now does not list
	ownedByUnknown               // marked by us, for a subscription we know nothing of
	ownedByStranger              // marked for another Giacom account
)

// found is a licence as Halo last listed it.
type found struct {
	HaloID    int64
	ClientID  int64
	Type      int64
	Name, SKU string
	// Distributor as whoever made it wrote it; only for telling whose it may be, and only when just listed.
	Distributor string
	Active      bool
	MarkKnown   bool // false: the list did not show marks, and this licence has not been read by itself
	Fields      Fields

	Owner    owner
	OwnerKey string // the subscription, where we know it
}

func foundIn(l halo.Licence) found {
	count, cost, price := int64(l.Count), l.PurchasePrice.Decimal, l.Price.Decimal
	return found{
		HaloID: int64(l.ID), ClientID: int64(l.ClientID), Type: int64(l.Type), Name: l.Name, SKU: l.ProductSKU.Value, Distributor: l.Distributor.Value,
		Active: l.IsActive && !l.Deleted, MarkKnown: l.Mark.Present,
		Fields: Fields{
			ClientID: int64(l.ClientID), Count: &count, PurchasePrice: &cost, Price: &price, Start: l.StartDate.String(), End: l.EndDate.String(),
			Cycle: l.BillingCycle.Value, Term: l.TermDuration.Value, Active: l.IsActive && !l.Deleted, Mark: l.Mark.Value,
		},
	}
}

// newcomer is a subscription that has no licence in Halo yet.
type newcomer struct {
	Key, Mark string
	ClientID  int64
	Name, SKU string
	Count     *int64
	// Across: take over the licence of the same subscription under the id of another import method.
	Across bool
	// A person's decision: take over this licence, or create one whatever there is.
	Adopt  int64
	Create bool
}

// match is what becomes of a newcomer.
type match struct {
	Adopt      *found // take over this licence
	Replaces   string // the subscription it belonged to
	Verdict    reconcile.Verdict
	Candidates []found
}

// adopt decides for newcomers whether a licence in Halo is theirs already. Customers may have licences made by Halo's
// own integration, by Inty, or under the other import method's id; creating beside one of them would bill twice, so
// whatever is not certain is held.
func adopt(newcomers []newcomer, rows []found) map[string]match {
	all := make(map[string]match, len(newcomers))
	candidates := make(map[string][]found)
	rivals := map[int64][]string{} // by candidate: who could take it
	for _, n := range newcomers {
		if m, certain := certainly(n, rows); certain {
			all[n.Key] = m
			continue
		}
		candidates[n.Key] = slices.DeleteFunc(slices.Clone(rows), func(r found) bool { return !could(n, r) })
		for _, r := range candidates[n.Key] {
			rivals[r.HaloID] = append(rivals[r.HaloID], n.Key)
		}
	}
	for key, r := range acrossMethods(newcomers, candidates) {
		all[key] = match{Adopt: &r, Replaces: r.OwnerKey, Verdict: reconcile.Go()}
		delete(candidates, key)
		for other := range candidates {
			candidates[other] = slices.DeleteFunc(candidates[other], func(x found) bool { return x.HaloID == r.HaloID })
		}
		for id := range rivals {
			rivals[id] = slices.DeleteFunc(rivals[id], func(x string) bool { return x == key })
		}
	}
	for _, n := range newcomers {
		if _, certain := all[n.Key]; certain {
			continue
		}
		all[n.Key] = choose(n, candidates[n.Key], rivals)
	}
	return all
}

// acrossMethods finds newcomers that are known already, under the id of the import method before: the same customer,
// product and number of seats, with nobody else in question on either side.
func acrossMethods(newcomers []newcomer, candidates map[string][]found) map[string]found {
	exact, rivals := map[string][]found{}, map[int64]int{}
	for _, n := range newcomers {
		for _, r := range candidates[n.Key] {
			if n.Across && r.Owner == ownedByFormer && r.MarkKnown && n.Count != nil && r.Fields.Count != nil && *n.Count == *r.Fields.Count {
				exact[n.Key] = append(exact[n.Key], r)
				rivals[r.HaloID]++
			}
		}
	}
	pairs := map[string]found{}
	for key, list := range exact {
		if len(list) == 1 && rivals[list[0].HaloID] == 1 {
			pairs[key] = list[0]
		}
	}
	return pairs
}

// certainly: our own mark, or a person's word.
func certainly(n newcomer, rows []found) (match, bool) {
	var marked []found
	for _, r := range rows {
		if r.MarkKnown && r.Fields.Mark == n.Mark {
			marked = append(marked, r)
		}
	}
	switch {
	case len(marked) == 1:
		m := match{Adopt: &marked[0], Verdict: reconcile.Go()}
		if m.Adopt.Owner != ownedByStranger && m.Adopt.OwnerKey != n.Key { // a renewal was to take it over, and has not written that
			m.Replaces = m.Adopt.OwnerKey
		}
		return m, true
	case len(marked) > 1:
		return match{Verdict: duplicateMark(marked), Candidates: marked}, true
	case n.Create:
		return match{Verdict: reconcile.Go()}, true
	}
	for _, r := range rows {
		taken := r.Owner == ownedByLive && r.OwnerKey != n.Key // by another since that was decided
		if n.Adopt != 0 && r.HaloID == n.Adopt && !taken {
			return match{Adopt: &r, Replaces: r.OwnerKey, Verdict: reconcile.Go()}, true
		}
	}
	return match{}, false
}

// could tells whether a licence may be the newcomer's.
func could(n newcomer, r found) bool {
	if !r.Active || r.Type != halo.TypeSubscription || r.ClientID != n.ClientID || !sameProduct(n, r) {
		return false
	}
	switch r.Owner {
	case ownedByStranger:
		return false
	case ownedByLive: // may be the same one, of which the word that its former id is gone has not come yet
		return space(n.Key) != space(r.OwnerKey)
	}
	return true
}

// space of a subscription's id: import methods number differently.
func space(key string) string {
	name, _, _ := strings.Cut(key, "/")
	return name
}

func choose(n newcomer, candidates []found, rivals map[int64][]string) match {
	slices.SortFunc(candidates, func(a, b found) int { return cmp.Compare(a.HaloID, b.HaloID) })
	held := func(v reconcile.Verdict) match { return match{Verdict: v, Candidates: candidates} }
	if len(candidates) == 0 {
		return match{Verdict: reconcile.Go()}
	}
	for _, r := range candidates {
		if !r.MarkKnown {
			return held(waitForList)
		}
	}
	wayOut := "Adopt one of them, or create a new licence."
	for _, r := range candidates {
		if r.Owner == ownedByLive {
			return held(reconcile.Hold("possible_duplicate", fmt.Sprintf(
				"Licence %d in Halo is of the same product, for %s, which another feed of Giacom lists. %s", r.HaloID, r.OwnerKey, wayOut)))
		}
	}
	for _, r := range candidates {
		if keys := rivals[r.HaloID]; len(keys) > 1 {
			return held(reconcile.Hold("possible_duplicate", fmt.Sprintf(
				"%d new subscriptions of this product could be licence %d in Halo. %s", len(keys), r.HaloID, wayOut)))
		}
	}
	if len(candidates) > 1 {
		return held(reconcile.Hold("possible_duplicate", fmt.Sprintf("Halo has %d licences of this product for the customer. %s", len(candidates), wayOut)))
	}
	switch r := candidates[0]; r.Owner {
	case ownedByAbsent:
		return held(reconcile.Park("may_be_renewal", fmt.Sprintf(
			"May be the renewal of %s, which is missing from Giacom but not yet proven removed. Waits for the proof.", r.OwnerKey)))
	case ownedByFormer:
		if !n.Across {
			return held(reconcile.Hold("possible_duplicate", fmt.Sprintf(
				"Licence %d in Halo is of the same product, for %s, which the import method chosen now does not list. %s", r.HaloID, r.OwnerKey, wayOut)))
		}
		return match{Adopt: &r, Replaces: r.OwnerKey, Verdict: reconcile.Go()}
	case ownedByRemoved:
		return match{Adopt: &r, Replaces: r.OwnerKey, Verdict: reconcile.Go()}
	case ownedByUnknown:
		return held(reconcile.Hold("possible_duplicate", fmt.Sprintf(
			"Licence %d in Halo is of the same product and marked for %s, which Giacom does not list. %s", r.HaloID, r.Fields.Mark, wayOut)))
	default:
		if n.Count != nil && r.Fields.Count != nil && *n.Count == *r.Fields.Count {
			return match{Adopt: &r, Verdict: reconcile.Go()}
		}
		return held(reconcile.Hold("possible_duplicate", fmt.Sprintf(
			"Licence %d in Halo is of the same product with %s seats; Giacom has %s. %s", r.HaloID, numberPtr(r.Fields.Count), numberPtr(n.Count), wayOut)))
	}
}

// awaitsCreate parks what may be the same as a licence that Halo may have by now, or in some minutes.
var awaitsCreate = reconcile.Park("unclear_create", "Waits until it is known whether Halo has taken the licence that is being created for the same product, under an id that Giacom gave it before.")

// awaitCreates puts off newcomers that may be what is being created under another id: what would be made for them now
// would be there twice.
func awaitCreates(matches map[string]match, newcomers []newcomer, creating []found) {
	if len(creating) == 0 {
		return
	}
	byClient := map[int64][]found{}
	for _, r := range creating {
		byClient[r.ClientID] = append(byClient[r.ClientID], r)
	}
	for _, n := range newcomers {
		m := matches[n.Key]
		decided := n.Create || n.Adopt != 0 || m.Adopt != nil && m.Adopt.Fields.Mark == n.Mark
		if decided || m.Verdict.State != reconcile.Pending {
			continue
		}
		if slices.ContainsFunc(byClient[n.ClientID], func(r found) bool { return r.OwnerKey != n.Key && could(n, r) }) {
			matches[n.Key] = match{Verdict: awaitsCreate}
		}
	}
}

// waitForList parks what cannot be decided before Halo has been asked.
var waitForList = reconcile.Park("halo_list", "Waits until Halo's licences have been read, to see whether it has one already.")

func duplicateMark(marked []found) reconcile.Verdict {
	ids := make([]string, len(marked))
	for i, r := range marked {
		ids[i] = number(r.HaloID)
	}
	slices.Sort(ids)
	return reconcile.Hold("duplicate_mark", fmt.Sprintf("Licences %s in Halo carry the same mark. Deactivate all but one and clear their mark (snowid) in Halo.", strings.Join(ids, " and ")))
}

func sameProduct(n newcomer, r found) bool {
	return giacom.Product{Name: n.Name, SKU: n.SKU}.Same(giacom.Product{Name: r.Name, SKU: r.SKU})
}
