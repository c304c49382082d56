package halo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/nats-io/nats.go/jetstream"
)

// Halo allows, depending on which of its statements holds, 300 requests in 5 minutes, 500 in 3 or 700 in 5 [V][C]. The
// defaults stay below the tightest and leave room for what else calls the tenant.
const (
	DefaultLimit  = 250
	DefaultPeriod = 5 * time.Minute
)

// blockLife is how long requests taken from the shared window may be sent. Short, because the whole block counts as sent
// at its end, and because a process holding a block does not yet know that another one was told 429.
const blockLife = time.Second

// Priority decides who gets the last of a budget.
type Priority int

const (
	// ByMethod is the priority of a client that was given none: writes are urgent, reads are not.
	ByMethod Priority = iota
	// Urgent requests may use the whole budget.
	Urgent
	// Background requests (imports, sweeps, snapshots) leave a tenth of it to urgent ones.
	Background
)

// Bucket is the part of [jetstream.KeyValue] that the budget needs.
type Bucket interface {
	Get(ctx context.Context, key string) (jetstream.KeyValueEntry, error)
	Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error)
	Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// BudgetConfig says how much one Halo instance may be asked.
type BudgetConfig struct {
	Bucket Bucket // shared by every process that calls this instance; required
	Key    string // of the instance, see [InstanceKey]; required
	Limit  int    // requests in any Period; 0 is DefaultLimit
	Period time.Duration
	Clock  clockwork.Clock
}

// Budget admits requests to one Halo instance: at most Limit in any Period, counted over all processes that share the
// bucket. Without its bucket it admits nothing, because it cannot know what the others are sending.
type Budget struct {
	bucket  Bucket
	key     string
	limit   int
	reserve int
	period  time.Duration
	clock   clockwork.Clock
	id      string
	serial  atomic.Int64
	urgent  lane
	backgr  lane

	mu       sync.Mutex // guards what was last seen of the shared window
	seen     window
	revision uint64
}

// lane is the requests of one priority in this process: one of them at a time talks to the bucket, on behalf of all
// that wait behind it.
type lane struct {
	turn    chan struct{}
	waiting atomic.Int64

	mu    sync.Mutex
	block block // N is what is left of it
}

// NewBudget makes the budget of one Halo instance.
func NewBudget(c BudgetConfig) *Budget {
	b := &Budget{
		bucket: c.Bucket, key: c.Key, limit: c.Limit, period: c.Period, clock: c.Clock, id: rand.Text()[:10],
		urgent: lane{turn: make(chan struct{}, 1)}, backgr: lane{turn: make(chan struct{}, 1)},
	}
	if b.limit <= 0 {
		b.limit = DefaultLimit
	}
	if b.period <= 0 {
		b.period = DefaultPeriod
	}
	if b.clock == nil {
		b.clock = clockwork.NewRealClock()
	}
	b.reserve = b.limit / 10
	return b
}

// InstanceKey names a Halo instance, its host and tenant, as a KV key. Two connections to one instance get the same.
func InstanceKey(baseURL, tenant string) string {
	host := baseURL
	if u, err := url.Parse(baseURL); err == nil && u.Host != "" {
		host = u.Host
	}
	safe := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '_'
	}
	if tenant == "" {
		return strings.Map(safe, strings.ToLower(host))
	}
	return strings.Map(safe, strings.ToLower(host)) + "." + strings.Map(safe, strings.ToLower(tenant))
}

// Take waits until one request may be sent, which it then must be within a second. It fails if ctx ends first, or if
// the bucket cannot be reached.
func (b *Budget) Take(ctx context.Context, p Priority) error {
	for {
		wait, err := b.try(ctx, p)
		if err != nil || wait == 0 {
			return err
		}
		// A little apart, so that replicas do not all come back in the same millisecond.
		wait += time.Duration(mathrand.Int64N(int64(50 * time.Millisecond)))
		if deadline, ok := ctx.Deadline(); ok && b.clock.Until(deadline) < wait {
			return &Error{Class: RateLimited, RetryAfter: wait, Message: "no request free before the deadline"}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-b.clock.After(wait):
		}
	}
}

// try admits one request or says how long to wait before trying again.
func (b *Budget) try(ctx context.Context, p Priority) (time.Duration, error) {
	l, limit := &b.urgent, b.limit
	if p != Urgent {
		l, limit = &b.backgr, b.limit-b.reserve
	}
	if l.use(b.clock.Now()) {
		return 0, nil
	}
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-l.turn }()
	if l.use(b.clock.Now()) { // the one before us took enough for us too
		return 0, nil
	}
	// One KV write for everyone who waits here, and never more than some 500 blocks in a window, whatever the limit.
	want := max(int(l.waiting.Load()), b.limit/500)
	old := l.fill(block{})
	var granted block
	var opens time.Time
	err := b.change(ctx, func(w *window) {
		now := b.clock.Now()
		if old.N > 0 {
			w.giveBack(old.ID, old.N)
		}
		granted = block{ID: fmt.Sprintf("%s-%d", b.id, b.serial.Add(1)), Until: now.Add(blockLife).UnixMilli()}
		granted.N, opens = w.admit(now, granted.ID, want, limit, b.period, blockLife)
	})
	if err != nil {
		return 0, err
	}
	if granted.N == 0 {
		return max(opens.Sub(b.clock.Now()), time.Millisecond), nil
	}
	l.fill(granted)
	if !l.use(b.clock.Now()) { // the KV took longer than the block lives
		return time.Millisecond, nil
	}
	return 0, nil
}

// Close shuts the budget for everyone for a while: Halo has said 429.
func (b *Budget) Close(ctx context.Context, d time.Duration) error {
	b.urgent.fill(block{})
	b.backgr.fill(block{})
	return b.change(ctx, func(w *window) {
		w.ClosedUntil = max(w.ClosedUntil, b.clock.Now().Add(d).UnixMilli())
	})
}

// Left is how many requests could be sent now, by anyone; 0 while the budget is shut.
func (b *Budget) Left(ctx context.Context) (int, error) {
	w, _, err := b.load(ctx)
	if err != nil {
		return 0, err
	}
	now := b.clock.Now()
	w.forget(now, b.period)
	if time.UnixMilli(w.ClosedUntil).After(now) {
		return 0, nil
	}
	return max(b.limit-w.used(), 0), nil
}

// Limit is how many requests any Period may hold.
func (b *Budget) Limit() int { return b.limit }

// bucketWait bounds one call to the bucket; a NATS server that does not answer by then counts as unreachable.
const bucketWait = 5 * time.Second

// change applies f to the shared window by compare-and-swap. What was seen last is tried first: with one process active
// that is one round trip.
func (b *Budget) change(ctx context.Context, f func(*window)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for attempt := 0; ; attempt++ {
		if b.revision == 0 || attempt > 0 {
			w, revision, err := b.load(ctx)
			if err != nil {
				return err
			}
			b.seen, b.revision = w, revision
		}
		w := window{Blocks: append([]block(nil), b.seen.Blocks...), ClosedUntil: b.seen.ClosedUntil}
		f(&w)
		value, err := json.Marshal(w)
		if err != nil {
			return err
		}
		revision, err := b.store(ctx, value)
		if err == nil {
			b.seen, b.revision = w, revision
			return nil
		}
		b.revision = 0
		if !errors.Is(err, jetstream.ErrKeyExists) && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return b.unreachable(ctx, err)
		}
	}
}

func (b *Budget) store(ctx context.Context, value []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, bucketWait)
	defer cancel()
	if b.revision == 0 {
		return b.bucket.Create(ctx, b.key, value)
	}
	return b.bucket.Update(ctx, b.key, value, b.revision)
}

func (b *Budget) load(ctx context.Context) (window, uint64, error) {
	get, cancel := context.WithTimeout(ctx, bucketWait)
	defer cancel()
	entry, err := b.bucket.Get(get, b.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return window{}, 0, nil
	}
	if err != nil {
		return window{}, 0, b.unreachable(ctx, err)
	}
	var w window
	if err := json.Unmarshal(entry.Value(), &w); err != nil {
		return window{}, 0, fmt.Errorf("request budget %s: %w", b.key, err)
	}
	return w, entry.Revision(), nil
}

func (b *Budget) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &Error{Class: Unavailable, Message: "the shared request budget in NATS cannot be reached, so nothing is sent to Halo", Err: err}
}

// use takes one request from the block in hand, if there is one that still lives.
func (l *lane) use(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.block.N == 0 || now.UnixMilli() >= l.block.Until {
		return false
	}
	l.block.N--
	return true
}

// fill puts a block in hand and gives the one it replaces.
func (l *lane) fill(b block) block {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.block
	l.block = b
	return old
}
