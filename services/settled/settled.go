// Package settled tells when a connection is settled: everything published is digested, and nothing
// is left that would happen by itself. What waits for a person or for a time does not count.
package settled

import (
	"context"
	"time"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// Look asks every service how far it is. It may stop at one that is busy: then nothing is settled, whatever the others say.
type Look func(context.Context) ([]*opsv1.Progress, error)

// Every is how often Wait looks.
const Every = 150 * time.Millisecond

// proven tells whether two looks, one after the other, prove that everything is at rest. The services are asked one after
// the other, so an event may hide between two of them: only two looks without any activity between prove it.
func proven(before, now []*opsv1.Progress) bool {
	return atRest(before) && atRest(now) && len(before) == len(now) && activity(before) == activity(now)
}

// Now looks once, and where everything seems to be at rest once more. It gives what it saw at last, and whether rest is proven.
func Now(ctx context.Context, look Look) (all []*opsv1.Progress, rest bool, err error) {
	before, err := look(ctx)
	if err != nil || !atRest(before) {
		return before, false, err
	}
	all, err = look(ctx)
	return all, err == nil && proven(before, all), err
}

// Wait returns when all services are at rest at the same time.
// seen, if not nil, is told of each round.
func Wait(ctx context.Context, look Look, seen func([]*opsv1.Progress)) error {
	var before []*opsv1.Progress
	for failures := 0; ; {
		began := time.Now()
		all, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil: // a service may be restarting; one that stays away is an error
			if failures++; failures > 100 {
				return err
			}
			before = nil
		default:
			failures = 0
			if seen != nil {
				seen(all)
			}
			if before != nil && proven(before, all) {
				return nil
			}
			before = all
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(Every + 5*time.Since(began)): // counting must not keep busy those who work
		}
	}
}

// Busy says what a service still has to do; empty when it is at rest.
func Busy(p *opsv1.Progress) string {
	switch {
	case p.GetOutbox() > 0:
		return "publishing"
	case p.GetBusy():
		return "reading"
	}
	for _, c := range p.GetConsumers() {
		if c.GetPending() > 0 || c.GetUnacknowledged() > 0 {
			return "receiving " + c.GetEntity()
		}
	}
	for _, count := range p.GetItems() {
		switch count.GetState() {
		case itemv1.State_STATE_PENDING, itemv1.State_STATE_APPLYING:
			if count.GetCount() > 0 {
				return "writing " + count.GetKind()
			}
		}
	}
	return ""
}

func atRest(all []*opsv1.Progress) bool {
	for _, p := range all {
		if Busy(p) != "" {
			return false
		}
	}
	return true
}

func activity(all []*opsv1.Progress) (sum int64) {
	for _, p := range all {
		sum += p.GetActivity()
	}
	return sum
}
