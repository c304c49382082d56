package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// download sends a file to be kept.
func (v *visit) download(name, contentType string, content []byte) error {
	h := v.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	_, err := v.w.Write(content)
	if err != nil { // they went away
		v.s.log.DebugContext(v.ctx(), "file not sent", "name", name, "err", err)
	}
	return nil
}

func downloadMappings(v *visit) error {
	l := v.listing()
	v.mappingTerms(l)
	f, err := v.Mappings().GetMappingsFile(v.ctx(), &mappingv1.GetMappingsFileRequest{Connection: v.connection.GetSlug(), Filter: l.filter()})
	if err != nil {
		return err
	}
	return v.download(f.GetName(), f.GetContentType(), f.GetContent())
}

func showMappingsFile(v *visit) error { return v.mappingsFilePage(http.StatusOK, "") }

// mappingsFilePage offers both directions; wrong is what is wrong with the file that was sent.
func (v *visit) mappingsFilePage(status int, wrong string, found ...ui.Block) error {
	blocks := append([]ui.Block{v.mappingTabs("CSV file", nil)}, found...)
	if v.operator() {
		blocks = append(blocks, ui.Section{Title: "From a file", Lead: "All of it is imported, or nothing: when a line is wrong, every wrong line is listed and no mapping changes.", Blocks: []ui.Block{ui.Form{
			Action: v.at("/mappings/file"), Upload: true, Submit: "Import", Others: []ui.Submit{{Label: "Only check it", Name: "check", Value: "1"}},
			Groups: ui.Fields(ui.Field{Name: "file", Label: "CSV file", Kind: "file", Required: true, Wide: true, Error: wrong, Help: "In UTF-8, at most 16 MB. What a file says is a person’s decision: no rule changes it again."}),
		}}})
	}
	blocks = append(blocks, ui.Section{Title: "To a file", Lead: "All customers with their mappings. Fill it in with a spreadsheet and send it back.",
		Actions: []ui.Button{{Label: "Download CSV", Href: v.at("/mappings/file/download")}}, Blocks: []ui.Block{ui.Definitions{
			{Term: "mex_id", Value: "Giacom’s id of the customer."},
			{Term: "halo_client_id", Value: "The number of the Halo customer;"},
			{Term: "halo_client_name", Value: "or its name, exactly as it is in Halo. With both, they must agree."},
			{Term: "ignore_reason", Value: "Instead of a Halo customer: ignore this one, and why."},
			{Term: "etag", Value: "Optional. With it, a line is refused when the mapping changed after the file was written."},
			{Term: "Others", Value: "Further columns are for people, and passed over; so are lines that say nothing about Halo."},
		}}})
	return v.showAs(status, ui.Header{Title: "Mappings as a CSV file", Lead: "Columns go by the names in the first line, in any order."}, blocks...)
}

func uploadMappings(v *visit) error {
	content, name, err := v.upload("file")
	if err != nil {
		return v.mappingsFilePage(http.StatusUnprocessableEntity, sentenceCase(err.Error())+".")
	}
	check := v.form("check") != ""
	var resp *mappingv1.ImportMappingsResponse
	err = v.askHaloForAll(func(ctx context.Context) (err error) {
		resp, err = v.Mappings().ImportMappings(ctx, &mappingv1.ImportMappingsRequest{Connection: v.connection.GetSlug(), Csv: content, ValidateOnly: check})
		return err
	})
	if err != nil {
		e, known := rpc.ErrorFrom(err)
		if !known {
			return err
		}
		return v.mappingsFilePage(httpStatus(e.Code), "", *refusal(err))
	}
	misspelt := ""
	if ids := resp.GetNotListed(); len(ids) > 0 {
		misspelt = " Giacom has not listed these customers so far, look whether they are misspelt: " + strings.Join(ids, ", ") + "."
	}
	changed, same := ui.Plural(int64(resp.GetImported()), "mapping", "mappings"), ui.Count(int64(resp.GetUnchanged()))
	switch {
	case len(resp.GetErrors()) > 0:
		return v.mappingsFilePage(http.StatusUnprocessableEntity, "", faultsOf(name, resp.GetErrors())...)
	case check:
		return v.mappingsFilePage(http.StatusOK, "", ui.Notice{Tone: ui.Good, Title: "The file is right", Text: fmt.Sprintf("%q would change %s and leave %s as they are. Nothing was imported yet.%s", name, changed, same, misspelt), Next: "Choose the file again and import it."})
	case resp.GetImported() == 0:
		return v.done(v.at("/mappings/file"), ui.Notice{Tone: ui.Info, Text: fmt.Sprintf("%q changes nothing: %s mappings are as it says.", name, same)})
	}
	return v.done(v.at("/mappings"), said(fmt.Sprintf("%s changed by %q; %s were so already.%s", changed, name, same, misspelt)))
}

// upload reads a file of a form.
func (v *visit) upload(field string) (content []byte, name string, err error) {
	file, header, err := v.r.FormFile(field)
	if errors.Is(err, http.ErrMissingFile) {
		return nil, "", errors.New("no file was chosen")
	}
	if err != nil {
		return nil, "", fmt.Errorf("the file did not come whole: %w", err)
	}
	defer file.Close()
	content, err = io.ReadAll(file)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("%q did not come whole: %w", header.Filename, err)
	case len(bytes.TrimSpace(content)) == 0:
		return nil, "", fmt.Errorf("%q is empty", header.Filename)
	}
	return content, header.Filename, nil
}

// maxFaults that are listed; whoever mends so many finds the others with the next try.
const maxFaults = 500

func faultsOf(name string, faults []*mappingv1.RowError) []ui.Block {
	t := ui.Table{Caption: "Lines at fault", Columns: []ui.Column{{Title: "Line"}, {Title: "What is wrong"}}}
	for _, f := range faults[:min(len(faults), maxFaults)] {
		t.Rows = append(t.Rows, ui.Row{Tone: ui.Bad, Cells: []any{f.GetLine(), f.GetText()}})
	}
	n := int64(len(faults))
	if n > maxFaults {
		t.Pager.Note = "The first " + ui.Count(maxFaults) + " of " + ui.Count(n)
	}
	return []ui.Block{
		ui.Notice{Tone: ui.Bad, Title: "Nothing was imported", Text: fmt.Sprintf("%q has %s that cannot be imported.", name, ui.Plural(n, "line", "lines")), Next: "Mend them and send the file again; the lines are counted from 1, with the names of the columns."},
		ui.Section{Title: "Lines at fault", Blocks: []ui.Block{t}},
	}
}
