package web

import (
	"context"
	"net/http"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// mapping many customers at once: shown first, and carried out only as shown.
type mapMany struct {
	path, tab, title, lead string
	// none is said where there is nothing to do.
	none     ui.Empty
	question func(v *visit) mapQuestion
	preview  func(v *visit, q mapQuestion) (*mappingv1.MappingChanges, error)
	apply    func(ctx context.Context, v *visit, q mapQuestion, etag string) (*mappingv1.MappingChanges, error)
}

// mapQuestion is what a person asks for; only suggestions need a score.
type mapQuestion struct{ score int32 }

var generateMappings = mapMany{
	path: "/mappings/generate", tab: "Generate mappings", title: "Generate mappings",
	lead:    "Maps customers to the Halo customers of exactly the same name. A name that two customers have, here or there, is never guessed.",
	none:    ui.Empty{Title: "Nothing to generate", Text: "No unmapped customer has exactly the name of one active Halo customer. Suggestions may know more."},
	preview: previewAll(mappingv1.MappingServiceClient.GetGeneratedMappings), apply: applyAll(mappingv1.MappingServiceClient.GenerateMappings),
}

var takeOverMappings = mapMany{
	path: "/mappings/take-over", tab: "Take over from Halo", title: "Take over mappings from Halo",
	lead:    "Halo’s own Giacom integration has a table of mappings. They are read from Halo and become Seatline’s.",
	none:    ui.Empty{Title: "Nothing to take over", Text: "Halo’s own Giacom integration maps nobody, or Seatline has those mappings already."},
	preview: previewAll(mappingv1.MappingServiceClient.GetNativeMappings), apply: applyAll(mappingv1.MappingServiceClient.TakeOverMappings),
}

func (v *visit) mapAll(etag string) *mappingv1.MapAllRequest {
	return &mappingv1.MapAllRequest{Connection: v.connection.GetSlug(), Etag: etag}
}

type mapAllCall func(c mappingv1.MappingServiceClient, ctx context.Context, in *mappingv1.MapAllRequest, opts ...grpc.CallOption) (*mappingv1.MappingChanges, error)

func previewAll(call mapAllCall) func(*visit, mapQuestion) (*mappingv1.MappingChanges, error) {
	return func(v *visit, _ mapQuestion) (*mappingv1.MappingChanges, error) {
		return call(v.Mappings(), v.ctx(), v.mapAll(""))
	}
}

func applyAll(call mapAllCall) func(context.Context, *visit, mapQuestion, string) (*mappingv1.MappingChanges, error) {
	return func(ctx context.Context, v *visit, _ mapQuestion, etag string) (*mappingv1.MappingChanges, error) {
		return call(v.Mappings(), ctx, v.mapAll(etag))
	}
}

func (p mapMany) asked(v *visit) mapQuestion {
	if p.question == nil {
		return mapQuestion{}
	}
	return p.question(v)
}

func (p mapMany) show(v *visit) error {
	q := p.asked(v)
	changes, err := p.preview(v, q)
	if err != nil {
		return err
	}
	return p.page(v, http.StatusOK, q, changes, nil)
}

// page is the preview: what would be mapped, what is left as it is and why, and a button.
func (p mapMany) page(v *visit, status int, q mapQuestion, m *mappingv1.MappingChanges, notice *ui.Notice) error {
	l := v.listing()
	l.path = v.at(p.path)
	header := ui.Header{Title: p.title, Lead: p.lead}
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	blocks = append(blocks, v.mappingTabs(p.tab, nil))
	if p.question != nil {
		header.Crumbs = []ui.Link{{Text: "Suggestions", Href: v.at("/mappings/suggestions")}}
		score := l.choice("score", "With a score of at least", "", scoreChoices...)
		score.Options = ui.Options(strconv.Itoa(int(q.score)), scoreChoices...)
		blocks = append(blocks, l.form(score))
	}
	cost := any(nil)
	if len(m.GetMonthly()) > 0 {
		cost = costCell(m.GetMonthly(), 0)
	}
	blocks = append(blocks, ui.Tiles{
		{Label: "Would be mapped", Value: len(m.GetChanges()), Note: "customers"},
		{Label: "With subscriptions", Value: m.GetSubscriptions()},
		{Label: "That cost", Value: cost, Note: "a month, ex VAT"},
		{Label: "Left as they are", Value: len(m.GetSkipped()), Note: "customers"},
	})
	if n := int64(len(m.GetChanges())); n > 0 && v.operator() {
		fields := []ui.Field{{Name: "etag", Kind: "hidden", Value: m.GetEtag()}}
		if q.score > 0 {
			fields = append(fields, ui.Field{Name: "score", Kind: "hidden", Value: strconv.Itoa(int(q.score))})
		}
		blocks = append(blocks, ui.Section{Title: "Map them", Lead: "These mappings become a person’s decisions, with your name: no rule changes them again, and each can be changed or removed.", Blocks: []ui.Block{
			ui.List{Items: []any{"The subscriptions of these customers go on to Halo, as far as the connection’s mode lets them.", "Nothing else than what is shown here is mapped: if something changed meanwhile, you are asked again."}},
			ui.Form{Action: v.at(p.path), Submit: "Map " + ui.Plural(n, "customer", "customers"), Cancel: v.at("/mappings"), Groups: ui.Fields(fields...)},
		}})
	}
	return v.showAs(status, header, append(blocks, p.lists(l, m)...)...)
}

// lists of what would be mapped and what would not, one page at a time.
func (p mapMany) lists(l *listing, m *mappingv1.MappingChanges) []ui.Block {
	skipped := l.value("show") == "skipped" || len(m.GetChanges()) == 0 && len(m.GetSkipped()) > 0
	to := func(show string) string {
		kept := l.kept()
		kept.Del("show")
		if show != "" {
			kept.Set("show", show)
		}
		return l.path + "?" + kept.Encode()
	}
	tabs := ui.Tabs{{Title: "Would be mapped", Href: to(""), Count: len(m.GetChanges()), Current: !skipped}, {Title: "Left as they are", Href: to("skipped"), Count: len(m.GetSkipped()), Current: skipped}}
	if len(m.GetChanges())+len(m.GetSkipped()) == 0 {
		return []ui.Block{p.none}
	}
	t := ui.Table{Caption: "What would be mapped", Empty: p.none}
	if skipped {
		from, until, pager := l.part(len(m.GetSkipped()))
		t.Columns, t.Pager = []ui.Column{{Title: "Giacom customer"}, {Title: "Why it is left", Wide: true}, {Title: "Subscriptions", Num: true}, {Title: "A month, ex VAT", Num: true}}, pager
		for _, x := range m.GetSkipped()[from:until] {
			t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Stack{Top: x.GetGiacomName(), Under: ui.Mono(x.GetMexId())}, x.GetReason().GetText(), x.GetSubscriptions(), costCell(x.GetMonthly(), 0)}})
		}
		return []ui.Block{tabs, t}
	}
	from, until, pager := l.part(len(m.GetChanges()))
	t.Columns, t.Pager = []ui.Column{{Title: "Giacom customer"}, {Title: "Halo customer"}, {Title: "Why", Wide: true}, {Title: "Subscriptions", Num: true}, {Title: "A month, ex VAT", Num: true}}, pager
	for _, x := range m.GetChanges()[from:until] {
		why := any(reasonLines(x.GetReasons()))
		if x.GetScore() > 0 {
			why = ui.Stack{Top: strconv.Itoa(int(x.GetScore())) + " of 100", Under: why}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Stack{Top: x.GetGiacomName(), Under: ui.Mono(x.GetMexId())},
			ui.Stack{Top: x.GetHaloClientName(), Under: ui.Sentence{"no. ", ui.Mono(strconv.FormatInt(x.GetHaloClientId(), 10))}}, why, x.GetSubscriptions(), costCell(x.GetMonthly(), 0)}})
	}
	return []ui.Block{tabs, t}
}

// carryOut what was shown; when something else would be done now, that is shown instead.
func (p mapMany) carryOut(v *visit) error {
	q := p.asked(v)
	var done *mappingv1.MappingChanges
	err := v.askHaloForAll(func(ctx context.Context) (err error) {
		done, err = p.apply(ctx, v, q, v.form("etag"))
		return err
	})
	if err != nil {
		if e, known := rpc.ErrorFrom(err); known && e.Code == codes.Aborted {
			now, previewErr := p.preview(v, q)
			if previewErr != nil {
				return previewErr
			}
			notice := ui.ErrorNotice(err)
			notice.Next = "Nothing was mapped. This is what would be done now."
			return p.page(v, http.StatusConflict, q, now, notice)
		}
		return err
	}
	n := int64(len(done.GetChanges()))
	if n == 0 {
		return v.done(v.at("/mappings"), ui.Notice{Tone: ui.Info, Text: "Nothing was left to map."})
	}
	text := ui.Plural(n, "customer is", "customers are") + " mapped, with " + ui.Plural(int64(done.GetSubscriptions()), "subscription", "subscriptions")
	if cost := inWords(done.GetMonthly()); cost != "" {
		text += " that cost " + cost
	}
	return v.done(v.at("/mappings"), said(text+"."))
}

// part is one page of a list that is read whole: the token is where it begins.
func (l *listing) part(n int) (from, until int, pager ui.Pager) {
	from, _ = strconv.Atoi(l.token())
	if from < 0 || from >= n {
		from = 0
	}
	until, next := min(from+pageSize, n), ""
	if until < n {
		next = strconv.Itoa(until)
	}
	pager = l.pager(next, until-from)
	if n > pageSize {
		pager.Note = ui.Count(int64(from+1)) + " to " + ui.Count(int64(until)) + " of " + ui.Count(int64(n))
	}
	return from, until, pager
}
