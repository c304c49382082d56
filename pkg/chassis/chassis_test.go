package chassis

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc"

	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/rpc"
)

// A loop goes on at once while it finds work; otherwise it waits for the clock or a nudge, after a failure too.
func TestLoopTurnsWhenThereIsCause(t *testing.T) {
	clock, wake, turned := clockwork.NewFakeClock(), NewWake(), make(chan int)
	left, failing := 3, errors.New("no database")
	env := Env{Clock: clock, Log: eventtest.Log(t)}
	loop := env.Loop("test", wake, time.Minute, func(context.Context) (int, error) {
		turned <- left
		if left > 0 {
			left--
			return 1, nil
		}
		return 1, failing
	})
	stop := eventtest.Run(t, loop)
	for want := 3; want >= 0; want-- {
		if got := <-turned; got != want {
			t.Fatalf("turn with %d left, want %d", got, want)
		}
	}
	idle := func(what string) {
		t.Helper()
		if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		select {
		case <-turned:
			t.Fatalf("turned %s", what)
		default:
		}
	}
	idle("at once after a failure")
	clock.Advance(time.Minute)
	<-turned
	idle("without a cause")
	wake.Nudge()
	<-turned
	stop()
}

// One part that fails ends them all, and is the error that the service ends with.
func TestRunEndsWhenAPartFails(t *testing.T) {
	env := Env{
		Pool: postgrestest.New(t), Bus: bustest.New(t), Log: eventtest.Log(t),
		RPC: rpc.Config{Addr: "127.0.0.1:0", InsecureLoopback: true, DrainTimeout: time.Second},
	}
	listening := make(chan string, 1)
	env.Listening = func(addr string) { listening <- addr }
	broken, ended := errors.New("broken"), false
	err := Run(t.Context(), env, Spec{
		Name:     "test",
		Register: func(grpc.ServiceRegistrar) {},
		Loops: []func(context.Context) error{
			func(ctx context.Context) error { <-ctx.Done(); ended = true; return nil },
			func(context.Context) error { return broken },
		},
	})
	if !errors.Is(err, broken) || !ended {
		t.Errorf("got %v, the other loop ended: %t", err, ended)
	}
	if conn, err := net.Dial("tcp", <-listening); err == nil {
		conn.Close()
		t.Error("still listens")
	}
	if err := env.Pool.Ping(t.Context()); err != nil {
		t.Errorf("the pool, which is not Run's, was closed: %v", err)
	}
}

// What was kept for long enough goes when a service starts and every few hours after, batch by batch, and nothing else.
func TestWhatIsOverIsDeleted(t *testing.T) {
	clock := clockwork.NewFakeClockAt(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	pool := postgrestest.New(t, event.Schema)
	env := Env{Pool: pool, Clock: clock, Log: eventtest.Log(t), Retention: Retention{History: 10 * day}}
	if _, err := pool.Exec(t.Context(), `insert into run_marks (connection, run, last_seq, time) values ('acme', 'old', 1, $1), ('acme', 'new', 2, $2)`,
		clock.Now().Add(-31*day), clock.Now().Add(-29*day)); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `insert into dead_letters (entity, subject, stream_seq, type, connection, key, reason, headers, payload, time)
		values ('licence', 's', 1, 't', 'acme', 'k', 'nobody has looked yet', '{}', '', $1)`, clock.Now().Add(-9999*day)); err != nil {
		t.Fatal(err)
	}
	left, befores := []int{pruneBatch, 3, 0, 0}, make(chan time.Time, 10)
	stop := eventtest.Run(t, env.pruning(Spec{Name: "test", Prune: map[string]Prune{"own": func(_ context.Context, before time.Time, limit int) (int, error) {
		n := left[0]
		left = left[1:]
		befores <- before
		return n, nil
	}}}))
	for range 3 {
		if before := <-befores; !before.Equal(clock.Now().Add(-10 * day)) {
			t.Errorf("deletes what is before %s", before)
		}
	}
	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var runs string
	if err := pool.QueryRow(t.Context(), `select string_agg(run, ' ') from run_marks`).Scan(&runs); err != nil || runs != "new" {
		t.Errorf("left are the marks of %s (%v)", runs, err)
	}
	if len(befores) > 0 {
		t.Error("goes on although nothing was left")
	}
	var open int
	if err := pool.QueryRow(t.Context(), `select count(*) from dead_letters`).Scan(&open); err != nil || open != 1 {
		t.Errorf("%d dead letters are left of the one that nobody decided about (%v)", open, err)
	}
	clock.Advance(pruneEvery)
	<-befores
	stop()
}
