package reconcile_test

import (
	"testing"

	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc/list"
	"seatline.dev/pkg/rpc/list/listtest"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// The plan and the change log of one connection among others are read from an index, wherever the page lies.
func TestAtScalePlanAndChangesAreFoundInAnIndex(t *testing.T) {
	b := setup(t, nil)
	for _, sql := range []string{
		`insert into items (connection, key, instance, revision, desired, state, reason_code, customer, follows, updated)
			select case when i % 2 = 0 then 'a' else 'b' end, lpad(i::text, 6, '0'), 'sim', 1, '{"Count": 1}', case when i % 10 < 2 then 5 else 2 end,
				case when i % 10 < 2 then 'observe' else '' end, 'Customer ' || i % 100, false, '2026-01-01' from generate_series(1, 16000) i`,
		`insert into changes (connection, key, outcome, action, run, time)
			select case when i % 2 = 0 then 'a' else 'b' end, lpad(i::text, 6, '0'), 'applied', 'update', 'r' || i / 1000, '2026-01-01' from generate_series(1, 16000) i`,
		`vacuum analyze items`, `vacuum analyze changes`,
	} {
		if _, err := b.pool.Exec(b.ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	db := &postgrestest.Explained{Pool: b.pool}
	for filter, want := range map[string]int{"": 6100, "state = held": 1600} {
		t.Run("plan "+filter, func(t *testing.T) {
			got, slow := listtest.Walk(t, db, func(size int32, token string) ([]*itemv1.PlanItem, string, error) {
				return b.engine.ListPlan(b.ctx, db, &opsv1.ListPlanItemsRequest{Connection: "a", Filter: filter, PageSize: size, PageToken: token})
			}, (*itemv1.PlanItem).GetKey)
			if got != want || slow != nil {
				t.Errorf("%d items, want %d; %v", got, want, slow)
			}
		})
	}
	for filter, want := range map[string]int{"": 6100, "run = r3": 500, `key = "000500"`: 1} {
		t.Run("changes "+filter, func(t *testing.T) {
			got, slow := listtest.Walk(t, db, func(size int32, token string) ([]*itemv1.Change, string, error) {
				return b.engine.ListChanges(b.ctx, db, &opsv1.ListChangesRequest{Connection: "a", Filter: filter, PageSize: size, PageToken: token})
			}, (*itemv1.Change).GetId)
			if got != want || slow != nil {
				t.Errorf("%d changes, want %d; %v", got, want, slow)
			}
		})
	}
}

// A listed item says of Halo what the item says, whichever of the two it has and whether they are equal.
func TestAListedItemIsTheItem(t *testing.T) {
	b := setup(t, nil)
	one, two := `{"Count": 1}`, `{"Count": 2}`
	want := map[string][2]*int{}
	for key, columns := range map[string][2]any{
		"in sync": {one, one}, "new": {one, nil}, "to be written": {two, one}, "retired": {nil, nil}, "forgotten": {nil, one},
	} {
		_, err := b.pool.Exec(b.ctx, `insert into items (connection, key, instance, revision, desired, applied, state, monthly_after, currency, updated)
			values ('c', $1, 'sim', 7, $2::text::jsonb, $3::text::jsonb, 2, 1.50, 'GBP', now())`, key, columns[0], columns[1])
		if err != nil {
			t.Fatal(err)
		}
		var counts [2]*int
		for i, c := range columns {
			if c != nil {
				n := map[any]int{one: 1, two: 2}[c]
				counts[i] = &n
			}
		}
		want[key] = counts
	}
	spec := list.Spec{Noun: "seats", Fields: map[string]list.Field{"key": list.Text("i.key")}, Key: []string{"key"}}
	q, err := spec.Query(&opsv1.ListPlanItemsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	items, _, err := reconcile.List(b.ctx, b.pool, q, reconcile.Listing{}, func(x reconcile.Item[seats]) (reconcile.Item[seats], error) { return x, nil })
	if err != nil || len(items) != len(want) {
		t.Fatalf("%d items, %v", len(items), err)
	}
	for _, x := range items {
		for i, got := range []*seats{x.Desired, x.Applied} {
			n := want[x.Key][i]
			if (got == nil) != (n == nil) || got != nil && got.Count != *n {
				t.Errorf("%s: %s is %v", x.Key, []string{"desired", "applied"}[i], got)
			}
		}
		if x.Revision != 7 || x.MonthlyBefore != nil || x.MonthlyAfter.String() != "1.5" || x.Currency != "GBP" {
			t.Errorf("%+v", x)
		}
	}
}
