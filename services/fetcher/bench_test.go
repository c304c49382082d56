package fetcher_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkUnchangedPoll polls an account of 100,000 subscriptions in which nothing changed. peak-MB is the largest heap
// seen during the polls beyond what simulator and fetcher hold between them.
func BenchmarkUnchangedPoll(b *testing.B) {
	const customers, each = 1000, 100
	w := newWorld(b).configure(nil).estate(customers, each)
	w.succeeded(w.poll())
	w.drained()
	w.succeeded(w.poll())
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	base := m.HeapAlloc
	var peak atomic.Uint64
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapAlloc))
			}
		}
	}()
	for b.Loop() {
		if run := w.succeeded(w.poll()); run.Subscriptions.Unchanged != customers*each {
			b.Fatalf("run: %v", run)
		}
	}
	close(stop)
	b.ReportMetric(float64(b.N*customers*each)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(max(peak.Load(), base)-base)/1e6, "peak-MB")
}
