package fetcher

import (
	"testing"
	"time"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/postgres/postgrestest"
)

func TestOldRunsArePrunedButForWhatTheNextRestsOn(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, event.Schema, connections.Schema(), postgres.Embedded(Service, migrations))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, r := range []struct {
		id, connection      string
		days, outcome       int
		scheduled, complete bool
	}{
		{"gone 1", "acme", 500, 2, true, true}, {"gone 2", "acme", 499, 3, false, false}, {"held", "acme", 498, 4, true, true},
		{"the last that was whole", "acme", 450, 2, true, true}, {"gone 3", "acme", 449, 3, false, false}, {"failed of late", "acme", 10, 3, true, false},
		{"the only one", "other", 600, 2, true, true},
	} {
		_, err := pool.Exec(t.Context(), `insert into runs (id, connection, trigger, outcome, start_time, scheduled, confirmations, removal_interval, subscriptions_complete, source, body)
			values ($1, $2, 1, $3, $4, $5, 2, '1h', $6, 'x', '')`, r.id, r.connection, r.outcome, now.AddDate(0, 0, -r.days), r.scheduled, r.complete)
		if err != nil {
			t.Fatal(err)
		}
	}
	f := &fetcher{Config: Config{Env: chassis.Env{Pool: pool}}}
	for _, want := range []int{2, 1, 0} {
		if n, err := f.pruneRuns(t.Context(), now.AddDate(0, 0, -400), 2); err != nil || n != want {
			t.Fatalf("pruned %d, want %d (%v)", n, want, err)
		}
	}
	var left string
	if err := pool.QueryRow(t.Context(), `select string_agg(id, ', ' order by start_time) from runs`).Scan(&left); err != nil || left != "the only one, held, the last that was whole, failed of late" {
		t.Errorf("left: %s (%v)", left, err)
	}
}
