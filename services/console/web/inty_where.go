package web

import (
	"fmt"
	"strconv"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/console/web/ui"
)

func regionWord(r intyv1.Region) string {
	switch r {
	case intyv1.Region_REGION_UNITED_STATES:
		return "United States"
	case intyv1.Region_REGION_ELSEWHERE:
		return "Elsewhere"
	case intyv1.Region_REGION_ASKED:
		return "Not known"
	default:
		return ""
	}
}

// placed is a customer of Halo's of whom somebody says whether it is in the United States.
type placed struct {
	client    int64
	name, why string
	region    string
}

// asked are those about whom nothing is known, whether they have an old mapping or only licences; or
// the one customer that a page leads here about, whatever is known of it.
func (v *visit) asked(one int64) ([]placed, error) {
	var out []placed
	seen := map[int64]bool{}
	add := func(x placed) {
		if !seen[x.client] && (one == 0 || one == x.client) {
			seen[x.client], out = true, append(out, x)
		}
	}
	mappings := &intyv1.ListOldMappingsRequest{Connection: v.connection.GetSlug(), PageSize: 1000, State: intyv1.OldMappingState_OLD_MAPPING_STATE_ASKED}
	pairs := &intyv1.ListPairsRequest{Connection: v.connection.GetSlug(), PageSize: 1000, State: intyv1.PairState_PAIR_STATE_ASKED, ClientId: one}
	if one != 0 {
		mappings.State, mappings.Search, pairs.State = 0, strconv.FormatInt(one, 10), 0
	}
	for {
		resp, err := v.Inty().ListOldMappings(v.ctx(), mappings)
		if err != nil {
			return nil, err
		}
		for _, x := range resp.GetMappings() {
			add(placed{x.GetClientId(), x.GetClientName(), x.GetRegionWhy(), regionWord(x.GetRegion())})
		}
		if mappings.PageToken = resp.GetNextPageToken(); mappings.PageToken == "" {
			break
		}
	}
	for {
		resp, err := v.Inty().ListPairs(v.ctx(), pairs)
		if err != nil {
			return nil, err
		}
		for _, x := range resp.GetPairs() {
			region := ""
			switch x.GetState() {
			case intyv1.PairState_PAIR_STATE_ASKED:
				region = regionWord(intyv1.Region_REGION_ASKED)
			case intyv1.PairState_PAIR_STATE_EXCLUDED:
				region = regionWord(intyv1.Region_REGION_UNITED_STATES)
			}
			add(placed{x.GetInty().GetClientId(), x.GetInty().GetClientName(), x.GetWhy(), region})
		}
		if pairs.PageToken = resp.GetNextPageToken(); pairs.PageToken == "" {
			break
		}
	}
	return out, nil
}

// showIntyWhere asks about customers of whom neither country nor currency says where they are.
func showIntyWhere(v *visit) error {
	one, _ := strconv.ParseInt(v.query("customer"), 10, 64)
	m, err := v.migration(v.ctx())
	if err != nil {
		return err
	}
	all, err := v.asked(one)
	if err != nil {
		return err
	}
	l := v.listing()
	page, next := cut(l, all)
	t := ui.Table{
		Caption: "Customers", Columns: []ui.Column{{Title: "Customer in Halo", Wide: true}, {Title: "What is known"}},
		Empty: ui.Empty{Title: "Nobody is asked about", Text: "Country or currency says of every customer whether it is in the United States, or a person has."},
		Pager: l.pager(next, len(page)),
	}
	if v.operator() {
		t.Columns = append(t.Columns, ui.Column{Title: "Where is it?"})
	}
	for _, x := range page {
		id := strconv.FormatInt(x.client, 10)
		row := ui.Row{Cells: []any{ui.Stack{Top: x.name, Under: "No. " + id}, ui.Stack{Top: x.region, Under: capital(x.why)}}}
		if v.operator() {
			answer := func(label, where string) ui.Button {
				return ui.Button{Label: label, Href: v.atInty("/where"), Post: true, Send: []string{"client", id, "where", where}, Small: true, For: "(" + x.name + ")"}
			}
			row.Cells = append(row.Cells, ui.Beside{answer("Elsewhere", "elsewhere"), answer("United States", "us")})
		}
		t.Rows = append(t.Rows, row)
	}
	blocks := []ui.Block{v.intyTabs(m), t}
	if v.operator() && one == 0 && m.GetAsked() > 1 {
		blocks = append(blocks, ui.Section{Title: "All at once", Lead: "For everyone who is asked about. An answer can be changed later.", Blocks: []ui.Block{ui.Form{
			Action: v.atInty("/where"), Submit: "Answer for all " + ui.Count(int64(m.GetAsked())), Groups: ui.Fields(
				ui.Field{Name: "client", Kind: "hidden", Value: "all"},
				ui.Field{Name: "where", Label: "Where are they?", Kind: "radio", Options: []ui.Option{
					{Value: "elsewhere", Label: "Elsewhere", Help: "they move to Giacom"},
					{Value: "us", Label: "In the United States", Help: "they stay as they are"},
				}}),
		}}})
	}
	if one != 0 {
		blocks = append(blocks, ui.Paragraph{Text: ui.Link{Text: "Everyone who is asked about", Href: v.atInty("/where")}})
	}
	return v.show(v.intyHeader("Where customers are", "Inty’s customers in the United States do not move to Giacom. An answer decides; else the country does, as Halo, Giacom or the file has it; else the currency. Where these say nothing, or contradict each other, you are asked."), blocks...)
}

// cut gives the page of a list that is known in full, and the token of the next.
func cut[T any](l *listing, all []T) ([]T, string) {
	from, _ := strconv.Atoi(l.token())
	from = max(0, min(from, len(all)))
	to := min(from+pageSize, len(all))
	if to == len(all) {
		return all[from:], ""
	}
	return all[from:to], strconv.Itoa(to)
}

func answerInty(v *visit) error {
	req := &intyv1.AnswerCustomersRequest{Connection: v.connection.GetSlug(), AllAsked: v.form("client") == "all"}
	switch v.form("where") {
	case "us":
		req.UnitedStates = true
	case "elsewhere":
	default:
		return v.done(v.atInty("/where"), ui.Notice{Tone: ui.Warn, Text: "Nothing was answered yet.", Next: "Say where they are: elsewhere, or in the United States."})
	}
	if !req.GetAllAsked() {
		id, err := strconv.ParseInt(v.form("client"), 10, 64)
		if err != nil {
			return rpc.InvalidArgument("client", "%q is no number of a customer in Halo", v.form("client")).Do("go back and choose one of the list")
		}
		req.ClientIds = []int64{id}
	}
	answer, err := v.Inty().AnswerCustomers(v.ctx(), req)
	if err != nil {
		return err
	}
	where := "not in the United States: they move to Giacom"
	if req.GetUnitedStates() {
		where = "in the United States: they stay as they are"
	}
	left := "Nobody is asked about any more."
	if answer.GetAsked() > 0 {
		left = ui.Plural(int64(answer.GetAsked()), "customer is", "customers are") + " still asked about."
	}
	return v.done(v.atInty("/where"), said(fmt.Sprintf("Answered for %s, %s. %s", ui.Plural(int64(answer.GetAnswered()), "customer", "customers"), where, left)))
}
