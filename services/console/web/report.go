package web

import (
	"fmt"

	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/ui"
)

func reportPages() []page {
	at := ofConnection + "/runs/{run}/report"
	return []page{
		{path: at, title: "Report of a run", nav: navIntegrator, handle: showReport},
	}
}

// shownChanges of a report; the files have all that the service lists.
const shownChanges = 200

func (v *visit) report(limit int32) (*runv1.RunReport, error) {
	if _, err := v.readRun(); err != nil { // another connection's is not shown under this one's name
		return nil, err
	}
	return v.Integrator().GetRunReport(v.ctx(), &runv1.GetRunReportRequest{Id: v.param("run"), Limit: limit})
}

func showReport(v *visit) error {
	x, err := v.report(shownChanges)
	if err != nil {
		return err
	}
	r := x.GetRun()
	began, at := ui.DateTime(r.GetStartTime().AsTime()), v.at("/runs/"+r.GetId())
	file := v.at("/imports/subscriptions/" + r.GetId() + "/file")
	header := ui.Header{
		Title: "Report of the run of " + began, Badges: []ui.Badge{ui.Outcome(r.GetOutcome())},
		Lead:    "Everything that the run brought about so far. It is made from the change log, so it can be had at any later time.",
		Crumbs:  []ui.Link{{Text: "Integrator", Href: v.at("/integrator")}, {Text: began, Href: at}},
		Actions: []ui.Button{{Label: "Download as CSV", Href: file, Kind: "primary"}, {Label: "Download as JSON", Href: file + "?format=json"}},
	}
	var blocks []ui.Block
	if missing := silentNotice(x.GetUnknown()); missing != nil {
		blocks = append(blocks, *missing)
	}
	main := []ui.Block{ui.Section{Title: "In Halo", Blocks: []ui.Block{changeCounts(x.GetCounts())}}}
	if len(x.GetSkips()) > 0 {
		main = append(main, ui.Section{Title: "Subscriptions that are not billed", Lead: "As things stand now.", Blocks: []ui.Block{v.skipsTable(x.GetSkips())}})
	}
	blocks = append(blocks, ui.Split{Main: main, Side: []ui.Block{ui.Section{Title: "From Giacom", Blocks: []ui.Block{ui.Definitions{
		{Term: "Started by", Value: startedBy(r)}, {Term: "Began", Value: ui.When(r.GetStartTime())}, {Term: "Took", Value: took(r, v.now())},
		{Term: "Subscriptions", Value: r.GetSubscriptions().GetSeen()}, {Term: "Found", Value: runFound(r)}, {Term: "Requests", Value: r.GetRequests()},
		{Term: "As of", Value: ui.When(x.GetTime())},
	}}}}})
	return v.show(header, append(blocks, v.reportedChanges(x))...)
}

// changeCounts says what came of a run in Halo.
func changeCounts(counts []*runv1.ChangeCount) ui.Table {
	t := ui.Table{Caption: "What it came to", Columns: []ui.Column{{Title: "What"}, {Title: "Action"}, {Title: "Outcome"}, {Title: "How many", Num: true}}, Empty: ui.Empty{Title: "It changed nothing in Halo"}}
	for _, n := range counts {
		t.Rows = append(t.Rows, ui.Row{Cells: []any{kindWord(n.GetKind()), sentence(actionWord(n.GetAction())), sentence(n.GetOutcome()), n.GetCount()}})
	}
	return t
}

// skipsTable says which subscriptions go on to no Halo customer, and what a person can do about it.
func (v *visit) skipsTable(skips []*runv1.SkipCount) ui.Table {
	t := ui.Table{Caption: "Subscriptions that are not billed", Columns: []ui.Column{{Title: "Why", Wide: true}, {Title: "How many", Num: true}, {Title: "What to do"}}}
	for _, s := range skips {
		do := any(nil)
		switch s.GetCode() {
		case "customer_not_mapped", "near_match", "customer_new":
			do = ui.Link{Text: "Map their customers", Href: v.at("/mappings?only=waiting")}
		case "customer_ignored":
			do = ui.Link{Text: "See who is ignored", Href: v.at("/mappings?standing=ignored")}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{s.GetText(), s.GetCount(), do}})
	}
	return t
}

// reportedChanges of a run, one by one.
func (v *visit) reportedChanges(x *runv1.RunReport) ui.Section {
	changes := ui.Table{
		Caption: "Changes of the run", Columns: []ui.Column{{Title: "What", Wide: true}, {Title: "When"}, {Title: "Outcome"}, {Title: "What changed"}, {Title: "A month, ex VAT", Num: true}, {Title: "Who"}},
		Empty: ui.Empty{Title: "No changes", Text: "Halo was in step already, or nothing may be written to it."},
	}
	for _, c := range x.GetChanges() {
		changes.Rows = append(changes.Rows, changeRow(v, c))
	}
	list := ui.Section{Title: "Change by change", Blocks: []ui.Block{changes}}
	if x.GetTruncated() {
		list.Lead = fmt.Sprintf("The first %d. The files have all of them, and the change log can be searched.", len(x.GetChanges()))
		list.Actions = []ui.Button{{Label: "In the change log", Href: v.at("/changes?run=" + x.GetRun().GetId()), Small: true}}
	}
	return list
}
