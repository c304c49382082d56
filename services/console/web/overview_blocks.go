package web

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	overviewv1 "seatline.dev/proto/seatline/overview/v1"
	"seatline.dev/services/console/web/ui"
	"seatline.dev/services/overview"
)

// composedOverview is the whole of the overview beneath its header.
func (v *visit) composedOverview(ctx context.Context, s standing) []ui.Block {
	o, err := v.Overview(ctx, v.connection.GetSlug())
	if err != nil {
		return append(v.glance(s), *ui.ErrorNotice(err))
	}
	blocks := append([]ui.Block{v.verdict(o)}, v.glance(s)...)
	blocks = append(blocks, v.invoiceRuns(o), ui.Split{Main: []ui.Block{v.unmapped(o), v.goneAndBilling(o)}, Side: []ui.Block{v.freshness(o)}})
	if o.GetParity() != nil {
		blocks = append(blocks, v.parityAtAGlance(o.GetParity()))
	}
	return append(blocks, v.waiting(o.GetWaiting()), v.margins(o), v.monthOfChanges(o))
}

// headline of parity, for a page.
func headline(p *licencev1.Parity) string { return unbroken(overview.Headline(p)) }

// unbroken keeps a browser from ending a line between an amount and its sign.
func unbroken(text string) string {
	return strings.NewReplacer("−£", "−\u2060£", "+£", "+\u2060£").Replace(text)
}

// verdict answers the one question: is everything in step?
func (v *visit) verdict(o *overviewv1.Overview) ui.Block {
	if o.GetInStep() {
		n := ui.Notice{Tone: ui.Good, Title: strings.TrimSuffix(overview.InStep(o), "."), Text: "Halo holds what Giacom, the mappings and the price rules imply."}
		if overview.Waits(o) > 0 {
			n.Text, n.Actions = "All else in Halo is as Giacom, the mappings and the price rules imply.", []ui.Button{{Label: "What waits", Href: v.asking("/parity/rows", "class", "waiting"), Small: true}}
		}
		return n
	}
	n := ui.Notice{Tone: ui.Warn, Title: ui.Plural(int64(len(o.GetAttention())), "thing needs attention", "things need attention"), Next: "Sums are ex VAT."}
	for _, text := range o.GetAttention() {
		n.Items = append(n.Items, unbroken(text))
	}
	if slices.ContainsFunc(o.GetWaiting(), func(w *opsv1.Waiting) bool { return w.GetState() == itemv1.State_STATE_FAILED }) {
		n.Tone = ui.Bad
	}
	n.Actions = []ui.Button{{Label: "See the lists", Href: v.at("/parity"), Small: true}}
	return n
}

// invoiceRuns are what Halo will invoice next, and what would not be on it as it should.
func (v *visit) invoiceRuns(o *overviewv1.Overview) ui.Section {
	t := ui.Table{
		Caption: "The next invoice runs",
		Columns: []ui.Column{{Title: "When"}, {Title: "Lines", Num: true}, {Title: "Not as they should be", Wide: true}, {Title: "These bill a month", Num: true}, {Title: "Should bill", Num: true}},
		Empty:   ui.Empty{Title: "No invoice run is in sight", Text: "No enabled recurring invoice in Halo has lines of ours and a date to come."},
	}
	for _, r := range o.GetInvoiceRuns() {
		row := ui.Row{Cells: []any{
			ui.Stack{Top: ui.When(r.GetTime()), Under: ui.Sentence{ui.Since(r.GetTime(), v.now()), ", no writes from ", clockTime(r.GetQuietTime().AsTime())}},
			ui.Stack{Top: r.GetLines(), Under: ui.Sentence{ui.Plural(r.GetInvoices(), "invoice", "invoices") + ", read ", ui.Since(r.GetReadTime(), v.now())}},
			v.notAsTheyShouldBe(r), sums(r.GetAffectedBefore()), ui.Stack{Top: sums(r.GetAffectedAfter()), Under: difference(r.GetAffectedBefore(), r.GetAffectedAfter())},
		}}
		if r.GetFailed() > 0 {
			row.Tone = ui.Bad
		}
		t.Rows = append(t.Rows, row)
	}
	return ui.Section{Title: "Before the next invoice run", Lead: "What Halo would invoice as things stand. Sums are ex VAT.", Blocks: []ui.Block{t}}
}

func clockTime(t time.Time) any { return ui.Time{Time: t} }

// notAsTheyShouldBe counts the lines of a run by state, each number a list.
func (v *visit) notAsTheyShouldBe(r *invoicelinev1.InvoiceRun) any {
	var out ui.Lines
	next := r.GetTime().AsTime().UTC().Format("2006-01-02T15:04:05")
	for _, x := range []struct {
		n     int64
		state itemv1.State
		word  string
	}{
		{r.GetFailed(), itemv1.State_STATE_FAILED, "refused by Halo"}, {r.GetHeld(), itemv1.State_STATE_HELD, "held"},
		{r.GetParked(), itemv1.State_STATE_PARKED, "parked"}, {r.GetPending(), itemv1.State_STATE_PENDING, "being written"},
	} {
		if x.n > 0 {
			out = append(out, ui.Link{Text: ui.Count(x.n) + " " + x.word, Href: v.asking("/lines", "next", next, "state", spelled(x.state))})
		}
	}
	if len(out) == 0 {
		return ui.Badge{Text: "All as they should be", Tone: ui.Good}
	}
	return out
}

// freshness tells how old everything is, when it is polled again, and what Halo still allows.
func (v *visit) freshness(o *overviewv1.Overview) ui.Section {
	sync := o.GetSync()
	d := ui.Definitions{}
	if last := sync.GetLastRun(); last != nil {
		d = append(d, ui.Definition{Term: "Last poll of Giacom", Value: ui.Stack{Top: ui.Link{Text: ui.DateTime(last.GetStartTime().AsTime()), Href: v.at("/runs/" + last.GetId())}, Under: ui.Sentence{ui.Outcome(last.GetOutcome())}}})
	} else {
		d = append(d, ui.Definition{Term: "Last poll of Giacom", Value: ui.Quiet{Value: "never"}})
	}
	if ok := sync.GetLastSuccess(); ok != nil {
		d = append(d, ui.Definition{Term: "Giacom’s data is from", Value: ui.Since(ok.GetEndTime(), v.now())})
	}
	if open := sync.GetOpenRun(); open != nil {
		d = append(d, ui.Definition{Term: "Now", Value: ui.Stack{Top: ui.Link{Text: "A run is open", Href: v.at("/runs/" + open.GetId())}, Under: ui.Outcome(open.GetOutcome())}})
	}
	next := ui.Definition{Term: "Next poll", Value: ui.Quiet{Value: sync.GetNoNext()}}
	if times := sync.GetNextTimes(); len(times) > 0 {
		next.Value = ui.Stack{Top: ui.When(times[0]), Under: ui.Since(times[0], v.now())}
	}
	d = append(d, next,
		ui.Definition{Term: "Halo’s licences read", Value: ui.Since(o.GetParity().GetLicencesReadTime(), v.now())})
	if runs := o.GetInvoiceRuns(); len(runs) > 0 {
		oldest := slices.MinFunc(runs, func(a, b *invoicelinev1.InvoiceRun) int {
			return a.GetReadTime().AsTime().Compare(b.GetReadTime().AsTime())
		})
		d = append(d, ui.Definition{Term: "Halo’s invoices read", Value: ui.Since(oldest.GetReadTime(), v.now()), Help: "The oldest of those before the next runs"})
	}
	blocks := []ui.Block{d}
	if b := o.GetBudget(); b.GetLimit() > 0 {
		p := ui.Progress{Label: "Halo budget", Done: b.GetLeft(), Total: b.GetLimit(), Note: "requests left in " + ui.Span(b.GetWindow().AsDuration())}
		if b.GetLeft()*10 < b.GetLimit() {
			p.Tone = ui.Warn
		}
		blocks = append(blocks, p)
	}
	return ui.Section{Title: "How fresh this is", Blocks: blocks}
}

// parityAtAGlance is the headline of parity, and the numbers that are not "agrees".
func (v *visit) parityAtAGlance(p *licencev1.Parity) ui.Section {
	tiles := ui.Tiles{{Label: "Agree", Value: p.GetAgree(), Note: "of " + ui.Plural(p.GetSubscriptions(), "subscription", "subscriptions"), Tone: toneIf(p.GetAgree() == p.GetSubscriptions(), ui.Good), Href: v.at("/parity")}}
	for _, c := range p.GetClasses() {
		if c.GetCount() == 0 || c.GetClass() == "agrees" || c.GetClass() == "details" {
			continue
		}
		tiles = append(tiles, ui.Tile{Label: className(c.GetClass()), Value: c.GetCount(), Note: v.moneyOf(c), Tone: classTone(c.GetClass()), Href: v.asking("/parity/rows", "class", c.GetClass())})
	}
	return ui.Section{Title: "Giacom against Halo", Lead: headline(p), Blocks: []ui.Block{tiles}}
}

// moneyOf is the sum that matters about a class.
func (v *visit) moneyOf(c *itemv1.Standing) any {
	say := func(verb string, all []*moneyv1.Money) any {
		if len(all) == 0 {
			return nil
		}
		return ui.Sentence{verb + " ", sums(all), " a month"}
	}
	switch c.GetClass() {
	case "gone", "stray":
		return say("still bill", c.GetBilled())
	case "count", "price":
		if d := difference(c.GetBilled(), c.GetWanted()); d != nil {
			return ui.Sentence{d, " a month"}
		}
		return nil
	default:
		return say("cost", c.GetCost())
	}
}

// waiting is why things are not in Halo as Giacom has them, each number a list.
func (v *visit) waiting(all []*opsv1.Waiting) ui.Section {
	t := ui.Table{
		Caption: "Items by reason",
		Columns: []ui.Column{{Title: "Why", Wide: true}, {Title: "State"}, {Title: "How many", Num: true}, {Title: "Now a month", Num: true}, {Title: "Then", Num: true}, {Title: "Since"}},
		Empty:   ui.Empty{Title: "Nothing waits", Text: "Halo holds what Giacom, the mappings and the price rules imply."},
	}
	for _, w := range all {
		row := ui.Row{}
		if w.GetState() == itemv1.State_STATE_FAILED {
			row.Tone = ui.Bad
		}
		why := w.GetReason().GetText()
		if why == "" {
			why = ui.State(w.GetState()).Title
		}
		row.Cells = []any{
			ui.Stack{Top: why, Under: kindWord(w.GetKind())}, ui.State(w.GetState()),
			ui.Link{Text: ui.Count(w.GetCount()), Href: v.listOf(w.GetKind(), w.GetState(), w.GetReason().GetCode())},
			sums(w.GetBefore()), ui.Stack{Top: sums(w.GetAfter()), Under: difference(w.GetBefore(), w.GetAfter())}, ui.Since(w.GetOldest(), v.now()),
		}
		t.Rows = append(t.Rows, row)
	}
	return ui.Section{Title: "Why something is not in Halo as Giacom has it", Lead: "The text is that of one of them. A licence’s sum is its cost, a line’s what it bills, ex VAT.", Blocks: []ui.Block{t}}
}

// listOf leads to the list of what waits for a reason.
func (v *visit) listOf(kind string, state itemv1.State, reason string) string {
	switch kind {
	case "licence":
		return v.asking("/licences", "state", spelled(state), "reason", reason)
	case "invoice-line":
		return v.asking("/lines", "state", spelled(state), "reason", reason)
	default:
		return v.asking("/plan", "kind", kind, "state", spelled(state), "reason", reason)
	}
}

// unmapped customers, and the money that they hide.
func (v *visit) unmapped(o *overviewv1.Overview) ui.Section {
	t := ui.Table{
		Caption: "Customers that are not mapped, those that hide the most first",
		Columns: []ui.Column{{Title: "Customer", Wide: true}, {Title: "Subscriptions", Num: true}, {Title: "Costs a month", Num: true}},
		Empty:   ui.Empty{Title: "Every customer has its place", Text: "All Giacom customers with subscriptions are mapped, or ignored on purpose."},
	}
	for _, c := range o.GetUnmapped() {
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Stack{Top: ui.Link{Text: c.GetName(), Href: v.toCustomer(c.GetMexId())}, Under: ui.Mono(c.GetMexId())}, c.GetSubscriptions(), sums(c.GetCost())}})
	}
	if n := o.GetUnmappedCustomers() - int64(len(o.GetUnmapped())); n > 0 {
		t.Pager.Note = fmt.Sprintf("and %s more", ui.Count(n))
	}
	customers := ui.Section{Title: "Customers that are not mapped", Lead: "Giacom charges for them, and nobody is billed. Ex VAT.", Blocks: []ui.Block{t}}
	if _, there := v.nav[navMappings]; there && len(o.GetUnmapped()) > 0 {
		customers.Actions = []ui.Button{{Label: "Map them", Href: v.at("/mappings"), Small: true}}
	}
	return customers
}

// goneAndBilling is what is gone from Giacom and still bills.
func (v *visit) goneAndBilling(o *overviewv1.Overview) ui.Section {
	var tiles ui.Tiles
	for _, c := range o.GetParity().GetClasses() {
		if (c.GetClass() == "gone" || c.GetClass() == "stray") && c.GetCount() > 0 {
			tiles = append(tiles, ui.Tile{Label: className(c.GetClass()), Value: c.GetCount(), Note: v.moneyOf(c), Tone: ui.Warn, Href: v.asking("/parity/rows", "class", c.GetClass())})
		}
	}
	gone := ui.Section{Title: "Gone from Giacom, and still bills", Lead: "Licences that Halo still has active, and what its invoices bill for them a month, ex VAT.", Blocks: []ui.Block{tiles}}
	if len(tiles) == 0 {
		gone.Lead, gone.Blocks = nil, []ui.Block{ui.Empty{Title: "Nothing of the kind", Text: "Every active licence that is ours in Halo is in Giacom too."}}
	}
	return gone
}

// margins in all, and the lowest.
func (v *visit) margins(o *overviewv1.Overview) ui.Section {
	s := ui.Section{Title: "Margin by customer", Lead: "The lines that bill our licences, less what Giacom charges for the seats. A month, ex VAT; the lowest first.", Actions: []ui.Button{{Label: "All customers", Href: v.at("/margins"), Small: true}}}
	for _, m := range o.GetMargin() {
		s.Blocks = append(s.Blocks, moneyTiles(m.GetCost(), m.GetPrice(), m.GetMargin()))
	}
	t := marginTable(v, o.GetLowestMargins())
	s.Blocks = append(s.Blocks, t)
	return s
}

// classesOfChange are the parts of a day's bar, in the order in which they stand on each other.
var classesOfChange = []struct {
	class string
	ui.Series
}{
	{"added", ui.Series{Name: "Added", Tone: ui.Good}}, {"seats_up", ui.Series{Name: "More seats", Tone: ui.Info}}, {"seats_down", ui.Series{Name: "Fewer seats", Tone: ui.Warn}},
	{"removed", ui.Series{Name: "Removed", Tone: ui.Bad}}, {"price", ui.Series{Name: "Price or cost", Tone: ui.Busy}}, {"other", ui.Series{Name: "Other", Tone: ui.Muted}},
}

// monthOfChanges is what was written to Halo this month, day by day.
func (v *visit) monthOfChanges(o *overviewv1.Overview) ui.Section {
	zone, err := time.LoadLocation(v.connection.GetSchedule().GetTimeZone())
	if err != nil || v.connection.GetSchedule().GetTimeZone() == "" {
		if zone, err = time.LoadLocation("Europe/London"); err != nil {
			zone = time.UTC
		}
	}
	now := v.now().In(zone)
	chart := ui.Bars{Title: now.Format("January 2006") + ", writes to Halo a day"}
	for _, c := range classesOfChange {
		chart.Series = append(chart.Series, c.Series)
	}
	for day := 1; day <= now.Day(); day++ {
		chart.Bars = append(chart.Bars, ui.Bar{Label: fmt.Sprint(day, " ", now.Format("Jan")), Values: make([]float64, len(classesOfChange))})
	}
	var total int64
	var moved []*moneyv1.Money
	for _, d := range o.GetDays() {
		at, err := time.Parse(time.DateOnly, d.GetDate())
		i := slices.IndexFunc(classesOfChange, func(c struct {
			class string
			ui.Series
		}) bool {
			return c.class == d.GetClass()
		})
		if err != nil || i < 0 || at.Month() != now.Month() || at.Day() > len(chart.Bars) {
			continue
		}
		chart.Bars[at.Day()-1].Values[i] += float64(d.GetCount())
		total += d.GetCount()
		if d.GetKind() == "invoice-line" {
			moved = append(moved, d.GetDifference()...)
		}
	}
	s := ui.Section{Title: "This month’s changes", Actions: []ui.Button{{Label: "The change log", Href: v.at("/changes"), Small: true}}}
	if total == 0 {
		s.Blocks = []ui.Block{ui.Empty{Title: "Nothing was written to Halo this month", Text: "Customers, licences and lines that are written are counted here, day by day."}}
		return s
	}
	lead := ui.Sentence{ui.Plural(total, "write", "writes") + " in " + strings.TrimSpace(now.Format("January")) + "."}
	if d := difference(nil, moved); d != nil {
		lead = append(lead, " What lines bill a month moved by ", d, " ex VAT.")
	}
	s.Lead, s.Blocks = lead, []ui.Block{chart}
	return s
}
