package ctl

import (
	"context"
	"fmt"
	"io"
	"strings"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
)

// intyClients narrow a command to some customers.
type intyClients struct {
	intyArgs
	Clients []int64 `name:"client" placeholder:"ID" help:"Only these customers, by their numbers in Halo: one to begin with, for example."`
}

// IntyPreview is `inty preview`.
type IntyPreview struct{ intyClients }

func (cmd *IntyPreview) Run(ctx context.Context, c *Client) error {
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		p, err := client.GetPreview(ctx, &intyv1.PreviewRequest{Connection: cmd.Connection, ClientIds: cmd.Clients})
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printOne(c, p)
		}
		return printPreview(c, p)
	})
}

func printPreview(c *Client, p *intyv1.Preview) error {
	err := printList(c, p.GetItems(), false,
		column[*intyv1.PreviewItem]{"customer", func(x *intyv1.PreviewItem) string { return x.GetLine().GetClientName() }},
		column[*intyv1.PreviewItem]{"line", func(x *intyv1.PreviewItem) string {
			return fmt.Sprintf("%d/%d %s", x.GetLine().GetInvoiceId(), x.GetLine().GetLineId(), x.GetLine().GetDescription())
		}},
		column[*intyv1.PreviewItem]{"from", func(x *intyv1.PreviewItem) string { return fmt.Sprintf("%d %s", x.GetFromLicence(), x.GetFromName()) }},
		column[*intyv1.PreviewItem]{"to", func(x *intyv1.PreviewItem) string { return fmt.Sprintf("%d %s", x.GetToLicence(), x.GetToKey()) }},
		column[*intyv1.PreviewItem]{"seats", func(x *intyv1.PreviewItem) string {
			return orDash(x.GetQuantityBefore()) + " → " + orDash(x.GetQuantityAfter())
		}},
		column[*intyv1.PreviewItem]{"a month", func(x *intyv1.PreviewItem) string { return money(x.GetMonthlyBefore()) }},
		column[*intyv1.PreviewItem]{"then", func(x *intyv1.PreviewItem) string { return money(x.GetMonthlyAfter()) }},
		column[*intyv1.PreviewItem]{"pro rata", func(x *intyv1.PreviewItem) string { return x.GetProRata().GetText() }},
		column[*intyv1.PreviewItem]{"waits", func(x *intyv1.PreviewItem) string { return x.GetHeld().GetText() }},
	)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "\nA month ex VAT: %s now, %s then. %s at once, %d would wait; %s could be deactivated.\n", money(p.GetMonthlyBefore()), money(p.GetMonthlyAfter()),
		plural(int(p.GetWritable()), "line is written", "lines are written"), p.GetHeld(), plural(int(p.GetDeactivated()), "licence of Inty's", "licences of Inty's"))
	for _, note := range p.GetNotes() {
		fmt.Fprintln(c.out, "-", clean(note))
	}
	_, err = fmt.Fprintf(c.out, "Apply with --etag %s\n", p.GetEtag())
	return err
}

// IntyApply is `inty apply`.
type IntyApply struct {
	intyClients
	Etag       string `required:"" help:"Of the preview that is carried out, and nothing else."`
	Deactivate bool   `help:"Deactivate each of Inty's licences when no line links it any more."`
}

func (cmd *IntyApply) Run(ctx context.Context, c *Client) error {
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		answer, err := client.ApplyMigration(ctx, &intyv1.ApplyMigrationRequest{Connection: cmd.Connection, ClientIds: cmd.Clients, Etag: cmd.Etag, Deactivate: cmd.Deactivate})
		if err != nil {
			return err
		}
		return done(c, answer, "%s re-pointed; `seatline inty status %s` says how far they are.", plural(int(answer.GetLines()), "line is being", "lines are being"), cmd.Connection)
	})
}

// IntyVerify is `inty verify`.
type IntyVerify struct{ intyArgs }

func (cmd *IntyVerify) Run(ctx context.Context, c *Client) error {
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		v, err := client.VerifyMigration(ctx, cmd.request())
		if err != nil {
			return err
		}
		if len(v.GetWrong())+len(v.GetActive()) == 0 {
			return done(c, v, "%s as it should be in Halo.", plural(int(v.GetRight()), "line is", "lines are each"))
		}
		if c.Output == "json" {
			if err := printOne(c, v); err != nil {
				return err
			}
		}
		var wrong []string
		for _, l := range v.GetWrong() {
			wrong = append(wrong, clean(fmt.Sprintf("line %d/%d of %s is %s: %s", l.GetInvoiceId(), l.GetLineId(), l.GetClientName(), word(l.GetState()), orDash(l.GetStatus().GetReason().GetText()))))
		}
		for _, l := range v.GetActive() {
			wrong = append(wrong, clean(fmt.Sprintf("licence %d of %s (%s) is still active", l.GetHaloId(), l.GetClientName(), l.GetName())))
		}
		return &rpc.Exit{Code: rpc.ExitFailed, Err: fmt.Errorf("%d right, and these are not:\n%s", v.GetRight(), strings.Join(wrong, "\n"))}
	})
}

// IntyUndo is `inty undo`.
type IntyUndo struct{ intyClients }

func (cmd *IntyUndo) Run(ctx context.Context, c *Client) error {
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		answer, err := client.UndoMigration(ctx, &intyv1.UndoMigrationRequest{Connection: cmd.Connection, ClientIds: cmd.Clients})
		if err != nil {
			return err
		}
		return done(c, answer, "%s put back as it was.", plural(int(answer.GetLines()), "line is", "lines are each"))
	})
}

// IntyReport is `inty report`.
type IntyReport struct {
	intyArgs
	CSV  bool  `name:"csv" help:"Print the rows as a CSV file."`
	Last bool  `xor:"which" help:"The last report that was made, instead of a new one."`
	ID   int64 `xor:"which" help:"That report."`
}

func (cmd *IntyReport) Run(ctx context.Context, c *Client) error {
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) (err error) {
		var r *intyv1.Report
		if cmd.Last || cmd.ID != 0 {
			r, err = client.GetReport(ctx, &intyv1.GetReportRequest{Connection: cmd.Connection, Id: cmd.ID})
		} else {
			r, err = client.CreateReport(ctx, cmd.request())
		}
		if err != nil {
			return err
		}
		switch {
		case cmd.CSV:
			_, err = io.WriteString(c.out, r.GetCsv())
		case c.Output == "json":
			err = printOne(c, r)
		default:
			err = printReport(c, r)
		}
		if err == nil && r.GetLeft() > 0 {
			err = &rpc.Exit{Code: rpc.ExitHeld, Err: fmt.Errorf("%s a person", plural(int(r.GetLeft()), "row waits for", "rows wait for"))}
		}
		return err
	})
}

func printReport(c *Client, r *intyv1.Report) error {
	err := printList(c, r.GetRows(), false,
		column[*intyv1.ReportRow]{"kind", (*intyv1.ReportRow).GetKind},
		column[*intyv1.ReportRow]{"customer", (*intyv1.ReportRow).GetCustomer},
		column[*intyv1.ReportRow]{"what", (*intyv1.ReportRow).GetWhat},
		column[*intyv1.ReportRow]{"line", func(x *intyv1.ReportRow) string {
			if x.GetInvoiceId() == 0 {
				return "–"
			}
			return fmt.Sprintf("%d/%d", x.GetInvoiceId(), x.GetLineId())
		}},
		column[*intyv1.ReportRow]{"why", (*intyv1.ReportRow).GetWhy},
		column[*intyv1.ReportRow]{"next", func(x *intyv1.ReportRow) string { return orDash(x.GetNext()) }},
	)
	if err == nil {
		_, err = fmt.Fprintf(c.out, "\nReport %d of %s.\n", r.GetId(), when(r.GetTime()))
	}
	return err
}

// IntyReports is `inty reports`.
type IntyReports struct {
	intyArgs
	Limit int `short:"n" default:"20" help:"Rows to show at most; 0 for all."`
}

func (cmd *IntyReports) Run(ctx context.Context, c *Client) error {
	var rows []*intyv1.Report
	var more bool
	err := c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) (err error) {
		more, err = List{Limit: cmd.Limit}.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListReports(ctx, &intyv1.ListReportsRequest{Connection: cmd.Connection, PageSize: size, PageToken: token})
			rows = append(rows, page.GetReports()...)
			return len(page.GetReports()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*intyv1.Report]{"report", func(x *intyv1.Report) string { return fmt.Sprint(x.GetId()) }},
		column[*intyv1.Report]{"made", func(x *intyv1.Report) string { return when(x.GetTime()) }},
		column[*intyv1.Report]{"by", (*intyv1.Report).GetWho},
		column[*intyv1.Report]{"left to do", func(x *intyv1.Report) string { return fmt.Sprint(x.GetLeft()) }},
	)
}
