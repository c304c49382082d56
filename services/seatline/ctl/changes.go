package ctl

import (
	"context"
	"fmt"
	"slices"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// Changes is the command of that name.
type Changes struct {
	Client
	Connection string `arg:"" optional:"" help:"Of this connection only."`
	Kind       string `enum:",customer,licence,line" default:"" help:"Only changes of customers, licences or lines."`
	List
}

func (cmd *Changes) Run(ctx context.Context, c *Client) error {
	var rows []*itemv1.Change
	more := false
	for kind, service := range map[string]string{"customer": Mapper, "licence": Licence, "line": Billing} {
		if cmd.Kind != "" && cmd.Kind != kind {
			continue
		}
		err := c.ops(ctx, service, func(ctx context.Context, client opsv1.OpsServiceClient) error {
			further, err := cmd.collect(func(size int32, token string) (int, string, error) {
				page, err := client.ListChanges(ctx, &opsv1.ListChangesRequest{Connection: cmd.Connection, Filter: cmd.Filter, OrderBy: cmd.OrderBy, PageSize: size, PageToken: token})
				rows = append(rows, page.GetChanges()...)
				return len(page.GetChanges()), page.GetNextPageToken(), err
			})
			more = more || further
			return err
		})
		if err != nil {
			return err
		}
	}
	if cmd.OrderBy == "" { // each service answers newest first; so do they together
		slices.SortStableFunc(rows, func(a, b *itemv1.Change) int { return b.GetTime().AsTime().Compare(a.GetTime().AsTime()) })
	}
	if cmd.Limit > 0 && len(rows) > cmd.Limit {
		rows, more = rows[:cmd.Limit], true
	}
	return printList(c, rows, more,
		column[*itemv1.Change]{"time", func(x *itemv1.Change) string { return when(x.GetTime()) }},
		column[*itemv1.Change]{"kind", (*itemv1.Change).GetKind},
		column[*itemv1.Change]{"outcome", (*itemv1.Change).GetOutcome},
		column[*itemv1.Change]{"action", (*itemv1.Change).GetAction},
		column[*itemv1.Change]{"what", (*itemv1.Change).GetTitle},
		column[*itemv1.Change]{"changes", func(x *itemv1.Change) string { return fieldChanges(&itemv1.PlanItem{Changes: x.GetChanges()}) }},
		column[*itemv1.Change]{"halo id", func(x *itemv1.Change) string { return orDash(fmt.Sprint(x.GetHaloId())) }},
		column[*itemv1.Change]{"run", (*itemv1.Change).GetRun},
		column[*itemv1.Change]{"who", func(x *itemv1.Change) string { return orDash(x.GetWho()) }},
		column[*itemv1.Change]{"why", func(x *itemv1.Change) string { return x.GetReason().GetText() }},
	)
}
