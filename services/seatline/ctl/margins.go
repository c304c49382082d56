package ctl

import (
	"context"
	"fmt"

	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	"seatline.dev/services/overview"
)

// Margins is the command of that name.
type Margins struct {
	Client
	Connection string `arg:"" help:"Connection."`
	Filter     string `short:"f" help:"AIP-160 filter of client_id, client_name, currency, lines, cost, price, margin and percent, for example 'margin < 0' or 'percent < 10'. The totals are of what it finds."`
	OrderBy    string `name:"order-by" default:"margin" help:"Fields to order by, for example 'percent' or 'price desc'."`
	Limit      int    `short:"n" default:"100" help:"Rows to show at most; 0 for all. The totals count all."`
}

func (cmd *Margins) Run(ctx context.Context, c *Client) error {
	var rows, totals []*invoicelinev1.Margin
	var more bool
	err := c.lines(ctx, func(ctx context.Context, client invoicelinev1.LineServiceClient) (err error) {
		more, err = List{Limit: cmd.Limit}.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListMargins(ctx, &invoicelinev1.ListMarginsRequest{
				Connection: cmd.Connection, PageSize: size, PageToken: token, Filter: cmd.Filter, OrderBy: cmd.OrderBy,
			})
			rows, totals = append(rows, page.GetMargins()...), page.GetTotals()
			return len(page.GetMargins()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	if err := printMargins(c, rows, more); err != nil || c.Output == "json" {
		return err
	}
	for _, m := range totals {
		if _, err := fmt.Fprintln(c.out, clean(marginText(m))); err != nil {
			return err
		}
	}
	return nil
}

func printMargins(c *Client, rows []*invoicelinev1.Margin, more bool) error {
	return printList(c, rows, more,
		column[*invoicelinev1.Margin]{"customer", (*invoicelinev1.Margin).GetClientName},
		column[*invoicelinev1.Margin]{"halo id", func(m *invoicelinev1.Margin) string { return orDash(fmt.Sprint(m.GetClientId())) }},
		column[*invoicelinev1.Margin]{"lines", func(m *invoicelinev1.Margin) string { return overview.Count(m.GetLines()) }},
		column[*invoicelinev1.Margin]{"price", func(m *invoicelinev1.Margin) string { return overview.Amount(m.GetPrice()) }},
		column[*invoicelinev1.Margin]{"cost", func(m *invoicelinev1.Margin) string { return overview.Amount(m.GetCost()) }},
		column[*invoicelinev1.Margin]{"margin", func(m *invoicelinev1.Margin) string { return overview.Amount(m.GetMargin()) }},
		column[*invoicelinev1.Margin]{"%", func(m *invoicelinev1.Margin) string { return orDash(m.GetPercent()) }},
	)
}

// marginText sums up what lines of ours bill in one currency.
func marginText(m *invoicelinev1.Margin) string {
	return fmt.Sprintf("Our lines bill %s a month ex VAT for what costs %s: margin %s (%s %%).",
		overview.Amount(m.GetPrice()), overview.Amount(m.GetCost()), overview.Amount(m.GetMargin()), orDash(m.GetPercent()))
}
