package reconcile

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/postgres"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema returns the tables of the engine. They live in the service's own schema.
func Schema() postgres.Migrations { return postgres.Embedded("reconcile", migrations) }

const columns = `connection, key, instance, grp, revision, desired, applied, drifted, halo_id,
	state, reason_code, reason_text, sticky, facts, title, customer, follows,
	monthly_before::text, monthly_after::text, currency, run, cause, trace, who, priority, mode,
	verdict, verdict_code, verdict_text, updated`

// row is an item with what only the engine needs to know.
type row[D any] struct {
	Item[D]
	verdict Verdict
	mode    Mode
	work    *work  // as it is in the database; nil: no row
	shown   []byte // to be saved: see keepShown
}

// told tells whether an event has told of the item.
func (x *row[D]) told() bool { return x.Revision != 0 }

func scan[D any](r pgx.CollectableRow, more ...any) (*row[D], error) {
	var (
		x                row[D]
		desired, applied []byte
		before, after    *string
	)
	err := r.Scan(append([]any{&x.Connection, &x.Key, &x.Instance, &x.Group, &x.Revision, &desired, &applied,
		&x.Drifted, &x.HaloID, &x.State, &x.Reason.Code, &x.Reason.Text, &x.Sticky, &x.Facts, &x.Title,
		&x.Customer, &x.Follows, &before, &after, &x.Currency, &x.Run, &x.Cause, &x.Trace, &x.Who, &x.Priority,
		&x.mode, &x.verdict.State, &x.verdict.Reason.Code, &x.verdict.Reason.Text, &x.Updated}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("scan item: %w", err)
	}
	for _, f := range []struct {
		text []byte
		into **D
	}{{desired, &x.Desired}, {applied, &x.Applied}} {
		if f.text == nil {
			continue
		}
		if *f.into, err = decode[D](f.text); err != nil {
			return nil, fmt.Errorf("item %s/%s: %w", x.Connection, x.Key, err)
		}
	}
	if x.MonthlyBefore, err = parseMoney(before); err != nil {
		return nil, err
	}
	if x.MonthlyAfter, err = parseMoney(after); err != nil {
		return nil, err
	}
	x.existed, x.previous = true, x.State
	return &x, nil
}

// withKeys is the condition of the items with given keys, in the order in which everybody locks them.
const withKeys = `(connection, key) in (select * from unnest($1::text[], $2::text[])) order by connection, key`

// ofConnection is withKeys for keys of one connection. Asked for any of the keys in their order, PostgreSQL would go through
// all items of the connection.
const ofConnection = `(connection, key) in (select $1::text, unnest($2::text[])) order by connection, key`

// load locks and returns the items with these keys.
func load[D any](ctx context.Context, tx pgx.Tx, connections, keys []string) (map[[2]string]*row[D], error) {
	list, err := lock[D](ctx, tx, withKeys, connections, keys)
	if err != nil {
		return nil, err
	}
	m := make(map[[2]string]*row[D], len(list))
	for _, x := range list {
		m[[2]string{x.Connection, x.Key}] = x
	}
	return m, nil
}

// lock locks and returns items by a condition, which must end in an order by key, so that replicas cannot deadlock.
// What is known of their work is read once they are locked: before that, somebody may be claiming them.
func lock[D any](ctx context.Context, tx pgx.Tx, where string, args ...any) ([]*row[D], error) {
	list, err := read[D](ctx, tx, where+` for update`, args...)
	if err != nil {
		return nil, err
	}
	return list, withWork(ctx, tx, list)
}

// read returns items by a condition, without their work.
func read[D any](ctx context.Context, tx pgx.Tx, where string, args ...any) ([]*row[D], error) {
	rows, err := tx.Query(ctx, `select `+columns+` from items where `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("load items: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*row[D], error) { return scan[D](r) })
	if err != nil {
		return nil, fmt.Errorf("load items: %w", err)
	}
	return list, nil
}

// save writes whole rows and what is to be done about them, one statement each for all.
func save[D any](ctx context.Context, tx pgx.Tx, items []*row[D]) error {
	if len(items) == 0 {
		return nil
	}
	n := len(items)
	var (
		connection, key, instance, grp = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		revision, haloID               = make([]int64, n), make([]int64, n)
		desired, applied               = make([]*string, n), make([]*string, n)
		drifted                        = make([]string, n)
		state, priority, verdict, mode = make([]int16, n), make([]int16, n), make([]int16, n), make([]int16, n)
		code, text, vcode, vtext       = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		sticky, follows                = make([]bool, n), make([]bool, n)
		facts, shown                   = make([][]byte, n), make([][]byte, n)
		title, customer, currency      = make([]string, n), make([]string, n), make([]string, n)
		before, after                  = make([]*string, n), make([]*string, n)
		run, cause, trace, who         = make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		updated                        = make([]time.Time, n)
	)
	for i, x := range items {
		connection[i], key[i], instance[i], grp[i] = x.Connection, x.Key, x.Instance, x.Group
		revision[i], haloID[i] = x.Revision, x.HaloID
		var err error
		if desired[i], err = marshal(x.Desired); err == nil {
			applied[i], err = marshal(x.Applied)
		}
		if err != nil {
			return fmt.Errorf("item %s/%s: %w", x.Connection, x.Key, err)
		}
		if len(x.Drifted) > 0 {
			names, err := json.Marshal(x.Drifted)
			if err != nil {
				return fmt.Errorf("item %s/%s: %w", x.Connection, x.Key, err)
			}
			drifted[i] = string(names)
		}
		state[i], priority[i], verdict[i], mode[i] = int16(x.public()), x.Priority, int16(x.verdict.State), int16(x.mode)
		code[i], text[i] = x.Reason.Code, x.Reason.Text
		vcode[i], vtext[i] = x.verdict.Reason.Code, x.verdict.Reason.Text
		sticky[i], follows[i], facts[i], shown[i] = x.Sticky, x.Follows, x.Facts, x.shown
		title[i], customer[i], currency[i] = x.Title, x.Customer, x.Currency
		before[i], after[i] = moneyText(x.MonthlyBefore), moneyText(x.MonthlyAfter)
		run[i], cause[i], trace[i], who[i] = x.Run, x.Cause, x.Trace, x.Who
		updated[i] = x.Updated
	}
	_, err := tx.Exec(ctx, `
		insert into items (connection, key, instance, grp, revision, desired, applied, drifted, halo_id,
			state, reason_code, reason_text, sticky, facts, title, customer, follows,
			monthly_before, monthly_after, currency, run, cause, trace, who, priority, mode,
			verdict, verdict_code, verdict_text, updated, shown)
		select connection, key, instance, grp, revision, desired, applied,
			case when drifted <> '' then array(select jsonb_array_elements_text(drifted::jsonb)) end, halo_id,
			state, code, txt, sticky, facts, title, customer, follows,
			before::numeric, after::numeric, currency, run, cause, trace, who, priority, mode,
			verdict, vcode, vtext, updated, shown
		from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::jsonb[], $7::jsonb[],
			$8::text[], $9::bigint[], $10::smallint[], $11::text[], $12::text[], $13::boolean[],
			$14::bytea[], $15::text[], $16::text[], $17::boolean[], $18::text[],
			$19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::smallint[],
			$26::smallint[], $27::text[], $28::text[], $29::timestamptz[], $30::smallint[], $31::bytea[])
			as t(connection, key, instance, grp, revision, desired, applied, drifted, halo_id, state, code, txt,
			sticky, facts, title, customer, follows, before, after, currency, run, cause,
			trace, who, priority, verdict, vcode, vtext, updated, mode, shown)
		order by connection, key
		on conflict (connection, key) do update set
			instance = excluded.instance, grp = excluded.grp, revision = excluded.revision, desired = excluded.desired,
			applied = excluded.applied, drifted = excluded.drifted, halo_id = excluded.halo_id,
			state = excluded.state, reason_code = excluded.reason_code, reason_text = excluded.reason_text,
			sticky = excluded.sticky, facts = excluded.facts, title = excluded.title, customer = excluded.customer,
			follows = excluded.follows, monthly_before = excluded.monthly_before, monthly_after = excluded.monthly_after,
			currency = excluded.currency, run = excluded.run, cause = excluded.cause, trace = excluded.trace, who = excluded.who,
			priority = excluded.priority, mode = excluded.mode, verdict = excluded.verdict, verdict_code = excluded.verdict_code,
			verdict_text = excluded.verdict_text, updated = excluded.updated, shown = excluded.shown`,
		connection, key, instance, grp, revision, desired, applied, drifted, haloID, state, code, text,
		sticky, facts, title, customer, follows, before, after, currency, run, cause,
		trace, who, priority, verdict, vcode, vtext, updated, mode, shown)
	if err != nil {
		return fmt.Errorf("save %d items: %w", n, err)
	}
	return saveWork(ctx, tx, items)
}

// forget deletes items that are over, and their work.
func forget[D any](ctx context.Context, tx pgx.Tx, items []*row[D]) error {
	if len(items) == 0 {
		return nil
	}
	connections, keys := make([]string, len(items)), make([]string, len(items))
	for i, x := range items {
		connections[i], keys[i] = x.Connection, x.Key
		x.readyAt = time.Time{}
	}
	_, err := tx.Exec(ctx, `delete from items where (connection, key) in (select * from unnest($1::text[], $2::text[]))`, connections, keys)
	if err != nil {
		return fmt.Errorf("forget %d items: %w", len(items), err)
	}
	return saveWork(ctx, tx, items)
}

func marshal[D any](v *D) (*string, error) {
	if v == nil {
		return nil, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	s := string(b)
	return &s, nil
}

// decode reads a document as the database holds it. A type that reads itself is asked at once: encoding/json would first
// go through the whole text to see whether it is JSON.
func decode[D any](text []byte) (*D, error) {
	d := new(D)
	if own, ok := any(d).(json.Unmarshaler); ok {
		return d, own.UnmarshalJSON(text)
	}
	return d, json.Unmarshal(text, d)
}

func parseMoney(s *string) (*decimal.Decimal, error) {
	if s == nil {
		return nil, nil
	}
	d, err := decimal.NewFromString(*s)
	if err != nil {
		return nil, fmt.Errorf("amount %q: %w", *s, err)
	}
	return &d, nil
}

func moneyText(d *decimal.Decimal) *string {
	if d == nil {
		return nil
	}
	s := d.String()
	return &s
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
