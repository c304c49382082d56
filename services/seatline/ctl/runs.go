package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"seatline.dev/pkg/rpc"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// Runs is the command of that name.
type Runs struct {
	Client
	List    RunsList    `cmd:"" help:"List runs, newest first."`
	Get     RunsGet     `cmd:"" help:"Show one."`
	Start   RunsStart   `cmd:"" help:"Poll Giacom now."`
	Watch   RunsWatch   `cmd:"" help:"Follow a run to its end. Exits 7 when it is held, 8 when it failed or was incomplete."`
	Release RunsRelease `cmd:"" help:"Publish what a held run found."`
	Reject  RunsReject  `cmd:"" help:"Discard what a held run found."`
}

// RunsList is `runs list`.
type RunsList struct {
	Connection string `arg:"" optional:"" help:"Of this connection only."`
	List
}

func (cmd *RunsList) Run(ctx context.Context, c *Client) error {
	var rows []*runv1.Run
	var more bool
	order := cmd.OrderBy
	if order == "" {
		order = "start_time desc"
	}
	err := c.runs(ctx, func(ctx context.Context, client runv1.RunServiceClient) (err error) {
		more, err = cmd.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListRuns(ctx, &runv1.ListRunsRequest{PageSize: size, PageToken: token, Filter: within(cmd.Connection, cmd.Filter), OrderBy: order})
			rows = append(rows, page.GetRuns()...)
			return len(page.GetRuns()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*runv1.Run]{"run", (*runv1.Run).GetId},
		column[*runv1.Run]{"connection", (*runv1.Run).GetConnection},
		column[*runv1.Run]{"trigger", func(x *runv1.Run) string { return word(x.GetTrigger()) }},
		column[*runv1.Run]{"outcome", func(x *runv1.Run) string { return word(x.GetOutcome()) }},
		column[*runv1.Run]{"started", func(x *runv1.Run) string { return when(x.GetStartTime()) }},
		column[*runv1.Run]{"took", took},
		column[*runv1.Run]{"seen", func(x *runv1.Run) string { return fmt.Sprint(x.GetSubscriptions().GetSeen()) }},
		column[*runv1.Run]{"new", func(x *runv1.Run) string { return fmt.Sprint(x.GetSubscriptions().GetNew()) }},
		column[*runv1.Run]{"changed", func(x *runv1.Run) string { return fmt.Sprint(x.GetSubscriptions().GetChanged()) }},
		column[*runv1.Run]{"removed", func(x *runv1.Run) string { return fmt.Sprint(x.GetSubscriptions().GetRemoved()) }},
		column[*runv1.Run]{"why", func(x *runv1.Run) string { return x.GetReason().GetText() }},
	)
}

func took(x *runv1.Run) string {
	if x.GetEndTime() == nil || x.GetStartTime() == nil {
		return "–"
	}
	return x.GetEndTime().AsTime().Sub(x.GetStartTime().AsTime()).Round(time.Millisecond).String()
}

// within joins a connection and a filter into one filter.
func within(connection, filter string) string {
	switch {
	case connection == "":
		return filter
	case filter == "":
		return fmt.Sprintf("connection = %q", connection)
	default:
		return fmt.Sprintf("connection = %q AND (%s)", connection, filter)
	}
}

// RunsGet is `runs get`.
type RunsGet struct {
	ID string `arg:"" name:"run" help:"Run."`
}

func (cmd *RunsGet) Run(ctx context.Context, c *Client) error {
	return c.runs(ctx, func(ctx context.Context, client runv1.RunServiceClient) error {
		run, err := client.GetRun(ctx, &runv1.GetRunRequest{Id: cmd.ID})
		if err != nil {
			return err
		}
		return printOne(c, run)
	})
}

// RunsStart is `runs start`.
type RunsStart struct {
	Connection    string `arg:"" help:"Connection."`
	Customers     bool   `help:"Customers only, unless --subscriptions is given too."`
	Subscriptions bool   `help:"Subscriptions only, unless --customers is given too."`
	AsScheduled   bool   `name:"as-scheduled" help:"Let what is missing count as if the schedule had started the run."`
	Watch         bool   `short:"w" help:"Follow it to its end."`
}

func (cmd *RunsStart) Run(ctx context.Context, c *Client) error {
	var run *runv1.Run
	err := c.runs(ctx, func(ctx context.Context, client runv1.RunServiceClient) (err error) {
		run, err = client.StartRun(ctx, &runv1.StartRunRequest{
			Connection: cmd.Connection, Customers: cmd.Customers, Subscriptions: cmd.Subscriptions, AsScheduled: cmd.AsScheduled,
		})
		return err
	})
	if err != nil {
		return err
	}
	if cmd.Watch {
		return (&RunsWatch{ID: run.GetId()}).Run(ctx, c)
	}
	return done(c, run, "Run %s started. Follow it: seatline runs watch %s", run.GetId(), run.GetId())
}

// RunsWatch is `runs watch`.
type RunsWatch struct {
	ID string `arg:"" name:"run" help:"Run."`
}

func (cmd *RunsWatch) Run(ctx context.Context, c *Client) error {
	var last *runv1.Run
	// A run may take longer than a call usually may.
	err := c.callFor(ctx, 0, Fetcher, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		stream, err := runv1.NewRunServiceClient(conn).WatchRun(ctx, &runv1.GetRunRequest{Id: cmd.ID})
		if err != nil {
			return err
		}
		for {
			run, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			last = run
			if c.Output == "json" {
				err = printLine(c, run)
			} else {
				_, err = fmt.Fprintln(c.out, clean(progress(run)))
			}
			if err != nil {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	return outcome(last)
}

// progress of a run on one line.
func progress(run *runv1.Run) string {
	s, cu := run.GetSubscriptions(), run.GetCustomers()
	head := fmt.Sprintf("%s  %-10s", time.Now().Format(time.TimeOnly), run.GetStage())
	if run.GetOutcome() != runv1.Outcome_OUTCOME_RUNNING {
		head = fmt.Sprintf("%s  %-10s", time.Now().Format(time.TimeOnly), word(run.GetOutcome()))
	}
	return fmt.Sprintf("%s  customers %d seen, %d new, %d changed   subscriptions %d seen, %d new, %d changed, %d missing, %d removed   %d requests",
		head, cu.GetSeen(), cu.GetNew(), cu.GetChanged(), s.GetSeen(), s.GetNew(), s.GetChanged(), s.GetAbsent(), s.GetRemoved(), run.GetRequests())
}

// outcome of a run as the outcome of the command.
func outcome(run *runv1.Run) error {
	if run == nil {
		return &rpc.Exit{Code: rpc.ExitFailed, Err: errors.New("the fetcher ended the watch without saying how the run ended; look with `seatline runs list`")}
	}
	why := run.GetReason().GetText()
	if why != "" {
		why = ": " + why
	}
	switch run.GetOutcome() {
	case runv1.Outcome_OUTCOME_SUCCEEDED:
		return nil
	case runv1.Outcome_OUTCOME_HELD:
		return &rpc.Exit{Code: rpc.ExitHeld, Err: fmt.Errorf("run %s is held%s\n→ seatline runs release %s --reason …, or reject", run.GetId(), why, run.GetId())}
	default:
		return &rpc.Exit{Code: rpc.ExitFailed, Err: fmt.Errorf("run %s: %s%s", run.GetId(), word(run.GetOutcome()), why)}
	}
}

// RunsRelease is `runs release`.
type RunsRelease struct {
	ID     string `arg:"" name:"run" help:"Run."`
	Reason string `required:"" help:"Why that is right; goes into the change log."`
}

func (cmd *RunsRelease) Run(ctx context.Context, c *Client) error {
	return c.runs(ctx, func(ctx context.Context, client runv1.RunServiceClient) error {
		run, err := client.ReleaseRun(ctx, &runv1.DecideRunRequest{Id: cmd.ID, Reason: cmd.Reason})
		if err != nil {
			return err
		}
		return done(c, run, "Run %s is released: what it found is being published.", run.GetId())
	})
}

// RunsReject is `runs reject`.
type RunsReject struct {
	ID     string `arg:"" name:"run" help:"Run."`
	Reason string `required:"" help:"Why it is wrong; goes into the change log."`
}

func (cmd *RunsReject) Run(ctx context.Context, c *Client) error {
	return c.runs(ctx, func(ctx context.Context, client runv1.RunServiceClient) error {
		run, err := client.RejectRun(ctx, &runv1.DecideRunRequest{Id: cmd.ID, Reason: cmd.Reason})
		if err != nil {
			return err
		}
		return done(c, run, "Run %s is rejected: nothing it found was published.", run.GetId())
	})
}
