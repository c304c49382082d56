package mapper

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

//go:embed migrations/*.sql
var files embed.FS

// schema is the tables of this service's own.
func schema() postgres.Migrations { return postgres.Embedded(Service, files) }

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// subscription is a row of subscriptions.
type subscription struct {
	Connection, Key, MexID  string
	Revision                int64
	Body                    []byte
	Gone                    bool
	CustomerName, Name, SKU string
	Tenant                  string
	Stake                   stake
	Choice                  choice
	Now                     resolution // state 0: nothing was published yet
	OutRevision             int64
	Run, Cause, Trace       string
	Updated                 time.Time
}

const subscriptionColumns = `connection, key, mex_id, revision, body, gone, customer_name, name, sku,
	decision, decided_client, decided_name, decided_reason, who,
	state, client_id, client_name, reason_code, reason_text, out_revision, run, cause, trace, updated,
	tenant, currency, if_month, if_term`

func scanSubscription(r pgx.CollectableRow) (s subscription, err error) {
	err = r.Scan(&s.Connection, &s.Key, &s.MexID, &s.Revision, &s.Body, &s.Gone, &s.CustomerName, &s.Name, &s.SKU,
		&s.Choice.State, &s.Choice.ClientID, &s.Choice.ClientName, &s.Choice.Reason, &s.Choice.Who,
		&s.Now.State, &s.Now.ClientID, &s.Now.ClientName, &s.Now.Code, &s.Now.Text, &s.OutRevision, &s.Run, &s.Cause, &s.Trace, &s.Updated,
		&s.Tenant, &s.Stake.Currency, &s.Stake.IfMonth, &s.Stake.IfTerm)
	return s, err
}

// readSubscriptions reads rows by a condition; end it with "for update" to lock them.
func readSubscriptions(ctx context.Context, q querier, where string, args ...any) ([]subscription, error) {
	rows, err := q.Query(ctx, `select `+subscriptionColumns+` from subscriptions where `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read subscriptions: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanSubscription)
	if err != nil {
		return nil, fmt.Errorf("read subscriptions: %w", err)
	}
	return found, nil
}

// saveSubscriptions stores rows, whole, and returns those that were not overtaken by a newer one.
func saveSubscriptions(ctx context.Context, tx pgx.Tx, list []subscription) ([]subscription, error) {
	n := len(list)
	text := func(get func(*subscription) string) []string {
		out := make([]string, n)
		for i := range list {
			out[i] = get(&list[i])
		}
		return out
	}
	number := func(get func(*subscription) int64) []int64 {
		out := make([]int64, n)
		for i := range list {
			out[i] = get(&list[i])
		}
		return out
	}
	bodies, gone, updated := make([][]byte, n), make([]bool, n), make([]time.Time, n)
	ifMonth, ifTerm := make([]*string, n), make([]*string, n)
	for i, s := range list {
		bodies[i], gone[i], updated[i] = s.Body, s.Gone, s.Updated
		ifMonth[i], ifTerm[i] = numeral(s.Stake.IfMonth), numeral(s.Stake.IfTerm)
	}
	rows, err := tx.Query(ctx, `
		insert into subscriptions as s (`+subscriptionColumns+`)
		select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::boolean[], $7::text[], $8::text[], $9::text[],
			$10::smallint[], $11::bigint[], $12::text[], $13::text[], $14::text[],
			$15::smallint[], $16::bigint[], $17::text[], $18::text[], $19::text[], $20::bigint[], $21::text[], $22::text[], $23::text[], $24::timestamptz[],
			$25::text[], $26::text[], $27::text[]::numeric[], $28::text[]::numeric[])
		on conflict (connection, key) do update set mex_id = excluded.mex_id, revision = excluded.revision, body = excluded.body,
			gone = excluded.gone, customer_name = excluded.customer_name, name = excluded.name, sku = excluded.sku,
			decision = excluded.decision, decided_client = excluded.decided_client, decided_name = excluded.decided_name,
			decided_reason = excluded.decided_reason, who = excluded.who, state = excluded.state, client_id = excluded.client_id,
			client_name = excluded.client_name, reason_code = excluded.reason_code, reason_text = excluded.reason_text,
			out_revision = greatest(excluded.out_revision, s.out_revision + 1), run = excluded.run, cause = excluded.cause,
			trace = excluded.trace, updated = excluded.updated,
			tenant = excluded.tenant, currency = excluded.currency, if_month = excluded.if_month, if_term = excluded.if_term
		where excluded.revision >= s.revision
		returning connection, key, out_revision`,
		text(func(s *subscription) string { return s.Connection }), text(func(s *subscription) string { return s.Key }),
		text(func(s *subscription) string { return s.MexID }), number(func(s *subscription) int64 { return s.Revision }), bodies, gone,
		text(func(s *subscription) string { return s.CustomerName }), text(func(s *subscription) string { return s.Name }),
		text(func(s *subscription) string { return s.SKU }),
		number(func(s *subscription) int64 { return int64(s.Choice.State) }), number(func(s *subscription) int64 { return s.Choice.ClientID }),
		text(func(s *subscription) string { return s.Choice.ClientName }), text(func(s *subscription) string { return s.Choice.Reason }),
		text(func(s *subscription) string { return s.Choice.Who }),
		number(func(s *subscription) int64 { return int64(s.Now.State) }), number(func(s *subscription) int64 { return s.Now.ClientID }),
		text(func(s *subscription) string { return s.Now.ClientName }), text(func(s *subscription) string { return s.Now.Code }),
		text(func(s *subscription) string { return s.Now.Text }), number(func(s *subscription) int64 { return s.OutRevision }),
		text(func(s *subscription) string { return s.Run }), text(func(s *subscription) string { return s.Cause }),
		text(func(s *subscription) string { return s.Trace }), updated,
		text(func(s *subscription) string { return s.Tenant }), text(func(s *subscription) string { return s.Stake.Currency }), ifMonth, ifTerm)
	if err != nil {
		return nil, fmt.Errorf("store %d subscriptions: %w", n, err)
	}
	type id struct{ connection, key string }
	revisions := make(map[id]int64, n)
	var at id
	var revision int64
	_, err = pgx.ForEachRow(rows, []any{&at.connection, &at.key, &revision}, func() error { revisions[at] = revision; return nil })
	if err != nil {
		return nil, fmt.Errorf("store %d subscriptions: %w", n, err)
	}
	saved := make([]subscription, 0, n)
	for _, s := range list {
		if r, ok := revisions[id{s.Connection, s.Key}]; ok {
			s.OutRevision = r
			saved = append(saved, s)
		}
	}
	return saved, nil
}

// saveResolutions stores what is new of locked rows of a connection whose customers' mappings changed.
func saveResolutions(ctx context.Context, tx pgx.Tx, connection string, list []subscription) error {
	n := len(list)
	keys, states, clients, names := make([]string, n), make([]int16, n), make([]int64, n), make([]string, n)
	codes, texts, revisions, updated := make([]string, n), make([]string, n), make([]int64, n), make([]time.Time, n)
	for i, s := range list {
		keys[i], states[i], clients[i], names[i] = s.Key, int16(s.Now.State), s.Now.ClientID, s.Now.ClientName
		codes[i], texts[i], revisions[i], updated[i] = s.Now.Code, s.Now.Text, s.OutRevision, s.Updated
	}
	_, err := tx.Exec(ctx, `
		update subscriptions s set state = t.state, client_id = t.client_id, client_name = t.client_name,
			reason_code = t.reason_code, reason_text = t.reason_text, out_revision = t.out_revision, updated = t.updated
		from unnest($2::text[], $3::smallint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::timestamptz[])
			as t(key, state, client_id, client_name, reason_code, reason_text, out_revision, updated)
		where s.connection = $1 and s.key = t.key`,
		connection, keys, states, clients, names, codes, texts, revisions, updated)
	if err != nil {
		return fmt.Errorf("store whom %d subscriptions go to: %w", n, err)
	}
	return nil
}

// numeral is an amount as the database reads it; nil for null.
func numeral(d *decimal.Decimal) *string {
	if d == nil {
		return nil
	}
	s := d.String()
	return &s
}

// publish stores the rows and sends those that have a state; rows of customers that nobody has
// looked at yet have none, and are sent when somebody has.
func publish(ctx context.Context, tx pgx.Tx, list []subscription) error {
	if len(list) == 0 {
		return nil
	}
	saved, err := saveSubscriptions(ctx, tx, list)
	if err != nil {
		return err
	}
	return announce(ctx, tx, saved)
}

// announce publishes stored rows.
func announce(ctx context.Context, tx pgx.Tx, list []subscription) error {
	events := make([]event.Event, 0, len(list))
	for _, s := range list {
		if s.Now.State == 0 {
			continue
		}
		var g giacomv1.Subscription
		if err := proto.Unmarshal(s.Body, &g); err != nil {
			return fmt.Errorf("stored subscription %s/%s: %w", s.Connection, s.Key, err)
		}
		events = append(events, event.Event{
			Type: s.Now.verb(), Entity: "subscription", Connection: s.Connection, Key: s.Key, Revision: s.OutRevision,
			Run: s.Run, Cause: s.Cause, TraceParent: s.Trace, Source: source, Time: s.Updated, Data: s.proto(&g),
		})
	}
	return event.Publish(ctx, tx, events...)
}

// record is a row of customers.
type record struct {
	Connection string
	customer
	InFeed            bool
	Version           int64
	Updated           time.Time
	Run, Cause, Trace string
	Subscriptions     int32 // that are not removed
	FeedName          string
	ChangedBy         string // who made the last change; empty for a rule
	// Confirmed: a person decides, who knows its present name.
	Confirmed bool
}

// Customers without a name of their own in the feed take that of their first subscription.
const customerColumns = `c.connection, c.mex_id, c.name, coalesce(nullif(c.name, ''), n.name, ''), c.in_feed,
	c.decision, c.decided_client, c.decided_origin, c.decided_reason, c.who,
	c.state, c.client_id, c.client_name, c.origin, c.reason_code, c.reason_text, c.version, c.updated, c.run, c.cause, c.trace, c.changed_by, coalesce(n.live, 0)::int`

// customerFrom joins each customer with what its subscriptions say of it.
const customerFrom = `customers c left join lateral (
		select count(*) filter (where not s.gone) as live, (array_agg(s.customer_name order by s.key) filter (where s.customer_name <> ''))[1] as name
		from subscriptions s where s.connection = c.connection and s.mex_id = c.mex_id) n on true`

func scanCustomer(r pgx.CollectableRow) (c record, err error) {
	err = r.Scan(c.targets()...)
	return c, err
}

// targets of a scan of customerColumns.
func (c *record) targets() []any {
	return []any{&c.Connection, &c.MexID, &c.FeedName, &c.Name, &c.InFeed,
		&c.Decision.State, &c.Decision.ClientID, &c.Decision.Origin, &c.Decision.Reason, &c.Decision.Who,
		&c.Now.State, &c.Now.ClientID, &c.Now.ClientName, &c.Now.Origin, &c.Now.Code, &c.Now.Text, &c.Version, &c.Updated,
		&c.Run, &c.Cause, &c.Trace, &c.ChangedBy, &c.Subscriptions}
}

func readCustomers(ctx context.Context, q querier, where string, args ...any) ([]record, error) {
	rows, err := q.Query(ctx, `select `+customerColumns+` from `+customerFrom+` where `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read customers: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanCustomer)
	if err != nil {
		return nil, fmt.Errorf("read customers: %w", err)
	}
	return found, nil
}

// lockCustomers makes rows for those that have none, and locks and reads them in order.
func lockCustomers(ctx context.Context, tx pgx.Tx, connection string, mexIDs []string) ([]record, error) {
	_, err := tx.Exec(ctx, `insert into customers (connection, mex_id) select $1, m from unnest($2::text[]) m order by m on conflict do nothing`, connection, mexIDs)
	if err != nil {
		return nil, fmt.Errorf("make customers: %w", err)
	}
	return readCustomers(ctx, tx, `c.connection = $1 and c.mex_id = any($2) order by c.mex_id for update of c`, connection, mexIDs)
}

// live tells whether the customer exists, as far as Giacom shows.
func (c record) live() bool { return c.InFeed || c.Subscriptions > 0 }

// saveCustomer stores decision and mapping of a locked customer.
func saveCustomer(ctx context.Context, tx pgx.Tx, c record) error {
	_, err := tx.Exec(ctx, `update customers set decision = $3, decided_client = $4, decided_origin = $5, decided_reason = $6, who = $7,
			state = $8::smallint, client_id = $9, client_name = $10, origin = $11, reason_code = $12, reason_text = $13, version = $14, updated = $15,
			run = $16, cause = $17, trace = $18, changed_by = $19, unmapped_since = case when $8::smallint = $20::smallint then coalesce(unmapped_since, $15) end,
			previous_name = case when $21::boolean then '' else previous_name end, renamed = case when $21::boolean then null else renamed end
		where connection = $1 and mex_id = $2`,
		c.Connection, c.MexID, int16(c.Decision.State), c.Decision.ClientID, int16(c.Decision.Origin), c.Decision.Reason, c.Decision.Who,
		int16(c.Now.State), c.Now.ClientID, c.Now.ClientName, int16(c.Now.Origin), c.Now.Code, c.Now.Text, c.Version, c.Updated,
		c.Run, c.Cause, c.Trace, c.ChangedBy, int16(mappingv1.State_STATE_UNMAPPED), c.Confirmed)
	if err != nil {
		return fmt.Errorf("store customer %s/%s: %w", c.Connection, c.MexID, err)
	}
	return nil
}

// setDue has the mappings of a connection decided at a time, or later if a later one is set: as long as
// customers keep coming, whether names are unique is unknown.
func setDue(ctx context.Context, tx pgx.Tx, connection string, now, at time.Time, readHalo bool) error {
	_, err := tx.Exec(ctx, `insert into due as d (connection, at, since, read_halo) values ($1, $2, $3, $4)
		-- always later than before: whoever is at it looked before this, and leaves what has moved
		on conflict (connection) do update set at = greatest(d.at + interval '1 microsecond', excluded.at), read_halo = d.read_halo or excluded.read_halo, failures = 0`,
		connection, at, now, readHalo)
	if err != nil {
		return fmt.Errorf("queue connection %s: %w", connection, err)
	}
	return nil
}

// readPicture returns what was last seen of a Halo instance.
func readPicture(ctx context.Context, q querier, s settings) (picture, error) {
	p := picture{clients: map[int64]client{}, marks: map[string][]int64{}, native: map[string][]int64{}}
	rows, err := q.Query(ctx, `select id, name, inactive, coalesce(marks ->> $2, '') from clients
		where instance = $1 and exists (select from instances where instance = $1)`, s.Instance, s.Field)
	if err != nil {
		return p, fmt.Errorf("read the customers of Halo: %w", err)
	}
	var c client
	var mark string
	_, err = pgx.ForEachRow(rows, []any{&c.ID, &c.Name, &c.Inactive, &mark}, func() error {
		p.clients[c.ID] = c
		if id := mexID(mark); id != "" {
			p.marks[id] = append(p.marks[id], c.ID)
		}
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("read the customers of Halo: %w", err)
	}
	rows, err = q.Query(ctx, `select native, mex_id, client_id from ties where instance = $1`, s.Instance)
	if err != nil {
		return p, fmt.Errorf("read the ties of Halo: %w", err)
	}
	var native bool
	var id string
	var to int64
	_, err = pgx.ForEachRow(rows, []any{&native, &id, &to}, func() error {
		if native {
			p.native[id] = append(p.native[id], to)
		} else if account, mex, _ := strings.Cut(id, "/"); account == s.Account {
			p.marks[mex] = append(p.marks[mex], to)
		}
		return nil
	})
	if err != nil {
		return p, fmt.Errorf("read the ties of Halo: %w", err)
	}
	rows, err = q.Query(ctx, `select read_at from instances where instance = $1`, s.Instance)
	if err != nil {
		return p, fmt.Errorf("read the instance: %w", err)
	}
	_, err = pgx.ForEachRow(rows, []any{&p.readAt}, func() error { p.read = true; return nil })
	if err != nil {
		return p, fmt.Errorf("read the instance: %w", err)
	}
	return p, nil
}
