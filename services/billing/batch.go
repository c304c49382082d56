package billing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// fresh is how long invoices are decided about over what was gathered for all that were left of a batch.
const fresh = 2 * time.Second

// batch is what one claim took: lines of some invoices of one instance. They are gathered for together, and
// written each by itself.
type batch struct {
	s        *service
	instance string
	items    []item
	out      []*outcome // each is set by its own attempt only
	attempts []*attempt

	mu       sync.Mutex
	gathered *known
	stored   pgx.Tx
}

// known is what was gathered for some invoices, and decided over it.
type known struct {
	*scope
	at        time.Time
	fresh     bool               // over an invoice that nobody has decided about before
	invoices  map[int64]*Invoice // as they were last stored
	decisions []Decision
	byKey     map[ItemKey]int
}

// sight is an invoice as Halo showed it.
type sight struct {
	Invoice
	raw    halo.Invoice
	digest []byte // JSON of Invoice
	at     time.Time
}

func sightOf(raw halo.Invoice, at time.Time) (*sight, error) {
	v := &sight{Invoice: invoiceOf(raw), raw: raw, at: at}
	var err error
	if v.digest, err = json.Marshal(v.Invoice); err != nil {
		return nil, fmt.Errorf("recurring invoice %d: %w", v.ID, err)
	}
	return v, nil
}

// shows tells whether the rules would see nothing else in it than in another.
func (v *sight) shows(inv *Invoice) bool {
	b, err := json.Marshal(inv)
	return err == nil && bytes.Equal(b, v.digest)
}

// known gathers for what is left of the batch, again when that was too long ago.
func (b *batch) known(ctx context.Context) (*known, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gathered != nil && b.s.Clock.Since(b.gathered.at) < fresh {
		return b.gathered, nil
	}
	var left []int
	for _, a := range b.attempts {
		if !a.over {
			left = append(left, a.mine...)
		}
	}
	k, err := b.gather(ctx, left, nil)
	if err == nil {
		b.gathered = k
	}
	return k, err
}

// gather reads what deciding about some items rests on, and decides. seen stands for the stored invoice of its id.
func (b *batch) gather(ctx context.Context, items []int, seen *Invoice) (*known, error) {
	at := b.s.Clock.Now()
	var invoices []int64
	var slugs, keys []string
	for _, i := range items {
		x := b.items[i]
		id, err := strconv.ParseInt(x.Group, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("recurring invoice %q: %w", x.Group, err)
		}
		if !slices.Contains(invoices, id) {
			invoices = append(invoices, id)
		}
		if key, ok := strings.CutPrefix(x.Key, addPrefix); ok {
			slugs, keys = append(slugs, x.Connection), append(keys, key)
		}
	}
	clients, err := column[int64](ctx, b.s.pool, `
		select client_id from invoices where instance = $1 and id = any($2)
		union select l.client_id from unnest($3::text[], $4::text[]) as t(connection, key) cross join lateral ( -- each by its key
			select client_id from licences where connection = t.connection and key = t.key limit 1) l`, b.instance, invoices, slugs, keys)
	if err != nil {
		return nil, err
	}
	if seen != nil {
		clients = append(clients, seen.ClientID)
	}
	sc, err := b.s.gather(ctx, b.s.pool, b.instance, clients, seen)
	if err != nil {
		return nil, err
	}
	k := &known{scope: sc, at: at, fresh: seen != nil, invoices: map[int64]*Invoice{}, decisions: decide(&sc.snapshot, sc.book), byKey: map[ItemKey]int{}}
	for i := range sc.snapshot.Invoices {
		k.invoices[sc.snapshot.Invoices[i].ID] = &sc.snapshot.Invoices[i]
	}
	for i := range k.decisions {
		k.byKey[k.decisions[i].ItemKey] = i
	}
	return k, nil
}

func (k *known) connection(slug string) (*connectionv1.Connection, error) {
	at := slices.IndexFunc(k.connections, func(c *connectionv1.Connection) bool { return c.GetSlug() == slug })
	if at < 0 {
		return nil, fmt.Errorf("connection %s: %w", slug, connections.ErrUnknown)
	}
	return k.connections[at], nil
}

// find gives the decision about an item. A line to be added may be there already: an earlier write
// whose answer did not come. It is known by the licence it links.
func (k *known) find(invoice int64, x item) *Decision {
	if i, ok := k.byKey[ItemKey{x.Connection, x.Key}]; ok {
		return &k.decisions[i]
	}
	key, ok := strings.CutPrefix(x.Key, addPrefix)
	if !ok {
		return nil
	}
	for i := range k.decisions {
		if d := &k.decisions[i]; d.Connection == x.Connection && d.Facts.Invoice == invoice && d.Facts.Linked && slices.Contains(d.Facts.Licences, key) && d.Applied != nil {
			there := *d
			there.Verdict, there.Desired = reconcile.Go(), *d.Applied
			return &there
		}
	}
	return nil
}

// store keeps the invoices as they were last seen, and has their customers decided anew where that may make a difference. It is called for every
// item of the batch, and does its work once a transaction.
func (b *batch) store(ctx context.Context, tx pgx.Tx) error {
	if b.stored == tx {
		return nil
	}
	b.stored = tx
	now := b.s.Clock.Now()
	var clients []int64
	var seen, complete []*sight
	for _, a := range b.attempts {
		if a.lost != nil {
			if err := a.lost.store(ctx, tx, b.instance, a.requestID, now); err != nil {
				return err
			}
		}
		switch {
		case a.gone:
			ids, err := column[int64](ctx, tx, `update invoices set gone = true where instance = $1 and id = $2 and read_at <= $3 returning client_id`, b.instance, a.invoice, a.at)
			if err != nil {
				return err
			}
			clients = append(clients, ids...)
		case a.complete:
			complete = append(complete, a.seen)
		case a.seen != nil:
			seen = append(seen, a.seen)
			clients = append(clients, a.seen.ClientID)
		}
	}
	if _, err := storeInvoices(ctx, tx, b.instance, complete); err != nil {
		return err
	}
	return saveInvoices(ctx, tx, b.instance, seen, now, clients...)
}
