package reconcile

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

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
// The items hold what is shown of an item; what concerns claims, causes and groups is left out. Desired and
// Applied are one value where they are equal, so neither may be changed in place.
func List[D, T any](ctx context.Context, db list.DB, q *list.Query, of Listing, show func(Item[D]) (T, error)) ([]T, string, error) {
	sel := list.Select{Columns: listColumns, From: "items i", Joins: of.Joins, Where: of.Where, Args: of.Args}
	return list.Collect(ctx, db, q, sel, func(r pgx.CollectableRow) (shown T, err error) {
		x, err := scanListed[D](r)
		if err != nil {
			return shown, err
		}
		return show(x)
	})
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
