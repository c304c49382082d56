package licence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// readLease keeps two replicas from listing at once; a large instance takes many pages of a slow budget.
const readLease = 15 * time.Minute

// readDue reads one instance, if one is due: when somebody waits for its licences, and on a slow schedule.
func (s *service) readDue(ctx context.Context) (int, error) {
	now := s.Clock.Now()
	var instance string
	var failures int
	err := s.Pool.QueryRow(ctx, `
		update instances set reading_until = $2 where instance = (
			select instance from instances
			where (wanted_at > coalesce(listed_at, '-infinity') or listed_at <= $3) and coalesce(reading_until, '-infinity') <= $1
			order by wanted_at limit 1 for update skip locked)
		returning instance, failures`, now, now.Add(readLease), now.Add(-s.Sweep)).Scan(&instance, &failures)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for an instance to read: %w", err)
	}
	err = s.readInstance(ctx, instance)
	if err == nil {
		return 1, nil
	}
	retry := now.Add(min(time.Second<<min(failures, 9), 5*time.Minute))
	_, failed := s.Pool.Exec(context.WithoutCancel(ctx), `update instances set reading_until = $2, failures = failures + 1 where instance = $1`, instance, retry)
	if failed != nil {
		s.Log.ErrorContext(ctx, "note a failed listing", "instance", instance, "err", failed)
	}
	return 0, err
}

// readInstance lists an instance with the rights of any connection that uses it.
func (s *service) readInstance(ctx context.Context, instance string) error {
	all, err := connections.All(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.GetHalo().GetInstance() != instance || !c.GetEnabled() {
			continue
		}
		client, err := s.halos.Client(ctx, c)
		if err != nil {
			return err
		}
		return s.list(ctx, client, c)
	}
	// Nobody uses it any more: do not try again before somebody asks.
	_, err = s.Pool.Exec(ctx, `update instances set wanted_at = null, listed_at = null, reading_until = null where instance = $1`, instance)
	return err
}

// list reads all licences of an instance, and compares them with what we hold for written.
func (s *service) list(ctx context.Context, client *halo.Client, c *connectionv1.Connection) error {
	instance, started := c.GetHalo().GetInstance(), s.Clock.Now()
	if err := s.store(ctx, client, instance, started, 0); err != nil {
		return err
	}
	if err := s.learnMarks(ctx, client, instance, nil); err != nil {
		return err
	}
	if err := s.compare(ctx, client, instance, started); err != nil {
		return err
	}
	if err := s.conclude(ctx, instance, started); err != nil {
		return fmt.Errorf("conclude the listing of %s: %w", instance, err)
	}
	s.wake.Nudge()
	return nil
}

// conclude notes a complete listing, and queues what waited for one or shows a mark twice.
func (s *service) conclude(ctx context.Context, instance string, started time.Time) error {
	return postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		all, err := connections.All(ctx, tx)
		if err != nil {
			return err
		}
		var users []string
		for _, c := range all {
			if c.GetHalo().GetInstance() == instance {
				users = append(users, c.GetSlug())
			}
		}
		if err := takeTurn(ctx, tx, users...); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			insert into instances as n (instance, listed_at) values ($1, $2) on conflict (instance) do update set
				listed_at = greatest(n.listed_at, excluded.listed_at), reading_until = null, failures = 0`, instance, started)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			insert into revisits (connection, key, due_at)
			select i.connection, i.key, $2 from items i where i.instance = $1 and (
				i.reason_code in ('halo_list', 'possible_duplicate', 'may_be_renewal', 'duplicate_mark') and i.state in (4, 5)
				or i.state <> 7 and i.halo_id <> 0 and i.applied->>'mark' in (
					select mark from halo_licences h where h.instance = $1 and mark <> '' group by mark having count(*) > 1))
			order by 1, 2 on conflict (connection, key) do update set due_at = excluded.due_at`, instance, s.Clock.Now())
		return err
	})
}

// store lists licences, of one customer or all, active or not, into our copy, and drops what Halo no longer shows.
func (s *service) store(ctx context.Context, client *halo.Client, instance string, started time.Time, customer int64) error {
	listing := started.UnixMicro()
	rows := make([]halo.Licence, 0, 1000)
	flush := func() error {
		err := save(ctx, s.Pool, instance, listing, rows)
		rows = rows[:0]
		return err
	}
	for l, err := range client.Licences(ctx, halo.LicenceFilter{ClientID: customer, Inactive: true}) {
		if err != nil {
			return err
		}
		if rows = append(rows, l); len(rows) == cap(rows) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	_, err := s.Pool.Exec(ctx, `delete from halo_licences where instance = $1 and listing < $2 and ($3 = 0 or client_id = $3)`, instance, listing, customer)
	if err != nil {
		return fmt.Errorf("drop licences that %s no longer has: %w", instance, err)
	}
	return nil
}

// save stores a page. A mark that an earlier look showed is kept where the list does not carry marks.
func save(ctx context.Context, db execer, instance string, listing int64, list []halo.Licence) error {
	if len(list) == 0 {
		return nil
	}
	seen := map[int64]bool{}
	var ids, clients, types []int64
	var names, skus, marks, distributors, products, fields []string
	var active, known []bool
	for _, l := range list {
		f := foundIn(l)
		if seen[f.HaloID] {
			continue
		}
		seen[f.HaloID] = true
		body, err := json.Marshal(f.Fields)
		if err != nil {
			return err
		}
		ids, clients, types = append(ids, f.HaloID), append(clients, f.ClientID), append(types, f.Type)
		names, skus, marks, fields = append(names, f.Name), append(skus, f.SKU), append(marks, f.Fields.Mark), append(fields, string(body))
		active, known, distributors = append(active, f.Active), append(known, f.MarkKnown), append(distributors, f.Distributor)
		products = append(products, arrayText(giacom.Product{Name: f.Name, SKU: f.SKU}.Keys()))
	}
	_, err := db.Exec(ctx, `
		insert into halo_licences as h (instance, halo_id, client_id, type, name, sku, active, mark, mark_known, fields, distributor, products, listing)
		select $1, id, client, type, name, sku, active, mark, known, fields, distributor, products::text[], $11::bigint from unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::boolean[], $8::text[],
			$9::boolean[], $10::jsonb[], $12::text[], $13::text[]) as t(id, client, type, name, sku, active, mark, known, fields, distributor, products)
		order by id
		on conflict (instance, halo_id) do update set
			client_id = excluded.client_id, type = excluded.type, name = excluded.name, sku = excluded.sku, active = excluded.active,
			mark = case when excluded.mark_known then excluded.mark else h.mark end, mark_known = excluded.mark_known or h.mark_known,
			fields = excluded.fields, distributor = excluded.distributor, products = excluded.products, listing = excluded.listing
		where excluded.listing >= h.listing`,
		instance, ids, clients, types, names, skus, active, marks, known, fields, listing, distributors, products)
	if err != nil {
		return fmt.Errorf("store %d licences of Halo: %w", len(ids), err)
	}
	return nil
}

// compare tells the engine what Halo shows, item by item. Items that moved since the listing began are left alone: what
// it showed of them may be older than what we wrote.
func (s *service) compare(ctx context.Context, client *halo.Client, instance string, started time.Time) error {
	gone, err := s.gone(ctx, client, instance, started)
	if err != nil {
		return err
	}
	var connection, key string
	for {
		n, err := s.compareSome(ctx, instance, started, gone, &connection, &key)
		if err != nil || n == 0 {
			return err
		}
	}
}

// maxGone is how many licences one listing may find gone: each is looked up by itself before it is believed.
const maxGone = 50

func (s *service) compareSome(ctx context.Context, instance string, started time.Time, gone map[int64]bool, connection, key *string) (n int, err error) {
	err = postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		items, err := s.engine.Lock(ctx, tx, `instance = $1 and halo_id <> 0 and (connection, key) > ($2, $3)
			order by connection, key limit 1000`, instance, *connection, *key)
		if err != nil || len(items) == 0 {
			return err
		}
		n = len(items)
		ids := make([]int64, n)
		for i, x := range items {
			ids[i] = x.HaloID
		}
		shown, err := readShown(ctx, tx, instance, ids)
		if err != nil {
			return err
		}
		var seen []reconcile.Seen[Fields]
		for _, x := range items {
			*connection, *key = x.Connection, x.Key
			if !x.Updated.Before(started) {
				continue
			}
			f, ok := shown[x.HaloID]
			if !ok && !gone[x.HaloID] {
				continue
			}
			w := reconcile.Seen[Fields]{Connection: x.Connection, Key: x.Key}
			if ok {
				if !f.MarkKnown && x.Applied != nil {
					f.Fields.Mark = x.Applied.Mark
				}
				w.Observed = &f.Fields
			}
			seen = append(seen, w)
		}
		return s.engine.Observe(ctx, tx, seen...)
	})
	return n, err
}

// gone looks up by itself every licence of ours that a listing did not show, and says which do not exist.
func (s *service) gone(ctx context.Context, client *halo.Client, instance string, started time.Time) (map[int64]bool, error) {
	rows, err := s.Pool.Query(ctx, `
		select i.halo_id from items i where i.instance = $1 and i.halo_id <> 0 and i.state not in (3, 7) and i.updated < $2
			and not exists (select from work w where w.connection = i.connection and w.key = i.key and w.claim <> '')
			and not exists (select from halo_licences h where h.instance = i.instance and h.halo_id = i.halo_id)
		order by i.halo_id limit $3`, instance, started, maxGone)
	if err != nil {
		return nil, fmt.Errorf("look for licences that are gone: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for licences that are gone: %w", err)
	}
	gone := map[int64]bool{}
	for _, id := range ids {
		l, err := client.Licence(ctx, id)
		switch {
		case halo.ClassOf(err) == halo.NotFound, err == nil && l.Deleted:
			gone[id] = true
		case err != nil:
			return nil, err
		}
	}
	return gone, nil
}

// readShown gives licences as last listed, by id.
func readShown(ctx context.Context, q querier, instance string, ids []int64) (map[int64]found, error) {
	return readShownWhere(ctx, q, `instance = $1 and halo_id = any($2)`, instance, ids)
}

func readShownWhere(ctx context.Context, q querier, where string, args ...any) (map[int64]found, error) {
	rows, err := q.Query(ctx, `select halo_id, client_id, type, name, sku, active, mark, mark_known, fields from halo_licences where `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read Halo's licences: %w", err)
	}
	shown := map[int64]found{}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (f found, err error) {
		var mark string
		var fields []byte
		if err := r.Scan(&f.HaloID, &f.ClientID, &f.Type, &f.Name, &f.SKU, &f.Active, &mark, &f.MarkKnown, &fields); err != nil {
			return f, err
		}
		err = json.Unmarshal(fields, &f.Fields)
		f.Fields.Mark = mark
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("read Halo's licences: %w", err)
	}
	for _, f := range list {
		shown[f.HaloID] = f
	}
	return shown, nil
}
