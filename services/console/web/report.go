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
	return v.integrator().GetRunReport(v.ctx(), &runv1.GetRunReportRequest{Id: v.param("run"), Limit: limit})
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
	counts := ui.Table{Caption: "What it came to", Columns: []ui.Column{{Title: "What"}, {Title: "Action"}, {Title: "Outcome"}, {Title: "How many", Num: true}}, Empty: ui.Empty{Title: "It changed nothing in Halo"}}
	for _, n := range x.GetCounts() {
		counts.Rows = append(counts.Rows, ui.Row{Cells: []any{kindWord(n.GetKind()), sentence(actionWord(n.GetAction())), sentence(n.GetOutcome()), n.GetCount()}})
	}
	main := []ui.Block{ui.Section{Title: "In Halo", Blocks: []ui.Block{counts}}}
	if len(x.GetSkips()) > 0 {
		skips := ui.Table{Caption: "Subscriptions that are not billed at present", Columns: []ui.Column{{Title: "Why", Wide: true}, {Title: "How many", Num: true}}}
		for _, s := range x.GetSkips() {
			skips.Rows = append(skips.Rows, ui.Row{Cells: []any{s.GetText(), s.GetCount()}})
		}
		main = append(main, ui.Section{Title: "Subscriptions that are not billed", Lead: "As things stand now.", Blocks: []ui.Block{skips}})
	}
	blocks = append(blocks, ui.Split{Main: main, Side: []ui.Block{ui.Section{Title: "From Giacom", Blocks: []ui.Block{ui.Definitions{
		{Term: "Started by", Value: startedBy(r)}, {Term: "Began", Value: ui.When(r.GetStartTime())}, {Term: "Took", Value: took(r, v.now())},
		{Term: "Subscriptions", Value: r.GetSubscriptions().GetSeen()}, {Term: "Found", Value: runFound(r)}, {Term: "Requests", Value: r.GetRequests()},
		{Term: "As of", Value: ui.When(x.GetTime())},
	}}}}})
	changes := ui.Table{
		Caption: "Changes of the run", Columns: []ui.Column{{Title: "What", Wide: true}, {Title: "When"}, {Title: "Outcome"}, {Title: "What changed"}, {Title: "A month, ex VAT", Num: true}, {Title: "Who"}},
		Empty: ui.Empty{Title: "No changes", Text: "Halo was in step already, or nothing may be written to it."},
	}
	for _, c := range x.GetChanges() {
		changes.Rows = append(changes.Rows, changeRow(v, c))
	}
	list := ui.Section{Title: "Change by change", Blocks: []ui.Block{changes}}
	if x.GetTruncated() {
		list.Lead = fmt.Sprintf("The first %d. The files have all of them, and the change log can be searched.", shownChanges)
		list.Actions = []ui.Button{{Label: "In the change log", Href: v.at("/changes?run=" + r.GetId()), Small: true}}
	}
	return v.show(header, append(blocks, list)...)
}
