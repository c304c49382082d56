package event_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres/postgrestest"
)

// Of each key the last revision from before the time stays: what was true then can still be said, and a stream that is
// made anew gets everything.
func TestHistoryIsPrunedButForWhatWasTrue(t *testing.T) {
	pool := postgrestest.New(t, event.Schema)
	day := func(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }
	for _, r := range []struct {
		key      string
		revision int64
		at       int
	}{{"moved", 1, 0}, {"moved", 2, 1}, {"moved", 3, 50}, {"still", 1, 0}, {"often", 1, 0}, {"often", 2, 1}, {"often", 3, 2}, {"new", 1, 60}, {"new", 2, 61}} {
		_, err := pool.Exec(t.Context(), `insert into history (entity, connection, key, revision, id, type, source, time, payload, recorded_at)
			values ('licence', 'acme', $1, $2, '', '', '', $3, '', $3)`, r.key, r.revision, day(r.at))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []int{2, 1, 0} { // in batches
		if n, err := event.PruneHistory(t.Context(), pool, day(40), 2); err != nil || n != want {
			t.Fatalf("pruned %d, want %d (%v)", n, want, err)
		}
	}
	rows, err := pool.Query(t.Context(), `select key, revision from history order by key, revision`)
	if err != nil {
		t.Fatal(err)
	}
	left, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (s string, err error) {
		var key string
		var revision int64
		err = r.Scan(&key, &revision)
		return fmt.Sprint(key, " ", revision), err
	})
	if got := strings.Join(left, ", "); err != nil || got != "moved 2, moved 3, new 1, new 2, often 3, still 1" {
		t.Errorf("left: %s (%v)", got, err)
	}
}

func TestMarksOfOldRunsArePruned(t *testing.T) {
	pool := postgrestest.New(t, event.Schema)
	now := time.Now()
	if _, err := pool.Exec(t.Context(), `insert into run_marks (connection, run, last_seq, time) values ('acme', 'old', 1, $1), ('acme', 'new', 2, $2)`, now.AddDate(0, 0, -31), now); err != nil {
		t.Fatal(err)
	}
	if n, err := event.PruneRunMarks(t.Context(), pool, now.AddDate(0, 0, -30), 10); err != nil || n != 1 {
		t.Errorf("pruned %d (%v)", n, err)
	}
	var left string
	if err := pool.QueryRow(t.Context(), `select string_agg(run, ' ') from run_marks`).Scan(&left); err != nil || left != "new" {
		t.Errorf("left: %s (%v)", left, err)
	}
}
