package web

import (
	"net/http"
	"strings"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	"seatline.dev/services/console/web/ui"
)

func licencesPages() []page {
	one := ofConnection + "/licences/{key...}"
	return []page{
		{path: ofConnection + "/licences", title: "Licences", nav: navLicences, handle: showLicences},
		{path: ofConnection + "/licences/duplicates", title: "Possible duplicates", nav: navLicences, handle: showDuplicates},
		{path: ofConnection + "/licences/duplicates", method: http.MethodPost, title: "Possible duplicates", nav: navLicences, handle: decideDuplicates},
		{path: one, title: "Licence", nav: navLicences, handle: showLicence},
		{path: one, method: http.MethodPost, title: "Licence", nav: navLicences, handle: decideLicence},
	}
}

func showLicences(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Customer, product or key")
	state := l.stateField()
	sku := ui.Field{Name: "sku", Label: "SKU", Value: l.value("sku"), Placeholder: "CFQ7TTC0LCHC*"}
	if sku.Value != "" {
		l.and("sku = " + quote(sku.Value))
	}
	reason := l.led("reason", "Why", "reason", sentence)
	customer := l.led("customer", "Customer", "mex_id", func(mex string) string { return mex })
	l.and(v.ofThis())
	resp, err := v.Licences().ListLicences(v.ctx(), &licencev1.ListLicencesRequest{PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: l.order()})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Licences",
		Columns: []ui.Column{
			l.sorted(ui.Column{Title: "Product", Wide: true}, "name"), l.sorted(ui.Column{Title: "Customer", Wide: true}, "customer_name"), l.sorted(ui.Column{Title: "Seats", Num: true}, "count"),
			{Title: "Cost of a seat, ex VAT", Num: true}, l.sorted(ui.Column{Title: "State", Wide: true}, "state"), l.sorted(ui.Column{Title: "Changed"}, "update_time"),
		},
		Empty: ui.Empty{Title: "No licences yet", Text: "They come with the first run, one for each Giacom subscription of a customer that is mapped."},
		Pager: l.pager(resp.GetNextPageToken(), len(resp.GetLicences())),
	}
	if l.narrowed() {
		t.Empty = nothingFound("licence", v.at("/licences"))
	}
	for _, x := range resp.GetLicences() {
		t.Rows = append(t.Rows, licenceRow(v, x))
	}
	header := ui.Header{Title: "Licences", Lead: "One for each Giacom subscription: what Halo should hold, and what it holds.", Actions: []ui.Button{{Label: "Possible duplicates", Href: v.at("/licences/duplicates")}}}
	return v.show(header, l.form(shownFields(search, state, sku, reason, customer)...), t)
}

func licenceRow(v *visit, x *licencev1.Licence) ui.Row {
	g := x.GetSubscription().GetGiacom()
	row := ui.Row{}
	if x.GetStatus().GetState() == itemv1.State_STATE_FAILED {
		row.Tone = ui.Bad
	}
	customer := any(nil)
	if g.GetMexId() != "" {
		customer = ui.Link{Text: nameOr(g.GetCustomerName(), g.GetMexId()), Href: v.toCustomer(g.GetMexId())}
	}
	row.Cells = []any{
		ui.Stack{Top: ui.Link{Text: licenceName(x), Href: v.toLicence(x.GetKey())}, Under: ui.Mono(nameOr(g.GetSku(), x.GetKey()))},
		customer, seatsOf(x), each(x.GetDesired().GetPurchasePrice()), standingOf(x.GetStatus()), ui.Since(x.GetStatus().GetUpdateTime(), v.now()),
	}
	return row
}

// licenceName as Giacom calls the product.
func licenceName(x *licencev1.Licence) string {
	if name := x.GetSubscription().GetGiacom().GetName(); name != "" {
		return name
	}
	if id, ok := strings.CutPrefix(x.GetKey(), "inty/"); ok {
		return "Inty’s licence " + id
	}
	return x.GetKey()
}

// seatsOf a licence: as it should be, with what Halo holds where that differs.
func seatsOf(x *licencev1.Licence) any {
	switch want, is := x.GetDesired(), x.GetApplied(); {
	case want == nil && is == nil:
		return nil
	case want == nil:
		return ui.Stack{Top: nil, Under: ui.Sentence{is.GetCount(), " in Halo"}}
	case is == nil:
		return ui.Stack{Top: want.GetCount(), Under: "none of ours in Halo"}
	case is.GetCount() != want.GetCount():
		return ui.Stack{Top: want.GetCount(), Under: ui.Sentence{is.GetCount(), " in Halo"}}
	default:
		return want.GetCount()
	}
}
