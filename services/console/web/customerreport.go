package web

import (
	"context"
	"errors"
	"io"

	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// readCustomerImport of the connection at hand.
func (v *visit) readCustomerImport() (*mappingv1.CustomerImport, error) {
	p, err := v.Mappings().GetCustomerImportReport(v.ctx(), &mappingv1.GetCustomerImportReportRequest{Id: v.param("import")})
	if err != nil {
		return nil, err
	}
	if p.GetConnection() != v.connection.GetSlug() {
		return nil, notOfConnection("import", p.GetId(), v.connection.GetSlug())
	}
	return p, nil
}

// showCustomerReport is an import under way, or its report.
func showCustomerReport(v *visit) error {
	p, err := v.readCustomerImport()
	if err != nil {
		return err
	}
	header := ui.Header{Title: "Import of customers, " + ui.DateTime(p.GetStartTime().AsTime()), Crumbs: []ui.Link{{Text: "Imports", Href: v.at("/imports")}, {Text: "Customers", Href: v.at("/imports/customers/past")}}}
	at := v.at("/imports/customers/" + p.GetId())
	header.Actions = []ui.Button{{Label: "Download CSV", Href: at + "/file?format=csv"}, {Label: "Download JSON", Href: at + "/file?format=json"}}
	if p.GetEndTime() == nil {
		return v.show(header, ui.Live{URL: at + "/live", Blocks: v.customerReport(p)})
	}
	return v.show(header, v.customerReport(p)...)
}

func streamCustomerReport(v *visit) error {
	if _, err := v.readCustomerImport(); err != nil {
		return err
	}
	watch, err := v.Mappings().WatchCustomerImport(v.ctx(), &mappingv1.GetCustomerImportReportRequest{Id: v.param("import")})
	if err != nil {
		return err
	}
	return v.stream(func(context.Context) error { return nil }, func(context.Context) ([]ui.Block, bool, error) {
		p, err := watch.Recv()
		if err == nil && p.GetEndTime() == nil {
			return v.customerReport(p), false, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, true, err
		}
		whole, err := v.readCustomerImport() // the end, with its rows
		if err != nil {
			return nil, true, err
		}
		return v.customerReport(whole), true, nil
	})
}

// customerReport is how far an import is, what came of it, and its rows where they were read.
func (v *visit) customerReport(p *mappingv1.CustomerImport) []ui.Block {
	var blocks []ui.Block
	if p.GetEndTime() == nil {
		blocks = append(blocks, ui.Section{Title: "Under way", Blocks: importStages(p)})
	} else {
		tone, text := ui.Good, "Everything that was to be done is done."
		next := ""
		switch {
		case p.GetFailed() > 0:
			tone, text, next = ui.Bad, "Halo refused "+ui.Plural(int64(p.GetFailed()), "customer", "customers")+".", "The list says why. Mend the cause and import again; what is done stays done."
		case p.GetWaiting() > 0:
			tone, text = ui.Warn, ui.Plural(int64(p.GetWaiting()), "customer waits", "customers wait")+" for something or somebody; it goes on by itself once that is there."
		case p.GetAsk() > 0:
			tone, text, next = ui.Info, ui.Plural(int64(p.GetAsk()), "question was", "questions were")+" left open.", "Import again to answer them."
		}
		blocks = append(blocks, ui.Notice{Tone: tone, Title: "The import has ended", Text: text, Next: next})
	}
	blocks = append(blocks, ui.Tiles{
		{Label: "Created", Value: p.GetCreated(), Note: ofPlanned(p.GetCreate())}, {Label: "Updated", Value: p.GetUpdated(), Note: ofPlanned(p.GetUpdate())}, {Label: "Linked", Value: p.GetLinked(), Note: ofPlanned(p.GetLink())},
		{Label: "Failed", Value: p.GetFailed(), Tone: toneIf(p.GetFailed() > 0, ui.Bad)}, {Label: "Waiting", Value: p.GetWaiting(), Tone: toneIf(p.GetWaiting() > 0, ui.Warn)}, {Label: "Skipped", Value: p.GetSkip() + p.GetAsk()},
	}, ui.Section{Blocks: []ui.Block{ui.Definitions{
		{Term: "Started by", Value: p.GetWho()}, {Term: "Began", Value: ui.When(p.GetStartTime())}, {Term: "Ended", Value: ui.When(p.GetEndTime())}, {Term: "Created under", Value: topLevelName(nil, p.GetTopLevelId())}, {Term: "Needed nothing", Value: ui.Plural(int64(p.GetUnchanged()), "customer", "customers")},
	}}})
	l := v.listing()
	l.path = v.at("/imports/customers/" + p.GetId())
	return append(blocks, v.importRows(l, p.GetRows(), true)...)
}

func ofPlanned(n int32) any { return "of " + ui.Count(int64(n)) }

// importStages is a bar for each stage that has something to do.
func importStages(p *mappingv1.CustomerImport) []ui.Block {
	var out []ui.Block
	for _, s := range []struct {
		label       string
		done, total int32
	}{{"Link to Halo’s customers", p.GetLinked(), p.GetLink()}, {"Create in Halo", p.GetCreated(), p.GetCreate()}, {"Update names", p.GetUpdated(), p.GetUpdate()}} {
		if s.total > 0 {
			out = append(out, ui.Progress{Label: s.label, Done: int64(s.done), Total: int64(s.total)})
		}
	}
	return out
}

func downloadCustomerReport(v *visit) error {
	if _, err := v.readCustomerImport(); err != nil {
		return err
	}
	format := mappingv1.FileFormat_FILE_FORMAT_CSV
	if v.query("format") == "json" {
		format = mappingv1.FileFormat_FILE_FORMAT_JSON
	}
	f, err := v.Mappings().GetCustomerImportFile(v.ctx(), &mappingv1.GetCustomerImportFileRequest{Id: v.param("import"), Format: format})
	if err != nil {
		return err
	}
	return v.download(f.GetName(), f.GetContentType(), f.GetContent())
}
