package event_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/postgres/postgrestest"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// things is a service that keeps the things it is told of.
type things struct {
	t     testing.TB
	pool  *pgxpool.Pool
	conn  *bus.Conn
	calls atomic.Int64
	seen  atomic.Int64 // events
	// before runs ahead of every batch.
	before func(ctx context.Context, batch []event.Event) error
}

func newThings(t testing.TB, conn *bus.Conn) *things {
	t.Helper()
	pool := postgrestest.New(t, event.Schema)
	if _, err := pool.Exec(t.Context(), `create table things (key text primary key, revision bigint not null, value text not null check (value <> 'unstorable'))`); err != nil {
		t.Fatal(err)
	}
	return &things{t: t, pool: pool, conn: conn}
}

func (s *things) config() event.ConsumerConfig {
	return event.ConsumerConfig{
		Bus: s.conn, Pool: s.pool, Service: "test", Entity: "thing", Handler: s.handle, Log: eventtest.Log(s.t),
		Retry: 20 * time.Millisecond, AckWait: 2 * time.Second,
	}
}

// start consumes until the test ends or stop is called.
func (s *things) start() (stop func()) { return eventtest.Consume(s.t, s.config()) }

func (s *things) handle(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	s.calls.Add(1)
	s.seen.Add(int64(len(batch)))
	if s.before != nil {
		if err := s.before(ctx, batch); err != nil {
			return err
		}
	}
	var keys, values []string
	var revisions []int64
	for _, e := range batch {
		var v wrapperspb.StringValue
		if err := e.Unmarshal(&v); err != nil {
			return err
		}
		keys, values, revisions = append(keys, e.Key), append(values, v.Value), append(revisions, e.Revision)
	}
	_, err := tx.Exec(ctx, `insert into things (key, revision, value) select * from unnest($1::text[], $2::bigint[], $3::text[])
		on conflict (key) do update set revision = excluded.revision, value = excluded.value where excluded.revision > things.revision`,
		keys, revisions, values)
	return err
}

func (s *things) want(want map[string]string) {
	s.t.Helper()
	settled(s.t, s.pool, s.conn)
	rows, err := s.pool.Query(s.t.Context(), `select key, value from things`)
	if err != nil {
		s.t.Fatal(err)
	}
	got := map[string]string{}
	var k, v string
	if _, err := pgx.ForEachRow(rows, []any{&k, &v}, func() error { got[k] = v; return nil }); err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("things (-want +got):\n%s", diff)
	}
}

// settled waits until the service is registered and has digested everything.
func settled(t testing.TB, pool *pgxpool.Pool, conn *bus.Conn) {
	t.Helper()
	eventtest.Eventually(t, "registered", func() bool { return count(t, pool, `select count(*) from consumers`) > 0 })
	eventtest.Settle(t, pool, conn)
}

func (s *things) deadLetters() []event.DeadLetter {
	s.t.Helper()
	d, _, err := event.DeadLetters(s.t.Context(), s.pool, &opsv1.ListDeadLettersRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func TestAServiceSeesWhatWasThereBeforeItAndWhatComes(t *testing.T) {
	s := newThings(t, bustest.New(t))
	eventtest.Send(t, s.conn, thing("a", 1, "one"), thing("b", 1, "one"))
	stop := s.start()
	s.want(map[string]string{"a": "one", "b": "one"})
	eventtest.Send(t, s.conn, thing("a", 2, "two"))
	s.want(map[string]string{"a": "two", "b": "one"})
	stop()
	eventtest.Send(t, s.conn, thing("c", 1, "one"))
	seen := s.seen.Load()
	s.start()
	s.want(map[string]string{"a": "two", "b": "one", "c": "one"})
	if n := s.seen.Load() - seen; n != 1 {
		t.Errorf("%d events after the restart, want the new one only", n)
	}
}

func TestDuplicatesAndReorderingChangeNothing(t *testing.T) {
	s := newThings(t, bustest.New(t))
	s.start()
	for _, i := range []int64{1, 3, 1, 2, 3, 3, 1} {
		eventtest.Send(t, s.conn, thing("a", i, fmt.Sprint(i)))
		settled(t, s.pool, s.conn) // The stream keeps the last one only, and would hide the others.
	}
	s.want(map[string]string{"a": "3"})
	if n := s.calls.Load(); n != 7 {
		t.Errorf("%d batches, want each event delivered: 7", n)
	}
}

func TestThePoisonedEventIsFoundAndTheRestGoesThrough(t *testing.T) {
	s := newThings(t, bustest.New(t))
	want := map[string]string{}
	var events []event.Event
	for i := range 100 {
		key, v := fmt.Sprintf("k%02d", i), "fine"
		switch i {
		case 13:
			v = "unstorable" // the database refuses it
		case 77:
			v = "panic"
		default:
			want[key] = v
		}
		events = append(events, thing(key, 1, v))
	}
	broken := thing("broken", 1, "")
	broken.Data, broken.Payload = nil, []byte{0xff, 0xff}
	eventtest.Send(t, s.conn, append(events, broken)...)
	// Two messages that are no events at all.
	for _, m := range []*nats.Msg{
		{Subject: "seatline.v1.demo.thing.bare", Data: []byte("hello")},
		{Subject: "seatline.v1.demo.thing.odd", Header: nats.Header{"ce-type": {"a%00b"}, "ce-id": {"%FF"}}},
	} {
		if _, err := s.conn.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	s.before = func(_ context.Context, batch []event.Event) error {
		for _, e := range batch {
			if strings.Contains(string(e.Payload), "panic") {
				panic("I do not know what to do with this")
			}
		}
		return nil
	}
	s.start()
	s.want(want)
	reasons := map[string]string{}
	for _, d := range s.deadLetters() {
		reasons[d.Key] = d.Reason
	}
	for key, reason := range map[string]string{
		"k13": "violates check constraint", "k77": "I do not know what to do", "broken": "is not a google.protobuf.StringValue",
		"bare": "ce-specversion", "odd": "ce-specversion",
	} {
		if !strings.Contains(reasons[key], reason) {
			t.Errorf("dead letter %s says %q, want something with %q", key, reasons[key], reason)
		}
	}
	if len(reasons) != 5 {
		t.Errorf("dead letters: %v", reasons)
	}
}

func TestDeadLettersAreRedrivenAndDiscarded(t *testing.T) {
	s := newThings(t, bustest.New(t))
	eventtest.Send(t, s.conn, thing("a", 1, "unstorable"), thing("b", 1, "unstorable"))
	s.start()
	s.want(map[string]string{})
	dead := s.deadLetters()
	if len(dead) != 2 {
		t.Fatalf("%d dead letters, want 2", len(dead))
	}
	handlers := map[string]event.Handler{"thing": s.handle}
	if err := event.Redrive(t.Context(), s.pool, dead[0].ID, handlers); err == nil || !strings.Contains(err.Error(), "check constraint") {
		t.Errorf("redriven while still unstorable: %v", err)
	}
	if _, err := s.pool.Exec(t.Context(), `alter table things drop constraint things_value_check`); err != nil {
		t.Fatal(err)
	}
	if err := event.Redrive(t.Context(), s.pool, dead[0].ID, handlers); err != nil {
		t.Fatal(err)
	}
	s.want(map[string]string{dead[0].Key: "unstorable"})
	if err := event.Discard(t.Context(), s.pool, dead[1].ID); err != nil {
		t.Fatal(err)
	}
	if left := s.deadLetters(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	if err := event.Redrive(t.Context(), s.pool, dead[0].ID, handlers); !errors.Is(err, event.ErrNoDeadLetter) {
		t.Errorf("redriven twice: %v", err)
	}
	if err := event.Discard(t.Context(), s.pool, "nonsense"); !errors.Is(err, event.ErrNoDeadLetter) {
		t.Errorf("discarded nonsense: %v", err)
	}
}

// Letters that come or go between two pages neither repeat nor hide others.
func TestDeadLettersAreListedInPages(t *testing.T) {
	pool := postgrestest.New(t, event.Schema)
	_, err := pool.Exec(t.Context(), `insert into dead_letters (entity, subject, stream_seq, type, connection, key, reason, headers, payload, time)
		select 'thing', 'x', i, 'seatline.thing.changed.v1', 'demo', 'k' || i, case when i % 2 = 0 then 'even' else 'odd' end, '{}', '', '2026-01-01'::timestamptz + i / 3 * interval '1 hour'
		from generate_series(1, 25) i`)
	if err != nil {
		t.Fatal(err)
	}
	pages := func(filter string) (keys []string) {
		req := &opsv1.ListDeadLettersRequest{PageSize: 4, Filter: filter}
		for range 20 {
			page, next, err := event.DeadLetters(t.Context(), pool, req)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page {
				keys = append(keys, d.Key)
			}
			if next == "" {
				return keys
			}
			req.PageToken = next
			if _, err := pool.Exec(t.Context(), `delete from dead_letters where key = $1`, page[0].Key); err != nil {
				t.Fatal(err)
			}
		}
		t.Fatal("no end")
		return nil
	}
	odd := pages(`reason = odd AND connection = demo`)
	if len(odd) != 13 || odd[len(odd)-1] != "k1" {
		t.Errorf("odd ones: %v", odd)
	}
	left := pages("")
	if len(left) != 22 || left[len(left)-1] != "k1" && left[len(left)-1] != "k2" {
		t.Errorf("left: %v", left)
	}
	if _, _, err := event.DeadLetters(t.Context(), pool, &opsv1.ListDeadLettersRequest{Filter: `colour = red`}); err == nil || !strings.Contains(err.Error(), `no field "colour"`) {
		t.Errorf("an unknown field: %v", err)
	}
}

// What is not the event's fault never makes a dead letter, however long it lasts.
func TestErrorsThatPassAreOutlasted(t *testing.T) {
	s := newThings(t, bustest.New(t))
	var tries atomic.Int64
	s.before = func(context.Context, []event.Event) error {
		switch tries.Add(1) {
		case 1, 2:
			return event.Transient(errors.New("the settings are not known yet"))
		case 3:
			_, err := s.pool.Exec(context.Background(), `select * from not_migrated_yet`)
			return err
		}
		return nil
	}
	eventtest.Send(t, s.conn, thing("a", 1, "one"))
	s.start()
	s.want(map[string]string{"a": "one"})
	if d := s.deadLetters(); len(d) != 0 {
		t.Errorf("dead letters: %+v", d)
	}
	if tries.Load() < 4 {
		t.Errorf("%d tries: the errors did not happen", tries.Load())
	}
}

// The database ends every connection in the middle of batches.
func TestTheDatabaseGoesAwayAndComesBack(t *testing.T) {
	s := newThings(t, bustest.New(t))
	cfg := s.config()
	cfg.Batch = 20
	var kills atomic.Int64
	s.before = func(ctx context.Context, batch []event.Event) error {
		if kills.Add(1) <= 3 {
			_, err := s.pool.Exec(context.Background(), `select pg_terminate_backend(pid) from pg_stat_activity
				where application_name = current_setting('application_name') and pid <> pg_backend_pid()`)
			return err
		}
		return nil
	}
	want := map[string]string{}
	for i := range 100 {
		key := fmt.Sprintf("k%d", i)
		want[key] = "one"
		eventtest.Send(t, s.conn, thing(key, 1, "one"))
	}
	eventtest.Consume(t, cfg)
	s.want(want)
	if d := s.deadLetters(); len(d) != 0 {
		t.Errorf("dead letters: %+v", d)
	}
}

func TestReplicasShareTheWorkAndEachEventIsStoredOnce(t *testing.T) {
	s := newThings(t, bustest.New(t))
	want := map[string]string{}
	var events []event.Event
	for i := range 400 {
		key := fmt.Sprintf("k%d", i)
		want[key] = "two"
		events = append(events, thing(key, 1, "one"))
	}
	cfg := s.config()
	cfg.Batch = 20
	eventtest.Consume(t, cfg)
	third := eventtest.Consume(t, cfg)
	eventtest.Consume(t, cfg)
	eventtest.Send(t, s.conn, events...)
	third() // What it had in hand goes to the others.
	for i := range events {
		events[i] = thing(events[i].Key, 2, "two")
	}
	eventtest.Send(t, s.conn, events...)
	s.want(want)
}

// The schema was restored from a backup and has forgotten what the durable thinks is done.
func TestARestoredConsumerReadsAgain(t *testing.T) {
	for name, restore := range map[string]func(d dumped){
		// A snapshot of the disk: the same tables with older rows.
		"snapshot": func(d dumped) { d.restore() },
		// A dump that was read back: tables made anew, with the newest rows even.
		"dump": func(d dumped) {
			if _, err := d.pool.Exec(d.t.Context(), `create table again (like consumers including all); insert into again select * from consumers;
				drop table consumers; alter table again rename to consumers`); err != nil {
				d.t.Fatal(err)
			}
		},
		"registration lost": func(d dumped) {
			if _, err := d.pool.Exec(d.t.Context(), `delete from consumers`); err != nil {
				d.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newThings(t, bustest.New(t))
			eventtest.Send(t, s.conn, thing("a", 1, "one"), thing("b", 1, "one"))
			stop := s.start()
			s.want(map[string]string{"a": "one", "b": "one"})
			backup := dump(t, s.pool)
			eventtest.Send(t, s.conn, thing("a", 2, "two"))
			s.want(map[string]string{"a": "two", "b": "one"})
			stop()
			if _, err := s.pool.Exec(t.Context(), `delete from things`); err != nil {
				t.Fatal(err)
			}
			restore(backup)
			s.start()
			eventtest.Eventually(t, "everything read again", func() bool { return count(t, s.pool, `select count(*) from things`) == 2 })
			s.want(map[string]string{"a": "two", "b": "one"})
			stream, err := s.conn.JS.Stream(t.Context(), bus.StateStream)
			if err != nil {
				t.Fatal(err)
			}
			durables := 0
			for range stream.ConsumerNames(t.Context()).Name() {
				durables++
			}
			if durables != 1 {
				t.Errorf("%d durables, want the new one only", durables)
			}
		})
	}
}

// A running consumer finds out by itself that stream and durable are gone.
func TestADeletedStreamIsReadAgain(t *testing.T) {
	s := newThings(t, bustest.New(t))
	source := postgrestest.New(t, event.Schema)
	eventtest.Relay(t, source, s.conn)
	eventtest.Publish(t, source, thing("a", 1, "one"))
	s.start()
	eventtest.Settle(t, source, s.conn)
	s.want(map[string]string{"a": "one"})
	if err := s.conn.JS.DeleteStream(t.Context(), bus.StateStream); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), `delete from things`); err != nil {
		t.Fatal(err)
	}
	eventtest.Publish(t, source, thing("b", 1, "one"))
	eventtest.Eventually(t, "all read from the new stream", func() bool { return count(t, s.pool, `select count(*) from things`) == 2 })
	s.want(map[string]string{"a": "one", "b": "one"})
}

// Stopping hands the work in hand back at once instead of letting it time out.
func TestARestartDoesNotWaitForMessagesInHand(t *testing.T) {
	s := newThings(t, bustest.New(t))
	cfg := s.config()
	cfg.AckWait = time.Minute
	cfg.Batch = 10
	var blocked atomic.Bool
	blocked.Store(true)
	s.before = func(ctx context.Context, _ []event.Event) error {
		if blocked.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	want := map[string]string{}
	for i := range 50 {
		key := fmt.Sprintf("k%d", i)
		want[key] = "one"
		eventtest.Send(t, s.conn, thing(key, 1, "one"))
	}
	stop := eventtest.Consume(t, cfg)
	eventtest.Eventually(t, "in hand", func() bool { return s.calls.Load() > 0 })
	stop()
	blocked.Store(false)
	eventtest.Consume(t, cfg)
	s.want(want)
}

func TestProgressCountsWhatIsNotDigested(t *testing.T) {
	s := newThings(t, bustest.New(t))
	release := make(chan struct{})
	s.before = func(ctx context.Context, _ []event.Event) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	eventtest.Send(t, s.conn, thing("a", 1, "one"), thing("b", 1, "one"))
	s.start()
	eventtest.Eventually(t, "in hand", func() bool { return s.calls.Load() > 0 })
	progress := func() event.ConsumerProgress {
		p, err := event.Progress(t.Context(), s.pool, s.conn, "demo", "")
		if err != nil || len(p.Consumers) != 1 {
			t.Fatalf("%+v, %v", p, err)
		}
		return p.Consumers[0]
	}
	if p := progress(); p.Entity != "thing" || p.Floor != 0 || p.Pending+p.Unacknowledged != 2 {
		t.Errorf("while working: %+v", p)
	}
	close(release)
	eventtest.Eventually(t, "done", func() bool { return progress().Floor == 2 })
	// Another entity's message lies beyond; the floor passes it.
	other := thing("x", 1, "one")
	other.Entity = "other"
	eventtest.Send(t, s.conn, other)
	eventtest.Eventually(t, "past another entity's message", func() bool { return progress().Floor == 3 })
}

// An error after the handler's writes takes the writes back.
func TestTheHandlersWritesAreUndoneWithItsError(t *testing.T) {
	s := newThings(t, bustest.New(t))
	cfg := s.config()
	cfg.Handler = func(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
		if err := s.handle(ctx, tx, batch); err != nil {
			return err
		}
		for _, e := range batch {
			if e.Key == "bad" {
				return errors.New("bad one")
			}
		}
		return nil
	}
	eventtest.Send(t, s.conn, thing("a", 1, "one"), thing("bad", 1, "one"), thing("z", 1, "one"))
	eventtest.Consume(t, cfg)
	s.want(map[string]string{"a": "one", "z": "one"})
}
