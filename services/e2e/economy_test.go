package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/bus"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

func (s *story) tables(conn *pgx.Conn) []string {
	s.Helper()
	rows, err := conn.Query(s.ctx, `select schemaname || '.' || tablename from pg_tables
		where schemaname in ('console', 'fetcher', 'mapper', 'licence', 'billing') order by 1`)
	s.must(err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	s.must(err)
	return tables
}

// noteWrites has the database note every row that is written from now on, in whichever table of whichever service, even
// one that is gone again at once. The function that it returns tells how many there were, by table and what was done.
func (s *story) noteWrites() (noted func() map[string]int) {
	s.Helper()
	do := func(what func(*pgx.Conn) error) {
		s.Helper()
		conn, err := pgx.Connect(s.ctx, s.w.Database)
		s.must(err)
		defer conn.Close(s.ctx)
		s.must(what(conn))
	}
	do(func(conn *pgx.Conn) error {
		sql := `create schema watch; create table watch.writes (what text);
			create function watch.note() returns trigger language plpgsql as $$ begin
				insert into watch.writes values (tg_table_schema || '.' || tg_table_name || ' ' || lower(tg_op)); return null;
			end $$;`
		for _, table := range s.tables(conn) {
			sql += "create trigger watch after insert or update or delete on " + table + " for each row execute function watch.note();"
		}
		_, err := conn.Exec(s.ctx, sql)
		return err
	})
	return func() map[string]int {
		s.Helper()
		noted := map[string]int{}
		do(func(conn *pgx.Conn) error {
			rows, err := conn.Query(s.ctx, "select what, count(*) from watch.writes group by what")
			if err != nil {
				return err
			}
			var what string
			var n int
			_, err = pgx.ForEachRow(rows, []any{&what, &n}, func() error { noted[what] = n; return nil })
			return err
		})
		return noted
	}
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

	requests, sequence := s.w.Halo.Requests(), s.lastSequence()
	noted := s.noteWrites()
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
	// Only the run itself is written, and that it began and ended: its two events of the log stream pass through the outbox.
	want := map[string]int{"fetcher.runs insert": 1, "fetcher.outbox insert": 2, "fetcher.outbox delete": 2}
	got := noted()
	if n := got["fetcher.runs update"]; n > 5 {
		t.Errorf("the run was written %d times", n)
	}
	delete(got, "fetcher.runs update")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("an unchanged poll wrote other rows (-want +got):\n%s", diff)
	}
}

// posts counts the writes between two counts of requests.
func posts(before, after map[string]int) (n int) {
	for route, now := range after {
		if strings.HasPrefix(route, "POST /") && route != "POST /auth/token" {
			n += now - before[route]
		}
	}
	return n
}

// What Halo must be asked for three jobs, where it has everything that probing may find and where it lacks a part of it.
func TestManyChangesTakeFewRequests(t *testing.T) {
	t.Parallel()
	w := begin(t, plot{}).w
	// How much there is to do, and the most that new licences may take the licence service, changed counts and changed costs all
	// services together, and the first reading of the invoices billing. Where something lacks, less is done: each of what lacks costs by the piece.
	type job struct{ new, licences, changed, counts, invoices, costs, reading int }
	jobs := map[string]job{
		"":                           {10_000, 260, 1_000, 30, 150, 460, 10},
		"marks in lists of licences": {200, 220, 200, 10, 30, 96, 10}, // each licence that was created is read once
		"pages of more than 100":     {200, 15, 200, 10, 30, 96, 10},
		"whole invoices in lists":    {200, 13, 200, 10, 30, 96, 40}, // each invoice is read once
	}
	for _, lack := range slices.Backward(world.Lacks()) { // the most licences last, so that they are in nobody's way
		do, known := jobs[lack.What]
		if !known {
			t.Fatalf("nobody says what may be spent without %s", lack.What)
		}
		name := "with everything"
		if lack.What != "" {
			name = "without " + lack.What
		}
		t.Run(name, func(t *testing.T) {
			s := &story{T: t, ctx: t.Context(), w: w}
			spent, err := s.w.NewLicences(s.ctx, lack, do.new)
			s.must(err)
			s.atMost(fmt.Sprint(do.new, " new licences, by the licence service"), spent.By(ctl.Licence), do.licences, spent)
			linked, err := s.w.LinkedChanges(s.ctx, lack, do.changed, do.invoices)
			s.must(err)
			s.atMost(fmt.Sprint("the first reading of ", do.invoices, " invoices, by billing"), linked.First.By(ctl.Billing), do.reading, linked.First)
			s.atMost(fmt.Sprint(do.changed, " changed seat counts on linked lines"), linked.Counts.All(), do.counts, linked.Counts)
			s.atMost(fmt.Sprint(do.invoices, " changed costs in as many invoices"), linked.Costs.All(), do.costs, linked.Costs)
		})
	}
}

func (s *story) atMost(what string, n, most int, spent world.Spent) {
	s.Helper()
	s.Logf("%s: %d requests; %v", what, n, spent)
	if n > most {
		s.Errorf("%s took %d requests, want at most %d", what, n, most)
	}
}
