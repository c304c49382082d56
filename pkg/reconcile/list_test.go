package reconcile_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc/list"
	"seatline.dev/pkg/rpc/list/listtest"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
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
	var items []reconcile.Item[seats]
	_, _, err = reconcile.List(b.ctx, b.pool, q, reconcile.Listing{}, func(x reconcile.Item[seats]) (*itemv1.PlanItem, error) {
		items = append(items, x)
		return &itemv1.PlanItem{}, nil
	})
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

// A list shows of an item what its event says, as it was kept or, where that is not kept, made anew.
func TestAListShowsWhatEventsSay(t *testing.T) {
	made := 0
	show := func(x reconcile.Item[seats]) (*licencev1.Licence, error) {
		made++
		l := &licencev1.Licence{Connection: x.Connection, Key: x.Key, Etag: strconv.FormatInt(x.Revision, 10), Status: x.Status()}
		l.ProtoReflect().SetUnknown(x.Facts)
		return l, nil
	}
	b := setup(t, func(c *reconcile.Config[seats]) {
		c.Listed, c.TellAfter = true, time.Minute
		c.Event = func(x reconcile.Item[seats]) (event.Event, error) {
			l, err := show(x)
			return event.Event{Type: "seatline.seats.changed.v1", Entity: "seats", Data: l}, err
		}
	})
	facts, err := proto.Marshal(&licencev1.Licence{ReplacedBy: "somebody", Candidates: []*licencev1.Candidate{{HaloId: 7, Name: "a candidate"}}})
	if err != nil {
		t.Fatal(err)
	}
	spec := list.Spec{Noun: "seats", Fields: map[string]list.Field{"key": list.Text("i.key")}, Key: []string{"key"}}
	listed := func(db list.DB) *licencev1.ListLicencesResponse {
		t.Helper()
		q, err := spec.Query(&opsv1.ListPlanItemsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		page, _, err := reconcile.List(b.ctx, db, q, reconcile.Listing{}, show)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := proto.Marshal(&licencev1.ListLicencesResponse{Licences: page})
		if err != nil {
			t.Fatal(err)
		}
		got := &licencev1.ListLicencesResponse{}
		if err := proto.Unmarshal(encoded, got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	check := func(when string, keys int, kept bool) {
		t.Helper()
		made = 0
		got := listed(b.pool)
		if made > 0 == kept || len(got.Licences) != keys || got.Licences[0].ReplacedBy != "somebody" || len(got.Licences[0].Candidates) != 1 {
			t.Errorf("%s: %d of %d were made, and the list is %v", when, made, keys, got)
		}
		if kept {
			var most int
			if err := b.pool.QueryRow(b.ctx, `select max(octet_length(shown)) from items where position($1::bytea in shown) > 0`, facts).Scan(&most); err == nil {
				t.Errorf("%s: facts are kept twice", when)
			}
		}
		tx, err := b.pool.Begin(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback(b.ctx)
		if _, err := tx.Exec(b.ctx, `update items set shown = null`); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(listed(tx), got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-made +kept):\n%s", when, diff)
		}
	}
	a, other := want("a", 1), want("b", 1)
	a.Facts, other.Facts = facts, facts
	b.desire(a, other)
	check("untold", 2, false)
	for b.step() > 0 {
	}
	check("written", 2, true)
	b.clock.Advance(1500 * time.Nanosecond) // the database keeps microseconds
	b.tx(func(tx pgx.Tx) error {
		return b.engine.Observe(b.ctx, tx, reconcile.Seen[seats]{Connection: a.Connection, Key: a.Key, Observed: &seats{9}})
	})
	check("changed by hand", 2, true)
	a.Verdict = reconcile.Hold("rule", "A rule holds it.")
	b.desire(a)
	check("held", 2, true)
	if _, err := b.pool.Exec(b.ctx, `update items set revision = revision + 1, reason_text = 'Another release wrote this.' where key = 'a'`); err != nil {
		t.Fatal(err)
	}
	check("written by a release that keeps nothing", 2, false)
	a.Desired, a.Verdict = nil, reconcile.Verdict{}
	b.desire(a)
	check("retired", 2, true)
	if _, err := b.pool.Exec(b.ctx, `update items set shown = null`); err != nil {
		t.Fatal(err)
	}
	if n, err := b.engine.Keep(b.ctx); n != 2 || err != nil {
		t.Errorf("kept what is shown of %d items, %v", n, err)
	}
	check("kept since", 2, true)
}
