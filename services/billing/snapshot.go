package billing

import (
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo"
)

// Invoice is a recurring invoice of Halo as far as the rules look at it. The raw JSON is kept beside
// it and never rebuilt from this.
type Invoice struct {
	ID         int64  `json:"id"` // negative [C]
	ClientID   int64  `json:"client"`
	ClientName string `json:"name"`
	Disabled   bool   `json:"disabled,omitempty"`
	// Period: 1 weekly, 2 monthly, 3 yearly, 4 quarterly, 5 six-monthly, 7 three-yearly, 8 two-yearly, 9 four-yearly [C].
	Period int64 `json:"period"`
	// Next is when Halo makes the next invoice from this one, UTC; zero when Halo says none.
	Next  time.Time `json:"next,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	Lines []Line    `json:"lines"`
}

// Line is one line of a recurring invoice. Amounts are in the instance's currency, ex VAT, per unit
// and period of the invoice.
type Line struct {
	ID          int64           `json:"id"`
	ItemID      int64           `json:"item"`
	Description string          `json:"text"`
	Type        int64           `json:"type"` // recurring_invoice_quantity_type
	Quantity    decimal.Decimal `json:"qty"`
	Price       decimal.Decimal `json:"price"`
	Cost        decimal.Decimal `json:"cost"`
	Discount    decimal.Decimal `json:"disc"` // percent
	Inactive    bool            `json:"inactive,omitempty"`
	GroupText   bool            `json:"group,omitempty"`
	AutoRaised  bool            `json:"raised,omitempty"`  // Halo raises its price by itself
	ProRata     int             `json:"prorata,omitempty"` // pro-rata rows not invoiced yet
	Rows        []Row           `json:"rows,omitempty"`
}

// Row links a line to one licence.
type Row struct {
	LicenceID int64           `json:"licence"`
	Free      decimal.Decimal `json:"free"`    // seats included elsewhere
	Minimum   decimal.Decimal `json:"minimum"` // seats billed at least
	UsesPrice bool            `json:"price,omitempty"`
	UsesCost  bool            `json:"cost,omitempty"`
	Assigned  bool            `json:"assigned,omitempty"` // only assigned seats count, which we cannot see
}

// Item of Halo: the product that a line is made of.
type Item struct {
	ID       int64           `json:"id"`
	PartCode string          `json:"code"` // supplier_part_code; the SKU
	Price    decimal.Decimal `json:"price"`
	Cost     decimal.Decimal `json:"cost"`
}

func invoiceOf(i halo.Invoice) Invoice {
	v := Invoice{
		ID: i.ID(), ClientID: i.ClientID(), ClientName: i.ClientName(), Disabled: i.Disabled(), Period: i.Period(),
		Next: i.NextCreation().Time, Last: i.LastCreated().Time,
	}
	for _, l := range i.Lines {
		v.Lines = append(v.Lines, lineOf(l))
	}
	return v
}

func lineOf(l halo.Line) Line {
	v := Line{
		ID: l.ID(), ItemID: l.ItemID(), Description: l.Description(), Type: l.QuantityType(), Quantity: l.Quantity().Decimal,
		Price: l.UnitPrice().Decimal, Cost: l.UnitCost().Decimal, Discount: l.Money("discount_perc").Decimal,
		Inactive: l.IsInactive(), GroupText: l.IsGroupText(), AutoRaised: l.AutoIncreases(), ProRata: l.PendingProRata(),
	}
	for _, r := range l.Subscriptions() {
		v.Rows = append(v.Rows, Row{
			LicenceID: r.LicenceID(), Free: r.Free().Decimal, Minimum: r.Minimum().Decimal,
			UsesPrice: r.UsesPrice(), UsesCost: r.UsesCost(), Assigned: r.AssignedOnly(),
		})
	}
	return v
}

// itemOf: the sell price of a recurring line is recurringprice where the item has one, else baseprice.
func itemOf(i halo.Item) Item {
	v := Item{ID: int64(i.ID), PartCode: i.SupplierPartCode.Value, Price: i.RecurringPrice.Decimal, Cost: i.RecurringCost.Decimal}
	if v.Price.IsZero() {
		v.Price = i.BasePrice.Decimal
	}
	return v
}

// linked lists the licences that the rows name, in their order.
func (l Line) linked() []int64 {
	var ids []int64
	for _, r := range l.Rows {
		if r.LicenceID > 0 {
			ids = append(ids, r.LicenceID)
		}
	}
	return ids
}

// bills tells whether Halo bills the line at all.
func (l Line) bills() bool { return !l.Inactive && !l.GroupText }
