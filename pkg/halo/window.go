package halo

import (
	"slices"
	"time"
)

// window is what the processes that call one Halo instance know in common: which requests were admitted lately, in
// blocks, and until when everything is shut. It is stored as JSON in one KV value. Times are Unix milliseconds by the
// clock of the process that wrote them; clocks of replicas must agree (NTP) to well within the distance between our
// limit and Halo's.
type window struct {
	Blocks      []block `json:"blocks"`
	ClosedUntil int64   `json:"closed_until,omitempty"`
}

// block is a number of requests admitted at once. All of them are sent before Until, so counting each as sent at Until
// never counts one too early out of the window.
type block struct {
	ID    string `json:"id"`
	Until int64  `json:"until"`
	N     int    `json:"n"`
}

// admit adds a block of up to want requests and says how many of them fit: 0 means none before opens.
func (w *window) admit(now time.Time, id string, want, limit int, period, life time.Duration) (granted int, opens time.Time) {
	w.forget(now, period)
	if closed := time.UnixMilli(w.ClosedUntil); closed.After(now) {
		return 0, closed
	}
	free := limit - w.used()
	if free <= 0 {
		return 0, w.frees(now, 1-free, period)
	}
	granted = min(want, free)
	w.Blocks = append(w.Blocks, block{ID: id, Until: now.UnixMilli() + life.Milliseconds(), N: granted})
	return granted, now
}

// giveBack takes unused requests out of a block again.
func (w *window) giveBack(id string, unused int) {
	for i := range w.Blocks {
		if w.Blocks[i].ID == id {
			w.Blocks[i].N -= unused
			if w.Blocks[i].N <= 0 {
				w.Blocks = slices.Delete(w.Blocks, i, i+1)
			}
			return
		}
	}
}

// forget drops the blocks that have left the window.
func (w *window) forget(now time.Time, period time.Duration) {
	past := now.UnixMilli() - period.Milliseconds()
	w.Blocks = slices.DeleteFunc(w.Blocks, func(b block) bool { return b.Until <= past })
}

func (w *window) used() int {
	n := 0
	for _, b := range w.Blocks {
		n += b.N
	}
	return n
}

// frees is when at least need of the admitted requests will have left the window.
func (w *window) frees(now time.Time, need int, period time.Duration) time.Time {
	byAge := slices.SortedFunc(slices.Values(w.Blocks), func(a, b block) int { return int(a.Until - b.Until) })
	for _, b := range byAge {
		if need -= b.N; need <= 0 {
			return time.UnixMilli(b.Until).Add(period)
		}
	}
	return now.Add(period) // the limit leaves no room at all, which only a reserve as large as the limit does
}
