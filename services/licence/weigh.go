package licence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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

// decideKeys decides stored subscriptions of one connection and hands the result to the engine, all in tx.
func (s *service) decideKeys(ctx context.Context, tx pgx.Tx, connection string, keys []string) error {
	subs, err := lockSubscriptions(ctx, tx, connection, keys)
	if err != nil {
		return err
	}
	return s.decideSubscriptions(ctx, tx, connection, subs)
}

// decideSubscriptions is decideKeys for subscriptions that tx has locked, or written.
func (s *service) decideSubscriptions(ctx context.Context, tx pgx.Tx, connection string, subs []subscription) error {
	more, err := heirsOf(ctx, tx, connection, subs)
	if err != nil {
		return err
	}
	subs = slices.Concat(subs, more)
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
	wants, err := s.awaitWrites(ctx, tx, settings, situations, decisions, heirs)
	if err != nil {
		return err
	}
	waiting := make(map[string]bool, len(wants))
	for _, w := range wants {
		waiting[w.Key] = true
	}
	for i, x := range situations {
		if x.Item != nil && x.Item.State == reconcile.Retired && x.Item.Reason.Code == "replaced" && decisions[i].Desired == nil {
			continue
		}
		if key := x.Sub.GetKey(); heirs[key] != "" || waiting[key] {
			continue // retired below, or as soon as it may be
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
	// One that Giacom has all the same needs a licence of its own.
	if err := revisit(ctx, tx, connection, slices.Sorted(maps.Keys(heirs)), s.Clock.Now()); err != nil {
		return err
	}
	if err := s.engine.Desire(ctx, tx, wants...); err != nil {
		return err
	}
	return requeueNeighbours(ctx, tx, connection, situations, decisions, s.Clock.Now())
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
		Desired: d.Desired, Verdict: d.Verdict, LetGo: x.letsGo(), Mode: x.Settings.Permit.Mode(customerOf(x, d), g.GetMexId()),
		Facts: body, Title: customer + ": " + g.GetName(), Customer: customer, Currency: x.Settings.Currency,
		Run: sub.Run, Cause: sub.Cause, Trace: sub.Trace,
	}
	var before *Fields
	if x.Item != nil && !w.LetGo {
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
	items, err := s.engine.LockKeys(ctx, tx, settings.Connection, keys...)
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
		select linked, invoice_id, client_id, licence_ids, licence_keys, price::text from (
			select key, linked, invoice_id, client_id, licence_ids, licence_keys, price from lines where connection = $1 and licence_keys && $2 and price is not null
			union select key, linked, invoice_id, client_id, licence_ids, licence_keys, price from lines where connection = $1 and licence_ids && $3
		) found order by key`, connection, keys, ids)
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
