package ctl

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/billing/inty"
)

// Inty is the command of that name.
type Inty struct {
	Client
	Status       IntyStatus       `cmd:"" help:"The steps of the guide, and what to do next."`
	SaveMappings IntySaveMappings `cmd:"" name:"save-mappings" help:"Step 1: save the old customer mappings, from Halo or from a CSV file. Do it before anything is cleared in Halo."`
	Module       IntyModule       `cmd:"" help:"Step 2: look whether the Inty module is cleared and disabled in Halo (exits 7 while it is not)."`
	Refresh      IntyRefresh      `cmd:"" help:"Read from Halo what Inty left."`
	Mappings     IntyMappings     `cmd:"" help:"Step 3: the old mappings with the Giacom customers that they propose; --accept maps those."`
	Answer       IntyAnswer       `cmd:"" help:"Say of customers whether they are in the United States: those do not move to Giacom."`
	Pairs        IntyPairs        `cmd:"" help:"Inty's licences, each with its Giacom licence and the lines that link it."`
	Pair         IntyPair         `cmd:"" help:"Choose the Giacom licence of one of Inty's, leave it alone, adopt it in place, or create the Giacom licence beside it."`
	Users        IntyUsers        `cmd:"" help:"Lines that count users, which need no re-pointing."`
	Preview      IntyPreview      `cmd:"" help:"Step 5: what re-pointing would change, with its money."`
	Apply        IntyApply        `cmd:"" help:"Step 5: have the lines re-pointed, as the preview shows it."`
	Verify       IntyVerify       `cmd:"" help:"Read the invoices again and compare (exits 8 when something is not as it should be)."`
	Undo         IntyUndo         `cmd:"" help:"Put the links back as they were."`
	Report       IntyReport       `cmd:"" help:"Write down what was done and what is left (exits 7 when something is)."`
	Reports      IntyReports      `cmd:"" help:"Reports that were kept, the newest first."`
}

func (c *Client) inty(ctx context.Context, do func(context.Context, intyv1.MigrationServiceClient) error) error {
	return c.call(ctx, Billing, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		return do(ctx, intyv1.NewMigrationServiceClient(conn))
	})
}

// intyArgs name the connection that migrates.
type intyArgs struct {
	Connection string `arg:"" help:"Connection."`
}

func (a intyArgs) request() *intyv1.MigrationRequest {
	return &intyv1.MigrationRequest{Connection: a.Connection}
}

// IntyStatus is `inty status`.
type IntyStatus struct{ intyArgs }

func (cmd *IntyStatus) Run(ctx context.Context, c *Client) error {
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		m, err := client.GetMigration(ctx, cmd.request())
		if err != nil {
			return err
		}
		return printMigration(c, m)
	})
}

func printMigration(c *Client, m *intyv1.Migration) error {
	if c.Output == "json" {
		return printOne(c, m)
	}
	return printList(c, m.GetSteps(), false,
		column[*intyv1.Step]{"step", func(s *intyv1.Step) string { return fmt.Sprintf("%d %s", s.GetKind(), word(s.GetKind())) }},
		column[*intyv1.Step]{"state", func(s *intyv1.Step) string { return word(s.GetState()) }},
		column[*intyv1.Step]{"how it stands", (*intyv1.Step).GetText},
		column[*intyv1.Step]{"next", (*intyv1.Step).GetHow},
	)
}

// IntySaveMappings is `inty save-mappings`.
type IntySaveMappings struct {
	intyArgs
	File string `help:"CSV file instead of Halo; '-' for standard input. Columns by name: inty_id, client_id or client_name (of Halo), and inty_name, tenant_id, country, currency where known." placeholder:"FILE"`
}

func (cmd *IntySaveMappings) Run(ctx context.Context, c *Client) error {
	req := &intyv1.SaveMappingsRequest{Connection: cmd.Connection}
	if cmd.File != "" {
		content, err := readFile(cmd.File)
		if err != nil {
			return &rpc.Exit{Code: rpc.ExitUsage, Err: err}
		}
		if req.Rows, err = inty.ReadFile(content); err != nil {
			return &rpc.Exit{Code: rpc.ExitUsage, Err: fmt.Errorf("%s: %w", cmd.File, err)}
		}
	}
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		answer, err := client.SaveMappings(ctx, req)
		if err != nil {
			return err
		}
		return done(c, answer, "%s saved, %d of them now, from %s.", plural(int(answer.GetSaved()), "old mapping is", "old mappings are"), answer.GetAdded(), answer.GetFrom())
	})
}

// IntyModule is `inty module`.
type IntyModule struct{ intyArgs }

func (cmd *IntyModule) Run(ctx context.Context, c *Client) error {
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		m, err := client.CheckModule(ctx, cmd.request())
		if err != nil {
			return err
		}
		if m.GetDone() {
			return done(c, m, "The Inty module is cleared and disabled.")
		}
		if c.Output == "json" {
			if err := printOne(c, m); err != nil {
				return err
			}
		}
		return &rpc.Exit{Code: rpc.ExitHeld, Err: fmt.Errorf("the Inty module is not cleared and disabled; in Halo:\n- %s", strings.Join(m.GetToDo(), "\n- "))}
	})
}

// IntyRefresh is `inty refresh`.
type IntyRefresh struct{ intyArgs }

func (cmd *IntyRefresh) Run(ctx context.Context, c *Client) error {
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		m, err := client.RefreshMigration(ctx, cmd.request())
		if err != nil {
			return err
		}
		return printMigration(c, m)
	})
}

// IntyMappings is `inty mappings`.
type IntyMappings struct {
	intyArgs
	State  string `enum:",mapped,proposed,ambiguous,none,excluded,asked" default:"" help:"Only those in this state: ${enum}."`
	Search string `help:"Only those with all of these words in their names or numbers."`
	Accept bool   `help:"Map every Giacom customer that is proposed."`
	Limit  int    `short:"n" default:"100" help:"Rows to show at most; 0 for all."`
}

func (cmd *IntyMappings) Run(ctx context.Context, c *Client) error {
	if cmd.Accept {
		return cmd.accept(ctx, c)
	}
	rows, more, err := listIntyMappings(ctx, c, cmd.Connection, cmd.State, cmd.Search, cmd.Limit)
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*intyv1.OldMapping]{"inty id", (*intyv1.OldMapping).GetIntyId},
		column[*intyv1.OldMapping]{"inty name", (*intyv1.OldMapping).GetIntyName},
		column[*intyv1.OldMapping]{"halo id", func(x *intyv1.OldMapping) string { return fmt.Sprint(x.GetClientId()) }},
		column[*intyv1.OldMapping]{"halo name", (*intyv1.OldMapping).GetClientName},
		column[*intyv1.OldMapping]{"where", func(x *intyv1.OldMapping) string { return word(x.GetRegion()) + ": " + x.GetRegionWhy() }},
		column[*intyv1.OldMapping]{"state", func(x *intyv1.OldMapping) string { return word(x.GetState()) }},
		column[*intyv1.OldMapping]{"giacom id", func(x *intyv1.OldMapping) string { return orDash(x.GetMexId()) }},
		column[*intyv1.OldMapping]{"giacom name", func(x *intyv1.OldMapping) string { return orDash(x.GetGiacomName()) }},
		column[*intyv1.OldMapping]{"why", (*intyv1.OldMapping).GetWhy},
	)
}

func listIntyMappings(ctx context.Context, c *Client, connection, state, search string, limit int) (rows []*intyv1.OldMapping, more bool, err error) {
	req := &intyv1.ListOldMappingsRequest{Connection: connection, Search: search}
	if state != "" {
		req.State = intyv1.OldMappingState(intyv1.OldMappingState_value["OLD_MAPPING_STATE_"+strings.ToUpper(state)])
	}
	err = c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) (err error) {
		more, err = List{Limit: limit}.collect(func(size int32, token string) (int, string, error) {
			req.PageSize, req.PageToken = size, token
			page, err := client.ListOldMappings(ctx, req)
			rows = append(rows, page.GetMappings()...)
			return len(page.GetMappings()), page.GetNextPageToken(), err
		})
		return err
	})
	return rows, more, err
}

// accept sets every mapping that is proposed, by the mapper's own word on mappings.
func (cmd *IntyMappings) accept(ctx context.Context, c *Client) error {
	rows, _, err := listIntyMappings(ctx, c, cmd.Connection, "proposed", cmd.Search, 0)
	if err != nil {
		return err
	}
	var set []*mappingv1.Mapping
	err = c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		for _, x := range rows {
			m, err := client.SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: cmd.Connection, MexId: x.GetMexId(), HaloClientId: x.GetClientId()})
			if err != nil {
				return fmt.Errorf("after %s: %w", plural(len(set), "mapping", "mappings"), err)
			}
			set = append(set, m)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printArray(c, set)
	}
	for _, m := range set {
		fmt.Fprintln(c.out, clean(fmt.Sprintf("%s (%s) is Halo customer %d (%s).", m.GetMexId(), m.GetGiacomName(), m.GetHaloClientId(), m.GetHaloClientName())))
	}
	_, err = fmt.Fprintf(c.out, "%s accepted.\n", plural(len(set), "proposal", "proposals"))
	return err
}

// IntyAnswer is `inty answer`.
type IntyAnswer struct {
	intyArgs
	Clients   []int64 `arg:"" optional:"" name:"halo-id" help:"Customers by their numbers in Halo."`
	All       bool    `help:"Everyone who is asked about."`
	US        bool    `name:"us" xor:"where" required:"" help:"They are in the United States."`
	Elsewhere bool    `xor:"where" required:"" help:"They are not."`
}

func (cmd *IntyAnswer) Run(ctx context.Context, c *Client) error {
	return c.inty(ctx, func(ctx context.Context, client intyv1.MigrationServiceClient) error {
		answer, err := client.AnswerCustomers(ctx, &intyv1.AnswerCustomersRequest{Connection: cmd.Connection, ClientIds: cmd.Clients, AllAsked: cmd.All, UnitedStates: cmd.US})
		if err != nil {
			return err
		}
		return done(c, answer, "Answered for %s; %d still asked about.", plural(int(answer.GetAnswered()), "customer", "customers"), answer.GetAsked())
	})
}

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
