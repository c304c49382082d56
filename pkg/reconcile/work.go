package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// work is what the applier knows of an item that it may take by itself, or has taken: a narrow row, so that a claim and
// its end cost little beside the item itself.
type work struct {
	instance, group, customer string
	priority                  int16
	readyAt                   time.Time
	claim                     string
	since                     time.Time
	unclear                   bool
	attempts                  int
}

// withWork reads the work of rows that are locked. A row that is claimed is being applied, whatever its column says: that is
// written when the write has ended.
func withWork[D any](ctx context.Context, tx pgx.Tx, list []*row[D]) error {
	if len(list) == 0 {
		return nil
	}
	at := make(map[[2]string]*row[D], len(list))
	connections, keys := make([]string, len(list)), make([]string, len(list))
	for i, x := range list {
		at[[2]string{x.Connection, x.Key}] = x
		connections[i], keys[i] = x.Connection, x.Key
	}
	rows, err := tx.Query(ctx, `
		select connection, key, instance, grp, customer, priority, ready_at, claim, since, unclear, attempts from work
		where (connection, key) in (select * from unnest($1::text[], $2::text[]))`, connections, keys)
	if err != nil {
		return fmt.Errorf("read what is to be done: %w", err)
	}
	var k [2]string
	var w work
	var since *time.Time
	_, err = pgx.ForEachRow(rows, []any{&k[0], &k[1], &w.instance, &w.group, &w.customer, &w.priority, &w.readyAt, &w.claim, &since, &w.unclear, &w.attempts}, func() error {
		w.since = orZero(since)
		at[k].take(w)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read what is to be done: %w", err)
	}
	return nil
}

// take puts what is known of the work into the row.
func (x *row[D]) take(w work) {
	x.work = &w
	x.readyAt, x.Claim, x.Since, x.Unclear, x.Attempts = w.readyAt, w.claim, w.since, w.unclear, w.attempts
	if w.claim != "" {
		x.State, x.previous = Applying, Applying
	}
}

// saveWork writes what is to be done about rows whose items have been written: nothing where that has not changed.
func saveWork[D any](ctx context.Context, tx pgx.Tx, items []*row[D]) error {
	var (
		connection, key, instance, grp, customer, claim []string
		priority                                        []int16
		ready                                           []time.Time
		since                                           []*time.Time
		unclear                                         []bool
		attempts                                        []int32
		overConnection, overKey                         []string
	)
	for _, x := range items {
		if x.readyAt.IsZero() {
			if x.work != nil {
				overConnection, overKey = append(overConnection, x.Connection), append(overKey, x.Key)
			}
			continue
		}
		w := work{x.Instance, x.Group, x.Customer, x.Priority, x.readyAt, x.Claim, x.Since, x.Unclear, x.Attempts}
		if x.work != nil && *x.work == w {
			continue
		}
		connection, key, instance, grp = append(connection, x.Connection), append(key, x.Key), append(instance, w.instance), append(grp, w.group)
		customer, priority, ready, claim = append(customer, w.customer), append(priority, w.priority), append(ready, w.readyAt), append(claim, w.claim)
		since, unclear, attempts = append(since, orNil(w.since)), append(unclear, w.unclear), append(attempts, int32(w.attempts))
	}
	if len(overKey) > 0 {
		_, err := tx.Exec(ctx, `delete from work where (connection, key) in (select * from unnest($1::text[], $2::text[]))`, overConnection, overKey)
		if err != nil {
			return fmt.Errorf("end the work on %d items: %w", len(overKey), err)
		}
	}
	if len(key) == 0 {
		return nil
	}
	// A claim that stays is not shortened: its heartbeat may just have extended it.
	_, err := tx.Exec(ctx, `
		insert into work as w (connection, key, instance, grp, customer, priority, ready_at, claim, since, unclear, attempts)
		select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::smallint[], $7::timestamptz[], $8::text[],
			$9::timestamptz[], $10::boolean[], $11::int[]) as t(connection, key, instance, grp, customer, priority, ready_at, claim, since, unclear, attempts)
		order by connection, key
		on conflict (connection, key) do update set instance = excluded.instance, grp = excluded.grp, customer = excluded.customer, priority = excluded.priority,
			ready_at = case when w.claim <> '' and w.claim = excluded.claim then greatest(w.ready_at, excluded.ready_at) else excluded.ready_at end,
			claim = excluded.claim, since = excluded.since, unclear = excluded.unclear, attempts = excluded.attempts`,
		connection, key, instance, grp, customer, priority, ready, claim, since, unclear, attempts)
	if err != nil {
		return fmt.Errorf("write what is to be done about %d items: %w", len(key), err)
	}
	return nil
}
