package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/runreport"
)

// callConsole is for calls that ask Giacom or Halo, which take longer than others.
func (c *Client) callConsole(ctx context.Context, do func(context.Context, connectionClient) error) error {
	return c.callFor(ctx, max(c.Timeout, 6*time.Minute), Console, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		return do(ctx, connectionv1.NewConnectionServiceClient(conn))
	})
}

func (c *Client) integrator(ctx context.Context, do func(context.Context, runv1.IntegratorServiceClient) error) error {
	return c.callFor(ctx, max(c.Timeout, 6*time.Minute), Console, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		return do(ctx, runv1.NewIntegratorServiceClient(conn))
	})
}

// Integrator is the command of that name.
type Integrator struct {
	Client
	Get     IntegratorGet     `cmd:"" help:"Show the schedule, the last and the next sync, and the last error."`
	Set     IntegratorSet     `cmd:"" help:"Change the schedule, what it imports, and whether licences gone from Giacom are deactivated."`
	Run     RunsStart         `cmd:"" name:"run-now" help:"Import now."`
	History IntegratorHistory `cmd:"" help:"Runs, each with what it changed in Halo."`
	Preview IntegratorPreview `cmd:"" help:"Show what importing subscriptions now would do. Reads Giacom, publishes nothing."`
	Report  IntegratorReport  `cmd:"" help:"Everything that a run brought about, to be kept."`
}

// IntegratorGet is `integrator get`.
type IntegratorGet struct {
	Slug string `arg:"" name:"connection" help:"Connection."`
}

func (cmd *IntegratorGet) Run(ctx context.Context, c *Client) error {
	return c.integrator(ctx, func(ctx context.Context, client runv1.IntegratorServiceClient) error {
		x, err := client.GetIntegrator(ctx, &runv1.GetIntegratorRequest{Connection: cmd.Slug})
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printOne(c, x)
		}
		fmt.Fprintln(c.out, clean(x.GetScheduleText()))
		if x.GetDeactivateRemoved() {
			fmt.Fprintln(c.out, "Licences are deactivated in Halo when they are deleted from Giacom.")
		} else {
			fmt.Fprintln(c.out, "Licences stay active in Halo when they are deleted from Giacom.")
		}
		sync := x.GetSync()
		fmt.Fprintf(c.out, "Last sync   %s\n", runLine(sync.GetLastSuccess()))
		if sync.GetLastError() != nil {
			fmt.Fprintf(c.out, "Last error  %s\n", runLine(sync.GetLastError()))
		}
		if sync.GetOpenRun() != nil {
			fmt.Fprintf(c.out, "Open        %s\n", runLine(sync.GetOpenRun()))
		}
		next := clean(sync.GetNoNext())
		if times := sync.GetNextTimes(); len(times) > 0 {
			next = when(times[0])
		}
		fmt.Fprintf(c.out, "Next sync   %s\n", next)
		return printUnknown(c, x.GetUnknown())
	})
}

func runLine(r *runv1.Run) string {
	if r == nil {
		return "never"
	}
	return strings.TrimSpace(fmt.Sprintf("%s  %s  %s  %s", when(r.GetStartTime()), word(r.GetOutcome()), r.GetId(), clean(r.GetReason().GetText())))
}

// IntegratorSet is `integrator set`.
type IntegratorSet struct {
	Slug       string         `arg:"" name:"connection" help:"Connection."`
	Enable     *bool          `negatable:"" help:"Import by schedule."`
	Every      *time.Duration `xor:"when" placeholder:"DURATION" help:"At this interval, for example 90m."`
	Cron       string         `xor:"when" placeholder:"EXPRESSION" help:"By a cron expression of five fields; '0 6-22 * * *' is every hour from 6 to 22."`
	TimeZone   string         `name:"time-zone" placeholder:"ZONE" help:"Of the cron expression, for example Europe/London."`
	Entities   []string       `enum:"customers,subscriptions" help:"What to import: ${enum}, or both."`
	Deactivate *bool          `name:"deactivate-removed" negatable:"" help:"Deactivate licences in Halo when they are deleted from Giacom."`
}

func (cmd *IntegratorSet) Run(ctx context.Context, c *Client) error {
	now, err := c.change(ctx, cmd.Slug, "", func(x *connectionv1.Connection) error {
		s := x.GetSchedule()
		if cmd.Enable != nil {
			s.Enabled = *cmd.Enable
		}
		switch {
		case cmd.Every != nil:
			s.Interval, s.Cron = durationpb.New(*cmd.Every), ""
		case cmd.Cron != "":
			s.Interval, s.Cron = nil, cmd.Cron
		}
		if cmd.TimeZone != "" {
			s.TimeZone = cmd.TimeZone
		}
		if len(cmd.Entities) > 0 {
			s.Customers, s.Subscriptions = false, false
			for _, e := range cmd.Entities {
				s.Customers, s.Subscriptions = s.Customers || e == "customers", s.Subscriptions || e == "subscriptions"
			}
		}
		if cmd.Deactivate != nil {
			x.Licences.DeactivateRemoved = *cmd.Deactivate
		}
		return nil
	})
	if err != nil {
		return err
	}
	return done(c, now, "Connection %s: schedule %s, licences gone from Giacom %s.", now.GetSlug(), schedule(now),
		map[bool]string{true: "are deactivated", false: "stay active"}[now.GetLicences().GetDeactivateRemoved()])
}

// IntegratorHistory is `integrator history`.
type IntegratorHistory struct {
	Slug   string `arg:"" optional:"" name:"connection" help:"Of this connection only."`
	Filter string `short:"f" help:"AIP-160 filter of runs, for example 'outcome = failed'."`
	Limit  int    `short:"n" default:"20" help:"Runs to show at most."`
}

func (cmd *IntegratorHistory) Run(ctx context.Context, c *Client) error {
	var page *runv1.ListRunHistoryResponse
	err := c.integrator(ctx, func(ctx context.Context, client runv1.IntegratorServiceClient) (err error) {
		page, err = client.ListRunHistory(ctx, &runv1.ListRunHistoryRequest{Connection: cmd.Slug, Filter: cmd.Filter, PageSize: int32(cmd.Limit)})
		return err
	})
	if err != nil {
		return err
	}
	err = printList(c, page.GetRuns(), page.GetNextPageToken() != "",
		column[*runv1.RunSummary]{"run", func(x *runv1.RunSummary) string { return x.GetRun().GetId() }},
		column[*runv1.RunSummary]{"connection", func(x *runv1.RunSummary) string { return x.GetRun().GetConnection() }},
		column[*runv1.RunSummary]{"started", func(x *runv1.RunSummary) string { return when(x.GetRun().GetStartTime()) }},
		column[*runv1.RunSummary]{"trigger", func(x *runv1.RunSummary) string { return word(x.GetRun().GetTrigger()) }},
		column[*runv1.RunSummary]{"outcome", func(x *runv1.RunSummary) string { return word(x.GetRun().GetOutcome()) }},
		column[*runv1.RunSummary]{"in halo", func(x *runv1.RunSummary) string { return changesText(x.GetChanges()) }},
		column[*runv1.RunSummary]{"why", func(x *runv1.RunSummary) string { return x.GetRun().GetReason().GetText() }},
	)
	if err != nil || c.Output == "json" {
		return err
	}
	return printUnknown(c, page.GetUnknown())
}

func changesText(counts []*runv1.ChangeCount) string {
	var all []string
	for _, n := range counts {
		what := n.GetAction()
		if n.GetOutcome() != "applied" {
			what = n.GetOutcome()
		}
		all = append(all, fmt.Sprintf("%d %s %s", n.GetCount(), n.GetKind(), what))
	}
	return orDash(strings.Join(all, ", "))
}

// IntegratorPreview is `integrator preview`.
type IntegratorPreview struct {
	Slug  string `arg:"" name:"connection" help:"Connection."`
	Limit int32  `short:"n" default:"100" help:"Rows of each kind to show at most."`
}

func (cmd *IntegratorPreview) Run(ctx context.Context, c *Client) error {
	return c.integrator(ctx, func(ctx context.Context, client runv1.IntegratorServiceClient) error {
		x, err := client.GetSubscriptionImport(ctx, &runv1.GetSubscriptionImportRequest{Connection: cmd.Slug, Limit: cmd.Limit})
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printOne(c, x)
		}
		fmt.Fprintf(c.out, "%d to create, %d to update, %d unchanged, %d missing, %d removed, %d skipped.\n", x.GetCreate(), x.GetUpdate(), x.GetUnchanged(), x.GetMissing(), x.GetRemoved(), x.GetSkip())
		for _, s := range x.GetSkips() {
			fmt.Fprintf(c.out, "  %d skipped: %s\n", s.GetCount(), clean(s.GetText()))
		}
		if why := x.GetReason().GetText(); why != "" {
			fmt.Fprintln(c.out, clean(why))
		}
		fmt.Fprintln(c.out, clean(x.GetNote()))
		if len(x.GetRows()) > 0 {
			fmt.Fprintln(c.out)
			err = printList(c, x.GetRows(), false,
				column[*runv1.ImportRow]{"what", func(r *runv1.ImportRow) string { return word(r.GetKind()) }},
				column[*runv1.ImportRow]{"giacom customer", (*runv1.ImportRow).GetCustomerName},
				column[*runv1.ImportRow]{"halo customer", func(r *runv1.ImportRow) string { return orDash(r.GetHaloClientName()) }},
				column[*runv1.ImportRow]{"product", (*runv1.ImportRow).GetName},
				column[*runv1.ImportRow]{"seats", func(r *runv1.ImportRow) string { return seatsOf(r.GetQuantityBefore(), r.GetQuantityAfter()) }},
				column[*runv1.ImportRow]{"why", func(r *runv1.ImportRow) string { return r.GetReason().GetText() }},
			)
			if err != nil {
				return err
			}
		}
		return printUnknown(c, x.GetUnknown())
	})
}

// IntegratorReport is `integrator report`.
type IntegratorReport struct {
	ID  string `arg:"" name:"run" help:"Run."`
	CSV bool   `name:"csv" help:"The changes as CSV, for a spreadsheet."`
}

func (cmd *IntegratorReport) Run(ctx context.Context, c *Client) error {
	if cmd.CSV && c.Output == "json" {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("choose one of --csv and -o json")}
	}
	return c.integrator(ctx, func(ctx context.Context, client runv1.IntegratorServiceClient) error {
		x, err := client.GetRunReport(ctx, &runv1.GetRunReportRequest{Id: cmd.ID})
		if err != nil {
			return err
		}
		switch {
		case c.Output == "json":
			return printOne(c, x)
		case cmd.CSV:
			return runreport.CSV(c.out, x)
		}
		fmt.Fprintf(c.out, "Run %s of %s\n", runLine(x.GetRun()), x.GetRun().GetConnection())
		for _, n := range x.GetCounts() {
			fmt.Fprintf(c.out, "  %d %s: %s (%s)\n", n.GetCount(), n.GetKind(), n.GetAction(), n.GetOutcome())
		}
		for _, s := range x.GetSkips() {
			fmt.Fprintf(c.out, "  %d subscriptions not billed: %s\n", s.GetCount(), clean(s.GetText()))
		}
		fmt.Fprintln(c.out)
		err = printList(c, x.GetChanges(), x.GetTruncated(),
			column[*itemv1.Change]{"what", func(r *itemv1.Change) string { return r.GetKind() + " " + r.GetAction() }},
			column[*itemv1.Change]{"outcome", (*itemv1.Change).GetOutcome},
			column[*itemv1.Change]{"title", (*itemv1.Change).GetTitle},
			column[*itemv1.Change]{"changes", runreport.Fields},
			column[*itemv1.Change]{"why", func(r *itemv1.Change) string { return r.GetReason().GetText() }},
		)
		if err != nil {
			return err
		}
		return printUnknown(c, x.GetUnknown())
	})
}
