package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// Waiting groups what is not in sync by state and reason, the most frequent first, with its money.
func (e *Engine[D]) Waiting(ctx context.Context, q Querier, connection string) ([]*opsv1.Waiting, error) {
	rows, err := q.Query(ctx, `
		with waiting as (
			select case when state = 3 then 2 else state end as state, reason_code, reason_text, updated, currency, monthly_before, monthly_after
			from items where connection = $1 and state in (2, 3, 4, 5, 6)
		), sums as (
			select state, reason_code, jsonb_agg(jsonb_build_object('c', currency, 'b', before::text, 'a', after::text) order by currency) as sums
			from (select state, reason_code, currency, sum(monthly_before) as before, sum(monthly_after) as after from waiting group by 1, 2, 3) s
			group by 1, 2
		)
		select state, reason_code, min(reason_text), count(*), min(updated), sums
		from waiting join sums using (state, reason_code) group by state, reason_code, sums
		order by 4 desc, 1, 2`, connection)
	if err != nil {
		return nil, fmt.Errorf("count waiting %s items: %w", e.Kind, err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*opsv1.Waiting, error) {
		w := &opsv1.Waiting{Kind: e.Kind}
		var reason Reason
		var oldest time.Time
		var sums []byte
		if err := r.Scan(&w.State, &reason.Code, &reason.Text, &w.Count, &oldest, &sums); err != nil {
			return nil, err
		}
		w.Oldest = timestamppb.New(oldest)
		w.Filter = "state = (pending OR applying)"
		if w.State != itemv1.State_STATE_PENDING {
			w.Filter = "state = " + stateWord(w.State)
		}
		if reason.Code != "" {
			w.Reason = &itemv1.Reason{Code: reason.Code, Text: reason.Text}
			w.Filter += fmt.Sprintf(" AND reason = %q", reason.Code)
		}
		w.Before, w.After, err = readSums(sums)
		return w, err
	})
	if err != nil {
		return nil, fmt.Errorf("count waiting %s items: %w", e.Kind, err)
	}
	return list, nil
}

func stateWord(s itemv1.State) string {
	return map[itemv1.State]string{itemv1.State_STATE_PARKED: "parked", itemv1.State_STATE_HELD: "held", itemv1.State_STATE_FAILED: "failed"}[s]
}

// readSums reads [{"c": currency, "b": sum, "a": sum}], in which a sum of nothing known is null.
func readSums(text []byte) (before, after []*moneyv1.Money, err error) {
	var list []struct {
		C    string
		B, A *string
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, nil, err
	}
	for _, s := range list {
		before, after = withSum(before, s.B, s.C), withSum(after, s.A, s.C)
	}
	return before, after, nil
}

func withSum(sums []*moneyv1.Money, sum *string, currency string) []*moneyv1.Money {
	if sum == nil {
		return sums
	}
	return append(sums, &moneyv1.Money{Amount: *sum, Currency: currency, Basis: moneyv1.Basis_BASIS_PER_MONTH})
}

// ChangeDays groups what was written to Halo in a time by day, in a zone that PostgreSQL knows, and by what it was.
func (e *Engine[D]) ChangeDays(ctx context.Context, q Querier, connection string, from, to time.Time, zone string) ([]*opsv1.ChangeDay, error) {
	rows, err := q.Query(ctx, `
		with applied as (
			select to_char(c.time at time zone $4, 'YYYY-MM-DD') as date, c.currency, c.monthly_after - c.monthly_before as difference,
				(select (f->>'a')::numeric - coalesce(nullif(f->>'b', '')::numeric, 0) from jsonb_array_elements(case jsonb_typeof(c.fields) when 'array' then c.fields else '[]' end) f
					where f->>'f' in ('count', 'quantity') limit 1) as seats,
				c.action, c.fields
			from changes c where c.connection = $1 and c.time >= $2 and c.time < $3 and c.outcome = 'applied'
		), classed as (
			select date, currency, difference, case
				when action in ('create', 'add', 'adopt', 'reactivate') then 'added'
				when action in ('deactivate', 'unlink') then 'removed'
				when seats > 0 then 'seats_up'
				when seats < 0 then 'seats_down'
				when fields @? '$[*] ? (@.f == "purchase_price" || @.f == "price" || @.f == "unit_price" || @.f == "unit_cost")' then 'price'
				else 'other' end as class
			from applied
		)
		select date, class, currency, count(*), sum(difference)::text from classed group by 1, 2, 3 order by 1, 2, 3`, connection, from, to, zone)
	if err != nil {
		return nil, fmt.Errorf("group %s changes: %w", e.Kind, err)
	}
	var days []*opsv1.ChangeDay
	var date, class, currency string
	var n int64
	var sum *string
	_, err = pgx.ForEachRow(rows, []any{&date, &class, &currency, &n, &sum}, func() error {
		at := slices.IndexFunc(days, func(d *opsv1.ChangeDay) bool { return d.GetDate() == date && d.GetClass() == class })
		if at < 0 {
			days, at = append(days, &opsv1.ChangeDay{Date: date, Kind: e.Kind, Class: class}), len(days)
		}
		days[at].Count += n
		if currency != "" { // a customer has no money
			days[at].Difference = withSum(days[at].Difference, sum, currency)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("group %s changes: %w", e.Kind, err)
	}
	return days, nil
}
