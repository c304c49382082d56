package web

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/rpc"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	"seatline.dev/services/console/web/ui"
)

func changesPages() []page {
	return []page{{path: ofConnection + "/changes", title: "Changes", nav: navChanges, handle: showChanges}}
}

// showChanges merges the change logs of the services, the newest first.
func showChanges(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Customer, product or key")
	kind := l.choice("kind", "What", "", "", "Everything", "customer", "Customers", "licence", "Licences", "invoice-line", "Invoice lines")
	outcome := l.choice("outcome", "Outcome", "outcome", "", "All", "applied", "Applied", "held", "Held", "released", "Released", "failed", "Failed", "drifted", "Changed in Halo", "retired", "Retired")
	who := ui.Field{Name: "who", Label: "Who", Value: l.value("who"), Placeholder: "Name or part of it"}
	if who.Value != "" {
		l.and("who : " + quote(who.Value))
	}
	if run := l.value("run"); run != "" {
		l.and("run = " + quote(run))
	}
	page, next, silent, err := v.mergeChanges(v.ctx(), l.filter(), l.value("kind"), l.token())
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Changes, the newest first",
		Columns: []ui.Column{{Title: "What", Wide: true}, {Title: "When"}, {Title: "Outcome"}, {Title: "What changed"}, {Title: "A month, ex VAT", Num: true}, {Title: "Who"}},
		Empty:   ui.Empty{Title: "No changes", Text: "What is written to Halo, held, or decided by a person is listed here."},
		Pager:   l.pager(next, len(page)),
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No change matches what you asked for.", Actions: []ui.Button{{Label: "Show all changes", Href: v.at("/changes")}}}
	}
	v.nameClients(changesIn(page)...)
	for _, c := range page {
		t.Rows = append(t.Rows, changeRow(v, c))
	}
	filter := l.form(search, kind, outcome, who)
	blocks := []ui.Block{filter, t}
	if missing := silentNotice(silent); missing != nil {
		blocks = []ui.Block{filter, *missing, t}
	}
	return v.show(ui.Header{Title: "Changes", Lead: "Everything that was written to Halo, or decided, with its reason: the record of who did what, and when."}, blocks...)
}

func changeRow(v *visit, c *itemv1.Change) ui.Row {
	row := ui.Row{}
	outcome := ui.Badge{Text: sentence(c.GetOutcome()), Tone: ui.Good}
	switch c.GetOutcome() {
	case "failed":
		outcome.Tone, row.Tone = ui.Bad, ui.Bad
	case "held":
		outcome.Tone = ui.Warn
	case "released":
		outcome.Tone = ui.Info
	case "drifted":
		outcome.Text, outcome.Tone = "Changed in Halo", ui.Warn
	case "retired":
		outcome.Tone = ui.Muted
	}
	who := any(ui.Quiet{Value: "Seatline"})
	if c.GetWho() != "" {
		who = c.GetWho()
	}
	if c.GetRun() != "" {
		who = ui.Stack{Top: who, Under: ui.Link{Text: "in a run", Href: v.at("/runs/" + c.GetRun())}}
	}
	row.Cells = []any{
		ui.Stack{Top: v.thing(c.GetKind(), c.GetKey(), c.GetTitle()), Under: kindWord(c.GetKind()) + " · " + actionWord(c.GetAction())},
		ui.When(c.GetTime()), outcome, v.whatChanged(c.GetChanges(), c.GetReason()), monthly(c.GetMonthlyBefore(), c.GetMonthlyAfter()), who,
	}
	return row
}

// monthly is a sum a month, and if it changes by how much.
func monthly(before, after *moneyv1.Money) any {
	was, hadBefore := ui.Known(before)
	is, hasAfter := ui.Known(after)
	was.Bare, is.Bare = true, true
	switch {
	case !hasAfter && (!hadBefore || was.Value.IsZero()):
		return nil
	case !hasAfter:
		return ui.Stack{Top: nil, Under: ui.Sentence{"was ", was}}
	case !hadBefore || was.Value.Equal(is.Value) || was.Currency != is.Currency:
		return is
	default:
		return ui.Stack{Top: is, Under: ui.Amount{Value: is.Value.Sub(was.Value), Currency: is.Currency, Bare: true, Signed: true}}
	}
}

func actionWord(action string) string {
	switch action {
	case "", "none":
		return "no write"
	default:
		return action
	}
}

// mergeChanges reads one page from all services at once. Each numbers its own entries, so the place in
// the merged list is the last number shown of each: "mapper-12,licence-340".
func (v *visit) mergeChanges(ctx context.Context, filter, kind, token string) (page []*itemv1.Change, next string, silent []string, err error) {
	places := map[string]int64{}
	for part := range strings.SplitSeq(token, ",") {
		if name, number, ok := cutLast(part, "-"); ok {
			places[name] = number
		} else if part != "" {
			return nil, "", nil, rpc.InvalidArgument("page", "%q is no place in the change log", part).Do("start again at the first page")
		}
	}
	var mu sync.Mutex
	more := false
	group, ctx := errgroup.WithContext(ctx)
	for _, o := range v.Writers() {
		if kind != "" && kind != o.Kind {
			continue
		}
		group.Go(func() error {
			terms := filter
			if place, ok := places[o.Service]; ok {
				terms = fmt.Sprintf("id < %d", place)
				if filter != "" {
					terms += " AND (" + filter + ")"
				}
			}
			resp, err := o.Ops.ListChanges(ctx, &opsv1.ListChangesRequest{Connection: v.connection.GetSlug(), Filter: terms, PageSize: pageSize})
			mu.Lock()
			defer mu.Unlock()
			if unanswered(err) {
				silent = append(silent, o.Service)
				return nil
			}
			page, more = append(page, resp.GetChanges()...), more || resp.GetNextPageToken() != ""
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, "", nil, err
	}
	slices.Sort(silent)
	slices.SortStableFunc(page, func(a, b *itemv1.Change) int { return b.GetTime().AsTime().Compare(a.GetTime().AsTime()) })
	if len(page) > pageSize {
		page, more = page[:pageSize], true
	}
	for _, c := range page {
		if name, number, ok := cutLast(c.GetId(), "-"); ok {
			if least, seen := places[name]; !seen || number < least {
				places[name] = number
			}
		}
	}
	if !more {
		return page, "", silent, nil
	}
	var parts []string
	for name, number := range places {
		parts = append(parts, fmt.Sprintf("%s-%d", name, number))
	}
	slices.Sort(parts)
	return page, strings.Join(parts, ","), silent, nil
}

func cutLast(s, sep string) (before string, number int64, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", 0, false
	}
	number, err := strconv.ParseInt(s[i+1:], 10, 64)
	return s[:i], number, err == nil
}

// unanswered tells of a service that is not there, in whose absence the others are still shown.
func unanswered(err error) bool { return err != nil && rpc.ExitCode(err) == rpc.ExitUnavailable }
