package reconcile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/reconcile"
)

// Whoever follows change.applied sees what was written and nothing else: what Halo was seen to hold instead, and what nobody
// wants any more, are told as what they are.
func TestTheTypeOfAChangeSaysWhatHappened(t *testing.T) {
	b := setup(t, nil)
	b.desire(want("a", 4))
	b.step()
	b.tx(func(tx pgx.Tx) error {
		return b.engine.Observe(b.ctx, tx, reconcile.Seen[seats]{Connection: "c", Key: "a", Observed: &seats{9}})
	})
	b.step() // and set right
	held := want("a", 5)
	held.Verdict = reconcile.Hold("rule", "A person has to decide.")
	b.desire(held)
	freed := want("a", 5)
	freed.Who = "sue"
	b.desire(freed)
	b.halo.script = func([]reconcile.Item[seats], func(reconcile.Item[seats])) []reconcile.Outcome[seats] {
		return []reconcile.Outcome[seats]{reconcile.Refused[seats]("halo_refused", "Halo said: no.")}
	}
	b.step()
	b.tx(func(tx pgx.Tx) error {
		return b.engine.Retire(b.ctx, tx, reconcile.Reason{Code: "gone", Text: "It is gone."}, "c", "a")
	})
	rows, err := b.pool.Query(b.ctx, `select type from outbox where entity = 'change' order by seq`)
	if err != nil {
		t.Fatal(err)
	}
	types, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, verb := range []string{"applied", "drifted", "applied", "held", "released", "failed", "retired"} {
		want = append(want, "seatline.change."+verb+".v1")
	}
	if diff := cmp.Diff(want, types); diff != "" {
		t.Error(diff)
	}
}
