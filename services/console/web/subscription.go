package web

import (
	"net/http"
	"strconv"
	"strings"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/console/web/ui"
)

func subscriptionPages() []page {
	one := ofConnection + "/subscriptions/{key...}"
	return []page{
		{path: one, title: "Subscription", nav: navLicences, handle: showSubscription},
		{path: one, method: http.MethodPost, title: "Subscription", nav: navLicences, handle: decideSubscription},
	}
}

func showSubscription(v *visit) error {
	if v.param("key") == "" {
		return v.done(v.at("/licences"))
	}
	s, err := v.Subscriptions().GetSubscription(v.ctx(), &subscriptionv1.GetSubscriptionRequest{Connection: v.connection.GetSlug(), Key: v.param("key")})
	if err != nil {
		return err
	}
	return v.decisionPage(http.StatusOK, s, nil, "")
}

// decisionPage is what a person may decide about a subscription: to leave it unbilled, or to bill it to another customer
// of Halo. notice and reason are of an attempt that was refused.
func (v *visit) decisionPage(status int, s *subscriptionv1.Subscription, notice *ui.Notice, reason string) error {
	g := s.GetGiacom()
	header := ui.Header{Title: "Who is billed for it?", Crumbs: []ui.Link{{Text: "Licences", Href: v.at("/licences")}, {Text: nameOr(g.GetName(), s.GetKey()), Href: v.toLicence(s.GetKey())}},
		Lead: ui.Sentence{g.GetName(), ", ", g.GetQuantity(), " seats, of ", ui.Link{Text: nameOr(g.GetCustomerName(), g.GetMexId()), Href: v.toCustomer(g.GetMexId())}}}
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	now := ui.Notice{Tone: ui.Info, Title: "As it is now"}
	reset := ui.Button{Label: "Follow the customer’s mapping again", Href: v.to("subscriptions", s.GetKey()), Post: true, Send: []string{"do", "reset", "etag", s.GetEtag()}, Small: true}
	decided := true
	switch {
	case s.GetReason().GetCode() == "excluded":
		now.Text = "It is left unbilled: " + strings.TrimPrefix(s.GetReason().GetText(), "excluded: ")
	case s.GetAssigned():
		now.Text = "A person gave it to " + nameOr(s.GetHaloClientName(), "customer "+strconv.FormatInt(s.GetHaloClientId(), 10)) + ", against its customer’s mapping."
	case s.GetHaloClientId() != 0:
		now.Text, decided = "It follows its customer’s mapping, to "+nameOr(s.GetHaloClientName(), "customer "+strconv.FormatInt(s.GetHaloClientId(), 10))+" in Halo.", false
	default:
		now.Text, decided = nameOr(s.GetReason().GetText(), "It follows its customer’s mapping."), false
	}
	if decided && v.operator() {
		now.Actions = []ui.Button{reset}
	}
	blocks = append(blocks, now)
	if !v.operator() {
		return v.showAs(status, header, blocks...)
	}
	exclude := ui.Section{Title: "Leave it unbilled", Lead: "Its licence and lines in Halo stay as they are, and it counts as left out on purpose.", Blocks: []ui.Block{ui.Form{
		Action: v.to("subscriptions", s.GetKey()), Submit: "Leave it unbilled",
		Groups: ui.Fields(ui.Field{Name: "do", Kind: "hidden", Value: "exclude"}, ui.Field{Name: "etag", Kind: "hidden", Value: s.GetEtag()},
			ui.Field{Name: "reason", Label: "Why", Value: reason, Required: true, Help: "Whoever finds it unbilled will want to know.", Error: missingReason(notice, reason)}),
	}}}
	assign, err := v.chooseClient(s)
	if err != nil {
		return err
	}
	return v.showAs(status, header, append(blocks, exclude, assign)...)
}

func missingReason(notice *ui.Notice, reason string) string {
	if notice != nil && reason == "" && notice.Title == whyMissing {
		return "Say in a few words why it is not billed."
	}
	return ""
}

const whyMissing = "Not decided yet"

// chooseClient lists customers of Halo that it could be billed to.
func (v *visit) chooseClient(s *subscriptionv1.Subscription) (ui.Section, error) {
	l := v.listing()
	search := l.search("Customer in Halo", "Part of the name")
	section := ui.Section{Title: "Bill another Halo customer", Lead: "For one customer of Giacom that is several in Halo, or the other way round. Its licence moves there; a line that bills it at the old customer is taken off first.", Blocks: []ui.Block{l.form(search)}}
	if !l.narrowed() {
		return section, nil
	}
	l.and("inactive = false")
	resp, err := v.Mappings().ListHaloCustomers(v.ctx(), &mappingv1.ListHaloCustomersRequest{Connection: v.connection.GetSlug(), PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: "name"})
	if err != nil {
		return section, err
	}
	t := ui.Table{
		Caption: "Customers of Halo", Columns: []ui.Column{{Title: "Customer", Wide: true}, {Title: "Id", Num: true}, {Title: ""}},
		Empty: ui.Empty{Title: "Nothing found", Text: "No active customer of Halo has that in its name."}, Pager: l.pager(resp.GetNextPageToken(), len(resp.GetCustomers())),
	}
	for _, c := range resp.GetCustomers() {
		id := strconv.FormatInt(c.GetId(), 10)
		do := any(ui.Button{Label: "Bill it", For: c.GetName(), Href: v.to("subscriptions", s.GetKey()), Post: true, Send: []string{"do", "assign", "client", id, "etag", s.GetEtag()}, Small: true})
		if c.GetId() == s.GetHaloClientId() {
			do = ui.Badge{Text: "Is billed", Tone: ui.Good}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{c.GetName(), id, do}})
	}
	section.Blocks = append(section.Blocks, t)
	return section, nil
}

func decideSubscription(v *visit) error {
	connection, key, etag := v.connection.GetSlug(), v.param("key"), v.form("etag")
	var err error
	text := ""
	switch v.form("do") {
	case "exclude":
		text = "It is left unbilled: " + v.form("reason")
		_, err = v.Subscriptions().ExcludeSubscription(v.ctx(), &subscriptionv1.ExcludeSubscriptionRequest{Connection: connection, Key: key, Reason: v.form("reason"), Etag: etag})
	case "assign":
		var client int64
		if client, err = strconv.ParseInt(v.form("client"), 10, 64); err != nil {
			return rpc.InvalidArgument("client", "%q is not the id of a customer in Halo", v.form("client"))
		}
		var s *subscriptionv1.Subscription
		s, err = v.Subscriptions().AssignSubscription(v.ctx(), &subscriptionv1.AssignSubscriptionRequest{Connection: connection, Key: key, HaloClientId: client, Etag: etag})
		text = "It is billed to " + nameOr(s.GetHaloClientName(), "customer "+v.form("client")) + "."
	case "reset":
		text = "It follows its customer’s mapping again."
		_, err = v.Subscriptions().ResetSubscription(v.ctx(), &subscriptionv1.ResetSubscriptionRequest{Connection: connection, Key: key, Etag: etag})
	default:
		return rpc.InvalidArgument("do", "%q is nothing that can be decided about a subscription", v.form("do"))
	}
	if err == nil { // the licence hears of it in a moment; this page asks who decided
		return v.done(v.to("subscriptions", key), said(text))
	}
	// What was entered stays, beside who came between and how it stands now.
	e, known := rpc.ErrorFrom(err)
	if !known {
		return err
	}
	s, again := v.Subscriptions().GetSubscription(v.ctx(), &subscriptionv1.GetSubscriptionRequest{Connection: connection, Key: key})
	if again != nil {
		return err
	}
	notice := ui.ErrorNotice(err)
	if len(e.Violations) > 0 {
		notice = &ui.Notice{Tone: ui.Bad, Title: whyMissing, Text: e.Message}
	}
	return v.decisionPage(httpStatus(e.Code), s, notice, v.form("reason"))
}
