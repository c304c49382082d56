package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"
)

func ev(key string, revision int64) Event {
	return Event{ID: fmt.Sprint(key, revision), Type: "t", Entity: "thing", Connection: "demo", Key: key, Revision: revision, Source: "s"}
}

func TestABatchHoldsTheNewestOfEachKeyInOrder(t *testing.T) {
	got := newest([]received{{event: ev("b", 2)}, {event: ev("a", 1)}, {event: ev("b", 3)}, {event: ev("a", 2)}, {event: ev("b", 1)}, {event: ev("c", 9)}})
	if diff := cmp.Diff([]Event{ev("a", 2), ev("b", 3), ev("c", 9)}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]int64{}
		var in []received
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			e := ev(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "key"), rapid.Int64Range(1, 20).Draw(t, "revision"))
			want[e.Key] = max(want[e.Key], e.Revision)
			in = append(in, received{event: e})
		}
		last := ""
		for _, e := range newest(in) {
			if e.Key <= last {
				t.Fatalf("%q after %q", e.Key, last)
			}
			last = e.Key
			if e.Revision != want[e.Key] {
				t.Fatalf("%s has revision %d, want %d", e.Key, e.Revision, want[e.Key])
			}
			delete(want, e.Key)
		}
		if len(want) != 0 {
			t.Fatalf("missing: %v", want)
		}
	})
}

func TestTheRelayChoosesTheNewestAndAllOfTheLog(t *testing.T) {
	logged := ev("a", 1)
	logged.Log = true
	old := row{Event: ev("c", 1), superseded: true}
	state, log := choose([]row{{Event: ev("a", 5)}, {Event: logged}, {Event: ev("b", 1)}, {Event: ev("a", 4)}, old, {Event: logged}, {Event: ev("b", 2)}})
	if diff := cmp.Diff([]Event{ev("a", 5), ev("b", 2)}, state); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Event{logged, logged}, log); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestWhichErrorsPass(t *testing.T) {
	pg := func(code string) error { return fmt.Errorf("insert: %w", &pgconn.PgError{Code: code}) }
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"serialisation":                    {pg("40001"), true},
		"deadlock":                         {pg("40P01"), true},
		"server shutting down":             {pg("57P01"), true},
		"disk full":                        {pg("53100"), true},
		"table missing before a migration": {pg("42P01"), true},
		"data does not fit":                {pg("22003"), false},
		"constraint":                       {pg("23505"), false},
		"same key twice":                   {pg("21000"), false},
		"connection reset":                 {fmt.Errorf("x: %w", &net.OpError{Op: "read", Err: errors.New("reset")}), true},
		"unexpected end":                   {fmt.Errorf("x: %w", io.ErrUnexpectedEOF), true},
		"shutting down":                    {fmt.Errorf("x: %w", context.Canceled), true},
		"marked":                           {fmt.Errorf("x: %w", Transient(errors.New("settings not known yet"))), true},
		"anything else":                    {errors.New("quantity is negative"), false},
	} {
		if got := passes(c.err); got != c.want {
			t.Errorf("%s: passes = %t, want %t", name, got, c.want)
		}
	}
	if Transient(nil) != nil {
		t.Error("Transient(nil) is an error")
	}
}
