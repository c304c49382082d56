package e2e

import (
	"testing"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/seatline/ctl"
)

// Every list pages, filters and orders.
func TestEveryListPagesAndFilters(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: small(), rules: keepAndAdd})
	s.poll(true)
	const filter = `connection = "acme"`
	for name, list := range map[string]func(token string) (int, string, error){
		"connections": func(token string) (int, string, error) {
			r, err := connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console)).ListConnections(s.ctx, &connectionv1.ListConnectionsRequest{PageSize: 5, PageToken: token})
			return len(r.GetConnections()), r.GetNextPageToken(), err
		},
		"runs": func(token string) (int, string, error) {
			r, err := runv1.NewRunServiceClient(s.w.Client(ctl.Fetcher)).ListRuns(s.ctx, &runv1.ListRunsRequest{PageSize: 5, PageToken: token, Filter: filter})
			return len(r.GetRuns()), r.GetNextPageToken(), err
		},
		"what Giacom showed": func(token string) (int, string, error) {
			r, err := runv1.NewRunServiceClient(s.w.Client(ctl.Fetcher)).ListSubscriptions(s.ctx, &runv1.ListSubscriptionsRequest{PageSize: 5, PageToken: token, Filter: filter})
			return len(r.GetSubscriptions()), r.GetNextPageToken(), err
		},
		"mappings": func(token string) (int, string, error) {
			r, err := mappingv1.NewMappingServiceClient(s.w.Client(ctl.Mapper)).ListMappings(s.ctx, &mappingv1.ListMappingsRequest{PageSize: 5, PageToken: token, Filter: filter + ` AND state = MAPPED`})
			return len(r.GetMappings()), r.GetNextPageToken(), err
		},
		"subscriptions": func(token string) (int, string, error) {
			r, err := subscriptionv1.NewSubscriptionServiceClient(s.w.Client(ctl.Mapper)).ListSubscriptions(s.ctx, &subscriptionv1.ListSubscriptionsRequest{PageSize: 5, PageToken: token, Filter: filter, OrderBy: "name desc"})
			return len(r.GetSubscriptions()), r.GetNextPageToken(), err
		},
		"licences": func(token string) (int, string, error) {
			r, err := licencev1.NewLicenceServiceClient(s.w.Client(ctl.Licence)).ListLicences(s.ctx, &licencev1.ListLicencesRequest{PageSize: 5, PageToken: token, Filter: filter + ` AND state = IN_SYNC`})
			return len(r.GetLicences()), r.GetNextPageToken(), err
		},
		"lines": func(token string) (int, string, error) {
			r, err := invoicelinev1.NewLineServiceClient(s.w.Client(ctl.Billing)).ListLines(s.ctx, &invoicelinev1.ListLinesRequest{PageSize: 5, PageToken: token, Filter: filter})
			return len(r.GetLines()), r.GetNextPageToken(), err
		},
	} {
		want := map[string]int{"connections": 1, "runs": 1, "mappings": 4}[name]
		if want == 0 {
			want = 12
		}
		total := 0
		for token, more := "", true; more; more = token != "" {
			n, next, err := list(token)
			if err != nil {
				t.Fatalf("list of %s: %v", name, err)
			}
			total, token = total+n, next
		}
		if total != want {
			t.Errorf("the list of %s has %d rows, want %d", name, total, want)
		}
	}
}
