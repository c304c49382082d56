package ctl

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"seatline.dev/pkg/rpc"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	"seatline.dev/services/settled"
)

// Status is the command of that name. It exits 6 when a service does not answer.
type Status struct {
	Client
	Connection string `arg:"" optional:"" help:"Of this connection only."`
}

func (cmd *Status) Run(ctx context.Context, c *Client) error {
	var rows []*opsv1.Progress
	var missing error
	for _, service := range Services() {
		err := c.ops(ctx, service, func(ctx context.Context, client opsv1.OpsServiceClient) error {
			p, err := client.GetProgress(ctx, &opsv1.GetProgressRequest{Connection: cmd.Connection})
			if err == nil {
				rows = append(rows, p)
			}
			return err
		})
		if err != nil {
			if rpc.ExitCode(err) != rpc.ExitUnavailable {
				return err
			}
			missing = err
			rows = append(rows, &opsv1.Progress{Service: service, Activity: -1})
		}
	}
	err := printList(c, rows, false,
		column[*opsv1.Progress]{"service", (*opsv1.Progress).GetService},
		column[*opsv1.Progress]{"is", func(p *opsv1.Progress) string {
			switch what := settled.Busy(p); {
			case p.GetActivity() < 0:
				return "not answering"
			case what != "":
				return what
			default:
				return "at rest"
			}
		}},
		column[*opsv1.Progress]{"to publish", func(p *opsv1.Progress) string { return fmt.Sprint(p.GetOutbox()) }},
		column[*opsv1.Progress]{"to receive", func(p *opsv1.Progress) string {
			var n uint64
			for _, consumer := range p.GetConsumers() {
				n += consumer.GetPending() + consumer.GetUnacknowledged()
			}
			return fmt.Sprint(n)
		}},
		column[*opsv1.Progress]{"items", itemCounts},
	)
	if err != nil {
		return err
	}
	return missing
}

// itemCounts in words: "1,203 in sync, 4 held (price_missing)".
func itemCounts(p *opsv1.Progress) string {
	var parts []string
	for _, c := range p.GetItems() {
		text := fmt.Sprintf("%d %s", c.GetCount(), word(c.GetState()))
		if c.GetReason() != "" {
			text += " (" + c.GetReason() + ")"
		}
		parts = append(parts, text)
	}
	return orDash(strings.Join(parts, ", "))
}

// Republish is the command of that name.
type Republish struct {
	Client
	Connection string `arg:"" optional:"" help:"Of this connection only."`
	Service    string `enum:",console,fetcher,mapper,licence,billing" default:"" help:"By this service only."`
}

func (cmd *Republish) Run(ctx context.Context, c *Client) error {
	for _, service := range Services() {
		if cmd.Service != "" && cmd.Service != service {
			continue
		}
		err := c.ops(ctx, service, func(ctx context.Context, client opsv1.OpsServiceClient) error {
			answer, err := client.Republish(ctx, &opsv1.RepublishRequest{Connection: cmd.Connection})
			if err != nil {
				return err
			}
			return done(c, answer, "%s publishes %s.", service, plural(int(answer.GetEvents()), "event", "events"))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Health is the command of that name, for containers that have no shell. It exits 6 when the server
// is not there or not serving.
type Health struct {
	Client
	Service string `arg:"" enum:"console,fetcher,mapper,licence,billing" help:"One of ${enum}."`
}

func (cmd *Health) Run(ctx context.Context, c *Client) error {
	return c.call(ctx, cmd.Service, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		if err != nil {
			return err
		}
		if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			return &rpc.Exit{Code: rpc.ExitUnavailable, Err: fmt.Errorf("%s is not serving yet, or no longer", cmd.Service)}
		}
		return done(c, answer, "%s is serving.", cmd.Service)
	})
}
