package console

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// pullTime bounds a preview: it reads a whole account.
const pullTime = 5 * time.Minute

// defaultRows of each kind that an answer lists when the caller names no limit.
const defaultRows = 1000

// GetSubscriptionImport has the fetcher read the account as a run would, and asks the mapper which customers go on to
// Halo. Nothing is published: the numbers are those of a run that would begin now.
func (s integrator) GetSubscriptionImport(ctx context.Context, req *runv1.GetSubscriptionImportRequest) (*runv1.SubscriptionImport, error) {
	if err := rpc.AskOutside(ctx); err != nil {
		return nil, err
	}
	c, err := live(ctx, s.pool, req.GetConnection())
	if err != nil {
		return nil, err
	}
	pulling, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	limit := req.GetLimit()
	if limit <= 0 {
		limit = defaultRows
	}
	found, err := s.peers.Runs().GetPullPreview(pulling, &runv1.GetPullPreviewRequest{Connection: c.GetSlug(), Subscriptions: true, Limit: limit})
	if err != nil {
		return nil, unreachable("fetcher", err)
	}
	var unknown absent
	to, err := s.destinations(ctx, &unknown, c.GetSlug())
	if err != nil {
		return nil, err
	}
	n := found.GetSubscriptions()
	out := &runv1.SubscriptionImport{
		Connection: c.GetSlug(), Create: n.GetNew(), Update: n.GetChanged(), Unchanged: n.GetUnchanged(), Missing: n.GetAbsent() + n.GetSuperseded(),
		Removed: n.GetRemoved(), Bad: n.GetBad(), Complete: found.GetComplete(), Reason: found.GetReason(), Requests: found.GetRequests(),
		Note: noteFor(c), Time: timestamppb.New(s.clock.Now()), Unknown: unknown,
	}
	var skips skipCounts
	for _, x := range found.GetByCustomer() {
		if why := to.customer(x.GetMexId()); why != nil {
			out.Create -= x.GetNew()
			out.Update -= x.GetChanged()
			for range x.GetNew() {
				skips.add(why)
			}
		}
	}
	for _, why := range to.unresolved { // known ones, whether or not they changed
		skips.add(why)
	}
	for _, x := range skips.list {
		out.Skip += x.GetCount()
	}
	out.Skips = skips.list
	for _, r := range found.GetRows() {
		if r.GetEntity() == "subscription" {
			out.Rows = append(out.Rows, to.row(r))
		}
	}
	for _, r := range out.GetRows() { // excluded by a person, although their customer is mapped
		if r.GetKind() == runv1.ImportRow_KIND_SKIP && to.customer(r.GetMexId()) == nil {
			out.Update--
		}
	}
	return out, nil
}

func noteFor(c *connectionv1.Connection) string {
	switch {
	case !c.GetEnabled():
		return "The connection is disabled: enable it before you import."
	case c.GetMode() == connectionv1.Mode_MODE_OBSERVE:
		return "The connection observes: an import shows what would be done in the plan, and writes nothing to Halo."
	case c.GetCanary() != nil:
		return "Only the canary customers are written to Halo; everything else is shown in the plan."
	}
	return "The import writes to Halo: licences are created or taken over, and their lines follow. A near match is held and asked about."
}

// destinations are the Halo customers that subscriptions go to, or why they go to none.
type destinations struct {
	known      bool // the mapper answered
	mappings   map[string]*mappingv1.Mapping
	unresolved map[string]*itemv1.Reason // of known subscriptions, by key
}

func (s *server) destinations(ctx context.Context, unknown *absent, connection string) (destinations, error) {
	to := destinations{mappings: map[string]*mappingv1.Mapping{}, unresolved: map[string]*itemv1.Reason{}}
	err := unknown.ask(ctx, "mapper", func(ctx context.Context) error {
		err := rpc.Pages(func(token string) (string, error) {
			page, err := s.peers.Mappings().ListMappings(ctx, &mappingv1.ListMappingsRequest{PageSize: 1000, PageToken: token, Filter: fmt.Sprintf("connection = %q", connection)})
			for _, m := range page.GetMappings() {
				to.mappings[m.GetMexId()] = m
			}
			return page.GetNextPageToken(), err
		})
		if err != nil {
			return err
		}
		err = rpc.Pages(func(token string) (string, error) {
			page, err := s.peers.Subscriptions().ListSubscriptions(ctx, &subscriptionv1.ListSubscriptionsRequest{
				PageSize: 1000, PageToken: token, Filter: fmt.Sprintf("connection = %q AND state = UNRESOLVED", connection),
			})
			for _, x := range page.GetSubscriptions() {
				to.unresolved[x.GetKey()] = x.GetReason()
			}
			return page.GetNextPageToken(), err
		})
		to.known = err == nil
		return err
	})
	return to, err
}

// customer says why the subscriptions of a Giacom customer go to no Halo customer; nil when they do.
func (to destinations) customer(mexID string) *itemv1.Reason {
	m := to.mappings[mexID]
	switch {
	case !to.known:
		return nil
	case m == nil:
		return &itemv1.Reason{Code: "customer_new", Text: skipTexts["customer_new"]}
	case m.GetState() == mappingv1.State_STATE_MAPPED || m.GetState() == mappingv1.State_STATE_CREATING:
		return nil
	case m.GetState() == mappingv1.State_STATE_IGNORED:
		return &itemv1.Reason{Code: "customer_ignored", Text: skipTexts["customer_ignored"]}
	}
	if why := m.GetReason(); why.GetCode() == "near_match" {
		return why
	}
	return &itemv1.Reason{Code: "customer_not_mapped", Text: skipTexts["customer_not_mapped"]}
}

func (to destinations) row(r *runv1.PreviewRow) *runv1.ImportRow {
	out := &runv1.ImportRow{
		Key: r.GetKey(), MexId: r.GetMexId(), CustomerName: r.GetCustomerName(), Name: r.GetName(),
		HaloClientName: to.mappings[r.GetMexId()].GetHaloClientName(), QuantityBefore: r.GetQuantityBefore(), QuantityAfter: r.GetQuantity(),
	}
	switch r.GetKind() {
	case runv1.PreviewRow_KIND_NEW:
		out.Kind, out.Reason = runv1.ImportRow_KIND_CREATE, to.customer(r.GetMexId())
	case runv1.PreviewRow_KIND_CHANGED:
		out.Kind, out.Reason = runv1.ImportRow_KIND_UPDATE, to.unresolved[r.GetKey()]
	case runv1.PreviewRow_KIND_REMOVED:
		out.Kind = runv1.ImportRow_KIND_REMOVED
	default:
		out.Kind = runv1.ImportRow_KIND_MISSING
	}
	if out.Reason != nil {
		out.Kind = runv1.ImportRow_KIND_SKIP
	}
	return out
}
