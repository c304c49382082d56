// Package eventtest helps to test what publishes and consumes events, with a real database and a
// real NATS server: events sent in as other services would, the state that came out, and waiting
// until everything is settled.
package eventtest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
)

// patience is how long to wait for something that should happen at once on an idle machine.
const patience = 2 * time.Minute // for a slow machine under the race detector

// Publish commits the events through the outbox of pool.
func Publish(t testing.TB, pool *pgxpool.Pool, events ...event.Event) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return event.Publish(t.Context(), tx, events...) })
	if err != nil {
		t.Fatal(err)
	}
}

// Send puts events straight into their stream, as a service that is not part of the test would
// have. ID, Source, Time and Revision are completed where they are empty.
func Send(t testing.TB, conn *bus.Conn, events ...event.Event) {
	t.Helper()
	for _, e := range events {
		if e.ID == "" {
			e.ID = uuid.Must(uuid.NewV7()).String()
		}
		if e.Source == "" {
			e.Source = "seatline/test"
		}
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		if e.Revision == 0 && !e.Log {
			e.Revision = event.NewRevision(0, time.Now())
		}
		m, err := event.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

// Relay runs a relay for pool until the test ends or stop is called.
func Relay(t testing.TB, pool *pgxpool.Pool, conn *bus.Conn) (stop func()) {
	return Run(t, func(ctx context.Context) error {
		r := &event.Relay{Bus: conn, Pool: pool, Log: Log(t), Service: "test", Poll: 200 * time.Millisecond}
		return r.Run(ctx)
	})
}

// Consume runs a consumer until the test ends or stop is called.
func Consume(t testing.TB, cfg event.ConsumerConfig) (stop func()) {
	if cfg.Log == nil {
		cfg.Log = Log(t)
	}
	return Run(t, func(ctx context.Context) error { return event.Consume(ctx, cfg) })
}

// Run runs f until the test ends or stop is called, and fails the test if f does. stop waits.
func Run(t testing.TB, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("stopped with: %v", err)
			}
		case <-time.After(patience):
			t.Errorf("did not stop within %s", patience)
		}
	}
	t.Cleanup(stop)
	return stop
}

// State returns the state stream's picture of an entity, by connection and key.
func State(t testing.TB, conn *bus.Conn, entity string) map[string]event.Event {
	t.Helper()
	state := map[string]event.Event{}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	complete := false
	err := event.Subscribe(ctx, conn, event.SubscribeConfig{
		Entity:           entity,
		Handler:          func(_ context.Context, e event.Event) error { state[e.Connection+"/"+e.Key] = e; return nil },
		SnapshotComplete: func() { complete = true; cancel() },
	})
	if err != nil {
		t.Fatal(err)
	}
	if !complete {
		t.Fatalf("no complete snapshot of %s within %s", entity, patience)
	}
	return state
}

// Settle waits until the outbox of pool is empty and its consumers have digested the stream, twice in
// a row without anything happening in between.
func Settle(t testing.TB, pool *pgxpool.Pool, conn *bus.Conn) {
	t.Helper()
	last, calm := int64(-1), 0
	Eventually(t, "settled", func() bool {
		p, err := event.Progress(t.Context(), pool, conn, "", "")
		if err != nil {
			t.Logf("not settled: %v", err) // Tests also take the database or NATS away.
			return false
		}
		quiet := p.Outbox == 0 && p.Activity == last
		for _, c := range p.Consumers {
			quiet = quiet && c.Pending == 0 && c.Unacknowledged == 0
		}
		if last = p.Activity; quiet {
			calm++
		} else {
			calm = 0
		}
		return calm >= 2
	})
}

// Eventually waits until the condition holds, and fails the test with what if it does not.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; !condition(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(pause)
	}
}

// Log returns a logger that writes into the test's output.
func Log(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}
