package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// Customers to begin with stand in the address, so that choosing them needs no script and nothing is kept: "with" once
// for each, a Giacom id, or "halo:" and a Halo id.

const ofHalo = "halo:"

// canaryOf spells out the customers of a canary.
func canaryOf(c *connectionv1.Canary) []string {
	with := slices.Clone(c.GetMexIds())
	for _, id := range c.GetHaloClientIds() {
		with = append(with, ofHalo+strconv.FormatInt(id, 10))
	}
	return with
}

// canaryFrom reads them; nil for everything.
func canaryFrom(with []string) (*connectionv1.Canary, error) {
	if len(with) == 0 {
		return nil, nil
	}
	c := &connectionv1.Canary{}
	for _, x := range with {
		id, ok := strings.CutPrefix(x, ofHalo)
		if !ok {
			c.MexIds = append(c.MexIds, x)
			continue
		}
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return nil, rpc.InvalidArgument("with", "%q is no customer of Halo", x)
		}
		c.HaloClientIds = append(c.HaloClientIds, n)
	}
	return c, nil
}

func (v *visit) canaryAddress(with []string, search string) string {
	q := url.Values{"with": with}
	if search != "" {
		q.Set("q", search)
	}
	return (&url.URL{Path: v.at("/leave-observe/canary"), RawQuery: q.Encode()}).String()
}

func without(with []string, x string) []string {
	return slices.DeleteFunc(slices.Clone(with), func(y string) bool { return x == y })
}

// chooseCanary lists mapped customers to begin with; each click is another address.
func chooseCanary(v *visit) error {
	l := v.listing()
	with := slices.DeleteFunc(slices.Clone(l.values["with"]), func(x string) bool { return x == "" })
	search := l.search("Search", "Customer")
	l.and(v.ofThis())
	l.and("state = mapped")
	order := l.order()
	if order == "" {
		order = "subscriptions"
	}
	resp, err := v.Mappings().ListMappings(v.ctx(), &mappingv1.ListMappingsRequest{PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: order})
	if err != nil {
		return err
	}
	chosen := ui.Section{Title: "To begin with", Lead: "Only what concerns them is written. Everything else stays as in observe."}
	t := ui.Table{Caption: "Customers to begin with", Columns: []ui.Column{{Title: "Customer", Wide: true}, {Title: ""}}, Empty: ui.Empty{Title: "Nobody yet", Text: "Choose one or a few below: a good one has few subscriptions, and you know how it should be invoiced."}}
	for _, x := range with {
		t.Rows = append(t.Rows, ui.Row{Cells: []any{v.canaryName(x), ui.Button{Label: "Remove", For: x, Href: v.canaryAddress(without(with, x), search.Value), Small: true}}})
	}
	chosen.Blocks = []ui.Block{t}
	if len(with) > 0 {
		chosen.Actions = []ui.Button{{Label: "Go on", Href: (&url.URL{Path: v.at("/leave-observe/begin"), RawQuery: url.Values{"with": with}.Encode()}).String(), Kind: "primary"}}
	}
	rows := ui.Table{
		Caption: "Mapped customers",
		Columns: []ui.Column{{Title: "Customer", Wide: true}, {Title: "In Halo"}, {Title: "Subscriptions", Num: true}, {Title: "Costs a month, ex VAT", Num: true}, {Title: ""}},
		Empty:   ui.Empty{Title: "Nothing found", Text: "No mapped customer matches. A customer that is not mapped has nothing to be written."},
	}
	for _, m := range resp.GetMappings() {
		do := any(ui.Button{Label: "Add", For: m.GetGiacomName(), Href: v.canaryAddress(append(slices.Clone(with), m.GetMexId()), search.Value), Small: true})
		if slices.Contains(with, m.GetMexId()) {
			do = ui.Badge{Text: "Chosen", Tone: ui.Good}
		}
		rows.Rows = append(rows.Rows, ui.Row{Cells: []any{ui.Stack{Top: ui.Link{Text: nameOr(m.GetGiacomName(), m.GetMexId()), Href: v.toCustomer(m.GetMexId())}, Under: ui.Mono(m.GetMexId())}, m.GetHaloClientName(), m.GetSubscriptions(), sums(m.GetMonthly()), do}})
	}
	if next := resp.GetNextPageToken(); next != "" {
		q := url.Values{"with": with, "page": {next}}
		if search.Value != "" {
			q.Set("q", search.Value)
		}
		rows.Pager = ui.Pager{Next: l.path + "?" + q.Encode(), Note: ui.Plural(int64(len(rows.Rows)), "row", "rows") + " on this page"}
	}
	form := ui.Filter{Action: l.path, Fields: []ui.Field{search}}
	for i, x := range with {
		form.Fields = append(form.Fields, ui.Field{Name: "with", ID: "with-" + strconv.Itoa(i), Kind: "hidden", Value: x})
	}
	return v.show(ui.Header{Title: "Begin with a few customers", Crumbs: []ui.Link{{Text: "Leave observe", Href: v.at("/leave-observe")}}}, chosen, ui.Section{Title: "Mapped customers, those with the fewest subscriptions first", Blocks: []ui.Block{form, rows}})
}

// canaryName of a customer to begin with, as far as the mapper knows it.
func (v *visit) canaryName(x string) any {
	if id, ok := strings.CutPrefix(x, ofHalo); ok {
		return "Customer " + id + " in Halo"
	}
	m, err := v.Mappings().GetMapping(v.ctx(), &mappingv1.GetMappingRequest{Connection: v.connection.GetSlug(), MexId: x})
	if err != nil {
		return ui.Mono(x)
	}
	return ui.Stack{Top: nameOr(m.GetGiacomName(), x), Under: ui.Mono(x)}
}

// askBegin spells out what beginning means. notice and reason are of an attempt that was refused.
func (v *visit) askBegin(status int, with []string, reason string, notice *ui.Notice) error {
	x, err := v.Connections().GetLeaveObserve(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.connection.GetSlug()})
	if err != nil {
		return err
	}
	header := ui.Header{Title: "Begin to write everything?", Crumbs: []ui.Link{{Text: "Leave observe", Href: v.at("/leave-observe")}}}
	c := ui.Confirm{Text: "From now on every difference is written to Halo as it comes, unless a rule holds it.", Form: ui.Form{
		Action: v.at("/leave-observe/begin"), Submit: "Begin to write", Danger: true, Cancel: v.at("/leave-observe"), Groups: ui.Fields(ui.Field{Name: "etag", Kind: "hidden", Value: x.GetEtag()}),
	}}
	filter := toBeWritten
	if len(with) > 0 {
		header.Title = "Begin with " + ui.Plural(int64(len(with)), "customer", "customers") + "?"
		c.Text = "Only what concerns them is written to Halo; all else stays as in observe."
		terms := make([]string, 0, len(with))
		for i, w := range with {
			c.Form.Groups[0].Fields = append(c.Form.Groups[0].Fields, ui.Field{Name: "with", ID: "with-" + strconv.Itoa(i), Kind: "hidden", Value: w})
			name, names := v.canaryNames(w)
			c.Consequences = append(c.Consequences, name)
			terms = append(terms, names...)
		}
		filter = "(" + toBeWritten + ") AND (" + strings.Join(terms, " OR ") + ")"
	} else {
		for _, e := range x.GetPlan() {
			if e.GetCount() > 0 {
				c.Consequences = append(c.Consequences, e.GetText())
			}
		}
	}
	totals, _, err := v.planTotals(v.ctx(), filter)
	if err != nil {
		return err
	}
	if len(with) > 0 {
		c.Consequences = append(c.Consequences, "Of theirs, "+ui.Plural(totals.count("licence"), "licence", "licences")+" and "+ui.Plural(totals.count("invoice-line"), "invoice line", "invoice lines")+" would be written.")
	}
	c.Consequences = append(c.Consequences, "What is written is in the change log. Going back to observe stops further writes; it undoes none.")
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	if len(x.GetBlockers()) > 0 {
		blocks = append(blocks, blockers(x))
		f := ui.Field{Name: "reason", Label: "Why it is right all the same", Value: reason, Required: true, Wide: true, Help: "Kept with the change, with your name."}
		if notice != nil && reason == "" {
			f.Error = "Say in a few words why."
		}
		c.Form.Groups[0].Fields = append(c.Form.Groups[0].Fields, f)
	}
	blocks = append(blocks, totals.tiles()[:4])
	if !x.GetMayLeave() {
		return v.showAs(status, header, blocks...)
	}
	return v.showAs(status, header, append(blocks, c)...)
}

// canaryNames are the name of a customer to begin with, and the terms that find its part of the plan: licences are listed
// by Giacom's name of it, lines by Halo's.
func (v *visit) canaryNames(x string) (string, []string) {
	client := v.Mappings()
	filter := "mex_id = " + quote(x)
	id, halo := strings.CutPrefix(x, ofHalo)
	if halo {
		filter = "halo_client_id = " + quote(id)
	}
	found, err := client.ListMappings(v.ctx(), &mappingv1.ListMappingsRequest{PageSize: 10, Filter: v.ofThis() + " AND " + filter})
	if err != nil || len(found.GetMappings()) == 0 {
		return x, []string{"customer = " + quote(x)}
	}
	var terms []string
	for _, m := range found.GetMappings() {
		terms = append(terms, "customer = "+quote(m.GetGiacomName()))
		if m.GetHaloClientName() != "" && m.GetHaloClientName() != m.GetGiacomName() {
			terms = append(terms, "customer = "+quote(m.GetHaloClientName()))
		}
	}
	if m := found.GetMappings()[0]; !halo && m.GetGiacomName() != "" {
		return m.GetGiacomName(), terms
	}
	return "Customer " + id + " in Halo", terms
}

func begin(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return err
	}
	with := slices.DeleteFunc(slices.Clone(v.r.PostForm["with"]), func(x string) bool { return x == "" })
	canary, err := canaryFrom(with)
	if err != nil {
		return err
	}
	x, err := v.Connections().GetLeaveObserve(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.connection.GetSlug()})
	if err != nil {
		return err
	}
	for _, b := range x.GetBlockers() {
		if !b.GetOverridable() {
			e := rpc.FailedPrecondition("BLOCKED", v.connection.GetSlug(), "it cannot leave observe: %s", b.GetText()).Do("%s", b.GetFix())
			return v.askBegin(httpStatus(e.Code), with, v.form("reason"), ui.ErrorNotice(e))
		}
	}
	if len(x.GetBlockers()) > 0 && v.form("reason") == "" {
		return v.askBegin(422, with, "", &ui.Notice{Tone: ui.Bad, Title: "Not begun yet", Text: "Something stands against it. If it is right all the same, say why."})
	}
	wanted := proto.CloneOf(v.connection)
	wanted.Etag, wanted.Mode, wanted.Canary = v.form("etag"), connectionv1.Mode_MODE_AUTO, canary
	if _, err := v.Connections().ApplyConnection(v.ctx(), &connectionv1.ApplyConnectionRequest{Connection: wanted, OverrideReason: v.form("reason")}); err != nil {
		if e, known := rpc.ErrorFrom(err); known {
			return v.askBegin(httpStatus(e.Code), with, v.form("reason"), ui.ErrorNotice(err))
		}
		return err
	}
	if canary != nil {
		return v.done(v.at(""), said("It writes to Halo what concerns "+ui.Plural(int64(len(with)), "customer", "customers")+", and observes everything else."))
	}
	return v.done(v.at(""), said("It writes to Halo from now on."))
}

// askBack before writing stops.
func (v *visit) askBack(status int, notice *ui.Notice) error {
	c := ui.Confirm{
		Text:         "From then on differences are shown, and nothing is written to Halo.",
		Consequences: []string{"What was written stays as it is.", "What is being written at this moment is carried to its end.", "Invoices that Halo makes meanwhile have what its lines hold now, whatever changes in Giacom."},
		Form:         ui.Form{Action: v.at("/leave-observe/back"), Submit: "Back to observe", Cancel: v.at("/leave-observe"), Groups: ui.Fields(ui.Field{Name: "etag", Kind: "hidden", Value: v.connection.GetEtag()})},
	}
	header := ui.Header{Title: "Back to observe?", Crumbs: []ui.Link{{Text: "What is written to Halo", Href: v.at("/leave-observe")}}}
	if notice != nil {
		return v.showAs(status, header, *notice, c)
	}
	return v.showAs(status, header, c)
}

func backToObserve(v *visit) error {
	wanted := proto.CloneOf(v.connection)
	wanted.Etag, wanted.Mode = v.form("etag"), connectionv1.Mode_MODE_OBSERVE
	if _, err := v.Connections().ApplyConnection(v.ctx(), &connectionv1.ApplyConnectionRequest{Connection: wanted}); err != nil {
		if e, known := rpc.ErrorFrom(err); known {
			return v.askBack(httpStatus(e.Code), ui.ErrorNotice(err))
		}
		return err
	}
	return v.done(v.at(""), said("It observes: nothing is written to Halo."))
}
