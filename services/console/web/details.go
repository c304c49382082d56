package web

import (
	"net/url"
	"strings"

	"github.com/shopspring/decimal"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	overviewv1 "seatline.dev/proto/seatline/overview/v1"
	"seatline.dev/services/console/web/ui"
)

// to is the address of one thing of the connection. Keys have slashes in them, and may have anything.
func (v *visit) to(kind, key string) string {
	return (&url.URL{Path: v.at("/" + kind + "/" + key)}).EscapedPath()
}

func (v *visit) toLicence(key string) string  { return v.to("licences", key) }
func (v *visit) toLine(key string) string     { return v.to("lines", key) }
func (v *visit) toCustomer(mex string) string { return v.at("/customers/" + url.PathEscape(mex)) }

// thing is a name that leads to the thing's own page.
func (v *visit) thing(kind, key, title string) any {
	to := map[string]func(string) string{"licence": v.toLicence, "invoice-line": v.toLine, "customer": v.toCustomer}[kind]
	if to == nil || key == "" || title == "" {
		return title
	}
	return ui.Link{Text: title, Href: to(key)}
}

// asking is the address of a list with something asked of it: name and value in turns; empty values are left out.
func (v *visit) asking(list string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return (&url.URL{Path: v.at(list), RawQuery: q.Encode()}).String()
}

// ofThis is the term of a filter that keeps a list within the connection at hand.
func (v *visit) ofThis() string { return "connection = " + quote(v.connection.GetSlug()) }

// led narrows a list by a value that no field of the form offers, because another page led here with it; it can be
// taken away again.
func (l *listing) led(name, label, field string, word func(string) string) ui.Field {
	value := l.value(name)
	if value == "" {
		return ui.Field{Name: name, Kind: "hidden"}
	}
	l.and(field + " = " + quote(value))
	return ui.Field{Name: name, Label: label, Kind: "select", Auto: true, Options: ui.Options(value, "", "All", value, word(value))}
}

// shownFields leaves out the fields that say nothing.
func shownFields(fields ...ui.Field) []ui.Field {
	var out []ui.Field
	for _, f := range fields {
		if f.Kind != "hidden" || f.Value != "" {
			out = append(out, f)
		}
	}
	return out
}

// sums of several currencies, for a column whose heading says ex VAT; nil when there is none.
func sums(all []*moneyv1.Money) any {
	var out ui.Lines
	for _, m := range all {
		if shown := ui.Bare(m); shown != nil {
			out = append(out, shown)
		}
	}
	switch len(out) {
	case 0:
		return nil
	case 1:
		return out[0]
	default:
		return out
	}
}

// difference of two lists of sums, by currency; nil when there is none to speak of.
func difference(before, after []*moneyv1.Money) any {
	by, order := map[string]decimal.Decimal{}, []string{}
	count := func(all []*moneyv1.Money, sign int64) {
		for _, m := range all {
			if a, ok := ui.Known(m); ok {
				if _, seen := by[a.Currency]; !seen {
					order = append(order, a.Currency)
				}
				by[a.Currency] = by[a.Currency].Add(a.Value.Mul(decimal.NewFromInt(sign)))
			}
		}
	}
	count(after, 1)
	count(before, -1)
	var out ui.Lines
	for _, currency := range order {
		if !by[currency].IsZero() {
			out = append(out, ui.Amount{Value: by[currency], Currency: currency, Bare: true, Signed: true})
		}
	}
	switch len(out) {
	case 0:
		return nil
	case 1: // it may stand in a sentence
		return out[0]
	default:
		return out
	}
}

// each is a price of one seat: it has up to four places.
func each(m *moneyv1.Money) any {
	a, ok := ui.Known(m)
	if !ok {
		return nil
	}
	a.Bare, a.Fine = true, true
	return a
}

// spelled is a state as filters have it.
func spelled(s itemv1.State) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATE_"))
}

// stateField narrows a list of items by their state.
func (l *listing) stateField() ui.Field {
	return l.choice("state", "State", "state", "", "All", "in_sync", "In sync", "pending", "Pending", "applying", "Applying", "parked", "Parked", "held", "Held", "failed", "Failed", "retired", "Retired")
}

// standingOf is an item's state with its reason below.
func standingOf(s *itemv1.Status) any {
	return ui.Stack{Top: ui.State(s.GetState()), Under: s.GetReason().GetText()}
}

// whyNot tells why an item is not in step, and since when; nil when it is.
func whyNot(s *itemv1.Status, actions ...ui.Button) ui.Block {
	tone := ui.Info
	switch s.GetState() {
	case itemv1.State_STATE_IN_SYNC, itemv1.State_STATE_RETIRED, itemv1.State_STATE_UNSPECIFIED:
		if len(s.GetDrifted()) == 0 {
			return nil
		}
		tone = ui.Warn
	case itemv1.State_STATE_HELD:
		tone = ui.Warn
	case itemv1.State_STATE_FAILED:
		tone = ui.Bad
	}
	title := ui.State(s.GetState()).Title
	if byMode(s.GetReason().GetCode()) {
		tone, title = ui.Info, "Only shown, not written"
	}
	n := ui.Notice{Tone: tone, Title: title, Text: s.GetReason().GetText(), Actions: actions}
	if len(s.GetDrifted()) > 0 {
		n.Items = append(n.Items, "Somebody changed it in Halo by hand: "+strings.Join(s.GetDrifted(), ", "))
	}
	return n
}

// changesOf is what was written of one thing, and what it led to.
func changesOf(v *visit, changes []*itemv1.Change) ui.Section {
	t := ui.Table{
		Caption: "What was written to Halo or decided, the newest first",
		Columns: []ui.Column{{Title: "What", Wide: true}, {Title: "When"}, {Title: "Outcome"}, {Title: "What changed"}, {Title: "A month, ex VAT", Num: true}, {Title: "Who"}},
		Empty:   ui.Empty{Title: "Nothing was written yet", Text: "What is written to Halo, held, or decided by a person is listed here."},
	}
	v.nameClients(changesIn(changes)...)
	for _, c := range changes {
		t.Rows = append(t.Rows, changeRow(v, c))
	}
	return ui.Section{Title: "Changes", Blocks: []ui.Block{t}}
}

// historyOf is every state that a thing was in, as its service knew it.
func historyOf(v *visit, revisions []*opsv1.Revision) ui.Section {
	t := ui.Table{
		Caption: "Its states, the newest first",
		Columns: []ui.Column{{Title: "When"}, {Title: "What became different", Wide: true}, {Title: "Came with"}},
		Empty:   ui.Empty{Title: "No history yet"},
	}
	told := make([][]*itemv1.FieldChange, len(revisions))
	for i, r := range revisions {
		told[i] = tellable(r.GetChanges())
	}
	v.nameClients(told...)
	for i, r := range revisions {
		changed := v.whatChanged(told[i], nil)
		if changed == nil && i == len(revisions)-1 {
			changed = ui.Quiet{Value: "The first that is known"}
		}
		var from any = ui.Quiet{Value: "Seatline"}
		if r.GetRun() != "" {
			from = ui.Link{Text: "a run", Href: v.at("/runs/" + r.GetRun())}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.When(r.GetTime()), changed, from}})
	}
	return ui.Section{Title: "History", Blocks: []ui.Block{t}}
}

// tellable leaves out of a revision what says nothing to a person, and names the parts of what is left.
func tellable(fields []*itemv1.FieldChange) []*itemv1.FieldChange {
	parts := []struct{ prefix, word string }{
		{"desired.", "should be: "}, {"applied.", "in Halo: "}, {"subscription.giacom.", "Giacom: "}, {"giacom.", "Giacom: "}, {"subscription.", ""}, {"status.", ""},
	}
	var out []*itemv1.FieldChange
	for _, f := range fields {
		name := f.GetField()
		if strings.HasSuffix(name, "update_time") || strings.HasSuffix(name, "etag") || strings.HasSuffix(name, ".currency") || strings.HasSuffix(name, ".basis") || strings.HasPrefix(name, "status.run") || strings.HasPrefix(name, "candidates[") {
			continue
		}
		for _, p := range parts {
			if rest, ok := strings.CutPrefix(name, p.prefix); ok {
				name = p.word + rest
				break
			}
		}
		out = append(out, &itemv1.FieldChange{Field: strings.ReplaceAll(name, ".", " "), Before: f.GetBefore(), After: f.GetAfter()})
	}
	return out
}

// haloLinks lead into Halo.
func haloLinks(links []*overviewv1.Link) ui.Definition {
	var out ui.Lines
	guess := false
	for _, l := range links {
		out = append(out, ui.Link{Text: l.GetText(), Href: l.GetUrl(), Out: true})
		guess = guess || l.GetGuess()
	}
	d := ui.Definition{Term: "In Halo"}
	if len(out) > 0 {
		d.Value = out
	}
	if guess {
		d.Help = "The addresses of these pages are a guess: Halo does not document them."
	}
	return d
}

// moneyTiles are what something costs, what it bills, and what is left.
func moneyTiles(cost, price, margin *moneyv1.Money) ui.Tiles {
	left := ui.Tile{Label: "Margin", Value: ui.Bare(margin), Note: "a month, ex VAT"}
	if m, ok := ui.Known(margin); ok {
		if p, ok := ui.Known(price); ok && !p.Value.IsZero() {
			left.Note = m.Value.Div(p.Value).Mul(decimal.NewFromInt(100)).StringFixed(1) + " % of the price"
		}
		left.Tone = toneIf(m.Value.IsNegative(), ui.Bad)
	}
	return ui.Tiles{
		{Label: "Giacom charges", Value: ui.Bare(cost), Note: "a month, ex VAT"},
		{Label: "Halo bills", Value: ui.Bare(price), Note: "a month, ex VAT"},
		left,
	}
}

// nothingFound is for a list that was narrowed to nothing.
func nothingFound(noun, all string) ui.Empty {
	return ui.Empty{Title: "Nothing found", Text: "No " + noun + " matches what you asked for.", Actions: []ui.Button{{Label: "Show all", Href: all}}}
}
