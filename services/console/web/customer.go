package web

import (
	"strconv"

	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	overviewv1 "seatline.dev/proto/seatline/overview/v1"
	"seatline.dev/services/console/web/ui"
)

func customerPages() []page {
	return []page{
		{path: ofConnection + "/customers", title: "Customers", nav: navMappings, handle: func(v *visit) error { return v.done(v.at("/mappings")) }},
		{path: ofConnection + "/customers/{mex}", title: "Customer", nav: navMappings, handle: showCustomer},
	}
}

// showCustomer is everything about one Giacom customer.
func showCustomer(v *visit) error {
	d, err := v.CustomerDetail(v.ctx(), v.connection.GetSlug(), v.param("mex"))
	if err != nil {
		return err
	}
	m := d.GetCustomer()
	header := ui.Header{
		Title: nameOr(m.GetGiacomName(), m.GetMexId()), Crumbs: []ui.Link{{Text: "Mappings", Href: v.at("/mappings")}},
		Badges: []ui.Badge{standingBadge(m)}, Lead: headline(d.GetParity()),
		Actions: []ui.Button{{Label: "Its mapping", Href: v.ofCustomer(m.GetMexId(), "")}, {Label: "Its plan", Href: v.asking("/plan", "customer", m.GetGiacomName())}},
	}
	blocks := []ui.Block{mappingNotice(m)}
	for _, x := range d.GetMargin() {
		blocks = append(blocks, moneyTiles(x.GetCost(), x.GetPrice(), x.GetMargin()))
	}
	if len(d.GetMargin()) == 0 {
		if tiles := costTiles(m); tiles != nil {
			blocks = append(blocks, tiles)
		}
	}
	rows := parityTable(v, d.GetRows(), true)
	rows.Empty = ui.Empty{Title: "No subscriptions", Text: "Giacom has none for this customer."}
	if len(d.GetRows()) >= 1000 {
		rows.Pager.Note = "the first 1,000"
	}
	subscriptions := ui.Section{Title: "Subscriptions", Lead: "Each with what it costs and what it bills. A month, ex VAT.", Blocks: []ui.Block{rows},
		Actions: []ui.Button{{Label: "As a list to filter", Href: v.asking("/parity/rows", "customer", m.GetMexId()), Small: true}, {Label: "Its licences", Href: v.asking("/licences", "customer", m.GetMexId()), Small: true}}}
	lines := lineTable(v, d.GetLines())
	lines.Empty = ui.Empty{Title: "No invoice line", Text: "Nothing of this customer is billed on a recurring invoice in Halo."}
	billed := ui.Section{Title: "Invoice lines", Lead: "Those that bill its subscriptions, whoever is invoiced, and others of ours on its invoices.", Blocks: []ui.Block{lines}}
	if id := m.GetHaloClientId(); id != 0 {
		billed.Actions = []ui.Button{{Label: "As a list to filter", Href: v.asking("/lines", "client", strconv.FormatInt(id, 10)), Small: true}}
	}
	return v.show(header, append(blocks, subscriptions, billed, aboutCustomer(d), changesOf(v, d.GetChanges()), historyOf(v, d.GetHistory()))...)
}

// mappingNotice tells why it is mapped to nobody; nil when it is.
func mappingNotice(m *mappingv1.Mapping) ui.Block {
	if m.GetReason().GetText() == "" {
		return nil
	}
	tone := ui.Warn
	if m.GetState() == mappingv1.State_STATE_IGNORED {
		tone = ui.Info
	}
	return ui.Notice{Tone: tone, Title: standingBadge(m).Text, Text: m.GetReason().GetText()}
}

// costTiles say what Giacom charges where nothing is billed yet.
func costTiles(m *mappingv1.Mapping) ui.Block {
	if m.GetSubscriptions() == 0 {
		return nil
	}
	return ui.Tiles{{Label: "Subscriptions", Value: m.GetSubscriptions()}, {Label: "Giacom charges", Value: sums(m.GetMonthly()), Note: "a month, ex VAT"}, {Label: "Halo bills", Value: nil, Note: "no line of ours"}}
}

func aboutCustomer(d *overviewv1.CustomerDetail) ui.Section {
	m := d.GetCustomer()
	defs := ui.Definitions{{Term: "Giacom’s id", Value: ui.Mono(m.GetMexId())}}
	if m.GetHaloClientId() != 0 {
		defs = append(defs, ui.Definition{Term: "Customer in Halo", Value: ui.Stack{Top: m.GetHaloClientName(), Under: strconv.FormatInt(m.GetHaloClientId(), 10)}})
	}
	if m.GetOrigin() != mappingv1.Origin_ORIGIN_UNSPECIFIED {
		defs = append(defs, ui.Definition{Term: "Mapped by", Value: originCell(m)})
	}
	if m.GetPreviousGiacomName() != "" {
		defs = append(defs, ui.Definition{Term: "Renamed in Giacom", Value: ui.When(m.GetRenameTime()), Help: "before it was called " + m.GetPreviousGiacomName()})
	}
	defs = append(defs, ui.Definition{Term: "Changed", Value: ui.When(m.GetUpdateTime())}, haloLinks(d.GetLinks()))
	return ui.Section{Title: "The customer", Blocks: []ui.Block{defs}}
}
