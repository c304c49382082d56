package web

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	overviewv1 "seatline.dev/proto/seatline/overview/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/console/web/ui"
)

// showLicence is everything about one licence; with ?ask it asks before something is decided.
func showLicence(v *visit) error {
	d, err := v.LicenceDetail(v.ctx(), v.connection.GetSlug(), v.param("key"))
	if err != nil {
		return err
	}
	x := d.GetLicence()
	header := ui.Header{Title: licenceName(x), Badges: []ui.Badge{ui.State(x.GetStatus().GetState())}, Crumbs: []ui.Link{{Text: "Licences", Href: v.at("/licences")}}}
	g := x.GetSubscription().GetGiacom()
	if g.GetMexId() != "" {
		header.Lead = ui.Sentence{"Of ", ui.Link{Text: nameOr(g.GetCustomerName(), g.GetMexId()), Href: v.toCustomer(g.GetMexId())}}
	}
	if ask := v.query("ask"); ask != "" && v.operator() {
		return v.askLicence(header, x, ask)
	}
	var actions []ui.Button
	if v.operator() && retriable(x.GetStatus()) {
		actions = append(actions, ui.Button{Label: "Try again", Href: v.toLicence(x.GetKey()), Post: true, Send: []string{"do", "retry"}, Small: true})
	}
	blocks := []ui.Block{whyNot(x.GetStatus(), actions...), moneyTiles(d.GetCost(), d.GetPrice(), d.GetMargin())}
	if choice := v.whichLicence(x); choice != nil {
		blocks = append(blocks, choice)
	}
	blocks = append(blocks,
		ui.Split{
			Main: []ui.Block{licenceFields(x), v.customerOf(d)},
			Side: []ui.Block{v.subscriptionOf(x)},
		},
		ui.Section{Title: "Invoice lines that bill it", Blocks: []ui.Block{lineTable(v, d.GetLines())}},
		changesOf(v, d.GetChanges()), historyOf(v, d.GetHistory()))
	return v.show(header, blocks...)
}

// retriable tells whether trying again may help: Halo refused it, or showed something that held it.
func retriable(s *itemv1.Status) bool {
	if s.GetState() == itemv1.State_STATE_FAILED {
		return true
	}
	return s.GetState() == itemv1.State_STATE_HELD && !byMode(s.GetReason().GetCode())
}

// whichLicence asks a person which licence in Halo is meant, where none is known; nil where one is.
func (v *visit) whichLicence(x *licencev1.Licence) ui.Block {
	open := x.GetStatus().GetHaloId() == 0 || x.GetStatus().GetReason().GetCode() == "gone_in_halo"
	undecided := len(x.GetCandidates()) > 0 || x.GetStatus().GetState() == itemv1.State_STATE_HELD || x.GetStatus().GetState() == itemv1.State_STATE_FAILED
	if !open || !undecided || x.GetStatus().GetState() == itemv1.State_STATE_RETIRED {
		return nil
	}
	t := ui.Table{
		Caption: "Licences in Halo that it may be",
		Columns: []ui.Column{{Title: "In Halo", Wide: true}, {Title: "Seats", Num: true}, {Title: "Mark"}, {Title: ""}},
		Empty:   ui.Empty{Title: "No candidate is known", Text: "No licence of the same customer and product was found in Halo."},
	}
	for _, c := range x.GetCandidates() {
		adopt := any(nil)
		id := strconv.FormatInt(c.GetHaloId(), 10)
		if v.operator() {
			adopt = ui.Button{Label: "Take it over …", For: c.GetName() + ", licence " + id, Href: v.toLicence(x.GetKey()) + "?ask=adopt&halo=" + id, Small: true}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Stack{Top: c.GetName(), Under: "licence " + id}, c.GetCount(), ui.Mono(c.GetMark()), adopt}})
	}
	s := ui.Section{Title: "Which licence in Halo is it?", Lead: fmt.Sprintf("Giacom has %s seats. Nothing is written until it is known which licence in Halo is meant.", nameOr(x.GetSubscription().GetGiacom().GetQuantity(), "an unknown number of")), Blocks: []ui.Block{t}}
	if v.operator() {
		s.Actions = []ui.Button{{Label: "Create a new one …", Href: v.toLicence(x.GetKey()) + "?ask=create", Small: true}}
		s.Blocks = append(s.Blocks, ui.Form{
			Action: v.toLicence(x.GetKey()), Get: true, Compact: true, Submit: "Take it over …",
			Groups: ui.Fields(ui.Field{Name: "ask", Kind: "hidden", Value: "adopt"}, ui.Field{Name: "halo", Label: "Another one, by its id in Halo", Kind: "number", Min: "1"}),
		})
	}
	return s
}

// askLicence before a licence is taken over, or a second one is made.
func (v *visit) askLicence(header ui.Header, x *licencev1.Licence, ask string) error {
	header.Crumbs = append(header.Crumbs, ui.Link{Text: licenceName(x), Href: v.toLicence(x.GetKey())})
	c := ui.Confirm{Form: ui.Form{Action: v.toLicence(x.GetKey()), Cancel: v.toLicence(x.GetKey()), Groups: ui.Fields(ui.Field{Name: "do", Kind: "hidden", Value: ask})}}
	wants := x.GetDesired()
	switch ask {
	case "adopt":
		id, err := strconv.ParseInt(v.query("halo"), 10, 64)
		if err != nil || id <= 0 {
			return rpc.InvalidArgument("halo", "%q is not the id of a licence in Halo", v.query("halo")).Do("go back, and enter the number that Halo’s address of the licence ends in")
		}
		header.Title = fmt.Sprintf("Take over licence %d?", id)
		c.Text = fmt.Sprintf("Licence %d in Halo becomes that of this subscription.", id)
		c.Consequences = []string{"Our mark is set on it, and it follows Giacom from then on.", "No new licence is created, and the lines that link it stay as they are."}
		for _, k := range x.GetCandidates() {
			if k.GetHaloId() == id && wants != nil && k.GetCount() != wants.GetCount() {
				c.Consequences = append(c.Consequences, fmt.Sprintf("Its seats change from %d to %d, which may change what is invoiced.", k.GetCount(), wants.GetCount()))
			}
		}
		c.Form.Submit = "Take it over"
		c.Form.Groups[0].Fields = append(c.Form.Groups[0].Fields, ui.Field{Name: "halo", Kind: "hidden", Value: strconv.FormatInt(id, 10)})
	case "create":
		header.Title = "Create a new licence?"
		c.Text = "Halo gets a new licence for this subscription, although one may be there already."
		c.Consequences = []string{"The licences that it may have been stay as they are: if one of them bills the same seats, the customer is invoiced twice until you end it.", "The new one is on no invoice line until a price rule adds one, or you do."}
		c.Form.Submit, c.Form.Danger = "Create it", true
	default:
		return rpc.InvalidArgument("ask", "%q is nothing that can be asked", ask)
	}
	if v.connection.GetMode() != connectionv1.Mode_MODE_AUTO {
		c.Consequences = append(c.Consequences, "This connection observes: the decision is kept, and nothing is written to Halo yet.")
	}
	return v.show(header, c)
}

func decideLicence(v *visit) error {
	connection, key := v.connection.GetSlug(), v.param("key")
	one := &licencev1.GetLicenceRequest{Connection: connection, Key: key}
	var err error
	text := ""
	switch v.form("do") {
	case "adopt":
		var id int64
		if id, err = strconv.ParseInt(v.form("halo"), 10, 64); err != nil {
			return rpc.InvalidArgument("halo", "%q is not the id of a licence in Halo", v.form("halo"))
		}
		text = fmt.Sprintf("Licence %d in Halo is this subscription’s now.", id)
		_, err = v.Licences().AdoptLicence(v.ctx(), &licencev1.AdoptLicenceRequest{Connection: connection, Key: key, HaloId: id})
	case "create":
		text = "A new licence is made for it."
		_, err = v.Licences().CreateLicence(v.ctx(), one)
	case "retry":
		text = "It is tried again."
		_, err = v.Licences().RetryLicence(v.ctx(), one)
	default:
		return rpc.InvalidArgument("do", "%q is nothing that can be done with a licence", v.form("do"))
	}
	if err != nil {
		return err
	}
	return v.done(v.toLicence(key), said(text))
}

// licenceFields sets side by side what should be, and what Halo holds.
func licenceFields(x *licencev1.Licence) ui.Section {
	t := ui.Table{
		Caption: "The licence, field by field",
		Columns: []ui.Column{{Title: "Field"}, {Title: "Should be"}, {Title: "In Halo"}},
		Empty:   ui.Empty{Title: "Nothing is wanted in Halo", Text: "There is no licence for it, and none is to be made."},
	}
	if x.GetDesired() == nil && x.GetApplied() == nil {
		return ui.Section{Title: "In Halo", Blocks: []ui.Block{t}}
	}
	for _, f := range []struct {
		name string
		of   func(*licencev1.Fields) any
	}{
		{"Seats", func(f *licencev1.Fields) any { return f.GetCount() }},
		{"Active", func(f *licencev1.Fields) any { return yesNo(f.GetActive()) }},
		{"Customer in Halo", func(f *licencev1.Fields) any { return idOrNone(f.GetClientId()) }},
		{"Purchase price, ex VAT", func(f *licencev1.Fields) any { return each(f.GetPurchasePrice()) }},
		{"Sell price, ex VAT", func(f *licencev1.Fields) any { return each(f.GetPrice()) }},
		{"Billing cycle", func(f *licencev1.Fields) any { return f.GetBillingCycle() }},
		{"Term", func(f *licencev1.Fields) any { return f.GetTermDuration() }},
		{"Start", func(f *licencev1.Fields) any { return dateOf(f.GetStartTime()) }},
		{"End", func(f *licencev1.Fields) any { return dateOf(f.GetEndTime()) }},
	} {
		row := ui.Row{Cells: []any{f.name}}
		for _, fields := range []*licencev1.Fields{x.GetDesired(), x.GetApplied()} {
			if fields == nil {
				row.Cells = append(row.Cells, nil)
				continue
			}
			row.Cells = append(row.Cells, f.of(fields))
		}
		if x.GetDesired() != nil && x.GetApplied() != nil && fmt.Sprint(row.Cells[1]) != fmt.Sprint(row.Cells[2]) {
			row.Tone = ui.Warn
		}
		t.Rows = append(t.Rows, row)
	}
	s := ui.Section{Title: "What Halo should hold, and what it holds", Blocks: []ui.Block{t}}
	if x.GetReplacedBy() != "" {
		s.Lead = "Its licence goes on as that of " + x.GetReplacedBy() + "."
	}
	return s
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func idOrNone(id int64) any {
	if id == 0 {
		return nil
	}
	return strconv.FormatInt(id, 10)
}

func dateOf(t *timestamppb.Timestamp) any {
	if t == nil || t.AsTime().Unix() <= 0 {
		return nil
	}
	return ui.Date(t.AsTime())
}

// subscriptionOf is the subscription as Giacom has it, with what a person may decide about it.
func (v *visit) subscriptionOf(x *licencev1.Licence) ui.Section {
	s, g := x.GetSubscription(), x.GetSubscription().GetGiacom()
	section := ui.Section{Title: "Subscription in Giacom"}
	if g == nil {
		section.Blocks = []ui.Block{ui.Paragraph{Text: "It has none: another integration made this licence, and it was replaced."}}
		return section
	}
	d := ui.Definitions{
		{Term: "Product", Value: ui.Stack{Top: g.GetName(), Under: ui.Mono(g.GetSku())}}, {Term: "Seats", Value: g.GetQuantity()},
		{Term: "Price of a seat, ex VAT", Value: each(g.GetPurchasePrice())}, {Term: "Recommended retail price, ex VAT", Value: each(g.GetRrp())},
		{Term: "Status", Value: nameOr(g.GetStatusWord(), "not told")}, {Term: "Cycle and term", Value: strings.Trim(wordOf(g.GetCycleWord(), g.GetCycle())+", "+g.GetTermWord(), ", ")},
		{Term: "From", Value: dateOf(g.GetStartTime())}, {Term: "Until", Value: dateOf(g.GetEndTime())},
		{Term: "Key", Value: ui.Mono(x.GetKey())},
	}
	if g.GetAbsentSince() != nil {
		d = append(d, ui.Definition{Term: "Missing since", Value: ui.When(g.GetAbsentSince()), Help: "It was not in the last complete pull. That does not prove yet that it is gone."})
	}
	if g.GetRemoval() != nil {
		d = append(d, ui.Definition{Term: "Gone since", Value: ui.When(g.GetRemoval().GetSince()), Help: ui.Word(g.GetRemoval().GetProof().String(), "PROOF_")})
	}
	switch {
	case s.GetReason().GetCode() == "excluded":
		d = append(d, ui.Definition{Term: "Left unbilled", Value: ui.Badge{Text: "Excluded", Tone: ui.Warn}, Help: s.GetReason().GetText()})
	case s.GetAssigned():
		d = append(d, ui.Definition{Term: "Billed to", Value: ui.Stack{Top: s.GetHaloClientName(), Under: "given by a person, against its customer’s mapping"}})
	}
	section.Blocks = []ui.Block{d}
	if v.operator() && s.GetState() != subscriptionv1.State_STATE_REMOVED {
		section.Actions = []ui.Button{{Label: "Decide …", Href: v.to("subscriptions", x.GetKey()), Small: true, For: "whether and to whom it is billed"}}
	}
	return section
}

func wordOf(word string, cycle giacomv1.Cycle) string {
	if word != "" {
		return word
	}
	return ui.Word(cycle.String(), "CYCLE_")
}

// customerOf the licence, and where it is in Halo.
func (v *visit) customerOf(d *overviewv1.LicenceDetail) ui.Section {
	m, s := d.GetCustomer(), d.GetLicence().GetSubscription()
	defs := ui.Definitions{}
	if mex := s.GetGiacom().GetMexId(); mex != "" {
		defs = append(defs, ui.Definition{Term: "In Giacom", Value: ui.Stack{Top: ui.Link{Text: nameOr(s.GetGiacom().GetCustomerName(), mex), Href: v.toCustomer(mex)}, Under: ui.Mono(mex)}})
	}
	to := any(ui.Badge{Text: "Not mapped", Tone: ui.Warn})
	switch {
	case s.GetHaloClientId() != 0:
		to = ui.Stack{Top: nameOr(s.GetHaloClientName(), "customer"), Under: strconv.FormatInt(s.GetHaloClientId(), 10)}
	case m.GetHaloClientId() != 0:
		to = ui.Stack{Top: m.GetHaloClientName(), Under: strconv.FormatInt(m.GetHaloClientId(), 10)}
	}
	defs = append(defs, ui.Definition{Term: "Billed to", Value: to})
	if id := d.GetLicence().GetStatus().GetHaloId(); id != 0 {
		defs = append(defs, ui.Definition{Term: "Licence in Halo", Value: strconv.FormatInt(id, 10)})
	}
	defs = append(defs, haloLinks(d.GetLinks()))
	return ui.Section{Title: "Customer", Blocks: []ui.Block{defs}}
}
