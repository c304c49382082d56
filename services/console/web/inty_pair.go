package web

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	"seatline.dev/services/console/web/ui"
)

func (v *visit) readPair(ctx context.Context) (*intyv1.Pair, error) {
	id, err := strconv.ParseInt(v.param("licence"), 10, 64)
	if err != nil || id <= 0 {
		return nil, rpc.NotFound("licence of Inty's in Halo", v.param("licence")).Do("choose one of the list")
	}
	resp, err := v.Inty().ListPairs(ctx, &intyv1.ListPairsRequest{Connection: v.connection.GetSlug(), HaloId: id})
	if err != nil {
		return nil, err
	}
	if len(resp.GetPairs()) == 0 {
		return nil, rpc.NotFound("licence of Inty's in Halo", v.param("licence")).Do("have Halo read again, then look at the list")
	}
	return resp.GetPairs()[0], nil
}

func showIntyPair(v *visit) error {
	x, err := v.readPair(v.ctx())
	if err != nil {
		return err
	}
	header := v.intyHeader(x.GetInty().GetName(), ui.Sentence{x.GetInty().GetClientName(), ", ", seats(x.GetInty().GetCount()), ", licence ", strconv.FormatInt(x.GetInty().GetHaloId(), 10), " in Halo"})
	header.Crumbs = append(header.Crumbs, ui.Link{Text: "Licences and lines", Href: v.atInty("/pairs")})
	return v.show(header, ui.Live{URL: v.toPair(x) + "/live", Blocks: v.pairBlocks(v.ctx(), x)})
}

func streamIntyPair(v *visit) error {
	return v.stream(every(2*time.Second), func(ctx context.Context) ([]ui.Block, bool, error) {
		x, err := v.readPair(ctx)
		if err != nil {
			return nil, true, err
		}
		return v.pairBlocks(ctx, x), false, nil
	})
}

func (v *visit) pairBlocks(ctx context.Context, x *intyv1.Pair) []ui.Block {
	base, y := v.connection.GetHalo().GetBaseUrl(), x.GetInty()
	facts := ui.Definitions{{Term: "State", Value: ui.Stack{Top: pairWords[x.GetState()], Under: x.GetWhy()}}}
	if x.GetWho() != "" {
		facts = append(facts, ui.Definition{Term: "Decided by", Value: x.GetWho()})
	}
	product := any(y.GetProduct())
	if y.GetSku() != "" {
		product = ui.Stack{Top: product, Under: ui.Mono(y.GetSku())}
	}
	status := any(y.GetStatus())
	if !y.GetActive() {
		status = ui.Stack{Top: status, Under: "inactive in Halo by now"}
	}
	facts = append(facts, ui.Definition{Term: "Product", Value: product}, ui.Definition{Term: "Inty’s status", Value: status}, ui.Definition{Term: "Term", Value: orNothing(y.GetTerm())})
	if to := halo.LicencePage(base, y.GetHaloId()); to != "" {
		facts = append(facts, ui.Definition{Term: "In Halo", Value: ui.Lines{ui.Link{Text: "Licence", Href: to, Out: true}, ui.Link{Text: "Customer", Href: halo.CustomerPage(base, y.GetClientId()), Out: true}}})
	}
	main := []ui.Block{v.pairGiacom(x), v.pairLines(x)}
	side := []ui.Block{ui.Section{Title: "Inty’s licence", Blocks: []ui.Block{facts}}}
	if v.operator() {
		main = append(main, v.pairDecisions(ctx, x)...)
	}
	return []ui.Block{ui.Split{Main: main, Side: side}}
}

func orNothing(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (v *visit) pairGiacom(x *intyv1.Pair) ui.Block {
	t := ui.Table{
		Caption: "Giacom's licences", Columns: []ui.Column{{Title: "Licence", Wide: true}, {Title: "Seats", Num: true}, {Title: "Term"}, {Title: "In Halo"}},
		Empty: ui.Empty{Title: "None found", Text: "No Giacom licence of this customer has the product. Import the subscriptions, or leave the licence alone."},
	}
	title := "Its Giacom licence"
	all := x.GetCandidates()
	if g := x.GetGiacom(); g != nil {
		all = []*intyv1.GiacomLicence{g}
	} else if len(all) > 0 {
		title = "Giacom licences that could be meant"
	}
	if slices.ContainsFunc(all, func(g *intyv1.GiacomLicence) bool { return g.GetWhyNot() != "" }) {
		t.Columns = append(t.Columns, ui.Column{Title: "Why it is no certain match"})
	}
	for _, g := range all {
		in := any(ui.Quiet{Value: "not yet"})
		if g.GetHaloId() != 0 {
			in = "No. " + strconv.FormatInt(g.GetHaloId(), 10)
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Stack{Top: ui.Link{Text: g.GetName(), Href: v.toLicence(g.GetKey())}, Under: ui.Mono(g.GetKey())}, g.GetCount(), orNothing(g.GetTerm()), in, orNothing(g.GetWhyNot())}[:len(t.Columns)]})
	}
	return ui.Section{Title: title, Blocks: []ui.Block{t}}
}

func (v *visit) pairLines(x *intyv1.Pair) ui.Block {
	t := ui.Table{Caption: "Lines", Columns: []ui.Column{{Title: "Line", Wide: true}, {Title: "State"}, {Title: "Next invoice"}}, Empty: ui.Empty{Title: "On no line", Text: "No recurring invoice links this licence: there is nothing to re-point."}}
	for _, l := range x.GetLines() {
		state := any(lineWords[l.GetState()])
		if why := l.GetStatus().GetReason().GetText(); why != "" {
			state = ui.Stack{Top: state, Under: why}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{v.lineNamed(l), state, ui.When(l.GetNextInvoiceTime())}})
	}
	return ui.Section{Title: "Recurring-invoice lines that link it", Blocks: []ui.Block{t}}
}

// pairDecisions are what a person may decide about a pair as it stands.
func (v *visit) pairDecisions(ctx context.Context, x *intyv1.Pair) []ui.Block {
	press := func(label, kind, do string) ui.Button {
		return ui.Button{Label: label, Kind: kind, Href: v.toPair(x), Post: true, Send: []string{"do", do, "etag", x.GetEtag(), "key", x.GetGiacom().GetKey()}}
	}
	switch x.GetState() {
	case intyv1.PairState_PAIR_STATE_ADOPTED, intyv1.PairState_PAIR_STATE_EXCLUDED, intyv1.PairState_PAIR_STATE_MOVING, intyv1.PairState_PAIR_STATE_MOVED:
		return nil
	case intyv1.PairState_PAIR_STATE_ASKED:
		return []ui.Block{ui.Notice{Tone: ui.Warn, Text: "It is not known whether the customer is in the United States.", Actions: []ui.Button{{Label: "Say where it is", Href: v.atInty("/where?customer=" + strconv.FormatInt(x.GetInty().GetClientId(), 10))}}}}
	case intyv1.PairState_PAIR_STATE_DUPLICATE:
		return []ui.Block{ui.Section{Title: "Which of two ways?", Blocks: []ui.Block{
			ui.List{Items: []any{
				ui.Sentence{"Take it over in place: Inty’s licence becomes Giacom’s, with ", seats(x.GetGiacom().GetCount()), " instead of ", ui.Count(x.GetInty().GetCount()), ". Its lines stay linked, and nothing needs re-pointing."},
				"Create beside it: Giacom’s licence is made anew, as the guide has it, and the lines are re-pointed to it afterwards.",
			}},
			ui.Actions{Buttons: []ui.Button{press("Take over in place", "primary", "adopt"), press("Create beside it", "", "beside"), press("Leave it alone", "", "leave")}},
		}}}
	case intyv1.PairState_PAIR_STATE_LEFT:
		return []ui.Block{ui.Actions{Buttons: []ui.Button{press("Pair it after all", "", "auto")}}}
	}
	var blocks []ui.Block
	choice := ui.Field{Name: "key", Label: "Which one stands for it?", Kind: "radio"}
	offer := func(g *intyv1.GiacomLicence, help string) {
		if !slices.ContainsFunc(choice.Options, func(o ui.Option) bool { return o.Value == g.GetKey() }) {
			choice.Options = append(choice.Options, ui.Option{Value: g.GetKey(), Label: g.GetName() + ", " + seats(g.GetCount()), Help: strings.TrimSpace(g.GetKey() + " " + help), Selected: x.GetGiacom().GetKey() == g.GetKey()})
		}
	}
	for _, g := range x.GetCandidates() {
		offer(g, g.GetWhyNot())
	}
	if x.GetGiacom() != nil {
		offer(x.GetGiacom(), "")
	}
	for _, g := range v.giacomOf(ctx, x.GetInty().GetClientId()) {
		offer(g, "")
	}
	if len(choice.Options) > 1 || len(choice.Options) == 1 && x.GetGiacom() == nil {
		blocks = append(blocks, ui.Section{Title: "Choose its Giacom licence", Lead: "Any licence that Giacom has of this customer may stand for it: a product may have another name by now.", Blocks: []ui.Block{ui.Form{Action: v.toPair(x), Submit: "Choose", Groups: ui.Fields(
			ui.Field{Name: "do", Kind: "hidden", Value: "choose"}, ui.Field{Name: "etag", Kind: "hidden", Value: x.GetEtag()}, choice)}}})
	}
	buttons := []ui.Button{press("Leave it alone", "", "leave")}
	if x.GetWho() != "" {
		buttons = append(buttons, press("Go back to what was found", "", "auto"))
	}
	return append(blocks, ui.Actions{Buttons: buttons})
}

// giacomOf lists licences that Giacom has of a customer, as far as the licence service answers.
func (v *visit) giacomOf(ctx context.Context, client int64) []*intyv1.GiacomLicence {
	resp, err := v.Licences().ListLicences(ctx, &licencev1.ListLicencesRequest{
		PageSize: pageSize, Filter: fmt.Sprintf("connection = %s AND halo_client_id = %d", quote(v.connection.GetSlug()), client), OrderBy: "name",
	})
	if err != nil { // what was found by itself can be chosen all the same
		return nil
	}
	var out []*intyv1.GiacomLicence
	for _, l := range resp.GetLicences() {
		out = append(out, &intyv1.GiacomLicence{Key: l.GetKey(), Name: l.GetSubscription().GetGiacom().GetName(), Count: l.GetDesired().GetCount()})
	}
	return out
}

func decideIntyPair(v *visit) error {
	x, err := v.readPair(v.ctx())
	if err != nil {
		return err
	}
	back, key, id := v.toPair(x), v.form("key"), x.GetInty().GetHaloId()
	choice := &intyv1.SetPairRequest{Connection: v.connection.GetSlug(), HaloId: id, Etag: v.form("etag")}
	licences := v.Licences()
	text := ""
	switch do := v.form("do"); do {
	case "choose":
		if key == "" {
			return v.done(back, ui.Notice{Tone: ui.Warn, Text: "Nothing was chosen yet.", Next: "Choose one of the Giacom licences, or leave it alone."})
		}
		choice.Key, text = key, "Chosen: "+key+"."
		_, err = v.Inty().SetPair(v.ctx(), choice)
	case "leave":
		choice.Leave, text = true, "It is left alone: its lines go on billing what they bill."
		_, err = v.Inty().SetPair(v.ctx(), choice)
	case "auto":
		text = "Back to what was found."
		_, err = v.Inty().SetPair(v.ctx(), choice)
	case "adopt", "beside":
		if x.GetState() != intyv1.PairState_PAIR_STATE_DUPLICATE || x.GetGiacom().GetKey() != key {
			return v.done(back, ui.Notice{Tone: ui.Warn, Text: "It is no possible duplicate of that licence any more: somebody decided meanwhile.", Next: "Look at how it stands now."})
		}
		if do == "adopt" {
			text = fmt.Sprintf("%s takes over licence %d in place: its lines need no re-pointing.", x.GetGiacom().GetName(), id)
			_, err = licences.AdoptLicence(v.ctx(), &licencev1.AdoptLicenceRequest{Connection: v.connection.GetSlug(), Key: key, HaloId: id})
		} else {
			text = "Giacom’s licence is being created beside it. Once it is there, its lines can be re-pointed."
			_, err = licences.CreateLicence(v.ctx(), &licencev1.GetLicenceRequest{Connection: v.connection.GetSlug(), Key: key})
		}
	default:
		return rpc.InvalidArgument("do", "%q is nothing that can be done with a pair", do).Do("go back and use one of the buttons")
	}
	if err != nil {
		if e, known := rpc.ErrorFrom(err); known && e.Reason == "CHANGED_MEANWHILE" { // shown with how it is now
			notice := ui.ErrorNotice(err)
			notice.Tone = ui.Warn
			return v.done(back, *notice)
		}
		return err
	}
	return v.done(back, said(text))
}
