package licence

import (
	"cmp"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

//go:embed migrations/*.sql
var files embed.FS

// schema is the tables of this service's own.
func schema() postgres.Migrations { return postgres.Embedded(Service, files) }

// subscription is a stored subscription with the event that brought it.
type subscription struct {
	*subscriptionv1.Subscription
	Run, Cause, Trace string
	FirstSeen         time.Time
}

// saveSubscriptions stores what is newer than what is stored, and gives the keys that changed, by connection.
func saveSubscriptions(ctx context.Context, tx pgx.Tx, batch []event.Event, now time.Time) (map[string][]string, error) {
	n := len(batch)
	connections, keys, revisions := make([]string, n), make([]string, n), make([]int64, n)
	states, clients := make([]int16, n), make([]int64, n)
	mexIDs, customers, names, skus := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	absent, removed := make([]bool, n), make([]bool, n)
	runs, causes, traces, bodies := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	for i, e := range batch {
		var s subscriptionv1.Subscription
		if err := e.Unmarshal(&s); err != nil {
			return nil, err
		}
		g := s.GetGiacom()
		connections[i], keys[i], revisions[i] = e.Connection, e.Key, e.Revision
		states[i], clients[i] = int16(s.GetState()), s.GetHaloClientId()
		mexIDs[i], customers[i], names[i], skus[i] = g.GetMexId(), cmp.Or(s.GetHaloClientName(), g.GetCustomerName()), g.GetName(), g.GetSku()
		absent[i] = g.GetAbsentSince() != nil
		removed[i], _ = removalOf(&s)
		runs[i], causes[i], traces[i], bodies[i] = e.Run, e.ID, e.TraceParent, e.Payload
	}
	rows, err := tx.Query(ctx, `
		insert into subscriptions as s (connection, key, revision, state, client_id, mex_id, customer_name, name, sku, absent, removed,
			run, cause, trace, first_seen, body)
		select connection, key, revision, state, client_id, mex_id, customer_name, name, sku, absent, removed, run, cause, trace, $15::timestamptz, body
		from unnest($1::text[], $2::text[], $3::bigint[], $4::smallint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[],
			$10::boolean[], $11::boolean[], $12::text[], $13::text[], $14::text[], $16::bytea[])
			as t(connection, key, revision, state, client_id, mex_id, customer_name, name, sku, absent, removed, run, cause, trace, body)
		order by connection, key
		on conflict (connection, key) do update set
			revision = excluded.revision, state = excluded.state, client_id = excluded.client_id, mex_id = excluded.mex_id,
			customer_name = excluded.customer_name, name = excluded.name, sku = excluded.sku, absent = excluded.absent,
			removed = excluded.removed, run = excluded.run, cause = excluded.cause, trace = excluded.trace, body = excluded.body
		where excluded.revision > s.revision
		returning connection, key`,
		connections, keys, revisions, states, clients, mexIDs, customers, names, skus, absent, removed, runs, causes, traces, now, bodies)
	if err != nil {
		return nil, fmt.Errorf("store %d subscriptions: %w", n, err)
	}
	changed := map[string][]string{}
	var c, k string
	_, err = pgx.ForEachRow(rows, []any{&c, &k}, func() error { changed[c] = append(changed[c], k); return nil })
	if err != nil {
		return nil, fmt.Errorf("store %d subscriptions: %w", n, err)
	}
	return changed, nil
}

// lockSubscriptions locks and reads subscriptions, in key order. Everything else that a decision rests on is read after
// this, so that of two decisions about one subscription the later one has seen at least as much.
func lockSubscriptions(ctx context.Context, tx pgx.Tx, connection string, keys []string) ([]subscription, error) {
	rows, err := tx.Query(ctx, `select body, run, cause, trace, first_seen from subscriptions where connection = $1 and key = any($2)
		order by key for update`, connection, keys)
	if err != nil {
		return nil, fmt.Errorf("lock subscriptions: %w", err)
	}
	return pgx.CollectRows(rows, scanSubscription)
}

func scanSubscription(r pgx.CollectableRow) (subscription, error) {
	var body []byte
	s := subscription{Subscription: &subscriptionv1.Subscription{}}
	if err := r.Scan(&body, &s.Run, &s.Cause, &s.Trace, &s.FirstSeen); err != nil {
		return s, err
	}
	return s, proto.Unmarshal(body, s.Subscription)
}

// querier and execer are a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// saveLines stores what billing says, and queues the licences that it may concern: those asked for a price, and those
// that wait for a line to let go of them.
func saveLines(ctx context.Context, tx pgx.Tx, batch []event.Event, now time.Time) error {
	n := len(batch)
	connections, keys, revisions := make([]string, n), make([]string, n), make([]int64, n)
	linked, invoices, clients := make([]bool, n), make([]int64, n), make([]int64, n)
	ids, billed, prices, standings := make([]string, n), make([]string, n), make([]*string, n), make([]string, n)
	for i, e := range batch {
		var l invoicelinev1.Line
		if err := e.Unmarshal(&l); err != nil {
			return err
		}
		connections[i], keys[i], revisions[i] = e.Connection, e.Key, e.Revision
		linked[i], invoices[i], clients[i] = l.GetKind() == invoicelinev1.Kind_KIND_LINKED, l.GetInvoiceId(), l.GetClientId()
		links, bills := []int64{}, []string{}
		if e.Type != "seatline.invoice_line.removed.v1" {
			links = append(links, or2(l.GetApplied(), l.GetObserved()).GetLicenceIds()...)
			bills = append(bills, l.GetLicenceKeys()...)
			if p := l.GetLicencePrice(); p != nil {
				d, err := decimal.NewFromString(p.GetAmount())
				if err != nil {
					return fmt.Errorf("licence price of line %s: %w", e.Key, err)
				}
				text := d.Round(4).String()
				prices[i] = &text
			}
		}
		idText, err := json.Marshal(links)
		if err != nil {
			return err
		}
		keyText, err := json.Marshal(bills)
		if err != nil {
			return err
		}
		standing, err := json.Marshal(standingOf(&l))
		if err != nil {
			return err
		}
		ids[i], billed[i], standings[i] = string(idText), string(keyText), string(standing)
	}
	_, err := tx.Exec(ctx, `
		with new as (
			select connection, key, revision, linked, invoice_id, client_id,
				array(select jsonb_array_elements_text(ids::jsonb)::bigint) as licence_ids,
				array(select jsonb_array_elements_text(billed::jsonb)) as licence_keys, price::numeric as price,
				(x->>'Present')::boolean as present, (x->>'State')::smallint as state, x->>'Code' as reason_code, x->>'Text' as reason_text,
				array(select jsonb_array_elements_text(x->'Differs')) as differs, (x->>'Billed')::numeric as billed, (x->>'Wanted')::numeric as wanted
			from unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[], $11::jsonb[])
				as t(connection, key, revision, linked, invoice_id, client_id, ids, billed, price, x)
		), old as (
			select l.* from lines l join new using (connection, key) where new.revision > l.revision
		), saved as (
			insert into lines as l (connection, key, revision, linked, invoice_id, client_id, licence_ids, licence_keys, price,
				present, state, reason_code, reason_text, differs, billed, wanted)
			select * from new order by connection, key
			on conflict (connection, key) do update set
				revision = excluded.revision, linked = excluded.linked, invoice_id = excluded.invoice_id, client_id = excluded.client_id,
				licence_ids = excluded.licence_ids, licence_keys = excluded.licence_keys, price = excluded.price,
				present = excluded.present, state = excluded.state, reason_code = excluded.reason_code, reason_text = excluded.reason_text,
				differs = excluded.differs, billed = excluded.billed, wanted = excluded.wanted
			where excluded.revision > l.revision
			returning l.*
		), touched as (
			select connection, unnest(licence_keys) as key from saved s where price is not null
				and not exists (select from old o where (o.connection, o.key) = (s.connection, s.key) and o.price = s.price and o.licence_keys = s.licence_keys)
			union select connection, unnest(licence_keys) from old where price is not null
			union select i.connection, i.key from (select connection, unnest(licence_ids) as id from saved union select connection, unnest(licence_ids) from old) s
				join items i on i.halo_id = s.id and i.halo_id <> 0 and i.connection = s.connection and i.reason_code = 'line'
		)
		insert into revisits (connection, key, due_at) select connection, key, $10 from touched order by 1, 2
		on conflict (connection, key) do update set due_at = least(revisits.due_at, excluded.due_at)`,
		connections, keys, revisions, linked, invoices, clients, ids, billed, prices, now, standings)
	if err != nil {
		return fmt.Errorf("store %d invoice lines: %w", n, err)
	}
	return nil
}

// or2 is or for messages: the first that is set.
func or2(a, b *invoicelinev1.Fields) *invoicelinev1.Fields {
	if a != nil {
		return a
	}
	return b
}

// instance is what is known of a Halo instance.
type instance struct {
	ListedAt time.Time // zero: never
}

func readInstance(ctx context.Context, q querier, name string) (instance, error) {
	rows, err := q.Query(ctx, `select coalesce(listed_at, '0001-01-01') from instances where instance = $1`, name)
	if err != nil {
		return instance{}, fmt.Errorf("read instance %s: %w", name, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[instance])
	if err != nil || len(list) == 0 {
		return instance{}, err
	}
	if list[0].ListedAt.Year() <= 1 {
		list[0].ListedAt = time.Time{}
	}
	return list[0], nil
}

// wantListing asks for a listing of Halo's licences that begins after now.
func wantListing(ctx context.Context, db execer, name string, now time.Time) error {
	_, err := db.Exec(ctx, `
		insert into instances (instance, wanted_at) values ($1, $2)
		on conflict (instance) do update set wanted_at = $2
		where instances.wanted_at is null or instances.wanted_at <= coalesce(instances.listed_at, '-infinity')`, name, now)
	if err != nil {
		return fmt.Errorf("ask for a listing of %s: %w", name, err)
	}
	return nil
}

// revisit queues items to be decided anew.
func revisit(ctx context.Context, db execer, connection string, keys []string, due time.Time) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := db.Exec(ctx, `
		insert into revisits (connection, key, due_at) select $1, key, $3 from unnest($2::text[]) as t(key) order by key
		on conflict (connection, key) do update set due_at = excluded.due_at`, connection, keys, due)
	if err != nil {
		return fmt.Errorf("queue %d licences: %w", len(keys), err)
	}
	return nil
}
