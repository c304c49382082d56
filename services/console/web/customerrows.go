package web

import (
	"cmp"
	"slices"
	"strconv"

	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// importRows lists the customers of an import, by what is done with them, one page at a time.
func (v *visit) importRows(l *listing, rows []*mappingv1.CustomerImportRow, report bool) []ui.Block {
	if len(rows) == 0 {
		return nil
	}
	show := l.value("show")
	counts := map[string]int{}
	var chosen []*mappingv1.CustomerImportRow
	for _, r := range rows {
		kinds := []string{importActions[r.GetAction()].word}
		if outcome := importOutcomes[r.GetOutcome()].word; report && outcome != "" {
			kinds = append(kinds, outcome)
		}
		for _, k := range kinds {
			counts[k]++
		}
		if show == "" || slices.Contains(kinds, show) {
			chosen = append(chosen, r)
		}
	}
	var tabs ui.Tabs
	for _, k := range [][2]string{{"", "All"}, {"failed", "Failed"}, {"waiting", "Waiting"}, {"create", "Create"}, {"update", "Update"}, {"link", "Link"}, {"ask", "Questions"}, {"skip", "Skip"}} {
		if n := counts[k[0]]; n > 0 || k[0] == "" {
			to := l.path
			if k[0] != "" {
				to += "?show=" + k[0]
			} else {
				n = len(rows)
			}
			tabs = append(tabs, ui.Tab{Title: k[1], Href: to, Count: n, Current: k[0] == show})
		}
	}
	from, until, pager := l.part(len(chosen))
	t := v.importTable(chosen[from:until], report)
	t.Pager = pager
	t.Empty = ui.Empty{Title: "Nothing found", Text: "No customer is among these."}
	return []ui.Block{tabs, t}
}

func (v *visit) importTable(rows []*mappingv1.CustomerImportRow, report bool) ui.Table {
	t := ui.Table{Caption: "Customers of the import", Columns: []ui.Column{{Title: "Giacom customer"}, {Title: "What"}, {Title: "Halo customer"}, {Title: "Why"}, {Title: "Subscriptions", Num: true}}}
	if report {
		t.Columns = slices.Insert(t.Columns, 2, ui.Column{Title: "Outcome"})
	}
	for _, r := range rows {
		row := ui.Row{Cells: []any{
			ui.Stack{Top: ui.Link{Text: cmp.Or(r.GetGiacomName(), r.GetMexId()), Href: v.ofCustomer(r.GetMexId(), "")}, Under: ui.Mono(r.GetMexId())},
			importActions[r.GetAction()].badge, v.importedTo(r), whyOf(r), r.GetSubscriptions(),
		}}
		if report {
			row.Cells = slices.Insert(row.Cells, 2, any(importOutcomes[r.GetOutcome()].badge))
		}
		if r.GetOutcome() == mappingv1.ImportOutcome_IMPORT_OUTCOME_FAILED {
			row.Tone = ui.Bad
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// importedTo is the Halo customer; where its name changes, from what to what.
func (v *visit) importedTo(r *mappingv1.CustomerImportRow) any {
	if r.GetAction() == mappingv1.ImportAction_IMPORT_ACTION_UPDATE {
		return ui.Stack{Top: ui.Change{Field: "name", Before: r.GetHaloClientName(), After: r.GetGiacomName()}, Under: ui.Sentence{"no. ", ui.Mono(strconv.FormatInt(r.GetHaloClientId(), 10))}}
	}
	if r.GetHaloClientId() == 0 {
		return nil
	}
	return v.inHalo(r.GetHaloClientId(), r.GetHaloClientName())
}

func whyOf(r *mappingv1.CustomerImportRow) any {
	if text := r.GetReason().GetText(); text != "" {
		return ui.Quiet{Value: text}
	}
	return nil
}

// wordAndBadge of what is done with a customer: the word is that of a list's address.
type wordAndBadge struct {
	word  string
	badge ui.Badge
}

var importActions = map[mappingv1.ImportAction]wordAndBadge{
	mappingv1.ImportAction_IMPORT_ACTION_CREATE: {"create", ui.Badge{Text: "Create", Tone: ui.Good}},
	mappingv1.ImportAction_IMPORT_ACTION_UPDATE: {"update", ui.Badge{Text: "Update", Tone: ui.Info}},
	mappingv1.ImportAction_IMPORT_ACTION_LINK:   {"link", ui.Badge{Text: "Link", Tone: ui.Info}},
	mappingv1.ImportAction_IMPORT_ACTION_ASK:    {"ask", ui.Badge{Text: "Link or create?", Tone: ui.Warn}},
	mappingv1.ImportAction_IMPORT_ACTION_SKIP:   {"skip", ui.Badge{Text: "Skip", Tone: ui.Muted}},
}

// importOutcomes have a word where a list of their own is of use.
var importOutcomes = map[mappingv1.ImportOutcome]wordAndBadge{
	mappingv1.ImportOutcome_IMPORT_OUTCOME_PENDING: {"", ui.Badge{Text: "Under way", Tone: ui.Busy}},
	mappingv1.ImportOutcome_IMPORT_OUTCOME_DONE:    {"", ui.Badge{Text: "Done", Tone: ui.Good}},
	mappingv1.ImportOutcome_IMPORT_OUTCOME_FAILED:  {"failed", ui.Badge{Text: "Failed", Tone: ui.Bad, Title: "Halo said no"}},
	mappingv1.ImportOutcome_IMPORT_OUTCOME_WAITING: {"waiting", ui.Badge{Text: "Waits", Tone: ui.Warn, Title: "Happens by itself once what it waits for is there"}},
	mappingv1.ImportOutcome_IMPORT_OUTCOME_SKIPPED: {"", ui.Badge{Text: "Skipped", Tone: ui.Muted}},
}

// showCustomerImports lists those that were, the newest first.
func showCustomerImports(v *visit) error {
	l := v.listing()
	l.and("connection = " + quote(v.connection.GetSlug()))
	who := ui.Field{Name: "who", Label: "Who", Value: l.value("who"), Placeholder: "Name or part of it"}
	if who.Value != "" {
		l.and("who : " + quote(who.Value))
	}
	resp, err := v.Mappings().ListCustomerImports(v.ctx(), &mappingv1.ListCustomerImportsRequest{PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: l.order()})
	if err != nil {
		return err
	}
	t := v.customerImportsTable(resp.GetImports())
	t.Columns[0], t.Columns[1] = l.sorted(t.Columns[0], "start_time"), l.sorted(t.Columns[1], "who")
	t.Pager = l.pager(resp.GetNextPageToken(), len(resp.GetImports()))
	return v.show(ui.Header{Title: "Imports of customers", Crumbs: []ui.Link{{Text: "Imports", Href: v.at("/imports")}}}, l.form(who), t)
}

func (v *visit) customerImportsTable(all []*mappingv1.CustomerImport) ui.Table {
	t := ui.Table{
		Caption: "Imports of customers, the newest first",
		Columns: []ui.Column{{Title: "Started"}, {Title: "By"}, {Title: "Outcome"}, {Title: "Created", Num: true}, {Title: "Updated", Num: true}, {Title: "Linked", Num: true}, {Title: "Skipped", Num: true}, {Title: "Failed", Num: true}, {Title: "Waiting", Num: true}},
		Empty:   ui.Empty{Title: "No imports yet", Text: "Each import leaves its report here."},
	}
	for _, p := range all {
		outcome := ui.Badge{Text: "Ended", Tone: ui.Good}
		switch {
		case p.GetEndTime() == nil:
			outcome = ui.Badge{Text: "Under way", Tone: ui.Busy}
		case p.GetFailed() > 0:
			outcome = ui.Badge{Text: "Some failed", Tone: ui.Bad}
		case p.GetWaiting() > 0:
			outcome = ui.Badge{Text: "Some wait", Tone: ui.Warn}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Link{Text: ui.DateTime(p.GetStartTime().AsTime()), Href: v.at("/imports/customers/" + p.GetId())}, p.GetWho(), outcome,
			p.GetCreated(), p.GetUpdated(), p.GetLinked(), p.GetSkip() + p.GetAsk(), p.GetFailed(), p.GetWaiting()}})
	}
	return t
}
