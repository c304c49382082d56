package halosim

import (
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// complete gives new lines and rows their ids, fills what Halo fills in, and remembers which invoices link a licence.
func (s *Sim) complete(inv *Invoice) {
	inv.Recurring, inv.ClientName, inv.Calculated = true, s.clientName(inv.ClientID), false
	for i := range inv.Lines {
		l := &inv.Lines[i]
		if l.ID == 0 {
			s.lineID++
			l.ID = s.lineID
		}
		l.InvoiceID = inv.ID
		inv.Calculated = inv.Calculated || l.QuantityType != Fixed
		for _, rows := range [][]QuantityRow{l.Subscriptions, l.Licences, l.Users, l.Assets} {
			for j := range rows {
				if rows[j].ID == 0 {
					s.rowID++
					rows[j].ID = s.rowID
				}
				rows[j].LineID = l.ID
				if licence, ok := s.licences.byID[rows[j].LicenceID]; ok {
					rows[j].LicenceName = licence.Name
					if s.linked[licence.ID] == nil {
						s.linked[licence.ID] = map[int64]bool{}
					}
					s.linked[licence.ID][inv.ID] = true // it may name one that no longer links it; readers look
				}
			}
		}
		for j := range l.ProRata {
			if l.ProRata[j].ID == 0 {
				s.proRataID++
				l.ProRata[j].ID = s.proRataID
			}
			l.ProRata[j].LineID = l.ID
		}
	}
	s.calculate(inv)
}

// calculate works out what Halo shows: quantities of calculated lines, and the total.
func (s *Sim) calculate(inv *Invoice) {
	total := decimal.Zero
	for i := range inv.Lines {
		l := &inv.Lines[i]
		if s.control.CalculateQuantities {
			if q, calculated := s.quantity(inv, *l); calculated {
				l.Quantity = Money{decimal.NewFromInt(q)}
			}
		}
		if !l.Inactive && !l.GroupText {
			price, _ := s.prices(*l)
			total = total.Add(price.Mul(l.Quantity.Decimal))
		}
	}
	inv.Total = Money{total.Round(2)}
}

// quantity of a calculated line: over its rows, licence counts less the free ones, raised to the minimum, never below 0 [C].
// An inactive licence counts 0 [G].
func (s *Sim) quantity(inv *Invoice, l Line) (n int64, calculated bool) {
	var least int64
	switch l.QuantityType {
	case Licences, Subscriptions:
		rows := l.Subscriptions
		if l.QuantityType == Licences {
			rows = l.Licences
		}
		for _, r := range rows {
			count := int64(0)
			if licence, ok := s.licences.byID[r.LicenceID]; ok && licence.IsActive && !licence.Deleted {
				if count = licence.Count; r.Assigned {
					count = licence.AssignedCount
				}
			}
			n, least = n+count-r.Free, least+r.Minimum
		}
	case Users:
		site := int64(0)
		for _, r := range l.Users {
			site, least, n = r.SiteID, least+r.Minimum, n-r.Free
		}
		for _, u := range s.users.rows {
			if u.ClientID == inv.ClientID && !u.Inactive && !u.ServiceAccount && u.Name != "General User" && (site <= 0 || u.SiteID == site) {
				n++
			}
		}
	default: // assets are not simulated: their lines keep the quantity they have
		return 0, false
	}
	return max(n, least, 0), true
}

// prices of a line: its own, unless a row takes them from the linked subscription [V].
func (s *Sim) prices(l Line) (price, cost decimal.Decimal) {
	price, cost = l.UnitPrice.Decimal, l.UnitCost.Decimal
	if l.QuantityType != Subscriptions {
		return price, cost
	}
	for _, r := range slices.Backward(l.Subscriptions) { // the first row that says so decides [G]
		licence, ok := s.licences.byID[r.LicenceID]
		if ok && r.UsesSubsPrice {
			price = licence.Price.Decimal
		}
		if ok && r.UsesSubsCost {
			cost = licence.PurchasePrice.Decimal
		}
	}
	return price, cost
}

// licenceChanged is what Halo does when a licence changes: the change log, pro rata of linked lines, and lines that follow
// the licence's status. The caller holds the lock.
func (s *Sim) licenceChanged(was Licence, now *Licence) {
	now.ClientName = s.clientName(now.ClientID)
	before, after := was.Count, now.Count
	if !was.IsActive || was.Deleted {
		before = 0
	}
	if !now.IsActive || now.Deleted {
		after = 0
	}
	if was.Count != now.Count {
		s.licenceChanges = append(s.licenceChanges, LicenceChange{
			ID: int64(len(s.licenceChanges) + 1), LicenceID: now.ID, Date: s.now(), Old: was.Count, New: now.Count,
		})
	}
	if before == after && was.IsActive == now.IsActive {
		return
	}
	for id := range s.linked[now.ID] {
		inv, ok := s.invoices.byID[id]
		if !ok || inv.Disabled {
			continue
		}
		for i := range inv.Lines {
			l := &inv.Lines[i]
			at := slices.IndexFunc(l.Subscriptions, func(r QuantityRow) bool { return r.LicenceID == now.ID })
			if at < 0 || l.QuantityType != Subscriptions {
				continue
			}
			if before != after {
				s.proRate(inv, l, l.Subscriptions[at], after-before)
			}
			s.followStatus(inv, l)
		}
		s.calculate(inv)
	}
}

// followStatus makes a line inactive when all its licences are, and active again, as the settings say [V].
func (s *Sim) followStatus(inv *Invoice, l *Line) {
	active := slices.ContainsFunc(l.Subscriptions, func(r QuantityRow) bool {
		licence, ok := s.licences.byID[r.LicenceID]
		return ok && licence.IsActive && !licence.Deleted
	})
	was := l.Inactive
	switch {
	case !active && (s.control.InactiveLicenceLines || s.control.LineStatusFollows):
		l.Inactive = true
	case active && s.control.LineStatusFollows:
		l.Inactive = false
	}
	if was != l.Inactive {
		s.logInvoice(inv.ID, l.ID, "isinactive", fmt.Sprint(was), fmt.Sprint(l.Inactive), "Halo")
	}
}

// proRate adds a row for the part of the period that is left. How Halo counts days and rounds is not known; ours: days
// left, today included, over days in the period, the unit price half up to 2 places. Modes 1, 3 and 4 do so; 0 and 2 do not.
func (s *Sim) proRate(inv *Invoice, l *Line, row QuantityRow, delta int64) {
	if (row.ProRata != 1 && row.ProRata != 3 && row.ProRata != 4) || delta < 0 && !s.control.NegativeProRata {
		return
	}
	now, end := s.now().Time, inv.NextCreation.Time
	start := inv.next(end, -1)
	if end.IsZero() || !now.Before(end) || !now.After(start) {
		return
	}
	day := func(t time.Time) int64 { return t.Unix() / 86400 }
	left, whole := decimal.NewFromInt(day(end)-day(now)), decimal.NewFromInt(day(end)-day(start))
	price, cost := s.prices(*l)
	part := func(d decimal.Decimal) Money { return Money{d.Mul(left).DivRound(whole, 2)} }
	s.proRataID++
	l.ProRata = append(l.ProRata, ProRataRow{
		ID: s.proRataID, LineID: l.ID, Date: s.now(), Quantity: Money{decimal.NewFromInt(delta)}, UnitPrice: part(price), UnitCost: part(cost),
		Text: "Pro rata: " + l.Name, QuantityID: row.ID,
	})
}

// Billed is an ordinary invoice that Halo made from a recurring one.
type Billed struct {
	ID          int64        `json:"id"`
	RecurringID int64        `json:"recurring_invoice_id"`
	ClientID    int64        `json:"client_id"`
	ClientName  string       `json:"client_name"`
	Date        Date         `json:"invoice_date"`
	Lines       []BilledLine `json:"lines"`
	Net         Money        `json:"total"`
}

// BilledLine is what the customer pays for one line. UnitPrice and UnitCost are ex VAT per unit, Net is rounded to pence.
type BilledLine struct {
	LineID     int64   `json:"recurring_invoice_line_id"`
	Name       string  `json:"item_shortdescription"`
	LicenceIDs []int64 `json:"licence_ids,omitempty"`
	Quantity   Money   `json:"qty_order"`
	UnitPrice  Money   `json:"unit_price"`
	UnitCost   Money   `json:"unit_cost"`
	Net        Money   `json:"net_amount"`
	ProRata    bool    `json:"pro_rata"`
}

// Process creates the invoices that are due by a date, as Halo does overnight, and returns them in the order made.
func (s *Sim) Process(date time.Time) []Billed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var made []Billed
	for _, inv := range s.invoices.rows {
		for !inv.Disabled && !inv.NextCreation.IsZero() && !inv.NextCreation.After(date) &&
			(inv.EndDate.IsZero() || !inv.NextCreation.After(inv.EndDate.Time)) {
			made = append(made, s.bill(inv))
		}
	}
	return made
}

// bill makes one invoice. The caller holds the lock.
func (s *Sim) bill(inv *Invoice) Billed {
	s.calculate(inv)
	s.billed++
	b := Billed{ID: s.billed, RecurringID: inv.ID, ClientID: inv.ClientID, ClientName: inv.ClientName, Date: inv.NextCreation}
	for i := range inv.Lines {
		l := &inv.Lines[i]
		pending := l.ProRata
		l.ProRata = nil
		if l.Inactive || l.GroupText {
			continue
		}
		price, cost := s.prices(*l)
		line := BilledLine{LineID: l.ID, Name: l.Name, Quantity: l.Quantity, UnitPrice: Money{price}, UnitCost: Money{cost}}
		for _, r := range slices.Concat(l.Subscriptions, l.Licences) {
			line.LicenceIDs = append(line.LicenceIDs, r.LicenceID)
		}
		if !l.Quantity.IsZero() || !s.control.DropZeroQuantityLines {
			b.add(line)
		}
		for _, r := range pending {
			if r.IsInvoiced {
				continue
			}
			b.add(BilledLine{LineID: l.ID, Name: r.Text, LicenceIDs: line.LicenceIDs, Quantity: r.Quantity, UnitPrice: r.UnitPrice, UnitCost: r.UnitCost, ProRata: true})
			if l.QuantityType == Fixed { // of a manual line the change becomes part of the quantity [V]
				l.Quantity = Money{l.Quantity.Add(r.Quantity.Decimal)}
			}
		}
	}
	inv.LastCreated = inv.NextCreation
	inv.NextCreation = On(inv.next(inv.NextCreation.Time, 1))
	inv.ChangeSeq++
	s.calculate(inv)
	return b
}

func (b *Billed) add(l BilledLine) {
	l.Net = Money{l.Quantity.Mul(l.UnitPrice.Decimal).Round(2)}
	b.Lines, b.Net = append(b.Lines, l), Money{b.Net.Add(l.Net.Decimal)}
}

func (s *Sim) logInvoice(invoice, line int64, field, old, now, who string) {
	s.invoiceChanges = append(s.invoiceChanges, InvoiceChange{
		ID: int64(len(s.invoiceChanges) + 1), InvoiceID: invoice, LineID: line, Field: field, Old: old, New: now, Who: who, Date: s.now(),
	})
}
