package inty

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Giacom is a licence of ours as the licence service last told.
type Giacom struct {
	Key       string
	HaloID    int64 // 0 while it is not in Halo
	ClientID  int64
	Name, SKU string
	Count     int64
	Term      string
	// Rivals are licences in Halo that it may be a duplicate of, and waits for a person because of them.
	Rivals []int64
}

// State of a pair.
type State int

const (
	Unpaired State = iota
	Adopted
	Ready
	Duplicate
	Several
	Excluded
	NotAnswered
	Left
)

// Choice of a person about one of Inty's licences: the key of its Giacom licence, or to leave it alone.
type Choice struct {
	Key   string
	Leave bool
	Who   string
}

// Pair is what was found for one of Inty's licences.
type Pair struct {
	Licence Licence
	State   State
	Why     string
	Giacom  *Giacom
	// Candidates with the reason why each is no certain match.
	Candidates []Candidate
	Who        string
}

// Candidate is a Giacom licence of the same customer and product.
type Candidate struct {
	Giacom
	WhyNot string
}

// PairUp finds for each of Inty's licences its Giacom licence: same Halo customer, product and term, and
// no other on either side. A person's choice wins.
func PairUp(found []Licence, giacom []Giacom, regions map[int64]Region, choices map[int64]Choice) []Pair {
	p := pairer{byClient: map[int64][]*Giacom{}, byHalo: map[int64]*Giacom{}, byKey: map[string]*Giacom{}, found: map[int64]bool{}, fits: map[int64][]*Giacom{}, wanted: map[string][]int64{}, taken: map[string]int64{}}
	for i := range giacom {
		g := &giacom[i]
		p.byClient[g.ClientID], p.byKey[g.Key] = append(p.byClient[g.ClientID], g), g
		if g.HaloID != 0 {
			p.byHalo[g.HaloID] = g
		}
	}
	for _, l := range found {
		p.found[l.ID] = true
		if c := choices[l.ID]; c.Key != "" {
			p.taken[c.Key] = l.ID
		}
	}
	for _, l := range found {
		if p.byHalo[l.ID] != nil || choices[l.ID] != (Choice{}) {
			continue
		}
		for _, g := range p.byClient[l.ClientID] {
			if p.free(g) && SameProduct(l.Name, l.SKU, g.Name, g.SKU) && sameTerm(l.Term, g.Term) {
				p.fits[l.ID] = append(p.fits[l.ID], g)
				p.wanted[g.Key] = append(p.wanted[g.Key], l.ID)
			}
		}
	}
	out := make([]Pair, len(found))
	for i, l := range found {
		out[i] = p.pair(l, regions[l.ClientID], choices[l.ID])
	}
	return out
}

type pairer struct {
	byClient map[int64][]*Giacom
	byHalo   map[int64]*Giacom
	byKey    map[string]*Giacom
	found    map[int64]bool
	fits     map[int64][]*Giacom // by Inty's licence
	wanted   map[string][]int64  // by key: Inty's licences that it fits
	taken    map[string]int64    // by key: chosen by a person for this one
}

// free: not chosen for another, and not one of Inty's licences that was taken over in place.
func (p *pairer) free(g *Giacom) bool { return p.taken[g.Key] == 0 && !p.found[g.HaloID] }

func (p *pairer) pair(l Licence, region Region, choice Choice) Pair {
	x := Pair{Licence: l, Who: choice.Who}
	if g := p.byHalo[l.ID]; g != nil {
		x.State, x.Giacom = Adopted, g
		x.Why = "Seatline took this licence over in place: it is the Giacom licence now, its lines bill it already, and nothing needs re-pointing."
		return x
	}
	switch {
	case region == UnitedStates:
		x.State, x.Why = Excluded, "The customer is in the United States: Inty's US customers do not move to Giacom."
		return x
	case choice.Leave:
		x.State, x.Why = Left, "Left alone by a person's decision."
		return x
	}
	switch g := p.byKey[choice.Key]; {
	case choice.Key != "" && g == nil:
		x.State, x.Why = Unpaired, fmt.Sprintf("The Giacom licence %s that was chosen is not there any more. Choose another.", choice.Key)
		return x
	case g != nil:
		x.Giacom = g
	default:
		x.Who = ""
		p.find(&x)
	}
	if x.Giacom != nil {
		x.State, x.Why = ready(l, *x.Giacom)
	}
	if region == Asked {
		x.State, x.Why = NotAnswered, "Whether the customer is in the United States is not known: answer that first."
	}
	return x
}

func ready(l Licence, g Giacom) (State, string) {
	switch {
	case g.HaloID != 0 && l.Count != g.Count:
		return Ready, fmt.Sprintf("Inty counts %d seats, Giacom %d.", l.Count, g.Count)
	case g.HaloID != 0:
		return Ready, "Same seats in both."
	case slices.Contains(g.Rivals, l.ID):
		return Duplicate, fmt.Sprintf("Giacom has %d seats of it, Inty's licence %d: adopt Inty's licence in place (its lines stay linked), or create a new one beside it and re-point the lines.", g.Count, l.Count)
	case len(g.Rivals) > 0:
		return Duplicate, "Its Giacom licence is held as a possible duplicate of another licence in Halo. Adopt one of them, or create a new one."
	}
	return Duplicate, "Its Giacom licence is not in Halo yet."
}

// find looks for the only one that fits.
func (p *pairer) find(x *Pair) {
	l := x.Licence
	fits := p.fits[l.ID]
	if len(fits) == 1 && len(p.wanted[fits[0].Key]) == 1 {
		x.Giacom = fits[0]
		return
	}
	for _, g := range fits {
		why := "one of several of this product"
		if n := len(p.wanted[g.Key]); n > 1 {
			why = fmt.Sprintf("%d licences of Inty are of this product", n)
		}
		x.Candidates = append(x.Candidates, Candidate{*g, why})
	}
	if len(fits) > 0 {
		x.State, x.Why = Several, "Several licences of this customer and product could belong together. Choose one, or leave it alone."
		return
	}
	if len(p.byClient[l.ClientID]) == 0 {
		x.Why = "The customer has no Giacom licence in Halo: map it to its Giacom customer and import its subscriptions."
		return
	}
	for _, g := range p.byClient[l.ClientID] {
		if !SameProduct(l.Name, l.SKU, g.Name, g.SKU) || g.HaloID != 0 && g.HaloID == l.ID {
			continue
		}
		why := fmt.Sprintf("its term is %s, Inty's %s", cmp.Or(strings.TrimSpace(g.Term), "not known"), cmp.Or(strings.TrimSpace(l.Term), "not known"))
		if by := p.taken[g.Key]; by != 0 {
			why = fmt.Sprintf("chosen for licence %d already", by)
		}
		x.Candidates = append(x.Candidates, Candidate{*g, why})
	}
	if x.Why = "The customer has no Giacom licence of this product."; len(x.Candidates) > 0 {
		x.Why = "The customer's Giacom licence of this product is not of the same term, or taken. Choose it if it is meant all the same."
	}
}

// sameTerm: a term that is not known on one side says nothing.
func sameTerm(a, b string) bool {
	x, y := Term(a), Term(b)
	return x == "" || y == "" || x == y
}
