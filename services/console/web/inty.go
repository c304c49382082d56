package web

import (
	"context"
	"net/http"
	"time"

	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/console/web/ui"
)

// intyPages lead through the move from Halo's Inty integration, in the order of Halo's guide.
func intyPages() []page {
	at := func(rest string) string { return ofConnection + "/inty" + rest }
	const title = "Inty migration"
	return []page{
		{path: at(""), title: title, nav: navInty, handle: showInty},
		{path: at("/live"), title: title, nav: navInty, handle: streamInty},
		{path: at("/refresh"), method: http.MethodPost, title: title, nav: navInty, handle: refreshInty},
		{path: at("/module"), method: http.MethodPost, title: title, nav: navInty, handle: checkIntyModule},
		{path: at("/save"), title: "Note the old mappings", nav: navInty, handle: askIntyFile},
		{path: at("/save"), method: http.MethodPost, title: "Note the old mappings", nav: navInty, handle: saveIntyMappings},
		{path: at("/mappings"), title: "Old mappings", nav: navInty, handle: showIntyMappings},
		{path: at("/mappings/accept"), title: "Accept all proposals", nav: navInty, handle: askIntyProposals},
		{path: at("/mappings/accept"), method: http.MethodPost, title: "Accept all proposals", nav: navInty, handle: acceptIntyProposals},
		{path: at("/mappings/map"), method: http.MethodPost, title: "Old mappings", nav: navInty, handle: mapIntyCustomer},
		{path: at("/where"), title: "Where customers are", nav: navInty, handle: showIntyWhere},
		{path: at("/where"), method: http.MethodPost, title: "Where customers are", nav: navInty, handle: answerInty},
		{path: at("/pairs"), title: "Licences of Inty's", nav: navInty, handle: showIntyPairs},
		{path: at("/pairs/{licence}"), title: "A licence of Inty's", nav: navInty, handle: showIntyPair},
		{path: at("/pairs/{licence}/live"), title: "A licence of Inty's", nav: navInty, handle: streamIntyPair},
		{path: at("/pairs/{licence}"), method: http.MethodPost, title: "A licence of Inty's", nav: navInty, handle: decideIntyPair},
		{path: at("/users"), title: "Lines that count users", nav: navInty, handle: showIntyUsers},
		{path: at("/preview"), title: "Preview", nav: navInty, handle: showIntyPreview},
		{path: at("/apply"), title: "Re-point the lines", nav: navInty, handle: askIntyApply},
		{path: at("/apply"), method: http.MethodPost, title: "Re-point the lines", nav: navInty, handle: applyInty},
		{path: at("/verify"), method: http.MethodPost, title: "Verify", nav: navInty, handle: verifyInty},
		{path: at("/undo"), title: "Undo the re-pointing", nav: navInty, handle: askIntyUndo},
		{path: at("/undo"), method: http.MethodPost, title: "Undo the re-pointing", nav: navInty, handle: undoInty},
		{path: at("/reports"), title: "Reports", nav: navInty, handle: showIntyReports},
		{path: at("/reports"), method: http.MethodPost, title: "Reports", nav: navInty, handle: writeIntyReport},
		{path: at("/reports/{report}"), title: "Report", nav: navInty, handle: showIntyReport},
		{path: at("/reports/{report}/csv"), title: "Report", nav: navInty, handle: sendIntyReport},
	}
}

// atInty is an address of the migration.
func (v *visit) atInty(rest string) string { return v.at("/inty" + rest) }

func (v *visit) migration(ctx context.Context) (*intyv1.Migration, error) {
	return v.Inty().GetMigration(ctx, v.migrationRequest())
}

func (v *visit) migrationRequest() *intyv1.MigrationRequest {
	return &intyv1.MigrationRequest{Connection: v.connection.GetSlug()}
}

// intyHeader is the head of the pages below the guided one.
func (v *visit) intyHeader(title string, lead any, actions ...ui.Button) ui.Header {
	return ui.Header{Title: title, Lead: lead, Crumbs: []ui.Link{{Text: "Inty migration", Href: v.atInty("")}}, Actions: actions}
}

// intyTabs are the views of the migration.
func (v *visit) intyTabs(m *intyv1.Migration) ui.Tabs {
	pairs := int64(0)
	for _, c := range m.GetPairs() {
		pairs += int64(c.GetCount())
	}
	tabs := ui.Tabs{
		{Title: "Steps", Href: v.atInty("")},
		{Title: "Old mappings", Href: v.atInty("/mappings"), Count: m.GetMappings()},
		{Title: "Where customers are", Href: v.atInty("/where"), Count: m.GetAsked()},
		{Title: "Licences and lines", Href: v.atInty("/pairs"), Count: pairs},
		{Title: "User counts", Href: v.atInty("/users")},
		{Title: "Preview", Href: v.atInty("/preview")},
		{Title: "Reports", Href: v.atInty("/reports")},
	}
	for i := range tabs {
		tabs[i].Current = tabs[i].Href == v.r.URL.Path
	}
	return tabs
}

// showInty is the guide: its steps, how each stands, and what to do next.
func showInty(v *visit) error {
	m, err := v.migration(v.ctx())
	if err != nil {
		return err
	}
	blocks, err := v.guide(v.ctx(), m)
	if err != nil {
		return err
	}
	return v.show(ui.Header{
		Title: "Inty migration",
		Lead:  "Giacom bought Inty. This moves your customers from Halo’s Inty integration to Giacom’s licences, in the order of Halo’s own guide. Every step can be repeated; nothing is written to your invoices before you have seen it.",
	}, v.intyTabs(m), ui.Live{URL: v.atInty("/live"), Blocks: blocks})
}

func streamInty(v *visit) error {
	return v.stream(every(2*time.Second), func(ctx context.Context) ([]ui.Block, bool, error) {
		m, err := v.migration(ctx)
		if err != nil {
			return nil, true, err
		}
		blocks, err := v.guide(ctx, m)
		return blocks, false, err
	})
}

func refreshInty(v *visit) error {
	if _, err := v.Inty().RefreshMigration(v.ctx(), v.migrationRequest()); err != nil {
		return err
	}
	return v.done(v.atInty(""), said("Halo was read for what Inty left."))
}

func checkIntyModule(v *visit) error {
	m, err := v.Inty().CheckModule(v.ctx(), v.migrationRequest())
	if err != nil {
		return err
	}
	if m.GetDone() {
		return v.done(v.atInty(""), said("The Inty module is cleared and disabled."))
	}
	return v.done(v.atInty(""), ui.Notice{Tone: ui.Warn, Title: "The Inty module is not cleared and disabled yet", Text: "What is left to do in Halo stands at step 2.", Next: "Do that in Halo, then have it checked again."})
}
