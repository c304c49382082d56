package ctl

import (
	"context"
	"fmt"
	"strings"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// IntyPairs is `inty pairs`.
type IntyPairs struct {
	intyArgs
	State  string `enum:",adopted,ready,duplicate,ambiguous,unpaired,excluded,asked,left,moving,moved" default:"" help:"Only those in this state: ${enum}."`
	Client int64  `help:"Only those of this customer, by its number in Halo." placeholder:"ID"`
	Search string `help:"Only those with all of these words in the names of customer and licence."`
	Order  string `help:"Order: customer, name, seats or state, and ' desc' for the other way round." placeholder:"FIELD"`
	Limit  int    `short:"n" default:"100" help:"Rows to show at most; 0 for all."`
}

func (cmd *IntyPairs) Run(ctx context.Context, c *Client) error {
	req := &intyv1.ListPairsRequest{Connection: cmd.Connection, ClientId: cmd.Client, Search: cmd.Search, OrderBy: cmd.Order}
	if cmd.State != "" {
		req.State = intyv1.PairState(intyv1.PairState_value["PAIR_STATE_"+strings.ToUpper(cmd.State)])
	}
	var rows []*intyv1.Pair
	var more bool
	err := c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) (err error) {
		more, err = List{Limit: cmd.Limit}.collect(func(size int32, token string) (int, string, error) {
			req.PageSize, req.PageToken = size, token
			page, err := client.ListPairs(ctx, req)
			rows = append(rows, page.GetPairs()...)
			return len(page.GetPairs()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*intyv1.Pair]{"inty's", func(x *intyv1.Pair) string { return fmt.Sprint(x.GetInty().GetHaloId()) }},
		column[*intyv1.Pair]{"customer", func(x *intyv1.Pair) string { return x.GetInty().GetClientName() }},
		column[*intyv1.Pair]{"name", func(x *intyv1.Pair) string { return x.GetInty().GetName() }},
		column[*intyv1.Pair]{"seats", func(x *intyv1.Pair) string { return fmt.Sprint(x.GetInty().GetCount()) }},
		column[*intyv1.Pair]{"state", func(x *intyv1.Pair) string { return word(x.GetState()) }},
		column[*intyv1.Pair]{"giacom's", giacomLicences},
		column[*intyv1.Pair]{"lines", func(x *intyv1.Pair) string {
			var lines []string
			for _, l := range x.GetLines() {
				lines = append(lines, fmt.Sprintf("%d/%d %s", l.GetInvoiceId(), l.GetLineId(), word(l.GetState())))
			}
			return orDash(strings.Join(lines, ", "))
		}},
		column[*intyv1.Pair]{"why", (*intyv1.Pair).GetWhy},
	)
}

func giacomLicences(x *intyv1.Pair) string {
	if g := x.GetGiacom(); g != nil {
		return fmt.Sprintf("%s (%d seats)", g.GetKey(), g.GetCount())
	}
	var keys []string
	for _, g := range x.GetCandidates() {
		keys = append(keys, fmt.Sprintf("%s (%d seats)?", g.GetKey(), g.GetCount()))
	}
	return orDash(strings.Join(keys, " "))
}

// IntyPair is `inty pair`.
type IntyPair struct {
	intyArgs
	HaloID int64  `arg:"" name:"halo-id" help:"Inty's licence, by its number in Halo."`
	With   string `xor:"how" required:"" placeholder:"KEY" help:"Key of its Giacom licence."`
	Leave  bool   `xor:"how" required:"" help:"Leave it alone."`
	Auto   bool   `xor:"how" required:"" help:"Go back to what is found."`
	Adopt  bool   `xor:"how" required:"" help:"Its Giacom licence is held as a possible duplicate: take Inty's licence over in place; its lines stay linked."`
	Beside bool   `xor:"how" required:"" help:"Its Giacom licence is held as a possible duplicate: create it beside Inty's, to re-point the lines to."`
}

func (cmd *IntyPair) Run(ctx context.Context, c *Client) error {
	if cmd.Adopt || cmd.Beside {
		return cmd.resolve(ctx, c)
	}
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		x, err := client.SetPair(ctx, &intyv1.SetPairRequest{Connection: cmd.Connection, HaloId: cmd.HaloID, Key: cmd.With, Leave: cmd.Leave})
		if err != nil {
			return err
		}
		return done(c, x, "Licence %d (%s) is %s: %s", x.GetInty().GetHaloId(), x.GetInty().GetName(), word(x.GetState()), x.GetWhy())
	})
}

// resolve decides about a possible duplicate where that is decided: by the licence service.
func (cmd *IntyPair) resolve(ctx context.Context, c *Client) error {
	key := ""
	err := c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		page, err := client.ListPairs(ctx, &intyv1.ListPairsRequest{Connection: cmd.Connection, HaloId: cmd.HaloID})
		for _, x := range page.GetPairs() {
			if x.GetGiacom().GetHaloId() == 0 {
				key = x.GetGiacom().GetKey()
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	if key == "" {
		return rpc.FailedPrecondition("NO_DUPLICATE", fmt.Sprint(cmd.HaloID), "no Giacom licence is held as a possible duplicate of licence %d", cmd.HaloID).Do("`seatline inty pairs %s --state duplicate` lists those", cmd.Connection)
	}
	return c.licences(ctx, func(ctx context.Context, client licencev1.LicenceServiceClient) (err error) {
		var l *licencev1.Licence
		if cmd.Adopt {
			l, err = client.AdoptLicence(ctx, &licencev1.AdoptLicenceRequest{Connection: cmd.Connection, Key: key, HaloId: cmd.HaloID})
		} else {
			l, err = client.CreateLicence(ctx, &licencev1.GetLicenceRequest{Connection: cmd.Connection, Key: key})
		}
		if err != nil {
			return err
		}
		if cmd.Adopt {
			return done(c, l, "%s takes over licence %d in place: its lines need no re-pointing.", key, cmd.HaloID)
		}
		return done(c, l, "A new licence for %s is created beside %d: re-point its lines once it is there.", key, cmd.HaloID)
	})
}

// IntyUsers is `inty users`.
type IntyUsers struct {
	intyArgs
	Limit int `short:"n" default:"100" help:"Rows to show at most; 0 for all."`
}

func (cmd *IntyUsers) Run(ctx context.Context, c *Client) error {
	var rows []*intyv1.UserLine
	var more bool
	note := ""
	err := c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) (err error) {
		more, err = List{Limit: cmd.Limit}.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListUserLines(ctx, &intyv1.ListUserLinesRequest{Connection: cmd.Connection, PageSize: size, PageToken: token})
			rows, note = append(rows, page.GetLines()...), page.GetNote()
			return len(page.GetLines()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	err = printList(c, rows, more,
		column[*intyv1.UserLine]{"invoice", func(x *intyv1.UserLine) string { return fmt.Sprint(x.GetInvoiceId()) }},
		column[*intyv1.UserLine]{"line", func(x *intyv1.UserLine) string { return fmt.Sprint(x.GetLineId()) }},
		column[*intyv1.UserLine]{"customer", (*intyv1.UserLine).GetClientName},
		column[*intyv1.UserLine]{"text", (*intyv1.UserLine).GetDescription},
		column[*intyv1.UserLine]{"users", (*intyv1.UserLine).GetQuantity},
	)
	if err == nil && c.Output != "json" && len(rows) > 0 {
		_, err = fmt.Fprintf(c.out, "\n%s\n", note)
	}
	return err
}
