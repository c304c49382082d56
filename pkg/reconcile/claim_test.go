package reconcile_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"seatline.dev/pkg/reconcile"
)

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
