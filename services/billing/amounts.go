package billing

import (
	"fmt"
	"slices"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	"seatline.dev/services/billing/inty"
)

// amounts sets cost, price and seats of a line from its licences, which must agree.
func (d *Decision) amounts(rules []Rule, licences []*Licence, period int64, usesPrice, usesCost, raised bool) Price {
	var prices []Price
	for _, l := range licences {
		d.first(fits(l.Cycle, period))
		p, verdict := priceOf(rules, *l)
		d.first(verdict)
		prices = append(prices, p)
	}
	lead, p := licences[0], prices[0]
	for i, l := range licences[1:] {
		if !usesCost && !same(l.Cost, lead.Cost) {
			d.first(reconcile.Hold("cost_conflict", fmt.Sprintf("The line has one unit cost, but its licences cost %s and %s. Give each its own line in Halo, or let the line take its cost from the subscriptions.", text(lead.Cost), text(l.Cost))))
		}
		if q := prices[i+1]; !same(q.Unit, p.Unit) || !sameInt(q.Minimum, p.Minimum) || !sameInt(q.Included, p.Included) {
			d.first(reconcile.Hold("price_conflict", fmt.Sprintf("The line has one unit price, but its licences are priced by %q and %q, which disagree. Give each its own line in Halo, or make the rules agree.", p.Rule, q.Rule)))
		}
	}
	d.Facts.Rule = p.Rule
	if !usesCost && lead.Cost != nil {
		d.Desired.Cost = rounded(*lead.Cost)
	}
	switch {
	case p.Unit == nil:
	case usesPrice:
		d.Facts.LicencePrice = rounded(*p.Unit)
	case raised:
		d.Facts.Rule = "Halo raises this line's price by itself: it is kept"
	default:
		d.Desired.Price = rounded(*p.Unit)
	}
	if d.Desired.Linked {
		d.Desired.Minimum, d.Desired.Included = p.Minimum, p.Included
	}
	return p
}

// fits: a price per billing cycle can only stand on an invoice that is made once per cycle.
func fits(cycle giacomv1.Cycle, period int64) reconcile.Verdict {
	want := map[giacomv1.Cycle]int64{
		giacomv1.Cycle_CYCLE_UNSPECIFIED: halo.PeriodMonthly, giacomv1.Cycle_CYCLE_MONTHLY: halo.PeriodMonthly,
		giacomv1.Cycle_CYCLE_ANNUAL: halo.PeriodYearly, giacomv1.Cycle_CYCLE_TRIENNIAL: halo.PeriodThreeYear,
	}[cycle]
	switch {
	case cycle == giacomv1.Cycle_CYCLE_ONE_TIME:
		return reconcile.Hold("one_time", "The subscription is billed once, a recurring line would bill it again and again. Bill it by hand and unlink the line.")
	case want != period:
		return reconcile.Hold("cycle_period", fmt.Sprintf("The subscription is billed %s, the recurring invoice is made %s. Move the line to an invoice of the fitting period in Halo.", cycleText[cycle], periodText(period)))
	}
	return reconcile.Go()
}

var cycleText = map[giacomv1.Cycle]string{
	giacomv1.Cycle_CYCLE_UNSPECIFIED: "monthly", giacomv1.Cycle_CYCLE_MONTHLY: "monthly", giacomv1.Cycle_CYCLE_ANNUAL: "annually",
	giacomv1.Cycle_CYCLE_TRIENNIAL: "every three years", giacomv1.Cycle_CYCLE_UNKNOWN: "in a way that is not known",
}

func periodText(period int64) string {
	if p, ok := map[int64]string{1: "weekly", 2: "monthly", 3: "yearly", 4: "quarterly", 5: "every six months", 7: "every three years", 8: "every two years", 9: "every four years"}[period]; ok {
		return p
	}
	return fmt.Sprintf("with period %d", period)
}

// fixedQuantity is what a line with a quantity of its own should bill.
func fixedQuantity(l *Licence, p Price) decimal.Decimal {
	if !l.Active {
		return decimal.Zero
	}
	n := l.Count
	if p.Included != nil {
		n -= *p.Included
	}
	if p.Minimum != nil {
		n = max(n, *p.Minimum)
	}
	return decimal.NewFromInt(max(n, 0))
}

// money fills in what the line bills now and will, seats and per month. rows are those it will have.
func (d *Decision) money(x pair, rows []Row, usesPrice bool, ofInty map[int64]inty.Licence) {
	before, after := x.line.Price, x.line.Price
	if d.Desired.Price != nil {
		after = *d.Desired.Price
	}
	if usesPrice && len(x.licences) > 0 {
		if p := x.licences[0].Price; p != nil {
			before, after = *p, *p
		}
		if len(x.moves) > 0 {
			before = ofInty[x.moves[0].From].Price
		}
		if d.Facts.LicencePrice != nil {
			after = *d.Facts.LicencePrice
		}
	}
	if !d.Facts.Linked {
		q := x.line.Quantity
		d.Facts.QuantityBefore, d.Facts.QuantityAfter = &q, &q
		if d.Desired.Quantity != nil {
			d.Facts.QuantityAfter = d.Desired.Quantity
		}
	} else {
		seats := map[int64][2]int64{}
		for _, l := range slices.Concat(x.licences, x.leaving) {
			id := l.HaloID
			if id == 0 {
				id = uncreated
			}
			will := int64(0)
			if l.Active {
				will = l.Count
			}
			seats[id] = [2]int64{l.Holds, will}
		}
		for _, m := range x.moves {
			if l := ofInty[m.From]; l.Active {
				seats[m.From] = [2]int64{l.Count, 0}
			} else {
				seats[m.From] = [2]int64{}
			}
		}
		of := func(which int) func(int64) (int64, bool) {
			return func(id int64) (int64, bool) { n, ok := seats[id]; return n[which], ok }
		}
		for i := range rows {
			if _, known := seats[rows[i].LicenceID]; !known {
				continue // somebody else's row
			}
			if m := d.Desired.Minimum; m != nil {
				rows[i].Minimum = decimal.NewFromInt(*m)
			}
			if n := d.Desired.Included; n != nil {
				rows[i].Free = decimal.NewFromInt(*n)
			}
		}
		d.Facts.QuantityBefore, d.Facts.QuantityAfter = counted(x.line.Rows, of(0)), counted(rows, of(1))
	}
	d.Before = monthly(d.Facts.QuantityBefore, &before, x.line.Discount, x.invoice.Period)
	d.After = monthly(d.Facts.QuantityAfter, &after, x.line.Discount, x.invoice.Period)
}
