package oracle

import (
	"path"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo/halosim"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// price asks the rules: nil keeps the line's price. Not ok: the rule asks for what there is not.
func (o *Oracle) price(s *subscription, cost decimal.Decimal) (*pricingv1.PriceRule, *decimal.Decimal, bool) {
	for _, r := range o.settings.Rules {
		if !matches(r, s) {
			continue
		}
		if len(r.Terms) > 0 && s.term == "" {
			return r, nil, false // the rule asks for a term, and does not fall through
		}
		var p decimal.Decimal
		switch v := r.Price.(type) {
		case *pricingv1.PriceRule_CostPlusPercent:
			p = cost.Mul(decimal.NewFromInt(100).Add(decimal.RequireFromString(v.CostPlusPercent))).Div(decimal.NewFromInt(100))
		case *pricingv1.PriceRule_Rrp:
			rrp, ok := o.perCycle(s, s.rrp)
			if !ok {
				return r, nil, false
			}
			p = rrp
		case *pricingv1.PriceRule_Fixed:
			p = decimal.RequireFromString(v.Fixed)
		default:
			return r, nil, true
		}
		step := decimal.RequireFromString("0.01")
		if r.GetRounding() != "" {
			step = decimal.RequireFromString(r.GetRounding())
		}
		p = p.DivRound(step, 12).Round(0).Mul(step)
		return r, &p, true
	}
	return nil, nil, true
}

// matches: a matcher that is empty matches everything.
func matches(r *pricingv1.PriceRule, s *subscription) bool {
	glob := func(patterns []string, text string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
			// path.Match gives no meaning of its own to anything but * and ? once these are taken out.
			clean := strings.NewReplacer("/", "\x00", "[", "\x01", "]", "\x02", `\`, "\x03")
			ok, err := path.Match(clean.Replace(strings.ToLower(p)), clean.Replace(strings.ToLower(text)))
			return err == nil && ok
		})
	}
	cycle := map[string]giacomv1.Cycle{
		"": giacomv1.Cycle_CYCLE_MONTHLY, "Monthly": giacomv1.Cycle_CYCLE_MONTHLY, "Annual": giacomv1.Cycle_CYCLE_ANNUAL,
		"Triennial": giacomv1.Cycle_CYCLE_TRIENNIAL, "One-Time": giacomv1.Cycle_CYCLE_ONE_TIME,
	}[s.cycle]
	term := map[string]giacomv1.Term{
		"Monthly": giacomv1.Term_TERM_MONTHLY, "Annual": giacomv1.Term_TERM_ANNUAL, "Triennial": giacomv1.Term_TERM_TRIENNIAL,
	}[s.term]
	return (len(r.Customers) == 0 || slices.ContainsFunc(r.Customers, func(c string) bool { return strings.EqualFold(strings.TrimSpace(c), s.mexID) })) &&
		glob(r.Skus, s.sku) && glob(r.Names, s.name) &&
		(len(r.Cycles) == 0 || slices.Contains(r.Cycles, cycle)) && (len(r.Terms) == 0 || s.term == "" || slices.Contains(r.Terms, term))
}

// add makes a line for each licence that has none, where a rule says so.
func (o *Oracle) add(ours map[int64]*subscription, linked, unsure map[int64]bool) {
	billed := map[string]bool{}
	for _, key := range o.fixed {
		billed[key] = true
	}
	for _, lic := range slices.Clone(o.state.Licences) {
		s := ours[lic.ID]
		if s == nil || !lic.IsActive || linked[lic.ID] || billed[s.key] {
			continue
		}
		if unsure[lic.ID] {
			o.wait("line", "add/"+s.key, "possible_duplicate")
			continue
		}
		rule, price, ok := o.price(s, lic.PurchasePrice.Decimal)
		proRata := o.settings.Connection.GetBilling().ProRata
		item := halosim.Item{}
		inv := (*halosim.Invoice)(nil)
		if a := rule.GetAddLine(); a != nil {
			item, inv = o.itemFor(a, s), o.invoiceFor(a, s, lic.ClientID)
		}
		if !ok || proRata == nil || item.ID == 0 || inv == nil || o.quiet(inv) || s.cycle == "One-Time" {
			o.wait("line", "add/"+s.key, "not_billed")
			continue
		}
		l := halosim.Line{
			ID: o.id(), InvoiceID: inv.ID, ItemID: item.ID, Name: s.name, QuantityType: halosim.Subscriptions, UnitCost: lic.PurchasePrice,
			Subscriptions: []halosim.QuantityRow{{Kind: 4, LicenceID: lic.ID, ProRata: int64(*proRata), Free: rule.GetIncludedQuantity(), Minimum: rule.GetMinimumQuantity()}},
		}
		switch {
		case price != nil:
			l.UnitPrice = halosim.Money{Decimal: *price}
		case !item.RecurringPrice.IsZero():
			l.UnitPrice = item.RecurringPrice
		default:
			l.UnitPrice = item.BasePrice
		}
		inv.Lines = append(inv.Lines, l)
	}
}

func (o *Oracle) itemFor(a *pricingv1.AddLine, s *subscription) halosim.Item {
	if a.GetItemId() != 0 {
		return o.item(a.GetItemId())
	}
	var found []halosim.Item
	for _, it := range o.state.Items {
		if s.sku != "" && strings.EqualFold(it.SupplierPartCode, s.sku) {
			found = append(found, it)
		}
	}
	if len(found) != 1 {
		return halosim.Item{}
	}
	return found[0]
}

func (o *Oracle) invoiceFor(a *pricingv1.AddLine, s *subscription, client int64) *halosim.Invoice {
	var found []*halosim.Invoice
	for i := range o.state.Invoices {
		inv := &o.state.Invoices[i]
		if inv.Disabled || !fits(inv, s) {
			continue
		}
		if a.GetInvoiceId() == inv.ID || a.GetInvoiceId() == 0 && inv.ClientID == client {
			found = append(found, inv)
		}
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}
