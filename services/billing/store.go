package billing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// dirty queues customers for a decision.
func dirty(ctx context.Context, tx pgx.Tx, instance string, clients []int64, now time.Time) error {
	clients = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(clients))), func(id int64) bool { return id == 0 })
	if len(clients) == 0 || instance == "" {
		return nil
	}
	_, err := tx.Exec(ctx, `insert into dirty (instance, client_id, queued_at) select $1, c, $3 from unnest($2::bigint[]) c`, instance, clients, now)
	if err != nil {
		return fmt.Errorf("queue %d customers of %s: %w", len(clients), instance, err)
	}
	return nil
}

// dirtyAll queues every customer with a licence or an item of a connection.
func dirtyAll(ctx context.Context, tx pgx.Tx, connection string, now time.Time) error {
	_, err := tx.Exec(ctx, `
		insert into dirty (instance, client_id, queued_at)
		select instance, client_id, $2 from (
			select instance, client_id from licences where connection = $1 and present
			union select instance, old_client_id from licences where connection = $1 and present
			union select instance, left_client_id from licences where connection = $1 and present
			union select v.instance, v.client_id from items i join invoices v on v.instance = i.instance and v.id::text = i.grp where i.connection = $1
		) c where client_id <> 0 and instance <> ''`, connection, now)
	if err != nil {
		return fmt.Errorf("queue the customers of connection %s: %w", connection, err)
	}
	return nil
}

// book reads settings and rules of every connection of an instance, and the connections themselves.
func readBook(ctx context.Context, q querier, instance string) (Book, []*connectionv1.Connection, error) {
	b := Book{Settings: map[string]Settings{}, Rules: map[string][]Rule{}}
	all, err := connections.All(ctx, q)
	if err != nil {
		return b, nil, err
	}
	var here []*connectionv1.Connection
	for _, c := range all {
		if c.GetHalo().GetInstance() != instance {
			continue
		}
		here = append(here, c)
		b.Settings[c.GetSlug()] = settingsOf(c)
		stored, err := readRules(ctx, q, c.GetSlug())
		if err != nil {
			return b, nil, err
		}
		rules, wrong := parseRules(stored.GetRules())
		if len(wrong) > 0 { // they were checked before they were stored
			return b, nil, fmt.Errorf("stored price rules of %s: %s %s", c.GetSlug(), wrong[0].Field, wrong[0].Text)
		}
		b.Rules[c.GetSlug()] = rules
	}
	return b, here, nil
}

// readRules gives the price rules of a connection; without any, an empty list.
func readRules(ctx context.Context, q querier, connection string) (*pricingv1.PriceRules, error) {
	rows, err := q.Query(ctx, `select body from price_rules where connection = $1`, connection)
	if err != nil {
		return nil, fmt.Errorf("read price rules of %s: %w", connection, err)
	}
	body, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	if errors.Is(err, pgx.ErrNoRows) {
		return &pricingv1.PriceRules{Connection: connection}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read price rules of %s: %w", connection, err)
	}
	p := &pricingv1.PriceRules{}
	if err := proto.Unmarshal(body, p); err != nil {
		return nil, fmt.Errorf("read price rules of %s: %w", connection, err)
	}
	return p, nil
}

// readLicences reads licences by a condition.
func readLicences(ctx context.Context, q querier, b Book, where string, args ...any) ([]Licence, error) {
	list, _, err := readAll(ctx, q, b, `present and `+where, args...)
	return list, err
}

// readAll gives the keys of those, too, that are licences no more.
func readAll(ctx context.Context, q querier, b Book, where string, args ...any) (list []Licence, keys []string, err error) {
	rows, err := q.Query(ctx, `select connection, key, present, body, revision, run, cause, trace, left_client_id from licences where `+where+` order by connection, key`, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("read licences: %w", err)
	}
	var connection, key, run, cause, trace string
	var present bool
	var body []byte
	var revision, left int64
	_, err = pgx.ForEachRow(rows, []any{&connection, &key, &present, &body, &revision, &run, &cause, &trace, &left}, func() error {
		settings, ok := b.Settings[connection]
		if !ok {
			return nil // a connection that was deleted, or moved to another instance, has no say here any more
		}
		keys = append(keys, key)
		if !present {
			return nil
		}
		l := Licence{Revision: revision, Run: run, Cause: cause, Trace: trace, LeftClientID: left}
		if err := json.Unmarshal(body, &l); err != nil {
			return err
		}
		l.RRP = perCycle(l.RRP, l.Cycle, l.Term, settings.Basis)
		list = append(list, l)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read licences: %w", err)
	}
	return list, keys, nil
}

// saveInvoices keeps invoices as Halo showed them, unless they were read later already, and queues the
// customers of those that changed for the rules, with the others given.
func saveInvoices(ctx context.Context, tx pgx.Tx, instance string, list []*sight, now time.Time, clients ...int64) error {
	changed, err := storeInvoices(ctx, tx, instance, list)
	if err != nil {
		return err
	}
	return dirty(ctx, tx, instance, append(clients, changed...), now)
}

// storeInvoices gives the customers of those that changed.
func storeInvoices(ctx context.Context, tx pgx.Tx, instance string, list []*sight) (clients []int64, err error) {
	if len(list) == 0 {
		return nil, nil
	}
	n := len(list)
	id, client, links := make([]int64, n), make([]int64, n), make([]string, n)
	digest, body, readAt := make([]string, n), make([][]byte, n), make([]time.Time, n)
	list = slices.SortedFunc(slices.Values(list), func(a, b *sight) int { return cmp.Compare(a.ID, b.ID) })
	for i, v := range list {
		id[i], client[i], digest[i], readAt[i] = v.ID, v.ClientID, string(v.digest), v.at
		var linked []string
		for _, l := range v.Lines {
			if l.Type == quantityLinked {
				for _, id := range l.linked() {
					linked = append(linked, strconv.FormatInt(id, 10))
				}
			}
		}
		links[i] = "{" + strings.Join(linked, ",") + "}"
		if body[i], err = v.raw.MarshalJSON(); err != nil {
			return nil, fmt.Errorf("recurring invoice %d: %w", v.ID, err)
		}
	}
	rows, err := tx.Query(ctx, `
		with new as (
			select id, client_id, links::bigint[] as licence_ids, digest, body, read_at
			from unnest($2::bigint[], $3::bigint[], $4::text[], $5::jsonb[], $6::bytea[], $7::timestamptz[]) as t(id, client_id, links, digest, body, read_at)
		), was as (
			select v.* from invoices v join new using (id) where v.instance = $1
		), saved as (
			insert into invoices as v (instance, id, client_id, licence_ids, digest, body, read_at)
			select $1, id, client_id, licence_ids, digest, body, read_at from new order by id
			on conflict (instance, id) do update set client_id = excluded.client_id, licence_ids = excluded.licence_ids,
				digest = excluded.digest, body = excluded.body, read_at = excluded.read_at, gone = false
			where excluded.read_at >= v.read_at
			returning id, client_id, digest
		)
		select s.client_id, coalesce(w.client_id, 0) from saved s left join was w using (id)
		where w.id is null or w.gone or w.digest <> s.digest`,
		instance, id, client, links, digest, body, readAt)
	if err != nil {
		return nil, fmt.Errorf("store %d recurring invoices: %w", n, err)
	}
	var is, was int64
	if _, err := pgx.ForEachRow(rows, []any{&is, &was}, func() error { clients = append(clients, is, was); return nil }); err != nil {
		return nil, fmt.Errorf("store %d recurring invoices: %w", n, err)
	}
	return clients, nil
}
