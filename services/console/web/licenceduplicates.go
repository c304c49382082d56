package web

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"seatline.dev/pkg/rpc"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	"seatline.dev/services/console/web/ui"
)

// duplicatesAtOnce is how many one call decides about, and duplicatesShown how many a page lists.
const (
	duplicatesAtOnce = 1000
	duplicatesShown  = 200
)

// askedWay is the way out of possible duplicates that the page at hand is about.
func askedWay(value string) licencev1.Way {
	if value == "create" {
		return licencev1.Way_WAY_CREATE
	}
	return licencev1.Way_WAY_ADOPT
}

// showDuplicates lists what is held as a possible duplicate with what would become of each; with ?ask=all it asks before
// all that match are decided about.
func showDuplicates(v *visit) error {
	l := v.listing()
	way := askedWay(l.value("way"))
	search := l.search("Search", "Customer, product or key")
	to := func(change ...string) string {
		kept := url.Values{}
		for _, name := range []string{"way", "q"} {
			if value := l.values.Get(name); value != "" {
				kept.Set(name, value)
			}
		}
		for i := 0; i+1 < len(change); i += 2 {
			kept.Set(change[i], change[i+1])
		}
		return l.path + "?" + kept.Encode()
	}
	header := ui.Header{Title: "Possible duplicates", Lead: "Halo has licences that may be these subscriptions’: made by its own integration, by Inty, or by hand. Taking one over in place keeps its lines; creating beside it leaves it to you to end the old one.",
		Crumbs: []ui.Link{{Text: "Licences", Href: v.at("/licences")}}}
	tabs := ui.Tabs{{Title: "Take over in place", Href: to("way", "adopt"), Current: way == licencev1.Way_WAY_ADOPT}, {Title: "Create beside", Href: to("way", "create"), Current: way == licencev1.Way_WAY_CREATE}}
	if v.query("ask") == "all" && v.operator() {
		return v.askDuplicates(header, tabs, l.filter(), way, to())
	}
	d, err := v.Licences().GetDuplicateDecisions(v.ctx(), &licencev1.GetDuplicateDecisionsRequest{Connection: v.connection.GetSlug(), Filter: l.filter(), Way: way, PageSize: duplicatesShown, PageToken: l.token()})
	if err != nil {
		return err
	}
	n := len(d.GetDecisions())
	t := ui.Table{
		Caption: "What would be decided",
		Columns: []ui.Column{{Title: "Product", Wide: true}, {Title: "Customer", Wide: true}, {Title: "Seats", Num: true}, {Title: "In Halo", Wide: true}, {Title: "Seats in Halo", Num: true}, {Title: "A month, ex VAT", Num: true}},
		Empty:   ui.Empty{Title: "Nothing to decide here", Text: "No licence is held as a possible duplicate, or none that can be decided about with others."},
		Pager:   l.pager(d.GetNextPageToken(), n+len(d.GetSkipped())),
	}
	if v.operator() {
		t.Columns = append(t.Columns, ui.Column{Title: "Pick"})
	}
	for _, x := range d.GetDecisions() {
		t.Rows = append(t.Rows, v.duplicateRow(x, v.query("picked") != "none"))
	}
	blocks := []ui.Block{tabs, l.form(search, ui.Field{Name: "way", Kind: "hidden", Value: l.values.Get("way")}), t}
	if n > 0 && v.operator() {
		submit := "Take over those picked"
		if way == licencev1.Way_WAY_CREATE {
			submit = "Create those picked"
		}
		others := []ui.Button{{Label: "All that match, on every page …", Href: to("ask", "all")}, {Label: "Pick none", Href: to("picked", "none", "page", l.token())}}
		blocks = append(blocks, ui.Form{ID: "decide", Action: v.at("/licences/duplicates"), Submit: submit, Groups: ui.Fields(
			ui.Field{Name: "way", Kind: "hidden", Value: l.values.Get("way")}, ui.Field{Name: "q", Kind: "hidden", Value: search.Value})}, ui.Actions{Buttons: others})
	}
	if len(d.GetSkipped()) > 0 {
		blocks = append(blocks, ui.Section{Title: "Left to be decided one by one", Blocks: []ui.Block{v.skippedDuplicates(d.GetSkipped())}})
	}
	return v.show(header, blocks...)
}

func (v *visit) duplicateRow(x *licencev1.DuplicateDecision, picked bool) ui.Row {
	halo := ui.Stack{Top: x.GetCandidate().GetName(), Under: "No. " + strconv.FormatInt(x.GetCandidate().GetHaloId(), 10)}
	row := ui.Row{Cells: []any{ui.Stack{Top: ui.Link{Text: nameOr(x.GetName(), x.GetKey()), Href: v.toLicence(x.GetKey())}, Under: ui.Mono(x.GetKey())}, x.GetCustomer(), x.GetCount(), halo, x.GetCandidate().GetCount(), ui.Bare(x.GetMonthly())}}
	if v.operator() {
		pick := ui.Pick{Name: "pick", Form: "decide", Value: strconv.FormatInt(x.GetHaloId(), 10) + " " + x.GetKey(), Label: x.GetCustomer() + ", " + x.GetName(), Checked: picked}
		row.Cells = append(row.Cells, pick)
	}
	return row
}

func (v *visit) skippedDuplicates(skipped []*licencev1.SkippedDuplicate) ui.Table {
	t := ui.Table{Caption: "Left", Columns: []ui.Column{{Title: "Product"}, {Title: "Customer"}, {Title: "Why", Wide: true}}}
	for _, x := range skipped[:min(len(skipped), duplicatesShown)] {
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Stack{Top: ui.Link{Text: nameOr(x.GetName(), x.GetKey()), Href: v.toLicence(x.GetKey())}, Under: ui.Mono(x.GetKey())}, x.GetCustomer(), x.GetReason().GetText()}})
	}
	if n := len(skipped); n > duplicatesShown {
		t.Pager.Note = "The first " + ui.Count(duplicatesShown) + " of " + ui.Count(int64(n))
	}
	return t
}

// allDuplicates is what could be decided about all that match.
func (v *visit) allDuplicates(filter string, way licencev1.Way) (*licencev1.DuplicateDecisions, error) {
	all := &licencev1.DuplicateDecisions{}
	for token := ""; ; {
		d, err := v.Licences().GetDuplicateDecisions(v.ctx(), &licencev1.GetDuplicateDecisionsRequest{Connection: v.connection.GetSlug(), Filter: filter, Way: way, PageToken: token})
		if err != nil {
			return nil, err
		}
		all.Decisions, all.Skipped = append(all.Decisions, d.GetDecisions()...), append(all.Skipped, d.GetSkipped()...)
		if token = d.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

func (v *visit) askDuplicates(header ui.Header, tabs ui.Tabs, filter string, way licencev1.Way, back string) error {
	all, err := v.allDuplicates(filter, way)
	if err != nil {
		return err
	}
	n := int64(len(all.Decisions))
	text, submit := ui.Plural(n, "subscription takes over the licence in Halo that it may be.", "subscriptions take over each the one licence in Halo that it may be."), "Take over "
	consequences := []string{"The licences in Halo get the seats, prices and dates that Giacom has. Lines that link them stay linked.", "What Halo bills by them changes with the seats."}
	if way == licencev1.Way_WAY_CREATE {
		text, submit = ui.Plural(n, "new licence is made", "new licences are made")+" beside those that Halo has.", "Create "
		consequences = []string{"Those that Halo has stay as they are. As long as lines link them, the customer may be billed twice."}
	}
	consequences = append(consequences, "The connection’s mode decides whether anything is written now.", fmt.Sprintf("%s that only a person can tell stay as they are.", ui.Count(int64(len(all.Skipped)))))
	if n == 0 {
		return v.show(header, tabs, ui.Empty{Title: "Nothing to decide here", Text: "None that matches can be decided about with others.", Actions: []ui.Button{{Label: "Back", Href: back}}})
	}
	return v.show(header, tabs, ui.Confirm{Text: text, Consequences: consequences, Form: ui.Form{
		Action: v.at("/licences/duplicates"), Cancel: back, Danger: way == licencev1.Way_WAY_CREATE, Submit: submit + ui.Plural(n, "licence", "licences"),
		Groups: ui.Fields(ui.Field{Name: "way", Kind: "hidden", Value: v.query("way")}, ui.Field{Name: "q", Kind: "hidden", Value: v.query("q")}, ui.Field{Name: "all", Kind: "hidden", Value: strconv.FormatInt(n, 10)}),
	}})
}

// decideDuplicates carries out those that were picked, or all that match if they are as many as was shown.
func decideDuplicates(v *visit) error {
	back := v.at("/licences/duplicates?" + url.Values{"way": {v.form("way")}, "q": {v.form("q")}}.Encode())
	var decisions []*licencev1.DuplicateDecision
	if shown := v.form("all"); shown != "" {
		l := &listing{values: url.Values{"q": {v.form("q")}}}
		l.search("", "")
		all, err := v.allDuplicates(l.filter(), askedWay(v.form("way")))
		if err != nil {
			return err
		}
		if n := strconv.Itoa(len(all.Decisions)); n != shown {
			return v.done(back+"&ask=all", ui.Notice{Tone: ui.Warn, Text: "There are " + n + " by now, not " + shown + " as was shown. Nothing was decided.", Next: "Look again."})
		}
		decisions = all.Decisions
	}
	for _, pick := range v.r.PostForm["pick"] {
		id, key, _ := strings.Cut(pick, " ")
		halo, err := strconv.ParseInt(id, 10, 64)
		if err != nil || key == "" {
			return rpc.InvalidArgument("pick", "%q names no licence", pick).Do("go back and pick again")
		}
		decisions = append(decisions, &licencev1.DuplicateDecision{Key: key, HaloId: halo})
	}
	if len(decisions) == 0 {
		return v.done(back, ui.Notice{Tone: ui.Warn, Text: "Nothing was picked.", Next: "Pick those that are to be decided about."})
	}
	decided, skipped := 0, []*licencev1.SkippedDuplicate{}
	for some := range slices.Chunk(decisions, duplicatesAtOnce) {
		d, err := v.Licences().DecideDuplicates(v.ctx(), &licencev1.DecideDuplicatesRequest{Connection: v.connection.GetSlug(), Decisions: some})
		if err != nil {
			return err
		}
		decided, skipped = decided+len(d.GetDecisions()), append(skipped, d.GetSkipped()...)
	}
	notice := said(ui.Plural(int64(decided), "possible duplicate is", "possible duplicates are") + " decided.")
	if len(skipped) > 0 {
		notice.Tone, notice.Text = ui.Warn, notice.Text+" "+ui.Count(int64(len(skipped)))+" were left as they are:"
		for _, x := range skipped[:min(len(skipped), 20)] {
			notice.Items = append(notice.Items, x.GetKey()+": "+x.GetReason().GetText())
		}
	}
	return v.done(back, notice)
}
