package web

import (
	"context"
	"net/url"
	"strings"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/rpc"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	"seatline.dev/services/console/web/ui"
)

func planPages() []page {
	return []page{{path: ofConnection + "/plan", title: "Plan", nav: navPlan, handle: showPlan}}
}

// Who decides on what is held: a person, or nobody until the connection's mode is another.
const (
	decidesPerson = "person"
	decidesMode   = "mode"
)

// showPlan is what differs between what Halo should hold and what it holds, in the order in which it
// must happen.
func showPlan(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Customer, product or key")
	kind := l.value("kind")
	state := l.choice("state", "State", "", "", "All", "pending", "Being written", "parked", "Parked", "held", "Held", "failed", "Failed", "in_sync", "Follows")
	switch value := l.value("state"); value {
	case "":
	case "pending":
		l.and("state = pending OR state = applying") // unclear ones as well
	default:
		l.and("state = " + quote(value))
	}
	decides := l.choice("decides", "Held for", "", "", "All", decidesPerson, "A person", decidesMode, "The mode only")
	switch l.values.Get("decides") {
	case decidesPerson:
		l.and(`state = "held" AND reason != "observe" AND reason != "canary"`)
	case decidesMode:
		l.and(`state = "held" AND (reason = "observe" OR reason = "canary")`)
	}
	reason := ui.Field{Name: "reason", Kind: "hidden", Value: l.value("reason")}
	if reason.Value != "" {
		l.and("reason = " + quote(reason.Value))
		reason = ui.Field{Name: "reason", Label: "Reason", Kind: "select", Auto: true, Options: ui.Options(reason.Value, "", "All", reason.Value, sentence(reason.Value))}
	}
	customer := ui.Field{Name: "customer", Kind: "hidden", Value: l.value("customer")}
	if customer.Value != "" { // where a customer's own page leads
		l.and("customer = " + quote(customer.Value))
		customer = ui.Field{Name: "customer", Label: "Customer", Kind: "select", Auto: true, Options: ui.Options(customer.Value, "", "All", customer.Value, customer.Value)}
	}
	whole, silent, err := v.planTotals(v.ctx(), l.filter())
	if err != nil {
		return err
	}
	items, next, err := v.planPage(v.ctx(), l.filter(), kind, l.token())
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "The plan, in the order in which it is carried out",
		Columns: []ui.Column{{Title: "What", Wide: true}, {Title: "Action"}, {Title: "What changes"}, {Title: "A month, ex VAT", Num: true}, {Title: "State"}},
		Empty:   ui.Empty{Title: "Nothing is planned", Text: "Halo holds what Giacom, the mappings and the price rules imply."},
		Pager:   l.pager(next, len(items)),
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No part of the plan matches what you asked for.", Actions: []ui.Button{{Label: "Show the whole plan", Href: v.at("/plan")}}}
	}
	v.nameClients(changesIn(items)...)
	for _, x := range items {
		t.Rows = append(t.Rows, planRow(v, x))
	}
	form := l.form(search, state, decides, reason, customer)
	if kind != "" {
		form.Fields = append(form.Fields, ui.Field{Name: "kind", Kind: "hidden", Value: kind})
	}
	blocks := []ui.Block{whole.tiles(), planTabs(l, whole, kind), form}
	if missing := silentNotice(silent); missing != nil {
		blocks = append(blocks, *missing)
	}
	return v.show(ui.Header{Title: "Plan", Lead: "Everything that is not in Halo as Giacom, the mappings and the price rules imply: from the customer to the licence to the invoice line, with its reason and its money."},
		append(blocks, t)...)
}

func planTabs(l *listing, whole planTotals, kind string) ui.Tabs {
	to := func(kind string) string {
		kept := l.kept()
		kept.Del("kind")
		if kind != "" {
			kept.Set("kind", kind)
		}
		return (&url.URL{Path: l.path, RawQuery: kept.Encode()}).String()
	}
	tabs := ui.Tabs{{Title: "Everything", Href: to(""), Count: whole.count("customer") + whole.count("licence") + whole.count("invoice-line"), Current: kind == ""}}
	for _, k := range [][2]string{{"customer", "Customers"}, {"licence", "Licences"}, {"invoice-line", "Invoice lines"}} {
		tabs = append(tabs, ui.Tab{Title: k[1], Href: to(k[0]), Count: whole.count(k[0]), Current: kind == k[0]})
	}
	return tabs
}

func planRow(v *visit, x *itemv1.PlanItem) ui.Row {
	row := ui.Row{}
	action := sentence(x.GetAction())
	switch {
	case x.GetFollows():
		action = "Follows its licence"
	case x.GetAction() == "none" || action == "":
		action = ""
	}
	if x.GetStatus().GetState() == itemv1.State_STATE_FAILED {
		row.Tone = ui.Bad
	}
	under := kindWord(x.GetKind())
	if x.GetCustomer() != "" && !strings.Contains(x.GetTitle(), x.GetCustomer()) {
		under += " · " + x.GetCustomer()
	}
	row.Cells = []any{
		ui.Stack{Top: v.thing(x.GetKind(), x.GetKey(), x.GetTitle()), Under: under}, action, v.whatChanged(x.GetChanges(), nil), monthly(x.GetMonthlyBefore(), x.GetMonthlyAfter()),
		ui.Stack{Top: ui.State(x.GetStatus().GetState()), Under: x.GetStatus().GetReason().GetText()},
	}
	return row
}

// planPage reads one page, going on from service to service. The token says which is at hand:
// "licence:" and the token of its own.
func (v *visit) planPage(ctx context.Context, filter, kind, token string) ([]*itemv1.PlanItem, string, error) {
	name, own, _ := strings.Cut(token, ":")
	var page []*itemv1.PlanItem
	begun := token == ""
	for _, o := range v.Writers() {
		if begun = begun || o.Service == name; !begun || kind != "" && kind != o.Kind {
			continue
		}
		for {
			if len(page) >= pageSize {
				return page, o.Service + ":" + own, nil
			}
			resp, err := o.Ops.ListPlanItems(ctx, &opsv1.ListPlanItemsRequest{Connection: v.connection.GetSlug(), Filter: filter, PageSize: int32(pageSize - len(page)), PageToken: own})
			if unanswered(err) { // the totals have said so
				break
			}
			if err != nil {
				return nil, "", err
			}
			page, own = append(page, resp.GetItems()...), resp.GetNextPageToken()
			if own == "" {
				break
			}
		}
		own = ""
	}
	if !begun {
		return nil, "", rpc.InvalidArgument("page", "%q is no place in the plan", token).Do("start again at the first page")
	}
	return page, "", nil
}

// planTotals is a plan summed up by kind.
type planTotals map[string]*planSum

type planSum struct {
	n             int64
	before, after decimal.Decimal
	currency      string
	held          int64
}

func (t planTotals) count(kind string) int64 {
	if t[kind] == nil {
		return 0
	}
	return t[kind].n
}

// maxPlan bounds what is summed up, in pages of 1,000 for each service.
const maxPlan = 50

func (v *visit) planTotals(ctx context.Context, filter string) (planTotals, []string, error) {
	t, silent := planTotals{}, []string(nil)
	for _, o := range v.Writers() {
		sum, token := &planSum{}, ""
		t[o.Kind] = sum
		for range maxPlan {
			resp, err := o.Ops.ListPlanItems(ctx, &opsv1.ListPlanItemsRequest{Connection: v.connection.GetSlug(), Filter: filter, PageSize: 1000, PageToken: token})
			if unanswered(err) {
				silent = append(silent, o.Service)
				break
			}
			if err != nil {
				return nil, nil, err
			}
			for _, x := range resp.GetItems() {
				sum.add(x)
			}
			if token = resp.GetNextPageToken(); token == "" {
				break
			}
		}
	}
	return t, silent, nil
}

func (s *planSum) add(x *itemv1.PlanItem) {
	s.n++
	if st := x.GetStatus().GetState(); st == itemv1.State_STATE_FAILED || st == itemv1.State_STATE_HELD && !byMode(x.GetStatus().GetReason().GetCode()) {
		s.held++
	}
	if a, ok := ui.Known(x.GetMonthlyBefore()); ok {
		s.before, s.currency = s.before.Add(a.Value), a.Currency
	}
	if a, ok := ui.Known(x.GetMonthlyAfter()); ok {
		s.after, s.currency = s.after.Add(a.Value), a.Currency
	}
}

// tiles: what these lines bill and these licences cost a month, before and after.
func (t planTotals) tiles() ui.Tiles {
	amount := func(s *planSum, d decimal.Decimal, signed bool) ui.Amount {
		return ui.Amount{Value: d, Currency: s.currency, Signed: signed, Bare: true}
	}
	lines, licences := t["invoice-line"], t["licence"]
	change := lines.after.Sub(lines.before)
	var waiting int64
	for _, s := range t {
		waiting += s.held
	}
	return ui.Tiles{
		{Label: "These lines bill now", Value: amount(lines, lines.before, false), Note: "a month, ex VAT"},
		{Label: "Then", Value: amount(lines, lines.after, false), Note: "a month, ex VAT"},
		{Label: "Difference to customers", Value: amount(lines, change, true), Note: "a month, ex VAT"},
		{Label: "Difference in cost", Value: amount(licences, licences.after.Sub(licences.before), true), Note: "of these licences, a month, ex VAT"},
		{Label: "Wait for a person", Value: waiting, Note: "held or failed", Tone: toneIf(waiting > 0, ui.Warn)},
	}
}
