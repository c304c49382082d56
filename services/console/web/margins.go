package web

import (
	"strconv"

	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	"seatline.dev/services/console/web/ui"
)

// showMargins is cost and price of our lines by the customer that is billed.
func showMargins(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Customer")
	sign := l.choice("margin", "Margin", "", "", "All", "negative", "Below nothing", "thin", "Below 10 %")
	switch l.values.Get("margin") {
	case "negative":
		l.and("margin < 0")
	case "thin":
		l.and("percent < 10")
	}
	order := l.order()
	if order == "" {
		order = "margin"
	}
	resp, err := v.Lines().ListMargins(v.ctx(), &invoicelinev1.ListMarginsRequest{Connection: v.connection.GetSlug(), PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: order})
	if err != nil {
		return err
	}
	t := marginTable(v, resp.GetMargins())
	for i, field := range []string{"client_name", "lines", "price", "cost", "margin", "percent"} {
		t.Columns[i] = l.sorted(t.Columns[i], field)
	}
	t.Pager = l.pager(resp.GetNextPageToken(), len(resp.GetMargins()))
	if l.narrowed() {
		t.Empty = nothingFound("customer", v.at("/margins"))
	}
	blocks := []ui.Block{}
	for _, m := range resp.GetTotals() {
		blocks = append(blocks, moneyTiles(m.GetCost(), m.GetPrice(), m.GetMargin()))
	}
	return v.show(ui.Header{
		Title: "Margin by customer", Crumbs: []ui.Link{{Text: "Overview", Href: v.at("")}},
		Lead: "What Halo bills now on the lines of our licences, less what Giacom charges for the seats that Halo counts now. A month, ex VAT; the figures above the list are of all customers found.",
	}, append(blocks, l.form(search, sign), t)...)
}

// marginTable of customers in Halo: each leads to its lines.
func marginTable(v *visit, margins []*invoicelinev1.Margin) ui.Table {
	t := ui.Table{
		Caption: "Margin by customer",
		Columns: []ui.Column{{Title: "Customer in Halo", Wide: true}, {Title: "Lines", Num: true}, {Title: "Bills", Num: true}, {Title: "Costs", Num: true}, {Title: "Margin", Num: true}, {Title: "Of the price", Num: true}},
		Empty:   ui.Empty{Title: "No lines of ours yet", Text: "A margin is known once lines of Halo’s recurring invoices bill licences that come from Giacom."},
	}
	for _, m := range margins {
		row := ui.Row{}
		if a, ok := ui.Known(m.GetMargin()); ok && a.Value.IsNegative() {
			row.Tone = ui.Bad
		}
		percent := any(nil)
		if m.GetPercent() != "" {
			percent = m.GetPercent() + " %"
		}
		name := m.GetClientName()
		if name == "" {
			name = "Customer " + strconv.FormatInt(m.GetClientId(), 10)
		}
		row.Cells = []any{ui.Link{Text: name, Href: v.asking("/lines", "client", strconv.FormatInt(m.GetClientId(), 10))}, m.GetLines(), ui.Bare(m.GetPrice()), ui.Bare(m.GetCost()), ui.Bare(m.GetMargin()), percent}
		t.Rows = append(t.Rows, row)
	}
	return t
}
