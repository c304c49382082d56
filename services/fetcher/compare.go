package fetcher

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/event"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// A run is compared with the last picture entirely in the database: $1 is the run, $2 its connection, {staging} its
// staging table. Everything else the rules need is in the run's row, so that a held run is released by the same
// statements under the same rules.

// incoming is what the pull brought, one row for each key: of a subscription that came twice the last readable row, of
// a customer the fullest row (of its own path before those of feeds) with the tenants of all.
const incoming = `(
	select 2::smallint as entity, key, hash, body, mex_id, name, status_word, quantity, ended, false as derived
	from (select distinct on (key) * from {staging} where entity = 2 order by key, body is null, seq desc) s
	union all
	select 1::smallint, key, substring(sha256(body), 1, 16), body, key, name, status_word, '', false, derived
	from (
		select key,
			(array_agg(body order by body is null, derived, length(body) desc, body))[1] || string_agg(distinct tenant, ''::bytea order by tenant) as body,
			(array_agg(name order by body is null, derived, length(body) desc, body))[1] as name,
			(array_agg(status_word order by body is null, derived, length(body) desc, body))[1] as status_word,
			bool_and(derived) as derived
		from {staging} where entity = 1 group by key
	) c
) c`

// present says what a row that came (c), beside what we had of it (s), means; null for nothing.
const present = `case
	when s.key is null then case when c.body is not null then 'new' end
	when s.removal in (1, 3) or s.absent_since is not null then 'changed'
	when c.hash is not null and c.hash <> s.hash then 'changed'
	when s.removal = 2 and not s.removal_scheduled and r.scheduled then 'changed'
end`

// absence may be concluded only from a complete pull, and for customers only of those the run could have seen.
const conclusive = `(s.entity = 2 and r.subscriptions_complete or s.entity = 1 and r.customers_complete and (r.all_customers or not s.derived))`

// missing says what the absence of a row that we had (s) means; null for nothing to be told. A row that is over by its
// status, and a customer, are not shown as absent before that is proven. What another import method than that of the run
// listed is not missing but superseded, at once: the ids of methods differ, and its licence may go on under another.
const missing = `case
	when s.removal = 1 then case when s.entity = 2 and r.scheduled and not s.removal_scheduled then 'confirmed' end
	when s.removal = 3 then null
	when r.supersedes and s.entity = 2 and s.removal = 0 then 'superseded'
	when s.misses + 1 >= r.confirmations and (r.confirmations = 1 or r.start_time - coalesce(s.absent_since, r.start_time) >= r.removal_interval) then 'removed'
	when s.absent_since is null and s.entity = 2 and s.removal = 0 then 'absent'
end`

// lost: the row is missing, and that proves it gone.
const lost = `(c.key is null and ` + conclusive + ` and coalesce(` + missing + ` = 'removed', false))`

// uncounted: the absence of a row that we had (s) is not to be told yet, only counted.
const uncounted = `(` + conclusive + ` and s.removal not in (1, 3) and s.misses < r.confirmations and ` + missing + ` is null
	and coalesce(s.absent_since < r.start_time, true))`

// joined is everything that came beside everything we had.
const joined = incoming + ` full join (select * from seen where connection = $2) s on s.entity = c.entity and s.key = c.key
	cross join runs r where r.id = $1`

// found is what a comparison counts.
type found struct {
	customers, subscriptions *runv1.Counts
	shrink                   shrinkage
	// Rows that apply must write: new and changed ones, missing ones to be told, missing ones to be counted.
	present, missing, counted int64
}

// compare counts what the run would change. It writes nothing.
//
// Its memory allows for hashing whole accounts; compiling takes longer than the statement. The statistics it would like
// are not gathered: that takes as long as half the comparison, and a full join is hashed or merged in any case.
func compare(ctx context.Context, tx pgx.Tx, run, connection string) (found, error) {
	f := found{customers: &runv1.Counts{}, subscriptions: &runv1.Counts{}}
	if _, err := tx.Exec(ctx, `select set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true), set_config('work_mem', '64MB', true)`); err != nil {
		return f, fmt.Errorf("prepare the comparison: %w", err)
	}
	rows, err := tx.Query(ctx, staged(run, `
		select entity,
			count(*) filter (where came),
			count(*) filter (where brings = 'new'),
			count(*) filter (where brings = 'changed'),
			count(*) filter (where came and had and brings is null),
			count(*) filter (where not came and live and (absent or conclusive) and (tells is null or tells not in ('removed', 'superseded'))),
			count(*) filter (where tells = 'removed'),
			count(*) filter (where tells = 'superseded'),
			count(*) filter (where live),
			count(*) filter (where live and (ended or tells = 'removed')),
			count(*) filter (where tells is not null),
			count(*) filter (where counts)
		from (
			select coalesce(c.entity, s.entity) as entity, c.key is not null as came, s.key is not null as had, c.ended,
				s.key is not null and s.removal = 0 as live, s.absent_since is not null as absent, `+conclusive+` as conclusive,
				case when c.key is not null then `+present+` end as brings,
				case when c.key is null and `+conclusive+` then `+missing+` end as tells,
				c.key is null and `+uncounted+` as counts
			from `+joined+`
			offset 0 -- each is worked out once
		) j group by entity`), run, connection)
	if err != nil {
		return f, fmt.Errorf("compare with the last picture: %w", err)
	}
	var entity int16
	var n runv1.Counts
	var live, ended, missing, counted int64
	_, err = pgx.ForEachRow(rows, []any{
		&entity, &n.Seen, &n.New, &n.Changed, &n.Unchanged, &n.Absent, &n.Removed, &n.Superseded, &live, &ended, &missing, &counted,
	}, func() error {
		f.present += n.New + n.Changed
		f.missing += missing
		f.counted += counted
		counts := f.customers
		if entity == entitySubscription {
			counts = f.subscriptions
			f.shrink.live, f.shrink.ended = live, ended
		}
		counts.Seen, counts.New, counts.Changed, counts.Unchanged = n.Seen, n.New, n.Changed, n.Unchanged
		counts.Absent, counts.Removed, counts.Superseded = n.Absent, n.Removed, n.Superseded
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("compare with the last picture: %w", err)
	}
	if f.subscriptions.Removed == 0 {
		return f, nil
	}
	err = tx.QueryRow(ctx, staged(run, `
		with j as materialized (
			select s.mex_id as before, coalesce(nullif(c.mex_id, ''), s.mex_id) as after, s.removal = 0 and `+lost+` as lost,
				case when c.key is null then s.removal = 0 and not `+lost+` else not c.ended and (c.body is not null or s.removal = 0) end as lives
			from `+joined+` and coalesce(c.entity, s.entity) = 2
		), gone as (
			select before as mex_id from j where lost
			except
			select after from j where lives
		)
		select count(*), coalesce((array_agg(coalesce(nullif(k.name, ''), g.mex_id) order by g.mex_id))[1:3], '{}')
		from gone g left join seen k on k.connection = $2 and k.entity = 1 and k.key = g.mex_id`), run, connection).
		Scan(&f.shrink.gone, &f.shrink.goneNames)
	if err != nil {
		return f, fmt.Errorf("look for customers that vanish: %w", err)
	}
	return f, nil
}

const revision = `(extract(epoch from clock_timestamp()) * 1e6)::bigint`

// apply writes the new picture and its events, as far as the comparison found any.
func apply(ctx context.Context, tx pgx.Tx, run, connection string, f found) error {
	// The statements below join whole accounts, of which the planner's statistics may know nothing yet (a first import, a
	// fresh staging table): the nested loops it then prefers take minutes where hashing takes a second.
	if _, err := tx.Exec(ctx, `set local enable_nestloop = off`); err != nil {
		return fmt.Errorf("prepare to publish: %w", err)
	}
	for _, step := range []struct {
		rows int64
		what string
		do   func(context.Context, pgx.Tx, string, string) error
	}{
		{f.present, "publish what is new and changed", applyPresent},
		{f.missing, "publish what is missing", applyMissing},
		{f.counted, "count what is missing", applyCounted},
	} {
		if step.rows == 0 {
			continue
		}
		if err := step.do(ctx, tx, run, connection); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func applyPresent(ctx context.Context, tx pgx.Tx, run, connection string) error {
	_, err := event.PublishSelect(ctx, tx, staged(run, `
		insert into seen as t (connection, entity, key, revision, hash, body, mex_id, name, status_word, quantity, derived,
			removal, removal_scheduled, removed_since, last_run)
		select $2, c.entity, c.key, greatest(coalesce(s.revision, 0) + 1, `+revision+`), coalesce(c.hash, s.hash), coalesce(c.body, s.body),
			case when c.body is null then s.mex_id else c.mex_id end, case when c.body is null then s.name else c.name end,
			case when c.body is null then s.status_word else c.status_word end, case when c.body is null then s.quantity else c.quantity end,
			c.derived,
			case when c.ended then 2 else 0 end, c.ended and (r.scheduled or coalesce(s.removal = 2 and s.removal_scheduled, false)),
			case when c.ended then case when s.removal = 2 then s.removed_since else r.start_time end end, $1
		from runs r cross join `+incoming+` left join seen s on s.connection = $2 and s.entity = c.entity and s.key = c.key
		where r.id = $1 and `+present+` is not null
		order by c.entity, c.mex_id, c.key -- a customer's subscriptions travel together, and are decided about together
		on conflict (connection, entity, key) do update set
			revision = excluded.revision, hash = excluded.hash, body = excluded.body, mex_id = excluded.mex_id, name = excluded.name,
			status_word = excluded.status_word, quantity = excluded.quantity, derived = excluded.derived, misses = 0, absent_since = null,
			removal = excluded.removal, removal_scheduled = excluded.removal_scheduled, removed_since = excluded.removed_since, last_run = excluded.last_run
		returning `+published), run, connection)
	return err
}

// absent: the row we had (s) did not come.
const absent = `not exists (select from {staging} x where x.entity = s.entity and x.key = s.key)`

func applyMissing(ctx context.Context, tx pgx.Tx, run, connection string) error {
	_, err := event.PublishSelect(ctx, tx, staged(run, `
		update seen t set
			revision = greatest(t.revision + 1, `+revision+`), last_run = $1,
			misses = case when m.what in ('confirmed', 'superseded') then t.misses else least(t.misses + 1, m.confirmations) end,
			absent_since = coalesce(t.absent_since, m.start_time),
			removal = case m.what when 'removed' then 1 when 'superseded' then 3 else t.removal end,
			removal_scheduled = m.what not in ('absent', 'superseded') and m.scheduled or t.removal <> 0 and t.removal_scheduled,
			removed_since = case when m.what in ('removed', 'superseded') and t.removal <> 2 then coalesce(t.absent_since, m.start_time) else t.removed_since end
		from (
			select s.entity, s.key, `+missing+` as what, r.confirmations, r.start_time, r.scheduled
			from seen s cross join runs r where r.id = $1 and s.connection = $2 and `+conclusive+` and `+absent+`
		) m
		where t.connection = $2 and t.entity = m.entity and t.key = m.key and m.what is not null
		returning `+published), run, connection)
	return err
}

func applyCounted(ctx context.Context, tx pgx.Tx, run, connection string) error {
	_, err := tx.Exec(ctx, staged(run, `
		update seen t set misses = least(t.misses + 1, m.confirmations), absent_since = coalesce(t.absent_since, m.start_time), last_run = $1
		from (
			select s.entity, s.key, r.confirmations, r.start_time
			from seen s cross join runs r where r.id = $1 and s.connection = $2 and `+absent+` and `+uncounted+`
		) m
		where t.connection = $2 and t.entity = m.entity and t.key = m.key`), run, connection)
	return err
}

// published turns a written row (t) into its event. $1 is the run.
const published = `
	case when t.entity = 1 then case when t.removal = 1 then 'seatline.giacom.customer.removed.v1' else 'seatline.giacom.customer.changed.v1' end
		else case when t.removal in (1, 3) then 'seatline.giacom.subscription.removed.v1' else 'seatline.giacom.subscription.changed.v1' end end as type,
	case when t.entity = 1 then 'giacom-customer' else 'giacom-subscription' end as entity,
	t.connection, t.key, t.revision, t.last_run as run, null::text as cause, 'seatline/fetcher' as source,
	case when t.entity = 1 then t.body else t.body || mark(case when t.removal = 0 then t.absent_since end, t.removal, t.removal_scheduled, t.removed_since) end as payload`

func staged(run, sql string) string { return strings.ReplaceAll(sql, "{staging}", stagingTable(run)) }

func stagingTable(run string) string {
	return pgx.Identifier{stagingPrefix + strings.ReplaceAll(run, "-", "")}.Sanitize()
}

const stagingPrefix = "staging_"
