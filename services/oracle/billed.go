package oracle

import (
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo/halosim"
)

// Billed is what an invoice run for a date charges each Halo client for whole periods, in pounds ex VAT: the sum over its
// enabled recurring invoices that are due. Pro rata for changes within a period comes on top of it; see [ProRata].
func Billed(s halosim.State, date time.Time) map[int64]decimal.Decimal {
	licences := map[int64]halosim.Licence{}
	for _, l := range s.Licences {
		licences[l.ID] = l
	}
	sums := map[int64]decimal.Decimal{}
	due(s, date, func(inv halosim.Invoice, l halosim.Line) {
		price := l.UnitPrice.Decimal
		for i := len(l.Subscriptions) - 1; i >= 0 && l.QuantityType == halosim.Subscriptions; i-- {
			if r := l.Subscriptions[i]; r.UsesSubsPrice {
				price = licences[r.LicenceID].Price.Decimal
			}
		}
		net := price.Mul(seats(s, inv, l, licences)).Round(2)
		sums[inv.ClientID] = sums[inv.ClientID].Add(net)
	})
	return sums
}

// ProRata is what the same run charges on top for changes within the period past, as Halo has written it down.
func ProRata(s halosim.State, date time.Time) map[int64]decimal.Decimal {
	sums := map[int64]decimal.Decimal{}
	due(s, date, func(inv halosim.Invoice, l halosim.Line) {
		for _, r := range l.ProRata {
			if !r.IsInvoiced {
				sums[inv.ClientID] = sums[inv.ClientID].Add(r.Quantity.Mul(r.UnitPrice.Decimal).Round(2))
			}
		}
	})
	return sums
}

// due visits the lines that are billed by a date, once: a run that is a period behind is not looked at.
func due(s halosim.State, date time.Time, visit func(halosim.Invoice, halosim.Line)) {
	for _, inv := range s.Invoices {
		if inv.Disabled || inv.NextCreation.IsZero() || inv.NextCreation.After(date) {
			continue
		}
		for _, l := range inv.Lines {
			if !l.Inactive && !l.GroupText {
				visit(inv, l)
			}
		}
	}
}

// seats of a line: typed, or counted over its rows.
func seats(s halosim.State, inv halosim.Invoice, l halosim.Line, licences map[int64]halosim.Licence) decimal.Decimal {
	if !s.Control.CalculateQuantities {
		return l.Quantity.Decimal
	}
	var n, least int64
	switch l.QuantityType {
	case halosim.Subscriptions, halosim.Licences:
		rows := l.Subscriptions
		if l.QuantityType == halosim.Licences {
			rows = l.Licences
		}
		for _, r := range rows {
			if licence := licences[r.LicenceID]; licence.IsActive && !licence.Deleted && !r.Assigned {
				n += licence.Count
			} else if licence.IsActive && r.Assigned {
				n += licence.AssignedCount
			}
			n, least = n-r.Free, least+r.Minimum
		}
	case halosim.Users:
		var site int64
		for _, r := range l.Users {
			site, least, n = r.SiteID, least+r.Minimum, n-r.Free
		}
		for _, u := range s.Users {
			if u.ClientID == inv.ClientID && !u.Inactive && !u.ServiceAccount && u.Name != "General User" && (site <= 0 || site == u.SiteID) {
				n++
			}
		}
	default:
		return l.Quantity.Decimal
	}
	return decimal.NewFromInt(max(n, least, 0))
}
