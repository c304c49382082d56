package reconcile_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/reconcile"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// seats is a toy domain: one number per object.
type seats struct {
	Count int
}

func diff(before, after *seats) []reconcile.Field {
	b := "none"
	if before != nil {
		b = strconv.Itoa(before.Count)
	}
	if a := strconv.Itoa(after.Count); a != b {
		return []reconcile.Field{{Name: "count", Before: b, After: a}}
	}
	return nil
}

// toyHalo is where the toy domain writes; each behaviour of a call can be scripted.
type toyHalo struct {
	mu      sync.Mutex
	objects map[string]int // by key: what Halo holds
	writes  map[string]int // how often each was written
	script  func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats]
}

func (h *toyHalo) apply(_ context.Context, items []reconcile.Item[seats]) []reconcile.Outcome[seats] {
	write := func(x reconcile.Item[seats]) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.objects[x.Key] = x.Desired.Count
		h.writes[x.Key]++
	}
	if h.script != nil {
		return h.script(items, write)
	}
	out := make([]reconcile.Outcome[seats], len(items))
	for i, x := range items {
		write(x)
		out[i] = reconcile.Done(int64(i+1), x.Desired)
	}
	return out
}

type bench struct {
	*testing.T
	ctx    context.Context
	pool   *pgxpool.Pool
	clock  *clockwork.FakeClock
	halo   *toyHalo
	engine *reconcile.Engine[seats]
	config reconcile.Config[seats]
}

func setup(t *testing.T, change func(*reconcile.Config[seats])) *bench {
	t.Helper()
	b := &bench{
		T: t, ctx: t.Context(), pool: postgrestest.New(t, event.Schema, reconcile.Schema()),
		clock: clockwork.NewFakeClockAt(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)),
		halo:  &toyHalo{objects: map[string]int{}, writes: map[string]int{}},
	}
	b.config = reconcile.Config[seats]{
		Service: "toy", Kind: "seats", Pool: b.pool, Clock: b.clock, Log: slog.New(slog.DiscardHandler),
		Diff: diff,
		Action: func(x reconcile.Item[seats]) string {
			return map[bool]string{true: "create", false: "update"}[x.HaloID == 0]
		},
		Event: func(x reconcile.Item[seats]) (event.Event, error) {
			return event.Event{Type: "seatline.seats.changed.v1", Entity: "seats", Data: wrapperspb.Int64(int64(x.State))}, nil
		},
		Apply: b.halo.apply,
	}
	if change != nil {
		change(&b.config)
	}
	b.engine = reconcile.New(b.config)
	return b
}

func (b *bench) tx(f func(pgx.Tx) error) {
	b.Helper()
	if err := postgres.InTx(b.ctx, b.pool, f); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) desire(wants ...reconcile.Want[seats]) {
	b.Helper()
	b.tx(func(tx pgx.Tx) error { return b.engine.Desire(b.ctx, tx, wants...) })
}

func (b *bench) step() int {
	b.Helper()
	n, err := b.engine.Step(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func (b *bench) item(key string) reconcile.Item[seats] {
	b.Helper()
	items, err := b.engine.Query(b.ctx, b.pool, "key = $1", key)
	if err != nil {
		b.Fatal(err)
	}
	if len(items) != 1 {
		b.Fatalf("item %s: found %d", key, len(items))
	}
	return items[0]
}

func (b *bench) count(sql string) (n int) {
	b.Helper()
	if err := b.pool.QueryRow(b.ctx, sql).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

func want(key string, count int) reconcile.Want[seats] {
	return reconcile.Want[seats]{Connection: "c", Key: key, Instance: "halo", Desired: &seats{count}, Verdict: reconcile.Go(), Mode: reconcile.Auto}
}

func TestWhatIsWantedIsWrittenOnceAndLogged(t *testing.T) {
	b := setup(t, nil)
	b.desire(want("a", 3), want("b", 5))
	if n := b.step(); n != 2 {
		t.Fatalf("claimed %d, want 2", n)
	}
	if n := b.step(); n != 0 {
		t.Fatalf("claimed %d more", n)
	}
	if diff := cmp.Diff(map[string]int{"a": 3, "b": 5}, b.halo.objects); diff != "" {
		t.Error(diff)
	}
	if x := b.item("a"); x.State != reconcile.InSync || x.Applied.Count != 3 || x.HaloID == 0 {
		t.Errorf("a is %+v", x)
	}
	if n := b.count(`select count(*) from changes where outcome = 'applied' and action = 'create'`); n != 2 {
		t.Errorf("%d changes logged, want 2", n)
	}
}

func TestTheSameWantAgainWritesNothing(t *testing.T) {
	b := setup(t, nil)
	b.desire(want("a", 3))
	b.step()
	events := b.count(`select count(*) from outbox`)
	before := b.item("a")
	b.clock.Advance(time.Hour)
	b.desire(want("a", 3))
	if diff := cmp.Diff(before.Revision, b.item("a").Revision); diff != "" {
		t.Error("revision moved", diff)
	}
	if n := b.count(`select count(*) from outbox`); n != events {
		t.Errorf("%d events published for nothing", n-events)
	}
	if b.step() != 0 {
		t.Error("there was work")
	}
}

func TestTenChangesAreOneWrite(t *testing.T) {
	b := setup(t, nil)
	for i := range 10 {
		b.desire(want("a", i))
	}
	b.step()
	if b.halo.objects["a"] != 9 || b.halo.writes["a"] != 1 {
		t.Errorf("Halo holds %d after %d writes, want 9 after 1", b.halo.objects["a"], b.halo.writes["a"])
	}
}

func TestAWantThatMovesDuringTheCallIsWrittenNext(t *testing.T) {
	b := setup(t, nil)
	b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		write(items[0])
		if items[0].Desired.Count == 1 {
			b.desire(want("a", 2))
		}
		return []reconcile.Outcome[seats]{reconcile.Done(1, items[0].Desired)}
	}
	b.desire(want("a", 1))
	b.step()
	if x := b.item("a"); x.State != reconcile.Pending || x.Applied.Count != 1 {
		t.Fatalf("after the first write: %+v", x)
	}
	b.step()
	if x := b.item("a"); x.State != reconcile.InSync || b.halo.objects["a"] != 2 {
		t.Errorf("after the second write: %+v, Halo holds %d", x, b.halo.objects["a"])
	}
}

func TestRefusalsStickUntilDesiredMovesOrAPersonRetries(t *testing.T) {
	b := setup(t, nil)
	b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		return []reconcile.Outcome[seats]{reconcile.Refused[seats]("halo_refused", "Halo said: no.")}
	}
	b.desire(want("a", 1))
	b.step()
	if x := b.item("a"); x.State != reconcile.Failed || x.Reason.Text != "Halo said: no." {
		t.Fatalf("after the refusal: %+v", x)
	}
	b.desire(want("a", 1))
	b.clock.Advance(time.Hour)
	if b.step() != 0 {
		t.Fatal("tried again by itself")
	}
	b.tx(func(tx pgx.Tx) error { return b.engine.Release(b.ctx, tx, "c", "a", "ann", nil) })
	if b.step() != 1 {
		t.Fatal("not tried again though a person said so")
	}
	b.desire(want("a", 2))
	if b.step() != 1 {
		t.Fatal("not tried again though desired moved")
	}
}

func TestObserveWritesNothingAndAutoWritesThePlan(t *testing.T) {
	b := setup(t, nil)
	w := want("a", 4)
	w.Mode = reconcile.Observe
	held := want("h", 4)
	held.Mode, held.Verdict = reconcile.Observe, reconcile.Hold("price_missing", "Giacom gives no price.")
	b.desire(w, held)
	if b.step() != 0 {
		t.Fatal("wrote while observing")
	}
	plan, _, err := b.engine.ListPlan(b.ctx, b.pool, &opsv1.ListPlanItemsRequest{Connection: "c"})
	if err != nil || len(plan) != 2 || plan[0].Changes[0].After != "4" {
		t.Fatalf("plan: %v %v", plan, err)
	}
	if err := b.engine.SetMode(b.ctx, "c", reconcile.Auto); err != nil {
		t.Fatal(err)
	}
	if n := b.step(); n != 1 || b.halo.objects["a"] != 4 {
		t.Fatalf("claimed %d, Halo %v", n, b.halo.objects)
	}
	if x := b.item("h"); x.State != reconcile.Held {
		t.Errorf("the held item is %+v", x)
	}
	err = postgres.InTx(b.ctx, b.pool, func(tx pgx.Tx) error { return b.engine.Release(b.ctx, tx, "c", "h", "ann", nil) })
	if !errors.Is(err, reconcile.ErrHeldByRule) {
		t.Errorf("release of what a rule holds: %v", err)
	}
}

func TestDriftIsLoggedAndWrittenOver(t *testing.T) {
	b := setup(t, nil)
	b.desire(want("a", 4))
	b.step()
	b.tx(func(tx pgx.Tx) error {
		return b.engine.Observe(b.ctx, tx, reconcile.Seen[seats]{Connection: "c", Key: "a", Observed: &seats{9}})
	})
	x := b.item("a")
	if x.State != reconcile.Pending || len(x.Drifted) != 1 || x.Applied.Count != 9 {
		t.Fatalf("after drift: %+v", x)
	}
	b.step()
	if b.halo.objects["a"] != 4 {
		t.Errorf("Halo holds %d", b.halo.objects["a"])
	}
	if n := b.count(`select count(*) from changes where outcome = 'drifted' and fields->0->>'b' = '4' and fields->0->>'a' = '9'`); n != 1 {
		t.Errorf("drift logged %d times", n)
	}
}

// Whatever the outcomes, in whatever order wants and steps come: in the end Halo holds what was last
// wanted, and the item says so.
func TestAnySequenceConverges(t *testing.T) {
	b := setup(t, func(c *reconcile.Config[seats]) { c.BatchSize = 3 })
	rapid.Check(t, func(r *rapid.T) {
		for _, table := range []string{"items", "changes", "outbox"} {
			if _, err := b.pool.Exec(b.ctx, `delete from `+table); err != nil {
				r.Fatal(err)
			}
		}
		b.halo.objects = map[string]int{}
		calm := false
		b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
			out := make([]reconcile.Outcome[seats], len(items))
			for i, x := range items {
				switch fate := rapid.IntRange(0, 3).Draw(r, "fate"); {
				case calm || fate == 0:
					write(x)
					out[i] = reconcile.Done(1, x.Desired)
				case fate == 1:
					out[i] = reconcile.Retry[seats](0, "halo_unavailable", "later")
				case fate == 2: // landed, and nobody knows
					write(x)
					out[i] = reconcile.Unclear[seats]("unclear", "cut")
				default:
					out[i] = reconcile.Unclear[seats]("unclear", "cut before")
				}
			}
			return out
		}
		wanted := map[string]int{}
		for range rapid.IntRange(1, 20).Draw(r, "steps") {
			switch rapid.IntRange(0, 2).Draw(r, "do") {
			case 0:
				key := strconv.Itoa(rapid.IntRange(0, 5).Draw(r, "key"))
				wanted[key] = rapid.IntRange(0, 9).Draw(r, "count")
				b.desire(want(key, wanted[key]))
			case 1:
				b.step()
			case 2:
				b.clock.Advance(time.Duration(rapid.IntRange(1, 300).Draw(r, "seconds")) * time.Second)
			}
		}
		calm = true
		for range 10 {
			b.clock.Advance(10 * time.Minute)
			for b.step() > 0 {
			}
		}
		if diff := cmp.Diff(wanted, b.halo.objects); diff != "" {
			r.Fatal(diff)
		}
		if n := b.count(`select count(*) from items left join work using (connection, key) where state <> 1 or ready_at is not null`); n != 0 {
			r.Fatalf("%d items are not in sync", n)
		}
	})
}
