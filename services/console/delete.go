package console

import (
	"context"
	"fmt"
	"strings"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// GetDeletionEffects says in numbers what deleting the connection would mean.
func (s *server) GetDeletionEffects(ctx context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.DeletionEffects, error) {
	c, err := live(ctx, s.pool, req.GetSlug())
	if err != nil {
		return nil, err
	}
	n, unknown, err := s.numbers(ctx, c.GetSlug())
	if err != nil {
		return nil, err
	}
	out := &connectionv1.DeletionEffects{Slug: c.GetSlug(), Unknown: unknown}
	say := func(to *[]*connectionv1.Effect, code string, n int64, one, many string) {
		*to = append(*to, &connectionv1.Effect{Code: code, Count: n, Text: count(n, one, many)})
	}
	say(&out.StaysInHalo, "licences_stay", n.licences,
		"1 licence stays in Halo as it is, with its seats and prices of now, and goes on to be billed by its line.",
		"%d licences stay in Halo as they are, with their seats and prices of now, and go on to be billed by their lines.")
	say(&out.StaysInHalo, "lines_stay", n.lines,
		"1 recurring invoice line stays as it is.", "%d recurring invoice lines stay as they are.")
	say(&out.StaysInHalo, "customers_stay", n.created,
		"1 customer that Seatline created stays.", "%d customers that Seatline created stay.")
	say(&out.StaysInHalo, "marks_stay", n.licences,
		"1 licence keeps its mark: a later connection with the same Giacom account name finds it again.",
		"%d licences keep their marks: a later connection with the same Giacom account name finds them again.")
	say(&out.Stops, "polling_stops", n.subscriptions,
		"1 subscription is not read from Giacom any more: seats that are bought or go reach no invoice.",
		"%d subscriptions are not read from Giacom any more: seats that are bought or go reach no invoice.")
	say(&out.Stops, "plan_dropped", n.open,
		"1 change that waits is not written to Halo.", "%d changes that wait are not written to Halo.")
	say(&out.Stops, "runs_stop", n.openRuns, "1 run that is under way or held is not published.", "%d runs that are under way or held are not published.")
	secrets := int64(0)
	for _, ref := range []*connectionv1.SecretRef{c.GetGiacom().GetApiKey(), c.GetHalo().GetClientSecret()} {
		if ref.GetVersion() > 0 {
			secrets++
		}
	}
	say(&out.Forgotten, "secrets_forgotten", secrets, "1 secret is dropped for good.", "%d secrets are dropped for good.")
	say(&out.Forgotten, "mappings_unused", n.mapped,
		"1 customer mapping is used no more; save it to a file first if another connection should have it.",
		"%d customer mappings are used no more; save them to a file first if another connection should have them.")
	out.Forgotten = append(out.Forgotten, &connectionv1.Effect{Code: "slug_spent", Count: 1, Text: fmt.Sprintf(
		"The name %q is never free again, and deleting cannot be undone. Runs, change log and history stay readable.", c.GetSlug())})
	return out, nil
}

// numbers of a connection in the other services.
type numbers struct{ licences, lines, created, mapped, subscriptions, open, openRuns int64 }

func (s *server) numbers(ctx context.Context, slug string) (n numbers, unknown absent, err error) {
	of := fmt.Sprintf("connection = %q", slug)
	err = unknown.ask(ctx, "licence", func(ctx context.Context) error {
		return rpc.Pages(func(token string) (string, error) {
			page, err := s.peers.Licences().ListLicences(ctx, &licencev1.ListLicencesRequest{PageSize: 1000, PageToken: token, Filter: of + " AND halo_id > 0"})
			for _, l := range page.GetLicences() {
				if l.GetApplied() != nil {
					n.licences++
				}
			}
			return page.GetNextPageToken(), err
		})
	})
	if err != nil {
		return n, unknown, err
	}
	err = unknown.ask(ctx, "billing", func(ctx context.Context) error {
		return rpc.Pages(func(token string) (string, error) {
			page, err := s.peers.Lines().ListLines(ctx, &invoicelinev1.ListLinesRequest{PageSize: 1000, PageToken: token, Filter: of})
			for _, l := range page.GetLines() {
				if !strings.HasPrefix(l.GetKey(), "add/") { // those are still to be made
					n.lines++
				}
			}
			return page.GetNextPageToken(), err
		})
	})
	if err != nil {
		return n, unknown, err
	}
	err = unknown.ask(ctx, "mapper", func(ctx context.Context) error {
		return rpc.Pages(func(token string) (string, error) {
			page, err := s.peers.Mappings().ListMappings(ctx, &mappingv1.ListMappingsRequest{PageSize: 1000, PageToken: token, Filter: of})
			for _, m := range page.GetMappings() {
				if m.GetState() == mappingv1.State_STATE_MAPPED {
					n.mapped++
					if m.GetOrigin() == mappingv1.Origin_ORIGIN_CREATED {
						n.created++
					}
				}
			}
			return page.GetNextPageToken(), err
		})
	})
	if err != nil {
		return n, unknown, err
	}
	err = unknown.ask(ctx, "fetcher", func(ctx context.Context) error {
		err := rpc.Pages(func(token string) (string, error) {
			page, err := s.peers.Runs().ListSubscriptions(ctx, &runv1.ListSubscriptionsRequest{PageSize: 1000, PageToken: token, Filter: of + " AND absent = false"})
			n.subscriptions += int64(len(page.GetSubscriptions()))
			return page.GetNextPageToken(), err
		})
		if err != nil {
			return err
		}
		runs, err := s.peers.Runs().ListRuns(ctx, &runv1.ListRunsRequest{PageSize: 100, Filter: of + " AND (outcome = RUNNING OR outcome = HELD)"})
		n.openRuns = int64(len(runs.GetRuns()))
		return err
	})
	if err != nil {
		return n, unknown, err
	}
	effects, err := s.pending(ctx, slug, &unknown)
	for _, e := range effects {
		n.open += e.GetCount()
	}
	return n, unknown, err
}
