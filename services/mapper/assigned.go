package mapper

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// weighAssigned looks whether the customers that people chose for single subscriptions can still be billed, as Halo was
// last read. Mappings are weighed with all that is known; a choice of this kind rests on that one customer.
func (s *service) weighAssigned(ctx context.Context, c *connectionv1.Connection) error {
	const assigned = `s.connection = $1 and s.decision = $2 and x.instance = $3 and x.id = s.decided_client and x.inactive <> (s.decided_reason <> '')`
	args := []any{c.GetSlug(), int16(subscriptionv1.State_STATE_RESOLVED), c.GetHalo().GetInstance()}
	return postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select distinct s.mex_id from subscriptions s, clients x where `+assigned, args...)
		if err != nil {
			return fmt.Errorf("look at assigned subscriptions: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(ids) == 0 {
			return err
		}
		// Customers are locked before subscriptions, here as everywhere.
		owners := map[string]mapping{}
		for _, id := range ids {
			owners[id] = mapping{}
		}
		if _, err := shareCustomers(ctx, tx, c.GetSlug(), owners); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `update subscriptions s set decided_reason = case when x.inactive then
				format('Customer %s of Halo (%s) is inactive: activate it there, or assign the subscription anew. Until then its licence is left as it is.', x.id, x.name) else '' end
			from clients x where `+assigned+` and s.mex_id = any($4) returning s.key`, append(args, ids)...)
		if err != nil {
			return fmt.Errorf("note whether assigned customers are active: %w", err)
		}
		keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("note whether assigned customers are active: %w", err)
		}
		list, err := readSubscriptions(ctx, tx, `connection = $1 and key = any($2) order by key for update`, c.GetSlug(), keys)
		if err != nil {
			return err
		}
		return settleAnew(ctx, tx, c.GetSlug(), list, func(mexID string) mapping { return owners[mexID] }, s.Clock.Now())
	})
}

// settleAnew resolves locked subscriptions of a connection, and publishes those for which that says something new.
func settleAnew(ctx context.Context, tx pgx.Tx, connection string, list []subscription, mapped func(mexID string) mapping, now time.Time) error {
	changed := list[:0]
	for _, x := range list {
		if r := resolve(x.Choice, mapped(x.MexID), x.Gone); r != x.Now {
			x.Now, x.OutRevision, x.Updated = r, event.NewRevision(x.OutRevision, now), now
			changed = append(changed, x)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if err := saveResolutions(ctx, tx, connection, changed); err != nil {
		return err
	}
	return announce(ctx, tx, changed)
}
