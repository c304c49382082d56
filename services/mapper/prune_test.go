package mapper

import (
	"testing"
	"time"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/reconcile"
)

func TestOldImportsArePrunedButForTheLast(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, event.Schema, reconcile.Schema(), connections.Schema(), schema())
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, i := range []struct {
		id, connection string
		days           int
		running        bool
	}{
		{"gone 1", "acme", 500, false}, {"gone 2", "acme", 450, false}, {"of late", "acme", 399, false},
		{"gone 3", "other", 700, false}, {"the last", "other", 600, false}, {"not ended", "third", 500, true}, {"since", "third", 1, false},
	} {
		started, ended := now.AddDate(0, 0, -i.days), new(time.Time)
		if *ended = started.Add(time.Minute); i.running {
			ended = nil
		}
		_, err := pool.Exec(t.Context(), `insert into imports (id, connection, who, started, ended, unchanged, top_level) values ($1, $2, 'olga', $3, $4, 0, 0)`, i.id, i.connection, started, ended)
		if err == nil {
			_, err = pool.Exec(t.Context(), `insert into import_rows (import, mex_id, name, action, outcome) values ($1, 'MEX1', 'Acme', 1, 2)`, i.id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s := &service{Config: Config{Env: chassis.Env{Pool: pool}}}
	for _, want := range []int{2, 1, 0} {
		if n, err := s.pruneImports(t.Context(), now.AddDate(0, 0, -400), 2); err != nil || n != want {
			t.Fatalf("pruned %d, want %d (%v)", n, want, err)
		}
	}
	var left string
	if err := pool.QueryRow(t.Context(), `select string_agg(id, ', ' order by started, id) from imports`).Scan(&left); err != nil || left != "the last, not ended, of late, since" {
		t.Errorf("left: %s (%v)", left, err)
	}
	var rows int
	if err := pool.QueryRow(t.Context(), `select count(*) from import_rows`).Scan(&rows); err != nil || rows != 4 {
		t.Errorf("%d rows of 4 imports are left (%v)", rows, err)
	}
}
