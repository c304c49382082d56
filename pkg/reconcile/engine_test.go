package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
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

func TestAProcessThatDiedIsFollowedByALookAfterItsCallCanLandNoMore(t *testing.T) {
	b := setup(t, func(c *reconcile.Config[seats]) { c.Lease, c.Settle = time.Minute, 3*time.Minute })
	b.desire(want("a", 1))
	// A dead process: the claim is made and nothing is heard again.
	ctx, die := context.WithCancel(b.ctx)
	b.config.Grace = time.Nanosecond
	b.config.Apply = func(context.Context, []reconcile.Item[seats]) []reconcile.Outcome[seats] {
		die()
		select {} // never answers
	}
	go reconcile.New(b.config).Step(ctx) //nolint:errcheck // it never ends
	<-ctx.Done()
	var got []reconcile.Item[seats]
	b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		got = items
		return []reconcile.Outcome[seats]{reconcile.Done(7, items[0].Desired)}
	}
	b.tx(func(tx pgx.Tx) error { // the heartbeat of the dead process shares our clock: pin the lease
		_, err := tx.Exec(b.ctx, `update work set claim = 'dead'`)
		return err
	})
	b.clock.Advance(4*time.Minute - time.Second)
	if n := b.step(); n != 0 {
		t.Fatal("claimed while the call of the dead process may still land")
	}
	b.clock.Advance(2 * time.Second)
	if n := b.step(); n != 1 || !got[0].Unclear {
		t.Fatalf("claimed %d, %+v; want one item marked unclear", n, got)
	}
	if x := b.item("a"); x.State != reconcile.InSync || x.Unclear || x.HaloID != 7 {
		t.Errorf("at the end: %+v", x)
	}
}

func TestAnUnclearOutcomeComesBackUnclearAndNotEarly(t *testing.T) {
	b := setup(t, func(c *reconcile.Config[seats]) { c.Settle = 3 * time.Minute })
	b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		if !items[0].Unclear {
			return []reconcile.Outcome[seats]{reconcile.Unclear[seats]("unclear", "The reply never came.")}
		}
		return []reconcile.Outcome[seats]{reconcile.Done(1, items[0].Desired)}
	}
	b.desire(want("a", 1))
	b.step()
	b.desire(want("a", 2)) // wanting something else does not open it either
	b.clock.Advance(3*time.Minute - time.Second)
	if b.step() != 0 {
		t.Fatal("claimed early")
	}
	b.clock.Advance(time.Second)
	if b.step() != 1 {
		t.Fatal("not claimed when it may be")
	}
	if x := b.item("a"); x.State != reconcile.InSync || x.Applied.Count != 2 {
		t.Errorf("at the end: %+v", x)
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

func TestAClaimOfSeveralGroupsClosesOnlyThoseThatAreUnclear(t *testing.T) {
	b := setup(t, func(c *reconcile.Config[seats]) { c.Grouped, c.Groups, c.Settle = true, 3, 3*time.Minute })
	lost := true
	b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		out := make([]reconcile.Outcome[seats], len(items))
		for i, x := range items {
			if out[i] = reconcile.Done(1, x.Desired); lost && x.Group == "1" {
				out[i] = reconcile.Unclear[seats]("unclear", "The reply never came.")
			}
		}
		return out
	}
	of := func(group string, count int) reconcile.Want[seats] {
		w := want("of "+group, count)
		w.Group = group
		return w
	}
	b.desire(of("1", 1), of("2", 1), of("3", 1), of("4", 1), of("5", 1))
	if n := b.step() + b.step(); n != 5 {
		t.Fatalf("two claims of three groups took %d items, want all 5", n)
	}
	lost = false
	b.desire(of("1", 2), of("2", 2), of("3", 2), of("4", 2), of("5", 2))
	if n := b.step() + b.step(); n != 4 {
		t.Fatalf("%d items were taken, want 4: all but that of the group that is unclear", n)
	}
	b.clock.Advance(3*time.Minute + time.Second)
	if n := b.step(); n != 1 {
		t.Fatalf("%d items were taken once the write cannot land any more, want 1", n)
	}
}

func TestOneWriterPerGroupAndItsItemsTogether(t *testing.T) {
	b := setup(t, func(c *reconcile.Config[seats]) { c.Grouped = true })
	var mu sync.Mutex
	inside := map[string]int{}
	b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		g := items[0].Group
		mu.Lock()
		inside[g]++
		if inside[g] > 1 {
			t.Errorf("two writers in group %s", g)
		}
		mu.Unlock()
		out := make([]reconcile.Outcome[seats], len(items))
		for i, x := range items {
			if x.Group != g {
				t.Errorf("batch mixes groups %s and %s", g, x.Group)
			}
			write(x)
			out[i] = reconcile.Done(1, x.Desired)
		}
		mu.Lock()
		inside[g]--
		mu.Unlock()
		return out
	}
	for round := range 3 {
		var wants []reconcile.Want[seats]
		for i := range 60 {
			w := want(fmt.Sprintf("k%02d", i), round)
			w.Group = strconv.Itoa(i % 12)
			wants = append(wants, w)
		}
		b.desire(wants...)
		var wg sync.WaitGroup
		for range 4 { // replicas
			e := reconcile.New(b.config)
			wg.Go(func() {
				for idle := 0; idle < 5; {
					n, err := e.Step(b.ctx)
					if err != nil {
						t.Error(err)
						return
					}
					if n == 0 {
						idle++
					}
				}
			})
		}
		wg.Wait()
	}
	for key, n := range b.halo.writes {
		if n != 3 {
			t.Errorf("%s was written %d times, want 3", key, n)
		}
	}
	if n := b.count(`select count(*) from items where state <> 1`); n != 0 {
		t.Errorf("%d items are not in sync", n)
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

// A try that never came to look at Halo does not make an unclear create clear: neither when it is put off, nor when it has
// to wait, nor when something else is wanted by then. What it set out to write stays known.
func TestAnUnclearCreateStaysUnclearUntilSomebodyLooked(t *testing.T) {
	b := setup(t, func(c *reconcile.Config[seats]) { c.Settle = 3 * time.Minute })
	var got []reconcile.Item[seats]
	answer := reconcile.Unclear[seats]("unclear", "The reply never came.")
	b.halo.script = func(items []reconcile.Item[seats], write func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		got = items
		return []reconcile.Outcome[seats]{answer}
	}
	b.desire(want("a", 1))
	b.step()
	w := want("a", 2)
	w.Verdict = reconcile.Hold("rule", "A person has to decide.")
	b.desire(w)
	for name, next := range map[string]reconcile.Outcome[seats]{
		"put off": reconcile.Retry[seats](time.Minute, "halo_unavailable", "Halo is down."),
		"waiting": reconcile.ParkUntil[seats](b.clock.Now().Add(time.Hour), "invoice_run", "After the run."),
		"unclear": reconcile.Unclear[seats]("unclear", "Nor this time."),
	} {
		answer = next
		b.clock.Advance(2 * time.Hour)
		if n := b.step(); n != 1 || !got[0].Unclear || got[0].Intent == nil || got[0].Intent.Count != 1 || got[0].Desired.Count != 2 {
			t.Fatalf("before %s: claimed %d, %+v; want it unclear, with what it set out to write", name, n, got)
		}
	}
	answer = reconcile.Retry[seats](0, "not_created", "It is not there.").Looked()
	b.clock.Advance(2 * time.Hour)
	b.step()
	if x := b.item("a"); x.State != reconcile.Held || x.Reason.Code != "rule" {
		t.Errorf("after a look: %+v, want it held by the rule", x)
	}
	b.desire(want("a", 2))
	b.step()
	if got[0].Unclear || got[0].Intent != nil {
		t.Errorf("after a look: %+v, want nothing unclear", got[0])
	}
}

// An item that moved to another group after it was found ready, and before it was locked, is not claimed with the former
// group's: it would be written without that group's lock.
func TestAClaimTakesOnlyItsGroups(t *testing.T) {
	b := setup(t, func(c *reconcile.Config[seats]) { c.Grouped = true })
	w := want("a", 1)
	w.Group = "1"
	b.desire(w)
	w.Group = "2"
	cfg := b.pool.Config()
	cfg.ConnConfig.Tracer = &before{sql: "for update skip locked", do: func() { b.desire(w) }}
	pool, err := pgxpool.NewWithConfig(b.ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	slow := b.config
	slow.Pool = pool
	if n, err := reconcile.New(slow).Step(b.ctx); n != 0 || err != nil {
		t.Errorf("%d items claimed, %v; want none: it is another group's by now", n, err)
	}
	if n := b.step(); n != 1 {
		t.Error("not claimed with its group")
	}
}

// before does something once, before a statement is sent.
type before struct {
	sql string
	do  func()
}

func (o *before) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if do := o.do; do != nil && strings.Contains(q.SQL, o.sql) {
		o.do = nil
		do()
	}
	return ctx
}

func (*before) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
