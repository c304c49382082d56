package reconcile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc/list"
)

// Listing says which items a list is of.
type Listing struct {
	// Joins to "items i" by alias, so that fields of the list may come from the service's own tables; see list.Select.
	Joins map[string]string
	// Where is a condition that always holds, with $1 … for Args; may be empty.
	Where string
	Args  []any
}

// List shows one page of items, in one statement, and gives the token of the next page: "" after the last. The fields of
// the query's Spec name columns of items as i.state, i.customer and so on. Within one connection there is an index for
// each of key and customer, one for what is not in sync, and one for halo_id over all of them, so that a page costs the same wherever it lies;
// for anything else the connection's items are gone through.
//
// What is shown of an item is what its event says. An engine with Listed set keeps that with the item, and then it is sent as
// it was stored: encoded messages that follow one another are one message to whoever decodes them, and a page need not be
// made, nor even decoded, in order to be sent. So nothing is to be read from what List returns before it was sent.
//
// For a page with items of which that is not kept, show makes what is shown, of all of them. What it is given leaves out what
// concerns claims, causes and groups. Desired and Applied are one value where they are equal, so neither may be changed in place.
func List[D any, T proto.Message](ctx context.Context, db list.DB, q *list.Query, of Listing, show func(Item[D]) (T, error)) ([]T, string, error) {
	sel := list.Select{Columns: shownColumns, From: "items i", Joins: of.Joins, Where: of.Where, Args: of.Args}
	page, next, err := list.Collect(ctx, db, q, sel, scanShown[T])
	if !errors.Is(err, errNotKept) {
		return page, next, err
	}
	return made(ctx, db, q, of, show)
}

// made is List of something else than what the items' events say: show makes it of each.
func made[D, T any](ctx context.Context, db list.DB, q *list.Query, of Listing, show func(Item[D]) (T, error)) ([]T, string, error) {
	sel := list.Select{Columns: listColumns, From: "items i", Joins: of.Joins, Where: of.Where, Args: of.Args}
	return list.Collect(ctx, db, q, sel, func(r pgx.CollectableRow) (shown T, err error) {
		x, err := scanListed[D](r)
		if err != nil {
			return shown, err
		}
		return show(x)
	})
}

// errNotKept: what an item's event says is not kept with it. No event has told of it yet, or it was written by a release that did not know of this.
var errNotKept = errors.New("what is shown of the item is not kept")

// What shown begins with: the revision that it is of, and whether the rest of it are the facts.
const (
	shownRevision = 8
	shownHead     = shownRevision + 1
)

// The facts are read only where they are a part of what is shown.
const shownColumns = `i.revision, i.shown, case when get_byte(i.shown, 8) = 1 then i.facts end`

// keepShown is what is kept with an item of what its event says. What ends with the facts is kept without them.
func keepShown(ev *event.Event, facts []byte) (shown []byte, err error) {
	if ev.Data != nil { // encoded once for both
		if ev.Payload, err = (proto.MarshalOptions{Deterministic: true}).Marshal(ev.Data); err != nil {
			return nil, fmt.Errorf("encode %s %s/%s: %w", ev.Entity, ev.Connection, ev.Key, err)
		}
		ev.Data = nil
	}
	rest, factsToo := ev.Payload, byte(0)
	if len(facts) > 0 && bytes.HasSuffix(ev.Payload, facts) {
		rest, factsToo = rest[:len(rest)-len(facts)], 1
	}
	shown = binary.BigEndian.AppendUint64(make([]byte, 0, shownHead+len(rest)), uint64(ev.Revision))
	return append(append(shown, factsToo), rest...), nil
}

// Keep keeps what is shown of items that a release wrote which did not, and says of how many. Run begins with it.
func (e *Engine[D]) Keep(ctx context.Context) (kept int, err error) {
	var connection, key string
	for {
		n := 0
		err := postgres.InTx(ctx, e.Pool, func(tx pgx.Tx) error {
			rows, err := lock[D](ctx, tx, `(connection, key) > ($1, $2) and shown is null and revision <> 0 order by connection, key limit 1000`, connection, key)
			if err != nil {
				return err
			}
			n = len(rows)
			connections, keys, shown := make([]string, n), make([]string, n), make([][]byte, n)
			for i, x := range rows {
				ev, err := e.event(x.Item)
				if err != nil {
					return err
				}
				connections[i], keys[i] = x.Connection, x.Key
				if shown[i], err = keepShown(&ev, x.Facts); err != nil {
					return err
				}
			}
			_, err = tx.Exec(ctx, `update items i set shown = t.shown from unnest($1::text[], $2::text[], $3::bytea[]) as t(connection, key, shown)
				where i.connection = t.connection and i.key = t.key`, connections, keys, shown)
			if err == nil && n > 0 {
				connection, key = connections[n-1], keys[n-1]
			}
			return err
		})
		if err != nil || n == 0 {
			return kept, err
		}
		kept += n
	}
}

func scanShown[T proto.Message](r pgx.CollectableRow) (sent T, err error) {
	var (
		revision     int64
		shown, facts pgtype.DriverBytes
	)
	if err := r.Scan(&revision, &shown, &facts); err != nil {
		return sent, fmt.Errorf("scan item: %w", err)
	}
	if len(shown) < shownHead || int64(binary.BigEndian.Uint64(shown)) != revision {
		return sent, errNotKept
	}
	message := sent.ProtoReflect().New()
	message.SetUnknown(slices.Concat([]byte(shown[shownHead:]), []byte(facts)))
	return message.Interface().(T), nil
}

// What is in sync holds one document twice: it is sent and read once. Documents are compared as they are stored, byte by
// byte, which costs a tenth of comparing what they say.
const listColumns = `i.connection, i.key, i.instance, i.revision, i.desired,
	i.applied is not null, case when not record_image_eq(row(i.applied), row(i.desired)) then i.applied end,
	i.drifted, i.halo_id, i.state, i.reason_code, i.reason_text, i.facts, i.title, i.customer,
	i.follows, i.monthly_before::text, i.monthly_after::text, i.currency, i.run, i.updated`

func scanListed[D any](r pgx.CollectableRow) (x Item[D], err error) {
	var (
		desired, applied []byte
		hasApplied       bool
		before, after    *string
	)
	err = r.Scan(&x.Connection, &x.Key, &x.Instance, &x.Revision, &desired, &hasApplied, &applied,
		&x.Drifted, &x.HaloID, &x.State, &x.Reason.Code, &x.Reason.Text, &x.Facts, &x.Title, &x.Customer,
		&x.Follows, &before, &after, &x.Currency, &x.Run, &x.Updated)
	if err != nil {
		return x, fmt.Errorf("scan item: %w", err)
	}
	document := func(has bool, text []byte, same *D) *D {
		switch {
		case !has || err != nil:
			return nil
		case text == nil:
			return same
		}
		var d *D
		d, err = decode[D](text)
		return d
	}
	x.Desired = document(desired != nil, desired, nil)
	x.Applied = document(hasApplied, applied, x.Desired)
	if err == nil {
		x.MonthlyBefore, err = parseMoney(before)
	}
	if err == nil {
		x.MonthlyAfter, err = parseMoney(after)
	}
	if err != nil {
		return x, fmt.Errorf("item %s/%s: %w", x.Connection, x.Key, err)
	}
	return x, nil
}
