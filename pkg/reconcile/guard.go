package reconcile

import (
	"context"
	"errors"
	"fmt"
)

// ErrClaimLost: items are no longer this process's to write, or will soon not be, because it was silent for too long:
// it stood still, or could not reach its database. Nothing is known to be wrong with them.
var ErrClaimLost = errors.New("this process was silent for too long to write it, and leaves it to whoever takes it over")

// Guard asks whether items that a claim gave to Apply are still its, and stay so for as long as a call that begins now may
// land: nobody took them over, or soon will. It is for the client to ask right before each request that writes: a process
// may stand still for any time between its claim and its call, and what it would write then may be outdated by what
// another has written meanwhile. The items are of one instance and, where claims are made by group, of one group.
func (e *Engine[D]) Guard(items ...Item[D]) func(context.Context) error {
	connections, keys, claims := make([]string, len(items)), make([]string, len(items)), make([]string, len(items))
	for i, x := range items {
		connections[i], keys[i], claims[i] = x.Connection, x.Key, x.Claim
	}
	instance, group := "", ""
	if e.Grouped && len(items) > 0 {
		instance, group = items[0].Instance, items[0].Group
	}
	return func(ctx context.Context) error {
		var held int
		var alone bool // its items alone do not make one the only writer of a group
		err := e.Pool.QueryRow(ctx, `
			select count(*), $5 = '' or exists (select from writers where instance = $6 and grp = $5 and owner = any($3) and lease_until > $4)
			from unnest($1::text[], $2::text[], $3::text[]) t(c, k, o) cross join lateral ( -- each by its key, however little is known of a table that just filled
				select from work where connection = c and key = k and claim = o and ready_at > $4 limit 1) held`,
			connections, keys, claims, e.Clock.Now().Add(e.Settle), group, instance).Scan(&held, &alone)
		if err != nil {
			return fmt.Errorf("check the claim of %d %s items: %w", len(items), e.Kind, err)
		}
		if held < len(items) || !alone {
			return ErrClaimLost
		}
		return nil
	}
}
