package billing

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// patience bounds how long a stream of new licences may hold decisions back.
const patience = time.Minute

// handlers of the events this service follows, by entity.
func (s *service) handlers() map[string]event.Handler {
	return map[string]event.Handler{connections.Entity: s.onConnections, "licence": s.onAllLicences, "mapping": s.onMappings, "giacom-customer": s.onCustomers}
}

// settingsOf takes from a connection what matters here. Whatever is not clearly allowed to write only observes.
func settingsOf(c *connectionv1.Connection) Settings {
	b := c.GetBilling()
	s := Settings{
		Connection: c.GetSlug(), Instance: c.GetHalo().GetInstance(), Currency: c.GetGiacom().GetCurrency(),
		Basis: c.GetGiacom().GetAnnualPriceBasis(), Quiet: 2 * time.Hour, Refresh: 6 * time.Hour,
		Permit: connections.PermitOf(c),
	}
	s.Mode = s.Permit.Widest()
	if s.Currency == "" {
		s.Currency = "GBP"
	}
	if b.ProRata != nil {
		v := int64(b.GetProRata())
		s.ProRata = &v
	}
	if b.GetQuietBeforeRun() != nil {
		s.Quiet = b.GetQuietBeforeRun().AsDuration()
	}
	if d := b.GetRefreshInterval().AsDuration(); d > 0 {
		s.Refresh = d
	}
	return s
}

// onConnections keeps the settings, and has everything of a connection decided anew when they matter here.
func (s *service) onConnections(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	changes, err := connections.Save(ctx, tx, batch)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	for _, c := range changes {
		settings := settingsOf(c.After)
		if settings.Instance != "" && c.After.GetEnabled() && !c.After.GetDeleted() {
			// A changed address or secret may end what kept the first reading from succeeding.
			_, err := tx.Exec(ctx, `insert into instances (instance, due_at) values ($1, $2)
				on conflict (instance) do update set due_at = least(instances.due_at, case when instances.read_at is null then excluded.due_at end)`,
				settings.Instance, now)
			if err != nil {
				return fmt.Errorf("note Halo instance %s: %w", settings.Instance, err)
			}
		}
		if c.Before != nil && c.Before.GetDeleted() == c.After.GetDeleted() && reflect.DeepEqual(settingsOf(c.Before), settings) {
			continue
		}
		if err := dirtyAll(ctx, tx, settings.Connection, now); err != nil {
			return err
		}
	}
	s.reread.Nudge()
	s.wake.Nudge()
	return nil
}

// onLicences keeps the latest of each licence and has the customers decided anew that it concerns.
func (s *service) onLicences(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	n := len(batch)
	connection, key, instance, body := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	revision, haloID, client, old := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	present, told := make([]bool, n), make([]bool, n)
	run, cause, trace := make([]string, n), make([]string, n), make([]string, n)
	for i, e := range batch {
		var p licencev1.Licence
		if err := e.Unmarshal(&p); err != nil {
			return err
		}
		l, ok, err := licenceOf(&p)
		if err != nil {
			return fmt.Errorf("licence %s/%s: %w", e.Connection, e.Key, err)
		}
		l.Connection, l.Key = e.Connection, e.Key
		b, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("licence %s/%s: %w", e.Connection, e.Key, err)
		}
		connection[i], key[i], revision[i], instance[i], body[i] = e.Connection, e.Key, e.Revision, p.GetInstance(), string(b)
		haloID[i], client[i], old[i], present[i] = l.HaloID, l.ClientID, l.OldClientID, ok
		told[i] = ok && !l.Creating
		run[i], cause[i], trace[i] = e.Run, e.ID, e.TraceParent
	}
	// Customers are concerned by what the licence was and by what it is; one that is still to be
	// created in Halo (0) has no invoices. A change that the rules do not look at concerns nobody, nor
	// does a licence that is not there yet. One that was decided about before it is created stays in sight.
	rows, err := tx.Query(ctx, `
		with new as (
			select t.connection, t.key, t.revision, t.instance, t.halo_id, t.client_id, t.old_client_id, t.present, b.body, t.run, t.cause, t.trace,
				array[coalesce(w.client_id, 0), coalesce(w.old_client_id, 0)] as were, coalesce(w.instance, '') as was_at,
				w.key is null and t.told or w.body <> b.body or w.present <> t.present or w.instance <> t.instance as matters,
				t.present and not b.body ? 'Creating' and (not coalesce(w.present, false) or w.body ?| '{Creating,Waits}') as fresh
			from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
				$8::boolean[], $9::jsonb[], $10::text[], $11::text[], $12::text[], $13::boolean[])
				as t(connection, key, revision, instance, halo_id, client_id, old_client_id, present, body, run, cause, trace, told)
				left join lateral ( -- each by its key, however little is known of a table that just filled
					select * from licences l where l.connection = t.connection and l.key = t.key limit 1
				) w on true
				cross join lateral (
					select case when w.present and not w.body ?| '{Creating,Waits}' then t.body - 'Creating' else t.body end as body
				) b
		), saved as (
			insert into licences as l (connection, key, revision, instance, halo_id, client_id, old_client_id, present, body, run, cause, trace)
			select connection, key, revision, instance, halo_id, client_id, old_client_id, present, body, run, cause, trace from new order by connection, key
			on conflict (connection, key) do update set revision = excluded.revision, instance = excluded.instance, halo_id = excluded.halo_id,
				client_id = case when excluded.present then excluded.client_id else l.client_id end, old_client_id = excluded.old_client_id, present = excluded.present, body = excluded.body,
				run = case when l.body = excluded.body and l.present = excluded.present then l.run else excluded.run end,
				cause = case when l.body = excluded.body and l.present = excluded.present then l.cause else excluded.cause end,
				left_client_id = case
					when not excluded.present or excluded.client_id = l.left_client_id then 0
					when l.present and l.client_id <> 0 and l.client_id <> excluded.client_id then l.client_id
					else l.left_client_id end,
				trace = case when l.body = excluded.body and l.present = excluded.present then l.trace else excluded.trace end
			where excluded.revision > l.revision
			returning l.connection, l.key, l.client_id, l.old_client_id
		)
		select n.instance, n.was_at, n.were || s.client_id || s.old_client_id, n.fresh
		from saved s join new n using (connection, key) where n.matters`,
		connection, key, revision, instance, haloID, client, old, present, body, run, cause, trace, told)
	if err != nil {
		return fmt.Errorf("store %d licences: %w", n, err)
	}
	touched, arrived := map[string][]int64{}, map[string]bool{}
	var at, before string
	var clients []int64
	var fresh bool
	_, err = pgx.ForEachRow(rows, []any{&at, &before, &clients, &fresh}, func() error {
		touched[at] = append(touched[at], clients...)
		if before != "" && before != at {
			touched[before] = append(touched[before], clients...)
		}
		arrived[at] = arrived[at] || fresh
		return nil
	})
	if err != nil {
		return fmt.Errorf("store %d licences: %w", n, err)
	}
	now := s.Clock.Now()
	for _, at := range sortedKeys(touched) {
		if err := dirty(ctx, tx, at, touched[at], now); err != nil {
			return err
		}
		if !arrived[at] {
			continue
		}
		_, err := tx.Exec(ctx, `insert into arrivals as a (instance, since, at) values ($1, $2, $2)
			on conflict (instance) do update set at = excluded.at, since = case when a.at < $3 then excluded.since else a.since end`,
			at, now, now.Add(-s.Pause))
		if err != nil {
			return fmt.Errorf("note arrivals: %w", err)
		}
	}
	s.wake.Nudge()
	return nil
}
