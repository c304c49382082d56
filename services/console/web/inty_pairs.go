package web

import (
	"strconv"
	"strings"

	"seatline.dev/pkg/halo"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/console/web/ui"
)

var pairWords = map[intyv1.PairState]ui.Badge{
	intyv1.PairState_PAIR_STATE_ADOPTED:   {Text: "Taken over", Tone: ui.Good, Title: "Its lines bill Giacom’s licence already"},
	intyv1.PairState_PAIR_STATE_READY:     {Text: "Ready", Tone: ui.Info, Title: "Its lines can be re-pointed"},
	intyv1.PairState_PAIR_STATE_DUPLICATE: {Text: "Possible duplicate", Tone: ui.Warn, Title: "Take it over in place, or have Giacom’s created beside it"},
	intyv1.PairState_PAIR_STATE_AMBIGUOUS: {Text: "Ambiguous", Tone: ui.Warn, Title: "Several could be meant: choose one"},
	intyv1.PairState_PAIR_STATE_UNPAIRED:  {Text: "Unpaired", Tone: ui.Warn, Title: "No Giacom licence stands for it"},
	intyv1.PairState_PAIR_STATE_EXCLUDED:  {Text: "United States", Tone: ui.Muted, Title: "Does not move to Giacom"},
	intyv1.PairState_PAIR_STATE_ASKED:     {Text: "Where is it?", Tone: ui.Warn, Title: "It is not known whether the customer is in the United States"},
	intyv1.PairState_PAIR_STATE_LEFT:      {Text: "Left alone", Tone: ui.Muted, Title: "A person decided so"},
	intyv1.PairState_PAIR_STATE_MOVING:    {Text: "Being written", Tone: ui.Busy},
	intyv1.PairState_PAIR_STATE_MOVED:     {Text: "Re-pointed", Tone: ui.Good},
}

var lineWords = map[intyv1.LineState]ui.Badge{
	intyv1.LineState_LINE_STATE_LINKED:    {Text: "Bills it", Tone: ui.Info},
	intyv1.LineState_LINE_STATE_MOVING:    {Text: "Being re-pointed", Tone: ui.Busy},
	intyv1.LineState_LINE_STATE_MOVED:     {Text: "Re-pointed", Tone: ui.Good},
	intyv1.LineState_LINE_STATE_RESTORING: {Text: "Being put back", Tone: ui.Busy},
	intyv1.LineState_LINE_STATE_IDLE:      {Text: "Bills nothing", Tone: ui.Muted, Title: "The line or its invoice is inactive in Halo: it is left as it is"},
	intyv1.LineState_LINE_STATE_BY_HAND:   {Text: "By hand", Tone: ui.Warn, Title: "It counts licences rather than subscriptions: change it in Halo"},
	intyv1.LineState_LINE_STATE_CHANGED:   {Text: "Changed in Halo", Tone: ui.Warn, Title: "Neither licence is on it any more"},
}

// showIntyPairs lists Inty's licences, each with Giacom's and the lines that link it.
func showIntyPairs(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Customer or product")
	state := l.choice("state", "State", "", "", "All", "ready", "Ready", "adopted", "Taken over", "duplicate", "Possible duplicate", "ambiguous", "Ambiguous", "unpaired", "Unpaired",
		"excluded", "United States", "asked", "Where is it?", "left", "Left alone", "moving", "Being written", "moved", "Re-pointed")
	customer := ui.Field{Name: "customer", Kind: "hidden", Value: l.value("customer")}
	client, _ := strconv.ParseInt(customer.Value, 10, 64)
	if customer.Value != "" {
		customer = ui.Field{Name: "customer", Label: "Customer", Kind: "select", Auto: true, Options: ui.Options(customer.Value, "", "All", customer.Value, "No. "+customer.Value)}
	}
	m, err := v.migration(v.ctx())
	if err != nil {
		return err
	}
	resp, err := v.Inty().ListPairs(v.ctx(), &intyv1.ListPairsRequest{
		Connection: v.connection.GetSlug(), PageSize: pageSize, PageToken: l.token(), Search: search.Value, OrderBy: l.order(), ClientId: client,
		State: intyv1.PairState(intyv1.PairState_value["PAIR_STATE_"+strings.ToUpper(l.values.Get("state"))]),
	})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Licences of Inty's",
		Columns: []ui.Column{l.sorted(ui.Column{Title: "Inty’s licence"}, "name"), l.sorted(ui.Column{Title: "Customer"}, "customer"), l.sorted(ui.Column{Title: "Seats", Num: true}, "seats"),
			{Title: "Giacom’s licence"}, {Title: "Invoice lines"}, l.sorted(ui.Column{Title: "State", Wide: true}, "state")},
		Empty: ui.Empty{Title: "No licences of Inty’s", Text: "Halo was not read for them yet, or Inty left none. They are known by the status behind their names, such as “… (Active)”."},
		Pager: l.pager(resp.GetNextPageToken(), len(resp.GetPairs())),
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No licence of Inty’s matches what you asked for.", Actions: []ui.Button{{Label: "Show all", Href: v.atInty("/pairs")}}}
	}
	for _, x := range resp.GetPairs() {
		t.Rows = append(t.Rows, v.pairRow(x))
	}
	header := v.intyHeader("Licences and lines", "Inty’s licences have a status behind their names; Giacom’s have none. Each is paired with the Giacom licence of the same customer, product and term, and shown with the lines that link it.")
	if v.operator() {
		header.Actions = []ui.Button{{Label: "Decide about possible duplicates", Href: v.at("/licences/duplicates")}, {Label: "Read Halo again", Href: v.atInty("/refresh"), Post: true}}
	}
	return v.show(header, v.intyTabs(m), l.form(search, state, customer), t)
}

func (v *visit) pairRow(x *intyv1.Pair) ui.Row {
	giacom := any(nil)
	switch g := x.GetGiacom(); {
	case g != nil:
		giacom = ui.Stack{Top: g.GetName(), Under: seats(g.GetCount())}
	case len(x.GetCandidates()) > 0:
		giacom = ui.Quiet{Value: ui.Plural(int64(len(x.GetCandidates())), "could be meant", "could be meant")}
	}
	return ui.Row{Cells: []any{
		ui.Stack{Top: ui.Link{Text: x.GetInty().GetName(), Href: v.toPair(x)}, Under: "No. " + strconv.FormatInt(x.GetInty().GetHaloId(), 10)}, x.GetInty().GetClientName(), x.GetInty().GetCount(),
		giacom, v.lineStates(x.GetLines()), ui.Stack{Top: pairWords[x.GetState()], Under: x.GetWhy()},
	}}
}

func (v *visit) toPair(x *intyv1.Pair) string {
	return v.atInty("/pairs/" + strconv.FormatInt(x.GetInty().GetHaloId(), 10))
}

func seats(n int64) string { return ui.Plural(n, "seat", "seats") }

// lineStates of a list in short: most licences are on one line.
func (v *visit) lineStates(lines []*intyv1.LinkedLine) any {
	if len(lines) == 0 {
		return nil
	}
	var out ui.Lines
	for _, l := range lines {
		out = append(out, ui.Stack{Top: lineWords[l.GetState()], Under: invoiceNo(l.GetInvoiceId())})
	}
	return out
}

// invoiceNo is a recurring invoice as people call it: Halo numbers them below zero.
func invoiceNo(id int64) string { return "invoice " + strconv.FormatInt(id, 10) }

// lineNamed is a line with whom it bills, leading to its invoice in Halo.
func (v *visit) lineNamed(l *intyv1.LinkedLine) any {
	top := any(l.GetDescription())
	if to := halo.RecurringInvoicePage(v.connection.GetHalo().GetBaseUrl(), l.GetInvoiceId()); to != "" {
		top = ui.Link{Text: l.GetDescription(), Href: to, Out: true}
	}
	return ui.Stack{Top: top, Under: l.GetClientName() + " · " + invoiceNo(l.GetInvoiceId())}
}

// showIntyUsers lists the lines that count people.
func showIntyUsers(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Customer or text of the line")
	m, err := v.migration(v.ctx())
	if err != nil {
		return err
	}
	resp, err := v.Inty().ListUserLines(v.ctx(), &intyv1.ListUserLinesRequest{Connection: v.connection.GetSlug(), PageSize: pageSize, PageToken: l.token(), Search: search.Value})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Lines that count users",
		Columns: []ui.Column{{Title: "Line", Wide: true}, {Title: "Customer"}, {Title: "Users now", Num: true}},
		Empty:   ui.Empty{Title: "No line counts users", Text: "None of the customers that had Inty is billed by the number of its users."},
		Pager:   l.pager(resp.GetNextPageToken(), len(resp.GetLines())),
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No such line matches what you asked for.", Actions: []ui.Button{{Label: "Show all", Href: v.atInty("/users")}}}
	}
	for _, x := range resp.GetLines() {
		name := v.lineNamed(&intyv1.LinkedLine{InvoiceId: x.GetInvoiceId(), Description: x.GetDescription(), ClientName: "line " + strconv.FormatInt(x.GetLineId(), 10)})
		t.Rows = append(t.Rows, ui.Row{Cells: []any{name, x.GetClientName(), orNothing(x.GetQuantity())}})
	}
	return v.show(v.intyHeader("Lines that count users", nil), v.intyTabs(m), ui.Notice{Tone: ui.Info, Title: "Nothing to re-point, something to know", Text: resp.GetNote()}, l.form(search), t)
}
