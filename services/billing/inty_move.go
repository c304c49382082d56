package billing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/services/billing/inty"
)

// Inty is what decisions know of the licences that Halo's Inty integration made.
type Inty struct {
	Licences map[int64]inty.Licence
	// Linked are those that any line names, whether it bills or not, on whatever invoice.
	Linked map[int64]bool
	// Billed are those that a line of an invoice names which bills; with that line.
	Billed map[int64]lineID
	// Moves are the re-pointings that a person applied, and those being undone.
	Moves map[linkID]Move
}

// linkID names the link of a line to a licence.
type linkID struct{ Invoice, Line, Licence int64 }

// Move is the re-pointing of one link, from a licence of Inty's to one of ours.
type Move struct {
	Connection string
	From, To   int64 // licences in Halo
	// Back: the link is to be as it was before.
	Back bool
	// Deactivate Inty's licence when no line links it any more.
	Deactivate bool
	// Finished: the link is as it was before, or somebody else had made it another. It binds nobody any more.
	Finished bool
	Who      string
	Time     time.Time
	Was      Was
}

// Was is what the line held before it was re-pointed.
type Was struct {
	Row   json.RawMessage // of quantity_subscriptions, exactly as Halo sent it
	Cost  decimal.Decimal
	Price decimal.Decimal
}

// Replaced is a licence of Inty's that may be deactivated.
type Replaced struct {
	ID     int64  `json:"id"`
	Client int64  `json:"client"`
	Who    string `json:"who,omitempty"`
	Name   string `json:"name,omitempty"`
}

// forward is the move of a link away from Inty, nil if there is none or it is being undone.
func (y *Inty) forward(invoice, line, licence int64) *Move {
	if m, ok := y.Moves[linkID{invoice, line, licence}]; ok && !m.Back {
		return &m
	}
	return nil
}

// backOf is the move of a line that led to a licence of ours and is being undone.
func (y *Inty) backOf(invoice, line, licence int64) *Move {
	for id, m := range y.Moves {
		if id.Invoice == invoice && id.Line == line && m.To == licence && m.Back {
			return &m
		}
	}
	return nil
}

// undone lists the undos that have nothing left to do: no row of the line leads to the licence of ours any
// more. While a write of the line is under way, it may yet.
func (s *Snapshot) undone() []storedMove {
	var out []storedMove
	for id, m := range s.Inty.Moves {
		if !m.Back || s.Known[ItemKey{m.Connection, lineKey(id.Invoice, id.Line)}].InFlight {
			continue
		}
		for _, inv := range s.Invoices {
			if inv.ID == id.Invoice && slices.ContainsFunc(inv.Lines, func(l Line) bool { return l.ID == id.Line && !slices.Contains(l.linked(), m.To) }) {
				out = append(out, storedMove{id, m})
			}
		}
	}
	return out
}

// swap re-points rows of a decision.
func (d *Decision) swap(x pair, rows []Row) {
	if d.Moves = x.moves; len(x.moves) > 0 {
		d.Who = x.moves[0].Who
	}
	for _, m := range x.moves {
		for i := range rows {
			if rows[i].LicenceID == m.From {
				rows[i].LicenceID = m.To
			}
		}
	}
}

// replaced lists licences of Inty's that this line was re-pointed away from and that no line links any
// more: before that, deactivating one would bill its line less.
func replaced(s *Snapshot, x pair) []Replaced {
	var out []Replaced
	for id, m := range s.Inty.Moves {
		if id.Invoice != x.invoice.ID || id.Line != x.line.ID || m.Back || !m.Deactivate || s.Inty.Linked[m.From] {
			continue
		}
		l := s.Inty.Licences[m.From]
		out = append(out, Replaced{ID: m.From, Client: l.ClientID, Who: m.Who, Name: l.Name})
	}
	slices.SortFunc(out, func(a, b Replaced) int { return int(a.ID - b.ID) })
	return out
}

// decideBack: a re-pointed line is to link what it linked before, at the cost and price it had. Its
// licence must be active again first, or the line would bill nothing meanwhile.
func decideBack(s *Snapshot, b Book, x pair) Decision {
	lead := x.back[0]
	ids := []int64{}
	for _, m := range x.back {
		ids = append(ids, m.From, m.To)
	}
	isMoved := func(id int64) bool { return slices.Contains(ids, id) }
	has := fieldsOf(*x.line, isMoved)
	d := Decision{
		ItemKey: ItemKey{lead.Connection, lineKey(x.invoice.ID, x.line.ID)}, Instance: b.Settings[lead.Connection].Instance,
		Verdict: reconcile.Go(), Applied: &has, Facts: factsOf(x.invoice, x.line), Customer: x.invoice.ClientName,
		Moves: x.back, Who: lead.Who, Ours: ids, Desired: Fields{Linked: true},
	}
	d.Facts.Rule = "the re-pointing from Inty's licence is undone"
	before, after := map[int64]int64{}, map[int64]int64{}
	for _, l := range slices.Concat(x.licences, x.leaving, x.restored) {
		if !slices.Contains(d.Facts.Licences, l.Key) {
			d.Facts.Licences = append(d.Facts.Licences, l.Key)
		}
		before[l.HaloID] = l.Holds
		if l.Active {
			after[l.HaloID] = l.Count
		}
	}
	rows := slices.Clone(x.line.Rows)
	for _, m := range x.back {
		l, ok := s.Inty.Licences[m.From]
		switch {
		case !ok:
			d.first(reconcile.Hold("inty_gone", fmt.Sprintf("Halo has no licence %d of Inty's any more, so the link cannot be put back. Link the line by hand in Halo.", m.From)))
		case !l.Active:
			d.first(reconcile.Park("inty_inactive", fmt.Sprintf("Waits for Inty's licence %d to be active again in Halo.", m.From)))
		default:
			after[m.From] = l.Count
		}
		var was halo.QuantityRow
		if err := json.Unmarshal(m.Was.Row, &was); err != nil {
			d.first(reconcile.Hold("edit", "What the line held before cannot be read: "+err.Error()))
		}
		for i := range rows {
			if rows[i].LicenceID == m.To {
				rows[i].LicenceID, rows[i].Minimum, rows[i].Free = m.From, was.Minimum().Decimal, was.Free().Decimal
			}
		}
	}
	for _, r := range rows {
		if r.LicenceID > 0 {
			d.Desired.Licences = append(d.Desired.Licences, r.LicenceID)
		}
	}
	d.Desired.Cost, d.Desired.Price = rounded(lead.Was.Cost), rounded(lead.Was.Price)
	if n := slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return !isMoved(r.LicenceID) }); len(n) > 0 {
		d.Desired.Minimum = agreed(n, func(r Row) decimal.Decimal { return r.Minimum })
		d.Desired.Included = agreed(n, func(r Row) decimal.Decimal { return r.Free })
	}
	seats := func(of map[int64]int64) func(int64) (int64, bool) {
		return func(id int64) (int64, bool) { n, ok := of[id]; return n, ok }
	}
	d.Facts.QuantityBefore, d.Facts.QuantityAfter = counted(x.line.Rows, seats(before)), counted(rows, seats(after))
	d.Before = monthly(d.Facts.QuantityBefore, &x.line.Price, x.line.Discount, x.invoice.Period)
	d.After = monthly(d.Facts.QuantityAfter, &lead.Was.Price, x.line.Discount, x.invoice.Period)
	return d
}

// billedByInty finds the licence of Inty's that bills what a licence of ours stands for: a line beside
// it would bill the customer twice.
func (y *Inty) billedByInty(l *Licence) (inty.Licence, lineID, bool) {
	var found []inty.Licence
	for id, at := range y.Billed {
		x, ok := y.Licences[id]
		if !ok {
			continue
		}
		moved := false
		for link, m := range y.Moves {
			moved = moved || link.Licence == id && m.To == l.HaloID && link.Invoice == at.Invoice && link.Line == at.Line
		}
		if moved || x.ClientID == l.ClientID && inty.SameProduct(x.Name, x.SKU, l.Name, l.SKU) {
			found = append(found, x)
		}
	}
	if len(found) == 0 {
		return inty.Licence{}, lineID{}, false
	}
	first := slices.MinFunc(found, func(a, b inty.Licence) int { return int(a.ID - b.ID) })
	return first, y.Billed[first.ID], true
}

var errChanged = errors.New("the link to Inty's licence was changed in Halo since the re-pointing was applied; preview it and apply it again")

// swapRows re-points rows, or puts them back exactly as they were, and tells whether that changed any.
// A row that is not what was previewed is not written.
func swapRows(rows []halo.QuantityRow, moves []Move) (bool, error) {
	touched := false
	for _, m := range moves {
		from, to := m.From, m.To
		if m.Back {
			from, to = to, from
		}
		for i := range rows {
			if rows[i].LicenceID() != from {
				continue
			}
			touched = true
			if m.Back {
				var was halo.QuantityRow
				if err := json.Unmarshal(m.Was.Row, &was); err != nil {
					return touched, fmt.Errorf("row as it was: %w", err)
				}
				if was.ID() != rows[i].ID() {
					return touched, errors.New("the link was made anew in Halo since it was re-pointed; put it back by hand")
				}
				rows[i] = was
				continue
			}
			now, err := json.Marshal(rows[i])
			if err != nil {
				return touched, err
			}
			if !sameRow(now, m.Was.Row) {
				return touched, errChanged
			}
			if err := rows[i].Link(to); err != nil {
				return touched, err
			}
		}
	}
	return touched, nil
}

// sameRow compares rows by their content. The name of the licence is Halo's to write.
func sameRow(a, b json.RawMessage) bool {
	read := func(raw json.RawMessage) map[string]any {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		var fields map[string]any
		if d.Decode(&fields) != nil {
			return nil
		}
		delete(fields, "licence_name")
		return fields
	}
	x, y := read(a), read(b)
	return x != nil && reflect.DeepEqual(x, y)
}
