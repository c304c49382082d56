package billing

import (
	"cmp"
	"slices"
	"strings"

	"seatline.dev/pkg/halo"
)

const (
	quantityFixed  = halo.QuantityFixed
	quantityLinked = halo.QuantitySubscriptions
)

// Snapshot is everything that deciding about some customers of one Halo instance rests on.
type Snapshot struct {
	// Clients are the Halo customers whose invoices and licences are here in full. Lines and licences
	// of others are here for reference only, and nothing is decided about them.
	Clients  map[int64]bool
	Invoices []Invoice
	Licences []Licence
	Items    map[int64]Item
	// Elsewhere holds licences of ours that an invoice outside Invoices links.
	Elsewhere map[int64]bool
	// Known are the items decided before, by connection and key.
	Known map[ItemKey]Known
	// Alarms are invoices that lost lines and that nobody has looked at yet, each with what to say.
	Alarms map[int64]string
	Inty   Inty
}

// ItemKey names an item of the reconcile engine.
type ItemKey struct{ Connection, Key string }

// Known is what an earlier decision left.
type Known struct {
	Facts    Facts
	InFlight bool  // a write is under way, or its outcome is unclear
	Aim      int64 // the invoice it goes to
}

type lineID struct{ Invoice, Line int64 }

// pair says which licences a line bills.
type pair struct {
	invoice  *Invoice
	line     *Line
	licences []*Licence // in the order of the rows
	leaving  []*Licence // whose rows are to go: they move to another customer
	link     *Licence   // to be linked: the line counts subscriptions and names none
	moves    []Move     // links of licences of Inty's that become links of ours
	back     []Move     // links of ours that become links of Inty's again
	restored []*Licence // those that are ours as long as that is not done
}

// idle is a licence that no line bills.
type idle struct {
	licence *Licence
	asleep  bool    // linked, but only where nothing is billed
	unsure  *lineID // a line may be meant for it, but that is not certain
}

// pairing is who belongs to whom (R6).
type pairing struct {
	pairs []pair
	idle  []idle
}

// pairUp finds which line belongs to which licence. It depends on nothing but the snapshot.
func pairUp(s *Snapshot) pairing {
	p := pairer{
		s: s, byHalo: map[int64]*Licence{}, byClient: map[int64][]*Licence{},
		linked: map[*Licence]bool{}, billed: map[*Licence]bool{}, unsure: map[*Licence]*lineID{},
	}
	for i := range s.Licences {
		l := &s.Licences[i]
		if l.HaloID != 0 {
			p.byHalo[l.HaloID] = l
			p.linked[l] = s.Elsewhere[l.HaloID]
			p.billed[l] = s.Elsewhere[l.HaloID]
		}
		p.byClient[l.ClientID] = append(p.byClient[l.ClientID], l)
	}
	p.existingLinks()
	p.missingLinks()
	p.fixedLines()
	return pairing{p.pairs, p.idle()}
}

type pairer struct {
	s        *Snapshot
	byHalo   map[int64]*Licence
	byClient map[int64][]*Licence
	// linked: a row names the licence, or will. billed: and Halo bills that row, or a fixed line of it.
	linked, billed map[*Licence]bool
	unsure         map[*Licence]*lineID
	pairs          []pair
}

// each calls f with every line of the snapshot that counts in this way.
func (p *pairer) each(quantity int64, f func(*Invoice, *Line)) {
	for i := range p.s.Invoices {
		inv := &p.s.Invoices[i]
		for j := range inv.Lines {
			if inv.Lines[j].Type == quantity {
				f(inv, &inv.Lines[j])
			}
		}
	}
}

// existingLinks: a line is ours when a row of it names a licence of ours, whoever is invoiced.
func (p *pairer) existingLinks() {
	p.each(quantityLinked, func(inv *Invoice, line *Line) {
		x := pair{invoice: inv, line: line}
		for _, id := range line.linked() {
			l := p.byHalo[id]
			if m := p.s.Inty.forward(inv.ID, line.ID, id); m != nil && p.byHalo[m.To] != nil {
				l = p.byHalo[m.To]
				x.moves = append(x.moves, *m)
			}
			if m := p.s.Inty.backOf(inv.ID, line.ID, id); m != nil {
				x.back = append(x.back, *m)
				if l != nil {
					x.restored = append(x.restored, l)
					p.linked[l], p.billed[l] = true, true
				}
				continue
			}
			switch {
			case l == nil:
			case l.leaves(inv.ClientID):
				x.leaving = append(x.leaving, l)
			default:
				if !slices.Contains(x.licences, l) {
					x.licences = append(x.licences, l)
				}
				p.linked[l] = true
				if !inv.Disabled && line.bills() {
					p.billed[l] = true
				}
			}
		}
		if len(x.licences)+len(x.leaving)+len(x.back) > 0 && !inv.Disabled && line.bills() && p.s.Clients[inv.ClientID] {
			p.pairs = append(p.pairs, x)
		}
	})
}

// missingLinks: a line that counts subscriptions and names none gets the one licence of its product
// that has no link, if there is no doubt on either side.
func (p *pairer) missingLinks() {
	p.matchBy(quantityLinked,
		func(line *Line) bool { return len(line.linked()) == 0 },
		func(line *Line, l *Licence) bool {
			return l.Active && !l.LeftAlone && !p.linked[l] && p.sameProduct(line, l)
		},
		func(inv *Invoice, line *Line, l *Licence) {
			p.pairs = append(p.pairs, pair{invoice: inv, line: line, licences: []*Licence{l}, link: l})
			p.linked[l], p.billed[l] = true, true
		})
}

// fixedLines: a line with a quantity of its own belongs to the only licence of its customer and
// product that is not linked.
func (p *pairer) fixedLines() {
	before := p.knownPairs()
	paired := map[*Licence]bool{}
	for _, l := range before {
		paired[l] = true
	}
	p.matchBy(quantityFixed, func(*Line) bool { return true }, func(line *Line, l *Licence) bool {
		if before[line] != nil {
			return before[line] == l
		}
		return l.Active && !l.LeftAlone && !p.linked[l] && !paired[l] && p.sameProduct(line, l)
	}, func(inv *Invoice, line *Line, l *Licence) {
		p.pairs = append(p.pairs, pair{invoice: inv, line: line, licences: []*Licence{l}})
		p.billed[l] = true
	})
}

// knownPairs: a line that was paired stays so while licence and customer do, also when the licence is
// no longer active (it then bills no seats), or a second one of the product comes.
func (p *pairer) knownPairs() map[*Line]*Licence {
	known := map[*Line]*Licence{}
	p.each(quantityFixed, func(inv *Invoice, line *Line) {
		for _, l := range p.byClient[inv.ClientID] {
			k, ok := p.s.Known[ItemKey{l.Connection, lineKey(inv.ID, line.ID)}]
			if ok && !k.Facts.Linked && !p.linked[l] && slices.Contains(k.Facts.Licences, l.Key) {
				known[line] = l
			}
		}
	})
	return known
}

// matchBy calls found for every line and licence of one customer that fit and have only each other.
func (p *pairer) matchBy(quantity int64, lineOK func(*Line) bool, fit func(*Line, *Licence) bool, found func(*Invoice, *Line, *Licence)) {
	type place struct {
		inv  *Invoice
		line *Line
	}
	var places []place
	lines, licences := map[*Licence][]place{}, map[*Line][]*Licence{}
	p.each(quantity, func(inv *Invoice, line *Line) {
		if inv.Disabled || !line.bills() || !p.s.Clients[inv.ClientID] || !lineOK(line) {
			return
		}
		at := place{inv, line}
		places = append(places, at)
		for _, l := range p.byClient[inv.ClientID] {
			if fit(line, l) {
				lines[l], licences[line] = append(lines[l], at), append(licences[line], l)
			}
		}
	})
	for _, at := range places {
		for _, l := range licences[at.line] {
			if len(licences[at.line]) == 1 && len(lines[l]) == 1 {
				if !l.undecided() {
					found(at.inv, at.line, l)
				}
			} else if p.unsure[l] == nil {
				p.unsure[l] = &lineID{at.inv.ID, at.line.ID}
			}
		}
	}
}

// sameProduct: where both have one, the item's supplier part code must be the SKU; else the text must
// be the product's name.
func (p *pairer) sameProduct(line *Line, l *Licence) bool {
	code, sku := strings.TrimSpace(p.s.Items[line.ItemID].PartCode), strings.TrimSpace(l.SKU)
	if code != "" && sku != "" {
		return strings.EqualFold(code, sku)
	}
	name := strings.TrimSpace(l.Name)
	return name != "" && strings.EqualFold(strings.TrimSpace(line.Description), name)
}

// idle lists the active licences of the customers in question that no line bills.
func (p *pairer) idle() []idle {
	var out []idle
	for i := range p.s.Licences {
		l := &p.s.Licences[i]
		if !l.Active || l.ClientID == 0 || !p.s.Clients[l.ClientID] || p.billed[l] || l.undecided() || l.LeftAlone {
			continue
		}
		out = append(out, idle{licence: l, asleep: p.linked[l], unsure: p.unsure[l]})
	}
	slices.SortFunc(out, func(a, b idle) int {
		return cmp.Or(cmp.Compare(a.licence.Connection, b.licence.Connection), cmp.Compare(a.licence.Key, b.licence.Key))
	})
	return out
}
