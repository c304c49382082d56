package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/console/web/ui"
)

var (
	ruleCycles = []giacomv1.Cycle{giacomv1.Cycle_CYCLE_MONTHLY, giacomv1.Cycle_CYCLE_ANNUAL, giacomv1.Cycle_CYCLE_TRIENNIAL, giacomv1.Cycle_CYCLE_ONE_TIME}
	ruleTerms  = []giacomv1.Term{giacomv1.Term_TERM_MONTHLY, giacomv1.Term_TERM_ANNUAL, giacomv1.Term_TERM_TRIENNIAL}
)

// editRule shows the form for one rule of the draft, or for a new one.
func editRule(v *visit) error {
	saved, draft, err := v.savedAndDraft()
	if err != nil {
		return err
	}
	name := v.query("rule")
	rule := &pricingv1.PriceRule{Price: &pricingv1.PriceRule_CostPlusPercent{}}
	if name != "" {
		rules := editable(saved, draft).GetRules()
		i := placeOf(rules, name)
		if i < 0 {
			return rpc.NotFound("price rule", name).Do("it was renamed or deleted meanwhile: look at the rules again")
		}
		rule = rules[i]
	}
	return v.showRuleForm(http.StatusOK, name, nil, v.ruleForm(name, rule))
}

func (v *visit) showRuleForm(status int, name string, notice *ui.Notice, form ui.Form) error {
	header := ui.Header{Title: "A new price rule", Crumbs: []ui.Link{{Text: "Price rules", Href: v.at("/rules")}}, Lead: "It goes into your draft. Before anything is saved you see on your own lines what it would change."}
	if name != "" {
		header.Title = name
	}
	if notice != nil {
		return v.showAs(status, header, *notice, form)
	}
	return v.showAs(status, header, form)
}

// ruleForm is the form of a rule. Its fields are named as in the contract, so that what a service refuses is said at
// the field it is about.
func (v *visit) ruleForm(name string, r *pricingv1.PriceRule) ui.Form {
	count := func(n *int64) string {
		if n == nil {
			return ""
		}
		return strconv.FormatInt(*n, 10)
	}
	id := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	var cycles, terms []ui.Field
	for _, c := range ruleCycles {
		cycles = append(cycles, ui.Field{Name: "cycles", ID: "cycle-" + strconv.Itoa(int(c)), Label: ui.Word(c.String(), "CYCLE_"), Kind: "checkbox", Value: c.String(), Checked: slices.Contains(r.GetCycles(), c)})
	}
	for _, t := range ruleTerms {
		terms = append(terms, ui.Field{Name: "terms", ID: "term-" + strconv.Itoa(int(t)), Label: ui.Word(t.String(), "TERM_"), Kind: "checkbox", Value: t.String(), Checked: slices.Contains(r.GetTerms(), t)})
	}
	price := map[bool]string{true: "keep"}[r.GetKeep()]
	switch r.GetPrice().(type) {
	case *pricingv1.PriceRule_CostPlusPercent:
		price = "cost_plus_percent"
	case *pricingv1.PriceRule_Rrp:
		price = "rrp"
	case *pricingv1.PriceRule_Fixed:
		price = "fixed"
	}
	return ui.Form{
		Action: v.at("/rules/edit"), Submit: "Into the draft", Cancel: v.at("/rules"),
		Groups: []ui.Group{
			{Fields: []ui.Field{{Name: "old", Kind: "hidden", Value: name},
				{Name: "name", Label: "Name", Value: r.GetName(), Required: true, Wide: true, Help: "Plans and lines name the rule that made their price."}}},
			{Title: "Which licences", Help: "What is left empty matches everything. One to a line; * stands for anything, ? for one character.", Fields: []ui.Field{
				{Name: "customers", Label: "Giacom customers, by their id", Kind: "textarea", Rows: 3, Value: strings.Join(r.GetCustomers(), "\n")},
				{Name: "names", Label: "Products, by name", Kind: "textarea", Rows: 3, Value: strings.Join(r.GetNames(), "\n"), Placeholder: "Microsoft 365 *"},
				{Name: "skus", Label: "Products, by SKU", Kind: "textarea", Rows: 3, Value: strings.Join(r.GetSkus(), "\n"), Placeholder: "CFQ7TTC0LCHC*"},
			}},
			{Title: "Billed how often", Help: "None ticked: any.", Fields: cycles},
			{Title: "Committed for how long", Help: "None ticked: any. A subscription whose feed tells no term is held by a rule that asks for one.", Fields: terms},
			{Title: "Price", Fields: []ui.Field{
				{Name: "price", Label: "What the customer pays", Kind: "radio", Options: []ui.Option{
					{Value: "cost_plus_percent", Label: "Giacom’s price plus a percentage", Selected: price == "cost_plus_percent"},
					{Value: "rrp", Label: "The recommended retail price", Help: "A subscription without one is held.", Selected: price == "rrp"},
					{Value: "fixed", Label: "A price of its own", Selected: price == "fixed"},
					{Value: "keep", Label: "What the line bills already", Selected: price == "keep"},
				}},
				{Name: "cost_plus_percent", Label: "Percentage on top", Value: r.GetCostPlusPercent(), After: "%", Placeholder: "20"},
				{Name: "fixed", Label: "Price of its own", Value: r.GetFixed(), After: "ex VAT", Placeholder: "19.90", Help: "For a seat and a billing cycle."},
				{Name: "rounding", Label: "Rounded to a multiple of", Value: r.GetRounding(), Placeholder: "0.01", Help: "Half up."},
			}},
			{Title: "Seats", Help: "Left empty, the line’s own stay.", Fields: []ui.Field{
				{Name: "minimum_quantity", Label: "Never bill fewer than", Kind: "number", Min: "0", Value: count(r.MinimumQuantity)},
				{Name: "included_quantity", Label: "Included elsewhere", Kind: "number", Min: "0", Value: count(r.IncludedQuantity), Help: "So many seats are not billed here."},
			}},
			{Title: "Where no line bills it", Fields: []ui.Field{
				{Name: "add_line", Label: "Add a line to the customer’s recurring invoice", Kind: "checkbox", Checked: r.GetAddLine() != nil, Wide: true, Help: "Otherwise it is shown as not billed."},
				{Name: "add_line.item_id", Label: "Item in Halo", Kind: "number", Min: "1", Value: id(r.GetAddLine().GetItemId()), Help: "Empty: the item whose supplier part code is the SKU."},
				{Name: "add_line.invoice_id", Label: "Recurring invoice in Halo", Kind: "number", Max: "-1", Value: id(r.GetAddLine().GetInvoiceId()), Help: "Its id is negative. Empty: the customer’s only enabled one of the fitting period."},
			}},
		},
	}
}

// ruleOf what was entered. What is no number is said at its field.
func (v *visit) ruleOf() (*pricingv1.PriceRule, *rpc.Error) {
	var wrong *rpc.Error
	number := func(field string) (int64, bool) {
		text := v.form(field)
		if text == "" {
			return 0, false
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			if wrong == nil {
				wrong = rpc.InvalidArgument(field, "%q is not a whole number", text)
			} else {
				wrong = wrong.Violate(field, "%q is not a whole number", text)
			}
		}
		return n, err == nil
	}
	r := &pricingv1.PriceRule{Name: v.form("name"), Customers: entries(v.form("customers")), Skus: entries(v.form("skus")), Names: entries(v.form("names")), Rounding: v.form("rounding")}
	for _, word := range v.r.PostForm["cycles"] {
		r.Cycles = append(r.Cycles, giacomv1.Cycle(giacomv1.Cycle_value[word]))
	}
	for _, word := range v.r.PostForm["terms"] {
		r.Terms = append(r.Terms, giacomv1.Term(giacomv1.Term_value[word]))
	}
	switch v.form("price") {
	case "keep":
		r.Price = &pricingv1.PriceRule_Keep{Keep: true}
	case "cost_plus_percent":
		r.Price = &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: v.form("cost_plus_percent")}
	case "rrp":
		r.Price = &pricingv1.PriceRule_Rrp{Rrp: true}
	case "fixed":
		r.Price = &pricingv1.PriceRule_Fixed{Fixed: v.form("fixed")}
	}
	if n, ok := number("minimum_quantity"); ok {
		r.MinimumQuantity = proto.Int64(n)
	}
	if n, ok := number("included_quantity"); ok {
		r.IncludedQuantity = proto.Int64(n)
	}
	item, _ := number("add_line.item_id")
	invoice, _ := number("add_line.invoice_id")
	if v.form("add_line") != "" {
		r.AddLine = &pricingv1.AddLine{ItemId: item, InvoiceId: invoice}
	}
	return r, wrong
}

// entries of a list, one to a line.
func entries(text string) []string {
	var out []string
	for part := range strings.Lines(text) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// putRule checks one rule and puts it into the draft.
func putRule(v *visit) error {
	saved, draft, err := v.savedAndDraft()
	if err != nil {
		return err
	}
	rule, wrong := v.ruleOf()
	old := v.form("old")
	refuse := func(err error) error {
		form := v.ruleForm(old, rule)
		for i := range form.Groups { // what was entered stays, also where it is no number
			for j := range form.Groups[i].Fields {
				if f := &form.Groups[i].Fields[j]; f.Kind == "number" || f.Name == "cost_plus_percent" || f.Name == "fixed" {
					f.Value = v.form(f.Name)
				}
			}
		}
		form, notice := form.Wrong(err)
		return v.showRuleForm(http.StatusUnprocessableEntity, old, notice, form)
	}
	if wrong != nil {
		return refuse(wrong)
	}
	d := editable(saved, draft)
	if old == "" {
		d.Rules = append(d.Rules, rule)
	} else {
		i := placeOf(d.GetRules(), old)
		if i < 0 {
			return rpc.NotFound("price rule", old).Do("it was renamed or deleted meanwhile: look at the rules again")
		}
		d.Rules[i] = rule
	}
	// Whether somebody was there before is asked when the draft is saved.
	_, err = v.Pricing().SetPriceRules(v.ctx(), &pricingv1.SetPriceRulesRequest{Rules: d, Force: true, ValidateOnly: true})
	if e, known := rpc.ErrorFrom(err); err != nil && known && len(e.Violations) > 0 {
		return refuse(err)
	}
	if err != nil {
		return err
	}
	if err := v.keepDraft(saved, d); err != nil {
		return err
	}
	return v.done(v.at("/rules"), said("The rule is in your draft. Below is what it would change; nothing is saved yet."))
}
