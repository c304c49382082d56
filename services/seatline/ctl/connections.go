package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/console/connectionfile"
)

// Connections is the command of that name.
type Connections struct {
	Client
	List     ConnectionsList     `cmd:"" help:"List connections."`
	Get      ConnectionsGet      `cmd:"" help:"Show one, in the form that apply reads."`
	Apply    ConnectionsApply    `cmd:"" help:"Create or update the connections declared in a YAML file."`
	Validate ConnectionsValidate `cmd:"" help:"Check Giacom, Halo and the two together. Exits 8 when a check fails."`
	Leave    ConnectionsLeave    `cmd:"" name:"leave-observe" help:"Show the questions that cannot be guessed and what stands against writing to Halo; with answers, keep them; with --yes, begin to write."`
	Observe  ConnectionsObserve  `cmd:"" help:"Go back to observing: nothing is written to Halo any more, everything is shown."`
	Method   ConnectionsMethod   `cmd:"" help:"Show what choosing another import method would do; with --yes, choose it."`
	Rotate   ConnectionsRotate   `cmd:"" help:"Replace the Giacom API key or the Halo client secret, after trying the new one."`
	Reseal   ConnectionsReseal   `cmd:"" help:"Seal all secrets anew with the primary key of the console's keyset. Exits 8 when some cannot be opened."`
	History  ConnectionsHistory  `cmd:"" help:"Who changed a connection, when, and from what to what."`
	Enable   ConnectionsEnable   `cmd:"" help:"Let it run."`
	Disable  ConnectionsDisable  `cmd:"" help:"Stop its runs and writes; its settings stay."`
	Delete   ConnectionsDelete   `cmd:"" help:"Show what deleting it means; with --yes, delete it. Nothing in Halo is undone, and the name is never free again."`
}

// ConnectionsList is `connections list`.
type ConnectionsList struct{ List }

func (cmd *ConnectionsList) Run(ctx context.Context, c *Client) error {
	var rows []*connectionv1.Connection
	var more bool
	err := c.connections(ctx, func(ctx context.Context, client connectionClient) (err error) {
		more, err = cmd.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListConnections(ctx, &connectionv1.ListConnectionsRequest{PageSize: size, PageToken: token, Filter: cmd.Filter, OrderBy: cmd.OrderBy})
			rows = append(rows, page.GetConnections()...)
			return len(page.GetConnections()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*connectionv1.Connection]{"connection", (*connectionv1.Connection).GetSlug},
		column[*connectionv1.Connection]{"name", (*connectionv1.Connection).GetDisplayName},
		column[*connectionv1.Connection]{"mode", func(x *connectionv1.Connection) string { return word(x.GetMode()) }},
		column[*connectionv1.Connection]{"state", connectionState},
		column[*connectionv1.Connection]{"giacom", func(x *connectionv1.Connection) string {
			return x.GetGiacom().GetAccount() + " (" + word(x.GetGiacom().GetMethod()) + ")"
		}},
		column[*connectionv1.Connection]{"halo", func(x *connectionv1.Connection) string { return orDash(x.GetHalo().GetInstance()) }},
		column[*connectionv1.Connection]{"schedule", schedule},
	)
}

func connectionState(x *connectionv1.Connection) string {
	switch {
	case x.GetDeleted():
		return "deleted"
	case x.GetEnabled():
		return "enabled"
	default:
		return "disabled"
	}
}

func schedule(x *connectionv1.Connection) string {
	s := x.GetSchedule()
	switch {
	case !s.GetEnabled():
		return "off"
	case s.GetInterval() != nil:
		return "every " + s.GetInterval().AsDuration().String()
	default:
		return s.GetCron()
	}
}

type connectionClient = connectionv1.ConnectionServiceClient

// onConnection makes one call about one connection, and shows the answer.
func onConnection[A any](ctx context.Context, c *Client, slug string,
	call func(connectionClient, context.Context, *connectionv1.GetConnectionRequest, ...grpc.CallOption) (A, error), show func(A) error,
) error {
	return c.connections(ctx, func(ctx context.Context, client connectionClient) error {
		answer, err := call(client, ctx, &connectionv1.GetConnectionRequest{Slug: slug})
		if err != nil {
			return err
		}
		return show(answer)
	})
}

// ConnectionsGet is `connections get`.
type ConnectionsGet struct {
	Slug string `arg:"" name:"connection" help:"Connection."`
}

func (cmd *ConnectionsGet) Run(ctx context.Context, c *Client) error {
	return onConnection(ctx, c, cmd.Slug, connectionClient.GetConnection, func(found *connectionv1.Connection) error { return printOne(c, found) })
}

// ConnectionsApply is `connections apply`.
type ConnectionsApply struct {
	File   string `short:"f" required:"" placeholder:"FILE" help:"YAML file with one or several documents; '-' for standard input. Secrets stand in it as env:NAME or file:PATH."`
	DryRun bool   `name:"dry-run" help:"Show what would be stored, store nothing."`
	Force  bool   `help:"Update even if someone else changed it since the file's etag."`

	Override string `placeholder:"REASON" help:"Why the mode auto is right although another integration was found writing in Halo, or Halo could not be asked; kept with the change."`
}

func (cmd *ConnectionsApply) Run(ctx context.Context, c *Client) error {
	content, err := readFile(cmd.File)
	if err != nil {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: err}
	}
	declared, err := connectionfile.Parse(cmd.File, content, connectionfile.FromSystem())
	if err != nil {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: err}
	}
	return c.connections(ctx, func(ctx context.Context, client connectionClient) error {
		for _, d := range declared {
			request := d.Request()
			request.Force, request.ValidateOnly, request.OverrideReason = cmd.Force, cmd.DryRun, cmd.Override
			verb := "updated"
			// A file without an etag means the connection as it is now: whoever changes it between
			// this reading and the write is not overwritten.
			current, err := client.GetConnection(ctx, &connectionv1.GetConnectionRequest{Slug: request.GetConnection().GetSlug()})
			switch {
			case status.Code(err) == codes.NotFound:
				verb = "created"
			case err != nil:
				return err
			case request.GetConnection().GetEtag() == "":
				request.Connection.Etag = current.GetEtag()
			}
			stored, err := client.ApplyConnection(ctx, request)
			if err != nil {
				return fmt.Errorf("connection %s: %w", request.GetConnection().GetSlug(), err)
			}
			if cmd.DryRun {
				err = printOne(c, stored)
			} else {
				err = done(c, stored, "Connection %s %s: %s, %s.", stored.GetSlug(), verb, connectionState(stored), word(stored.GetMode()))
			}
			if err == nil && d.PriceRules != nil {
				err = setRules(ctx, c, d.PriceRules, cmd.DryRun)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// setRules hands the price rules of a declaration to billing, which owns them. Billing hears of a new
// connection over the bus, a moment after the console has stored it.
func setRules(ctx context.Context, c *Client, rules *pricingv1.PriceRules, dryRun bool) error {
	return c.pricing(ctx, func(ctx context.Context, client pricingv1.PricingServiceClient) error {
		for attempt := 1; ; attempt++ {
			_, err := client.SetPriceRules(ctx, &pricingv1.SetPriceRulesRequest{Rules: rules, Force: true, ValidateOnly: dryRun})
			if code := status.Code(err); dryRun && code == codes.NotFound {
				return nil // nothing was stored, so billing cannot know the connection
			} else if attempt < 50 && (code == codes.NotFound || code == codes.FailedPrecondition) {
				select {
				case <-ctx.Done():
					return err
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			if err != nil {
				return fmt.Errorf("price rules of connection %s: %w", rules.GetConnection(), err)
			}
			return nil
		}
	})
}

// ConnectionsValidate is `connections validate`.
type ConnectionsValidate struct {
	Slug string `arg:"" name:"connection" help:"Connection."`
}

func (cmd *ConnectionsValidate) Run(ctx context.Context, c *Client) error {
	return onConnection(ctx, c, cmd.Slug, connectionClient.ValidateConnection, func(answer *connectionv1.ValidateConnectionResponse) error {
		if err := printChecks(c, answer.GetChecks()); err != nil {
			return err
		}
		var failed []string
		for _, check := range answer.GetChecks() {
			if check.GetOutcome() == connectionv1.Check_OUTCOME_FAILED {
				failed = append(failed, check.GetName())
			}
		}
		if len(failed) > 0 {
			return &rpc.Exit{Code: rpc.ExitFailed, Err: fmt.Errorf("connection %s: failed: %s", cmd.Slug, strings.Join(failed, ", "))}
		}
		return nil
	})
}

func printChecks(c *Client, checks []*connectionv1.Check) error {
	return printList(c, checks, false,
		column[*connectionv1.Check]{"check", (*connectionv1.Check).GetName},
		column[*connectionv1.Check]{"outcome", func(x *connectionv1.Check) string { return word(x.GetOutcome()) }},
		column[*connectionv1.Check]{"found", (*connectionv1.Check).GetText},
		column[*connectionv1.Check]{"what to do", (*connectionv1.Check).GetFix},
	)
}

// ConnectionsEnable is `connections enable`.
type ConnectionsEnable struct {
	Slug     string `arg:"" name:"connection" help:"Connection."`
	Override string `placeholder:"REASON" help:"In mode auto: why it is right although another integration writes in Halo, or Halo could not be asked; kept with the change."`
}

func (cmd *ConnectionsEnable) Run(ctx context.Context, c *Client) error {
	return c.connections(ctx, func(ctx context.Context, client connectionClient) error {
		now, err := client.EnableConnection(ctx, &connectionv1.EnableConnectionRequest{Slug: cmd.Slug, OverrideReason: cmd.Override})
		if err != nil {
			return err
		}
		return done(c, now, "Connection %s is enabled, in mode %s.", now.GetSlug(), word(now.GetMode()))
	})
}

// ConnectionsDisable is `connections disable`.
type ConnectionsDisable struct {
	Slug string `arg:"" name:"connection" help:"Connection."`
}

func (cmd *ConnectionsDisable) Run(ctx context.Context, c *Client) error {
	return onConnection(ctx, c, cmd.Slug, connectionClient.DisableConnection, func(now *connectionv1.Connection) error {
		return done(c, now, "Connection %s is disabled.", now.GetSlug())
	})
}

// ConnectionsDelete is `connections delete`.
type ConnectionsDelete struct {
	Slug string `arg:"" name:"connection" help:"Connection."`
	Yes  bool   `help:"Really."`
}

func (cmd *ConnectionsDelete) Run(ctx context.Context, c *Client) error {
	if !cmd.Yes {
		err := onConnection(ctx, c, cmd.Slug, connectionClient.GetDeletionEffects, func(e *connectionv1.DeletionEffects) error { return printEffects(c, e) })
		if err != nil {
			return err
		}
		return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("nothing was deleted: deleting a connection cannot be undone and its name is never free again; repeat with --yes")}
	}
	return onConnection(ctx, c, cmd.Slug, connectionClient.DeleteConnection, func(answer *connectionv1.DeleteConnectionResponse) error {
		return done(c, answer, "Connection %s is deleted. What it wrote to Halo stays as it is.", cmd.Slug)
	})
}
