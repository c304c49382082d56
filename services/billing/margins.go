package billing

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

func marginList() list.Spec {
	return list.Spec{
		Noun: "margins",
		Fields: map[string]list.Field{
			"connection": list.Text("m.connection"), "client_id": list.Integer("m.client_id"), "client_name": list.Text("m.client_name"), "currency": list.Text("m.currency"),
			"lines": list.Integer("m.lines"), "cost": list.Decimal("m.cost"), "price": list.Decimal("m.price"), "margin": list.Decimal("m.margin"),
			// Without a price there is no percentage: such a customer sorts below all others.
			"percent": list.Decimal("coalesce(round(100 * m.margin / nullif(m.price, 0), 1), -1000000)"),
		},
		Key:    []string{"connection", "client_id", "currency"},
		Search: []string{"client_name"},
	}
}

// ListMargins pages through what each customer brings in and costs, with the sums of all that the filter gives.
func (l *lineServer) ListMargins(ctx context.Context, req *invoicelinev1.ListMarginsRequest) (*invoicelinev1.ListMarginsResponse, error) {
	if _, err := l.connection(ctx, req.GetConnection()); err != nil {
		return nil, err
	}
	scope := list.Scope{"connection": req.GetConnection()}
	spec := marginList()
	q, err := spec.Query(req, scope)
	if err != nil {
		return nil, err
	}
	resp := &invoicelinev1.ListMarginsResponse{}
	resp.Margins, resp.NextPageToken, err = list.Collect(ctx, l.s.pool, q, list.Select{
		Columns: "m.client_id, m.client_name, m.currency, m.lines, m.cost, m.price", From: "margins m",
	}, scanMargin)
	if err != nil {
		return nil, err
	}
	spec.MaxPageSize = 1 << 30 // summed, not sent
	whole, err := spec.Query(&invoicelinev1.ListMarginsRequest{PageSize: 1 << 30, Filter: req.GetFilter()}, scope)
	if err != nil {
		return nil, err
	}
	sql, args := whole.SQL(list.Select{Columns: "m.currency, m.lines, m.cost, m.price", From: "margins m"})
	rows, err := l.s.pool.Query(ctx, `select 0::bigint, '', currency, sum(lines)::bigint, sum(cost), sum(price) from (`+sql+`) x group by currency order by currency`, args...)
	if err != nil {
		return nil, fmt.Errorf("sum margins of %s: %w", req.GetConnection(), err)
	}
	resp.Totals, err = pgx.CollectRows(rows, scanMargin)
	if err != nil {
		return nil, fmt.Errorf("sum margins of %s: %w", req.GetConnection(), err)
	}
	return resp, nil
}

func scanMargin(r pgx.CollectableRow) (*invoicelinev1.Margin, error) {
	m := &invoicelinev1.Margin{}
	var currency string
	var cost, price decimal.Decimal
	if err := r.Scan(&m.ClientId, &m.ClientName, &currency, &m.Lines, &cost, &price); err != nil {
		return nil, err
	}
	margin := price.Sub(cost)
	perMonth := func(d decimal.Decimal) *moneyv1.Money { return money(&d, currency, moneyv1.Basis_BASIS_PER_MONTH) }
	m.Cost, m.Price, m.Margin = perMonth(cost), perMonth(price), perMonth(margin)
	if price.IsPositive() {
		m.Percent = margin.Mul(decimal.NewFromInt(100)).DivRound(price, 1).StringFixed(1)
	}
	return m, nil
}

// connection is that of a request, as long as there is one.
func (l *lineServer) connection(ctx context.Context, slug string) (Settings, error) {
	c, err := connections.Read(ctx, l.s.pool, slug)
	if errors.Is(err, connections.ErrUnknown) {
		return Settings{}, rpc.NotFound("connection", slug).Do("list them with `seatline connections list`")
	}
	if err != nil {
		return Settings{}, err
	}
	return settingsOf(c), nil
}
