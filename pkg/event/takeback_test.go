package event_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/postgres/postgrestest"
)

// What a schema published after its dump is given back to it, in batches, once, and nothing else.
func TestTakeBack(t *testing.T) {
	conn, pool := bustest.New(t), postgrestest.New(t, event.Schema)
	publish := func(revision int64, keys ...int) {
		t.Helper()
		var events []event.Event
		for _, k := range keys {
			events = append(events, event.Event{Type: "seatline.thing.changed.v1", Entity: "thing", Connection: "demo", Key: fmt.Sprint(k), Revision: revision,
				Source: "seatline/test", Run: "r", Cause: "c", Data: wrapperspb.String(fmt.Sprint(k, " at ", revision))})
		}
		eventtest.Publish(t, pool, events...)
		stop := eventtest.Relay(t, pool, conn)
		eventtest.Settle(t, pool, conn)
		stop()
	}
	sql := func(query string) {
		t.Helper()
		if _, err := pool.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	var batches []int
	takeBack := func() (keys []string) {
		t.Helper()
		batches = nil
		err := event.TakeBack(t.Context(), event.TakeBackConfig{
			Bus: conn, Pool: pool, Entity: "thing", Batch: 3,
			Lock: func(ctx context.Context, tx pgx.Tx) error { return nil },
			Handler: func(_ context.Context, _ pgx.Tx, lost []event.Event) error {
				batches = append(batches, len(lost))
				for _, e := range lost {
					var v wrapperspb.StringValue
					if err := e.Unmarshal(&v); err != nil {
						return err
					}
					keys = append(keys, v.Value)
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(keys)
		return keys
	}
	none := func(when string) {
		t.Helper()
		if got := takeBack(); len(got) != 0 {
			t.Errorf("%s: took back %q", when, got)
		}
	}
	none("nothing was ever published")
	publish(1, 0, 1, 2, 3, 4, 5, 6, 7)
	none("all is known")
	sql(`create table dump_history as table history; create table dump_streams as table streams`)
	publish(2, 1, 3, 4, 8, 9)
	all := func() (rows []string) {
		t.Helper()
		found, err := pool.Query(t.Context(), `select concat_ws(' ', entity, connection, key, revision, id, type, run, cause, source, time, traceparent, payload) from history order by key, revision`)
		if err != nil {
			t.Fatal(err)
		}
		if rows, err = pgx.CollectRows(found, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
		return rows
	}
	before := all()
	sql(`truncate history, streams; insert into history table dump_history; insert into streams table dump_streams`)
	if diff := cmp.Diff([]string{"1 at 2", "3 at 2", "4 at 2", "8 at 2", "9 at 2"}, takeBack()); diff != "" {
		t.Errorf("taken back (-want +got):\n%s", diff)
	}
	if len(batches) < 2 || slices.Max(batches) > 3 {
		t.Errorf("batches of %v, want at most 3 each", batches)
	}
	if diff := cmp.Diff(before, all()); diff != "" {
		t.Errorf("history (-before the restore, +taken back):\n%s", diff)
	}
	none("it was taken back already")
	// A dump from before the stream was made anew, or of another stream, says nothing about its sequences.
	sql(`delete from history where key = '5'; update streams set created = 'another', last_seq = 1000000`)
	if diff := cmp.Diff([]string{"5 at 1"}, takeBack()); diff != "" {
		t.Errorf("taken back from another stream (-want +got):\n%s", diff)
	}
}
