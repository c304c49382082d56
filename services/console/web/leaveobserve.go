package web

import (
	"context"
	"net/http"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	"seatline.dev/services/console/web/ui"
)

func leaveObservePages() []page {
	leave := ofConnection + "/leave-observe"
	return []page{
		{path: leave, title: "Leave observe", nav: navParity, handle: func(v *visit) error { return v.showLeave(http.StatusOK, nil, nil) }},
		{path: leave, method: http.MethodPost, title: "Leave observe", nav: navParity, handle: answerQuestions},
		{path: leave + "/canary", title: "Begin with a few customers", nav: navParity, role: rpc.RoleOperator, handle: chooseCanary},
		{path: leave + "/begin", title: "Begin to write", nav: navParity, role: rpc.RoleOperator, handle: func(v *visit) error { return v.askBegin(http.StatusOK, v.r.URL.Query()["with"], "", nil) }},
		{path: leave + "/begin", method: http.MethodPost, title: "Begin to write", nav: navParity, handle: begin},
		{path: leave + "/back", title: "Back to observe", nav: navParity, role: rpc.RoleOperator, handle: func(v *visit) error { return v.askBack(http.StatusOK, nil) }},
		{path: leave + "/back", method: http.MethodPost, title: "Back to observe", nav: navParity, handle: backToObserve},
	}
}

// showLeave is the way out of observe: what cannot be guessed, what stands against it, what would be written, and where
// to begin. notice and entered are of answers that were refused.
func (v *visit) showLeave(status int, notice *ui.Notice, entered *ui.Form) error {
	x, err := v.Connections().GetLeaveObserve(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.connection.GetSlug()})
	if err != nil {
		return err
	}
	auto := x.GetMode() == connectionv1.Mode_MODE_AUTO
	header := ui.Header{Title: "Leave observe", Badges: []ui.Badge{modeBadge(v.connection)}, Crumbs: []ui.Link{{Text: "Overview", Href: v.at("")}, {Text: "Parity", Href: v.at("/parity")}},
		Lead: "A connection observes until you say so: it shows what it would write to Halo, and writes nothing. This page is the way from there, in its order."}
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	if missing := silentNotice(x.GetUnknown()); missing != nil {
		blocks = append(blocks, *missing)
	}
	if auto {
		header.Title, header.Lead = "What is written to Halo", modeLead(v.connection)
		blocks = append(blocks, v.nowWriting())
	} else {
		blocks = append(blocks, leaveSteps(x))
	}
	blocks = append(blocks, v.questions(x, entered), blockers(x))
	plan, err := v.leavePlan(v.ctx(), x)
	if err != nil {
		return err
	}
	blocks = append(blocks, plan)
	if v.operator() && !auto {
		start := ui.Section{Title: "Begin", Lead: "With a few customers first, whom you can look at in Halo afterwards; or with everything."}
		if x.GetMayLeave() {
			start.Blocks = []ui.Block{ui.Actions{Buttons: []ui.Button{{Label: "Choose a few customers", Href: v.at("/leave-observe/canary"), Kind: "primary"}, {Label: "Everything …", Href: v.at("/leave-observe/begin")}}}}
		} else {
			start.Blocks = []ui.Block{ui.Notice{Tone: ui.Bad, Title: "Not yet", Text: "Something stands against it that must be put right first; it is listed above."}}
		}
		blocks = append(blocks, start)
	}
	return v.showAs(status, header, blocks...)
}

func leaveSteps(x *connectionv1.LeaveObserve) ui.Steps {
	answered, against := true, len(x.GetBlockers()) > 0
	for _, q := range x.GetQuestions() {
		answered = answered && q.GetAnswered()
	}
	steps := ui.Steps{
		{Title: "Answer what cannot be guessed", Text: "Each has a consequence; none is answered for you."}, {Title: "Clear the way", Text: "Another writer in Halo, a missing right."},
		{Title: "Look at the plan", Text: "What would be written, and its money."}, {Title: "Begin", Text: "With a few customers, or everything."},
	}
	done := []bool{answered, answered && !against, false, false}
	current := false
	for i := range steps {
		switch {
		case done[i]:
			steps[i].State = "done"
		case !current:
			steps[i].State, current = "current", true
		}
	}
	return steps
}

// nowWriting says what is written at present, and the ways from there.
func (v *visit) nowWriting() ui.Block {
	n := ui.Notice{Tone: ui.Info, Title: "It writes to Halo", Text: "Every difference is written, unless a rule holds it."}
	if c := v.connection.GetCanary(); c != nil {
		n.Title, n.Text = "It writes to Halo for a few customers", "What concerns these is written; all else is shown as in observe."
		for _, mex := range c.GetMexIds() {
			n.Items = append(n.Items, "Giacom customer "+mex)
		}
		for _, id := range c.GetHaloClientIds() {
			n.Items = append(n.Items, "Halo customer "+strconv.FormatInt(id, 10))
		}
		if len(n.Items) == 0 {
			n.Text = "None is named, so nothing is written."
		}
		if v.operator() {
			n.Actions = append(n.Actions, ui.Button{Label: "Write everything …", Href: v.at("/leave-observe/begin"), Kind: "primary", Small: true}, ui.Button{Label: "Change the customers", Href: v.canaryAddress(canaryOf(c), ""), Small: true})
		}
	}
	if v.operator() {
		n.Actions = append(n.Actions, ui.Button{Label: "Back to observe …", Href: v.at("/leave-observe/back"), Small: true})
	}
	return n
}

// questions with their answers; who may, answers them here.
func (v *visit) questions(x *connectionv1.LeaveObserve, entered *ui.Form) ui.Section {
	s := ui.Section{Title: "What cannot be guessed"}
	var told ui.Definitions
	for _, q := range x.GetQuestions() {
		if v.operator() && q.GetSetting() != "price_rules" {
			continue
		}
		answer := ui.Stack{Top: q.GetAnswer(), Under: q.GetConsequence()}
		d := ui.Definition{Term: q.GetQuestion(), Value: answer}
		if !q.GetAnswered() {
			d.Value = ui.Lines{ui.Badge{Text: "Not answered", Tone: ui.Warn}, answer}
		}
		told = append(told, d)
	}
	s.Blocks = append(s.Blocks, told)
	s.Actions = []ui.Button{{Label: "Price rules", Href: v.at("/rules"), Small: true}}
	if !v.operator() {
		return s
	}
	form := v.questionForm(x.GetQuestions(), x.GetEtag(), v.connection)
	if entered != nil {
		form = *entered
	}
	s.Blocks = append(s.Blocks, form)
	return s
}

// questionForm has a field for each question that a setting of the connection answers.
func (v *visit) questionForm(questions []*connectionv1.Question, etag string, c *connectionv1.Connection) ui.Form {
	form := ui.Form{Action: v.at("/leave-observe"), Submit: "Keep these answers", Groups: ui.Fields(ui.Field{Name: "etag", Kind: "hidden", Value: etag})}
	for _, q := range questions {
		if q.GetSetting() == "price_rules" {
			continue
		}
		f := ui.Field{Name: q.GetSetting(), Label: q.GetQuestion(), Kind: "select", Help: q.GetConsequence(), Wide: true}
		value := settingOf(c, q.GetSetting())
		if value == "" {
			f.Options = []ui.Option{{Label: "Not answered", Selected: true}}
		}
		for _, o := range q.GetChoices() {
			f.Options = append(f.Options, ui.Option{Value: o.GetValue(), Label: sentenceCase(o.GetText()), Selected: o.GetValue() == value})
		}
		form.Groups[0].Fields = append(form.Groups[0].Fields, f)
	}
	return form
}

func sentenceCase(text string) string {
	if text == "" {
		return text
	}
	return ui.Word(text[:1], "") + text[1:]
}

// settingOf is the answer that a connection holds, as the choices of its question spell it; "" for none.
func settingOf(c *connectionv1.Connection, setting string) string {
	switch setting {
	case "billing.pro_rata":
		if c.GetBilling() != nil && c.GetBilling().ProRata != nil {
			return strconv.Itoa(int(c.GetBilling().GetProRata()))
		}
	case "giacom.annual_price_basis":
		switch c.GetGiacom().GetAnnualPriceBasis() {
		case moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH:
			return "PER_SEAT_PER_MONTH"
		case moneyv1.Basis_BASIS_PER_SEAT_PER_TERM:
			return "PER_SEAT_PER_TERM"
		}
	case "customers.create":
		return strconv.FormatBool(c.GetCustomers().GetCreate())
	case "licences.deactivate_removed":
		return strconv.FormatBool(c.GetLicences().GetDeactivateRemoved())
	}
	return ""
}

// answer sets a setting to a choice.
func answer(c *connectionv1.Connection, setting, value string) error {
	if value == "" {
		return nil // stays as it is
	}
	switch setting {
	case "billing.pro_rata":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return rpc.InvalidArgument(setting, "%q is not one of the choices", value)
		}
		if c.Billing == nil {
			c.Billing = &connectionv1.Billing{}
		}
		c.Billing.ProRata = proto.Int32(int32(n))
	case "giacom.annual_price_basis":
		n, ok := moneyv1.Basis_value["BASIS_"+value]
		if !ok {
			return rpc.InvalidArgument(setting, "%q is not one of the choices", value)
		}
		c.Giacom.AnnualPriceBasis = moneyv1.Basis(n)
	case "customers.create":
		if c.Customers == nil {
			c.Customers = &connectionv1.Customers{}
		}
		c.Customers.Create = value == "true"
	case "licences.deactivate_removed":
		if c.Licences == nil {
			c.Licences = &connectionv1.Licences{}
		}
		c.Licences.DeactivateRemoved = value == "true"
	}
	return nil
}

var answerable = []string{"billing.pro_rata", "giacom.annual_price_basis", "customers.create", "licences.deactivate_removed"}

func answerQuestions(v *visit) error {
	wanted := proto.CloneOf(v.connection)
	wanted.Etag = v.form("etag")
	var err error
	for _, setting := range answerable {
		if err = answer(wanted, setting, v.form(setting)); err != nil {
			break
		}
	}
	if err == nil {
		_, err = v.Connections().ApplyConnection(v.ctx(), &connectionv1.ApplyConnectionRequest{Connection: wanted})
	}
	if err == nil {
		return v.done(v.at("/leave-observe"), said("The answers are kept."))
	}
	e, known := rpc.ErrorFrom(err)
	if !known {
		return err
	}
	// As it is now is what the page shows; what was entered is not kept over a change that somebody else made.
	if len(e.Violations) == 0 {
		return v.showLeave(httpStatus(e.Code), ui.ErrorNotice(err), nil)
	}
	x, again := v.Connections().GetLeaveObserve(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.connection.GetSlug()})
	if again != nil {
		return err
	}
	form, notice := v.questionForm(x.GetQuestions(), v.form("etag"), wanted).Wrong(err)
	return v.showLeave(httpStatus(e.Code), notice, &form)
}

// blockers are what stands against writing to Halo, each with what to do.
func blockers(x *connectionv1.LeaveObserve) ui.Section {
	s := ui.Section{Title: "What stands against it", Lead: whenAsked(x)}
	for _, b := range x.GetBlockers() {
		n := ui.Notice{Tone: ui.Bad, Title: "In the way", Text: b.GetText(), Next: b.GetFix()}
		if b.GetOverridable() {
			n.Tone, n.Title = ui.Warn, "A warning"
			n.Next += " Or give a reason when you begin; it is kept with the change."
		}
		s.Blocks = append(s.Blocks, n)
	}
	if len(s.Blocks) > 0 {
		return s
	}
	n := ui.Notice{Tone: ui.Good, Text: "Nothing, by all that Halo was asked:"}
	for _, c := range x.GetChecks() {
		if c.GetOutcome() == connectionv1.Check_OUTCOME_WARNING {
			n.Tone, n.Text = ui.Info, "Nothing that is known; but Halo does not tell everything:"
		}
		n.Items = append(n.Items, c.GetName()+": "+c.GetText())
	}
	switch {
	case len(x.GetChecks()) > 0:
	case x.GetLookTime() == nil:
		n.Tone, n.Text = ui.Info, "Nothing that is known: neither the rights nor other writers were looked at."
	default:
		n.Tone, n.Text = ui.Info, "Nothing that is known: no other integration wrote licences then. The rights to write are asked for when an operator opens this page."
	}
	s.Blocks = []ui.Block{n}
	return s
}

// whenAsked says whether what stands there is Halo's present answer, or how old it is.
func whenAsked(x *connectionv1.LeaveObserve) string {
	last := "It never said yet who else writes there."
	if at := x.GetLookTime(); at != nil {
		last = "It last said who else writes there on " + ui.DateTime(at.AsTime()) + "."
	}
	switch {
	case len(x.GetChecks()) == 0:
		return "Halo was not asked for this page; it is asked when an operator opens it. " + last
	case slices.ContainsFunc(x.GetChecks(), wentUnanswered):
		return "Halo was asked just now, and did not answer everything. " + last
	}
	return "Halo was asked just now."
}

// wentUnanswered: without a token, or the right to read the settings, nothing is known of other writers.
func wentUnanswered(c *connectionv1.Check) bool {
	return c.GetCode() == "control_unread" || c.GetName() == "Halo token" && c.GetOutcome() == connectionv1.Check_OUTCOME_FAILED
}

// toBeWritten is the part of the plan that would be written if the connection did not observe.
const toBeWritten = `state = pending OR state = applying OR reason = observe OR reason = canary`

// leavePlan sums up what would be written.
func (v *visit) leavePlan(ctx context.Context, x *connectionv1.LeaveObserve) (ui.Section, error) {
	s := ui.Section{Title: "What would be written", Actions: []ui.Button{{Label: "The whole plan", Href: v.at("/plan"), Small: true}}}
	var effects ui.List
	for _, e := range x.GetPlan() {
		if e.GetCount() > 0 {
			effects.Items = append(effects.Items, e.GetText())
		}
	}
	if len(effects.Items) == 0 {
		s.Blocks = []ui.Block{ui.Empty{Title: "Nothing", Text: "Halo holds what Giacom, the mappings and the price rules imply, as far as nothing holds it."}}
		return s, nil
	}
	totals, _, err := v.planTotals(ctx, toBeWritten)
	if err != nil {
		return s, err
	}
	s.Blocks = []ui.Block{effects, totals.tiles()[:4]}
	return s, nil
}
