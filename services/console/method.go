package console

import (
	"context"
	"fmt"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// GetMethodChange has the fetcher read the account by another import method, and says what choosing it would do.
func (s *server) GetMethodChange(ctx context.Context, req *connectionv1.GetMethodChangeRequest) (*connectionv1.MethodChange, error) {
	if err := rpc.AskOutside(ctx); err != nil {
		return nil, err
	}
	c, err := live(ctx, s.pool, req.GetSlug())
	if err != nil {
		return nil, err
	}
	if c.GetGiacom().GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		return nil, rpc.FailedPrecondition("NO_METHOD", c.GetSlug(), "connection %q uses v2 of the Giacom API, which has one import method only", c.GetSlug())
	}
	to, feed := req.GetMethod(), req.GetAllProductsFeed()
	if to == 0 {
		to = c.GetGiacom().GetMethod()
	}
	if feed == 0 {
		feed = c.GetGiacom().GetAllProductsFeed()
	}
	limit := req.GetLimit()
	if limit <= 0 {
		limit = 200
	}
	pulling, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	found, err := s.peers.Runs().GetPullPreview(pulling, &runv1.GetPullPreviewRequest{
		Connection: c.GetSlug(), Subscriptions: true, Method: to, AllProductsFeed: feed, Limit: limit,
	})
	if err != nil {
		return nil, unreachable("fetcher", err)
	}
	n := found.GetSubscriptions()
	out := &connectionv1.MethodChange{
		Slug: c.GetSlug(), From: c.GetGiacom().GetMethod(), To: to, Etag: c.GetEtag(), Requests: found.GetRequests(),
		Same: n.GetChanged() + n.GetUnchanged(), Matched: found.GetMatched(), Unsure: found.GetUnsure(),
		New: n.GetNew() - found.GetMatched() - found.GetUnsure(), Stops: found.GetUnmatched(), AdoptAcrossMethods: c.GetLicences().GetAdoptAcrossMethods(),
	}
	if !found.GetComplete() {
		out.Incomplete = found.GetReason().GetText()
	}
	for _, r := range found.GetRows() {
		if x := methodRow(r); x != nil {
			out.Rows = append(out.Rows, x)
		}
	}
	out.Explanation = explain(out, feed, c.GetGiacom().GetAllProductsFeed())
	return out, nil
}

// methodRow leaves out what is under the same id in both, and the superseded half of a match.
func methodRow(r *runv1.PreviewRow) *connectionv1.MethodRow {
	x := &connectionv1.MethodRow{MexId: r.GetMexId(), CustomerName: r.GetCustomerName(), Name: r.GetName()}
	switch {
	case r.GetEntity() != "subscription":
		return nil
	case r.GetKind() == runv1.PreviewRow_KIND_NEW:
		x.Kind = connectionv1.MethodRow_KIND_NEW
		switch r.GetMatch() {
		case runv1.PreviewRow_MATCH_ONE:
			x.Kind = connectionv1.MethodRow_KIND_MATCHED
		case runv1.PreviewRow_MATCH_UNSURE:
			x.Kind = connectionv1.MethodRow_KIND_UNSURE
		}
		x.KeyBefore, x.KeyAfter, x.QuantityBefore, x.QuantityAfter = r.GetMatchKey(), r.GetKey(), r.GetQuantityBefore(), r.GetQuantity()
	case r.GetKind() == runv1.PreviewRow_KIND_SUPERSEDED && r.GetMatch() == runv1.PreviewRow_MATCH_UNSPECIFIED:
		x.Kind, x.KeyBefore, x.QuantityBefore = connectionv1.MethodRow_KIND_STOPS, r.GetKey(), r.GetQuantityBefore()
	default:
		return nil
	}
	return x
}

var methodWords = map[connectionv1.ImportMethod]string{
	connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS: "subscriptions (all products; no end date, term or status)",
	connectionv1.ImportMethod_IMPORT_METHOD_REPORT:        "subscriptionsmanagementreport (Microsoft only, with end date, term and status)",
	connectionv1.ImportMethod_IMPORT_METHOD_BOTH:          "both (the report for Microsoft, the other feed for the rest)",
}

// explain says what will happen, in the order in which it does.
func explain(m *connectionv1.MethodChange, feed, before connectionv1.AllProductsFeed) []string {
	if m.GetFrom() == m.GetTo() && feed == before {
		return []string{"The connection uses this method already: nothing changes."}
	}
	what := "The import method becomes " + methodWords[m.GetTo()] + "."
	if m.GetFrom() == m.GetTo() {
		what = "The feed of all products changes; the import method stays."
	}
	all := []string{
		what + " The methods number subscriptions differently: Halo's own integration would create every licence a second time.",
		"Nothing happens until the next run. Every number here is of this moment.",
	}
	add := func(n int64, one, many string) {
		if n > 0 {
			all = append(all, count(n, one, many))
		}
	}
	add(m.GetSame(), "1 subscription has the same id in both: nothing changes for it.", "%d subscriptions have the same id in both: nothing changes for them.")
	if m.GetAdoptAcrossMethods() {
		add(m.GetMatched(), "1 licence matches by customer, product and quantity: it goes on as it is in Halo, under its new id, and its invoice line stays linked.",
			"%d licences match by customer, product and quantity: they go on as they are in Halo, under their new ids, and their invoice lines stay linked.")
		add(m.GetUnsure(), "1 more may be one that is there already: it is taken over where only one can be meant, else held until you say adopt or create.",
			"%d more may be ones that are there already: each is taken over where only one can be meant, else held until you say adopt or create.")
	} else {
		add(m.GetMatched()+m.GetUnsure(), "1 licence may be one that is there already: it is held until you say adopt or create.",
			"%d licences may be ones that are there already: each is held until you say adopt or create.")
	}
	add(m.GetNew(), "1 subscription is like none that is known: a licence is created for it.", "%d subscriptions are like none that is known: licences are created for them.")
	add(m.GetStops(), "1 subscription is not listed by this method: its licence stays in Halo as it is and goes on to be billed, is not updated any more, and is shown as gone. Nothing is deactivated for it.",
		"%d subscriptions are not listed by this method: their licences stay in Halo as they are and go on to be billed, are not updated any more, and are shown as gone. Nothing is deactivated for them.")
	if m.GetIncomplete() != "" {
		all = append(all, fmt.Sprintf("Not everything could be read, so the numbers are too low: %s", m.GetIncomplete()))
	}
	return all
}
