package fetcher_test

import (
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/giacom"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// BenchmarkUnchangedPoll polls an account of 100,000 subscriptions in which nothing changed. The simulator and PostgreSQL
// share the machine with the fetcher.
func BenchmarkUnchangedPoll(b *testing.B) {
	const customers, each = 1000, 100
	w := newWorld(b).configure(nil).estate(customers, each)
	w.succeeded(w.poll())
	w.drained()
	for b.Loop() {
		if run := w.succeeded(w.poll()); run.Subscriptions.Unchanged != customers*each {
			b.Fatalf("run: %v", run)
		}
	}
	b.ReportMetric(float64(b.N*customers*each)/b.Elapsed().Seconds(), "rows/s")
}

// An unchanged poll is measured against decoding and COPYing the same rows, in turns, the best of each. On a machine with
// nothing else to do it takes up to twice as long; on one with ten times more to do than it can, up to four times, since a
// poll goes back and forth more often.
func TestAtScaleAnUnchangedPollStaysNearItsFloor(t *testing.T) {
	w := newWorld(t).configure(nil).estate(500, 20)
	w.succeeded(w.poll())
	w.drained()
	poll, floor := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range 5 {
		poll = min(poll, taken(func() { w.succeeded(w.poll()) }))
		floor = min(floor, taken(w.decodeAndCopy))
	}
	t.Logf("10,000 rows: poll %s, floor %s", poll, floor)
	if poll > 6*floor {
		t.Errorf("an unchanged poll took %s, decoding and COPYing its rows %s", poll, floor)
	}
}

func taken(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

func (w *world) decodeAndCopy() {
	w.t.Helper()
	ctx := w.t.Context()
	client, err := giacom.New(giacom.Config{BaseURL: w.url + "/Billing/v1", Key: "sim-key", Method: giacom.MethodReport})
	w.must(err)
	tx, err := w.pool.Begin(ctx)
	w.must(err)
	defer tx.Rollback(ctx) //nolint:errcheck // nothing is to be kept
	_, err = tx.Exec(ctx, `create temporary table floor (key text, mex_id text, name text, quantity text, price text, start timestamptz)`)
	w.must(err)
	rows, pulled := make(chan []any, 1000), make(chan error, 1)
	go func() {
		defer close(rows)
		_, err := client.Import(ctx, giacom.Want{Customers: true, Subscriptions: true}, giacom.Sink{
			Customer: func(c giacom.Customer) error {
				rows <- []any{c.MexID, c.MexID, c.Name, "", "", c.Created}
				return nil
			},
			Subscription: func(s giacom.Subscription) error {
				rows <- []any{s.Key(), s.MexID, s.Name, s.Quantity.Decimal.String(), s.Price.Decimal.String(), s.Start}
				return nil
			},
		})
		pulled <- err
	}()
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"floor"}, []string{"key", "mex_id", "name", "quantity", "price", "start"},
		pgx.CopyFromFunc(func() ([]any, error) { return <-rows, nil }))
	w.must(err)
	w.must(<-pulled)
}

// The account is polled with pages of one size, so that the simulator, which shares the heap, needs the same for each.
func TestMemoryDoesNotGrowWithTheAccount(t *testing.T) {
	peak := func(customers int) uint64 {
		w := newWorld(t).configure(func(c *connectionv1.Connection) { c.Giacom.PageSize = 40 }).estate(customers, 50)
		w.succeeded(w.poll())
		w.drained()
		live := func() uint64 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		before, most := live(), uint64(0)
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.succeeded(w.poll())
		}()
		for {
			select {
			case <-done:
				return most - min(before, most)
			case <-time.After(5 * time.Millisecond):
				most = max(most, live())
			}
		}
	}
	small, large := peak(80), peak(400)
	t.Logf("live heap of a poll: %d KiB for 4,000 rows, %d KiB for 20,000", small>>10, large>>10)
	if large > small+(6<<20) {
		t.Errorf("a poll of 4,000 rows took %d KiB, of 20,000 %d KiB", small>>10, large>>10)
	}
}
