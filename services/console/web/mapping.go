package web

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

func (v *visit) readMapping() (*mappingv1.Mapping, error) {
	return v.Mappings().GetMapping(v.ctx(), &mappingv1.GetMappingRequest{Connection: v.connection.GetSlug(), MexId: v.param("mex")})
}

// showMapping is one Giacom customer: who it is in Halo, who it may be, and what a person can do.
func showMapping(v *visit) error {
	m, err := v.readMapping()
	if err != nil {
		return err
	}
	return v.mappingPage(http.StatusOK, m, nil)
}

func (v *visit) mappingPage(status int, m *mappingv1.Mapping, notice *ui.Notice) error {
	header := ui.Header{Title: calledOrID(m), Crumbs: []ui.Link{{Text: "Mappings", Href: v.at("/mappings")}}, Badges: []ui.Badge{standingBadge(m)}, Lead: mappingLead(m)}
	if v.operator() {
		header.Actions = v.mappingActions(m)
	}
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	if m.GetStanding() == mappingv1.Standing_STANDING_REMAP {
		blocks = append(blocks, ui.Notice{Tone: ui.Warn, Title: "To be remapped", Text: m.GetReason().GetText(), Next: "Map it to another Halo customer, or mend the one it has in Halo. Its licences stay as they are until then."})
	}
	if m.GetPreviousGiacomName() != "" {
		blocks = append(blocks, ui.Notice{Tone: ui.Info, Title: "Renamed in Giacom", Text: "It was called “" + m.GetPreviousGiacomName() + "”" + onDate(m) + ". The mapping did not change by that.", Next: "See that it is still the same customer. Deciding anew takes this notice away."})
	}
	return v.showAs(status, header, append(blocks, ui.Split{
		Main: []ui.Block{v.candidatesOf(m)},
		Side: []ui.Block{ui.Section{Title: "About it", Blocks: []ui.Block{v.mappingFacts(m)}}},
	})...)
}

func mappingLead(m *mappingv1.Mapping) any {
	switch m.GetStanding() {
	case mappingv1.Standing_STANDING_MAPPED:
		return "Its subscriptions become licences of " + m.GetHaloClientName() + " in Halo."
	case mappingv1.Standing_STANDING_CREATING:
		return "It is to be created in Halo; its subscriptions follow."
	case mappingv1.Standing_STANDING_IGNORED:
		return "It is left alone, and so are its subscriptions."
	case mappingv1.Standing_STANDING_REMAP:
		return "The Halo customer that it is mapped to cannot be billed any more."
	}
	return "Nobody is billed for its subscriptions until it is mapped."
}

func (v *visit) mappingActions(m *mappingv1.Mapping) []ui.Button {
	to := func(rest string) string { return v.ofCustomer(m.GetMexId(), rest) }
	pick := ui.Button{Label: "Map …", Href: to("/map"), Kind: "primary"}
	remove := ui.Button{Label: "Remove …", Href: to("/remove")}
	create, ignore := ui.Button{Label: "Create in Halo …", Href: to("/create")}, ui.Button{Label: "Ignore …", Href: to("/ignore")}
	switch m.GetStanding() {
	case mappingv1.Standing_STANDING_MAPPED, mappingv1.Standing_STANDING_REMAP:
		pick.Label = "Map to another …"
		return []ui.Button{pick, ignore, remove}
	case mappingv1.Standing_STANDING_CREATING:
		return []ui.Button{pick, ignore, remove}
	case mappingv1.Standing_STANDING_IGNORED:
		remove.Label = "Ignore no longer …"
		return []ui.Button{pick, create, remove}
	}
	return []ui.Button{pick, create, ignore}
}

func (v *visit) mappingFacts(m *mappingv1.Mapping) ui.Definitions {
	why := m.GetReason().GetText()
	facts := ui.Definitions{{Term: "Giacom’s id", Value: ui.Mono(m.GetMexId())}, {Term: "Halo customer", Value: v.haloCell(m)}}
	if why != "" && m.GetStanding() != mappingv1.Standing_STANDING_REMAP { // the notice says it
		facts = append(facts, ui.Definition{Term: "Why", Value: why})
	}
	facts = append(facts,
		ui.Definition{Term: "Origin", Value: originCell(m)},
		ui.Definition{Term: "Subscriptions", Value: m.GetSubscriptions()},
		ui.Definition{Term: "A month, ex VAT", Value: costCell(m.GetMonthly(), m.GetUnpriced())})
	if s := m.GetStatus(); s.GetState() != 0 {
		state := ui.Stack{Top: ui.State(s.GetState())}
		if text := s.GetReason().GetText(); text != "" && text != why {
			state.Under = text
		}
		facts = append(facts, ui.Definition{Term: "In Halo", Value: state})
	}
	if m.GetUnmappedSince() != nil {
		facts = append(facts, ui.Definition{Term: "Unmapped since", Value: ui.When(m.GetUnmappedSince())})
	}
	by := any("A rule")
	if m.GetChangedBy() != "" {
		by = m.GetChangedBy()
	}
	return append(facts, ui.Definition{Term: "Last changed", Value: ui.Stack{Top: ui.When(m.GetUpdateTime()), Under: by}},
		ui.Definition{Term: "More", Value: ui.Lines{
			ui.Link{Text: "Everything about this customer", Href: v.at("/customers/" + url.PathEscape(m.GetMexId()))},
			ui.Link{Text: "What is planned for it", Href: v.at("/plan?" + url.Values{"customer": {m.GetMexId()}}.Encode())},
		}})
}

// candidatesOf a customer, with a button for each.
func (v *visit) candidatesOf(m *mappingv1.Mapping) ui.Block {
	section := ui.Section{Title: "Who it may be in Halo"}
	if len(m.GetCandidates()) == 0 {
		text := "No Halo customer resembles it closely enough. Choose one, or create it."
		if m.GetStanding() == mappingv1.Standing_STANDING_MAPPED || m.GetStanding() == mappingv1.Standing_STANDING_CREATING || m.GetStanding() == mappingv1.Standing_STANDING_IGNORED {
			text = "Suggestions are made for customers that are not mapped, or to be remapped."
		}
		section.Blocks = []ui.Block{ui.Paragraph{Text: ui.Quiet{Value: text}}}
		return section
	}
	if m.GetAmbiguity() != "" {
		section.Lead = m.GetAmbiguity()
	}
	t := ui.Table{Caption: "Halo customers that it may be, the likeliest first", Columns: []ui.Column{{Title: "Halo customer"}, {Title: "Score", Num: true}, {Title: "Why", Wide: true}}}
	if v.operator() {
		t.Columns = append(t.Columns, ui.Column{Title: "Action"})
	}
	for _, c := range m.GetCandidates() {
		row := ui.Row{Cells: []any{v.inHalo(c.GetHaloClientId(), c.GetHaloClientName()), c.GetScore(), reasonLines(c.GetReasons())}}
		if v.operator() {
			row.Cells = append(row.Cells, ui.Button{Label: "Accept", For: c.GetHaloClientName(), Href: v.ofCustomer(m.GetMexId(), "/accept"), Post: true, Small: true,
				Send: []string{"to", strconv.FormatInt(c.GetHaloClientId(), 10), "etag", m.GetEtag()}})
		}
		t.Rows = append(t.Rows, row)
	}
	section.Blocks = []ui.Block{t}
	return section
}

func reasonLines(reasons []string) ui.Lines {
	var out ui.Lines
	for _, r := range reasons {
		out = append(out, r)
	}
	return out
}

func acceptSuggestion(v *visit) error {
	to, _ := strconv.ParseInt(v.form("to"), 10, 64) // 0 lets the mapper take the one that stands out
	var m *mappingv1.Mapping
	err := v.askHalo(func(ctx context.Context) (err error) {
		m, err = v.Mappings().AcceptSuggestion(ctx, &mappingv1.AcceptSuggestionRequest{Connection: v.connection.GetSlug(), MexId: v.param("mex"), HaloClientId: to, Etag: v.form("etag")})
		return err
	})
	if err != nil {
		return v.mappingRefused(err, v.mappingPage)
	}
	back := v.at("/mappings")
	if from := local(v.form("back")); strings.HasPrefix(from, back) {
		back = from
	}
	return v.done(back, said(calledOrID(m)+" is mapped to "+m.GetHaloClientName()+"."))
}

// mappingRefused shows a page about the customer again, as it is now, with what is wrong.
func (v *visit) mappingRefused(err error, again func(status int, m *mappingv1.Mapping, notice *ui.Notice) error) error {
	e, known := rpc.ErrorFrom(err)
	if !known {
		return err
	}
	m, readErr := v.readMapping()
	if readErr != nil {
		return err
	}
	return again(httpStatus(e.Code), m, refusal(err))
}

// refusal is an error as a notice in whole sentences: services say what happened within one.
func refusal(err error) *ui.Notice {
	n := ui.ErrorNotice(err)
	for _, text := range []*string{&n.Text, &n.Next} {
		if first, size := utf8.DecodeRuneInString(*text); size > 0 {
			*text = string(unicode.ToUpper(first)) + (*text)[size:]
			if !strings.ContainsAny((*text)[len(*text)-1:], ".!?") {
				*text += "."
			}
		}
	}
	return n
}

// pickHaloCustomer chooses the Halo customer that a Giacom customer is; with ?to= it asks first.
func pickHaloCustomer(v *visit) error {
	m, err := v.readMapping()
	if err != nil {
		return err
	}
	return v.mapPage(http.StatusOK, m, nil)
}

func (v *visit) mapHeader(m *mappingv1.Mapping, title string, lead any) ui.Header {
	return ui.Header{Title: title, Lead: lead, Crumbs: []ui.Link{{Text: "Mappings", Href: v.at("/mappings")}, {Text: calledOrID(m), Href: v.ofCustomer(m.GetMexId(), "")}}}
}

func (v *visit) mapPage(status int, m *mappingv1.Mapping, notice *ui.Notice) error {
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	if to, err := strconv.ParseInt(v.query("to"), 10, 64); err == nil && notice == nil {
		return v.confirmRemap(m, to)
	}
	l := v.listing()
	l.path = v.ofCustomer(m.GetMexId(), "/map") // also after a refused POST
	search := l.search("Find a Halo customer", "Its name, or part of it")
	l.and("inactive = false")
	resp, err := v.Mappings().ListHaloCustomers(v.ctx(), &mappingv1.ListHaloCustomersRequest{Connection: v.connection.GetSlug(), PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: l.order()})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Active customers of Halo, as last read",
		Columns: []ui.Column{l.sorted(ui.Column{Title: "Halo customer", Wide: true}, "name"), l.sorted(ui.Column{Title: "Mapped already", Num: true}, "mapped"), {Title: "To these Giacom customers"}, {Title: "Action"}},
		Pager:   l.pager(resp.GetNextPageToken(), len(resp.GetCustomers())),
		Empty:   ui.Empty{Title: "Nothing found", Text: "Halo has no active customer of that name. One that was made just now is found after Halo is read again.", Actions: []ui.Button{{Label: "Show all", Href: l.path}}},
	}
	for _, c := range resp.GetCustomers() {
		t.Rows = append(t.Rows, ui.Row{Cells: []any{v.inHalo(c.GetId(), c.GetName()), len(c.GetMexIds()), mexIDs(c.GetMexIds()), v.mapButton(m, c)}})
	}
	lead := any("Choose the Halo customer that its licences belong to. Several Giacom customers may be one Halo customer.")
	if m.GetHaloClientId() != 0 {
		lead = "It is mapped to " + m.GetHaloClientName() + " now. Its licences move when you map it to another."
	}
	if len(m.GetCandidates()) > 0 {
		blocks = append(blocks, v.candidatesOf(m))
	}
	return v.showAs(status, v.mapHeader(m, "Map "+calledOrID(m), lead), append(blocks, l.form(search), t)...)
}

func mexIDs(ids []string) any {
	const shown = 3
	if len(ids) == 0 {
		return nil
	}
	var out ui.Beside
	for i, id := range ids {
		if i == shown {
			out = append(out, ui.Quiet{Value: "and " + strconv.Itoa(len(ids)-shown) + " more"})
			break
		}
		out = append(out, ui.Mono(id))
	}
	return out
}

// mapButton maps at once where nothing was mapped before, and asks where licences would move.
func (v *visit) mapButton(m *mappingv1.Mapping, c *mappingv1.HaloCustomer) any {
	if c.GetId() == m.GetHaloClientId() && m.GetStanding() == mappingv1.Standing_STANDING_MAPPED {
		return ui.Badge{Text: "Mapped now", Tone: ui.Good}
	}
	to := strconv.FormatInt(c.GetId(), 10)
	b := ui.Button{Label: "Map", For: "to " + c.GetName(), Small: true, Href: v.ofCustomer(m.GetMexId(), "/map")}
	if m.GetState() == mappingv1.State_STATE_MAPPED {
		b.Label, b.Href = "Map …", b.Href+"?to="+to
		return b
	}
	b.Post, b.Send = true, []string{"to", to, "etag", m.GetEtag()}
	return b
}

func (v *visit) confirmRemap(m *mappingv1.Mapping, to int64) error {
	found, err := v.Mappings().ListHaloCustomers(v.ctx(), &mappingv1.ListHaloCustomersRequest{Connection: v.connection.GetSlug(), PageSize: 1, Filter: "id = " + strconv.FormatInt(to, 10)})
	if err != nil {
		return err
	}
	name := "customer " + strconv.FormatInt(to, 10)
	if len(found.GetCustomers()) > 0 {
		name = found.GetCustomers()[0].GetName()
	}
	at := v.ofCustomer(m.GetMexId(), "/map")
	return v.show(v.mapHeader(m, "Map it to "+name+"?", nil), ui.Confirm{
		Text: calledOrID(m) + " is mapped to " + m.GetHaloClientName() + " now, with " + ui.Plural(int64(m.GetSubscriptions()), "subscription", "subscriptions") + ".",
		Consequences: []string{
			"Its licences move from " + m.GetHaloClientName() + " to " + name + " in Halo.",
			"Invoice lines of " + m.GetHaloClientName() + " stop counting them first; lines of " + name + " follow by the price rules.",
			"No rule changes this mapping again; you can remove it.",
		},
		Form: ui.Form{Action: at, Submit: "Map it to " + name, Danger: true, Cancel: at, Groups: ui.Fields(ui.Field{Name: "to", Kind: "hidden", Value: strconv.FormatInt(to, 10)}, ui.Field{Name: "etag", Kind: "hidden", Value: m.GetEtag()})},
	})
}

func setMapping(v *visit) error {
	to, err := strconv.ParseInt(v.form("to"), 10, 64)
	if err != nil {
		return rpc.InvalidArgument("to", "%q is no number of a Halo customer", v.form("to")).Do("go back and choose one from the list")
	}
	var m *mappingv1.Mapping
	err = v.askHalo(func(ctx context.Context) (err error) {
		m, err = v.Mappings().SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: v.connection.GetSlug(), MexId: v.param("mex"), HaloClientId: to, Etag: v.form("etag")})
		return err
	})
	if err != nil {
		return v.mappingRefused(err, v.mapPage)
	}
	return v.done(v.ofCustomer(m.GetMexId(), ""), said(calledOrID(m)+" is mapped to "+m.GetHaloClientName()+"."))
}
