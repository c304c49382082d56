package billing

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// action names what a write would do, for plans and the change log.
func action(x reconcile.Item[Fields]) string {
	switch a, d := x.Applied, x.Desired; {
	case d == nil, x.Reason.Code == notBilled:
		return "none"
	case strings.HasPrefix(x.Key, addPrefix):
		return "add"
	case a == nil, numbers(a.Licences) == numbers(d.Licences):
		return "update"
	case len(d.Licences) < len(a.Licences):
		return "unlink"
	default:
		return "link"
	}
}

// lineEvent makes the full-state event of a line.
func lineEvent(x reconcile.Item[Fields]) (event.Event, error) {
	line, err := lineProto(x)
	if err != nil {
		return event.Event{}, err
	}
	verb := "changed"
	if x.State == reconcile.Retired {
		verb = "removed"
	}
	return event.Event{Type: "seatline.invoice_line." + verb + ".v1", Entity: "invoice-line", Data: line}, nil
}

// lineProto is a line as the contracts show it.
func lineProto(x reconcile.Item[Fields]) (*invoicelinev1.Line, error) {
	var f Facts
	if len(x.Facts) > 0 {
		if err := json.Unmarshal(x.Facts, &f); err != nil {
			return nil, fmt.Errorf("facts of line %s/%s: %w", x.Connection, x.Key, err)
		}
	}
	l := &invoicelinev1.Line{
		Connection: x.Connection, Key: x.Key, Kind: invoicelinev1.Kind_KIND_FIXED, InvoiceId: f.Invoice, LineId: f.Line,
		ClientId: f.Client, ClientName: f.ClientName, Description: f.Text, ItemId: f.Item, LicenceKeys: f.Licences, PriceRule: f.Rule,
		Status: x.Status(), Instance: x.Instance, Period: int32(f.Period),
		MonthlyBefore: money(x.MonthlyBefore, x.Currency, moneyv1.Basis_BASIS_PER_MONTH),
		MonthlyAfter:  money(x.MonthlyAfter, x.Currency, moneyv1.Basis_BASIS_PER_MONTH),
		LicencePrice:  money(f.LicencePrice, x.Currency, moneyv1.Basis_BASIS_PER_SEAT_PER_CYCLE),
		Desired:       fieldsProto(x.Desired, f.QuantityAfter, x.Currency), Applied: fieldsProto(x.Applied, f.QuantityBefore, x.Currency),
	}
	if f.Linked {
		l.Kind = invoicelinev1.Kind_KIND_LINKED
	}
	for _, r := range f.Replaced {
		l.Replaced = append(l.Replaced, &invoicelinev1.Replaced{HaloId: r.ID, ClientId: r.Client, ClientName: f.ClientName, Name: r.Name, Who: r.Who})
	}
	if next, err := halo.ParseDate(f.Next); err == nil && !next.IsZero() {
		l.NextInvoiceTime = timestamppb.New(next.Time)
	}
	return l, nil
}

// fieldsProto: the quantity of a linked line is what Halo computes.
func fieldsProto(f *Fields, computed *decimal.Decimal, currency string) *invoicelinev1.Fields {
	if f == nil {
		return nil
	}
	p := &invoicelinev1.Fields{
		LicenceIds: f.Licences, UnitCost: money(f.Cost, currency, moneyv1.Basis_BASIS_PER_SEAT_PER_CYCLE),
		UnitPrice: money(f.Price, currency, moneyv1.Basis_BASIS_PER_SEAT_PER_CYCLE), MinimumQuantity: f.Minimum, IncludedQuantity: f.Included,
	}
	if f.Linked {
		p.Quantity = text(computed)
	} else {
		p.Quantity = text(f.Quantity)
	}
	return p
}

func money(d *decimal.Decimal, currency string, basis moneyv1.Basis) *moneyv1.Money {
	if d == nil {
		return nil
	}
	return &moneyv1.Money{Amount: d.String(), Currency: currency, Basis: basis}
}
