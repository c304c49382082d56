package web

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	"seatline.dev/services/console/web/ui"
)

func mappingsPages() []page {
	all := ofConnection + "/mappings"
	return []page{
		{path: all, title: "Mappings", nav: navMappings, handle: showMappings},
		{path: all + "/refresh", method: http.MethodPost, title: "Read Halo’s customers", nav: navMappings, handle: refreshMappings},
		{path: all + "/generate", title: "Generate mappings", nav: navMappings, handle: generateMappings.show},
		{path: all + "/generate", method: http.MethodPost, title: "Generate mappings", nav: navMappings, handle: generateMappings.carryOut},
		{path: all + "/take-over", title: "Take over mappings", nav: navMappings, handle: takeOverMappings.show},
		{path: all + "/take-over", method: http.MethodPost, title: "Take over mappings", nav: navMappings, handle: takeOverMappings.carryOut},
		{path: all + "/file", title: "Mappings as a file", nav: navMappings, handle: showMappingsFile},
		{path: all + "/file", method: http.MethodPost, title: "Mappings from a file", nav: navMappings, handle: uploadMappings},
		{path: all + "/file/download", title: "Mappings as a file", nav: navMappings, handle: downloadMappings},
		{path: all + "/{mex}", title: "Mapping", nav: navMappings, handle: showMapping},
		{path: all + "/{mex}/map", title: "Map a customer", nav: navMappings, role: rpc.RoleOperator, handle: pickHaloCustomer},
		{path: all + "/{mex}/map", method: http.MethodPost, title: "Map a customer", nav: navMappings, handle: setMapping},
		{path: all + "/{mex}/accept", method: http.MethodPost, title: "Accept a suggestion", nav: navMappings, handle: acceptSuggestion},
		{path: all + "/{mex}/create", title: "Create a customer", nav: navMappings, role: rpc.RoleOperator, handle: createCustomer.ask},
		{path: all + "/{mex}/create", method: http.MethodPost, title: "Create a customer", nav: navMappings, handle: createCustomer.decide},
		{path: all + "/{mex}/ignore", title: "Ignore a customer", nav: navMappings, role: rpc.RoleOperator, handle: ignoreCustomer.ask},
		{path: all + "/{mex}/ignore", method: http.MethodPost, title: "Ignore a customer", nav: navMappings, handle: ignoreCustomer.decide},
		{path: all + "/{mex}/remove", title: "Remove a mapping", nav: navMappings, role: rpc.RoleOperator, handle: removeMapping.ask},
		{path: all + "/{mex}/remove", method: http.MethodPost, title: "Remove a mapping", nav: navMappings, handle: removeMapping.decide},
	}
}

// ofCustomer is an address of a Giacom customer's mapping.
func (v *visit) ofCustomer(mexID, rest string) string {
	return v.at("/mappings/" + url.PathEscape(mexID) + rest)
}

// mappingTabs lead to the views of mappings; counts stand where a summary is at hand.
func (v *visit) mappingTabs(current string, s *mappingv1.MappingSummary) ui.Tabs {
	var tabs ui.Tabs
	for _, t := range [][2]string{{"Customers", ""}, {"Suggestions", "/suggestions"}, {"Generate mappings", "/generate"}, {"Take over from Halo", "/take-over"}, {"CSV file", "/file"}} {
		tabs = append(tabs, ui.Tab{Title: t[0], Href: v.at("/mappings" + t[1]), Current: t[0] == current})
	}
	tabs = append(tabs, ui.Tab{Title: "Top level", Href: v.at("/top-level"), Current: current == "Top level"})
	if s != nil {
		tabs[0].Count = s.GetMapped() + s.GetCreating() + s.GetSuggested() + s.GetUnmapped() + s.GetIgnored() + s.GetRemap()
		tabs[1].Count = s.GetSuggested()
	}
	return tabs
}

// mappingTerms are the fields above lists of mappings, and the filter that they make.
func (v *visit) mappingTerms(l *listing) []ui.Field {
	l.and("connection = " + quote(v.connection.GetSlug()))
	search := l.search("Search", "Either name, or Giacom’s id")
	standing := l.choice("standing", "Standing", "standing", "", "All", "mapped", "Mapped", "creating", "To be created", "suggested", "Suggested", "unmapped", "Unmapped", "remap", "To be remapped", "ignored", "Ignored")
	origin := l.choice("origin", "Origin", "origin", "", "All", "mark", "Seatline’s mark", "native", "Halo’s integration", "name", "Exact name", "created", "Created", "file", "File", "operator", "A person", "suggestion", "Suggestion")
	only := l.choice("only", "Only", "", "", "All", "open", "Not mapped", "waiting", "Not mapped, with subscriptions", "billing", "With subscriptions", "overdue", "Unmapped too long", "renamed", "Renamed in Giacom", "unpriced", "Cost not known")
	const open = `(standing = "unmapped" OR standing = "suggested")`
	if term := map[string]string{"open": open, "waiting": "subscriptions > 0 AND " + open, "billing": "subscriptions > 0", "overdue": "overdue = true", "renamed": "renamed = true", "unpriced": "unpriced > 0"}[l.values.Get("only")]; term != "" {
		l.and(term)
	}
	return []ui.Field{search, standing, origin, only}
}

// showMappings is the table of all customers that Giacom has, with the Halo customer that each is.
func showMappings(v *visit) error {
	summary, err := v.Mappings().GetMappingSummary(v.ctx(), &mappingv1.GetMappingSummaryRequest{Connection: v.connection.GetSlug()})
	if err != nil {
		return err
	}
	l := v.listing()
	fields := v.mappingTerms(l)
	order := l.order()
	if order == "" {
		order = "giacom_name"
	}
	resp, err := v.Mappings().ListMappings(v.ctx(), &mappingv1.ListMappingsRequest{PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: order})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Giacom customers and the Halo customers that they are",
		Columns: []ui.Column{
			l.sorted(ui.Column{Title: "Giacom customer"}, "giacom_name"), l.sorted(ui.Column{Title: "Halo customer"}, "halo_client_name"), l.sorted(ui.Column{Title: "Standing"}, "standing"),
			l.sorted(ui.Column{Title: "Origin"}, "origin"), l.sorted(ui.Column{Title: "Subscriptions", Num: true}, "subscriptions"), l.sorted(ui.Column{Title: "A month, ex VAT", Num: true}, "monthly"),
		},
		Empty: ui.Empty{Title: "No customers yet", Text: "Customers come from Giacom with the first run.", Actions: []ui.Button{{Label: "Go to runs", Href: v.at("/runs")}}},
		Pager: l.pager(resp.GetNextPageToken(), len(resp.GetMappings())),
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No customer matches what you asked for.", Actions: []ui.Button{{Label: "Show all customers", Href: v.at("/mappings")}}}
	}
	if v.operator() {
		t.Columns = append(t.Columns, ui.Column{Title: "Action"})
	}
	for _, m := range resp.GetMappings() {
		t.Rows = append(t.Rows, v.mappingRow(m))
	}
	header := ui.Header{Title: "Mappings", Lead: "Which Halo customer each Giacom customer is. Subscriptions are imported for customers that are mapped; what the others cost is billed to nobody."}
	file := ui.Button{Label: "Download CSV", Href: v.at("/mappings/file/download")}
	if kept := l.kept(); len(kept) > 0 { // what is looked at, and no more
		file.Href += "?" + kept.Encode()
	}
	header.Actions = []ui.Button{file}
	if v.operator() {
		header.Actions = []ui.Button{{Label: "Add a mapping", Href: v.at("/mappings?only=open&order=monthly+desc"), Kind: "primary"}, file, {Label: "Read Halo again", Href: v.at("/mappings/refresh"), Post: true, Icon: "runs"}}
	}
	blocks := append(v.mappingNotices(summary), v.mappingTabs("Customers", summary), v.mappingTiles(summary))
	return v.show(header, append(blocks, l.form(fields...), t)...)
}

// mappingNotices say what is wrong with the mappings as a whole.
func (v *visit) mappingNotices(s *mappingv1.MappingSummary) []ui.Block {
	var out []ui.Block
	if a := s.GetAlert(); a.GetRaised() {
		text := ui.Plural(int64(a.GetCustomers()), "customer", "customers") + " with " + ui.Plural(int64(a.GetSubscriptions()), "subscription", "subscriptions")
		if cost := inWords(a.GetMonthly()); cost != "" {
			text += " (" + cost + ")"
		}
		stayed := " have"
		if a.GetCustomers() == 1 {
			stayed = " has"
		}
		text += stayed + " not been mapped for more than " + ui.Span(a.GetAfter().AsDuration()) + ", the longest since " + ui.DateTime(a.GetSince().AsTime()) + ". Giacom bills you for them, and you bill nobody."
		out = append(out, ui.Notice{Tone: ui.Bad, Title: "Customers stay unmapped", Text: text, Next: "Map them, or ignore them with a reason.",
			Actions: []ui.Button{{Label: "Show them", Href: v.at("/mappings?only=overdue&order=monthly+desc"), Kind: "primary", Small: true}}})
	}
	if n := int64(s.GetRemap()); n > 0 {
		out = append(out, ui.Notice{Tone: ui.Warn, Title: "To be remapped", Text: ui.Plural(n, "customer is", "customers are") + " mapped to a Halo customer that is gone, inactive, or merged into another. Their licences stay as they are until somebody decides.",
			Actions: []ui.Button{{Label: "Show them", Href: v.at("/mappings?standing=remap"), Small: true}}})
	}
	if s.GetHaloReadTime() == nil {
		out = append(out, ui.Notice{Tone: ui.Warn, Text: "Halo’s customers were not read yet, so nothing can be mapped or suggested.", Next: "Validate the connection; then read Halo again."})
	}
	return out
}

func (v *visit) mappingTiles(s *mappingv1.MappingSummary) ui.Tiles {
	tile := func(label, standing string, n int32, money []*moneyv1.Money, tone ui.Tone) ui.Tile {
		t := ui.Tile{Label: label, Value: n, Href: v.at("/mappings?order=monthly+desc&standing=" + standing)}
		if cost := inWords(money); cost != "" && n > 0 {
			t.Note = cost
		}
		if n > 0 {
			t.Tone = tone
		}
		return t
	}
	unmapped := tile("Unmapped", "unmapped", s.GetUnmapped(), nil, ui.Warn)
	if cost := inWords(s.GetMonthlyUnmapped()); cost != "" && s.GetUnmapped()+s.GetSuggested() > 0 {
		unmapped.Note = "with the suggested: " + cost
	}
	tiles := ui.Tiles{
		tile("Mapped", "mapped", s.GetMapped(), s.GetMonthlyMapped(), ui.Plain), tile("Suggested", "suggested", s.GetSuggested(), nil, ui.Info), unmapped,
		tile("To be remapped", "remap", s.GetRemap(), s.GetMonthlyRemap(), ui.Warn), tile("Ignored", "ignored", s.GetIgnored(), s.GetMonthlyIgnored(), ui.Plain),
		{Label: "Renamed in Giacom", Value: s.GetRenamed(), Note: "since a person decided", Href: v.at("/mappings?only=renamed")},
	}
	if s.GetCreating() > 0 {
		tiles = append(tiles, tile("To be created", "creating", s.GetCreating(), nil, ui.Busy))
	}
	return tiles
}

func refreshMappings(v *visit) error {
	var resp *mappingv1.RefreshMappingsResponse
	err := v.askHaloForAll(func(ctx context.Context) (err error) {
		resp, err = v.Mappings().RefreshMappings(ctx, &mappingv1.RefreshMappingsRequest{Connection: v.connection.GetSlug()})
		return err
	})
	if err != nil {
		return err
	}
	return v.done(v.at("/mappings"), said("Halo’s customers were read at "+v.now().Format(time.TimeOnly)+". "+ui.Plural(int64(resp.GetMapped()), "customer is", "customers are")+" mapped, "+ui.Count(int64(resp.GetUnmapped()))+" not."))
}
