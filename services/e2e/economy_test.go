package e2e

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/bus"
	"seatline.dev/services/estate"
)

// rows counts the rows of every table of every service.
func (s *story) rows() map[string]int64 {
	s.Helper()
	conn, err := pgx.Connect(s.ctx, s.w.Database)
	s.must(err)
	defer conn.Close(s.ctx)
	tables := s.tables(conn)
	counts := map[string]int64{}
	for _, table := range tables {
		var n int64
		s.must(conn.QueryRow(s.ctx, "select count(*) from "+table).Scan(&n))
		counts[table] = n
	}
	return counts
}

func (s *story) tables(conn *pgx.Conn) []string {
	s.Helper()
	rows, err := conn.Query(s.ctx, `select schemaname || '.' || tablename from pg_tables
		where schemaname in ('console', 'fetcher', 'mapper', 'licence', 'billing') order by 1`)
	s.must(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	s.must(err)
	return tables
}

// written is a fingerprint of every row of every table but those that a run must write: xmin changes
// with each write of a row.
func (s *story) written(except ...string) map[string]string {
	s.Helper()
	conn, err := pgx.Connect(s.ctx, s.w.Database)
	s.must(err)
	defer conn.Close(s.ctx)
	out := map[string]string{}
	for _, table := range s.tables(conn) {
		var print string
		s.must(conn.QueryRow(s.ctx, "select coalesce(md5(string_agg(xmin::text || ctid::text, ',' order by ctid)), '') from "+table).Scan(&print))
		out[table] = print
	}
	for _, table := range except {
		delete(out, table)
	}
	return out
}

func (s *story) lastSequence() uint64 {
	s.Helper()
	stream, err := s.w.Bus.JS.Stream(s.ctx, bus.StateStream)
	s.must(err)
	return stream.CachedInfo().State.LastSeq
}

func TestAnUnchangedPollCostsNothing(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: estate.Generate(estate.Config{Seed: 4, Customers: 60, Subscriptions: 400, Now: time.Now()}), rules: keepAndAdd})
	s.poll(true)
	s.right("after the first import")
	s.poll(true) // what the first left to be confirmed

	requests, sequence, rows := s.w.Halo.Requests(), s.lastSequence(), s.rows()
	// The run itself is written, and its events on the log stream go through the outbox.
	allowed := []string{"fetcher.runs", "fetcher.outbox", "fetcher.history", "fetcher.run_marks", "fetcher.consumers", "fetcher.schedules", "fetcher.staging", "fetcher.staged"}
	written := s.written(allowed...)
	run := s.poll(true)
	if run.GetSubscriptions().GetChanged()+run.GetSubscriptions().GetNew() != 0 {
		t.Fatalf("the estate changed: %v", run.GetSubscriptions())
	}
	if diff := cmp.Diff(requests, s.w.Halo.Requests()); diff != "" {
		t.Errorf("an unchanged poll asked Halo:\n%s", diff)
	}
	if now := s.lastSequence(); now != sequence {
		t.Errorf("an unchanged poll published %d events on the state stream", now-sequence)
	}
	after := s.rows()
	for _, table := range []string{"fetcher.runs"} {
		if after[table] != rows[table]+1 {
			t.Errorf("%s has %d rows more, want 1", table, after[table]-rows[table])
		}
		delete(after, table)
		delete(rows, table)
	}
	if diff := cmp.Diff(rows, after); diff != "" {
		t.Errorf("an unchanged poll left rows behind:\n%s", diff)
	}
	if diff := cmp.Diff(written, s.written(allowed...)); diff != "" {
		t.Errorf("an unchanged poll wrote rows:\n%s", diff)
	}
}

// posts counts the writes among requests, and all of them.
func spent(before, after map[string]int) (posts, all int) {
	for route, n := range after {
		n -= before[route]
		all += n
		if len(route) > 5 && route[:5] == "POST " && route != "POST /auth/token" {
			posts += n
		}
	}
	return posts, all
}

func TestManyChangesTakeFewRequests(t *testing.T) {
	t.Parallel()
	t.Run("1,000 changed counts on linked lines, at most 30 requests", func(t *testing.T) {
		t.Parallel()
		data := estate.Plain(estate.Config{Seed: 2, Customers: 150, Subscriptions: 1000, Now: time.Now()}, estate.LinkedLines)
		s := tell(t, plot{estate: data, rules: keepAndAdd})
		s.poll(true)
		s.right("after the first import")
		for _, sub := range data.Giacom.Subscriptions {
			s.must(s.w.Giacom.SetSeats(sub.ID, sub.Quantity.Decimal.IntPart()+1))
		}
		before := maps.Clone(s.w.Halo.Requests())
		s.poll(true)
		s.right("after every count changed")
		_, all := spent(before, s.w.Halo.Requests())
		t.Logf("1,000 changed counts took %d requests", all)
		if all > 30 {
			t.Errorf("%d requests, want at most 30", all)
		}

		// A cost change on one linked line of each of 150 invoices.
		seen := map[string]bool{}
		for _, sub := range data.Giacom.Subscriptions {
			if !seen[sub.MexID] {
				seen[sub.MexID] = true
				s.must(s.w.Giacom.SetPrice(sub.ID, sub.Price.Decimal.Add(sub.Price.Decimal)))
			}
		}
		before = maps.Clone(s.w.Halo.Requests())
		s.poll(true)
		s.right("after 150 costs changed")
		_, all = spent(before, s.w.Halo.Requests())
		t.Logf("150 changed costs in 150 invoices took %d requests", all)
		if all > 460 {
			t.Errorf("%d requests, want at most 460", all)
		}
	})
	for name, c := range map[string]struct {
		licences int
		change   func(*plot)
	}{
		"with everything that probing may find": {10_000, func(*plot) {}},
		// What 1,000 take tells what 10,000 would: a request for each, and one for each hundred.
		"when lists of licences lack snowid": {1_000, func(p *plot) { p.world.Halo.NoListMarks = true }},
		"when pages are capped at 100":       {1_000, func(p *plot) { p.world.Halo.MaxPageSize = 100 }},
	} {
		t.Run(fmt.Sprint(c.licences, " new licences ", name), func(t *testing.T) {
			t.Parallel()
			p := plot{estate: estate.Plain(estate.Config{Seed: 2, Customers: c.licences / 20, Subscriptions: c.licences, Now: time.Now()}, estate.NoLines)}
			c.change(&p)
			s := tell(t, p)
			before := maps.Clone(s.w.Halo.Requests())
			s.poll(true)
			posts, all := spent(before, s.w.Halo.Requests())
			t.Logf("%d new licences took %d requests, %d of them writes: %v", c.licences, all, posts, s.w.Halo.Requests())
			if n := len(s.w.Halo.State().Licences); n != c.licences {
				t.Fatalf("Halo has %d licences, want %d", n, c.licences)
			}
			if name == "with everything that probing may find" && all > 275 { // 260 of the licence service; the rest read customers and invoices
				t.Error("too many requests")
			}
		})
	}
}
