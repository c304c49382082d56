package licence

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// classes of parity in the order in which they outrank each other, each with how its number is read out. What belongs
// to which is said once, by the view "parity".
var classes = []struct{ name, text string }{
	{"gone", "licences in Halo are no longer in Giacom and still active"},
	{"stray", "licences in Halo look like Giacom's and belong to no subscription"},
	{"unmapped", "subscriptions belong to customers that are none of Halo's yet"},
	{"excluded", "subscriptions are left out on purpose"},
	{"waiting", "subscriptions wait for something that comes by itself"},
	{"ambiguous", "subscriptions need a person to say which licence or line is meant"},
	{"held", "subscriptions are held by a rule, or refused by Halo"},
	{"no_licence", "subscriptions have no licence in Halo"},
	{"customer", "licences belong to another customer in Halo"},
	{"count", "counts differ"},
	{"no_line", "subscriptions are on no invoice line"},
	{"price", "prices differ from the price rules"},
	{"cost", "purchase prices differ"},
	{"details", "subscriptions agree but for dates, words or our mark"},
	{"agrees", "subscriptions agree in everything"},
}

func parityList() list.Spec {
	words := make([]string, len(classes))
	for i, c := range classes {
		words[i] = c.name
	}
	return list.Spec{
		Noun: "parity rows",
		Fields: map[string]list.Field{
			"connection": list.Text("p.connection"), "key": list.Text("p.key"), "class": list.Words("p.class", words...),
			"mex_id": list.Text("p.mex_id"), "customer_name": list.Text("p.customer_name"), "name": list.Text("p.name"), "sku": list.Text("p.sku"),
			"state": list.Enum("p.state", itemv1.State(0).Descriptor()), "reason": list.Text("p.reason_code"),
			"halo_id": list.Integer("p.halo_id"), "halo_client_id": list.Integer("p.client_id"),
			"cost": list.Decimal("coalesce(p.cost, 0)"), "billed": list.Decimal("coalesce(p.billed, 0)"), "wanted": list.Decimal("coalesce(p.wanted, 0)"),
		},
		Key:    []string{"connection", "key"},
		Search: []string{"customer_name", "name", "key"},
	}
}

// GetParity counts the rows of each class, with their money.
func (s *service) GetParity(ctx context.Context, req *licencev1.GetParityRequest) (*licencev1.Parity, error) {
	c, err := connections.Read(ctx, s.Pool, req.GetConnection())
	if errors.Is(err, connections.ErrUnknown) {
		return nil, rpc.NotFound("connection", req.GetConnection()).Do("list them with `seatline connections list`")
	}
	if err != nil {
		return nil, err
	}
	spec := parityList()
	spec.MaxPageSize = 1 << 30 // the rows are counted, not sent
	q, err := spec.Query(&licencev1.ListParityRequest{PageSize: 1 << 30, Filter: req.GetFilter()}, list.Scope{"connection": req.GetConnection()})
	if err != nil {
		return nil, err
	}
	sql, args := q.SQL(list.Select{Columns: "p.class, p.currency, p.cost, p.billed, p.wanted", From: "parity p"})
	rows, err := s.Pool.Query(ctx, `select class, currency, count(*), sum(cost)::text, sum(billed)::text, sum(wanted)::text from (`+sql+`) x group by 1, 2 order by 1, 2`, args...)
	if err != nil {
		return nil, fmt.Errorf("count parity of %s: %w", req.GetConnection(), err)
	}
	byClass := map[string]*itemv1.Standing{}
	p := &licencev1.Parity{Connection: req.GetConnection()}
	for _, c := range classes {
		filter := fmt.Sprintf("class = %s", c.name)
		if req.GetFilter() != "" {
			filter = fmt.Sprintf("(%s) AND %s", req.GetFilter(), filter)
		}
		byClass[c.name] = &itemv1.Standing{Class: c.name, Text: c.text, Filter: filter}
		p.Classes = append(p.Classes, byClass[c.name])
	}
	var class, currency string
	var n int64
	var cost, billed, wanted *string
	_, err = pgx.ForEachRow(rows, []any{&class, &currency, &n, &cost, &billed, &wanted}, func() error {
		x := byClass[class]
		x.Count += n
		x.Cost, x.Billed, x.Wanted = withSum(x.Cost, cost, currency), withSum(x.Billed, billed, currency), withSum(x.Wanted, wanted, currency)
		if class != "gone" && class != "stray" {
			p.Subscriptions += n
		}
		if class == "agrees" || class == "details" {
			p.Agree += n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count parity of %s: %w", req.GetConnection(), err)
	}
	known, err := readInstance(ctx, s.Pool, c.GetHalo().GetInstance())
	if err != nil {
		return nil, err
	}
	if !known.ListedAt.IsZero() {
		p.LicencesReadTime = timestamppb.New(known.ListedAt)
	}
	return p, nil
}

func withSum(sums []*moneyv1.Money, sum *string, currency string) []*moneyv1.Money {
	if m := perMonth(sum, currency); m != nil {
		return append(sums, m)
	}
	return sums
}

// perMonth is a sum as PostgreSQL writes it; nil stays nil: not known is not nothing.
func perMonth(sum *string, currency string) *moneyv1.Money {
	if sum == nil {
		return nil
	}
	return &moneyv1.Money{Amount: *sum, Currency: currency, Basis: moneyv1.Basis_BASIS_PER_MONTH}
}

// ListParity pages through the rows.
func (s *service) ListParity(ctx context.Context, req *licencev1.ListParityRequest) (*licencev1.ListParityResponse, error) {
	q, err := parityList().Query(req)
	if err != nil {
		return nil, err
	}
	rows, next, err := list.Collect(ctx, s.Pool, q, list.Select{
		Columns: `p.connection, p.key, p.class, p.mex_id, p.customer_name, p.name, p.sku, p.halo_id, p.client_id, p.currency, p.seats_giacom, p.seats_halo,
			p.state, p.reason_code, p.reason_text, p.cost::text, p.billed::text, p.wanted::text, p.line_keys`,
		From: "parity p",
	}, func(r pgx.CollectableRow) (*licencev1.ParityRow, error) {
		x := &licencev1.ParityRow{}
		var reason itemv1.Reason
		var currency string
		var cost, billed, wanted *string
		err := r.Scan(&x.Connection, &x.Key, &x.Class, &x.MexId, &x.CustomerName, &x.Name, &x.Sku, &x.HaloId, &x.HaloClientId, &currency, &x.SeatsGiacom, &x.SeatsHalo,
			&x.State, &reason.Code, &reason.Text, &cost, &billed, &wanted, &x.LineKeys)
		if reason.Code != "" {
			x.Reason = &itemv1.Reason{Code: reason.Code, Text: reason.Text}
		}
		x.Cost, x.Billed, x.Wanted = perMonth(cost, currency), perMonth(billed, currency), perMonth(wanted, currency)
		return x, err
	})
	if err != nil {
		return nil, err
	}
	return &licencev1.ListParityResponse{Rows: rows, NextPageToken: next}, nil
}

// standing is what parity looks at of a line.
type standing struct {
	Present        bool
	State          int16
	Code, Text     string
	Differs        []string
	Billed, Wanted *string
}

func standingOf(l *invoicelinev1.Line) standing {
	x := standing{
		Present: !strings.HasPrefix(l.GetKey(), "add/"), State: int16(l.GetStatus().GetState()),
		Code: l.GetStatus().GetReason().GetCode(), Text: l.GetStatus().GetReason().GetText(), Differs: []string{},
		Billed: sumOf(l.GetMonthlyBefore()), Wanted: sumOf(l.GetMonthlyAfter()),
	}
	has, want := l.GetApplied(), l.GetDesired()
	if has.GetQuantity() != want.GetQuantity() {
		x.Differs = append(x.Differs, "count")
	}
	if m := want.GetUnitPrice(); m != nil && m.GetAmount() != has.GetUnitPrice().GetAmount() {
		x.Differs = append(x.Differs, "price")
	}
	if m := want.GetUnitCost(); m != nil && m.GetAmount() != has.GetUnitCost().GetAmount() {
		x.Differs = append(x.Differs, "cost")
	}
	return x
}

func sumOf(m *moneyv1.Money) *string {
	if m == nil {
		return nil
	}
	return &m.Amount
}
