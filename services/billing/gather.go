package billing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// scope is what was gathered to decide about some customers of an instance.
type scope struct {
	snapshot    Snapshot
	book        Book
	connections []*connectionv1.Connection
	items       []reconcile.Item[Fields] // locked
}

// reader is a transaction, whose reads lock items, or a pool, whose reads do not.
type reader interface {
	querier
	reconcile.Querier
}

// gather reads everything that deciding about the customers rests on. Within a transaction the items
// are locked before the invoices are read: the outcome of a write stores its invoice under the lock of
// its items, so neither can be seen without the other. fresh stands for the stored one of its id.
func (s *service) gather(ctx context.Context, q reader, instance string, clients []int64, fresh *Invoice) (*scope, error) {
	sc := &scope{snapshot: Snapshot{Clients: map[int64]bool{}, Items: map[int64]Item{}, Elsewhere: map[int64]bool{}, Known: map[ItemKey]Known{}, Alarms: map[int64]string{}}}
	var err error
	if sc.book, sc.connections, err = readBook(ctx, q, instance); err != nil {
		return nil, err
	}
	set := map[int64]bool{}
	for _, id := range clients {
		set[id] = true
	}
	licences, keys, err := readAll(ctx, q, sc.book, ofClients, instance, sortedKeys(set))
	if err != nil {
		return nil, err
	}
	// Invoices of others may bill these licences, a parent's for example: their customers come along.
	followed := haloIDs(licences)
	more, err := column[int64](ctx, q, `
		select distinct v.client_id from unnest($2::bigint[]) l cross join lateral ( -- each by its index: all links of an instance are many more
			select client_id from invoices where instance = $1 and not gone and licence_ids @> array[l] offset 0
		) v`, instance, followed)
	if err != nil {
		return nil, err
	}
	if fresh != nil {
		more = append(more, fresh.ClientID)
	}
	if more = slices.DeleteFunc(more, func(id int64) bool { return set[id] }); len(more) > 0 {
		theirs, also, err := readAll(ctx, q, sc.book, ofClients, instance, more)
		if err != nil {
			return nil, err
		}
		for _, id := range more {
			set[id] = true
		}
		licences, keys = merged(licences, theirs), append(keys, also...)
	}
	sc.snapshot.Clients = set
	ids, err := column[int64](ctx, q, `select id from invoices where instance = $1 and (client_id = any($2) or id = any($3)) order by id`, instance, sortedKeys(set), sc.namedInvoices())
	if err != nil {
		return nil, err
	}
	if err := s.lockItems(ctx, q, sc, instance, ids, keys); err != nil {
		return nil, err
	}
	if err := sc.readInvoices(ctx, q, instance, ids, fresh); err != nil {
		return nil, err
	}
	if sc.snapshot.Licences, err = sc.withNamed(ctx, q, instance, licences); err != nil {
		return nil, err
	}
	if err := readAlarms(ctx, q, instance, ids, sc.snapshot.Alarms); err != nil {
		return nil, err
	}
	loaded := make([]int64, len(sc.snapshot.Invoices))
	for i, inv := range sc.snapshot.Invoices {
		loaded[i] = inv.ID
	}
	// Every invoice that links one of those followed is among the loaded; the others may be linked anywhere.
	if others := without(haloIDs(sc.snapshot.Licences), followed); len(others) > 0 {
		elsewhere, err := column[int64](ctx, q, `select distinct l from invoices, unnest(licence_ids) l
			where instance = $1 and not gone and licence_ids && $2 and l = any($2) and id <> all($3)`, instance, others, loaded)
		if err != nil {
			return nil, err
		}
		for _, id := range elsewhere {
			sc.snapshot.Elsewhere[id] = true
		}
	}
	return sc, sc.readInty(ctx, q, instance, loaded)
}

// ofClients are the licences that customers have, or had while lines may still link them. In the words
// of the indexes.
const ofClients = `instance = $1 and (client_id = any($2) or old_client_id <> 0 and old_client_id = any($2) or left_client_id <> 0 and left_client_id = any($2))`

// namedInvoices are those that price rules name for new lines.
func (sc *scope) namedInvoices() []int64 {
	ids := []int64{}
	for _, rules := range sc.book.Rules {
		for _, r := range rules {
			if id := r.Add.GetInvoiceId(); id != 0 {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// lockItems reads the items of the invoices, and those of lines to be added for the licences.
func (s *service) lockItems(ctx context.Context, q reader, sc *scope, instance string, invoices []int64, licences []string) (err error) {
	adds := make([]string, len(licences))
	for i, key := range licences {
		adds[i] = addPrefix + key
	}
	// Found by indexes and then each by its key: most items belong to others.
	where := `(connection, key) in (
			select connection, key from items where instance = $1 and ` + ofInvoice + ` = any($2)
			union select c, k from unnest($3::text[]) c, unnest($4::text[]) k)
		and state <> 7 order by connection, key`
	sc.items, err = s.engine.Look(ctx, q, where, instance, invoices, sortedKeys(sc.book.Settings), adds)
	if err != nil {
		return err
	}
	for _, x := range sc.items {
		k := Known{InFlight: x.State == reconcile.Applying || x.Unclear}
		if err := json.Unmarshal(x.Facts, &k.Facts); err != nil {
			return fmt.Errorf("facts of line %s/%s: %w", x.Connection, x.Key, err)
		}
		if x.Group != "" {
			if k.Aim, err = strconv.ParseInt(x.Group, 10, 64); err != nil {
				return fmt.Errorf("invoice of line %s/%s: %w", x.Connection, x.Key, err)
			}
		}
		sc.snapshot.Known[ItemKey{x.Connection, x.Key}] = k
	}
	return nil
}

// readInvoices reads the invoices and the items that lines are made of.
func (sc *scope) readInvoices(ctx context.Context, q reader, instance string, ids []int64, fresh *Invoice) error {
	digests, err := column[[]byte](ctx, q, `select digest from invoices where instance = $1 and id = any($2) and not gone order by id`, instance, ids)
	if err != nil {
		return err
	}
	for _, b := range digests {
		var inv Invoice
		if err := json.Unmarshal(b, &inv); err != nil {
			return fmt.Errorf("stored recurring invoice: %w", err)
		}
		if fresh == nil || inv.ID != fresh.ID {
			sc.snapshot.Invoices = append(sc.snapshot.Invoices, inv)
		}
	}
	if fresh != nil {
		sc.snapshot.Invoices = append(sc.snapshot.Invoices, *fresh)
	}
	items, err := column[[]byte](ctx, q, `select items from instances where instance = $1`, instance)
	if err != nil {
		return err
	}
	for _, b := range items {
		var list []Item
		if err := json.Unmarshal(b, &list); err != nil {
			return fmt.Errorf("stored items of Halo: %w", err)
		}
		for _, i := range list {
			sc.snapshot.Items[i.ID] = i
		}
	}
	return nil
}

// withNamed adds the licences that lines name, or once billed, and whose customers are others.
func (sc *scope) withNamed(ctx context.Context, q reader, instance string, licences []Licence) ([]Licence, error) {
	have, ids := make(map[ItemKey]bool, len(licences)), make(map[int64]bool, len(licences))
	for _, l := range licences {
		have[ItemKey{l.Connection, l.Key}], ids[l.HaloID] = true, true
	}
	named, keys := map[int64]bool{}, map[string]bool{}
	for _, inv := range sc.snapshot.Invoices {
		for _, l := range inv.Lines {
			for _, id := range l.linked() {
				if !ids[id] {
					named[id] = true
				}
			}
		}
	}
	for item, k := range sc.snapshot.Known {
		for _, key := range k.Facts.Licences {
			if !have[ItemKey{item.Connection, key}] {
				keys[key] = true
			}
		}
	}
	if len(named)+len(keys) == 0 {
		return licences, nil
	}
	others, err := readLicences(ctx, q, sc.book, `instance = $1 and (halo_id = any($2) and halo_id <> 0 or connection = any($3) and key = any($4))`,
		instance, sortedKeys(named), sortedKeys(sc.book.Settings), sortedKeys(keys))
	if err != nil {
		return nil, err
	}
	for _, l := range others {
		if !have[ItemKey{l.Connection, l.Key}] {
			licences = append(licences, l)
		}
	}
	return licences, nil
}

// merged are the licences of both, each once, by connection and key.
func merged(a, b []Licence) []Licence {
	byKey := func(x, y Licence) int {
		return cmp.Or(cmp.Compare(x.Connection, y.Connection), cmp.Compare(x.Key, y.Key))
	}
	all := slices.SortedFunc(slices.Values(slices.Concat(a, b)), byKey)
	return slices.CompactFunc(all, func(x, y Licence) bool { return byKey(x, y) == 0 })
}

// without are the ids that are not among the others.
func without(ids, others []int64) []int64 {
	are := make(map[int64]bool, len(others))
	for _, id := range others {
		are[id] = true
	}
	return slices.DeleteFunc(ids, func(id int64) bool { return are[id] })
}

func haloIDs(licences []Licence) []int64 {
	ids := []int64{}
	for _, l := range licences {
		if l.HaloID != 0 {
			ids = append(ids, l.HaloID)
		}
	}
	return ids
}

func column[T any](ctx context.Context, q querier, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}
