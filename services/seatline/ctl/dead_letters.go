package ctl

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// DeadLetters is the command of that name.
type DeadLetters struct {
	Client
	List    DeadLettersList    `cmd:"" help:"List them, newest first."`
	Redrive DeadLettersRedrive `cmd:"" help:"Have the service digest one again."`
	Discard DeadLettersDiscard `cmd:"" help:"Drop one for good."`
}

// DeadLettersList is `dead-letters list`.
type DeadLettersList struct {
	Service string `arg:"" optional:"" enum:",console,fetcher,mapper,licence,billing" default:"" help:"Of this service only."`
	Filter  string `short:"f" help:"AIP-160 filter, for example 'type = \"seatline.licence.changed.v1\"' or 'reason : \"quantity\"'."`
	Limit   int    `short:"n" default:"100" help:"Rows to show of each service at most; 0 for all."`
}

func (cmd *DeadLettersList) Run(ctx context.Context, c *Client) error {
	var rows []*opsv1.DeadLetter
	of := map[*opsv1.DeadLetter]string{}
	more := false
	for _, service := range Services() {
		if cmd.Service != "" && cmd.Service != service {
			continue
		}
		err := c.ops(ctx, service, func(ctx context.Context, client opsv1.OpsServiceClient) error {
			further, err := List{Limit: cmd.Limit}.collect(func(size int32, token string) (int, string, error) {
				page, err := client.ListDeadLetters(ctx, &opsv1.ListDeadLettersRequest{Filter: cmd.Filter, PageSize: size, PageToken: token})
				for _, l := range page.GetDeadLetters() {
					of[l] = service
				}
				rows = append(rows, page.GetDeadLetters()...)
				return len(page.GetDeadLetters()), page.GetNextPageToken(), err
			})
			more = more || further
			return err
		})
		if err != nil {
			return err
		}
	}
	return printList(c, rows, more,
		column[*opsv1.DeadLetter]{"service", func(x *opsv1.DeadLetter) string { return of[x] }},
		column[*opsv1.DeadLetter]{"id", (*opsv1.DeadLetter).GetId},
		column[*opsv1.DeadLetter]{"time", func(x *opsv1.DeadLetter) string { return when(x.GetTime()) }},
		column[*opsv1.DeadLetter]{"type", (*opsv1.DeadLetter).GetType},
		column[*opsv1.DeadLetter]{"connection", (*opsv1.DeadLetter).GetConnection},
		column[*opsv1.DeadLetter]{"key", (*opsv1.DeadLetter).GetKey},
		column[*opsv1.DeadLetter]{"why", (*opsv1.DeadLetter).GetReason},
	)
}

// letterArgs name one.
type letterArgs struct {
	Service string `arg:"" enum:"console,fetcher,mapper,licence,billing" help:"Service that has it: ${enum}."`
	ID      string `arg:"" help:"Its id."`
}

func (a letterArgs) call(ctx context.Context, c *Client, did string, do func(context.Context, opsv1.OpsServiceClient, *opsv1.DeadLetterRequest) (proto.Message, error)) error {
	return c.ops(ctx, a.Service, func(ctx context.Context, client opsv1.OpsServiceClient) error {
		answer, err := do(ctx, client, &opsv1.DeadLetterRequest{Id: a.ID})
		if err != nil {
			return fmt.Errorf("dead letter %s of %s: %w", a.ID, a.Service, err)
		}
		return done(c, answer, "Dead letter %s of %s %s.", a.ID, a.Service, did)
	})
}

// DeadLettersRedrive is `dead-letters redrive`.
type DeadLettersRedrive struct{ letterArgs }

func (cmd *DeadLettersRedrive) Run(ctx context.Context, c *Client) error {
	return cmd.call(ctx, c, "was digested", func(ctx context.Context, client opsv1.OpsServiceClient, req *opsv1.DeadLetterRequest) (proto.Message, error) {
		return client.RedriveDeadLetter(ctx, req)
	})
}

// DeadLettersDiscard is `dead-letters discard`.
type DeadLettersDiscard struct{ letterArgs }

func (cmd *DeadLettersDiscard) Run(ctx context.Context, c *Client) error {
	return cmd.call(ctx, c, "was discarded", func(ctx context.Context, client opsv1.OpsServiceClient, req *opsv1.DeadLetterRequest) (proto.Message, error) {
		return client.DiscardDeadLetter(ctx, req)
	})
}
