package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/console/web/ui"
	"seatline.dev/services/csvfile"
)

func showIntyReports(v *visit) error {
	l := v.listing()
	m, err := v.migration(v.ctx())
	if err != nil {
		return err
	}
	resp, err := v.Inty().ListReports(v.ctx(), &intyv1.ListReportsRequest{Connection: v.connection.GetSlug(), PageSize: pageSize, PageToken: l.token()})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Reports, the newest first", Columns: []ui.Column{{Title: "Written", Wide: true}, {Title: "By"}, {Title: "Left to do", Num: true}, {Title: "File"}},
		Empty: ui.Empty{Title: "No report yet", Text: "A report lists what was done and what is left. Write one whenever you like; each is kept."},
		Pager: l.pager(resp.GetNextPageToken(), len(resp.GetReports())),
	}
	for _, r := range resp.GetReports() {
		t.Rows = append(t.Rows, ui.Row{Cells: []any{
			ui.Link{Text: ui.DateTime(r.GetTime().AsTime()), Href: v.toReport(r)}, orNothing(r.GetWho()), int64(r.GetLeft()), ui.Link{Text: "CSV", Href: v.toReport(r) + "/csv"},
		}})
	}
	header := v.intyHeader("Reports", "What was done and what is left, as it was at the time.")
	if v.operator() {
		header.Actions = []ui.Button{{Label: "Write a report", Href: v.atInty("/reports"), Post: true, Kind: "primary"}}
	}
	return v.show(header, v.intyTabs(m), t)
}

func (v *visit) toReport(r *intyv1.Report) string {
	return v.atInty("/reports/" + strconv.FormatInt(r.GetId(), 10))
}

func writeIntyReport(v *visit) error {
	r, err := v.Inty().CreateReport(v.ctx(), v.migrationRequest())
	if err != nil {
		return err
	}
	return v.done(v.toReport(r))
}

func (v *visit) readReport() (*intyv1.Report, error) {
	id, err := strconv.ParseInt(v.param("report"), 10, 64)
	if err != nil || id <= 0 {
		return nil, rpc.NotFound("report", v.param("report")).Do("choose one of the list")
	}
	return v.Inty().GetReport(v.ctx(), &intyv1.GetReportRequest{Connection: v.connection.GetSlug(), Id: id})
}

func showIntyReport(v *visit) error {
	r, err := v.readReport()
	if err != nil {
		return err
	}
	l := v.listing()
	search := l.search("Search", "Customer, licence or line")
	kinds := []string{"", "Everything", "left", "What is left"}
	for _, x := range r.GetRows() {
		if !slices.Contains(kinds, "is "+x.GetKind()) {
			kinds = append(kinds, "is "+x.GetKind(), sentence(x.GetKind()))
		}
	}
	show := l.choice("show", "Show", "", kinds...)
	var rows []*intyv1.ReportRow
	for _, x := range r.GetRows() {
		wanted := l.values.Get("show")
		if (wanted == "" || wanted == "left" && x.GetNext() != "" || wanted == "is "+x.GetKind()) && allWords(search.Value, x.GetCustomer(), x.GetWhat(), strconv.FormatInt(x.GetInvoiceId(), 10)) {
			rows = append(rows, x)
		}
	}
	page, next := cut(l, rows)
	t := ui.Table{
		Caption: "Report", Columns: []ui.Column{{Title: "What", Wide: true}, {Title: "Kind"}, {Title: "Why"}, {Title: "What to do"}},
		Empty: ui.Empty{Title: "Nothing found", Text: "No row of the report matches what you asked for.", Actions: []ui.Button{{Label: "Show all", Href: v.toReport(r)}}},
		Pager: l.pager(next, len(page)),
	}
	for _, x := range page {
		under := x.GetCustomer()
		if x.GetInvoiceId() != 0 {
			under += " · " + invoiceNo(x.GetInvoiceId())
		}
		row := ui.Row{Cells: []any{ui.Stack{Top: x.GetWhat(), Under: under}, sentence(x.GetKind()), ui.Quiet{Value: x.GetWhy()}, orNothing(x.GetNext())}}
		if x.GetNext() != "" {
			row.Tone = ui.Warn
		}
		t.Rows = append(t.Rows, row)
	}
	header := v.intyHeader("Report of "+ui.DateTime(r.GetTime().AsTime()), nil, ui.Button{Label: "Download as CSV", Href: v.toReport(r) + "/csv"})
	header.Crumbs = append(header.Crumbs, ui.Link{Text: "Reports", Href: v.atInty("/reports")})
	verdict := ui.Notice{Tone: ui.Good, Text: "Nothing is left: everything that came from Inty is re-pointed, taken over, left alone by decision, or in the United States."}
	if r.GetLeft() > 0 {
		verdict = ui.Notice{Tone: ui.Warn, Text: ui.Plural(int64(r.GetLeft()), "row asks", "rows ask") + " for something.", Actions: []ui.Button{{Label: "Only what is left", Href: v.toReport(r) + "?show=left", Small: true}}}
	}
	return v.show(header, verdict, l.form(search, show), t)
}

// sendIntyReport is the report as a file, for spreadsheets.
func sendIntyReport(v *visit) error {
	r, err := v.readReport()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("inty-migration-%s-%d.csv", v.connection.GetSlug(), r.GetId())
	return v.download(name, csvfile.ContentType, []byte(r.GetCsv()))
}

// allWords tells whether each word of a search occurs in one of the texts, upper or lower case.
func allWords(search string, texts ...string) bool {
	all := strings.ToLower(strings.Join(texts, "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(search)) {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}
