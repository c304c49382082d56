package settled

import (
	"context"
	"errors"
	"testing"
	"time"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

func items(state itemv1.State, n int64) *opsv1.Progress {
	return &opsv1.Progress{Items: []*opsv1.StateCount{{Kind: "licence", State: state, Count: n}}}
}

func TestBusy(t *testing.T) {
	for _, c := range []struct {
		name string
		p    *opsv1.Progress
		want string
	}{
		{"nothing to do", &opsv1.Progress{}, ""},
		{"events not yet published", &opsv1.Progress{Outbox: 1}, "publishing"},
		{"events on their way", &opsv1.Progress{Consumers: []*opsv1.Consumer{{Entity: "licence", Pending: 1}}}, "receiving licence"},
		{"events in hand", &opsv1.Progress{Consumers: []*opsv1.Consumer{{Entity: "mapping", Unacknowledged: 1}}}, "receiving mapping"},
		{"reading Halo", &opsv1.Progress{Busy: true}, "reading"},
		{"work to do", items(itemv1.State_STATE_PENDING, 1), "writing licence"},
		{"work under way", items(itemv1.State_STATE_APPLYING, 1), "writing licence"},
		{"no work", items(itemv1.State_STATE_PENDING, 0), ""},
		{"waits for something", items(itemv1.State_STATE_PARKED, 3), ""},
		{"waits for a person", items(itemv1.State_STATE_HELD, 3), ""},
		{"refused", items(itemv1.State_STATE_FAILED, 3), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Busy(c.p); got != c.want {
				t.Errorf("busy with %q, want %q", got, c.want)
			}
		})
	}
}

func TestWaitTakesForTwoQuietRoundsWithoutActivity(t *testing.T) {
	rounds := []*opsv1.Progress{
		{Activity: 1, Outbox: 5},
		{Activity: 1}, // quiet, but only once
		{Activity: 2}, // something happened in between
		nil,           // a service does not answer for a moment
		{Activity: 2}, // the first quiet round after that
		{Activity: 2}, // settled
	}
	n := 0
	err := Wait(t.Context(), func(context.Context) ([]*opsv1.Progress, error) {
		if n++; n > len(rounds) {
			t.Fatal("asked again although it was settled")
		}
		if rounds[n-1] == nil {
			return nil, errors.New("away")
		}
		return []*opsv1.Progress{rounds[n-1]}, nil
	}, func([]*opsv1.Progress) {})
	if err != nil || n != len(rounds) {
		t.Errorf("settled after %d rounds of %d (%v)", n, len(rounds), err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := Wait(ctx, func(context.Context) ([]*opsv1.Progress, error) { return []*opsv1.Progress{{Outbox: 1}}, nil }, func([]*opsv1.Progress) {})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestNowLooksTwiceBeforeItSpeaksOfRest(t *testing.T) {
	quiet, busy := &opsv1.Progress{Activity: 1}, &opsv1.Progress{Activity: 1, Outbox: 5}
	for _, c := range []struct {
		name  string
		looks [][]*opsv1.Progress
		rest  bool
	}{
		{"at rest", [][]*opsv1.Progress{{quiet}, {quiet}}, true},
		{"busy", [][]*opsv1.Progress{{busy}}, false},
		{"busy right after", [][]*opsv1.Progress{{quiet}, {busy}}, false},
		{"something happened in between", [][]*opsv1.Progress{{quiet}, {{Activity: 2}}}, false},
		{"one does not answer any more", [][]*opsv1.Progress{{quiet, {}}, {quiet}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			all, rest, err := Now(t.Context(), func(context.Context) ([]*opsv1.Progress, error) {
				n++
				return c.looks[n-1], nil
			})
			if err != nil || rest != c.rest || n != len(c.looks) || len(all) != len(c.looks[n-1]) {
				t.Errorf("rest %t after %d looks: %v, %v", rest, n, all, err)
			}
		})
	}
}
