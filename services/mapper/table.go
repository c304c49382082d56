package mapper

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// standingSQL is seatline.mapping.v1.Standing of a row of tableFrom.
const standingSQL = `(case c.state when 1 then case when c.reason_code = '' then 1 else 6 end when 2 then 2 when 4 then 5
	else case when g.client_id is not null and g.ambiguity = '' then 3 else 4 end end)`

// overdueSQL: $5 is the present time.
const overdueSQL = `(coalesce(n.live, 0) > 0 and c.state = 3 and coalesce(c.unmapped_since < $5::timestamptz - make_interval(secs => b.alert_after), false))`

// nameSQL: customers without a name of their own in the feed take that of their first subscription.
const nameSQL = `coalesce(nullif(c.name, ''), (select s.customer_name from subscriptions s where s.connection = c.connection and s.mex_id = c.mex_id
	and s.customer_name <> '' order by s.key limit 1), '')`

// tableFrom joins each customer with its sums and its suggestion, for many customers at once.
const tableFrom = `customers c left join ` + basesSQL + ` on b.slug = c.connection
	left join (
		select t.connection, t.mex_id, sum(t.live) as live, sum(t.unpriced) as unpriced, sum(t.monthly) filter (where t.own) as monthly,
			jsonb_object_agg(t.currency, t.monthly) filter (where t.monthly is not null) as sums
		from (
			select s.connection, s.mex_id, s.currency, s.currency = b.currency as own, count(*) filter (where not s.gone) as live,
				count(*) filter (where not s.gone and s.decision = 0 and ` + monthlySQL + ` is null) as unpriced,
				sum(` + monthlySQL + `) filter (where not s.gone and s.decision = 0) as monthly
			from subscriptions s left join ` + basesSQL + ` on b.slug = s.connection
			group by s.connection, s.mex_id, s.currency, b.currency
		) t group by t.connection, t.mex_id
	) n on n.connection = c.connection and n.mex_id = c.mex_id
	left join suggestions g on g.connection = c.connection and g.mex_id = c.mex_id and (c.state in (0, 3) or c.state = 1 and c.reason_code <> '')`

const tableColumns = `c.connection, c.mex_id, c.name, ` + nameSQL + `, c.in_feed,
	c.decision, c.decided_client, c.decided_origin, c.decided_reason, c.who,
	c.state, c.client_id, c.client_name, c.origin, c.reason_code, c.reason_text, c.version, c.updated, c.run, c.cause, c.trace, c.changed_by, coalesce(n.live, 0)::int,
	` + standingSQL + `, coalesce(n.sums, '{}'), coalesce(n.unpriced, 0)::int, c.previous_name, c.renamed,
	coalesce(g.candidates, '[]'), coalesce(g.ambiguity, ''), c.unmapped_since, ` + overdueSQL

// shown is the condition of a customer that Giacom has, or that a person decided about.
const shown = `(c.in_feed or coalesce(n.live, 0) > 0 or c.decision <> 0)`

var mappings = list.Spec{
	Noun: "mappings",
	Fields: map[string]list.Field{
		"connection": list.Text("c.connection"), "mex_id": list.Text("c.mex_id"), "giacom_name": list.Text(nameSQL),
		"state": list.Enum("c.state", mappingv1.State(0).Descriptor()), "standing": list.Enum(standingSQL, mappingv1.Standing(0).Descriptor()),
		"origin": list.Enum("c.origin", mappingv1.Origin(0).Descriptor()),
		"reason": list.Text("c.reason_code"), "halo_client_id": list.Integer("c.client_id"), "halo_client_name": list.Text("c.client_name"),
		"subscriptions": list.Integer("coalesce(n.live, 0)"), "monthly": list.Decimal("coalesce(n.monthly, 0)"), "unpriced": list.Integer("coalesce(n.unpriced, 0)"),
		"score": list.Integer("coalesce(g.score, 0)"), "renamed": list.Bool("(c.previous_name <> '')"), "rename_time": list.Time("coalesce(c.renamed, 'epoch')"),
		"overdue": list.Bool(overdueSQL), "unmapped_since": list.Time("coalesce(c.unmapped_since, 'epoch')"), "update_time": list.Time("c.updated"),
	},
	Key:    []string{"connection", "mex_id"},
	Search: []string{"giacom_name", "halo_client_name", "mex_id"},
}

// tableRow is a customer with everything a table shows of it.
type tableRow struct {
	record
	Standing      mappingv1.Standing
	Monthly       amounts
	Unpriced      int32
	PreviousName  string
	Renamed       *time.Time
	Candidates    []candidate
	Ambiguity     string
	UnmappedSince *time.Time
	Overdue       bool
}

func scanTable(r pgx.CollectableRow) (x tableRow, err error) {
	err = r.Scan(append(x.targets(), &x.Standing, &x.Monthly, &x.Unpriced, &x.PreviousName, &x.Renamed, &x.Candidates, &x.Ambiguity, &x.UnmappedSince, &x.Overdue)...)
	return x, err
}

// tableArgs are $1 to $5 of tableFrom and tableColumns.
func (s *service) tableArgs(ctx context.Context, q querier) ([]any, error) {
	all, err := connections.All(ctx, q)
	if err != nil {
		return nil, err
	}
	return append(basesOf(all).args(), s.Clock.Now()), nil
}

// ListMappings pages through the customers that Giacom has, and those that a person decided about.
func (s *service) ListMappings(ctx context.Context, req *mappingv1.ListMappingsRequest) (*mappingv1.ListMappingsResponse, error) {
	q, err := mappings.Query(req)
	if err != nil {
		return nil, err
	}
	found, next, err := s.collectTable(ctx, q, shown)
	return &mappingv1.ListMappingsResponse{Mappings: found, NextPageToken: next}, err
}

func (s *service) collectTable(ctx context.Context, q *list.Query, where string) ([]*mappingv1.Mapping, string, error) {
	args, err := s.tableArgs(ctx, s.Pool)
	if err != nil {
		return nil, "", err
	}
	found, next, err := list.Collect(ctx, s.Pool, q, list.Select{Columns: tableColumns, From: tableFrom, Where: where, Args: args}, scanTable)
	if err != nil {
		return nil, "", err
	}
	out, err := s.withStatus(ctx, found)
	return out, next, err
}

// readTable reads rows by a condition whose arguments begin with $6.
func (s *service) readTable(ctx context.Context, q querier, where string, more ...any) ([]tableRow, error) {
	args, err := s.tableArgs(ctx, q)
	if err != nil {
		return nil, err
	}
	rows, err := q.Query(ctx, `select `+tableColumns+` from `+tableFrom+` where `+where, append(args, more...)...)
	if err != nil {
		return nil, fmt.Errorf("read mappings: %w", err)
	}
	found, err := pgx.CollectRows(rows, scanTable)
	if err != nil {
		return nil, fmt.Errorf("read mappings: %w", err)
	}
	return found, nil
}

// GetMapping returns the mapping of one customer.
func (s *service) GetMapping(ctx context.Context, req *mappingv1.GetMappingRequest) (*mappingv1.Mapping, error) {
	found, err := s.readTable(ctx, s.Pool, `c.connection = $6 and c.mex_id = $7`, req.GetConnection(), mexID(req.GetMexId()))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, noCustomer(req.GetConnection(), mexID(req.GetMexId()))
	}
	out, err := s.withStatus(ctx, found)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func noCustomer(connection, id string) error {
	return rpc.NotFound("customer", connection+"/"+id).Do("look for it with `seatline mappings list`")
}

// withStatus completes mappings with the state of their items.
func (s *service) withStatus(ctx context.Context, found []tableRow) ([]*mappingv1.Mapping, error) {
	list, ids := make([]string, len(found)), make([]string, len(found))
	for i, c := range found {
		list[i], ids[i] = c.Connection, c.MexID
	}
	items, err := s.engine.Query(ctx, s.Pool, `(connection, key) in (select * from unnest($1::text[], $2::text[]))`, list, ids)
	if err != nil {
		return nil, err
	}
	known := map[[2]string]item{}
	for _, x := range items {
		known[[2]string{x.Connection, x.Key}] = x
	}
	out := make([]*mappingv1.Mapping, len(found))
	for i, c := range found {
		out[i] = c.proto()
		if x, ok := known[[2]string{c.Connection, c.MexID}]; ok {
			out[i].Status = x.Status()
		}
	}
	return out, nil
}

// proto is the mapping with what only Get and List tell.
func (x tableRow) proto() *mappingv1.Mapping {
	m := x.record.proto()
	m.Standing, m.Monthly, m.Unpriced, m.PreviousGiacomName = x.Standing, x.Monthly.money(), x.Unpriced, x.PreviousName
	m.Candidates, m.Ambiguity, m.Overdue, m.ChangedBy = candidatesProto(x.Candidates), x.Ambiguity, x.Overdue, x.ChangedBy
	if x.Renamed != nil {
		m.RenameTime = timestamppb.New(*x.Renamed)
	}
	if x.UnmappedSince != nil {
		m.UnmappedSince = timestamppb.New(*x.UnmappedSince)
	}
	return m
}

func candidatesProto(all []candidate) []*mappingv1.Candidate {
	var out []*mappingv1.Candidate
	for _, c := range all {
		out = append(out, &mappingv1.Candidate{HaloClientId: c.ClientID, HaloClientName: c.Name, Score: c.Score, Reasons: c.Reasons})
	}
	return out
}
