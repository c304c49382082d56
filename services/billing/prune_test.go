package billing

import (
	"testing"
	"time"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/reconcile"
)

func TestOldReportsOfMigrationsArePrunedButForTheLast(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, event.Schema, reconcile.Schema(), connections.Schema(), postgres.Embedded(Service, files))
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, r := range []struct {
		who, connection string
		days            int
	}{
		{"gone 1", "acme", 500}, {"gone 2", "acme", 450}, {"of late", "acme", 399}, {"gone 3", "other", 700}, {"the last", "other", 600},
	} {
		if _, err := pool.Exec(t.Context(), `insert into inty_reports (connection, time, who, body) values ($1, $2, $3, '')`, r.connection, now.AddDate(0, 0, -r.days), r.who); err != nil {
			t.Fatal(err)
		}
	}
	s := &service{pool: pool}
	for _, want := range []int{2, 1, 0} {
		if n, err := s.pruneReports(t.Context(), now.AddDate(0, 0, -400), 2); err != nil || n != want {
			t.Fatalf("pruned %d, want %d (%v)", n, want, err)
		}
	}
	var left string
	if err := pool.QueryRow(t.Context(), `select string_agg(who, ', ' order by time) from inty_reports`).Scan(&left); err != nil || left != "the last, of late" {
		t.Errorf("left: %s (%v)", left, err)
	}
}
