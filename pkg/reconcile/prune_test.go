package reconcile_test

import (
	"testing"
	"time"

	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/reconcile"
)

func TestOldChangesArePrunedTheOldestFirst(t *testing.T) {
	pool := postgrestest.New(t, reconcile.Schema())
	now := time.Now()
	if _, err := pool.Exec(t.Context(), `insert into changes (connection, key, outcome, action, time)
		select 'acme', n::text, 'applied', 'update', $1::timestamptz + n * interval '1 day' from generate_series(1, 10) n`, now); err != nil {
		t.Fatal(err)
	}
	e := reconcile.New(reconcile.Config[struct{}]{Pool: pool, Kind: "licence"})
	for _, want := range []int{3, 1, 0} {
		if n, err := e.Prune(t.Context(), now.AddDate(0, 0, 5), 3); err != nil || n != want {
			t.Fatalf("pruned %d, want %d (%v)", n, want, err)
		}
	}
	var left string
	if err := pool.QueryRow(t.Context(), `select string_agg(key, ' ' order by id) from changes`).Scan(&left); err != nil || left != "5 6 7 8 9 10" {
		t.Errorf("left: %s (%v)", left, err)
	}
}
