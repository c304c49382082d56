package reconcile_test

import (
	"context"
	"testing"
	"time"

	"seatline.dev/pkg/reconcile"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// An item says of itself what lists and counts say of it: pending while it is being written, whatever is wanted meanwhile, and
// applying only while nobody knows what became of the write.
func TestAllSayTheSameOfWhatIsBeingWritten(t *testing.T) {
	b := setup(t, func(c *reconcile.Config[seats]) { c.Settle, c.Listed = time.Minute, true })
	check := func(when string, want itemv1.State) {
		t.Helper()
		x := b.item("a")
		plan, _, err := b.engine.ListPlan(b.ctx, b.pool, &opsv1.ListPlanItemsRequest{Connection: "c"})
		if err != nil || len(plan) != 1 || plan[0].GetKey() != "a" || plan[0].GetChanges() == nil {
			t.Fatalf("%s: plan %v, %v", when, plan, err)
		}
		counts, err := b.engine.Counts(b.ctx, b.pool, "c", "")
		if err != nil || len(counts) != 1 {
			t.Fatalf("%s: counts %v, %v", when, counts, err)
		}
		if own, listed, counted := x.Status().GetState(), plan[0].GetStatus().GetState(), itemv1.State(counts[0].State); own != want || listed != want || counted != want {
			t.Errorf("%s: it says %v, the list %v, the count %v; want %v", when, own, listed, counted, want)
		}
	}
	b.config.Apply = func(_ context.Context, items []reconcile.Item[seats]) []reconcile.Outcome[seats] {
		state := itemv1.State_STATE_PENDING
		if items[0].Unclear {
			state = itemv1.State_STATE_APPLYING
		}
		check("while it is written", state)
		b.desire(want("a", items[0].Desired.Count+1))
		check("while it is written and wanted otherwise", state)
		return []reconcile.Outcome[seats]{reconcile.Unclear[seats]("unclear", "The reply never came.")}
	}
	b.engine = reconcile.New(b.config)
	b.desire(want("a", 1))
	check("before", itemv1.State_STATE_PENDING)
	for range 2 {
		if b.step() != 1 {
			t.Fatal("not claimed")
		}
		check("while it is unclear", itemv1.State_STATE_APPLYING)
		b.clock.Advance(time.Hour)
	}
}
