package billing

import (
	"slices"

	"github.com/shopspring/decimal"
)

// bills is what lines bill for one licence.
type bills struct {
	lines []string
	total decimal.Decimal // per month ex VAT
	vague bool            // a line's sum cannot be told
}

func (b *bills) sum() *decimal.Decimal {
	if b.vague {
		return nil
	}
	return &b.total
}

// billingOf finds what invoices bill for licences, by their id. The sum of a line that counts several of them goes to the
// first; seats are those of every licence known.
func billingOf(invoices []Invoice, licences []int64, seats map[int64]int64) map[int64]*bills {
	found := map[int64]*bills{}
	for i := range invoices {
		inv := &invoices[i]
		for j := range inv.Lines {
			line := &inv.Lines[j]
			if inv.Disabled || !line.bills() || line.Type != quantityLinked {
				continue
			}
			first := true
			for _, id := range slices.Compact(line.linked()) {
				if !slices.Contains(licences, id) {
					continue
				}
				b := found[id]
				if b == nil {
					b = &bills{}
					found[id] = b
				}
				b.lines = append(b.lines, lineKey(inv.ID, line.ID))
				if !first {
					continue
				}
				first = false
				quantity := counted(line.Rows, func(id int64) (int64, bool) { n, ok := seats[id]; return n, ok })
				if sum := monthly(quantity, &line.Price, line.Discount, inv.Period); sum != nil {
					b.total = b.total.Add(*sum)
				} else {
					b.vague = true
				}
			}
		}
	}
	return found
}
