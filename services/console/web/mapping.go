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
