package mapper

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// handlers of the events this service follows, by entity.
func (s *service) handlers() map[string]event.Handler {
	return map[string]event.Handler{
		connections.Entity:    s.onConnections,
		"giacom-customer":     s.onCustomers,
		"giacom-subscription": s.onSubscriptions,
	}
}

// onConnections stores settings, and has the mappings decided anew when they matter here.
func (s *service) onConnections(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	changes, err := connections.Save(ctx, tx, batch)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	for _, c := range changes {
		if c.After.GetDeleted() && c.Before == nil || c.Before != nil && settingsOf(c.Before) == settingsOf(c.After) && reflect.DeepEqual(connections.PermitOf(c.Before), connections.PermitOf(c.After)) && reach(c.Before) == reach(c.After) {
			continue
		}
		// Nothing more is written for one that was deleted: what waits to be is decided anew, too.
		readHalo := !c.After.GetDeleted() && (c.Before == nil || settingsOf(c.Before) != settingsOf(c.After) || reach(c.Before) != reach(c.After))
		if err := setDue(ctx, tx, c.After.GetSlug(), now, now, readHalo); err != nil {
			return err
		}
	}
	return nil
}

// reach is what decides whether Halo answers: a corrected secret is a reason to try again.
func reach(c *connectionv1.Connection) string {
	h := c.GetHalo()
	return fmt.Sprint(c.GetEnabled(), h.GetBaseUrl(), h.GetAuthUrl(), h.GetTenant(), h.GetClientId(), h.GetClientSecret().GetVersion())
}

// onCustomers stores customers as Giacom has them.
func (s *service) onCustomers(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	n := len(batch)
	list, ids, revisions := make([]string, n), make([]string, n), make([]int64, n)
	names, present, who := make([]string, n), make([]bool, n), make([]traits, n)
	runs, causes, traces := make([]string, n), make([]string, n), make([]string, n)
	for i, e := range batch {
		var c giacomv1.Customer
		if err := e.Unmarshal(&c); err != nil {
			return err
		}
		list[i], ids[i], revisions[i] = e.Connection, mexID(e.Key), e.Revision
		who[i] = traitsOf(&c)
		names[i], present[i] = c.GetName(), e.Type != "seatline.giacom.customer.removed.v1"
		runs[i], causes[i], traces[i] = e.Run, e.ID, e.TraceParent
	}
	// A changed name or presence can change every mapping of the connection, and not only this one's.
	rows, err := tx.Query(ctx, `
		with new as (
			select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::text[], $7::text[], $8::text[], $11::jsonb[])
				as t(connection, mex_id, revision, name, in_feed, run, cause, trace, traits)
		), old as (
			select c.connection, c.mex_id, c.name, c.in_feed, c.state from new join customers c using (connection, mex_id)
		), saved as (
			insert into customers as c (connection, mex_id, revision, name, in_feed, run, cause, trace, traits)
			select connection, mex_id, revision, name, in_feed, run, cause, trace, traits from new order by connection, mex_id
			on conflict (connection, mex_id) do update set revision = excluded.revision, name = excluded.name, in_feed = excluded.in_feed,
				run = excluded.run, cause = excluded.cause, trace = excluded.trace, traits = excluded.traits,
				-- what a customer was called when it was mapped or ignored, as long as it is called something else
				previous_name = case when c.state not in ($12, $13) or btrim(excluded.name) in ('', btrim(c.previous_name)) then ''
					when btrim(c.name) in ('', btrim(excluded.name)) then c.previous_name else coalesce(nullif(c.previous_name, ''), c.name) end,
				renamed = case when c.state not in ($12, $13) or btrim(excluded.name) in ('', btrim(c.previous_name)) then null
					when btrim(c.name) in ('', btrim(excluded.name)) then c.renamed else $14 end
			where excluded.revision > c.revision
			returning connection, mex_id, name, in_feed, state
		)
		select s.connection, bool_or(s.state in (0, $9) or s.state = $10) from saved s left join old o using (connection, mex_id)
		where o.mex_id is null or o.name <> s.name or o.in_feed <> s.in_feed
		group by s.connection order by s.connection`,
		list, ids, revisions, names, present, runs, causes, traces, int16(mappingv1.State_STATE_UNMAPPED), int16(mappingv1.State_STATE_CREATING),
		who, int16(mappingv1.State_STATE_MAPPED), int16(mappingv1.State_STATE_IGNORED), s.Clock.Now())
	if err != nil {
		return fmt.Errorf("store %d customers: %w", n, err)
	}
	return s.dueFor(ctx, tx, rows)
}

// traitsOf are what tells who a customer is besides its name. The contact's address names a domain.
func traitsOf(c *giacomv1.Customer) (t traits) {
	t.Tenants = c.GetTenantIds()
	if d := domainOf(c.GetContact().GetEmail()); d != "" {
		t.Domains = []string{d}
	}
	if p := postCode(c.GetAddress().GetPostcode()); p != "" {
		t.PostCodes = []string{p}
	}
	return t
}

// dueFor reads connections, each with whether Halo is to be read, and queues them.
func (s *service) dueFor(ctx context.Context, tx pgx.Tx, rows pgx.Rows) error {
	var connection string
	var readHalo bool
	found := map[string]bool{}
	_, err := pgx.ForEachRow(rows, []any{&connection, &readHalo}, func() error { found[connection] = readHalo; return nil })
	if err != nil {
		return fmt.Errorf("find what is due: %w", err)
	}
	now := s.Clock.Now()
	for _, c := range slices.Sorted(maps.Keys(found)) {
		if err := setDue(ctx, tx, c, now, now.Add(s.Quiet), found[c]); err != nil {
			return err
		}
	}
	s.lookAfterQuiet()
	return nil
}

// lookAfterQuiet has what is due after the pause looked at when it ends, and not at the next poll.
func (s *service) lookAfterQuiet() { s.Clock.AfterFunc(s.Quiet, s.wake.Nudge) }

// onSubscriptions stores subscriptions, and publishes those whose customer is known already.
func (s *service) onSubscriptions(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	incoming := make([]subscription, len(batch))
	now := s.Clock.Now()
	for i, e := range batch {
		var g giacomv1.Subscription
		if err := e.Unmarshal(&g); err != nil {
			return err
		}
		incoming[i] = subscription{
			Connection: e.Connection, Key: e.Key, MexID: mexID(g.GetMexId()), Revision: e.Revision, Body: e.Payload,
			Gone: e.Type == "seatline.giacom.subscription.removed.v1", CustomerName: g.GetCustomerName(), Name: g.GetName(), SKU: g.GetSku(),
			Tenant: g.GetTenantId(), Stake: stakeOf(&g), Run: e.Run, Cause: e.ID, Trace: e.TraceParent, Updated: now,
		}
	}
	// The batch is in the order of connections.
	for len(incoming) > 0 {
		n := 1
		for n < len(incoming) && incoming[n].Connection == incoming[0].Connection {
			n++
		}
		if err := s.take(ctx, tx, incoming[:n]); err != nil {
			return err
		}
		incoming = incoming[n:]
	}
	return nil
}

// take digests subscriptions of one connection. Their customers are locked first, as every change of
// a mapping does, so that each subscription is published with the mapping that holds.
func (s *service) take(ctx context.Context, tx pgx.Tx, incoming []subscription) error {
	connection := incoming[0].Connection
	customers := map[string]mapping{}
	keys := make([]string, len(incoming))
	for i, x := range incoming {
		customers[x.MexID], keys[i] = mapping{}, x.Key
	}
	fresh, err := shareCustomers(ctx, tx, connection, customers)
	if err != nil {
		return err
	}
	known, err := readSubscriptions(ctx, tx, `connection = $1 and key = any($2) order by key for update`, connection, keys)
	if err != nil {
		return err
	}
	old := make(map[string]subscription, len(known))
	for _, x := range known {
		old[x.Key] = x
	}
	changed := incoming[:0]
	for _, x := range incoming {
		was, seen := old[x.Key]
		if seen && was.Revision >= x.Revision {
			continue
		}
		// A customer that loses its last subscription may exist no longer, and one may come back.
		fresh = fresh || !seen || was.Gone != x.Gone || was.MexID != x.MexID
		x.Choice = was.Choice
		if m := customers[x.MexID]; m.State != 0 {
			x.Now = resolve(x.Choice, m, x.Gone)
		}
		x.OutRevision = event.NewRevision(was.OutRevision, s.Clock.Now())
		changed = append(changed, x)
	}
	if err := publish(ctx, tx, changed); err != nil {
		return err
	}
	return s.arrived(ctx, tx, connection, customers, fresh)
}

// shareCustomers fills in the mappings, with the rows locked against changes; it makes rows for
// customers that nobody has heard of, and tells whether there are any.
func shareCustomers(ctx context.Context, tx pgx.Tx, connection string, customers map[string]mapping) (fresh bool, err error) {
	ids := slices.Sorted(maps.Keys(customers))
	tag, err := tx.Exec(ctx, `insert into customers (connection, mex_id) select $1, m from unnest($2::text[]) m order by m on conflict do nothing`, connection, ids)
	if err != nil {
		return false, fmt.Errorf("make customers: %w", err)
	}
	rows, err := tx.Query(ctx, `select mex_id, state, client_id, client_name, origin, reason_code, reason_text from customers
		where connection = $1 and mex_id = any($2) order by mex_id for share`, connection, ids)
	if err != nil {
		return false, fmt.Errorf("read mappings: %w", err)
	}
	var id string
	var m mapping
	_, err = pgx.ForEachRow(rows, []any{&id, &m.State, &m.ClientID, &m.ClientName, &m.Origin, &m.Code, &m.Text}, func() error {
		customers[id] = m
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("read mappings: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// arrived queues the connection when customers came to be, or may have ceased to. Halo is read
// again only for customers that nobody has looked for yet.
func (s *service) arrived(ctx context.Context, tx pgx.Tx, connection string, customers map[string]mapping, fresh bool) error {
	unknown := false
	for _, m := range customers {
		unknown = unknown || m.State == 0
	}
	if !fresh && !unknown {
		return nil
	}
	now := s.Clock.Now()
	s.lookAfterQuiet()
	return setDue(ctx, tx, connection, now, now.Add(s.Quiet), unknown)
}
