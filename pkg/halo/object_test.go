package halo

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

func TestAnInvoiceKeepsWhatItDoesNotUnderstand(t *testing.T) {
	const text = `{"id":-94,"client_id":39.0,"future":{"b":1.50,"a":[1e3,"x & <y> \u00e9",null]},"schedule":{"nextcreationdate":"2026-02-01T00:00:00","lastcreated":"1900-01-01T00:00:00"},` +
		`"lines":[{"id":910,"unit_price":19.90,"unit_cost":16.600,"qty_order":25.0,"new_field":0.10,"quantity_subscriptions":[{"id":31,"licence_id":501,"pro_rata":1,"x":2.0}]},{"id":911,"item_longdescription":"A & B","unit_price":50}]}`
	var i Invoice
	if err := json.Unmarshal([]byte(text), &i); err != nil {
		t.Fatal(err)
	}
	got, err := encode(i)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(got)); diff != "" {
		t.Errorf("an unchanged invoice was rewritten (-read +written):\n%s", diff)
	}
	if i.ClientID() != 39 || i.NextCreation().String() != "2026-02-01T00:00:00" || !i.LastCreated().IsZero() {
		t.Errorf("read client %d, next %v, last %v", i.ClientID(), i.NextCreation(), i.LastCreated())
	}
	l := &i.Lines[0]
	if err := l.SetUnitCost(Money{decimal.RequireFromString("16.6")}); err != nil {
		t.Fatal(err)
	}
	if err := l.SetUnitPrice(Money{decimal.RequireFromString("21.05")}); err != nil {
		t.Fatal(err)
	}
	links := l.Subscriptions()
	if err := links[0].Link(777); err != nil {
		t.Fatal(err)
	}
	if err := l.SetSubscriptions(links); err != nil {
		t.Fatal(err)
	}
	got, err = encode(i.Lines)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"id":910,"unit_price":21.05,"unit_cost":16.600,"qty_order":25.0,"new_field":0.10,"quantity_subscriptions":[{"id":31,"licence_id":777,"pro_rata":1,"x":2.0}]},{"id":911,"item_longdescription":"A & B","unit_price":50}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("changed lines (-want +got):\n%s", diff)
	}
}

func TestSettingACopyLeavesTheOriginal(t *testing.T) {
	o, err := ParseObject([]byte(`{"a":1,"b":2}`))
	if err != nil {
		t.Fatal(err)
	}
	other := o
	if err := other.Set("a", 5); err != nil {
		t.Fatal(err)
	}
	if o.Int("a") != 1 || other.Int("a") != 5 {
		t.Errorf("original %d, copy %d", o.Int("a"), other.Int("a"))
	}
}

func TestAnyObjectSurvivesUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.String(), rapid.OneOf(
			rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) any { return f }),
			rapid.Map(rapid.String(), func(s string) any { return s }),
			rapid.Map(rapid.SliceOf(rapid.Bool()), func(s []bool) any { return s }))).Draw(t, "object")
		in, err := encode(m)
		if err != nil {
			t.Fatal(err)
		}
		o, err := ParseObject(in)
		if err != nil {
			t.Fatal(err)
		}
		out, err := encode(o)
		if err != nil {
			t.Fatal(err)
		}
		if string(in) != string(out) {
			t.Fatalf("read %s, wrote %s", in, out)
		}
	})
}

func TestLenientValues(t *testing.T) {
	var l Licence
	err := json.Unmarshal([]byte(`{"id":12.0,"count":"95","client_id":null,"purchase_price":"16.60","price":null,"start_date":"2026-01-02","end_date":"0001-01-01T00:00:00","billing_cycle":null}`), &l)
	if err != nil {
		t.Fatal(err)
	}
	if l.ID != 12 || l.Count != 95 || l.ClientID != 0 || l.PurchasePrice.String() != "16.6" || !l.IsActive {
		t.Errorf("read %+v", l)
	}
	if l.StartDate.String() != "2026-01-02T00:00:00" || !l.EndDate.IsZero() {
		t.Errorf("dates %v, %v", l.StartDate, l.EndDate)
	}
	if l.Mark.Present || !l.BillingCycle.Present {
		t.Errorf("a field that was not sent must differ from one that is null: %+v", l)
	}
	if err := json.Unmarshal([]byte(`{"count":1.5}`), &l); err == nil {
		t.Error("half a seat was read as whole")
	}
}

func TestDatesThatMeanNone(t *testing.T) {
	for _, s := range []string{"", "1900-01-01T00:00:00", "1901-01-01T00:00:00", "0001-01-01T00:00:00", "0001-01-01", "1900-01-01T00:00:00.000Z"} {
		d, err := ParseDate(s)
		if err != nil || !d.IsZero() {
			t.Errorf("%q: %v, %v", s, d, err)
		}
	}
	b, err := json.Marshal(Date{})
	if err != nil || string(b) != `"1901-01-01T00:00:00"` {
		t.Errorf("none is written as %s, %v", b, err)
	}
	if _, err := ParseDate("31/12/2026"); err == nil {
		t.Error("an ambiguous date was read")
	}
}
