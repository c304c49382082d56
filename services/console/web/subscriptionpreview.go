package web

import (
	"context"

	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/ui"
)

func previewHeader(v *visit) ui.Header {
	return ui.Header{Title: "What an import would do", Crumbs: []ui.Link{{Text: "Imports", Href: v.at("/imports")}, {Text: "Subscriptions", Href: v.at("/imports/subscriptions")}}}
}

// showSubscriptionPreview reads the account as an import would. That takes as long as an import, so the
// page is there at once and fills itself; ?wait=1 is for browsers without the script.
func showSubscriptionPreview(v *visit) error {
	if v.query("wait") != "" {
		x, err := v.subscriptionPreview(v.ctx())
		if err != nil {
			return err
		}
		return v.show(previewHeader(v), v.previewBlocks(x)...)
	}
	return v.show(previewHeader(v), ui.Live{URL: v.at("/imports/subscriptions/preview/live"), Blocks: []ui.Block{ui.Section{Blocks: []ui.Block{
		ui.Progress{Label: "Reading the account from Giacom"},
		ui.Paragraph{Text: ui.Quiet{Value: ui.Sentence{"Nothing is changed by that. It takes as long as an import; ", ui.Link{Text: "without the script, wait for it here", Href: v.at("/imports/subscriptions/preview?wait=1")}, "."}}},
	}}}})
}

func streamSubscriptionPreview(v *visit) error {
	return v.stream(func(context.Context) error { return nil }, func(ctx context.Context) ([]ui.Block, bool, error) {
		x, err := v.subscriptionPreview(ctx)
		if err != nil {
			return nil, true, err
		}
		return v.previewBlocks(x), true, nil
	})
}

// previewRows of each kind that a preview lists; its counts are exact.
const previewRows = 200

func (v *visit) subscriptionPreview(ctx context.Context) (*runv1.SubscriptionImport, error) {
	return v.Integrator().GetSubscriptionImport(ctx, &runv1.GetSubscriptionImportRequest{Connection: v.connection.GetSlug(), Limit: previewRows})
}

func (v *visit) previewBlocks(x *runv1.SubscriptionImport) []ui.Block {
	var blocks []ui.Block
	if !x.GetComplete() {
		blocks = append(blocks, ui.Notice{Tone: ui.Warn, Title: "Not everything came", Text: x.GetReason().GetText(), Next: "What did not come would not count as missing."})
	} else if x.GetReason().GetText() != "" {
		blocks = append(blocks, ui.Notice{Tone: ui.Warn, Title: "It would be held for a person", Text: x.GetReason().GetText()})
	}
	if missing := silentNotice(x.GetUnknown()); missing != nil {
		blocks = append(blocks, *missing)
	}
	blocks = append(blocks, ui.Tiles{
		{Label: "Would be created", Value: x.GetCreate(), Note: "or taken over, where Halo has them"}, {Label: "Would be updated", Value: x.GetUpdate()}, {Label: "Unchanged", Value: x.GetUnchanged()},
		{Label: "Skipped", Value: x.GetSkip(), Tone: toneIf(x.GetSkip() > 0, ui.Warn)}, {Label: "Missing", Value: x.GetMissing(), Note: "not proven gone"}, {Label: "Removed", Value: x.GetRemoved(), Note: "proven gone", Tone: toneIf(x.GetRemoved() > 0, ui.Warn)},
	})
	if n := x.GetBad(); n > 0 {
		blocks = append(blocks, ui.Notice{Tone: ui.Bad, Title: "Unreadable", Text: ui.Plural(n, "row names", "rows name") + " no customer, or cannot be read. They are not imported.", Next: "Ask Giacom about them."})
	}
	action := ui.Section{Title: "Start the import", Lead: x.GetNote()}
	switch {
	case !v.connection.GetEnabled():
		action.Title = "It cannot be started now"
	case v.operator():
		action.Actions = []ui.Button{{Label: "Import now", Href: v.at("/imports/subscriptions"), Post: true, Kind: "primary", Icon: "imports"}}
	}
	blocks = append(blocks, action)
	if len(x.GetSkips()) > 0 {
		blocks = append(blocks, ui.Section{Title: "What is skipped, and why", Blocks: []ui.Block{v.skipsTable(x.GetSkips())}})
	}
	return append(blocks, ui.Section{Title: "What would change", Blocks: []ui.Block{v.previewTable(x)}})
}

func (v *visit) previewTable(x *runv1.SubscriptionImport) ui.Table {
	t := ui.Table{
		Caption: "Subscriptions that the import would do something about",
		Columns: []ui.Column{{Title: "Subscription", Wide: true}, {Title: "What"}, {Title: "Giacom customer"}, {Title: "Halo customer"}, {Title: "Quantity"}, {Title: "Why"}},
		Empty:   ui.Empty{Title: "Nothing changes", Text: "Everything is in Halo as Giacom has it, as far as an import is concerned."},
	}
	for _, r := range x.GetRows() {
		why := any(nil)
		if text := r.GetReason().GetText(); text != "" {
			why = ui.Quiet{Value: text}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Stack{Top: r.GetName(), Under: ui.Mono(r.GetKey())}, importKinds[r.GetKind()], ui.Stack{Top: r.GetCustomerName(), Under: ui.Mono(r.GetMexId())}, r.GetHaloClientName(), quantityChange(r), why}})
	}
	if n := int64(len(x.GetRows())); n > 0 {
		t.Pager.Note = ui.Plural(n, "row", "rows") + "; of each kind at most " + ui.Count(previewRows) + " are listed, the figures above are exact"
	}
	return t
}

func quantityChange(r *runv1.ImportRow) any {
	if r.GetQuantityBefore() == "" || r.GetQuantityBefore() == r.GetQuantityAfter() {
		return r.GetQuantityAfter()
	}
	return ui.Change{Before: r.GetQuantityBefore(), After: r.GetQuantityAfter()}
}

var importKinds = map[runv1.ImportRow_Kind]ui.Badge{
	runv1.ImportRow_KIND_CREATE:  {Text: "Create", Tone: ui.Good},
	runv1.ImportRow_KIND_UPDATE:  {Text: "Update", Tone: ui.Info},
	runv1.ImportRow_KIND_SKIP:    {Text: "Skip", Tone: ui.Muted},
	runv1.ImportRow_KIND_REMOVED: {Text: "Removed", Tone: ui.Warn},
	runv1.ImportRow_KIND_MISSING: {Text: "Missing", Tone: ui.Warn, Title: "Not seen this time; not proven gone"},
}
