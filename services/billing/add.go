package billing

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// addPrefix begins the keys of lines that do not exist yet: "add/<licence key>".
const addPrefix = "add/"

// nowBilled ends an item about a line to be added.
var nowBilled = reconcile.Reason{Code: "billed", Text: "The licence is billed on a line, or need not be."}

// notBilled is the reason of a licence that nobody has said how to bill.
const notBilled = "not_billed"

// decideIdle: what becomes of a licence that no line bills. It is shown, and where a rule says so a
// line is added for it.
func decideIdle(s *Snapshot, b Book, x idle) Decision {
	l, settings := x.licence, b.Settings[x.licence.Connection]
	zero := decimal.Zero
	d := Decision{
		ItemKey: ItemKey{l.Connection, addPrefix + l.Key}, Instance: settings.Instance, Verdict: reconcile.Go(),
		Desired:  Fields{Linked: true},
		Facts:    Facts{Linked: true, Client: l.ClientID, ClientName: l.ClientName, Text: l.Name, Licences: []string{l.Key}, QuantityBefore: &zero},
		Customer: l.ClientName, Before: &zero,
	}
	d.causedBy([]*Licence{l})
	if l.HaloID != 0 {
		d.Desired.Licences, d.Ours = []int64{l.HaloID}, []int64{l.HaloID}
	}
	price, verdict := priceOf(b.Rules[l.Connection], *l)
	d.Facts.Rule = price.Rule
	known := s.Known[d.ItemKey]
	if known.InFlight {
		d.Facts.Invoice = known.Aim // wherever the line may have landed, that is where to look
	}
	of, at, byInty := s.Inty.billedByInty(l)
	switch {
	case byInty:
		d.show(fmt.Sprintf("Billed through Inty's licence %d on recurring invoice %d: re-point that line to it; a line beside it would bill twice.", of.ID, at.Invoice))
		return d
	case x.asleep:
		d.show("Linked only on a line or a recurring invoice that is inactive, so nothing is billed for it. Activate it in Halo, or link another line.")
		return d
	case x.unsure != nil && price.Add != nil:
		d.Verdict = reconcile.Hold("possible_duplicate", fmt.Sprintf("Line %d of recurring invoice %d may be meant for it, but is not the only one of this product; a line beside it could bill twice. Let one of them count this subscription in Halo.", x.unsure.Line, x.unsure.Invoice))
		return d
	case x.unsure != nil:
		d.show(fmt.Sprintf("Line %d of recurring invoice %d may be meant for it, but is not the only one of this product. Let one of them count this subscription in Halo.", x.unsure.Line, x.unsure.Invoice))
		return d
	case verdict.State != reconcile.Pending:
		d.Verdict = verdict
		return d
	case price.Add == nil:
		d.show("Not billed on any line, and no price rule says to add one. Add a line in Halo, or set add_line in a price rule.")
		return d
	}
	if l.Cycle == giacomv1.Cycle_CYCLE_ONE_TIME {
		d.first(reconcile.Hold("one_time", "The subscription is billed once, a recurring line would bill it again and again. Bill it by hand."))
		return d
	}
	item, verdict := pickItem(s.Items, price.Add, l)
	d.first(verdict)
	inv, verdict := pickInvoice(s.Invoices, price.Add, l, known)
	d.first(verdict)
	if settings.ProRata == nil {
		d.first(noProRata)
	}
	d.first(ready(l))
	if l.Cost != nil {
		d.Desired.Cost = rounded(*l.Cost)
	}
	unit := price.Unit
	if unit == nil {
		unit = &item.Price
	}
	d.Desired.Price, d.Desired.Minimum, d.Desired.Included = rounded(*unit), price.Minimum, price.Included
	d.Facts.Item = item.ID
	if inv == nil {
		return d
	}
	d.Facts.Invoice, d.Facts.Client, d.Facts.ClientName, d.Facts.Period = inv.ID, inv.ClientID, inv.ClientName, inv.Period
	d.Facts.Next, d.Customer = halo.NewDate(inv.Next).String(), inv.ClientName
	row := Row{LicenceID: uncreated}
	if price.Minimum != nil {
		row.Minimum = decimal.NewFromInt(*price.Minimum)
	}
	if price.Included != nil {
		row.Free = decimal.NewFromInt(*price.Included)
	}
	d.Facts.QuantityAfter = counted([]Row{row}, func(int64) (int64, bool) { return l.Count, true })
	d.After = monthly(d.Facts.QuantityAfter, d.Desired.Price, decimal.Zero, inv.Period)
	return d
}

// show parks it where people see it; nothing is billed now and nothing would be.
func (d *Decision) show(text string) {
	d.Verdict = reconcile.Park(notBilled, text)
	d.After = d.Before
	d.Facts.QuantityAfter = d.Facts.QuantityBefore
}

// pickItem: a line needs an item, which has the tax and nominal codes.
func pickItem(items map[int64]Item, add *pricingv1.AddLine, l *Licence) (Item, reconcile.Verdict) {
	if id := add.GetItemId(); id != 0 {
		if item, ok := items[id]; ok {
			return item, reconcile.Go()
		}
		return Item{}, reconcile.Hold("no_item", fmt.Sprintf("Halo has no item %d, which the price rule names. Correct the rule.", id))
	}
	var found []Item
	for _, i := range items {
		if sku := strings.TrimSpace(l.SKU); sku != "" && strings.EqualFold(strings.TrimSpace(i.PartCode), sku) {
			found = append(found, i)
		}
	}
	switch len(found) {
	case 1:
		return found[0], reconcile.Go()
	case 0:
		return Item{}, reconcile.Hold("no_item", fmt.Sprintf("A line needs an item, and none in Halo has the supplier part code %q. Set it on an item, or name an item in the price rule.", l.SKU))
	}
	return Item{}, reconcile.Hold("several_items", fmt.Sprintf("%d items in Halo have the supplier part code %q. Name one in the price rule.", len(found), l.SKU))
}

// pickInvoice: where to add the line.
func pickInvoice(invoices []Invoice, add *pricingv1.AddLine, l *Licence, known Known) (*Invoice, reconcile.Verdict) {
	id := add.GetInvoiceId()
	if known.InFlight {
		id = known.Aim
	}
	if id != 0 {
		at := slices.IndexFunc(invoices, func(i Invoice) bool { return i.ID == id })
		switch {
		case at < 0:
			return nil, reconcile.Hold("no_invoice", fmt.Sprintf("Halo has no recurring invoice %d, which the price rule names. Correct the rule.", id))
		case invoices[at].Disabled:
			return &invoices[at], reconcile.Hold("no_invoice", fmt.Sprintf("Recurring invoice %d, which the price rule names, is disabled. Enable it in Halo, or correct the rule.", id))
		}
		return &invoices[at], fits(l.Cycle, invoices[at].Period)
	}
	var fitting []*Invoice
	for i := range invoices {
		inv := &invoices[i]
		if inv.ClientID == l.ClientID && !inv.Disabled && fits(l.Cycle, inv.Period).State == reconcile.Pending {
			fitting = append(fitting, inv)
		}
	}
	switch len(fitting) {
	case 1:
		return fitting[0], reconcile.Go()
	case 0:
		return nil, reconcile.Hold("no_invoice", fmt.Sprintf("The customer has no recurring invoice that is made %s. Create one in Halo, or name one in the price rule.", cycleText[l.Cycle]))
	}
	return nil, reconcile.Hold("several_invoices", fmt.Sprintf("The customer has %d recurring invoices that are made %s. Name one in the price rule.", len(fitting), cycleText[l.Cycle]))
}
