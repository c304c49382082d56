package ctl

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// TopLevels is the command of that name.
type TopLevels struct {
	Client
	List TopLevelsList `cmd:"" help:"List Halo's top levels, and which one customers are created under."`
	Set  TopLevelsSet  `cmd:"" help:"Choose the top level of customers that are created from now on. Others stay where they are."`
}

// TopLevelsList is `top-levels list`.
type TopLevelsList struct {
	Connection string `arg:"" help:"Connection."`
}

func (cmd *TopLevelsList) Run(ctx context.Context, c *Client) error {
	answer, err := topLevels(ctx, c, cmd.Connection)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printOne(c, answer)
	}
	err = printList(c, answer.GetTopLevels(), false,
		column[*mappingv1.TopLevel]{"top level", func(x *mappingv1.TopLevel) string { return fmt.Sprint(x.GetId()) }},
		column[*mappingv1.TopLevel]{"name", (*mappingv1.TopLevel).GetLongName},
		column[*mappingv1.TopLevel]{"for created customers", func(x *mappingv1.TopLevel) string {
			if x.GetId() == answer.GetChosenId() {
				return "yes"
			}
			return ""
		}},
	)
	if err == nil && answer.GetChosenMissing() {
		_, err = fmt.Fprintf(c.out, "Halo has no top level %d, which is chosen: choose another with `seatline top-levels set`.\n", answer.GetChosenId())
	}
	return err
}

func topLevels(ctx context.Context, c *Client, connection string) (answer *mappingv1.ListTopLevelsResponse, err error) {
	err = c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) (err error) {
		answer, err = client.ListTopLevels(ctx, &mappingv1.ListTopLevelsRequest{Connection: connection})
		return err
	})
	return answer, err
}

// TopLevelsSet is `top-levels set`.
type TopLevelsSet struct {
	Connection string `arg:"" help:"Connection."`
	ID         int64  `arg:"" name:"top-level" help:"Halo's id of the top level; 0 for Halo's default."`
}

func (cmd *TopLevelsSet) Run(ctx context.Context, c *Client) error {
	name := "Halo's default"
	if cmd.ID != 0 {
		answer, err := topLevels(ctx, c, cmd.Connection)
		if err != nil {
			return err
		}
		name = ""
		for _, t := range answer.GetTopLevels() {
			if t.GetId() == cmd.ID {
				name = t.GetLongName()
			}
		}
		if name == "" {
			return &rpc.Exit{Code: rpc.ExitNotFound, Err: fmt.Errorf("no top level %d in Halo; list them with `seatline top-levels list %s`", cmd.ID, cmd.Connection)}
		}
	}
	return c.connections(ctx, func(ctx context.Context, client connectionv1.ConnectionServiceClient) error {
		now, err := client.GetConnection(ctx, &connectionv1.GetConnectionRequest{Slug: cmd.Connection})
		if err != nil {
			return err
		}
		changed := proto.CloneOf(now) // with its etag: whoever changes it meanwhile is not overwritten
		if changed.Customers == nil {
			changed.Customers = &connectionv1.Customers{}
		}
		changed.Customers.TopLevelId = cmd.ID
		stored, err := client.ApplyConnection(ctx, &connectionv1.ApplyConnectionRequest{Connection: changed})
		if err != nil {
			return err
		}
		return done(c, stored, "Customers of %s are created under %s (%d) from now on.", cmd.Connection, name, cmd.ID)
	})
}
