package halo

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strconv"
)

// Invoice is a recurring invoice. Its id is negative [C]. It keeps every field as it was read; only Lines, the id and
// change_seq are ever posted, because schedule fields echoed back could rewind the next creation.
type Invoice struct {
	Object
	Lines []Line
	// Whole says that the lines were sent at all: a list row without them is not an invoice without lines.
	Whole bool
}

func (i *Invoice) UnmarshalJSON(b []byte) error {
	if err := i.Object.UnmarshalJSON(b); err != nil {
		return err
	}
	i.Lines, i.Whole = nil, i.Has("lines")
	if !i.Whole {
		return nil
	}
	lines, err := objectsOf(i.Raw("lines"))
	if err != nil {
		return fmt.Errorf("lines of recurring invoice %d: %w", i.ID(), err)
	}
	i.Lines = make([]Line, len(lines))
	for at, o := range lines {
		i.Lines[at].Object = o
	}
	return nil
}

// MarshalJSON writes the invoice as read, with its lines as they are now.
func (i Invoice) MarshalJSON() ([]byte, error) {
	o := i.Object
	if i.Whole {
		lines, err := i.lines()
		if err != nil {
			return nil, err
		}
		o.set("lines", lines)
	}
	return o.MarshalJSON()
}

// lines are the lines as they are now, in JSON.
func (i Invoice) lines() (json.RawMessage, error) {
	b := []byte{'['}
	for at, l := range i.Lines {
		if at > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = l.appendTo(b); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (i Invoice) ID() int64          { return i.Int("id") }
func (i Invoice) ClientID() int64    { return i.Int("client_id") }
func (i Invoice) ClientName() string { return i.Text("client_name") }
func (i Invoice) Disabled() bool     { return i.Bool("disabled") }

// ChangeSeq is Halo's optimistic lock, 0 in versions that have none.
func (i Invoice) ChangeSeq() int64 { return i.Int("change_seq") }

// Periods of a recurring invoice that subscriptions bill in [C].
const (
	PeriodMonthly   = 2
	PeriodYearly    = 3
	PeriodThreeYear = 7
)

// Period is how often the invoice is created; see the Period constants.
func (i Invoice) Period() int64 {
	if !i.Has("period") {
		return i.schedule().Int("period")
	}
	return i.Int("period")
}

// NextCreation is when Halo makes the next invoice from this one.
func (i Invoice) NextCreation() Date { return i.date("nextcreationdate") }

// LastCreated is when Halo last did.
func (i Invoice) LastCreated() Date { return i.date("lastcreated") }

// date looks in the header and in the schedule inside it; which of them a version fills is not known [S].
func (i Invoice) date(name string) Date {
	if d := i.Date(name); !d.IsZero() {
		return d
	}
	return i.schedule().Date(name)
}

func (i Invoice) schedule() Object {
	var o Object
	i.read("schedule", &o)
	return o
}

// Line is one line of a recurring invoice, every field kept as read.
type Line struct{ Object }

// Where the quantity of a line comes from [C].
const (
	QuantityFixed         = 0
	QuantityLicences      = 1
	QuantityUsers         = 2
	QuantityAssets        = 3
	QuantitySubscriptions = 4
)

func (l Line) ID() int64           { return l.Int("id") }
func (l Line) ItemID() int64       { return l.Int("_itemid") }
func (l Line) Description() string { return l.Text("item_shortdescription") }
func (l Line) QuantityType() int64 { return l.Int("recurring_invoice_quantity_type") }
func (l Line) Quantity() Money     { return l.Money("qty_order") }
func (l Line) UnitPrice() Money    { return l.Money("unit_price") }
func (l Line) UnitCost() Money     { return l.Money("unit_cost") }
func (l Line) IsInactive() bool    { return l.Bool("isinactive") }
func (l Line) IsGroupText() bool   { return l.Bool("isgroupdesc") }

// AutoIncreases says that Halo raises the price of this line by itself.
func (l Line) AutoIncreases() bool { return l.Int("auto_increase_period") > 0 }

// PendingProRata is how many pro-rata rows Halo has not invoiced yet.
func (l Line) PendingProRata() int {
	data, _ := objectsOf(l.Raw("prorata_data")) // what is unreadable counts as none
	return len(slices.DeleteFunc(data, func(o Object) bool { return o.Bool("isinvoiced") }))
}

// SetQuantity, SetUnitPrice and SetUnitCost change a line's amount, and leave its text alone if it is equal already.
func (l *Line) SetQuantity(v Money) error  { return l.setMoney("qty_order", v) }
func (l *Line) SetUnitPrice(v Money) error { return l.setMoney("unit_price", v) }
func (l *Line) SetUnitCost(v Money) error  { return l.setMoney("unit_cost", v) }

func (l *Line) setMoney(name string, v Money) error {
	if l.Has(name) && l.Money(name).Equal(v.Decimal) {
		return nil
	}
	return l.Set(name, v)
}

// Subscriptions are the rows that link a line to licences.
func (l Line) Subscriptions() []QuantityRow {
	objects, _ := objectsOf(l.Raw("quantity_subscriptions")) // what is unreadable reads as none; its text is kept
	rows := make([]QuantityRow, len(objects))
	for i, o := range objects {
		rows[i].Object = o
	}
	return rows
}

// SetSubscriptions replaces the rows that link a line to licences.
func (l *Line) SetSubscriptions(rows []QuantityRow) error {
	if rows == nil {
		rows = []QuantityRow{}
	}
	return l.Set("quantity_subscriptions", rows)
}

// NewLine is a line that does not exist yet; fields are set with Set.
func NewLine() Line { return Line{} }

// QuantityRow links a line to one licence [S: InvoiceDetailQuantity], every field kept as read.
type QuantityRow struct{ Object }

func (r QuantityRow) ID() int64           { return r.Int("id") }
func (r QuantityRow) LicenceID() int64    { return r.Int("licence_id") }
func (r QuantityRow) ProRata() int64      { return r.Int("pro_rata") }
func (r QuantityRow) Free() Money         { return r.Money("qty_free") }
func (r QuantityRow) Minimum() Money      { return r.Money("minimum_qty") }
func (r QuantityRow) UsesPrice() bool     { return r.Bool("use_linked_subscription_price") }
func (r QuantityRow) UsesCost() bool      { return r.Bool("use_linked_subscription_cost") }
func (r QuantityRow) AssignedOnly() bool  { return r.Bool("assigned_licences") }
func (r *QuantityRow) Link(l int64) error { return r.Set("licence_id", l) }

// NewQuantityRow links a line to a licence, with a pro rata mode that the caller must have been told: there is no
// default that is right.
func NewQuantityRow(licenceID, proRata int64) (QuantityRow, error) {
	var r QuantityRow
	for _, f := range []struct {
		name  string
		value int64
	}{{"kind", QuantitySubscriptions}, {"licence_id", licenceID}, {"pro_rata", proRata}} {
		if err := r.Set(f.name, f.value); err != nil {
			return r, err
		}
	}
	return r, nil
}

// InvoiceFilter narrows a list of recurring invoices. Halo has no changed-since filter for them [S].
type InvoiceFilter struct {
	ClientID int64
	// Lines asks for the lines too; see Capabilities.WholeInvoices for whether they can be relied on.
	Lines bool
}

// Invoices lists recurring invoices.
func (c *Client) Invoices(ctx context.Context, f InvoiceFilter) iter.Seq2[Invoice, error] {
	q, size := url.Values{}, c.caps.pageSize()
	if f.ClientID != 0 {
		q.Set("client_id", strconv.FormatInt(f.ClientID, 10))
	}
	if f.Lines {
		q.Set("includelines", "true")
		size = min(size, invoicePage)
	}
	return rows[Invoice](ctx, c, "/RecurringInvoice", "invoices", q, size)
}

// Invoice reads one recurring invoice whole.
func (c *Client) Invoice(ctx context.Context, id int64) (Invoice, error) {
	var i Invoice
	err := c.get(ctx, "/RecurringInvoice", id, url.Values{"includedetails": {"true"}}, &i)
	if err == nil && !i.Whole {
		err = &Error{Class: Unavailable, Method: "GET", Route: "/RecurringInvoice/{id}", Message: fmt.Sprintf("recurring invoice %d came without its lines", id)}
	}
	return i, err
}

// PostInvoice writes the lines of a recurring invoice: all of them, because lines that are not sent may be deleted [G].
// It refuses an invoice that was read without lines.
func (c *Client) PostInvoice(ctx context.Context, i Invoice) (Reply, error) {
	if !i.Whole || i.ID() == 0 {
		return Reply{}, &Error{Class: Refused, Method: "POST", Route: "/RecurringInvoice", Message: "an invoice that was not read whole is never written"}
	}
	var body Object
	for _, name := range []string{"id", "change_seq"} {
		if !i.Has(name) {
			continue
		}
		if err := body.Set(name, i.Raw(name)); err != nil {
			return Reply{}, err
		}
	}
	lines, err := i.lines()
	if err != nil {
		return Reply{}, err
	}
	body.set("lines", lines)
	// A new line is known by the licence it links; were the request repeated, it could be added twice.
	again := !slices.ContainsFunc(i.Lines, func(l Line) bool { return l.ID() == 0 })
	return post(ctx, c, "/RecurringInvoice", []Object{body}, func(Object) bool { return again })
}
