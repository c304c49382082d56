package web

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/ui"
)

func parityPages() []page {
	return []page{
		{path: ofConnection + "/parity", title: "Parity", nav: navParity, handle: showParity},
		{path: ofConnection + "/parity/rows", title: "Parity, row by row", nav: navParity, handle: showParityRows},
	}
}

// classes of parity with a short name for a heading, in the order in which they outrank each other.
var classes = []struct {
	class, name string
	tone        ui.Tone
}{
	{"gone", "Gone from Giacom", ui.Warn}, {"stray", "Of no subscription", ui.Warn}, {"unmapped", "Customer not mapped", ui.Warn},
	{"excluded", "Left out on purpose", ui.Muted}, {"waiting", "Waits by itself", ui.Info}, {"ambiguous", "Which one is meant?", ui.Warn},
	{"held", "Held or refused", ui.Bad}, {"no_licence", "No licence in Halo", ui.Warn}, {"customer", "Another customer’s", ui.Warn},
	{"count", "Seats differ", ui.Bad}, {"no_line", "On no invoice line", ui.Bad}, {"price", "Price differs", ui.Warn},
	{"cost", "Purchase price differs", ui.Info}, {"details", "Agrees but for details", ui.Good}, {"agrees", "Agrees", ui.Good},
}

func className(class string) string {
	for _, c := range classes {
		if c.class == class {
			return c.name
		}
	}
	return sentence(class)
}

func classTone(class string) ui.Tone {
	for _, c := range classes {
		if c.class == class {
			return c.tone
		}
	}
	return ui.Plain
}

func showParity(v *visit) error {
	slug := v.connection.GetSlug()
	var p *licencev1.Parity
	var sync *runv1.SyncStatus
	var runs *invoicelinev1.ListInvoiceRunsResponse
	var silent []string
	group, ctx := errgroup.WithContext(v.ctx())
	group.Go(func() (err error) { p, err = v.Parity(ctx, slug, ""); return err })
	group.Go(func() (err error) { // how old the numbers are is told where it is known
		if sync, err = v.Runs().GetSyncStatus(ctx, &runv1.GetSyncStatusRequest{Connection: slug}); unanswered(err) {
			silent, err = append(silent, "fetcher"), nil
		}
		return err
	})
	group.Go(func() (err error) {
		if runs, err = v.Lines().ListInvoiceRuns(ctx, &invoicelinev1.ListInvoiceRunsRequest{Connection: slug}); unanswered(err) {
			err = nil // the numbers themselves come from there, too: their call says so
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	t := ui.Table{
		Caption: "How subscriptions stand; each is counted once",
		Columns: []ui.Column{{Title: "How many", Num: true}, {Title: "What", Wide: true}, {Title: "Giacom charges", Num: true}, {Title: "Halo bills", Num: true}, {Title: "Halo should bill", Num: true}, {Title: "Difference", Num: true}},
	}
	for _, c := range p.GetClasses() {
		if c.GetCount() == 0 {
			continue
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{
			ui.Link{Text: ui.Count(c.GetCount()), Href: v.asking("/parity/rows", "class", c.GetClass())},
			ui.Stack{Top: ui.Badge{Text: className(c.GetClass()), Tone: classTone(c.GetClass())}, Under: c.GetText()},
			sums(c.GetCost()), sums(c.GetBilled()), sums(c.GetWanted()), difference(c.GetBilled(), c.GetWanted()),
		}})
	}
	t.Empty = ui.Empty{Title: "No subscriptions yet", Text: "They come with the first run. Until then there is nothing to compare."}
	measured := ui.Definitions{
		{Term: "Giacom", Value: ui.When(sync.GetLastSuccess().GetEndTime()), Help: "the last poll that succeeded"},
		{Term: "Halo’s licences", Value: ui.When(p.GetLicencesReadTime()), Help: "when they were last read whole; our own writes are known at once"},
	}
	if all := runs.GetRuns(); len(all) > 0 {
		oldest := slices.MinFunc(all, func(a, b *invoicelinev1.InvoiceRun) int {
			return a.GetReadTime().AsTime().Compare(b.GetReadTime().AsTime())
		})
		measured = append(measured, ui.Definition{Term: "Halo’s recurring invoices", Value: ui.When(oldest.GetReadTime()), Help: "when the oldest of them was read"})
	}
	var blocks []ui.Block
	if missing := silentNotice(silent); missing != nil {
		blocks = append(blocks, *missing)
	}
	numbers := ui.Section{Title: "The numbers", Lead: "Every subscription is in one of these, the most pressing that is true of it. Licences that are no longer in Giacom, or of no subscription, come on top. Sums are a month, ex VAT.", Blocks: []ui.Block{t},
		Actions: []ui.Button{{Label: "All rows", Href: v.at("/parity/rows"), Small: true}}}
	if v.connection.GetMode() != connectionv1.Mode_MODE_AUTO && v.operator() {
		numbers.Actions = append(numbers.Actions, ui.Button{Label: "Leave observe", Href: v.at("/leave-observe"), Small: true, Kind: "primary"})
	}
	return v.show(ui.Header{Title: "Parity", Lead: headline(p)}, append(blocks, numbers, ui.Section{Title: "What was measured when", Blocks: []ui.Block{measured}})...)
}

// showParityRows is the list behind the numbers.
func showParityRows(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Customer, product or key")
	pairs := []string{"", "Everything"}
	for _, c := range classes {
		pairs = append(pairs, c.class, c.name)
	}
	class := l.choice("class", "How it stands", "class", pairs...)
	customer := l.led("customer", "Customer", "mex_id", func(mex string) string { return mex })
	l.and(v.ofThis())
	resp, err := v.ParityRows(v.ctx(), &licencev1.ListParityRequest{PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: l.order()})
	if err != nil {
		return err
	}
	t := parityTable(v, resp.GetRows(), false)
	for i, field := range map[int]string{0: "customer_name", 4: "cost", 5: "billed", 6: "wanted"} {
		t.Columns[i] = l.sorted(t.Columns[i], field)
	}
	t.Pager = l.pager(resp.GetNextPageToken(), len(resp.GetRows()))
	if l.narrowed() {
		t.Empty = nothingFound("subscription", v.at("/parity/rows"))
	}
	header := ui.Header{Title: "Parity, row by row", Crumbs: []ui.Link{{Text: "Parity", Href: v.at("/parity")}}, Lead: "Every subscription, and every licence in Halo that looks like Giacom’s, with what it costs and what it bills. A month, ex VAT."}
	if word := l.values.Get("class"); word != "" {
		header.Title = className(word)
	}
	return v.show(header, l.form(shownFields(search, class, customer)...), t)
}

// parityTable of rows; ofOne leaves out the customer, who is the same in all of them.
func parityTable(v *visit, rows []*licencev1.ParityRow, ofOne bool) ui.Table {
	t := ui.Table{
		Caption: "Subscriptions and how they stand",
		Columns: []ui.Column{{Title: "Customer and product", Wide: true}, {Title: "Seats in Giacom", Num: true}, {Title: "In Halo", Num: true}, {Title: "How it stands"}, {Title: "Costs", Num: true}, {Title: "Bills", Num: true}, {Title: "Should bill", Num: true}, {Title: "Why, and on which line", Wide: true}},
		Empty:   ui.Empty{Title: "No subscriptions yet", Text: "They come with the first run."},
	}
	if ofOne {
		t.Columns[0].Title = "Product"
	}
	for _, r := range rows {
		row := ui.Row{}
		var name any
		if !strings.HasPrefix(r.GetKey(), "halo/") {
			name = ui.Link{Text: nameOr(r.GetName(), r.GetKey()), Href: v.toLicence(r.GetKey())}
		} else {
			name = ui.Stack{Top: nameOr(r.GetName(), r.GetKey()), Under: "licence " + strconv.FormatInt(r.GetHaloId(), 10) + " in Halo"}
		}
		customer := any(ui.Quiet{Value: "customer " + strconv.FormatInt(r.GetHaloClientId(), 10) + " in Halo"})
		if r.GetMexId() != "" {
			customer = ui.Link{Text: nameOr(r.GetCustomerName(), r.GetMexId()), Href: v.toCustomer(r.GetMexId())}
		}
		seats := func(n *int64) any {
			if n == nil {
				return nil
			}
			return *n
		}
		why := ui.Lines{}
		if text := r.GetReason().GetText(); text != "" {
			why = append(why, text)
		}
		for _, key := range r.GetLineKeys() {
			if r.GetClass() == "stray" { // a line that bills none of ours has no page
				why = append(why, ui.Quiet{Value: "line " + key})
				continue
			}
			why = append(why, ui.Link{Text: "line " + key, Href: v.toLine(key)})
		}
		which := any(ui.Stack{Top: customer, Under: name})
		if ofOne {
			which = name
		}
		row.Cells = []any{
			which, seats(r.SeatsGiacom), seats(r.SeatsHalo), ui.Badge{Text: className(r.GetClass()), Tone: classTone(r.GetClass())},
			ui.Bare(r.GetCost()), ui.Bare(r.GetBilled()), ui.Bare(r.GetWanted()), orNone(why),
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func nameOr(name, key string) string {
	if name == "" {
		return key
	}
	return name
}

func orNone(lines ui.Lines) any {
	if len(lines) == 0 {
		return nil
	}
	return lines
}
