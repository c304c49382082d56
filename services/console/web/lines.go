package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	"seatline.dev/services/console/web/ui"
)

func linesPages() []page {
	one := ofConnection + "/lines/{key...}"
	return []page{
		{path: ofConnection + "/lines", title: "Invoice lines", nav: navLines, handle: showLines},
		{path: ofConnection + "/lines", method: http.MethodPost, title: "Read the invoices again", nav: navLines, handle: refreshLines},
		{path: one, title: "Invoice line", nav: navLines, handle: showLine},
		{path: one, method: http.MethodPost, title: "Invoice line", nav: navLines, handle: retryLine},
	}
}

func showLines(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Customer, line or key")
	state := l.stateField()
	kind := l.choice("kind", "Quantity", "kind", "", "All", "linked", "From licences", "fixed", "Fixed")
	reason := l.led("reason", "Why", "reason", sentence)
	client := l.led("client", "Customer in Halo", "client_id", func(id string) string { return "Customer " + id })
	licence := l.value("licence")
	if licence != "" {
		l.and("licence_key : " + quote(licence))
	}
	bills := ui.Field{Name: "licence", Kind: "hidden", Value: licence}
	if licence != "" {
		bills = ui.Field{Name: "licence", Label: "Bills", Kind: "select", Auto: true, Options: ui.Options(licence, "", "All", licence, licence)}
	}
	next := l.led("next", "Invoice run", "next_invoice", func(at string) string { return dateValue(at) })
	l.and(v.ofThis())
	resp, err := v.Lines().ListLines(v.ctx(), &invoicelinev1.ListLinesRequest{PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: l.order()})
	if err != nil {
		return err
	}
	t := lineTable(v, resp.GetLines())
	for i, field := range map[int]string{0: "description", 1: "client_name", 5: "state", 6: "next_invoice"} {
		t.Columns[i] = l.sorted(t.Columns[i], field)
	}
	t.Pager = l.pager(resp.GetNextPageToken(), len(resp.GetLines()))
	t.Empty = ui.Empty{Title: "No lines of ours yet", Text: "A line of a recurring invoice is listed here once it bills a licence that comes from Giacom, or when one is to be added."}
	if l.narrowed() {
		t.Empty = nothingFound("line", v.at("/lines"))
	}
	header := ui.Header{Title: "Invoice lines", Lead: "Lines of Halo’s recurring invoices that bill licences from Giacom, and those to be added."}
	if v.operator() && v.connection.GetEnabled() {
		header.Actions = []ui.Button{{Label: "Read invoices again", Href: v.at("/lines"), Post: true}}
	}
	return v.show(header, l.form(shownFields(search, state, kind, reason, client, bills, next)...), t)
}

// lineTable of lines, each leading to its page.
func lineTable(v *visit, lines []*invoicelinev1.Line) ui.Table {
	t := ui.Table{
		Caption: "Invoice lines",
		Columns: []ui.Column{{Title: "Line", Wide: true}, {Title: "Invoiced to", Name: true}, {Title: "Quantity", Num: true}, {Title: "Price of one, ex VAT", Num: true}, {Title: "A month, ex VAT", Num: true}, {Title: "State", Wide: true}, {Title: "Next invoice"}},
		Empty:   ui.Empty{Title: "On no invoice line", Text: "Nothing of it is billed. A price rule can add a line, or you add one in Halo."},
	}
	for _, x := range lines {
		row := ui.Row{}
		if x.GetStatus().GetState() == itemv1.State_STATE_FAILED {
			row.Tone = ui.Bad
		}
		quantity, price := any(nil), any(nil)
		now := fieldsNow(x)
		if now != nil {
			quantity, price = now.GetQuantity(), each(now.GetUnitPrice())
		}
		row.Cells = []any{
			ui.Stack{Top: ui.Link{Text: nameOr(x.GetDescription(), x.GetKey()), Href: v.toLine(x.GetKey())}, Under: lineKind(x)},
			nameOr(x.GetClientName(), strconv.FormatInt(x.GetClientId(), 10)), quantity, price, monthly(x.GetMonthlyBefore(), x.GetMonthlyAfter()), standingOf(x.GetStatus()), ui.When(x.GetNextInvoiceTime()),
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// fieldsNow is what Halo shows of a line; of one that is still to be added what it shall be.
func fieldsNow(x *invoicelinev1.Line) *invoicelinev1.Fields {
	if x.GetApplied() != nil {
		return x.GetApplied()
	}
	return x.GetDesired()
}

func lineKind(x *invoicelinev1.Line) string {
	switch {
	case strings.HasPrefix(x.GetKey(), "add/"):
		return "to be added"
	case x.GetKind() == invoicelinev1.Kind_KIND_LINKED:
		return "quantity from licences · " + x.GetKey()
	case x.GetKind() == invoicelinev1.Kind_KIND_FIXED:
		return "fixed quantity · " + x.GetKey()
	default:
		return x.GetKey()
	}
}

func refreshLines(v *visit) error {
	found, err := v.Lines().RefreshLines(v.ctx(), &invoicelinev1.RefreshLinesRequest{Connection: v.connection.GetSlug()})
	if err != nil {
		return err
	}
	return v.done(v.at("/lines"), said(fmt.Sprintf("Halo’s recurring invoices are read: %s with %s.", ui.Plural(int64(found.GetInvoices()), "invoice", "invoices"), ui.Plural(int64(found.GetLines()), "line", "lines"))))
}

// showLine is everything about one line.
func showLine(v *visit) error {
	d, err := v.LineDetail(v.ctx(), v.connection.GetSlug(), v.param("key"))
	if err != nil {
		return err
	}
	x := d.GetLine()
	var actions []ui.Button
	if v.operator() && retriable(x.GetStatus()) {
		actions = []ui.Button{{Label: "Try again", Href: v.toLine(x.GetKey()), Post: true, Small: true}}
	}
	licences := ui.Table{
		Caption: "Licences that it bills",
		Columns: []ui.Column{{Title: "Product", Wide: true}, {Title: "Customer"}, {Title: "Seats", Num: true}, {Title: "Cost of a seat, ex VAT", Num: true}, {Title: "State", Wide: true}, {Title: "Changed"}},
		Empty:   ui.Empty{Title: "It bills no licence of ours any more"},
	}
	for _, l := range d.GetLicences() {
		licences.Rows = append(licences.Rows, licenceRow(v, l))
	}
	about := ui.Definitions{
		{Term: "Invoiced to", Value: ui.Stack{Top: nameOr(x.GetClientName(), "customer"), Under: strconv.FormatInt(x.GetClientId(), 10)}},
		{Term: "Recurring invoice", Value: ui.Stack{Top: idOrNone(x.GetInvoiceId()), Under: periodWord(x.GetPeriod())}},
		{Term: "Next invoice", Value: ui.When(x.GetNextInvoiceTime())}, {Term: "Quantity", Value: lineKind(x)}, {Term: "Price by", Value: x.GetPriceRule()},
	}
	if p := each(x.GetLicencePrice()); p != nil {
		about = append(about, ui.Definition{Term: "Price of the licence", Value: p, Help: "The line takes its price from the licence, which should have this one. Ex VAT."})
	}
	about = append(about, haloLinks(d.GetLinks()))
	header := ui.Header{Title: nameOr(x.GetDescription(), x.GetKey()), Badges: []ui.Badge{ui.State(x.GetStatus().GetState())}, Crumbs: []ui.Link{{Text: "Invoice lines", Href: v.at("/lines")}},
		Lead: ui.Sentence{"Invoiced to ", ui.Link{Text: nameOr(x.GetClientName(), "customer "+strconv.FormatInt(x.GetClientId(), 10)), Href: v.asking("/lines", "client", strconv.FormatInt(x.GetClientId(), 10))}}}
	return v.show(header, whyNot(x.GetStatus(), actions...), moneyTiles(d.GetCost(), d.GetPrice(), d.GetMargin()),
		ui.Split{
			Main: []ui.Block{lineFields(x)},
			Side: []ui.Block{ui.Section{Title: "The line", Blocks: []ui.Block{about}}},
		},
		ui.Section{Title: "Licences that it bills", Blocks: []ui.Block{licences}},
		changesOf(v, d.GetChanges()), historyOf(v, d.GetHistory()))
}

func retryLine(v *visit) error {
	key := v.param("key")
	if _, err := v.Lines().RetryLine(v.ctx(), &invoicelinev1.GetLineRequest{Connection: v.connection.GetSlug(), Key: key}); err != nil {
		return err
	}
	return v.done(v.toLine(key), said("It is tried again."))
}

// lineFields sets side by side what should be, and what Halo holds.
func lineFields(x *invoicelinev1.Line) ui.Section {
	t := ui.Table{Caption: "The line, field by field", Columns: []ui.Column{{Title: "Field"}, {Title: "Should be"}, {Title: "In Halo"}}}
	number := func(n *int64) any {
		if n == nil {
			return nil
		}
		return *n
	}
	for _, f := range []struct {
		name string
		of   func(*invoicelinev1.Fields) any
	}{
		{"Quantity", func(f *invoicelinev1.Fields) any { return f.GetQuantity() }},
		{"Unit price, ex VAT", func(f *invoicelinev1.Fields) any { return each(f.GetUnitPrice()) }},
		{"Unit cost, ex VAT", func(f *invoicelinev1.Fields) any { return each(f.GetUnitCost()) }},
		{"Least billed", func(f *invoicelinev1.Fields) any { return number(f.MinimumQuantity) }},
		{"Included elsewhere", func(f *invoicelinev1.Fields) any { return number(f.IncludedQuantity) }},
		{"Links licences", func(f *invoicelinev1.Fields) any {
			ids := make([]string, len(f.GetLicenceIds()))
			for i, id := range f.GetLicenceIds() {
				ids[i] = strconv.FormatInt(id, 10)
			}
			return strings.Join(ids, ", ")
		}},
	} {
		row := ui.Row{Cells: []any{f.name}}
		for _, fields := range []*invoicelinev1.Fields{x.GetDesired(), x.GetApplied()} {
			if fields == nil {
				row.Cells = append(row.Cells, nil)
				continue
			}
			row.Cells = append(row.Cells, f.of(fields))
		}
		if want := row.Cells[1]; want != nil && want != "" && x.GetApplied() != nil && fmt.Sprint(want) != fmt.Sprint(row.Cells[2]) {
			row.Tone = ui.Warn
		}
		t.Rows = append(t.Rows, row)
	}
	return ui.Section{Title: "What Halo should hold, and what it holds", Lead: "A dash is a field that is not ours to write.", Blocks: []ui.Block{t}}
}

// periodWord is Halo's period of a recurring invoice.
func periodWord(period int32) string {
	return map[int32]string{1: "weekly", 2: "monthly", 3: "yearly", 4: "quarterly", 5: "every six months", 7: "every three years", 8: "every two years"}[period]
}
