package web

import (
	"context"
	"net/http"
	"strconv"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// pickHaloCustomer chooses the Halo customer that a Giacom customer is; with ?to= it asks first.
func pickHaloCustomer(v *visit) error {
	m, err := v.readMapping()
	if err != nil {
		return err
	}
	return v.mapPage(http.StatusOK, m, nil)
}

func (v *visit) mapHeader(m *mappingv1.Mapping, title string, lead any) ui.Header {
	return ui.Header{Title: title, Lead: lead, Crumbs: []ui.Link{{Text: "Mappings", Href: v.at("/mappings")}, {Text: calledOrID(m), Href: v.ofCustomer(m.GetMexId(), "")}}}
}

func (v *visit) mapPage(status int, m *mappingv1.Mapping, notice *ui.Notice) error {
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	if to, err := strconv.ParseInt(v.query("to"), 10, 64); err == nil && notice == nil {
		return v.confirmRemap(m, to)
	}
	l := v.listing()
	l.path = v.ofCustomer(m.GetMexId(), "/map") // also after a refused POST
	search := l.search("Find a Halo customer", "Its name, or part of it")
	l.and("inactive = false")
	resp, err := v.Mappings().ListHaloCustomers(v.ctx(), &mappingv1.ListHaloCustomersRequest{Connection: v.connection.GetSlug(), PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: l.order()})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Active customers of Halo, as last read",
		Columns: []ui.Column{l.sorted(ui.Column{Title: "Halo customer", Wide: true}, "name"), l.sorted(ui.Column{Title: "Mapped already", Num: true}, "mapped"), {Title: "To these Giacom customers"}, {Title: "Action"}},
		Pager:   l.pager(resp.GetNextPageToken(), len(resp.GetCustomers())),
		Empty:   ui.Empty{Title: "Nothing found", Text: "Halo has no active customer of that name. One that was made just now is found after Halo is read again.", Actions: []ui.Button{{Label: "Show all", Href: l.path}}},
	}
	for _, c := range resp.GetCustomers() {
		t.Rows = append(t.Rows, ui.Row{Cells: []any{v.inHalo(c.GetId(), c.GetName()), len(c.GetMexIds()), mexIDs(c.GetMexIds()), v.mapButton(m, c)}})
	}
	lead := any("Choose the Halo customer that its licences belong to. Several Giacom customers may be one Halo customer.")
	if m.GetHaloClientId() != 0 {
		lead = "It is mapped to " + m.GetHaloClientName() + " now. Its licences move when you map it to another."
	}
	if len(m.GetCandidates()) > 0 {
		blocks = append(blocks, v.candidatesOf(m))
	}
	return v.showAs(status, v.mapHeader(m, "Map "+calledOrID(m), lead), append(blocks, l.form(search), t)...)
}

func mexIDs(ids []string) any {
	const shown = 3
	if len(ids) == 0 {
		return nil
	}
	var out ui.Beside
	for i, id := range ids {
		if i == shown {
			out = append(out, ui.Quiet{Value: "and " + strconv.Itoa(len(ids)-shown) + " more"})
			break
		}
		out = append(out, ui.Mono(id))
	}
	return out
}

// mapButton maps at once where nothing was mapped before, and asks where licences would move.
func (v *visit) mapButton(m *mappingv1.Mapping, c *mappingv1.HaloCustomer) any {
	if c.GetId() == m.GetHaloClientId() && m.GetStanding() == mappingv1.Standing_STANDING_MAPPED {
		return ui.Badge{Text: "Mapped now", Tone: ui.Good}
	}
	to := strconv.FormatInt(c.GetId(), 10)
	b := ui.Button{Label: "Map", For: "to " + c.GetName(), Small: true, Href: v.ofCustomer(m.GetMexId(), "/map")}
	if m.GetState() == mappingv1.State_STATE_MAPPED {
		b.Label, b.Href = "Map …", b.Href+"?to="+to
		return b
	}
	b.Post, b.Send = true, []string{"to", to, "etag", m.GetEtag()}
	return b
}

func (v *visit) confirmRemap(m *mappingv1.Mapping, to int64) error {
	found, err := v.Mappings().ListHaloCustomers(v.ctx(), &mappingv1.ListHaloCustomersRequest{Connection: v.connection.GetSlug(), PageSize: 1, Filter: "id = " + strconv.FormatInt(to, 10)})
	if err != nil {
		return err
	}
	name := "customer " + strconv.FormatInt(to, 10)
	if len(found.GetCustomers()) > 0 {
		name = found.GetCustomers()[0].GetName()
	}
	at := v.ofCustomer(m.GetMexId(), "/map")
	return v.show(v.mapHeader(m, "Map it to "+name+"?", nil), ui.Confirm{
		Text: calledOrID(m) + " is mapped to " + m.GetHaloClientName() + " now, with " + ui.Plural(int64(m.GetSubscriptions()), "subscription", "subscriptions") + ".",
		Consequences: []string{
			"Its licences move from " + m.GetHaloClientName() + " to " + name + " in Halo.",
			"Invoice lines of " + m.GetHaloClientName() + " stop counting them first; lines of " + name + " follow by the price rules.",
			"No rule changes this mapping again; you can remove it.",
		},
		Form: ui.Form{Action: at, Submit: "Map it to " + name, Danger: true, Cancel: at, Groups: ui.Fields(ui.Field{Name: "to", Kind: "hidden", Value: strconv.FormatInt(to, 10)}, ui.Field{Name: "etag", Kind: "hidden", Value: m.GetEtag()})},
	})
}

func setMapping(v *visit) error {
	to, err := strconv.ParseInt(v.form("to"), 10, 64)
	if err != nil {
		return rpc.InvalidArgument("to", "%q is no number of a Halo customer", v.form("to")).Do("go back and choose one from the list")
	}
	var m *mappingv1.Mapping
	err = v.askHalo(func(ctx context.Context) (err error) {
		m, err = v.Mappings().SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: v.connection.GetSlug(), MexId: v.param("mex"), HaloClientId: to, Etag: v.form("etag")})
		return err
	})
	if err != nil {
		return v.mappingRefused(err, v.mapPage)
	}
	return v.done(v.ofCustomer(m.GetMexId(), ""), said(calledOrID(m)+" is mapped to "+m.GetHaloClientName()+"."))
}
