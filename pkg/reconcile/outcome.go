package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/postgres"
)

type verdictOf int

const (
	done verdictOf = iota + 1
	retry
	refused
	hold
	park
	unclear
)

// Outcome is what became of one item of a batch.
type Outcome[D any] struct {
	kind   verdictOf
	reason Reason
	after  time.Duration
	until  time.Time

	haloID  int64
	applied *D
	ended   bool
	heir    *Want[D]
	looked  bool
	found   bool

	// Action overrides the name of what was done, for example "adopt".
	Action string
	// Facts replaces what the item carries, when not nil.
	Facts []byte
	// RequestID and Response of the call to Halo, for the change log. Never a secret.
	RequestID, Response string
	// Also runs in the transaction that records the outcome, if the claim still holds.
	Also func(ctx context.Context, tx pgx.Tx) error
}

// Done: Halo holds applied in the object haloID, confirmed.
func Done[D any](haloID int64, applied *D) Outcome[D] {
	return Outcome[D]{kind: done, haloID: haloID, applied: applied}
}

// Found: nothing was written now; Halo was looked at, and holds applied in the object haloID. The change log tells what that
// differs in from what was known, if anything.
func Found[D any](haloID int64, applied *D) Outcome[D] {
	return Outcome[D]{kind: done, haloID: haloID, applied: applied, found: true}
}

// Ended: Halo holds applied, confirmed, and another item looks after the object from here on: this
// one's work is done for good, and it retires with the reason, or is forgotten where nobody was told of it.
func Ended[D any](haloID int64, applied *D, code, text string) Outcome[D] {
	return Outcome[D]{kind: done, haloID: haloID, applied: applied, ended: true, reason: Reason{code, text}}
}

// InFavourOf has the item that looks after the object from here on recorded with the outcome that ends this one. What was
// done is in the change log under its key.
func (o Outcome[D]) InFavourOf(heir Want[D]) Outcome[D] {
	o.heir = &heir
	return o
}

// Retry: nothing landed; try again after a while (zero: the engine's back-off).
func Retry[D any](after time.Duration, code, text string) Outcome[D] {
	return Outcome[D]{kind: retry, after: after, reason: Reason{code, text}}
}

// Refused: Halo said no, and would again; the item fails until its desired changes or a person retries.
func Refused[D any](code, text string) Outcome[D] {
	return Outcome[D]{kind: refused, reason: Reason{code, text}}
}

// HoldFor a person, for what only a look at Halo could tell.
func HoldFor[D any](code, text string) Outcome[D] {
	return Outcome[D]{kind: hold, reason: Reason{code, text}}
}

// ParkUntil makes the item wait for a time (zero: until it is desired anew).
func ParkUntil[D any](until time.Time, code, text string) Outcome[D] {
	return Outcome[D]{kind: park, until: until, reason: Reason{code, text}}
}

// Unclear: the call may have landed, or may still. The item comes back after Settle with Unclear set.
func Unclear[D any](code, text string) Outcome[D] {
	return Outcome[D]{kind: unclear, reason: Reason{code, text}}
}

// Looked says that Halo was looked at: an earlier call whose outcome was unclear did not land. Without it an item that is to
// be tried again, or has to wait, stays unclear.
func (o Outcome[D]) Looked() Outcome[D] {
	o.looked = true
	return o
}

// IsDone tells whether the write is confirmed.
func (o Outcome[D]) IsDone() bool { return o.kind == done }

// complete records the outcomes of a batch. Items whose claim was lost meanwhile are left alone:
// somebody else is looking after them, and will look in Halo first.
func (e *Engine[D]) complete(ctx context.Context, claim string, batch []*row[D], outcomes []Outcome[D]) error {
	return postgres.InTx(ctx, e.Pool, func(tx pgx.Tx) error {
		connections, keys := make([]string, len(batch)), make([]string, len(batch))
		for i, x := range batch {
			connections[i], keys[i] = x.Connection, x.Key
		}
		for _, o := range outcomes {
			if o.heir != nil {
				connections, keys = append(connections, o.heir.Connection), append(keys, o.heir.Key)
			}
		}
		known, err := load[D](ctx, tx, connections, keys)
		if err != nil {
			return err
		}
		now := e.Clock.Now()
		var rows []*row[D]
		var logged []change
		closed := []string{}
		for i, o := range outcomes {
			if o.kind == unclear {
				closed = append(closed, batch[i].Group)
			}
			x := known[[2]string{connections[i], keys[i]}]
			if x == nil || x.Claim != claim {
				e.Log.WarnContext(ctx, "claim lost before its outcome was recorded", "kind", e.Kind, "connection", connections[i], "key", keys[i])
				continue
			}
			c, err := e.conclude(x, batch[i].Desired, o, now)
			if err != nil {
				return err
			}
			if c != nil {
				logged = append(logged, *c)
			}
			rows = append(rows, x)
			if o.heir != nil {
				h := known[[2]string{o.heir.Connection, o.heir.Key}]
				if h == nil {
					h = &row[D]{Item: Item[D]{Connection: o.heir.Connection, Key: o.heir.Key}}
				}
				moved, err := e.desire(h, *o.heir, now)
				if err != nil {
					return err
				}
				if moved {
					rows = append(rows, h)
				}
			}
			if o.Also != nil {
				if err := o.Also(ctx, tx); err != nil {
					return fmt.Errorf("%s %s/%s: %w", e.Kind, x.Connection, x.Key, err)
				}
			}
		}
		if e.Grouped {
			// An unclear write keeps its group closed until it cannot land any more.
			_, err := tx.Exec(ctx, `
				with freed as (delete from writers where owner = $1 and grp <> all($2))
				update writers set lease_until = $3 where owner = $1 and grp = any($2)`, claim, closed, now.Add(e.Settle))
			if err != nil {
				return fmt.Errorf("free the groups: %w", err)
			}
		}
		return e.record(ctx, tx, rows, now, logged)
	})
}

// conclude applies one outcome to its row, and returns what the change log is to say of it, if anything. intent is what was
// desired when the claim was made.
func (e *Engine[D]) conclude(x *row[D], intent *D, o Outcome[D], now time.Time) (*change, error) {
	moved, err := unequal(intent, x.Desired)
	if err != nil {
		return nil, err
	}
	before := x.Applied
	x.State, x.Sticky, x.Claim = 0, false, ""
	if o.Facts != nil {
		x.Facts = o.Facts
	}
	// Neither a try that did not come to a look, nor waiting, says what became of an earlier write.
	x.Unclear = o.kind == unclear || x.Unclear && !o.looked && (o.kind == retry || o.kind == park)
	entry := func(outcome string) *change {
		c := e.entry(x, outcome, now)
		if o.Action != "" {
			c.action = o.Action
		}
		if o.reason.Code != "" && !o.ended {
			c.reason = o.reason
		}
		c.fields = e.Diff(before, orEmpty(intent))
		c.requestID, c.response = o.RequestID, o.Response
		return &c
	}
	switch o.kind {
	case done:
		action := e.Action(x.Item)
		x.HaloID, x.Applied, x.Drifted, x.Attempts = o.haloID, o.applied, nil, 0
		e.settle(x, true, now)
		o.Action = cmp.Or(o.Action, action)
		c := entry("applied")
		if o.heir != nil {
			c.key = o.heir.Key
		}
		if o.ended {
			x.retire(o.reason)
			e.settle(x, true, now)
			x.previous = x.State // the entry tells all there is to tell
		}
		return c, nil
	case unclear:
		x.State, x.Reason = Applying, o.reason
		x.readyAt = now.Add(e.Settle)
		return nil, nil
	}
	if x.Unclear {
		x.State, x.Reason = Applying, o.reason
		if x.readyAt = o.until; x.readyAt.IsZero() {
			x.readyAt = now.Add(cmp.Or(o.after, backoff(x.Attempts)))
		}
		return nil, nil
	}
	switch o.kind {
	case retry:
		e.settle(x, true, now)
		if x.State == Pending {
			x.Reason = o.reason
			x.readyAt = now.Add(cmp.Or(o.after, backoff(x.Attempts)))
		}
		return nil, nil
	}
	// Refused, held or parked by what Halo showed: it sticks unless desired moved meanwhile.
	e.settle(x, true, now)
	if x.State != Pending || moved {
		return nil, nil
	}
	x.Reason, x.Sticky, x.readyAt = o.reason, true, time.Time{}
	switch o.kind {
	case refused:
		x.State = Failed
		return entry("failed"), nil
	case hold:
		x.State = Held
	case park:
		x.State, x.readyAt = Parked, o.until
	}
	return nil, nil
}
