package licence

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/reconcile"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// maxAge of a listing that a licence may be created on: somebody may have made one by hand since.
const maxAge = 15 * time.Minute

// outdated tells whether a listing is too old to create licences on. One from before this process always is: the
// database may have been set back to an older dump, and what was created since is not in it.
func (s *service) outdated(listedAt time.Time) bool {
	return s.Clock.Since(listedAt) > maxAge || listedAt.Before(s.began)
}

// decideKeys decides subscriptions of one connection and hands the result to the engine, all in tx.
func (s *service) decideKeys(ctx context.Context, tx pgx.Tx, connection string, keys []string) error {
	keys, err := withHeirs(ctx, tx, connection, keys)
	if err != nil {
		return err
	}
	subs, err := lockSubscriptions(ctx, tx, connection, keys)
	if err != nil {
		return err
	}
	c, err := connections.Read(ctx, tx, connection)
	if errors.Is(err, connections.ErrUnknown) {
		return nil // it queues all of its subscriptions when it comes
	}
	if err != nil {
		return err
	}
	settings := settingsOf(c)
	situations, err := s.situations(ctx, tx, settings, subs)
	if err != nil {
		return err
	}
	decisions := make([]decision, len(situations))
	heirs := map[string]string{} // by key: who takes over its licence
	for i, x := range situations {
		decisions[i] = decide(x)
		if d := decisions[i]; d.Replaces != "" && d.Adopt != nil {
			heirs[d.Replaces] = x.Sub.GetKey()
		}
	}
	if err := s.awaitHeirs(ctx, tx, connection, situations, decisions, heirs); err != nil {
		return err
	}
	var wants []reconcile.Want[Fields]
	for i, x := range situations {
		if x.Item != nil && x.Item.State == reconcile.Retired && x.Item.Reason.Code == "replaced" && decisions[i].Desired == nil {
			continue
		}
		if heirs[x.Sub.GetKey()] != "" {
			continue // retired below
		}
		w, err := want(x, decisions[i], subs[i])
		if err != nil {
			return err
		}
		wants = append(wants, w)
	}
	for old, heir := range heirs {
		if err := s.replace(ctx, tx, connection, old, heir); err != nil {
			return err
		}
	}
	if err := s.engine.Desire(ctx, tx, wants...); err != nil {
		return err
	}
	return requeueNeighbours(ctx, tx, connection, situations, decisions, s.Clock.Now())
}

// withHeirs adds the subscriptions that may take over the licence of one of the keys that is gone: they are decided
// together, or the licence would be deactivated before its heir could have it.
func withHeirs(ctx context.Context, tx pgx.Tx, connection string, keys []string) ([]string, error) {
	rows, err := tx.Query(ctx, `
		select s.key from subscriptions s left join items i using (connection, key)
		where s.connection = $1 and not s.removed and not s.absent and coalesce(i.halo_id, 0) = 0 and s.key <> all($2) and s.client_id in (
			select (g.applied->>'client')::bigint from subscriptions r join items g using (connection, key)
			where r.connection = $1 and r.key = any($2) and r.removed and g.halo_id <> 0)`, connection, keys)
	if err != nil {
		return nil, fmt.Errorf("look for heirs: %w", err)
	}
	heirs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return append(slices.Clone(keys), heirs...), err
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

// requeueNeighbours has those decided anew whose candidates became fewer: a subscription went, or took a licence.
func requeueNeighbours(ctx context.Context, tx pgx.Tx, connection string, situations []situation, decisions []decision, now time.Time) error {
	clients, keys := []int64{}, []string{}
	for i, x := range situations {
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

// want is a decision in the engine's words.
func want(x situation, d decision, sub subscription) (reconcile.Want[Fields], error) {
	g := sub.GetGiacom()
	facts := &licencev1.Licence{Subscription: sub.Subscription, Gone: d.Gone}
	for _, c := range d.Candidates {
		facts.Candidates = append(facts.Candidates, &licencev1.Candidate{HaloId: c.HaloID, Name: c.Name, Count: deref(c.Fields.Count), Mark: c.Fields.Mark})
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(facts)
	if err != nil {
		return reconcile.Want[Fields]{}, err
	}
	customer := cmp.Or(sub.GetHaloClientName(), g.GetCustomerName())
	w := reconcile.Want[Fields]{
		Connection: x.Settings.Connection, Key: sub.GetKey(), Instance: x.Settings.Instance,
		Desired: d.Desired, Verdict: d.Verdict, Mode: x.Settings.Permit.Mode(customerOf(x, d), g.GetMexId()),
		Facts: body, Title: customer + ": " + g.GetName(), Customer: customer, Currency: x.Settings.Currency,
		Run: sub.Run, Cause: sub.Cause, Trace: sub.Trace,
	}
	var before *Fields
	if x.Item != nil {
		before = x.Item.Applied
	}
	if d.Adopt != nil {
		held := d.Adopt.Fields
		w.HaloID, w.Applied, before = d.Adopt.HaloID, &held, &held
	}
	w.MonthlyBefore = monthlyCost(before)
	if d.Desired != nil {
		w.MonthlyAfter = monthlyCost(merge(before, d.Desired))
	}
	return w, nil
}

// customerOf is the customer in Halo that a decision concerns: the one it is for, or the one that has it.
func customerOf(x situation, d decision) int64 {
	if d.Desired != nil && d.Desired.ClientID != 0 {
		return d.Desired.ClientID
	}
	return x.holds().ClientID
}

func deref(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// situations gathers what the decisions about subs rest on. The subscriptions are locked.
func (s *service) situations(ctx context.Context, tx pgx.Tx, settings Settings, subs []subscription) ([]situation, error) {
	keys, marks := make([]string, len(subs)), make([]string, len(subs))
	for i, sub := range subs {
		keys[i], marks[i] = sub.GetKey(), settings.Mark(sub.GetKey())
	}
	if _, err := tx.Exec(ctx, `select 1 from items where connection = $1 and key = any($2) order by key for update`, settings.Connection, keys); err != nil {
		return nil, fmt.Errorf("lock licences: %w", err)
	}
	items, err := s.engine.Get(ctx, tx, settings.Connection, keys...)
	if err != nil {
		return nil, err
	}
	list := make([]situation, len(subs))
	byKey := make(map[string]*situation, len(subs))
	for i, sub := range subs {
		list[i] = situation{Sub: sub.Subscription, Settings: settings}
		byKey[sub.GetKey()] = &list[i]
	}
	for i := range items {
		byKey[items[i].Key].Item = &items[i]
	}
	if err := readLines(ctx, tx, settings.Connection, byKey); err != nil {
		return nil, err
	}
	return list, s.readMatches(ctx, tx, settings, subs, byKey, marks)
}

// readLines adds what invoice lines ask of the licences, and which of them hold a licence at its old customer.
func readLines(ctx context.Context, tx pgx.Tx, connection string, byKey map[string]*situation) error {
	keys, ids := []string{}, []int64{}
	byID := map[int64]*situation{}
	for key, x := range byKey {
		keys = append(keys, key)
		if x.Item != nil && x.Item.HaloID != 0 {
			ids = append(ids, x.Item.HaloID)
			byID[x.Item.HaloID] = x
		}
	}
	rows, err := tx.Query(ctx, `
		select linked, invoice_id, client_id, licence_ids, licence_keys, price::text from lines
		where connection = $1 and (licence_keys && $2 and price is not null or licence_ids && $3) order by key`, connection, keys, ids)
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	var (
		linked            bool
		invoiceID, client int64
		licenceIDs        []int64
		licenceKeys       []string
		price             *string
	)
	_, err = pgx.ForEachRow(rows, []any{&linked, &invoiceID, &client, &licenceIDs, &licenceKeys, &price}, func() error {
		for _, id := range licenceIDs {
			if x := byID[id]; x != nil && linked && client == x.holds().ClientID {
				x.LinkedAt = invoiceID
			}
		}
		if price == nil {
			return nil
		}
		ask, err := decimal.NewFromString(*price)
		if err != nil {
			return err
		}
		for _, key := range licenceKeys {
			if x := byKey[key]; x != nil {
				x.Asks = append(x.Asks, ask)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	return nil
}

// readMatches adds what adoption says of the subscriptions that have no licence, and marks that occur twice.
func (s *service) readMatches(ctx context.Context, tx pgx.Tx, settings Settings, subs []subscription, byKey map[string]*situation, marks []string) error {
	now := s.Clock.Now()
	var clients []int64
	needing := map[string]bool{}
	for _, sub := range subs {
		if byKey[sub.GetKey()].needsMatch() {
			needing[sub.GetKey()] = true
			clients = append(clients, sub.GetHaloClientId())
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
	rows, err := readFound(ctx, tx, settings, clients, marks)
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
	matches, err := matchAll(ctx, tx, settings, subs, needing, rows)
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

// matchAll runs adoption for the subscriptions that need it, together with everyone who could be their rival.
func matchAll(ctx context.Context, q querier, settings Settings, subs []subscription, needing map[string]bool, rows []found) (map[string]match, error) {
	decided, err := readDecisions(ctx, q, settings.Connection, needing)
	if err != nil {
		return nil, err
	}
	var all []newcomer
	contested := map[int64]bool{}
	for _, sub := range subs {
		if !needing[sub.GetKey()] {
			continue
		}
		n := newcomerOf(sub, settings)
		if d, ok := decided[n.Key]; ok {
			n.Adopt, n.Create = d, d == 0
		}
		all = append(all, n)
		if slices.ContainsFunc(rows, func(r found) bool { return could(n, r) }) {
			contested[n.ClientID] = true
		}
	}
	if len(contested) > 0 {
		rivals, err := readRivals(ctx, q, settings, contested, needing)
		if err != nil {
			return nil, err
		}
		all = append(all, rivals...)
	}
	return adoptByClient(all, rows), nil
}

// adoptByClient is adopt, one customer at a time: rows of other customers are never candidates.
func adoptByClient(all []newcomer, rows []found) map[string]match {
	byClient, byMark := map[int64][]found{}, map[string][]found{}
	for _, r := range rows {
		byClient[r.ClientID] = append(byClient[r.ClientID], r)
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
		near := slices.Clone(byClient[client])
		for _, n := range group {
			for _, r := range byMark[n.Mark] {
				if r.ClientID != client { // ours, at another customer
					near = append(near, r)
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
	n := newcomer{Key: sub.GetKey(), Mark: settings.Mark(sub.GetKey()), ClientID: sub.GetHaloClientId(), Name: g.GetName(), SKU: g.GetSku()}
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
		select s.body, s.run, s.cause, s.trace, s.first_seen from subscriptions s left join items i using (connection, key)
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

// readFound reads the active licences of customers, and those with certain marks whatever their customer, and says to
// whom each belongs.
func readFound(ctx context.Context, q querier, settings Settings, clients []int64, marks []string) ([]found, error) {
	slices.Sort(clients)
	clients = slices.Compact(clients)
	rows, err := q.Query(ctx, `
		select h.halo_id, h.client_id, h.type, h.name, h.sku, coalesce((i.applied->>'active')::boolean, h.active), h.mark, h.mark_known,
			coalesce(h.fields || i.applied, h.fields), -- what we wrote since the listing counts
			coalesce(i.connection, ''), coalesce(i.key, ''), coalesce(s.absent, false), coalesce(s.removed, false), s.key is not null
		from halo_licences h
		left join lateral (select connection, key, applied from items
			where instance = h.instance and halo_id = h.halo_id and halo_id <> 0 and state <> 7 and not starts_with(key, '`+replacedKey+`') limit 1) i on true
		left join lateral (select key, absent, removed from subscriptions where connection = coalesce(i.connection, $5) and key = coalesce(i.key,
			case when starts_with(h.mark, $4) then substr(h.mark, length($4) + 1) end) limit 1) s on true
		where h.instance = $1 and (h.active and h.client_id = any($2) or h.mark <> '' and h.mark = any($3))`,
		settings.Instance, clients, marks, settings.Mark(""), settings.Connection)
	if err != nil {
		return nil, fmt.Errorf("read Halo's licences: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (found, error) {
		var f found
		var mark, connection string
		var fields []byte
		var absent, removed, known bool
		err := r.Scan(&f.HaloID, &f.ClientID, &f.Type, &f.Name, &f.SKU, &f.Active, &mark, &f.MarkKnown, &fields, &connection, &f.OwnerKey, &absent, &removed, &known)
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
		case removed:
			f.Owner = ownedByRemoved
		case absent:
			f.Owner = ownedByAbsent
		default:
			f.Owner = ownedByLive
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
