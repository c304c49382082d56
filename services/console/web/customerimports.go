package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// showCustomerImport is the preview: what an import would create, update, link and skip, and what it asks.
func showCustomerImport(v *visit) error {
	p, err := v.Mappings().GetCustomerImport(v.ctx(), &mappingv1.ImportCustomersRequest{Connection: v.connection.GetSlug()})
	if err != nil {
		return v.noCustomerImport(err)
	}
	return v.customerPreview(http.StatusOK, p, p, nil, nil)
}

// noCustomerImport says why there is no preview; an import that cannot be planned is no broken page.
func (v *visit) noCustomerImport(err error) error {
	e, known := rpc.ErrorFrom(err)
	if !known {
		return err
	}
	return v.showAs(httpStatus(e.Code), customerImportHeader(v), *refusal(err))
}

func customerImportHeader(v *visit) ui.Header {
	return ui.Header{Title: "Import customers", Crumbs: []ui.Link{{Text: "Imports", Href: v.at("/imports")}},
		Lead: "Every Giacom customer that Halo lacks is created there. Nothing happens until you say so; this is what would."}
}

// answers to the questions of a preview, by Giacom's id: "create", "skip", "link:12", or "" for none.
type answers map[string]string

const answerPrefix = "answer."

func (v *visit) answers() answers {
	out := answers{}
	for name, values := range v.r.PostForm {
		if id, ok := strings.CutPrefix(name, answerPrefix); ok && len(values) > 0 && values[0] != "" {
			out[id] = values[0]
		}
	}
	return out
}

func (a answers) request(connection string) (*mappingv1.ImportCustomersRequest, error) {
	req := &mappingv1.ImportCustomersRequest{Connection: connection}
	for id, said := range a {
		answer := &mappingv1.ImportAnswer{MexId: id}
		link, isLink := strings.CutPrefix(said, "link:")
		switch {
		case said == "create":
			answer.Answer = &mappingv1.ImportAnswer_Create{Create: true}
		case said == "skip":
			answer.Answer = &mappingv1.ImportAnswer_Skip{Skip: true}
		default:
			n, err := strconv.ParseInt(link, 10, 64)
			if err != nil || !isLink {
				return nil, rpc.InvalidArgument(answerPrefix+id, "%q is no answer", said).Do("choose one from the list")
			}
			answer.Answer = &mappingv1.ImportAnswer_Link{Link: n}
		}
		req.Answers = append(req.Answers, answer)
	}
	return req, nil
}

// customerPreview draws a preview p, with what was answered before. plain is the preview without answers,
// whose questions have all their candidates: an answer may be changed again.
func (v *visit) customerPreview(status int, p, plain *mappingv1.CustomerImport, given answers, notice *ui.Notice) error {
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	if p.GetBlocked() != nil {
		blocks = append(blocks, ui.Notice{Tone: ui.Warn, Title: "This is a preview only", Text: p.GetBlocked().GetText()})
	}
	blocks = append(blocks, ui.Tiles{
		{Label: "Would be created", Value: p.GetCreate(), Note: v.underTopLevel(p)}, {Label: "Would be updated", Value: p.GetUpdate(), Note: "their name"}, {Label: "Would be linked", Value: p.GetLink(), Note: "to customers Halo has"},
		{Label: "Questions", Value: p.GetAsk(), Note: "link or create?", Tone: toneIf(p.GetAsk() > 0, ui.Warn)}, {Label: "Skipped", Value: p.GetSkip()}, {Label: "Need nothing", Value: p.GetUnchanged(), Note: "mapped already"},
	})
	if v.operator() {
		blocks = append(blocks, v.customerQuestions(p, plain, given))
	}
	l := v.listing()
	l.path = v.at("/imports/customers")
	if status != http.StatusOK || given != nil { // an answer to a form has no address to page through
		return v.showAs(status, customerImportHeader(v), append(blocks, v.answeredRows(p, given)...)...)
	}
	return v.show(customerImportHeader(v), append(blocks, v.importRows(l, p.GetRows(), false)...)...)
}

func (v *visit) underTopLevel(p *mappingv1.CustomerImport) any {
	text := "under Halo’s default top level"
	if id := p.GetTopLevelId(); id != 0 {
		text = "under top level " + strconv.FormatInt(id, 10)
	}
	return text
}

// customerQuestions is the form that starts an import: with a question for each near match.
func (v *visit) customerQuestions(p, plain *mappingv1.CustomerImport, given answers) ui.Block {
	form := ui.Form{Action: v.at("/imports/customers"), Cancel: v.at("/imports")}
	hidden := []ui.Field{{Name: "etag", Kind: "hidden", Value: p.GetEtag()}}
	var questions []ui.Field
	asked := map[string]bool{}
	for _, r := range plain.GetRows() {
		if r.GetAction() == mappingv1.ImportAction_IMPORT_ACTION_ASK {
			asked[r.GetMexId()] = true
			questions = append(questions, customerQuestion(r, given[r.GetMexId()]))
		}
	}
	for id, said := range given { // answered, and asked no longer: it goes along all the same
		if !asked[id] {
			hidden = append(hidden, ui.Field{Name: answerPrefix + id, Kind: "hidden", Value: said})
		}
	}
	n := int64(p.GetCreate() + p.GetUpdate() + p.GetLink())
	section := ui.Section{Title: "Start the import"}
	form.Groups = []ui.Group{{Fields: hidden}}
	if len(questions) > 0 {
		section.Title = "Link or create?"
		section.Lead = "These look like customers that Halo has. Without an answer they are left as they are, and asked again the next time. To link one to a Halo customer that is not in its list, map it first."
		form.Groups = append(form.Groups, ui.Group{Fields: questions})
		form.Others = []ui.Submit{{Label: "Show what that would do", Name: "do", Value: "preview"}}
	}
	switch {
	case p.GetBlocked() != nil && len(questions) == 0:
		section.Lead = "It can be started once that is changed."
	case p.GetBlocked() == nil && n > 0:
		form.Submit = "Import " + ui.Plural(n, "customer", "customers")
	case len(questions) == 0:
		section.Title, section.Lead = "Nothing to import", "Every customer that Giacom has is in Halo, or is left out on purpose."
		form.Cancel = ""
		section.Actions = []ui.Button{{Label: "Read Giacom’s customers now", Href: v.at("/runs"), Post: true, Send: []string{"customers", "1"}}}
		return section
	}
	section.Blocks = []ui.Block{form}
	return section
}

func customerQuestion(r *mappingv1.CustomerImportRow, said string) ui.Field {
	name := r.GetGiacomName()
	if name == "" {
		name = r.GetMexId()
	}
	options := []ui.Option{{Value: "", Label: "Not decided: leave it"}}
	for _, c := range r.GetCandidates() {
		options = append(options, ui.Option{Value: "link:" + strconv.FormatInt(c.GetHaloClientId(), 10), Label: "Link to “" + c.GetHaloClientName() + "” (no. " + strconv.FormatInt(c.GetHaloClientId(), 10) + ", " + strconv.Itoa(int(c.GetScore())) + " of 100)"})
	}
	options = append(options, ui.Option{Value: "create", Label: "Create another customer in Halo"}, ui.Option{Value: "skip", Label: "Skip it"})
	known := false
	for i := range options {
		options[i].Selected = options[i].Value == said
		known = known || options[i].Selected
	}
	if !known { // a link whose candidate is gone meanwhile is kept, to be refused with a reason
		options = append(options, ui.Option{Value: said, Label: "Link to no. " + strings.TrimPrefix(said, "link:"), Selected: true})
	}
	help := r.GetReason().GetText()
	if r.GetSubscriptions() > 0 {
		help = strings.TrimSpace(help + " " + ui.Plural(int64(r.GetSubscriptions()), "subscription waits.", "subscriptions wait."))
	}
	return ui.Field{Name: answerPrefix + r.GetMexId(), Label: name + " (" + r.GetMexId() + ")", Kind: "select", Options: options, Help: help}
}

// answeredRows is what the answers make of the customers they are about.
func (v *visit) answeredRows(p *mappingv1.CustomerImport, given answers) []ui.Block {
	var rows []*mappingv1.CustomerImportRow
	for _, r := range p.GetRows() {
		if given[r.GetMexId()] != "" {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return []ui.Block{ui.Section{Title: "What your answers do", Lead: "Everything else is as it was shown before.", Blocks: []ui.Block{v.importTable(rows, false)}}}
}

// startCustomerImport starts what was shown, or shows what other answers would do.
func startCustomerImport(v *visit) error {
	given := v.answers()
	req, err := given.request(v.connection.GetSlug())
	if err != nil {
		return err
	}
	again := func(status int, notice *ui.Notice) error {
		plain, err := v.Mappings().GetCustomerImport(v.ctx(), &mappingv1.ImportCustomersRequest{Connection: req.GetConnection()})
		if err != nil {
			return v.noCustomerImport(err)
		}
		p, err := v.Mappings().GetCustomerImport(v.ctx(), &mappingv1.ImportCustomersRequest{Connection: req.GetConnection(), Answers: req.GetAnswers()})
		if e, known := rpc.ErrorFrom(err); err != nil && known { // an answer cannot be carried out: it is asked again
			return v.customerPreview(httpStatus(e.Code), plain, plain, given, refusal(err))
		}
		if err != nil {
			return err
		}
		return v.customerPreview(status, p, plain, given, notice)
	}
	if v.form("do") == "preview" {
		return again(http.StatusOK, nil)
	}
	req.Etag = v.form("etag")
	var started *mappingv1.CustomerImport
	err = v.askHaloForAll(func(ctx context.Context) (err error) {
		started, err = v.Mappings().ImportCustomers(ctx, req)
		return err
	})
	if err != nil {
		e, known := rpc.ErrorFrom(err)
		if !known {
			return err
		}
		notice := refusal(err)
		if e.Code == codes.Aborted {
			notice.Title, notice.Text, notice.Next = "Look again first", "What the import would do is not what was shown: your answers, or something else, changed it. Nothing was imported.", "This is what it would do now. Start it if that is right."
		}
		return again(httpStatus(e.Code), notice)
	}
	return v.done(v.at("/imports/customers/" + started.GetId()))
}

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
