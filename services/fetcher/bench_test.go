package fetcher_test

import "testing"

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
