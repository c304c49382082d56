package ctl

import (
	"context"
	"fmt"

	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
)

// Lines is the command of that name.
type Lines struct {
	Client
	List    LinesList    `cmd:"" help:"List lines."`
	Get     LinesGet     `cmd:"" help:"Show one."`
	Retry   LinesRetry   `cmd:"" help:"Try a failed one again."`
	Refresh LinesRefresh `cmd:"" help:"Read Halo's recurring invoices again now."`
}

// LinesList is `lines list`.
type LinesList struct {
	Connection string `arg:"" optional:"" help:"Of this connection only."`
	List
}

func (cmd *LinesList) Run(ctx context.Context, c *Client) error {
	var rows []*invoicelinev1.Line
	var more bool
	err := c.lines(ctx, func(ctx context.Context, client invoicelinev1.LineServiceClient) (err error) {
		more, err = cmd.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListLines(ctx, &invoicelinev1.ListLinesRequest{
				PageSize: size, PageToken: token, Filter: within(cmd.Connection, cmd.Filter), OrderBy: cmd.OrderBy,
			})
			rows = append(rows, page.GetLines()...)
			return len(page.GetLines()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*invoicelinev1.Line]{"connection", (*invoicelinev1.Line).GetConnection},
		column[*invoicelinev1.Line]{"key", (*invoicelinev1.Line).GetKey},
		column[*invoicelinev1.Line]{"bills", (*invoicelinev1.Line).GetClientName},
		column[*invoicelinev1.Line]{"line", (*invoicelinev1.Line).GetDescription},
		column[*invoicelinev1.Line]{"kind", func(x *invoicelinev1.Line) string { return word(x.GetKind()) }},
		column[*invoicelinev1.Line]{"quantity", func(x *invoicelinev1.Line) string { return orNone(x.GetDesired().GetQuantity()) }},
		column[*invoicelinev1.Line]{"price", func(x *invoicelinev1.Line) string { return money(x.GetDesired().GetUnitPrice()) }},
		column[*invoicelinev1.Line]{"a month", func(x *invoicelinev1.Line) string { return money(x.GetMonthlyBefore()) }},
		column[*invoicelinev1.Line]{"should be", func(x *invoicelinev1.Line) string { return money(x.GetMonthlyAfter()) }},
		column[*invoicelinev1.Line]{"next invoice", func(x *invoicelinev1.Line) string { return day(x.GetNextInvoiceTime()) }},
		column[*invoicelinev1.Line]{"state", func(x *invoicelinev1.Line) string { return word(x.GetStatus().GetState()) }},
		column[*invoicelinev1.Line]{"why", func(x *invoicelinev1.Line) string { return x.GetStatus().GetReason().GetText() }},
	)
}

// LinesGet is `lines get`.
type LinesGet struct{ keyArgs }

func (cmd *LinesGet) Run(ctx context.Context, c *Client) error {
	return c.lines(ctx, func(ctx context.Context, client invoicelinev1.LineServiceClient) error {
		l, err := client.GetLine(ctx, &invoicelinev1.GetLineRequest{Connection: cmd.Connection, Key: cmd.Key})
		if err != nil {
			return err
		}
		return printOne(c, l)
	})
}

// LinesRetry is `lines retry`.
type LinesRetry struct{ keyArgs }

func (cmd *LinesRetry) Run(ctx context.Context, c *Client) error {
	return c.lines(ctx, func(ctx context.Context, client invoicelinev1.LineServiceClient) error {
		l, err := client.RetryLine(ctx, &invoicelinev1.GetLineRequest{Connection: cmd.Connection, Key: cmd.Key})
		if err != nil {
			return err
		}
		return done(c, l, "%s: %s.", l.GetKey(), word(l.GetStatus().GetState()))
	})
}

// LinesRefresh is `lines refresh`.
type LinesRefresh struct {
	Connection string `arg:"" help:"Connection."`
}

func (cmd *LinesRefresh) Run(ctx context.Context, c *Client) error {
	return c.lines(ctx, func(ctx context.Context, client invoicelinev1.LineServiceClient) error {
		answer, err := client.RefreshLines(ctx, &invoicelinev1.RefreshLinesRequest{Connection: cmd.Connection})
		if err != nil {
			return err
		}
		return done(c, answer, "%s with %s read.", plural(int(answer.GetInvoices()), "invoice", "invoices"),
			fmt.Sprintf("%d lines of ours", answer.GetLines()))
	})
}
