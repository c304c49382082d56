package licence

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"strconv"
	"strings"
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

// saveSubscriptions stores what is newer than what is stored, and gives what changed, by connection and in key order.
func saveSubscriptions(ctx context.Context, tx pgx.Tx, batch []event.Event, now time.Time) (map[string][]subscription, error) {
	n := len(batch)
	connections, keys, revisions := make([]string, n), make([]string, n), make([]int64, n)
	states, clients := make([]int16, n), make([]int64, n)
	mexIDs, customers, names, skus := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	absent, removed := make([]bool, n), make([]bool, n)
	runs, causes, traces, bodies := make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	type id struct{ connection, key string }
	index := make(map[id]int, n)
	subs := make([]*subscriptionv1.Subscription, n)
	for i, e := range batch {
		s := &subscriptionv1.Subscription{}
		if err := e.Unmarshal(s); err != nil {
			return nil, err
		}
		g := s.GetGiacom()
		index[id{e.Connection, e.Key}], subs[i] = i, s
		connections[i], keys[i], revisions[i] = e.Connection, e.Key, e.Revision
		states[i], clients[i] = int16(s.GetState()), s.GetHaloClientId()
		mexIDs[i], customers[i], names[i], skus[i] = g.GetMexId(), cmp.Or(s.GetHaloClientName(), g.GetCustomerName()), g.GetName(), g.GetSku()
		absent[i] = g.GetAbsentSince() != nil
		removed[i], _ = removalOf(s)
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
		returning connection, key, first_seen`,
		connections, keys, revisions, states, clients, mexIDs, customers, names, skus, absent, removed, runs, causes, traces, now, bodies)
	if err != nil {
		return nil, fmt.Errorf("store %d subscriptions: %w", n, err)
	}
	changed := map[string][]subscription{}
	var at id
	var firstSeen time.Time
	_, err = pgx.ForEachRow(rows, []any{&at.connection, &at.key, &firstSeen}, func() error {
		i := index[at]
		changed[at.connection] = append(changed[at.connection], subscription{subs[i], runs[i], causes[i], traces[i], firstSeen})
		return nil
	})
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

// line is what this service keeps of an invoice line.
type line struct {
	event.Event
	*invoicelinev1.Line
	standing
	ids      []string // of the licences that the line in Halo links now
	keys     []string // of those that it bills
	price    *string
	replaced string
}

func lineOf(e event.Event) (line, error) {
	l := line{Event: e, Line: &invoicelinev1.Line{}}
	if err := e.Unmarshal(l.Line); err != nil {
		return l, err
	}
	list, err := replacedOf(l.Line)
	if err != nil {
		return l, err
	}
	l.standing, l.replaced = standingOf(l.Line), string(list)
	if e.Type == "seatline.invoice_line.removed.v1" {
		return l, nil
	}
	for _, id := range l.GetApplied().GetLicenceIds() {
		l.ids = append(l.ids, strconv.FormatInt(id, 10))
	}
	l.keys = l.GetLicenceKeys()
	if p := l.GetLicencePrice(); p != nil {
		d, err := decimal.NewFromString(p.GetAmount())
		if err != nil {
			return l, fmt.Errorf("licence price of line %s: %w", e.Key, err)
		}
		text := d.Round(4).String()
		l.price = &text
	}
	return l, nil
}

// column is one field of all rows, for unnest.
func column[R, T any](rows []R, field func(*R) T) []T {
	out := make([]T, len(rows))
	for i := range rows {
		out[i] = field(&rows[i])
	}
	return out
}

// arrayText is list as an element of an array of arrays, which need not be of one length.
func arrayText(list []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, s := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + quoting.Replace(s) + `"`)
	}
	b.WriteByte('}')
	return b.String()
}

var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// saveLines stores what billing says, and queues the licences that it may concern: those asked for a price, and those
// that wait for a line to let go of them. It gives the connections of which lines replaced other licences than before.
func saveLines(ctx context.Context, tx pgx.Tx, batch []event.Event, now time.Time) ([]string, error) {
	lines := make([]line, len(batch))
	for i, e := range batch {
		var err error
		if lines[i], err = lineOf(e); err != nil {
			return nil, err
		}
	}
	// Each row is looked for by its key, however little is known of tables that just filled.
	rows, err := tx.Query(ctx, `
		with new as (
			select connection, key, revision, linked, invoice_id, client_id, ids::bigint[] as licence_ids, keys::text[] as licence_keys,
				price::numeric as price, present, state, code as reason_code, text as reason_text, differs::text[] as differs,
				billed::numeric as billed, wanted::numeric as wanted, replaced
			from unnest($2::text[], $3::text[], $4::bigint[], $5::boolean[], $6::bigint[], $7::bigint[], $8::text[], $9::text[], $10::text[],
				$11::boolean[], $12::smallint[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::jsonb[])
				as t(connection, key, revision, linked, invoice_id, client_id, ids, keys, price, present, state, code, text, differs, billed, wanted, replaced)
		), old as (
			select l.* from new cross join lateral (
				select * from lines where connection = new.connection and key = new.key and revision < new.revision limit 1) l
		), saved as (
			insert into lines as l (connection, key, revision, linked, invoice_id, client_id, licence_ids, licence_keys, price,
				present, state, reason_code, reason_text, differs, billed, wanted, replaced)
			select * from new order by connection, key
			on conflict (connection, key) do update set
				revision = excluded.revision, linked = excluded.linked, invoice_id = excluded.invoice_id, client_id = excluded.client_id,
				licence_ids = excluded.licence_ids, licence_keys = excluded.licence_keys, price = excluded.price,
				present = excluded.present, state = excluded.state, reason_code = excluded.reason_code, reason_text = excluded.reason_text,
				differs = excluded.differs, billed = excluded.billed, wanted = excluded.wanted, replaced = excluded.replaced
			where excluded.revision > l.revision
			returning l.*
		), touched as (
			select connection, unnest(licence_keys) as key from saved s where price is not null
				and not exists (select from old o where (o.connection, o.key) = (s.connection, s.key) and o.price = s.price and o.licence_keys = s.licence_keys)
			union select connection, unnest(licence_keys) from old where price is not null
			union select i.connection, i.key from (select connection, unnest(licence_ids) as id from saved union select connection, unnest(licence_ids) from old) s
				cross join lateral (select connection, key, reason_code from items
					where halo_id = s.id and halo_id <> 0 offset 0) i -- by its id alone: a connection has all of them
			where i.connection = s.connection and i.reason_code = 'line'
		), queued as (
			insert into revisits (connection, key, due_at) select connection, key, $1 from touched order by 1, 2
			on conflict (connection, key) do update set due_at = least(revisits.due_at, excluded.due_at)
		)
		select distinct s.connection from saved s left join old o using (connection, key) where s.replaced <> coalesce(o.replaced, '[]') order by 1`,
		now, column(lines, func(l *line) string { return l.Event.Connection }), column(lines, func(l *line) string { return l.Event.Key }),
		column(lines, func(l *line) int64 { return l.Revision }), column(lines, func(l *line) bool { return l.GetKind() == invoicelinev1.Kind_KIND_LINKED }),
		column(lines, func(l *line) int64 { return l.GetInvoiceId() }), column(lines, func(l *line) int64 { return l.GetClientId() }),
		column(lines, func(l *line) string { return arrayText(l.ids) }), column(lines, func(l *line) string { return arrayText(l.keys) }),
		column(lines, func(l *line) *string { return l.price }), column(lines, func(l *line) bool { return l.Present }),
		column(lines, func(l *line) int16 { return l.State }), column(lines, func(l *line) string { return l.Code }),
		column(lines, func(l *line) string { return l.Text }), column(lines, func(l *line) string { return arrayText(l.Differs) }),
		column(lines, func(l *line) *string { return l.Billed }), column(lines, func(l *line) *string { return l.Wanted }),
		column(lines, func(l *line) string { return l.replaced }))
	if err != nil {
		return nil, fmt.Errorf("store %d invoice lines: %w", len(lines), err)
	}
	changed, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("store %d invoice lines: %w", len(lines), err)
	}
	return changed, nil
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

// withItem joins to subscriptions s what is known of their licences, as i: each by its key, however little is known of a table
// that just filled.
const withItem = `left join lateral (select halo_id from items where connection = s.connection and key = s.key limit 1) i on true`

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
