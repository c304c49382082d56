package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/rpc/list"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// change is one entry of the change log.
type change struct {
	connection, key, outcome, action, title string
	fields                                  []Field
	reason                                  Reason
	run, cause, who, trace                  string
	requestID, response                     string
	haloID                                  int64
	monthlyBefore, monthlyAfter             *decimal.Decimal
	currency                                string
	time                                    time.Time
}

// entry starts a change log entry from what a row says now.
func (e *Engine[D]) entry(x *row[D], outcome string, now time.Time) change {
	return change{
		connection: x.Connection, key: x.Key, outcome: outcome, action: e.Action(x.Item), title: x.Title,
		reason: x.Reason, run: x.Run, cause: x.Cause, who: x.Who, trace: x.Trace, haloID: x.HaloID,
		monthlyBefore: x.MonthlyBefore, monthlyAfter: x.MonthlyAfter, currency: x.Currency, time: now,
	}
}

// transition logs holds and releases. A connection that only observes holds everything: that is
// what its plan shows, and it is not logged item by item.
func (e *Engine[D]) transition(x *row[D], now time.Time) (change, bool) {
	switch {
	case x.State == Held && !x.Reason.OnlyShown():
		c := e.entry(x, "held", now)
		c.fields = e.Diff(x.Applied, orEmpty(x.Desired))
		return c, true
	case x.previous == Held && x.State == Pending && x.Who != "":
		return e.entry(x, "released", now), true
	case x.State == Retired && x.existed:
		return e.entry(x, "retired", now), true
	}
	return change{}, false
}

func orEmpty[D any](d *D) *D {
	if d == nil {
		return new(D)
	}
	return d
}

// appendChanges writes the entries and returns their events for the log stream.
func (e *Engine[D]) appendChanges(ctx context.Context, tx pgx.Tx, list []change) ([]event.Event, error) {
	if len(list) == 0 {
		return nil, nil
	}
	n := len(list)
	type strs = []string
	s := make([]strs, 13)
	for i := range s {
		s[i] = make(strs, n)
	}
	fields, mb, ma := make([]*string, n), make([]*string, n), make([]*string, n)
	halo, times := make([]int64, n), make([]time.Time, n)
	for i, c := range list {
		for j, v := range []string{
			c.connection, c.key, c.outcome, c.action, c.title, c.reason.Code, c.reason.Text,
			c.run, c.cause, c.who, c.requestID, c.response, c.currency,
		} {
			s[j][i] = v
		}
		b, err := json.Marshal(c.fields)
		if err != nil {
			return nil, fmt.Errorf("change of %s/%s: %w", c.connection, c.key, err)
		}
		text := string(b)
		fields[i] = &text
		mb[i], ma[i] = moneyText(c.monthlyBefore), moneyText(c.monthlyAfter)
		halo[i], times[i] = c.haloID, c.time
	}
	rows, err := tx.Query(ctx, `
		insert into changes (connection, key, outcome, action, title, reason_code, reason_text, run, cause, who,
			request_id, response, currency, fields, monthly_before, monthly_after, halo_id, time)
		select c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15::numeric, c16::numeric, c17, c18
		from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
			$9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::jsonb[], $15::text[], $16::text[],
			$17::bigint[], $18::timestamptz[]) with ordinality
			as t(c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15, c16, c17, c18, n)
		order by n
		returning id`,
		s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11], s[12],
		fields, mb, ma, halo, times)
	if err != nil {
		return nil, fmt.Errorf("append %d changes: %w", n, err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("append %d changes: %w", n, err)
	}
	events := make([]event.Event, n)
	for i, c := range list {
		id := e.changeID(ids[i])
		events[i] = event.Event{
			Type: "seatline.change." + c.outcome + ".v1", Entity: "change", Connection: c.connection, Key: id,
			Revision: c.time.UnixMicro(), Run: c.run, Cause: c.cause, TraceParent: c.trace,
			Source: "seatline/" + e.Service, Time: c.time, Log: true, Data: c.proto(id, e.Kind),
		}
	}
	return events, nil
}

func (c change) proto(id, kind string) *itemv1.Change {
	p := &itemv1.Change{
		Id: id, Connection: c.connection, Kind: kind, Key: c.key, Outcome: c.outcome, Action: c.action,
		Title: c.title, Run: c.run, Cause: c.cause, Who: c.who, RequestId: c.requestID, HaloId: c.haloID,
		Time: timestamppb.New(c.time), MonthlyBefore: moneyProto(c.monthlyBefore, c.currency),
		MonthlyAfter: moneyProto(c.monthlyAfter, c.currency), Changes: fieldsProto(c.fields),
	}
	if c.reason.Code != "" {
		p.Reason = &itemv1.Reason{Code: c.reason.Code, Text: c.reason.Text}
	}
	return p
}

func fieldsProto(fields []Field) []*itemv1.FieldChange {
	out := make([]*itemv1.FieldChange, len(fields))
	for i, f := range fields {
		out[i] = &itemv1.FieldChange{Field: f.Name, Before: f.Before, After: f.After}
	}
	return out
}

func moneyProto(d *decimal.Decimal, currency string) *moneyv1.Money {
	if d == nil {
		return nil
	}
	return &moneyv1.Money{Amount: d.String(), Currency: currency, Basis: moneyv1.Basis_BASIS_PER_MONTH}
}

var changeList = list.Spec{
	Noun: "changes",
	Fields: map[string]list.Field{
		"id": list.Integer("id"), "connection": list.Text("connection"), "key": list.Text("key"),
		"outcome": list.Text("outcome"), "action": list.Text("action"), "title": list.Text("title"),
		"reason": list.Text("reason_code"), "run": list.Text("run"), "who": list.Text("who"), "time": list.Time("time"),
	},
	Key:          []string{"id"},
	DefaultOrder: "id desc",
	Search:       []string{"title", "key"},
}

// ListChanges pages through the change log, the newest first.
func (e *Engine[D]) ListChanges(ctx context.Context, db list.DB, req *opsv1.ListChangesRequest) ([]*itemv1.Change, string, error) {
	q, err := changeList.Query(req, list.Scope{"connection": req.GetConnection()})
	if err != nil {
		return nil, "", err
	}
	return list.Collect(ctx, db, q, list.Select{
		Columns: `id, connection, key, outcome, action, title, fields, reason_code, reason_text, run, cause, who,
			request_id, halo_id, monthly_before::text, monthly_after::text, currency, time`,
		From: "changes",
	}, func(r pgx.CollectableRow) (*itemv1.Change, error) {
		var c change
		var id int64
		var before, after *string
		err := r.Scan(&id, &c.connection, &c.key, &c.outcome, &c.action, &c.title, &c.fields, &c.reason.Code, &c.reason.Text,
			&c.run, &c.cause, &c.who, &c.requestID, &c.haloID, &before, &after, &c.currency, &c.time)
		if err != nil {
			return nil, err
		}
		if c.monthlyBefore, err = parseMoney(before); err != nil {
			return nil, err
		}
		if c.monthlyAfter, err = parseMoney(after); err != nil {
			return nil, err
		}
		return c.proto(e.changeID(id), e.Kind), nil
	})
}

func (e *Engine[D]) changeID(id int64) string { return e.Service + "-" + strconv.FormatInt(id, 10) }
