package licence

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/reconcile"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// heirsOf gives the other subscriptions that may take over the licence of one of subs that is gone: they are decided
// together, or the licence would be deactivated before its heir could have it.
func heirsOf(ctx context.Context, tx pgx.Tx, connection string, subs []subscription) ([]subscription, error) {
	var gone []string
	keys := make([]string, len(subs))
	for i, sub := range subs {
		keys[i] = sub.GetKey()
		if removed, _ := removalOf(sub.Subscription); removed {
			gone = append(gone, sub.GetKey())
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `
		select s.key from subscriptions s `+withItem+`
		where s.connection = $1 and not s.removed and not s.absent and coalesce(i.halo_id, 0) = 0 and s.key <> all($2) and s.client_id in (
			select (applied->>'client')::bigint from items where connection = $1 and key = any($3) and halo_id <> 0)`, connection, keys, gone)
	if err != nil {
		return nil, fmt.Errorf("look for heirs: %w", err)
	}
	heirs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(heirs) == 0 {
		return nil, err
	}
	return lockSubscriptions(ctx, tx, connection, heirs)
}

// awaitHeirs puts deactivations off while subscriptions are still coming in: the renewal that takes over a licence may
// arrive after the word that its predecessor is gone.
func (s *service) awaitHeirs(ctx context.Context, tx pgx.Tx, connection string, situations []situation, decisions []decision, heirs map[string]string) error {
	now := s.Clock.Now()
	quiet, err := s.isQuiet(ctx, tx, connection, now)
	if err != nil || quiet {
		return err
	}
	var later []string
	for i, x := range situations {
		removed, _ := removalOf(x.Sub)
		if d := decisions[i].Desired; !removed || d == nil || d.Active || !x.holds().Active || heirs[x.Sub.GetKey()] != "" {
			continue
		}
		f := x.holds()
		decisions[i] = decision{Desired: &f, Verdict: reconcile.Park("removal_settles", "Gone from Giacom; deactivated in a moment, unless a renewal takes over its licence.")}
		later = append(later, x.Sub.GetKey())
	}
	return revisit(ctx, tx, connection, later, now.Add(s.Quiet))
}

// awaitWrites puts off taking over licences that are being written, or of which nobody knows what became of the last write:
// what lands after the heir has written would stand over it. Until that is known such a licence stays as it is, for its heir
// to find it. It gives the wants that say so, and takes those heirs back.
func (s *service) awaitWrites(ctx context.Context, tx pgx.Tx, settings Settings, situations []situation, decisions []decision, heirs map[string]string) ([]reconcile.Want[Fields], error) {
	if len(heirs) == 0 {
		return nil, nil
	}
	items, err := s.engine.LockKeys(ctx, tx, settings.Connection, slices.Sorted(maps.Keys(heirs))...)
	if err != nil {
		return nil, err
	}
	var wants []reconcile.Want[Fields]
	var later []string
	for _, x := range items {
		old := situation{Item: &x}
		if !old.inFlight() {
			continue
		}
		l, err := unmarshal(x.Facts, &licencev1.Licence{})
		if err != nil {
			return nil, err
		}
		heir, f := heirs[x.Key], old.holds()
		f.Active = x.Applied == nil || x.Applied.Active // nobody deactivates what goes on
		wants = append(wants, reconcile.Want[Fields]{
			Connection: x.Connection, Key: x.Key, Instance: x.Instance, Desired: &f,
			Verdict: reconcile.Park("replaced_soon", "Its licence is taken over by "+heir+" as soon as what was last written to it cannot land any more."),
			Mode:    settings.Permit.Mode(f.ClientID, l.GetSubscription().GetGiacom().GetMexId()), Facts: x.Facts, Title: x.Title, Customer: x.Customer,
			MonthlyBefore: x.MonthlyBefore, MonthlyAfter: x.MonthlyBefore, Currency: x.Currency, Run: x.Run, Cause: x.Cause, Trace: x.Trace,
		})
		later = append(later, x.Key, heir)
		for i, d := range decisions {
			if d.Adopt != nil && situations[i].Sub.GetKey() == heir {
				decisions[i] = decision{Desired: d.Desired, Candidates: []found{*d.Adopt}, Verdict: reconcile.Park("replaces_soon", fmt.Sprintf(
					"Takes over licence %d in Halo from %s as soon as what was last written to that cannot land any more.", d.Adopt.HaloID, x.Key))}
			}
		}
		delete(heirs, x.Key)
	}
	return wants, revisit(ctx, tx, settings.Connection, later, s.Clock.Now().Add(s.Quiet))
}

// replace retires the item whose licence another one takes over.
func (s *service) replace(ctx context.Context, tx pgx.Tx, connection, old, heir string) error {
	reason := reconcile.Reason{Code: "replaced", Text: "Its licence was taken over by " + heir + "."}
	if err := s.engine.Retire(ctx, tx, reason, connection, old); err != nil {
		return err
	}
	items, err := s.engine.Get(ctx, tx, connection, old)
	if err != nil || len(items) == 0 {
		return err
	}
	x := items[0]
	l, err := unmarshal(x.Facts, &licencev1.Licence{})
	if err != nil {
		return err
	}
	l.ReplacedBy, l.Gone = heir, false
	facts, err := proto.MarshalOptions{Deterministic: true}.Marshal(l)
	if err != nil {
		return err
	}
	return s.engine.Desire(ctx, tx, reconcile.Want[Fields]{
		Connection: connection, Key: old, Instance: x.Instance, Facts: facts, Title: x.Title, Customer: x.Customer, Currency: x.Currency,
		Verdict: reconcile.Verdict{State: reconcile.Pending, Reason: reason}, Run: x.Run, Cause: x.Cause, Trace: x.Trace,
	})
}

// requeueNeighbours has those decided anew whose candidates or rivals became fewer: a subscription went, took a licence, or
// does not want one here any more.
func requeueNeighbours(ctx context.Context, tx pgx.Tx, connection string, situations []situation, decisions []decision, now time.Time) error {
	clients, keys := []int64{}, []string{}
	for i, x := range situations {
		if was := x.wantedAt(); was != 0 && (was != x.Sub.GetHaloClientId() || !x.needsMatch()) {
			keys, clients = append(keys, x.Sub.GetKey()), append(clients, was)
		}
		if x.letsGo() {
			keys, clients = append(keys, x.Sub.GetKey()), append(clients, x.Item.Applied.ClientID)
		}
		removed, _ := removalOf(x.Sub)
		if decisions[i].Adopt == nil && !removed {
			continue
		}
		keys = append(keys, x.Sub.GetKey())
		clients = append(clients, cmp.Or(x.Sub.GetHaloClientId(), x.holds().ClientID))
	}
	if len(keys) == 0 {
		return nil
	}
	return requeueRivals(ctx, tx, connection, clients, keys, now)
}

// wantedAt is the customer at which the subscription has waited for a licence until now; 0 where it has not.
func (s situation) wantedAt() int64 {
	if s.Item == nil || s.Item.HaloID != 0 || s.Item.Desired == nil {
		return 0
	}
	return s.Item.Desired.ClientID
}

// requeueRivals queues what is held or parked for a candidate at these customers, besides keys.
func requeueRivals(ctx context.Context, tx pgx.Tx, connection string, clients []int64, keys []string, now time.Time) error {
	_, err := tx.Exec(ctx, `
		insert into revisits (connection, key, due_at)
		select connection, key, $4 from items join subscriptions s using (connection, key)
		where connection = $1 and s.client_id = any($2) and s.client_id <> 0 and key <> all($3) and halo_id = 0
			and reason_code in ('possible_duplicate', 'may_be_renewal')
		order by key on conflict (connection, key) do nothing`, connection, clients, keys, now)
	if err != nil {
		return fmt.Errorf("queue neighbours: %w", err)
	}
	return nil
}
