package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/console/web/ui"
)

// customersOf reads numbers of customers in Halo, as a person enters them; none means all.
func customersOf(text string) ([]int64, error) {
	var ids []int64
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ';' || r == ' ' || r == '\t' || r == '\n' }) {
		id, err := strconv.ParseInt(word, 10, 64)
		if err != nil || id <= 0 {
			return nil, rpc.InvalidArgument("customers", "%q is no number of a customer in Halo", word).Do("enter numbers with commas between them, such as 12, 34; they stand below the customers’ names")
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// previewOf the customers chosen.
func (v *visit) previewOf(customers string) (*intyv1.Preview, error) {
	ids, err := customersOf(customers)
	if err != nil {
		return nil, err
	}
	return v.Inty().GetPreview(v.ctx(), &intyv1.PreviewRequest{Connection: v.connection.GetSlug(), ClientIds: ids})
}

// showIntyPreview is what re-pointing would change, with its money.
func showIntyPreview(v *visit) error {
	l := v.listing()
	customers := ui.Field{Name: "customers", Label: "Only customers (Halo numbers)", Value: l.value("customers"), Placeholder: "12, 34"}
	when := l.choice("when", "When", "", "", "All", "now", "Written at once", "waits", "Waits")
	m, err := v.migration(v.ctx())
	if err != nil {
		return err
	}
	header := v.intyHeader("Preview", "What re-pointing would change: each line with its seats, its money, and the pro-rata row that Halo may create. Looking changes nothing.")
	p, err := v.previewOf(customers.Value)
	if e, known := rpc.ErrorFrom(err); known && len(e.Violations) > 0 {
		customers.Error = e.Violations[0].Description
		return v.showAs(http.StatusUnprocessableEntity, header, v.intyTabs(m), l.form(customers, when), ui.ErrorNotice(err))
	}
	if err != nil {
		return err
	}
	if v.operator() && len(p.GetItems()) > 0 {
		header.Actions = []ui.Button{{Label: "Apply …", Href: v.asksApply("/apply", customers.Value), Kind: "primary"}}
	}
	items := p.GetItems()
	if wanted := l.values.Get("when"); wanted != "" {
		items = nil
		for _, x := range p.GetItems() {
			if (x.GetHeld() == nil) == (wanted == "now") {
				items = append(items, x)
			}
		}
	}
	page, next := cut(l, items)
	t := ui.Table{
		Caption: "Lines to be re-pointed",
		Columns: []ui.Column{{Title: "Line", Wide: true}, {Title: "Seats", Num: true}, {Title: "A month, ex VAT", Num: true}, {Title: "What changes"}, {Title: "Pro rata"}, {Title: "When"}},
		Empty:   ui.Empty{Title: "Nothing to re-point", Text: "No line links a licence of Inty’s whose Giacom licence is ready. Licences and lines say how each stands.", Actions: []ui.Button{{Label: "Licences and lines", Href: v.atInty("/pairs")}}},
		Pager:   l.pager(next, len(page)),
	}
	for _, x := range page {
		t.Rows = append(t.Rows, v.previewRow(x))
	}
	blocks := []ui.Block{v.intyTabs(m), previewTiles(p), l.form(customers, when)}
	if n := p.GetNotes(); len(n) > 0 {
		blocks = append(blocks, ui.Notice{Tone: ui.Info, Title: "Before you apply", Items: n})
	}
	return v.show(header, append(blocks, t)...)
}

// asksApply is the address of a question about the customers chosen.
func (v *visit) asksApply(rest, customers string) string {
	if customers == "" {
		return v.atInty(rest)
	}
	return v.atInty(rest + "?" + url.Values{"customers": {customers}}.Encode())
}

func (v *visit) previewRow(x *intyv1.PreviewItem) ui.Row {
	line := x.GetLine()
	id := strconv.FormatInt(line.GetClientId(), 10)
	when := any(ui.Badge{Text: "At once", Tone: ui.Good})
	if h := x.GetHeld(); h != nil {
		when = ui.Stack{Top: ui.Badge{Text: "Waits", Tone: ui.Warn}, Under: h.GetText()}
	}
	proRata := any(nil)
	if r := x.GetProRata(); r != nil {
		proRata = ui.Quiet{Value: r.GetText()}
		if a, ok := ui.Known(r.GetAmount()); ok {
			a.Signed = true
			proRata = ui.Stack{Top: a, Under: "estimate for " + strings.Replace(r.GetQuantity(), "-", "−", 1) + " seats over the days left, if Halo makes the row"}
		}
	}
	if n := x.GetProRataWaiting(); n > 0 {
		proRata = ui.Stack{Top: proRata, Under: ui.Plural(int64(n), "row that waits stays as it is", "rows that wait stay as they are")}
	}
	counted := any(ui.Change{Before: x.GetQuantityBefore(), After: x.GetQuantityAfter()})
	if x.GetQuantityBefore() == x.GetQuantityAfter() {
		counted = orNothing(x.GetQuantityAfter())
	}
	return ui.Row{Cells: []any{
		ui.Stack{Top: v.lineNamed(line), Under: ui.Sentence{"No. " + id + " · ", ui.Link{Text: "only this customer", Href: v.asksApply("/preview", id)}}},
		counted, monthly(x.GetMonthlyBefore(), x.GetMonthlyAfter()),
		ui.Stack{Top: v.whatChanged(x.GetChanges(), nil), Under: "instead of " + x.GetFromName()},
		proRata, when,
	}}
}

func previewTiles(p *intyv1.Preview) ui.Tiles {
	change, proRata := previewChange(p), ui.Amount{Signed: true, Bare: true}
	for _, x := range p.GetItems() {
		if a, ok := ui.Known(x.GetProRata().GetAmount()); ok {
			proRata.Value, proRata.Currency = proRata.Value.Add(a.Value), a.Currency
		}
	}
	tiles := ui.Tiles{
		{Label: "Lines to re-point", Value: int64(len(p.GetItems())), Note: ui.Count(int64(p.GetWritable())) + " at once"},
		{Label: "They bill now", Value: ui.Bare(p.GetMonthlyBefore()), Note: "a month, ex VAT"},
		{Label: "Then", Value: ui.Bare(p.GetMonthlyAfter()), Note: "a month, ex VAT"},
		{Label: "Difference", Value: change, Note: "a month, ex VAT"},
		{Label: "Wait", Value: int64(p.GetHeld()), Note: "each for its reason", Tone: toneIf(p.GetHeld() > 0, ui.Warn)},
	}
	if !proRata.Value.IsZero() {
		tiles = append(tiles, ui.Tile{Label: "Pro rata, about", Value: proRata, Note: "once, ex VAT, if Halo makes it"})
	}
	return tiles
}

// previewChange is by how much a preview changes what is billed a month; nil when that is not known.
func previewChange(p *intyv1.Preview) any {
	before, known1 := ui.Known(p.GetMonthlyBefore())
	after, known2 := ui.Known(p.GetMonthlyAfter())
	if !known1 || !known2 {
		return nil
	}
	return ui.Amount{Value: after.Value.Sub(before.Value), Currency: after.Currency, Bare: true, Signed: true}
}

func askIntyApply(v *visit) error {
	return v.showIntyApply(http.StatusOK, v.query("customers"), true, nil)
}

func (v *visit) showIntyApply(status int, customers string, deactivate bool, notice *ui.Notice) error {
	p, err := v.previewOf(customers)
	if err != nil {
		return err
	}
	back := v.asksApply("/preview", customers)
	header := v.intyHeader("Re-point "+ui.Plural(int64(len(p.GetItems())), "line", "lines")+"?", nil)
	header.Crumbs = append(header.Crumbs, ui.Link{Text: "Preview", Href: back})
	if len(p.GetItems()) == 0 {
		return v.show(header, ui.Empty{Title: "Nothing to re-point", Text: "No line of these customers links a licence of Inty’s whose Giacom licence is ready.", Actions: []ui.Button{{Label: "Back to the preview", Href: back}}})
	}
	whom := "all customers that are ready"
	if customers != "" {
		whom = "the customers " + customers + " alone"
	}
	confirm := ui.Confirm{
		Text:         "For " + whom + ": each line counts the seats of its Giacom licence from now on, and no longer those of Inty’s.",
		Consequences: append(moneyOf(p), p.GetNotes()...),
		Form: ui.Form{
			Action: v.atInty("/apply"), Submit: "Re-point " + ui.Plural(int64(len(p.GetItems())), "line", "lines"), Danger: true, Cancel: back,
			Groups: ui.Fields(
				ui.Field{Name: "etag", Kind: "hidden", Value: p.GetEtag()}, ui.Field{Name: "customers", Kind: "hidden", Value: customers},
				ui.Field{Name: "deactivate", Kind: "checkbox", Checked: deactivate, Wide: true, Label: "Deactivate Inty’s licences when no line links them any more",
					Help: ui.Plural(int64(p.GetDeactivated()), "licence", "licences") + " could be. Each is deactivated after its lines were moved, and made active again by an undo."},
			),
		},
	}
	blocks := []ui.Block{previewTiles(p), confirm}
	if notice != nil {
		blocks = append([]ui.Block{*notice}, blocks...)
	}
	return v.showAs(status, header, blocks...)
}

// moneyOf a preview, point by point.
func moneyOf(p *intyv1.Preview) []string {
	var points []string
	if a, ok := previewChange(p).(ui.Amount); ok {
		word := "more"
		if a.Value.IsNegative() {
			word = "less"
		}
		change := ui.Amount{Value: a.Value.Abs(), Currency: a.Currency, Per: "a month"}
		if a.Value.IsZero() {
			points = append(points, "What these lines bill a month stays the same.")
		} else {
			points = append(points, "Together these lines bill "+change.Full()+" "+word+" than now.")
		}
	}
	n := 0
	for _, x := range p.GetItems() {
		if x.GetProRata() != nil {
			n++
		}
	}
	if n > 0 {
		points = append(points, fmt.Sprintf("Halo may create a pro-rata row on %s, because their seats change within the period.", ui.Plural(int64(n), "of them", "of them")))
	}
	return append(points, "Each line is read back from Halo after it was written. All of it can be undone.")
}

func applyInty(v *visit) error {
	customers, deactivate := v.form("customers"), v.form("deactivate") != ""
	ids, err := customersOf(customers)
	if err != nil {
		return err
	}
	answer, err := v.Inty().ApplyMigration(v.ctx(), &intyv1.ApplyMigrationRequest{Connection: v.connection.GetSlug(), ClientIds: ids, Etag: v.form("etag"), Deactivate: deactivate})
	if e, known := rpc.ErrorFrom(err); known {
		notice := ui.ErrorNotice(err)
		switch e.Reason {
		case "CHANGED_MEANWHILE":
			notice = &ui.Notice{Tone: ui.Warn, Title: "It is not what was shown any more", Text: "Something changed since: in Halo, in Giacom, or by somebody here. Nothing was applied.", Next: "Look at the figures as they are now, and apply again if they are right."}
		case "INTY_MODULE_ON":
			notice.Next = "Clear out and disable the module in Halo, have it checked in step 2, then apply again."
		case "MAPPINGS_NOT_SAVED":
			notice.Next = "Save them in step 1 first, then apply again."
		}
		return v.showIntyApply(httpStatus(e.Code), customers, deactivate, notice)
	}
	if err != nil {
		return err
	}
	return v.done(v.atInty(""), said(ui.Plural(int64(answer.GetLines()), "line is", "lines are")+" being re-pointed, one invoice after the other."))
}

// verifyInty reads the invoices again and shows what is not as it should be.
func verifyInty(v *visit) error {
	m, err := v.Inty().VerifyMigration(v.ctx(), v.migrationRequest())
	if err != nil {
		return err
	}
	header := v.intyHeader("Verified in Halo", nil, ui.Button{Label: "Verify again", Href: v.atInty("/verify"), Post: true})
	right := int64(m.GetRight())
	if len(m.GetWrong())+len(m.GetActive()) == 0 {
		return v.show(header, ui.Notice{Tone: ui.Good, Title: "Everything is as it should be", Text: ui.Plural(right, "line was", "lines were") + " read again from Halo and compared.", Actions: []ui.Button{{Label: "Back to the steps", Href: v.atInty("")}}})
	}
	blocks := []ui.Block{ui.Notice{Tone: ui.Warn, Title: "Not everything is as it should be", Text: fmt.Sprintf("%s right; what follows is not.", ui.Plural(right, "line is", "lines are")), Next: "What is being written may only need a moment: verify again. Else each says why."}}
	if len(m.GetWrong()) > 0 {
		t := ui.Table{Caption: "Lines", Columns: []ui.Column{{Title: "Line", Wide: true}, {Title: "State"}, {Title: "Why"}}}
		for _, l := range m.GetWrong() {
			t.Rows = append(t.Rows, ui.Row{Cells: []any{v.lineNamed(l), lineWords[l.GetState()], orNothing(l.GetStatus().GetReason().GetText())}})
		}
		blocks = append(blocks, ui.Section{Title: "Lines", Blocks: []ui.Block{t}})
	}
	if len(m.GetActive()) > 0 {
		t := ui.Table{Caption: "Licences", Columns: []ui.Column{{Title: "Licence", Wide: true}, {Title: "Customer"}}}
		for _, x := range m.GetActive() {
			id := strconv.FormatInt(x.GetHaloId(), 10)
			t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Stack{Top: ui.Link{Text: x.GetName(), Href: v.atInty("/pairs/" + id)}, Under: "No. " + id}, x.GetClientName()}})
		}
		blocks = append(blocks, ui.Section{Title: "Inty’s licences that should be inactive and are not", Blocks: []ui.Block{t}})
	}
	return v.show(header, blocks...)
}

func askIntyUndo(v *visit) error {
	return v.showIntyUndo(http.StatusOK, ui.Field{Value: v.query("customers")})
}

func (v *visit) showIntyUndo(status int, customers ui.Field) error {
	m, err := v.migration(v.ctx())
	if err != nil {
		return err
	}
	header := v.intyHeader("Undo the re-pointing?", nil)
	if m.GetLinesApplied() == 0 {
		return v.show(header, ui.Empty{Title: "Nothing to undo", Text: "No line was re-pointed, or all were put back.", Actions: []ui.Button{{Label: "Back to the steps", Href: v.atInty("")}}})
	}
	customers.Name, customers.Label, customers.Placeholder, customers.Wide = "customers", "Only customers", "All", true
	customers.Help = "Numbers in Halo with commas between them; empty for all."
	return v.showAs(status, header, ui.Confirm{
		Text: ui.Plural(int64(m.GetLinesApplied()), "line was", "lines were") + " re-pointed. They are put back as they were.",
		Consequences: []string{
			"Inty’s licences that were deactivated are made active again first.",
			"Each line links its old licence again, with the cost and price of that time.",
			"Pro-rata rows that Halo created stay: they are Halo’s. Look at them before the next invoices.",
			"The Giacom licences stay in Halo, and nothing bills them until the lines are re-pointed again.",
		},
		Form: ui.Form{Action: v.atInty("/undo"), Submit: "Undo the re-pointing", Danger: true, Cancel: v.atInty(""), Groups: ui.Fields(customers)},
	})
}

func undoInty(v *visit) error {
	given := ui.Field{Value: v.form("customers")}
	ids, err := customersOf(given.Value)
	if e, known := rpc.ErrorFrom(err); known {
		given.Error = e.Violations[0].Description
		return v.showIntyUndo(http.StatusUnprocessableEntity, given)
	}
	answer, err := v.Inty().UndoMigration(v.ctx(), &intyv1.UndoMigrationRequest{Connection: v.connection.GetSlug(), ClientIds: ids})
	if err != nil {
		return err
	}
	if answer.GetLines() == 0 {
		return v.done(v.atInty(""), ui.Notice{Tone: ui.Info, Text: "There was nothing to undo."})
	}
	return v.done(v.atInty(""), said(ui.Plural(int64(answer.GetLines()), "line is being put back as it was.", "lines are being put back as they were.")))
}
