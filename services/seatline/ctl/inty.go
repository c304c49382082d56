package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
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
	return callOf(ctx, c, Billing, intyv1.NewMigrationServiceClient, do)
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

// accept sets every mapping that is proposed, all or none.
func (cmd *IntyMappings) accept(ctx context.Context, c *Client) error {
	rows, _, err := listIntyMappings(ctx, c, cmd.Connection, "proposed", cmd.Search, 0)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return done(c, &mappingv1.ImportMappingsResponse{}, "Nothing is proposed.")
	}
	var answer *mappingv1.ImportMappingsResponse
	err = c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) (err error) {
		answer, err = client.ImportMappings(ctx, &mappingv1.ImportMappingsRequest{Connection: cmd.Connection, Rows: inty.Accepted(rows)})
		return err
	})
	if err != nil {
		return err
	}
	if wrong := answer.GetErrors(); len(wrong) > 0 {
		text := "nothing was mapped:"
		for _, x := range wrong {
			text += "\n- " + x.GetText()
		}
		return &rpc.Exit{Code: rpc.ExitHeld, Err: errors.New(text)}
	}
	if c.Output != "json" {
		for _, x := range rows {
			fmt.Fprintln(c.out, clean(fmt.Sprintf("%s (%s) is Halo customer %d (%s).", x.GetMexId(), x.GetGiacomName(), x.GetClientId(), x.GetClientName())))
		}
	}
	return done(c, answer, "%s accepted.", plural(len(rows), "proposal", "proposals"))
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
