package billing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
)

const (
	// customersAtOnce is how many customers one transaction decides about.
	customersAtOnce = 100
	// writing is how long a decision waits for a writer of the customer's invoice.
	writing = 10 * time.Second
)

// decideSome takes queued customers of one instance and decides about their lines. Nothing is decided
// before the invoices of the instance were read once: it would look as if there were no lines.
func (s *service) decideSome(ctx context.Context) (n int, err error) {
	now := s.Clock.Now()
	rows, err := s.pool.Query(ctx, `
		select d.instance from (select distinct instance from dirty) d join instances i using (instance)
		where i.read_at is not null
			and not exists (select from arrivals a where a.instance = d.instance and a.at > $1 and a.since > $2)
		order by d.instance`, now.Add(-s.Pause), now.Add(-patience))
	if err != nil {
		return 0, fmt.Errorf("look for queued customers: %w", err)
	}
	instances, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("look for queued customers: %w", err)
	}
	for _, instance := range instances {
		took, err := s.decideAt(ctx, instance)
		n += took
		if err != nil {
			return n, fmt.Errorf("decide lines of %s: %w", instance, err)
		}
	}
	if n > 0 {
		s.engine.Kick()
	}
	return n, nil
}

func (s *service) decideAt(ctx context.Context, instance string) (n int, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		n = 0
		// One decider per instance at a time, whatever the replicas: what is decided here rests on many rows.
		var free bool
		if err := tx.QueryRow(ctx, `select pg_try_advisory_xact_lock(hashtextextended(current_schema() || $1, 0))`, instance).Scan(&free); err != nil || !free {
			return err
		}
		// A customer whose invoice is being written is decided about right after, over what was written:
		// now we would only wait for the writer, and it for us. An unclear write takes minutes, though.
		now := s.Clock.Now()
		clients, err := column[int64](ctx, tx, `
			with due as (
				select distinct client_id from dirty d where instance = $1 and (queued_at <= $3 or not exists (
					select from writers w join invoices v on v.instance = w.instance and v.id = w.grp::bigint
					where w.instance = d.instance and v.client_id = d.client_id and w.lease_until > $2))
				limit $4
			), taken as (
				delete from dirty where instance = $1 and client_id = any(array(select client_id from due)) returning client_id
			)
			select distinct client_id from taken order by 1`, instance, now, now.Add(-writing), customersAtOnce)
		if err != nil {
			return fmt.Errorf("take queued customers: %w", err)
		}
		if len(clients) == 0 {
			return nil
		}
		n = len(clients)
		sc, err := s.gather(ctx, tx, instance, clients, nil)
		if err != nil {
			return err
		}
		if err := sc.finishUndone(ctx, tx, instance, now); err != nil {
			return err
		}
		if err := sc.beingWritten(ctx, tx, instance, now); err != nil {
			return err
		}
		return s.record(ctx, tx, sc)
	})
	return n, err
}

// beingWritten queues the customers of invoices once more that are being written while they are decided about: the writer
// knows nothing of what this decision rests on, nor it of what the writer sees.
func (sc *scope) beingWritten(ctx context.Context, tx pgx.Tx, instance string, now time.Time) error {
	ids := []int64{}
	for _, inv := range sc.snapshot.Invoices {
		ids = append(ids, inv.ID)
	}
	for _, k := range sc.snapshot.Known {
		if k.InFlight {
			ids = append(ids, k.Aim)
		}
	}
	clients, err := column[int64](ctx, tx, `select v.client_id from invoices v join writers w on w.instance = v.instance and w.grp = v.id::text
		where v.instance = $1 and v.id = any($2) and w.lease_until > $3`, instance, ids, now)
	if err != nil {
		return fmt.Errorf("look for invoices that are being written: %w", err)
	}
	return dirty(ctx, tx, instance, clients, now)
}

// record hands the decisions to the engine: first what Halo showed, then what is wanted, then what is
// no line of ours any more.
func (s *service) record(ctx context.Context, tx pgx.Tx, sc *scope) error {
	decisions := decide(&sc.snapshot, sc.book)
	byKey := make(map[ItemKey]*Decision, len(decisions))
	for i := range decisions {
		byKey[decisions[i].ItemKey] = &decisions[i]
	}
	var seen []reconcile.Seen[Fields]
	gone := map[ItemKey]reconcile.Reason{}
	for _, x := range sc.items {
		key := ItemKey{x.Connection, x.Key}
		known := sc.snapshot.Known[key]
		if known.InFlight {
			continue
		}
		d := byKey[key]
		switch {
		case d == nil:
			if sc.decides(known) {
				gone[key] = sc.whyGone(known, x.Key)
			}
		case d.Applied != nil && x.HaloID != 0 && changed(x.Applied, d.Applied):
			seen = append(seen, reconcile.Seen[Fields]{Connection: x.Connection, Key: x.Key, Observed: d.Applied})
		}
	}
	if err := sc.forgetLeft(ctx, tx, decisions); err != nil {
		return err
	}
	if err := s.engine.Observe(ctx, tx, seen...); err != nil {
		return err
	}
	wants := make([]reconcile.Want[Fields], 0, len(decisions))
	for _, d := range decisions {
		w, err := want(d, sc.book.Settings[d.Connection])
		if err != nil {
			return err
		}
		wants = append(wants, w)
	}
	if err := s.engine.Desire(ctx, tx, wants...); err != nil {
		return err
	}
	return s.retire(ctx, tx, gone)
}

// retire ends items, those of one connection and reason together.
func (s *service) retire(ctx context.Context, tx pgx.Tx, gone map[ItemKey]reconcile.Reason) error {
	type sort struct {
		connection string
		reason     reconcile.Reason
	}
	together := map[sort][]string{}
	for key, reason := range gone {
		k := sort{key.Connection, reason}
		together[k] = append(together[k], key.Key)
	}
	for k, keys := range together {
		if err := s.engine.Retire(ctx, tx, k.reason, k.connection, keys...); err != nil {
			return err
		}
	}
	return nil
}

// forgetLeft: a licence has left a customer for good when no line of that customer links it.
func (sc *scope) forgetLeft(ctx context.Context, tx pgx.Tx, decisions []Decision) error {
	leaving := map[int64]bool{}
	for _, d := range decisions {
		for _, id := range d.Unlink {
			leaving[id] = true
		}
	}
	var connections, keys []string
	for _, l := range sc.snapshot.Licences {
		if l.LeftClientID != 0 && l.OldClientID == 0 && !leaving[l.HaloID] && sc.snapshot.Clients[l.LeftClientID] {
			connections, keys = append(connections, l.Connection), append(keys, l.Key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `update licences set left_client_id = 0 where (connection, key) in (select * from unnest($1::text[], $2::text[]))`, connections, keys)
	if err != nil {
		return fmt.Errorf("forget customers that licences left: %w", err)
	}
	return nil
}

// decides tells whether the scope covers the item: else its absence from the decisions says nothing.
func (sc *scope) decides(k Known) bool {
	at := slices.IndexFunc(sc.snapshot.Invoices, func(i Invoice) bool { return i.ID == k.Facts.Invoice })
	if at < 0 {
		return k.Facts.Invoice != 0 || sc.snapshot.Clients[k.Facts.Client]
	}
	return sc.snapshot.Clients[sc.snapshot.Invoices[at].ClientID]
}

// whyGone says why an item is no line of ours any more.
func (sc *scope) whyGone(k Known, key string) reconcile.Reason {
	if strings.HasPrefix(key, addPrefix) {
		return nowBilled
	}
	for _, inv := range sc.snapshot.Invoices {
		if inv.ID != k.Facts.Invoice {
			continue
		}
		if inv.Disabled {
			return reconcile.Reason{Code: "invoice_disabled", Text: "Its recurring invoice is disabled in Halo."}
		}
		if slices.ContainsFunc(inv.Lines, func(l Line) bool { return l.ID == k.Facts.Line && l.bills() }) {
			return reconcile.Reason{Code: "not_ours", Text: "The line bills no licence of ours any more."}
		}
	}
	return reconcile.Reason{Code: "line_gone", Text: "The line is gone from Halo, or inactive."}
}

func changed(a, b *Fields) bool {
	if a == nil || b == nil {
		return a != b
	}
	return len(diff(a, b)) > 0 || len(diff(b, a)) > 0
}

// want is a decision in the engine's words.
func want(d Decision, settings Settings) (reconcile.Want[Fields], error) {
	facts, err := json.Marshal(d.Facts)
	if err != nil {
		return reconcile.Want[Fields]{}, fmt.Errorf("facts of line %s/%s: %w", d.Connection, d.Key, err)
	}
	w := reconcile.Want[Fields]{
		Connection: d.Connection, Key: d.Key, Instance: settings.Instance, Desired: &d.Desired, Verdict: d.Verdict, Mode: settings.Mode,
		HaloID: d.Facts.Line, Applied: d.Applied, Facts: facts, Title: d.titleOf(), Customer: d.Customer, Follows: d.Follows,
		MonthlyBefore: d.Before, MonthlyAfter: d.After, Currency: settings.Currency, Run: d.Run, Cause: d.Cause, Trace: d.Trace, Who: d.Who,
	}
	if d.Facts.Invoice != 0 {
		w.Group = strconv.FormatInt(d.Facts.Invoice, 10)
	}
	if len(d.Unlink) > 0 {
		w.Priority = -1 // the licence cannot move before
	}
	return w, nil
}

// busy tells whether something is under way that no item shows: reading Halo, or deciding.
func (s *service) busy(connection string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	var busy bool
	err := s.pool.QueryRow(ctx, `
		select exists (select from dirty d join instances i using (instance) where i.read_at is not null)
			or exists (select from instances where reading_until > $1 or read_at is null and failures = 0)`, s.Clock.Now()).Scan(&busy)
	if err != nil && !errors.Is(err, context.Canceled) {
		s.Log.Warn("ask for queued work", "connection", connection, "err", err)
		return true
	}
	return busy
}
