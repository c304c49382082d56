package billing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// oddities are values that a JSON library would like to tidy up.
var oddities = []string{`10.50`, `1e2`, `"£ & <b> \u00e9"`, `null`, `{"z":1.0,"a":[ 2.00 ,null]}`, `""`, `-0.0`, `12345678901234567890.123`, `"1900-01-01T00:00:00"`, `[]`}

// rawInvoice draws an invoice as Halo might send it: our lines among others, unknown fields everywhere.
func rawInvoice(t *rapid.T) string {
	odd := func(name string) string { return rapid.SampledFrom(oddities).Draw(t, name) }
	n := rapid.IntRange(1, 6).Draw(t, "lines")
	var lines []string
	for i := range n {
		var rows []string
		kind := rapid.SampledFrom([]int{0, 1, 2, 3, 4, 4, 4}).Draw(t, "kind")
		if kind == 4 {
			for j := range rapid.IntRange(0, 3).Draw(t, "rows") {
				rows = append(rows, fmt.Sprintf(`{"id":%d,"x_unknown":%s,"licence_id":%d,"pro_rata":%d,"qty_free":0.0,"minimum_qty":%d,"use_linked_subscription_cost":%v}`,
					i*10+j, odd("row"), rapid.SampledFrom([]int{501, 502, 503, 999, 0}).Draw(t, "licence"), rapid.IntRange(0, 4).Draw(t, "prorata"), rapid.IntRange(0, 2).Draw(t, "min"), rapid.Bool().Draw(t, "cost")))
			}
		}
		lines = append(lines, fmt.Sprintf(`{"id":%d,"new_field_2027":%s,"item_shortdescription":%q,"_itemid":77,"unit_price":%s,"unit_cost":%s,"qty_order":%s,"isinactive":%v,"recurring_invoice_quantity_type":%d,"quantity_subscriptions":[%s],"tail":%s}`,
			910+i, odd("line"), rapid.SampledFrom([]string{"Product 1", "product 2", "Support & more", ""}).Draw(t, "text"),
			rapid.SampledFrom([]string{"19.90", "20", "18.110000000001", "0"}).Draw(t, "price"), rapid.SampledFrom([]string{"15.09", "15.0900", "9"}).Draw(t, "cost"),
			rapid.SampledFrom([]string{"7", "7.0", "3"}).Draw(t, "qty"), rapid.Bool().Draw(t, "inactive") && rapid.Bool().Draw(t, "really"), kind, strings.Join(rows, ","), odd("tail")))
	}
	return fmt.Sprintf(`{"id":-94,"odd":%s,"client_id":39,"period":2,"change_seq":7,"nextcreationdate":"2026-02-01T00:00:00","lines":[%s]}`, odd("head"), strings.Join(lines, ","))
}

// fieldsAsRead splits an object into its fields, each with its exact text but for white space.
func fieldsAsRead(t *rapid.T, b []byte) map[string]string {
	raw := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	out := map[string]string{}
	for name, v := range raw {
		var compact bytes.Buffer
		if err := json.Compact(&compact, v); err != nil {
			t.Fatal(err)
		}
		out[name] = compact.String()
	}
	return out
}

func TestWhatIsNotOursSurvivesEveryWrite(t *testing.T) {
	t.Parallel()
	ours := map[string]bool{"unit_price": true, "unit_cost": true, "qty_order": true, "quantity_subscriptions": true}
	oursOfRow := map[string]bool{"licence_id": true, "minimum_qty": true, "qty_free": true}
	rapid.Check(t, func(t *rapid.T) {
		var inv halo.Invoice
		if err := inv.UnmarshalJSON([]byte(rawInvoice(t))); err != nil {
			t.Fatal(err)
		}
		before := make([][]byte, len(inv.Lines))
		for i, l := range inv.Lines {
			before[i], _ = l.MarshalJSON()
		}
		head, _ := inv.Object.MarshalJSON()
		w := aWorld(func(w *world) {
			w.snapshot.Items = nil
			w.snapshot.Invoices = []Invoice{invoiceOf(inv)}
			w.snapshot.Licences = nil
			for i := range 3 {
				w.snapshot.Licences = append(w.snapshot.Licences, aLicence(func(l *Licence) {
					l.Key, l.HaloID, l.Name, l.Count = fmt.Sprint("giacom/", i+1), int64(501+i), fmt.Sprint("Product ", i+1), int64(rapid.IntRange(0, 9).Draw(t, "count"))
					l.Active = rapid.Bool().Draw(t, "active")
					if rapid.Bool().Draw(t, "moves") {
						l.ClientID, l.OldClientID = 40, 39
					}
				}))
			}
			w.book.Rules["acme"], _ = parseRules([]*pricingv1.PriceRule{costPlus("a", "20", func(r *pricingv1.PriceRule) { r.MinimumQuantity = ptr(int64(1)) })})
		})
		touched := map[int64]Decision{}
		for _, d := range decide(&w.snapshot, w.book) {
			if d.Verdict.State != reconcile.Pending || d.Facts.Line == 0 || len(diff(d.Applied, &d.Desired)) == 0 {
				continue
			}
			if err := edit(&inv, d, d.Facts.Text, ptr(int64(1))); err != nil {
				t.Fatalf("line %d: %v", d.Facts.Line, err)
			}
			touched[d.Facts.Line] = d
		}
		if after, _ := inv.Object.MarshalJSON(); !bytes.Equal(head, after) {
			t.Fatalf("the header changed:\n%s\n%s", head, after)
		}
		for i, l := range inv.Lines {
			after, err := l.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			d, edited := touched[l.ID()]
			if !edited {
				if !bytes.Equal(before[i], after) {
					t.Fatalf("line %d is not ours and changed:\n%s\n%s", l.ID(), before[i], after)
				}
				continue
			}
			was, is := fieldsAsRead(t, before[i]), fieldsAsRead(t, after)
			for name, v := range was {
				if !ours[name] && is[name] != v {
					t.Fatalf("line %d: field %s was %s, is %s", l.ID(), name, v, is[name])
				}
			}
			// The line now is what was decided, and another look finds nothing to do.
			holds := fieldsOf(lineOf(l), func(id int64) bool { return slices.Contains(d.Ours, id) })
			if left := diff(&holds, &d.Desired); len(left) > 0 {
				t.Fatalf("line %d still differs: %v", l.ID(), left)
			}
			var rowsBefore, rowsAfter []json.RawMessage
			_ = json.Unmarshal([]byte(was["quantity_subscriptions"]), &rowsBefore)
			_ = json.Unmarshal([]byte(is["quantity_subscriptions"]), &rowsAfter)
			byID := map[string]map[string]string{}
			for _, r := range rowsBefore {
				f := fieldsAsRead(t, r)
				byID[f["id"]] = f
			}
			for _, r := range rowsAfter {
				f := fieldsAsRead(t, r)
				for name, v := range byID[f["id"]] {
					if !oursOfRow[name] && f[name] != v {
						t.Fatalf("line %d, row %s: field %s was %s, is %s", l.ID(), f["id"], name, v, f[name])
					}
				}
			}
		}
	})
}

func TestAnAmountThatIsRightKeepsItsText(t *testing.T) {
	t.Parallel()
	var l halo.Line
	if err := l.UnmarshalJSON([]byte(`{"id":1,"unit_cost":15.0900,"unit_price":18.1100000001}`)); err != nil {
		t.Fatal(err)
	}
	if err := editAmounts(&l, Fields{Cost: dec("15.09"), Price: dec("18.11")}); err != nil {
		t.Fatal(err)
	}
	if b, _ := l.MarshalJSON(); string(b) != `{"id":1,"unit_cost":15.0900,"unit_price":18.1100000001}` {
		t.Errorf("got %s", b)
	}
	if err := editAmounts(&l, Fields{Cost: dec("15.1")}); err != nil {
		t.Fatal(err)
	}
	if got := l.UnitCost(); !got.Equal(decimal.RequireFromString("15.1")) {
		t.Errorf("got %s", got)
	}
}
