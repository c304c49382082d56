package web

import (
	"context"
	"slices"
	"time"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/ui"
	"seatline.dev/services/settled"
)

// showSubscriptionImport says what an import brings with the connection's method, and leads to its preview.
func showSubscriptionImport(v *visit) error {
	header := ui.Header{Title: "Import subscriptions", Crumbs: []ui.Link{{Text: "Imports", Href: v.at("/imports")}}, Badges: []ui.Badge{modeBadge(v.connection)},
		Lead: "Reads the subscriptions of all customers from Giacom. Those of customers that are mapped become licences in Halo, and invoice lines follow."}
	if v.operator() {
		header.Actions = []ui.Button{{Label: "Show what it would do", Href: v.at("/imports/subscriptions/preview"), Kind: "primary"}}
	}
	resp, err := v.Runs().ListRuns(v.ctx(), &runv1.ListRunsRequest{PageSize: lately, Filter: "connection = " + quote(v.connection.GetSlug()) + ` AND trigger = "manual"`, OrderBy: "start_time desc"})
	if err != nil {
		return err
	}
	past := v.subscriptionImportsTable(resp.GetRuns())
	if resp.GetNextPageToken() != "" {
		past.Pager.Next = v.at("/runs?trigger=manual")
	}
	return v.show(header,
		ui.Split{
			Main: []ui.Block{ui.Section{Title: "What is imported", Lead: methodLead(v.connection.GetGiacom()), Blocks: []ui.Block{importedFields(v.connection.GetGiacom()), ui.Paragraph{Text: ui.Quiet{Value: ui.Sentence{"Subscriptions have other ids in the other method. Here licences are carried over when ", ui.Link{Text: "the method is changed", Href: v.at("/method")}, "; they are not created a second time."}}}}}},
			Side: []ui.Block{ui.Section{Title: "In steps", Blocks: []ui.Block{ui.Steps{
				{Title: "Look", Text: "The preview reads Giacom and changes nothing."}, {Title: "Import", Text: "With progress, stage by stage."}, {Title: "Report", Text: "What came of it, to be kept and downloaded."},
			}}}},
		},
		ui.Section{Title: "Imports by hand", Blocks: []ui.Block{past}})
}

// methodLead says what a method reads, in the guide's words where it has some.
func methodLead(g *connectionv1.Giacom) string {
	if g.GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		return "With version 2 of Giacom’s API, all subscriptions are read."
	}
	switch g.GetMethod() {
	case connectionv1.ImportMethod_IMPORT_METHOD_REPORT:
		return "The method is subscriptionsmanagementreport: Microsoft subscriptions only."
	case connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS:
		return "The method is subscriptions: all subscriptions in Giacom, without end date, term and status."
	}
	return "Both methods are used: the subscriptionsmanagementreport for Microsoft, and subscriptions for everything else."
}

func importedFields(g *connectionv1.Giacom) ui.Definitions {
	both := "Yes"
	reported := "Yes"
	switch {
	case g.GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 || g.GetMethod() == connectionv1.ImportMethod_IMPORT_METHOD_REPORT:
	case g.GetMethod() == connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS:
		reported = "No: the method does not tell it"
	default:
		reported = "For Microsoft"
	}
	return ui.Definitions{
		{Term: "Quantity", Value: both}, {Term: "Purchase price", Value: both}, {Term: "Start date", Value: both}, {Term: "End date", Value: reported}, {Term: "Billing cycle", Value: both}, {Term: "Term duration", Value: reported},
	}
}

func (v *visit) subscriptionImportsTable(runs []*runv1.Run) ui.Table {
	t := ui.Table{
		Caption: "Imports of subscriptions by hand, the newest first",
		Columns: []ui.Column{{Title: "Started"}, {Title: "By"}, {Title: "Outcome"}, {Title: "Took"}, {Title: "Seen", Num: true}, {Title: "New", Num: true}, {Title: "Changed", Num: true}, {Title: "Removed", Num: true}},
		Empty:   ui.Empty{Title: "No imports by hand yet", Text: "Each import leaves its report here; those of the schedule are among the runs."},
	}
	for _, r := range runs {
		if !r.GetImportSubscriptions() { // of customers only
			continue
		}
		s := r.GetSubscriptions()
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Link{Text: ui.DateTime(r.GetStartTime().AsTime()), Href: v.at("/imports/subscriptions/" + r.GetId())}, startedBy(r), ui.Outcome(r.GetOutcome()), took(r, v.now()),
			s.GetSeen(), s.GetNew(), s.GetChanged(), s.GetRemoved()}})
	}
	return t
}

func startSubscriptionImport(v *visit) error {
	r, err := v.Runs().StartRun(v.ctx(), &runv1.StartRunRequest{Connection: v.connection.GetSlug(), Subscriptions: true})
	if err != nil {
		return err
	}
	return v.done(v.at("/imports/subscriptions/" + r.GetId()))
}

// streamEvery is how often a page looks how far an import is.
const streamEvery = 700 * time.Millisecond

// showSubscriptionReport is an import under way, stage by stage, and then its report.
func showSubscriptionReport(v *visit) error {
	r, err := v.readRun()
	if err != nil {
		return err
	}
	at := v.at("/imports/subscriptions/" + r.GetId())
	header := ui.Header{Title: "Import of subscriptions, " + ui.DateTime(r.GetStartTime().AsTime()), Crumbs: []ui.Link{{Text: "Imports", Href: v.at("/imports")}, {Text: "Subscriptions", Href: v.at("/imports/subscriptions")}},
		Actions: []ui.Button{{Label: "Download CSV", Href: at + "/file?format=csv"}, {Label: "Download JSON", Href: at + "/file?format=json"}}}
	blocks, last, err := v.subscriptionReport(v.ctx(), r)
	if err != nil {
		return err
	}
	if last {
		return v.show(header, blocks...)
	}
	return v.show(header, ui.Live{URL: at + "/live", Blocks: blocks})
}

func streamSubscriptionReport(v *visit) error {
	if _, err := v.readRun(); err != nil {
		return err
	}
	return v.stream(every(streamEvery), func(ctx context.Context) ([]ui.Block, bool, error) {
		r, err := v.readRun()
		if err != nil {
			return nil, true, err
		}
		return v.subscriptionReport(ctx, r)
	})
}

// imported tells of an outcome that passes on what was found.
func imported(o runv1.Outcome) bool {
	return o == runv1.Outcome_OUTCOME_SUCCEEDED || o == runv1.Outcome_OUTCOME_INCOMPLETE
}

// subscriptionReport is how far an import is; last says that nothing more comes by itself.
func (v *visit) subscriptionReport(ctx context.Context, r *runv1.Run) (blocks []ui.Block, last bool, err error) {
	if !imported(r.GetOutcome()) {
		return v.runBlocks(r), finished(r), nil
	}
	stages, last := v.afterRun(ctx)
	report, err := v.Integrator().GetRunReport(ctx, &runv1.GetRunReportRequest{Id: r.GetId(), Limit: shownChanges}) // once all is at rest, all of it
	if err != nil {
		return nil, true, err
	}
	if !last {
		blocks = append(blocks, stages)
	}
	if missing := silentNotice(report.GetUnknown()); missing != nil {
		blocks = append(blocks, *missing)
	}
	blocks = append(blocks, ui.Section{Title: "What came of it in Halo", Lead: reportLead(v.connection, last), Blocks: []ui.Block{changeCounts(report.GetCounts())}})
	if len(report.GetSkips()) > 0 {
		blocks = append(blocks, ui.Section{Title: "Subscriptions that are billed to nobody", Blocks: []ui.Block{v.skipsTable(report.GetSkips())}})
	}
	blocks = append(blocks, v.runBlocks(r)...)
	if len(report.GetChanges()) > 0 {
		blocks = append(blocks, v.reportedChanges(report))
	}
	return blocks, last, nil
}

func reportLead(c *connectionv1.Connection, last bool) string {
	switch {
	case !last:
		return "So far; it goes on."
	case c.GetMode() == connectionv1.Mode_MODE_OBSERVE:
		return "The connection observes: nothing was written to Halo. The plan shows what would be."
	}
	return "Everything that could happen by itself has happened. What waits for a person is in the plan."
}

// afterRun is how far the services are that follow the fetcher, and whether everything is at rest.
func (v *visit) afterRun(ctx context.Context) (ui.Block, bool) {
	all, rest, _ := settled.Now(ctx, v.progress)
	var bars []ui.Block
	for _, w := range v.Writers() {
		at := slices.IndexFunc(all, func(p *opsv1.Progress) bool { return p.GetService() == w.Service })
		if at < 0 { // the report says which service does not answer
			continue
		}
		bar := ui.Progress{Label: stageOf(w.Kind), Note: settled.Busy(all[at])}
		for _, c := range all[at].GetItems() {
			if c.GetKind() != w.Kind {
				continue
			}
			bar.Total += c.GetCount()
			if s := c.GetState(); s != itemv1.State_STATE_PENDING && s != itemv1.State_STATE_APPLYING {
				bar.Done += c.GetCount()
			}
		}
		if bar.Note != "" || bar.Total != 0 { // nothing of that kind: not a bar that runs for ever
			bars = append(bars, bar)
		}
	}
	return ui.Section{Title: "Passing it on", Blocks: bars}, rest
}

// progress asks the fetcher, which may not have published yet what it found, and those who follow it how far they are. Who
// does not answer is left out.
func (v *visit) progress(ctx context.Context) (all []*opsv1.Progress, err error) {
	followed := []opsv1.OpsServiceClient{opsv1.NewOpsServiceClient(v.Fetcher)}
	for _, w := range v.Writers() {
		followed = append(followed, w.Ops)
	}
	for _, ops := range followed {
		if p, err := ops.GetProgress(ctx, &opsv1.GetProgressRequest{Connection: v.connection.GetSlug()}); err == nil {
			all = append(all, p)
		}
	}
	return all, ctx.Err()
}

func stageOf(kind string) string {
	switch kind {
	case "customer":
		return "Customers: mapped or created"
	case "licence":
		return "Licences: as they should be, or waiting"
	}
	return "Invoice lines: as they should be, or waiting"
}
