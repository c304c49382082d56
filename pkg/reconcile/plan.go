package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc/list"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

var planList = list.Spec{
	Noun: "plan items",
	Fields: map[string]list.Field{
		"connection": list.Text("connection"), "key": list.Text("key"),
		"state": list.Enum("state", itemv1.State(0).Descriptor()), "reason": list.Text("reason_code"),
		"customer": list.Text("customer"), "title": list.Text("title"), "run": list.Text("run"),
	},
	Key:             []string{"connection", "key"},
	Search:          []string{"title", "customer", "key"},
	DefaultPageSize: 1000,
}

// ListPlan pages through the items whose desired differs from applied, or that follow another.
func (e *Engine[D]) ListPlan(ctx context.Context, db list.DB, req *opsv1.ListPlanItemsRequest) ([]*itemv1.PlanItem, string, error) {
	q, err := planList.Query(req, list.Scope{"connection": req.GetConnection()})
	if err != nil {
		return nil, "", err
	}
	return made(ctx, db, q, Listing{Where: "state not in (1, 7) or follows"},
		func(x Item[D]) (*itemv1.PlanItem, error) { return e.planItem(x), nil })
}

func (e *Engine[D]) planItem(x Item[D]) *itemv1.PlanItem {
	p := &itemv1.PlanItem{
		Connection: x.Connection, Kind: e.Kind, Key: x.Key, Title: x.Title, Customer: x.Customer,
		Status: x.Status(), Action: "none", Follows: x.Follows && x.State == InSync,
		MonthlyBefore: moneyProto(x.MonthlyBefore, x.Currency), MonthlyAfter: moneyProto(x.MonthlyAfter, x.Currency),
	}
	if x.Desired == nil {
		return p
	}
	if d := e.Diff(x.Applied, x.Desired); len(d) > 0 {
		p.Changes, p.Action = fieldsProto(d), e.Action(x)
	}
	return p
}

// Status is the part of an item that all contracts share.
func (x Item[D]) Status() *itemv1.Status {
	s := &itemv1.Status{State: itemv1.State(x.public()), HaloId: x.HaloID, Run: x.Run, Drifted: x.Drifted}
	if x.Reason.Code != "" {
		s.Reason = &itemv1.Reason{Code: x.Reason.Code, Text: x.Reason.Text}
	}
	if !x.Updated.IsZero() {
		s.UpdateTime = timestamppb.New(x.Updated)
	}
	return s
}

// Count is how many items of a connection are in a state for a reason, and since when the oldest is.
type Count struct {
	State  State
	Reason string
	N      int64
	Oldest time.Time
}

// Counts of a connection ("" for all) and run ("" for all).
func (e *Engine[D]) Counts(ctx context.Context, q Querier, connection, run string) ([]Count, error) {
	rows, err := q.Query(ctx, `
		select state, reason_code, count(*), min(updated) from items
		where ($1 = '' or connection = $1) and ($2 = '' or run = $2)
		group by state, reason_code order by state, reason_code`, connection, run)
	if err != nil {
		return nil, fmt.Errorf("count %s items: %w", e.Kind, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Count])
	if err != nil {
		return nil, fmt.Errorf("count %s items: %w", e.Kind, err)
	}
	return list, nil
}

// KindName tells what the items are: "customer", "licence" or "invoice-line".
func (e *Engine[D]) KindName() string { return e.Kind }
