package billing

import (
	"fmt"
	"slices"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo"
)

// edit changes an invoice as the decision says: our fields of one line, or one line more. Every other
// line and every field that is not ours stay exactly as they were read.
func edit(inv *halo.Invoice, d Decision, name string, proRata *int64) error {
	if d.Facts.Line == 0 {
		line, err := newLine(d, name, proRata)
		if err != nil {
			return err
		}
		inv.Lines = append(inv.Lines, line)
		return nil
	}
	at := slices.IndexFunc(inv.Lines, func(l halo.Line) bool { return l.ID() == d.Facts.Line })
	if at < 0 {
		return fmt.Errorf("recurring invoice %d has no line %d", inv.ID(), d.Facts.Line)
	}
	line := &inv.Lines[at]
	if err := editAmounts(line, d.Desired); err != nil {
		return err
	}
	if !d.Desired.Linked {
		return nil
	}
	return editRows(line, d, proRata)
}

func editAmounts(line *halo.Line, f Fields) error {
	for _, x := range []struct {
		value *decimal.Decimal
		holds halo.Money
		set   func(halo.Money) error
	}{{f.Quantity, line.Quantity(), line.SetQuantity}, {f.Cost, line.UnitCost(), line.SetUnitCost}, {f.Price, line.UnitPrice(), line.SetUnitPrice}} {
		// An amount that is right to 4 places is left as Halo wrote it.
		if x.value == nil || x.holds.Round(4).Equal(*x.value) {
			continue
		}
		if err := x.set(halo.Money{Decimal: *x.value}); err != nil {
			return err
		}
	}
	return nil
}

// editRows makes the rows of a linked line those that are desired.
func editRows(line *halo.Line, d Decision, proRata *int64) error {
	was := line.Subscriptions()
	rows := slices.DeleteFunc(slices.Clone(was), func(r halo.QuantityRow) bool { return slices.Contains(d.Unlink, r.LicenceID()) })
	touched, err := swapRows(rows, d.Moves)
	if err != nil {
		return err
	}
	touched = touched || len(rows) != len(was)
	for _, id := range d.Desired.Licences {
		if slices.ContainsFunc(rows, func(r halo.QuantityRow) bool { return r.LicenceID() == id }) {
			continue
		}
		touched = true
		// A row that names no licence yet is the one to use.
		if at := slices.IndexFunc(rows, func(r halo.QuantityRow) bool { return r.LicenceID() <= 0 }); at >= 0 {
			if err := rows[at].Link(id); err != nil {
				return err
			}
			continue
		}
		row, err := newRow(id, proRata)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	for i := range rows {
		if !slices.Contains(d.Ours, rows[i].LicenceID()) {
			continue
		}
		n, err := setSeats(&rows[i], d.Desired)
		if err != nil {
			return err
		}
		touched = touched || n
	}
	if !touched {
		return nil
	}
	return line.SetSubscriptions(rows)
}

// setSeats sets the minimum and included seats of a row, and tells whether that changed it.
func setSeats(r *halo.QuantityRow, f Fields) (bool, error) {
	changed := false
	for _, x := range []struct {
		name  string
		want  *int64
		holds halo.Money
	}{{"minimum_qty", f.Minimum, r.Minimum()}, {"qty_free", f.Included, r.Free()}} {
		if x.want == nil || x.holds.Equal(decimal.NewFromInt(*x.want)) {
			continue
		}
		changed = true
		if err := r.Set(x.name, *x.want); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

func newRow(licence int64, proRata *int64) (halo.QuantityRow, error) {
	if proRata == nil {
		return halo.QuantityRow{}, fmt.Errorf("link licence %d: %s", licence, noProRata.Reason.Text)
	}
	return halo.NewQuantityRow(licence, *proRata)
}

// newLine is a line that does not exist yet. The item brings its tax and nominal code.
func newLine(d Decision, name string, proRata *int64) (halo.Line, error) {
	line := halo.NewLine()
	if len(d.Desired.Licences) != 1 || d.Desired.Price == nil {
		return line, fmt.Errorf("line for %v: its licence or its price is not known", d.Facts.Licences)
	}
	row, err := newRow(d.Desired.Licences[0], proRata)
	if err != nil {
		return line, err
	}
	if _, err := setSeats(&row, d.Desired); err != nil {
		return line, err
	}
	for _, f := range []struct {
		name  string
		value any
	}{
		{"_itemid", d.Facts.Item}, {"item_shortdescription", name}, {"recurring_invoice_quantity_type", quantityLinked},
		{"unit_price", halo.Money{Decimal: *d.Desired.Price}},
	} {
		if err := line.Set(f.name, f.value); err != nil {
			return line, err
		}
	}
	if d.Desired.Cost != nil {
		if err := line.SetUnitCost(halo.Money{Decimal: *d.Desired.Cost}); err != nil {
			return line, err
		}
	}
	return line, line.SetSubscriptions([]halo.QuantityRow{row})
}

// lost lists lines that were there before a write and are not after it.
func lost(before, after halo.Invoice) []int64 {
	var ids []int64
	for _, l := range before.Lines {
		if l.ID() != 0 && !slices.ContainsFunc(after.Lines, func(x halo.Line) bool { return x.ID() == l.ID() }) {
			ids = append(ids, l.ID())
		}
	}
	return ids
}

// taken finds what a write made of one decision: the line that it is about, and what it holds.
func taken(before, after []Line, d Decision) (id int64, holds *Fields) {
	at := slices.IndexFunc(after, func(l Line) bool {
		if d.Facts.Line != 0 {
			return l.ID == d.Facts.Line
		}
		return slices.Equal(l.linked(), d.Desired.Licences) && !slices.ContainsFunc(before, func(x Line) bool { return x.ID == l.ID })
	})
	if at < 0 {
		return 0, nil
	}
	f := fieldsOf(after[at], func(id int64) bool { return slices.Contains(d.Ours, id) })
	return after[at].ID, &f
}
