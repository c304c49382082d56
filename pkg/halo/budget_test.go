package halo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

// memory is a bucket with one key, as strict about revisions as NATS.
type memory struct {
	mu       sync.Mutex
	value    []byte
	revision uint64
	calls    int
	down     bool
}

type entry struct {
	jetstream.KeyValueEntry
	value    []byte
	revision uint64
}

func (e entry) Value() []byte    { return e.value }
func (e entry) Revision() uint64 { return e.revision }

func (m *memory) Get(context.Context, string) (jetstream.KeyValueEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.down {
		return nil, nats.ErrTimeout
	}
	if m.revision == 0 {
		return nil, jetstream.ErrKeyNotFound
	}
	return entry{value: m.value, revision: m.revision}, nil
}

func (m *memory) Create(ctx context.Context, key string, value []byte, _ ...jetstream.KVCreateOpt) (uint64, error) {
	return m.Update(ctx, key, value, 0)
}

func (m *memory) Update(_ context.Context, _ string, value []byte, revision uint64) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.down {
		return 0, nats.ErrTimeout
	}
	if m.revision != revision {
		return 0, jetstream.ErrKeyRevisionMismatch
	}
	m.revision++
	m.value = value
	return m.revision, nil
}

// Several limiters share a bucket, requests come in any order and at any pace, processes die with blocks in hand, Halo
// says 429 now and then: no window of five minutes ever sees more than the limit, background requests leave the reserve,
// and nothing passes while the budget is shut.
func TestNoWindowAdmitsMoreThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock, bucket, ctx := clockwork.NewFakeClock(), &memory{}, context.Background()
		limit := rapid.IntRange(10, 60).Draw(t, "limit")
		if rapid.Bool().Draw(t, "large blocks") {
			limit *= 100 // blocks of several requests, of which some are never sent
		}
		fresh := func() *Budget {
			return NewBudget(BudgetConfig{Bucket: bucket, Key: "k", Limit: limit, Clock: clock})
		}
		budgets := []*Budget{fresh(), fresh(), fresh()}
		var urgent, background []time.Time
		var shut time.Time
		admitted := func(ofBackground bool) int {
			n, from := 0, clock.Now().Add(-DefaultPeriod)
			for _, at := range background {
				if at.After(from) {
					n++
				}
			}
			for _, at := range urgent {
				if !ofBackground && at.After(from) {
					n++
				}
			}
			return n
		}
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				b := budgets[rapid.IntRange(0, 2).Draw(t, "who")]
				p := rapid.SampledFrom([]Priority{Urgent, Background}).Draw(t, "priority")
				times := rapid.SampledFrom([]int{1, 1, 5, limit / 2, limit}).Draw(t, "times")
				for range times {
					wait, err := b.try(ctx, p)
					if err != nil {
						t.Fatal(err)
					}
					if wait > 0 {
						break
					}
					if clock.Now().Before(shut) {
						t.Fatal("admitted while shut")
					}
					if p == Urgent {
						urgent = append(urgent, clock.Now())
					} else {
						background = append(background, clock.Now())
					}
				}
				if n := admitted(false); n > limit {
					t.Fatalf("%d requests in one window, the limit is %d", n, limit)
				}
				if n := admitted(true); n > limit-limit/10 {
					t.Fatalf("%d background requests in one window, the reserve is not left", n)
				}
			},
			"time passes": func(t *rapid.T) {
				clock.Advance(time.Duration(rapid.IntRange(1, 400_000).Draw(t, "ms")) * time.Millisecond)
			},
			"a window passes, nearly": func(t *rapid.T) {
				clock.Advance(DefaultPeriod - time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms"))*time.Millisecond)
			},
			"a moment passes": func(t *rapid.T) {
				clock.Advance(time.Duration(rapid.IntRange(1, 700).Draw(t, "ms")) * time.Millisecond)
			},
			"a process dies": func(t *rapid.T) { budgets[rapid.IntRange(0, 2).Draw(t, "who")] = fresh() },
			"429": func(t *rapid.T) {
				d := time.Duration(rapid.IntRange(1, 90).Draw(t, "s")) * time.Second
				if err := budgets[0].Close(ctx, d); err != nil {
					t.Fatal(err)
				}
				// Others may finish the block they hold, which lives a second; one limiter at a time is exact.
				if until := clock.Now().Add(d); until.After(shut) {
					shut = until
				}
				for _, b := range budgets[1:] {
					b.urgent.fill(block{})
					b.backgr.fill(block{})
				}
			},
		})
	})
}

func TestTheWholeLimitCanBeUsed(t *testing.T) {
	clock, ctx := clockwork.NewFakeClock(), context.Background()
	b := NewBudget(BudgetConfig{Bucket: &memory{}, Key: "k", Limit: 250, Clock: clock})
	count := func(p Priority) (n int, wait time.Duration) {
		for ; ; n++ {
			w, err := b.try(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			if w > 0 {
				return n, w
			}
		}
	}
	if n, _ := count(Background); n != 225 {
		t.Errorf("background requests got %d of 250, want 225", n)
	}
	n, wait := count(Urgent)
	if n != 25 {
		t.Errorf("urgent requests got %d, want the 25 left", n)
	}
	if wait > DefaultPeriod+2*blockLife {
		t.Errorf("the next may go in %v, want about five minutes", wait)
	}
	if left, err := b.Left(ctx); left != 0 || err != nil {
		t.Errorf("left %d, %v", left, err)
	}
	clock.Advance(wait)
	if n, _ := count(Urgent); n != 250 {
		t.Errorf("after the window %d requests pass, want 250", n)
	}
}

func TestUnusedRequestsOfABlockAreGivenBack(t *testing.T) {
	clock, bucket, ctx := clockwork.NewFakeClock(), &memory{}, context.Background()
	b := NewBudget(BudgetConfig{Bucket: bucket, Key: "k", Limit: 5000, Clock: clock}) // blocks of 10
	for range 20 {
		if wait, err := b.try(ctx, Urgent); wait != 0 || err != nil {
			t.Fatal(wait, err)
		}
		clock.Advance(2 * blockLife) // the rest of the block ends unused
	}
	if left, _ := b.Left(ctx); left != 5000-19-10 {
		t.Errorf("%d left after 20 requests, want all but those sent and the last block", left)
	}
}

func TestAHugeLimitCostsNoRoundTripPerRequest(t *testing.T) {
	bucket := &memory{}
	b := NewBudget(BudgetConfig{Bucket: bucket, Key: "k", Limit: 100_000_000, Clock: clockwork.NewFakeClock()})
	for range 100_000 {
		if err := b.Take(context.Background(), Urgent); err != nil {
			t.Fatal(err)
		}
	}
	if bucket.calls > 5 {
		t.Errorf("%d calls to the bucket for 100,000 requests", bucket.calls)
	}
}

func TestWithoutTheBucketNothingPasses(t *testing.T) {
	bucket := &memory{down: true}
	b := NewBudget(BudgetConfig{Bucket: bucket, Key: "k"})
	err := b.Take(context.Background(), Urgent)
	if ClassOf(err) != Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
	bucket.mu.Lock()
	bucket.down = false
	bucket.mu.Unlock()
	if err := b.Take(context.Background(), Urgent); err != nil {
		t.Errorf("after the bucket came back: %v", err)
	}
}

func TestTakeGivesUpWhenItsDeadlineComesFirst(t *testing.T) {
	b := NewBudget(BudgetConfig{Bucket: &memory{}, Key: "k", Limit: 10})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range 10 {
		if err := b.Take(ctx, Urgent); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Take(ctx, Urgent); ClassOf(err) != RateLimited {
		t.Errorf("got %v, want RateLimited at once", err)
	}
}

// The same over a real server, with goroutines that contend.
func TestLimitersShareARealBucket(t *testing.T) {
	srv, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), DontListen: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "budget"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	passed := 0
	var wg sync.WaitGroup
	for range 3 {
		b := NewBudget(BudgetConfig{Bucket: kv, Key: InstanceKey("https://acme.halopsa.com", "Acme"), Limit: 60})
		for range 8 {
			wg.Go(func() {
				for {
					err := b.Take(ctx, Urgent)
					if ClassOf(err) == RateLimited || errors.Is(err, context.DeadlineExceeded) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					passed++
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if passed > 60 || passed < 50 {
		t.Errorf("%d requests passed, the limit is 60", passed)
	}
}

func TestInstanceKeyIsAValidKeyForAnyAddress(t *testing.T) {
	for _, c := range []struct{ url, tenant, want string }{
		{"https://Acme.halopsa.com", "ACME", "acme_halopsa_com.acme"},
		{"https://acme.halopsa.com/", "", "acme_halopsa_com"},
		{"http://127.0.0.1:8080", "a b", "127_0_0_1_8080.a_b"},
	} {
		if got := InstanceKey(c.url, c.tenant); got != c.want {
			t.Errorf("%s: got %s, want %s", fmt.Sprint(c.url, c.tenant), got, c.want)
		}
	}
}
