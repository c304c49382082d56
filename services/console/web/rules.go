package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/console/web/ui"
)

func rulesPages() []page {
	all := ofConnection + "/rules"
	return []page{
		{path: all, title: "Price rules", nav: navRules, handle: func(v *visit) error { return v.showRules(http.StatusOK, nil) }},
		{path: all, method: http.MethodPost, title: "Price rules", nav: navRules, handle: saveRules},
		{path: all + "/draft", method: http.MethodPost, title: "Price rules", nav: navRules, handle: changeDraft},
		{path: all + "/edit", title: "A price rule", nav: navRules, role: rpc.RoleOperator, handle: editRule},
		{path: all + "/edit", method: http.MethodPost, title: "A price rule", nav: navRules, handle: putRule},
	}
}

// showRules lists the rules that count; while somebody edits, their draft, and what it would change.
func (v *visit) showRules(status int, notice *ui.Notice) error {
	saved, draft, err := v.savedAndDraft()
	if err != nil {
		return err
	}
	header := ui.Header{Title: "Price rules", Lead: "What customers pay. The first rule that matches a licence decides; where none does, the line keeps its price. Prices are ex VAT."}
	if v.operator() {
		header.Actions = []ui.Button{{Label: "Add a rule", Href: v.at("/rules/edit"), Kind: "primary"}}
	}
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	shown, l := editable(saved, draft), v.listing()
	trial, err := v.Pricing().GetPriceRuleTrial(v.ctx(), &pricingv1.GetPriceRuleTrialRequest{Rules: shown, PageSize: pageSize, PageToken: l.token()})
	if err != nil { // the rules are shown all the same
		blocks = append(blocks, *ui.ErrorNotice(err))
	}
	if draft == nil {
		return v.showAs(status, header, append(blocks, ui.Section{Title: "The rules", Lead: setBy(saved), Blocks: []ui.Block{v.rulesTable(shown, trial)}})...)
	}
	if draft.GetEtag() != saved.GetEtag() {
		blocks = append(blocks, v.overtakenBy(saved))
	}
	header.Badges = []ui.Badge{{Text: "Draft", Tone: ui.Info, Title: "Only you see it until it is saved"}}
	if trial != nil {
		blocks = append(blocks, v.wouldChange(draft, saved, trial))
	}
	rules := ui.Section{Title: "Your draft", Lead: "Only you see it. It is kept until you save it, throw it away, or sign out.", Blocks: []ui.Block{v.rulesTable(shown, trial)}}
	blocks = append(blocks, rules)
	if trial != nil {
		blocks = append(blocks, triedLines(v, l, trial))
	}
	return v.showAs(status, header, blocks...)
}

func setBy(saved *pricingv1.PriceRules) any {
	if saved.GetUpdateTime() == nil {
		return "None were set yet: every line keeps its price, and no line is added."
	}
	return ui.Sentence{"Set by " + nameOr(saved.GetWho(), "somebody") + " on ", ui.When(saved.GetUpdateTime()), "."}
}

// overtakenBy shows who saved other rules since the draft was begun, and which.
func (v *visit) overtakenBy(saved *pricingv1.PriceRules) ui.Block {
	n := ui.Notice{Tone: ui.Warn, Title: "Somebody else changed the rules since you began",
		Text: fmt.Sprintf("%s saved others on %s. The rules as they are now:", nameOr(saved.GetWho(), "Somebody"), ui.DateTime(saved.GetUpdateTime().AsTime())),
		Next: "Either throw your draft away and edit theirs, or go on with yours: it is then compared with theirs, and saving it replaces them.",
		Actions: []ui.Button{
			{Label: "Throw my draft away", Href: v.at("/rules/draft"), Post: true, Send: []string{"do", "discard"}, Small: true},
			{Label: "Go on with mine", Href: v.at("/rules/draft"), Post: true, Send: []string{"do", "go-on", "etag", saved.GetEtag()}, Small: true},
		}}
	for i, r := range saved.GetRules() {
		n.Items = append(n.Items, fmt.Sprintf("%d. %s: %s, for %s", i+1, r.GetName(), priceWords(r), matchWords(r)))
	}
	if len(saved.GetRules()) == 0 {
		n.Items = []string{"There are none any more."}
	}
	return n
}

// wouldChange says in one sentence what saving the draft would do, and offers it.
func (v *visit) wouldChange(draft, saved *pricingv1.PriceRules, t *pricingv1.PriceRuleTrial) ui.Block {
	head := ui.Sentence{"Of " + ui.Plural(t.GetLines(), "line", "lines") + " " + ui.Count(t.GetChanged()) + " would change."}
	if moved := sums(t.GetDifference()); moved != nil && t.GetChanged() > 0 {
		head = ui.Sentence{"Of " + ui.Plural(t.GetLines(), "line", "lines") + " these " + ui.Count(t.GetChanged()) + " would change, by ", difference(t.GetBefore(), t.GetAfter()), " a month ex VAT."}
		if difference(t.GetBefore(), t.GetAfter()) == nil {
			head = ui.Sentence{"Of " + ui.Plural(t.GetLines(), "line", "lines") + " these " + ui.Count(t.GetChanged()) + " would change; what they bill stays the same."}
		}
	}
	s := ui.Section{Title: "What saving would change", Lead: head, Blocks: []ui.Block{ui.Tiles{
		{Label: "Lines that change", Value: t.GetChanged(), Note: "of " + ui.Count(t.GetLines())},
		{Label: "They bill with the saved rules", Value: sums(t.GetBefore()), Note: "a month, ex VAT"},
		{Label: "With your draft", Value: sums(t.GetAfter()), Note: "a month, ex VAT"},
	}}}
	if draft.GetEtag() == saved.GetEtag() {
		s.Actions = []ui.Button{
			{Label: "Save", Href: v.at("/rules"), Post: true, Kind: "primary", Send: []string{"etag", draft.GetEtag()}},
			{Label: "Throw it away", Href: v.at("/rules/draft"), Post: true, Send: []string{"do", "discard"}},
		}
	}
	if v.connection.GetMode() != connectionv1.Mode_MODE_AUTO {
		s.Blocks = append(s.Blocks, ui.Paragraph{Text: ui.Quiet{Value: "This connection observes: saved rules show in the plan, and nothing is written to Halo."}})
	}
	return s
}

// rulesTable in the order in which they are asked.
func (v *visit) rulesTable(rules *pricingv1.PriceRules, trial *pricingv1.PriceRuleTrial) ui.Table {
	t := ui.Table{
		Caption: "Price rules, in the order in which they are asked",
		Columns: []ui.Column{{Title: "Rule", Wide: true}, {Title: "Price"}, {Title: "Where no line bills it"}, {Title: "Decides", Num: true}},
		Empty:   ui.Empty{Title: "No price rule", Text: "Every line keeps its price, and a licence that is on no line is shown as not billed."},
	}
	if v.operator() {
		t.Columns = append(t.Columns, ui.Column{Title: "Change"})
		t.Empty.Actions = []ui.Button{{Label: "Add a rule", Href: v.at("/rules/edit"), Small: true}}
	}
	uses := map[string]int64{}
	for _, u := range trial.GetUses() {
		uses[u.GetName()] = u.GetLicences()
	}
	decides := func(name string) any {
		if trial == nil {
			return nil
		}
		return ui.Plural(uses[name], "licence", "licences")
	}
	for i, r := range rules.GetRules() {
		adds := any(ui.Quiet{Value: "it is shown"})
		if r.GetAddLine() != nil {
			adds = ui.Stack{Top: "a line is added", Under: addWords(r.GetAddLine())}
		}
		row := ui.Row{Cells: []any{ui.Stack{Top: fmt.Sprintf("%d. %s", i+1, r.GetName()), Under: "for " + matchWords(r)}, ui.Stack{Top: priceWords(r), Under: seatWords(r)}, adds, decides(r.GetName())}}
		if v.operator() {
			do := func(label, what string) ui.Button {
				return ui.Button{Label: label, For: r.GetName(), Href: v.at("/rules/draft"), Post: true, Send: []string{"do", what, "rule", r.GetName()}, Small: true}
			}
			actions := ui.Beside{ui.Button{Label: "Edit", For: r.GetName(), Href: v.asking("/rules/edit", "rule", r.GetName()), Small: true}}
			if i > 0 {
				actions = append(actions, do("Up", "up"))
			}
			if i < len(rules.GetRules())-1 {
				actions = append(actions, do("Down", "down"))
			}
			row.Cells = append(row.Cells, append(actions, do("Delete", "delete")))
		}
		t.Rows = append(t.Rows, row)
	}
	if n := uses[""]; n > 0 && len(t.Rows) > 0 {
		row := ui.Row{Cells: []any{ui.Quiet{Value: "No rule matches"}, ui.Quiet{Value: "the line’s price is kept"}, ui.Quiet{Value: "it is shown"}, decides("")}}
		if v.operator() {
			row.Cells = append(row.Cells, nil)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// triedLines are the lines that the draft would change.
func triedLines(v *visit, l *listing, trial *pricingv1.PriceRuleTrial) ui.Section {
	t := ui.Table{
		Caption: "Lines that would change",
		Columns: []ui.Column{{Title: "Line", Wide: true}, {Title: "Rule"}, {Title: "Price of one, ex VAT", Num: true}, {Title: "Quantity", Num: true}, {Title: "A month, ex VAT", Num: true}, {Title: "What stands against it", Wide: true}},
		Empty:   ui.Empty{Title: "No line would change", Text: "Everything is decided as it is with the saved rules."},
		Pager:   l.pager(trial.GetNextPageToken(), len(trial.GetRows())),
	}
	beforeAfter := func(before, after any) any {
		if fmt.Sprint(before) == fmt.Sprint(after) {
			return after
		}
		return ui.Stack{Top: after, Under: ui.Sentence{"was ", before}}
	}
	for _, x := range trial.GetRows() {
		row := ui.Row{}
		if x.GetReasonAfter() != nil && x.GetReasonBefore() == nil {
			row.Tone = ui.Warn
		}
		row.Cells = []any{
			ui.Stack{Top: ui.Link{Text: nameOr(x.GetDescription(), x.GetKey()), Href: v.toLine(x.GetKey())}, Under: x.GetCustomer()},
			beforeAfter(x.GetRuleBefore(), x.GetRuleAfter()), beforeAfter(each(x.GetUnitPriceBefore()), each(x.GetUnitPriceAfter())),
			beforeAfter(x.GetQuantityBefore(), x.GetQuantityAfter()), monthly(x.GetMonthlyBefore(), x.GetMonthlyAfter()), ui.Quiet{Value: x.GetReasonAfter().GetText()},
		}
		t.Rows = append(t.Rows, row)
	}
	return ui.Section{Title: "Line by line", Lead: "Each with what it would be, and below what it is with the saved rules.", Blocks: []ui.Block{t}}
}

// saveRules replaces the rules by the draft, unless somebody was there before.
func saveRules(v *visit) error {
	_, draft, err := v.savedAndDraft()
	if err != nil {
		return err
	}
	if draft == nil {
		return v.done(v.at("/rules"), ui.Notice{Tone: ui.Info, Text: "There was nothing to save: you have no draft any more."})
	}
	draft.Etag = v.form("etag") // what was looked at when the button was pressed
	_, err = v.Pricing().SetPriceRules(v.ctx(), &pricingv1.SetPriceRulesRequest{Rules: draft})
	if e, known := rpc.ErrorFrom(err); known && err != nil {
		notice := ui.ErrorNotice(err)
		if e.Code == codes.Aborted {
			notice.Title, notice.Next = "Nothing was saved", "Your draft is still here. What the rules are now is shown below."
		}
		return v.showRules(httpStatus(e.Code), notice)
	}
	if err != nil {
		return err
	}
	if err := v.dropDraft(); err != nil {
		return err
	}
	return v.done(v.at("/rules"), said("The price rules are saved, and every line is decided anew."))
}

// priceWords says how a rule makes the price.
func priceWords(r *pricingv1.PriceRule) string {
	switch p := r.GetPrice().(type) {
	case *pricingv1.PriceRule_Keep:
		return "keeps the line’s price"
	case *pricingv1.PriceRule_CostPlusPercent:
		return "cost plus " + p.CostPlusPercent + " %"
	case *pricingv1.PriceRule_Rrp:
		return "recommended retail price"
	case *pricingv1.PriceRule_Fixed:
		return p.Fixed + " ex VAT a seat and billing cycle"
	}
	return "no price"
}

// matchWords says which licences a rule is about.
func matchWords(r *pricingv1.PriceRule) string {
	var parts []string
	several := func(what string, values []string) {
		if len(values) > 3 {
			values = append(slices.Clone(values[:3]), fmt.Sprintf("%d more", len(values)-3))
		}
		if len(values) > 0 {
			parts = append(parts, what+" "+strings.Join(values, ", "))
		}
	}
	several("customers", r.GetCustomers())
	several("SKUs", r.GetSkus())
	several("products", r.GetNames())
	var cycles, terms []string
	for _, c := range r.GetCycles() {
		cycles = append(cycles, strings.ToLower(ui.Word(c.String(), "CYCLE_")))
	}
	for _, t := range r.GetTerms() {
		terms = append(terms, strings.ToLower(ui.Word(t.String(), "TERM_")))
	}
	several("billed", cycles)
	several("terms", terms)
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, "; ")
}

func seatWords(r *pricingv1.PriceRule) any {
	var parts []string
	if r.GetRounding() != "" && r.GetRounding() != "0.01" {
		parts = append(parts, "rounded to "+r.GetRounding())
	}
	if r.MinimumQuantity != nil {
		parts = append(parts, "at least "+ui.Plural(r.GetMinimumQuantity(), "seat", "seats"))
	}
	if r.IncludedQuantity != nil {
		parts = append(parts, ui.Count(r.GetIncludedQuantity())+" included elsewhere")
	}
	if len(parts) == 0 {
		return nil
	}
	return strings.Join(parts, ", ")
}

func addWords(a *pricingv1.AddLine) string {
	item, invoice := "item by its SKU", "on the only fitting invoice"
	if a.GetItemId() != 0 {
		item = "item " + strconv.FormatInt(a.GetItemId(), 10)
	}
	if a.GetInvoiceId() != 0 {
		invoice = "on invoice " + strconv.FormatInt(a.GetInvoiceId(), 10)
	}
	return item + ", " + invoice
}
