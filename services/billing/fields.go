package billing

import (
	"slices"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/reconcile"
)

// Fields of a line in Halo that are ours. One that is nil is not ours at the moment: it is neither
// written nor compared.
type Fields struct {
	// Linked: Halo computes the quantity from Licences (type 4); else Quantity is the truth (type 0).
	Linked   bool    `json:"linked"`
	Licences []int64 `json:"licences,omitempty"`
	// Quantity of a fixed line.
	Quantity *decimal.Decimal `json:"qty,omitempty"`
	// Cost and Price per unit and period of the invoice, ex VAT.
	Cost  *decimal.Decimal `json:"cost,omitempty"`
	Price *decimal.Decimal `json:"price,omitempty"`
	// Minimum and Included seats of each row of a linked line.
	Minimum  *int64 `json:"minimum,omitempty"`
	Included *int64 `json:"included,omitempty"`
}

// ours tells which licences are.
func ours(licences []*Licence) func(id int64) bool {
	return func(id int64) bool {
		return id > 0 && slices.ContainsFunc(licences, func(l *Licence) bool { return l.HaloID == id })
	}
}

// fieldsOf is what a line holds in our fields. Of the seats of its rows only those of our licences are.
func fieldsOf(l Line, ours func(licence int64) bool) Fields {
	f := Fields{Linked: l.Type == quantityLinked, Licences: l.linked(), Cost: rounded(l.Cost), Price: rounded(l.Price)}
	if !f.Linked {
		q := l.Quantity
		f.Quantity = &q
		return f
	}
	rows := slices.DeleteFunc(slices.Clone(l.Rows), func(r Row) bool { return ours == nil || !ours(r.LicenceID) })
	if len(rows) > 0 {
		f.Minimum, f.Included = agreed(rows, func(r Row) decimal.Decimal { return r.Minimum }), agreed(rows, func(r Row) decimal.Decimal { return r.Free })
	}
	return f
}

// agreed is the value that all rows have, nil when they differ.
func agreed(rows []Row, of func(Row) decimal.Decimal) *int64 {
	for _, r := range rows[1:] {
		if !of(r).Equal(of(rows[0])) {
			return nil
		}
	}
	n := of(rows[0]).IntPart()
	return &n
}

// rounded: Halo keeps amounts as binary floating point; beyond 4 places they are noise.
func rounded(d decimal.Decimal) *decimal.Decimal {
	d = d.Round(4)
	return &d
}

// diff lists the fields in which Halo would have to change.
func diff(before, after *Fields) []reconcile.Field {
	if after == nil {
		return nil
	}
	old := Fields{Linked: after.Linked}
	if before != nil {
		old = *before
	}
	var d []reconcile.Field
	add := func(name, b, a string) {
		if a != b {
			d = append(d, reconcile.Field{Name: name, Before: b, After: a})
		}
	}
	if after.Linked {
		if before == nil && len(after.Licences) == 0 {
			add("licences", "", "the licence still to be created") // an addition that waits
		}
		add("licences", numbers(old.Licences), numbers(after.Licences))
	}
	addMoney := func(name string, b, a *decimal.Decimal) {
		if a != nil && (b == nil || !b.Equal(*a)) {
			add(name, text(b), text(a))
		}
	}
	addMoney("quantity", old.Quantity, after.Quantity)
	addMoney("unit_cost", old.Cost, after.Cost)
	addMoney("unit_price", old.Price, after.Price)
	addInt := func(name string, b, a *int64) {
		if a != nil && (b == nil || *b != *a) {
			add(name, intText(b), intText(a))
		}
	}
	addInt("minimum_qty", old.Minimum, after.Minimum)
	addInt("qty_free", old.Included, after.Included)
	return d
}

func numbers(ids []int64) string {
	s := make([]string, len(ids))
	for i, id := range slices.Sorted(slices.Values(ids)) {
		s[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(s, ", ")
}

func text(d *decimal.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}

func intText(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}
