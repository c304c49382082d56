package oracle

import (
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo/halosim"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// lines carries licences into the lines of recurring invoices.
func (o *Oracle) lines() {
	ours := o.ours()
	o.unlinkMoved(ours)
	// A licence that any line links counts as linked, also where nothing is billed at the moment: an
	// inactive line, a disabled invoice. Adding another line would bill it twice one day.
	linked := map[int64]bool{}
	for _, inv := range o.state.Invoices {
		for _, l := range inv.Lines {
			for _, r := range l.Subscriptions {
				linked[r.LicenceID] = linked[r.LicenceID] || l.QuantityType == halosim.Subscriptions
			}
		}
	}
	unsure := map[int64]bool{} // licences that one of several lines may be meant for
	o.linkEmpty(ours, linked, unsure)
	o.pair(ours, linked, unsure)
	o.eachLine(func(inv *halosim.Invoice, l *halosim.Line) { o.fill(inv, l, ours) })
	o.add(ours, linked, unsure)
}

// ours are the licences of subscriptions of this connection, by Halo id.
func (o *Oracle) ours() map[int64]*subscription {
	m := map[int64]*subscription{}
	for _, l := range o.state.Licences {
		if s := o.holder(l); s != nil {
			if client, _ := o.resolve(s); client != 0 {
				m[l.ID] = s
			}
		}
	}
	return m
}

// eachLine visits the lines that bill something: those that may be ours. Whether they may be written just now is
// another question; see quiet.
func (o *Oracle) eachLine(visit func(*halosim.Invoice, *halosim.Line)) {
	for i := range o.state.Invoices {
		inv := &o.state.Invoices[i]
		if inv.Disabled {
			continue
		}
		for j := range inv.Lines {
			if l := &inv.Lines[j]; !l.Inactive && !l.GroupText {
				visit(inv, l)
			}
		}
	}
}

// quiet: from shortly before Halo creates the invoice until it has, nobody writes it.
func (o *Oracle) quiet(inv *halosim.Invoice) bool {
	before := 2 * time.Hour
	if d := o.settings.Connection.GetBilling().GetQuietBeforeRun(); d != nil {
		before = d.AsDuration()
	}
	return !inv.NextCreation.IsZero() && !o.now.Before(inv.NextCreation.Add(-before))
}

// unlinkMoved takes licences off the lines of a client that they have left.
func (o *Oracle) unlinkMoved(ours map[int64]*subscription) {
	o.eachLine(func(inv *halosim.Invoice, l *halosim.Line) {
		if l.QuantityType != halosim.Subscriptions || o.quiet(inv) {
			return
		}
		l.Subscriptions = slices.DeleteFunc(l.Subscriptions, func(r halosim.QuantityRow) bool {
			s := ours[r.LicenceID]
			return s != nil && s.left != 0 && s.left == inv.ClientID
		})
	})
}

// same says whether a line is of the product of a subscription.
func (o *Oracle) same(l *halosim.Line, s *subscription) bool {
	if code := o.item(l.ItemID).SupplierPartCode; code != "" && s.sku != "" {
		return strings.EqualFold(code, s.sku)
	}
	return strings.EqualFold(strings.TrimSpace(l.Name), strings.TrimSpace(s.name))
}

func (o *Oracle) item(id int64) halosim.Item {
	for _, it := range o.state.Items {
		if it.ID == id {
			return it
		}
	}
	return halosim.Item{}
}

// matching are our active licences of an invoice's client and a line's product that no line links.
func (o *Oracle) matching(inv *halosim.Invoice, l *halosim.Line, ours map[int64]*subscription, linked map[int64]bool) []int64 {
	var ids []int64
	for _, i := range o.index.byClient[inv.ClientID] {
		lic := o.state.Licences[i]
		if s := ours[lic.ID]; s != nil && lic.IsActive && !linked[lic.ID] && o.same(l, s) {
			ids = append(ids, lic.ID)
		}
	}
	return ids
}

// linkEmpty gives a licence to lines that compute from subscriptions and name none.
func (o *Oracle) linkEmpty(ours map[int64]*subscription, linked, unsure map[int64]bool) {
	one := o.only(halosim.Subscriptions, ours, linked, unsure)
	o.eachLine(func(inv *halosim.Invoice, l *halosim.Line) {
		id, ok := one[l.ID]
		if !ok {
			return
		}
		linked[id] = true // or will be, once what stands against it is settled
		cost := o.licence(id).PurchasePrice.Decimal
		if _, _, priced := o.price(ours[id], cost); !priced || !fits(inv, ours[id]) || o.quiet(inv) {
			o.wait("line", lineKey(inv, l), "link")
			return
		}
		if len(l.Subscriptions) == 0 {
			proRata := o.settings.Connection.GetBilling().ProRata
			if proRata == nil {
				o.wait("line", lineKey(inv, l), "link")
				return
			}
			l.Subscriptions = append(l.Subscriptions, halosim.QuantityRow{Kind: 4, LineID: l.ID, ProRata: int64(*proRata)})
		}
		l.Subscriptions[0].LicenceID = id
	})
}

// only finds lines of a kind that bill nothing of ours yet and licences that have nobody but each other.
func (o *Oracle) only(kind int64, ours map[int64]*subscription, linked, unsure map[int64]bool) map[int64]int64 {
	licences, lines, paired, doubt := map[int64][]int64{}, map[int64]int{}, map[string]bool{}, map[int64]bool{}
	for _, key := range o.fixed {
		paired[key] = true
	}
	o.eachLine(func(inv *halosim.Invoice, l *halosim.Line) {
		names := slices.ContainsFunc(l.Subscriptions, func(r halosim.QuantityRow) bool { return r.LicenceID > 0 })
		if l.QuantityType != kind || kind == halosim.Subscriptions && names || o.fixed[l.ID] != "" {
			return
		}
		licences[l.ID] = slices.DeleteFunc(o.matching(inv, l, ours, linked), func(id int64) bool { return kind == halosim.Fixed && paired[ours[id].key] })
		for _, id := range licences[l.ID] {
			lines[id]++
		}
		doubt[l.ID] = o.meantForDuplicate(inv, l)
	})
	one := map[int64]int64{}
	for line, ids := range licences {
		for _, id := range ids {
			if len(ids) == 1 && lines[id] == 1 && !doubt[line] {
				one[line] = id
			} else {
				unsure[id] = true
			}
		}
	}
	return one
}

// meantForDuplicate tells whether a line may be meant for a subscription of which nobody knows yet whether
// Halo has its licence.
func (o *Oracle) meantForDuplicate(inv *halosim.Invoice, l *halosim.Line) bool {
	return slices.ContainsFunc(o.waiting, func(w Waiting) bool {
		if w.Kind != "licence" || w.Code != "possible_duplicate" {
			return false
		}
		client, _ := o.resolve(o.rows[w.Key])
		return client == inv.ClientID && o.same(l, o.rows[w.Key])
	})
}

// pair finds the one fixed line of a licence, where there is exactly one of each. Once paired they
// stay so while the client is the same and nothing links the licence.
func (o *Oracle) pair(ours map[int64]*subscription, linked, unsure map[int64]bool) {
	o.eachLine(func(inv *halosim.Invoice, l *halosim.Line) {
		if key, ok := o.fixed[l.ID]; ok {
			if lic := o.licenceOf(key); lic == nil || linked[lic.ID] || lic.ClientID != inv.ClientID {
				delete(o.fixed, l.ID)
			}
		}
	})
	for line, id := range o.only(halosim.Fixed, ours, linked, unsure) {
		o.fixed[line] = ours[id].key
	}
}

// fits says whether a subscription's billing cycle is the invoice's period.
func fits(inv *halosim.Invoice, s *subscription) bool {
	return map[string]int64{"": 2, "Monthly": 2, "Annual": 3, "Triennial": 7}[s.cycle] == inv.Period
}

// fill writes cost, price and quantity of a line of ours.
func (o *Oracle) fill(inv *halosim.Invoice, l *halosim.Line, ours map[int64]*subscription) {
	var licences []*halosim.Licence
	var rows []*halosim.QuantityRow
	key, paired := o.fixed[l.ID]
	switch {
	case l.QuantityType == halosim.Fixed && paired:
		licences = append(licences, o.licenceOf(key))
	case l.QuantityType == halosim.Subscriptions:
		for i := range l.Subscriptions {
			r := &l.Subscriptions[i]
			if ours[r.LicenceID] != nil {
				licences, rows = append(licences, o.licence(r.LicenceID)), append(rows, r)
			}
		}
	}
	if len(licences) == 0 {
		return
	}
	if o.quiet(inv) {
		o.wait("line", lineKey(inv, l), "invoice_run")
		return
	}
	usesCost := slices.ContainsFunc(rows, func(r *halosim.QuantityRow) bool { return r.UsesSubsCost })
	usesPrice := slices.ContainsFunc(rows, func(r *halosim.QuantityRow) bool { return r.UsesSubsPrice })
	var cost, price *decimal.Decimal
	var rule *pricingv1.PriceRule
	for i, lic := range licences {
		s := ours[lic.ID]
		if s == nil || !fits(inv, s) {
			o.wait("line", lineKey(inv, l), "cycle")
			return
		}
		c := lic.PurchasePrice.Decimal
		r, p, ok := o.price(s, c)
		if !ok {
			o.wait("line", lineKey(inv, l), "rule")
			return
		}
		if i > 0 && (!usesCost && !cost.Equal(c) || (price == nil) != (p == nil) || price != nil && !price.Equal(*p)) {
			o.wait("line", lineKey(inv, l), "prices_differ")
			return
		}
		cost, price, rule = &c, p, r
	}
	if slices.ContainsFunc(l.ProRata, func(p halosim.ProRataRow) bool { return !p.IsInvoiced }) && l.QuantityType == halosim.Fixed {
		o.wait("line", lineKey(inv, l), "pro_rata")
		return
	}
	if !usesCost {
		l.UnitCost = halosim.Money{Decimal: *cost}
	}
	switch {
	case price == nil:
	case usesPrice:
		for _, lic := range licences {
			lic.Price = halosim.Money{Decimal: *price}
		}
	case l.AutoIncrease == 0:
		l.UnitPrice = halosim.Money{Decimal: *price}
	}
	for _, r := range rows {
		if rule != nil && rule.MinimumQuantity != nil {
			r.Minimum = *rule.MinimumQuantity
		}
		if rule != nil && rule.IncludedQuantity != nil {
			r.Free = *rule.IncludedQuantity
		}
	}
	if l.QuantityType == halosim.Fixed {
		n := licences[0].Count
		if rule != nil {
			n = max(n-rule.GetIncludedQuantity(), rule.GetMinimumQuantity(), 0)
		}
		if !licences[0].IsActive {
			n = 0
		}
		l.Quantity = halosim.Money{Decimal: decimal.NewFromInt(n)}
	}
}

func lineKey(inv *halosim.Invoice, l *halosim.Line) string {
	return number(inv.ID) + "/" + number(l.ID)
}

func (o *Oracle) licence(id int64) *halosim.Licence {
	if i, ok := o.index.byID[id]; ok {
		return &o.state.Licences[i]
	}
	return nil
}
