package licence

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// readMatches adds what adoption says of the subscriptions that have no licence, and marks that occur twice.
func (s *service) readMatches(ctx context.Context, tx pgx.Tx, settings Settings, subs []subscription, byKey map[string]*situation, marks []string) error {
	now := s.Clock.Now()
	var needing []subscription
	for _, sub := range subs {
		if byKey[sub.GetKey()].needsMatch() {
			needing = append(needing, sub)
		}
	}
	known, err := readInstance(ctx, tx, settings.Instance)
	if err != nil {
		return err
	}
	if known.ListedAt.IsZero() {
		if len(needing) > 0 {
			return wantListing(ctx, tx, settings.Instance, now)
		}
		return nil
	}
	rows, err := readFound(ctx, tx, settings, needing, marks, nil)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if key, ours := strings.CutPrefix(r.Fields.Mark, settings.Mark("")); ours && byKey[key] != nil {
			byKey[key].Marked = append(byKey[key].Marked, r)
		}
	}
	if len(needing) == 0 {
		return nil
	}
	creating, err := readCreating(ctx, tx, settings, clientsOf(needing), `(w.claim <> '' or w.unclear)`)
	if err != nil {
		return err
	}
	matches, err := matchAll(ctx, tx, settings, needing, rows, creating)
	if err != nil {
		return err
	}
	quiet, err := s.isQuiet(ctx, tx, settings.Connection, now)
	if err != nil {
		return err
	}
	var later []string
	stale := false
	for _, sub := range subs {
		key := sub.GetKey()
		m, ok := matches[key]
		if !ok {
			continue
		}
		x := byKey[key]
		undecided := x.Item == nil || x.Item.State == reconcile.Retired || x.Item.Reason.Code == waitForList.Reason.Code
		byMark := m.Adopt != nil && m.Adopt.Fields.Mark == settings.Mark(key)
		switch {
		case byMark:
		case undecided && s.outdated(known.ListedAt):
			stale = true
			continue // waits for the list
		case (m.Adopt != nil || len(m.Candidates) > 0) && !quiet && now.Sub(sub.FirstSeen) < patience && (x.Item == nil || x.Item.Reason.Code != "may_be_renewal"):
			later = append(later, key)
			continue
		case m.Verdict == awaitsCreate:
			later = append(later, key)
		case m.Verdict == waitForList:
			// The list that is here was read when nobody needed the marks of these candidates. One that was read for
			// this very item, and did not tell either, is not asked for again at once.
			stale = stale || x.Item == nil || x.Item.Reason.Code != waitForList.Reason.Code || !x.Item.Updated.Before(known.ListedAt)
		}
		x.Match = &m
	}
	if stale {
		if err := wantListing(ctx, tx, settings.Instance, now); err != nil {
			return err
		}
	}
	return revisit(ctx, tx, settings.Connection, later, now.Add(s.Quiet))
}

// isQuiet tells whether the subscriptions of a connection have stopped coming in.
func (s *service) isQuiet(ctx context.Context, q querier, connection string, now time.Time) (bool, error) {
	rows, err := q.Query(ctx, `select at from arrivals where connection = $1`, connection)
	if err != nil {
		return false, fmt.Errorf("read arrivals: %w", err)
	}
	at, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	return len(at) == 0 || now.Sub(at[0]) >= s.Quiet, err
}

// matchAll runs adoption for subs, which need it, together with everyone who could be their rival. rows are what readFound
// gave for them, creating are licences that are on their way into Halo, or may be.
func matchAll(ctx context.Context, q querier, settings Settings, subs []subscription, rows, creating []found) (map[string]match, error) {
	besides := make(map[string]bool, len(subs))
	for _, sub := range subs {
		besides[sub.GetKey()] = true
	}
	decided, err := readDecisions(ctx, q, settings.Connection, besides)
	if err != nil {
		return nil, err
	}
	var all []newcomer
	var marks []string
	contested, at := map[int64]bool{}, byClient(rows)
	for _, sub := range subs {
		n := newcomerOf(sub, settings)
		if d, ok := decided[n.Key]; ok {
			n.Adopt, n.Create = d, d == 0
		}
		all, marks = append(all, n), append(marks, n.Mark)
		if !contested[n.ClientID] && slices.ContainsFunc(at[n.ClientID], func(r *found) bool { return could(n, *r) }) {
			contested[n.ClientID] = true
		}
	}
	if len(contested) > 0 {
		rivals, err := readRivals(ctx, q, settings, contested, besides)
		if err != nil {
			return nil, err
		}
		all = append(all, rivals...)
		// What else their rivals could take over decides, too.
		if rows, err = readFound(ctx, q, settings, subs, marks, contested); err != nil {
			return nil, err
		}
	}
	matches := adoptByClient(all, rows)
	awaitCreates(matches, all, creating)
	return matches, nil
}

// byClient groups licences by the customer in Halo that has them.
func byClient(rows []found) map[int64][]*found {
	groups := map[int64][]*found{}
	for i := range rows {
		groups[rows[i].ClientID] = append(groups[rows[i].ClientID], &rows[i])
	}
	return groups
}

// adoptByClient is adopt, one customer at a time: rows of other customers are never candidates.
func adoptByClient(all []newcomer, rows []found) map[string]match {
	at, byMark := byClient(rows), map[string][]*found{}
	for i := range rows {
		r := &rows[i]
		if r.Fields.Mark != "" {
			byMark[r.Fields.Mark] = append(byMark[r.Fields.Mark], r)
		}
	}
	groups := map[int64][]newcomer{}
	for _, n := range all {
		groups[n.ClientID] = append(groups[n.ClientID], n)
	}
	matches := make(map[string]match, len(all))
	for client, group := range groups {
		var near []found
		for _, r := range at[client] {
			near = append(near, *r)
		}
		for _, n := range group {
			for _, r := range byMark[n.Mark] {
				if r.ClientID != client { // ours, at another customer
					near = append(near, *r)
				}
			}
		}
		for key, m := range adopt(group, near) {
			matches[key] = m
		}
	}
	return matches
}

func newcomerOf(sub subscription, settings Settings) newcomer {
	g := sub.GetGiacom()
	n := newcomer{Key: sub.GetKey(), Mark: settings.Mark(sub.GetKey()), Across: settings.AcrossMethods, ClientID: sub.GetHaloClientId(), Name: g.GetName(), SKU: g.GetSku()}
	if count, err := seats(g.GetQuantity()); err == nil {
		n.Count = &count
	}
	return n
}

// readRivals reads the other subscriptions of these customers that have no licence yet and want one.
func readRivals(ctx context.Context, q querier, settings Settings, clients map[int64]bool, besides map[string]bool) ([]newcomer, error) {
	ids := make([]int64, 0, len(clients))
	for id := range clients {
		ids = append(ids, id)
	}
	rows, err := q.Query(ctx, `
		select s.body, s.run, s.cause, s.trace, s.first_seen from subscriptions s `+withItem+`
		where s.connection = $1 and s.client_id = any($2) and not s.removed and not s.absent and coalesce(i.halo_id, 0) = 0
			and not exists (select from decisions d where (d.connection, d.key) = (s.connection, s.key))`, settings.Connection, ids)
	if err != nil {
		return nil, fmt.Errorf("read rivals: %w", err)
	}
	subs, err := pgx.CollectRows(rows, scanSubscription)
	if err != nil {
		return nil, fmt.Errorf("read rivals: %w", err)
	}
	var rivals []newcomer
	for _, sub := range subs {
		if !besides[sub.GetKey()] && (situation{Sub: sub.Subscription, Settings: settings}).needsMatch() {
			rivals = append(rivals, newcomerOf(sub, settings))
		}
	}
	return rivals, nil
}

func readDecisions(ctx context.Context, q querier, connection string, needing map[string]bool) (map[string]int64, error) {
	keys := make([]string, 0, len(needing))
	for key := range needing {
		keys = append(keys, key)
	}
	rows, err := q.Query(ctx, `select key, adopt from decisions where connection = $1 and key = any($2)`, connection, keys)
	if err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	decided := map[string]int64{}
	var key string
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&key, &id}, func() error { decided[key] = id; return nil })
	return decided, err
}

func clientsOf(subs []subscription) []int64 {
	clients := make([]int64, len(subs))
	for i, sub := range subs {
		clients[i] = sub.GetHaloClientId()
	}
	slices.Sort(clients)
	return slices.Compact(clients)
}

// severalFeeds tells whether a connection has subscriptions under the ids of both import methods.
func severalFeeds(ctx context.Context, q querier, connection string) (bool, error) {
	rows, err := q.Query(ctx, `select coalesce(split_part(min(key), '/', 1) <> split_part(max(key), '/', 1), false) from subscriptions where connection = $1`, connection)
	if err != nil {
		return false, fmt.Errorf("look for ids of both import methods: %w", err)
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
}

// takeable is whose licences in Halo others may take over, as a condition on subscriptions t, see could: not those of live
// ones of the same feed, as nearly all are where there is but one.
func takeable(ctx context.Context, q querier, connection string) (string, error) {
	several, err := severalFeeds(ctx, q, connection)
	if several {
		return `true`, err
	}
	return `(t.removed or t.absent)`, err
}

// readFound reads the licences in Halo that subs could take over, or that a person said they should: active ones of their
// customer and product. With them come those with certain marks, whatever their customer, and all active ones of certain
// customers. It says to whom each belongs. One that we moved since the listing is its new customer's: where it was not
// found there, another would be created beside it.
func readFound(ctx context.Context, q querier, settings Settings, subs []subscription, marks []string, whole map[int64]bool) ([]found, error) {
	clients, products, keys := make([]int64, len(subs)), make([]string, len(subs)), make([]string, len(subs))
	for i, sub := range subs {
		g := sub.GetGiacom()
		clients[i], keys[i] = sub.GetHaloClientId(), sub.GetKey()
		products[i] = arrayText(giacom.Product{Name: g.GetName(), SKU: g.GetSku()}.Keys())
	}
	takeable, err := takeable(ctx, q, settings.Connection)
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, `
		with near as materialized ( -- a customer has many licences that are nobody else's; to whom each belongs takes long to find out
			select halo_id from halo_licences where instance = $1 and mark <> '' and mark = any($2)
			union select h.halo_id from (select distinct * from unnest($3::bigint[], $4::text[]) t(client, products)) asked cross join lateral (
				select halo_id from halo_licences where instance = $1 and client_id = asked.client and active
					and (products && asked.products::text[] or products = '{}') offset 0) h
			union select m.halo_id from subscriptions t join items m using (connection, key)
				where t.connection = $6 and t.client_id = any($3) and m.halo_id <> 0 and `+takeable+`
			union select h.halo_id from decisions d join halo_licences h on h.halo_id = d.adopt
				where d.connection = $6 and d.key = any($5) and d.adopt <> 0 and h.instance = $1 and h.active
			union select halo_id from halo_licences where instance = $1 and client_id = any($8) and active
		)
		select h.halo_id, coalesce((i.applied->>'client')::bigint, h.client_id), h.type, h.name, h.sku, coalesce((i.applied->>'active')::boolean, h.active),
			coalesce(nullif(i.applied->>'mark', ''), h.mark), h.mark_known or coalesce(i.applied->>'mark', '') <> '',
			coalesce(h.fields || i.applied, h.fields), -- what we wrote since the listing counts
			coalesce(i.connection, ''), coalesce(i.key, ''), coalesce(s.absent, false), coalesce(s.removed, false), s.key is not null,
			case when s.removed then s.body end
		from halo_licences h
		left join lateral (select connection, key, applied from items
			where instance = h.instance and halo_id = h.halo_id and halo_id <> 0 and state <> 7 and not starts_with(key, '`+replacedKey+`') limit 1) i on true
		left join lateral (select key, absent, removed, body from subscriptions where connection = coalesce(i.connection, $6) and key = coalesce(i.key,
			case when starts_with(h.mark, $7) then substr(h.mark, length($7) + 1) end) limit 1) s on true
		where h.instance = $1 and h.halo_id = any(array(select halo_id from near))`,
		settings.Instance, marks, clients, products, keys, settings.Connection, settings.Mark(""), slices.Collect(maps.Keys(whole)))
	if err != nil {
		return nil, fmt.Errorf("read Halo's licences: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (found, error) {
		var f found
		var mark, connection string
		var fields, gone []byte
		var absent, removed, known bool
		err := r.Scan(&f.HaloID, &f.ClientID, &f.Type, &f.Name, &f.SKU, &f.Active, &mark, &f.MarkKnown, &fields, &connection, &f.OwnerKey, &absent, &removed, &known, &gone)
		if err != nil {
			return f, err
		}
		if err := json.Unmarshal(fields, &f.Fields); err != nil {
			return f, err
		}
		f.Fields.Mark = mark
		key, ours := strings.CutPrefix(mark, settings.Mark(""))
		switch {
		case connection != "" && connection != settings.Connection:
			f.Owner = ownedByStranger
		case connection == "" && !ours && strings.HasPrefix(mark, "giacom:"):
			f.Owner = ownedByStranger
		case connection == "" && !ours:
			f.Owner = ownedByNobody
		case !known:
			f.Owner = ownedByUnknown
		default:
			if f.Owner, err = ownerOf(absent, removed, gone); err != nil {
				return f, err
			}
		}
		if f.Owner != ownedByStranger && f.OwnerKey == "" && ours {
			f.OwnerKey = key
		}
		return f, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read Halo's licences: %w", err)
	}
	return list, nil
}

// ownerOf says how it stands with the subscription of a licence; gone is its body where it is removed.
func ownerOf(absent, removed bool, gone []byte) (owner, error) {
	switch {
	case removed:
		sub, err := unmarshal(gone, &subscriptionv1.Subscription{})
		if err != nil {
			return ownedByRemoved, err
		}
		if superseded(sub) {
			return ownedByFormer, nil
		}
		return ownedByRemoved, nil
	case absent:
		return ownedByAbsent, nil
	}
	return ownedByLive, nil
}

// readCreating reads the licences of customers of which nobody knows yet whether Halo has them: their create is under way,
// or its outcome is unclear. which of them is a condition on work w.
func readCreating(ctx context.Context, q querier, settings Settings, clients []int64, which string, args ...any) ([]found, error) {
	takeable, err := takeable(ctx, q, settings.Connection)
	if err != nil {
		return nil, err
	}
	// From the few subscriptions that it may be about: thousands may be under way.
	rows, err := q.Query(ctx, `
		select t.key, c.client, t.name, t.sku, t.absent, t.removed, case when t.removed then t.body end
		from subscriptions t cross join lateral (
			select (w.claimed->>'client')::bigint as client from work w join items i using (connection, key)
			where w.connection = t.connection and w.key = t.key and i.halo_id = 0 and `+which+` offset 0) c
		where t.connection = $1 and `+takeable+` and c.client = any($2)`,
		append([]any{settings.Connection, clients}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("read licences that are being created: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (found, error) {
		f := found{Type: halo.TypeSubscription, Active: true}
		var absent, removed bool
		var gone []byte
		if err := r.Scan(&f.OwnerKey, &f.ClientID, &f.Name, &f.SKU, &absent, &removed, &gone); err != nil {
			return f, err
		}
		var err error
		f.Owner, err = ownerOf(absent, removed, gone)
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("read licences that are being created: %w", err)
	}
	return list, nil
}
