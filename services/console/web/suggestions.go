package web

import (
	"context"
	"net/http"
	"strconv"

	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

func suggestionsPages() []page {
	all := ofConnection + "/mappings/suggestions"
	return []page{
		{path: all, title: "Suggestions", nav: navMappings, handle: showSuggestions},
		{path: all + "/accept", title: "Accept suggestions", nav: navMappings, handle: acceptSuggestions.show},
		{path: all + "/accept", method: http.MethodPost, title: "Accept suggestions", nav: navMappings, handle: acceptSuggestions.carryOut},
	}
}

// scoreChoices are the scores that one can ask for, with what they mean.
var scoreChoices = []string{"95", "95 – as good as certain", "90", "90", "80", "80 – likely", "70", "70", "60", "60 – possible", "50", "50", "1", "Any"}

const usualScore = 90

// acceptSuggestions maps everyone whose suggestion stands out and has at least a score.
var acceptSuggestions = mapMany{
	path: "/mappings/suggestions/accept", tab: "Suggestions", title: "Accept suggestions",
	lead: "Accepts every suggestion that stands out and has at least this score. Where several Halo customers might be meant, somebody decides one by one.",
	none: ui.Empty{Title: "Nothing to accept", Text: "No suggestion has that score."},
	question: func(v *visit) mapQuestion {
		return mapQuestion{score: scoreOf(v.r.FormValue("score"), usualScore)}
	},
	preview: func(v *visit, q mapQuestion) (*mappingv1.MappingChanges, error) {
		return v.Mappings().GetAcceptableSuggestions(v.ctx(), &mappingv1.AcceptSuggestionsRequest{Connection: v.connection.GetSlug(), MinScore: q.score})
	},
	apply: func(ctx context.Context, v *visit, q mapQuestion, etag string) (*mappingv1.MappingChanges, error) {
		return v.Mappings().AcceptSuggestions(ctx, &mappingv1.AcceptSuggestionsRequest{Connection: v.connection.GetSlug(), MinScore: q.score, Etag: etag})
	},
}

func scoreOf(text string, usual int32) int32 {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 {
		return usual
	}
	return int32(n)
}

// showSuggestions lists customers with the Halo customers that they may be, the surest first.
func showSuggestions(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Either name, or Giacom’s id")
	score := l.value("score")
	atLeast := ui.Field{Name: "score", Label: "Score of at least", Kind: "select", Auto: true, Options: append([]ui.Option{{Value: "", Label: "Any", Selected: score == ""}}, ui.Options(score, scoreChoices[:len(scoreChoices)-2]...)...)}
	least := int32(0)
	if score != "" {
		least = scoreOf(score, 0)
	}
	resp, err := v.Mappings().ListSuggestions(v.ctx(), &mappingv1.ListSuggestionsRequest{Connection: v.connection.GetSlug(), PageSize: pageSize, PageToken: l.token(), MinScore: least, Filter: l.filter(), OrderBy: l.order()})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Customers that are not mapped, and who they may be in Halo",
		Columns: []ui.Column{l.sorted(ui.Column{Title: "Giacom customer"}, "giacom_name"), {Title: "May be in Halo"}, l.sorted(ui.Column{Title: "Score", Num: true}, "score"), {Title: "Why", Wide: true},
			l.sorted(ui.Column{Title: "Subscriptions", Num: true}, "subscriptions"), l.sorted(ui.Column{Title: "A month, ex VAT", Num: true}, "monthly")},
		Empty: ui.Empty{Title: "No suggestions", Text: "Every customer is mapped, or resembles nobody in Halo closely enough.", Actions: []ui.Button{{Label: "Show unmapped customers", Href: v.at("/mappings?standing=unmapped")}}},
		Pager: l.pager(resp.GetNextPageToken(), len(resp.GetSuggestions())),
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No suggestion matches what you asked for.", Actions: []ui.Button{{Label: "Show all suggestions", Href: v.at("/mappings/suggestions")}}}
	}
	if v.operator() {
		t.Columns = append(t.Columns, ui.Column{Title: "Action"})
	}
	for _, m := range resp.GetSuggestions() {
		t.Rows = append(t.Rows, v.suggestionRow(m))
	}
	header := ui.Header{Title: "Suggestions", Lead: "Who unmapped customers may be in Halo, by tenant, name, domain and post code; 100 is the surest."}
	if v.operator() && len(resp.GetSuggestions()) > 0 {
		header.Actions = []ui.Button{{Label: "Accept all from a score …", Href: v.at("/mappings/suggestions/accept?score=" + strconv.Itoa(int(scoreOf(score, usualScore)))), Kind: "primary"}}
	}
	return v.show(header, v.mappingTabs("Suggestions", nil), l.form(search, atLeast), t)
}

func (v *visit) suggestionRow(m *mappingv1.Mapping) ui.Row {
	best := m.GetCandidates()[0] // a suggestion has at least one
	why := reasonLines(best.GetReasons())
	if m.GetAmbiguity() != "" {
		why = append(why, m.GetAmbiguity())
	}
	who := any(v.inHalo(best.GetHaloClientId(), best.GetHaloClientName()))
	if n := len(m.GetCandidates()) - 1; n > 0 {
		who = ui.Stack{Top: who, Under: ui.Link{Text: "or " + ui.Plural(int64(n), "other", "others"), Href: v.ofCustomer(m.GetMexId(), "")}}
	}
	row := ui.Row{Cells: []any{v.giacomCell(m), who, best.GetScore(), why, m.GetSubscriptions(), costCell(m.GetMonthly(), m.GetUnpriced())}}
	if !v.operator() {
		return row
	}
	choose := ui.Button{Label: "Choose …", For: calledOrID(m), Href: v.ofCustomer(m.GetMexId(), "/map"), Small: true}
	if standsOut(m) == nil {
		row.Cells = append(row.Cells, choose)
		return row
	}
	row.Cells = append(row.Cells, ui.Beside{ui.Button{Label: "Accept", For: calledOrID(m), Href: v.ofCustomer(m.GetMexId(), "/accept"), Post: true, Small: true, Kind: "primary",
		Send: []string{"to", strconv.FormatInt(best.GetHaloClientId(), 10), "etag", m.GetEtag(), "back", v.here()}}, choose})
	return row
}
