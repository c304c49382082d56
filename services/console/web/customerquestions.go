package web

import (
	"strconv"
	"strings"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

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
