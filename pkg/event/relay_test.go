package event_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/postgres/postgrestest"
)

// thing is the state event of a made-up entity.
func thing(key string, revision int64, value string) event.Event {
	return event.Event{
		Type: "seatline.thing.changed.v1", Entity: "thing", Connection: "demo", Key: key, Revision: revision,
		Run: "r1", Source: "seatline/test", Data: wrapperspb.String(value),
	}
}

func value(t testing.TB, e event.Event) string {
	t.Helper()
	var s wrapperspb.StringValue
	if err := e.Unmarshal(&s); err != nil {
		t.Fatal(err)
	}
	return s.Value
}

// values is the stream's picture of the things: key to value.
func values(t testing.TB, conn *bus.Conn) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, e := range eventtest.State(t, conn, "thing") {
		if e.Connection == "demo" {
			got[e.Key] = value(t, e)
		}
	}
	return got
}

func outboxRows(t testing.TB, pool *pgxpool.Pool) int {
	return count(t, pool, `select count(*) from outbox`)
}

func count(t testing.TB, pool *pgxpool.Pool, query string, args ...any) (n int) {
	t.Helper()
	if err := pool.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatIsCommittedReachesTheStreamAndNothingElse(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	eventtest.Relay(t, pool, conn)

	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := event.Publish(t.Context(), tx, thing("rolled back", 1, "no")); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventtest.Publish(t, pool, thing("a", 1, "one"), thing("b", 1, "one"))
	eventtest.Publish(t, pool, thing("a", 2, "two"))
	eventtest.Settle(t, pool, conn)

	if diff := cmp.Diff(map[string]string{"a": "two", "b": "one"}, values(t, conn)); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
	if n := count(t, pool, `select count(*) from history`); n != 3 {
		t.Errorf("%d rows of history, want every revision: 3", n)
	}
	p, err := event.Progress(t.Context(), pool, conn, "demo", "r1")
	if err != nil {
		t.Fatal(err)
	}
	stream, err := conn.JS.Stream(t.Context(), bus.StateStream)
	if err != nil {
		t.Fatal(err)
	}
	if last := stream.CachedInfo().State.LastSeq; p.Published != last {
		t.Errorf("run r1 is published up to %d, the stream's last is %d", p.Published, last)
	}
}

// A relay that is woken does not wait for its next look.
func TestTheRelayIsWoken(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	eventtest.Run(t, func(ctx context.Context) error {
		return (&event.Relay{Bus: conn, Pool: pool, Log: eventtest.Log(t), Poll: time.Hour}).Run(ctx)
	})
	eventtest.Publish(t, pool, thing("a", 1, "one")) // May find the relay before its first look.
	eventtest.Settle(t, pool, conn)
	time.Sleep(50 * time.Millisecond)
	began := time.Now()
	eventtest.Publish(t, pool, thing("a", 2, "two"))
	eventtest.Eventually(t, "published", func() bool { return outboxRows(t, pool) == 0 })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestLogEventsAreAllKept(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	eventtest.Relay(t, pool, conn)
	for i := range 3 {
		e := thing("run", 0, fmt.Sprint(i))
		e.Log = true
		eventtest.Publish(t, pool, e)
	}
	eventtest.Settle(t, pool, conn)
	log, err := conn.JS.Stream(t.Context(), bus.LogStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := log.CachedInfo().State.Msgs; n != 3 {
		t.Errorf("%d messages in the log, want 3", n)
	}
	if got := values(t, conn); len(got) != 0 {
		t.Errorf("state stream holds %v", got)
	}
	if n := count(t, pool, `select count(*) from history`); n != 0 {
		t.Errorf("%d rows of history", n)
	}
}

func TestAtScaleASetBasedPublisherNeedsNoRowsInMemory(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	eventtest.Relay(t, pool, conn)
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `create table staging (key text, payload bytea)`); err != nil {
			return err
		}
		n, err := event.PublishSelect(t.Context(), tx, `
			insert into staging select 'k' || i, '\x0a0178'::bytea from generate_series(1, $1) i
			returning payload, key, 'seatline.thing.changed.v1' as type, 'thing' as entity, 'demo' as connection, 7::bigint as revision,
				$2 as run, null::text as cause, 'seatline/test' as source`, 2500, "r9")
		if n != 2500 {
			t.Errorf("published %d, want 2500", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	eventtest.Settle(t, pool, conn)
	state := eventtest.State(t, conn, "thing")
	if len(state) != 2500 {
		t.Fatalf("%d entities in the stream, want 2500", len(state))
	}
	e := state["demo/k2500"]
	if e.Run != "r9" || e.Revision != 7 || value(t, e) != "x" || e.ID == "" || e.Time.IsZero() {
		t.Errorf("k2500 is %+v", e)
	}
}

// An older state is never put over a newer one, even when its row comes to light later.
func TestAnOldRevisionIsNotSentAfterANewerOne(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	eventtest.Relay(t, pool, conn)
	eventtest.Publish(t, pool, thing("a", 5, "new"))
	eventtest.Settle(t, pool, conn)
	eventtest.Publish(t, pool, thing("a", 4, "old"))
	eventtest.Settle(t, pool, conn)
	if diff := cmp.Diff(map[string]string{"a": "new"}, values(t, conn)); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
}

func TestOneRelayPerSchemaAndAnotherTakesOver(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	first := eventtest.Relay(t, pool, conn)
	eventtest.Publish(t, pool, thing("a", 1, "one"))
	eventtest.Settle(t, pool, conn)
	eventtest.Relay(t, pool, conn)
	// The database ends the first one's connection; the lock goes with it.
	ended := count(t, pool, `select count(pg_terminate_backend(pid)) from pg_locks where locktype = 'advisory' and granted
		and database = (select oid from pg_database where datname = current_database())
		and classid = (hashtext('seatline outbox')::bigint & 4294967295)::oid
		and objid = (hashtext(current_schema())::bigint & 4294967295)::oid`)
	if ended != 1 {
		t.Fatalf("%d connections held the lock, want 1", ended)
	}
	eventtest.Publish(t, pool, thing("a", 2, "two"))
	eventtest.Settle(t, pool, conn)
	first()
	eventtest.Publish(t, pool, thing("a", 3, "three"))
	eventtest.Settle(t, pool, conn)
	if diff := cmp.Diff(map[string]string{"a": "three"}, values(t, conn)); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
}

// As long as another process holds the schema's lock, a relay leaves the outbox alone.
func TestARelayWithoutTheLockSendsNothing(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	other, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	lock := func(what string) {
		if _, err := other.Exec(t.Context(), `select `+what+`(hashtext('seatline outbox'), hashtext(current_schema()))`); err != nil {
			t.Fatal(err)
		}
	}
	lock("pg_advisory_lock")
	eventtest.Publish(t, pool, thing("a", 1, "one"))
	eventtest.Relay(t, pool, conn)
	time.Sleep(700 * time.Millisecond) // Longer than it waits between two tries.
	if n := outboxRows(t, pool); n != 1 {
		t.Errorf("%d rows in the outbox, want 1", n)
	}
	lock("pg_advisory_unlock")
	eventtest.Eventually(t, "sent after the other let go", func() bool { return outboxRows(t, pool) == 0 })
}

func TestADeletedStreamIsFilledAgain(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	eventtest.Relay(t, pool, conn)
	eventtest.Publish(t, pool, thing("a", 1, "one"), thing("b", 1, "one"))
	eventtest.Publish(t, pool, thing("a", 2, "two"))
	eventtest.Settle(t, pool, conn)
	for _, s := range []string{bus.StateStream, bus.LogStream} {
		if err := conn.JS.DeleteStream(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{"a": "two", "b": "one"}
	eventtest.Eventually(t, "stream made anew and filled", func() bool {
		s, err := conn.JS.Stream(t.Context(), bus.StateStream)
		return err == nil && s.CachedInfo().State.Msgs == 2
	})
	if diff := cmp.Diff(want, values(t, conn)); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
	eventtest.Settle(t, pool, conn)
	p, err := event.Progress(t.Context(), pool, conn, "demo", "r1")
	if err != nil {
		t.Fatal(err)
	}
	if p.Published != 2 {
		t.Errorf("run r1 is published up to %d of the new stream, want 2", p.Published)
	}
}

func TestRepublishSendsTheLatestStateOfOneConnection(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	other := thing("a", 1, "other's")
	other.Connection = "other"
	eventtest.Publish(t, pool, thing("a", 1, "one"), thing("a", 2, "two"), thing("b", 1, "one"), other)
	if _, err := pool.Exec(t.Context(), `delete from outbox`); err != nil {
		t.Fatal(err)
	}
	n, err := event.Republish(t.Context(), pool, "demo")
	if err != nil || n != 2 {
		t.Fatalf("republished %d, %v; want 2", n, err)
	}
	eventtest.Relay(t, pool, conn)
	eventtest.Settle(t, pool, conn)
	if diff := cmp.Diff(map[string]string{"a": "two", "b": "one"}, values(t, conn)); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}
	if n := len(eventtest.State(t, conn, "thing")); n != 2 {
		t.Errorf("%d entities in the stream, want those of demo only: 2", n)
	}
}

// The schema was restored from a backup: it has lost what it published since, and the stream has not.
func TestARestoredPublisherMakesItsStateWinAgain(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	stop := eventtest.Relay(t, pool, conn)
	eventtest.Publish(t, pool, thing("kept", 1, "kept"), thing("changed", 1, "before"))
	eventtest.Settle(t, pool, conn)
	backup := dump(t, pool)
	eventtest.Publish(t, pool, thing("changed", 1000, "after"), thing("made since", 1000, "x"))
	eventtest.Settle(t, pool, conn)
	stop()
	backup.restore()

	eventtest.Relay(t, pool, conn)
	eventtest.Eventually(t, "the old state is back in the stream", func() bool { return values(t, conn)["changed"] == "before" })
	eventtest.Settle(t, pool, conn)
	state := eventtest.State(t, conn, "thing")
	if r := state["demo/changed"].Revision; r <= 1000 {
		t.Errorf("revision %d would be ignored by whoever has seen 1000", r)
	}
	if r := state["demo/kept"].Revision; r != 1 {
		t.Errorf("what did not differ was sent again as revision %d", r)
	}
}

// The server lost messages that it had acknowledged.
func TestTheComparisonSendsWhatIsMissing(t *testing.T) {
	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	eventtest.Run(t, func(ctx context.Context) error {
		return (&event.Relay{Bus: conn, Pool: pool, Log: eventtest.Log(t), Poll: time.Hour, CheckEvery: 100 * time.Millisecond}).Run(ctx)
	})
	eventtest.Publish(t, pool, thing("a", 1, "one"), thing("b", 1, "one"))
	eventtest.Settle(t, pool, conn)
	stream, err := conn.JS.Stream(t.Context(), bus.StateStream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	eventtest.Eventually(t, "both are there again", func() bool { return len(values(t, conn)) == 2 })
}

// dumped is a copy of a schema's tables.
type dumped struct {
	t      testing.TB
	pool   *pgxpool.Pool
	tables []string
}

func dump(t testing.TB, pool *pgxpool.Pool) dumped {
	t.Helper()
	d := dumped{t: t, pool: pool, tables: []string{"outbox", "history", "streams", "run_marks", "consumers", "dead_letters"}}
	for _, table := range d.tables {
		if _, err := pool.Exec(t.Context(), fmt.Sprintf(`create table dump_%s as table %[1]s`, table)); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// restore brings the rows back; the tables stay the same ones, as with a snapshot of the disk.
func (d dumped) restore() {
	d.t.Helper()
	for _, table := range d.tables {
		if _, err := d.pool.Exec(d.t.Context(), fmt.Sprintf(`truncate %s; insert into %[1]s overriding system value select * from dump_%[1]s`, table)); err != nil {
			d.t.Fatal(err)
		}
	}
}
