package ctl

import (
	"context"
	"fmt"
	"strings"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// Mappings is the command of that name.
type Mappings struct {
	Client
	List    MappingsList    `cmd:"" help:"List mappings."`
	Get     MappingsGet     `cmd:"" help:"Show one."`
	Set     MappingsSet     `cmd:"" help:"Map a Giacom customer to a Halo customer. Automation never changes that again."`
	Create  MappingsCreate  `cmd:"" help:"Create a Halo customer for it, although one of a similar name exists."`
	Ignore  MappingsIgnore  `cmd:"" help:"Leave a Giacom customer unbilled, for a reason."`
	Remove  MappingsRemove  `cmd:"" help:"Go back to what automation decides."`
	Import  MappingsImport  `cmd:"" help:"Set mappings from a CSV file: all of them, or none when a row is wrong (exits 8)."`
	Export  MappingsExport  `cmd:"" help:"Write mappings as CSV, in the form that import reads."`
	Refresh MappingsRefresh `cmd:"" help:"Read Halo's customers again and map what can be mapped."`

	Summary       MappingsSummary       `cmd:"" help:"How many are mapped, suggested, unmapped and so on, and what they hide. Exits 7 when customers stay unmapped for too long."`
	Suggestions   MappingsSuggestions   `cmd:"" help:"Halo customers that unmapped customers may be, with a score and why."`
	Accept        MappingsAccept        `cmd:"" help:"Accept a suggestion, or all that stand out and have at least a score."`
	Generate      MappingsGenerate      `cmd:"" help:"Map customers to the Halo customers of exactly their name. Ambiguous names are never guessed."`
	TakeOver      MappingsTakeOver      `cmd:"" name:"take-over" help:"Take over the mappings of Halo's own Giacom integration."`
	HaloCustomers MappingsHaloCustomers `cmd:"" name:"halo-customers" help:"List Halo's customers as last read, to choose one."`
}

// customerArgs name a Giacom customer.
type customerArgs struct {
	Connection string `arg:"" help:"Connection."`
	MexID      string `arg:"" name:"mex-id" help:"Giacom's id of the customer."`
}

// MappingsList is `mappings list`.
type MappingsList struct {
	Connection string `arg:"" optional:"" help:"Of this connection only."`
	Unmapped   bool   `help:"Only those that wait for a person."`
	List
}

func (cmd *MappingsList) Run(ctx context.Context, c *Client) error {
	rows, more, err := listMappings(ctx, c, cmd.List, cmd.Connection, cmd.Unmapped)
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*mappingv1.Mapping]{"connection", (*mappingv1.Mapping).GetConnection},
		column[*mappingv1.Mapping]{"giacom id", (*mappingv1.Mapping).GetMexId},
		column[*mappingv1.Mapping]{"giacom name", (*mappingv1.Mapping).GetGiacomName},
		column[*mappingv1.Mapping]{"standing", func(x *mappingv1.Mapping) string { return word(x.GetStanding()) }},
		column[*mappingv1.Mapping]{"halo id", func(x *mappingv1.Mapping) string { return orDash(fmt.Sprint(x.GetHaloClientId())) }},
		column[*mappingv1.Mapping]{"halo name", func(x *mappingv1.Mapping) string { return orDash(x.GetHaloClientName()) }},
		column[*mappingv1.Mapping]{"origin", func(x *mappingv1.Mapping) string { return word(x.GetOrigin()) }},
		column[*mappingv1.Mapping]{"subscriptions", func(x *mappingv1.Mapping) string { return fmt.Sprint(x.GetSubscriptions()) }},
		column[*mappingv1.Mapping]{"a month ex vat", func(x *mappingv1.Mapping) string { return sums(x.GetMonthly(), x.GetUnpriced()) }},
		column[*mappingv1.Mapping]{"was called", (*mappingv1.Mapping).GetPreviousGiacomName},
		column[*mappingv1.Mapping]{"why", func(x *mappingv1.Mapping) string { return x.GetReason().GetText() }},
	)
}

func listMappings(ctx context.Context, c *Client, l List, connection string, unmapped bool) (rows []*mappingv1.Mapping, more bool, err error) {
	filter := within(connection, l.Filter)
	if unmapped {
		filter = strings.TrimPrefix(filter+" AND state = unmapped", " AND ")
	}
	err = c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) (err error) {
		more, err = l.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListMappings(ctx, &mappingv1.ListMappingsRequest{PageSize: size, PageToken: token, Filter: filter, OrderBy: l.OrderBy})
			rows = append(rows, page.GetMappings()...)
			return len(page.GetMappings()), page.GetNextPageToken(), err
		})
		return err
	})
	return rows, more, err
}

// MappingsGet is `mappings get`.
type MappingsGet struct{ customerArgs }

func (cmd *MappingsGet) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		m, err := client.GetMapping(ctx, &mappingv1.GetMappingRequest{Connection: cmd.Connection, MexId: cmd.MexID})
		if err != nil {
			return err
		}
		return printOne(c, m)
	})
}

// MappingsSet is `mappings set`.
type MappingsSet struct {
	customerArgs
	HaloID int64 `arg:"" name:"halo-id" help:"Halo's id of the customer."`
	etagFlag
}

func (cmd *MappingsSet) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		m, err := client.SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: cmd.Connection, MexId: cmd.MexID, HaloClientId: cmd.HaloID, Etag: cmd.Etag})
		if err != nil {
			return err
		}
		return done(c, m, "%s (%s) is billed to Halo customer %d (%s): %s follow.", m.GetMexId(), m.GetGiacomName(), m.GetHaloClientId(), m.GetHaloClientName(),
			plural(int(m.GetSubscriptions()), "subscription", "subscriptions"))
	})
}

// MappingsCreate is `mappings create`.
type MappingsCreate struct {
	customerArgs
	etagFlag
}

func (cmd *MappingsCreate) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		m, err := client.CreateCustomer(ctx, &mappingv1.GetMappingRequest{Connection: cmd.Connection, MexId: cmd.MexID, Etag: cmd.Etag})
		if err != nil {
			return err
		}
		return done(c, m, "A Halo customer for %s (%s) is to be created: %s.", m.GetMexId(), m.GetGiacomName(), word(m.GetStatus().GetState()))
	})
}

// MappingsIgnore is `mappings ignore`.
type MappingsIgnore struct {
	customerArgs
	etagFlag
	Reason string `required:"" help:"Why it is not billed."`
}

func (cmd *MappingsIgnore) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		m, err := client.IgnoreCustomer(ctx, &mappingv1.IgnoreCustomerRequest{Connection: cmd.Connection, MexId: cmd.MexID, Reason: cmd.Reason, Etag: cmd.Etag})
		if err != nil {
			return err
		}
		return done(c, m, "%s (%s) is ignored.", m.GetMexId(), m.GetGiacomName())
	})
}

// MappingsRemove is `mappings remove`.
type MappingsRemove struct {
	customerArgs
	etagFlag
}

func (cmd *MappingsRemove) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		m, err := client.RemoveMapping(ctx, &mappingv1.GetMappingRequest{Connection: cmd.Connection, MexId: cmd.MexID, Etag: cmd.Etag})
		if err != nil {
			return err
		}
		return done(c, m, "Automation decides again about %s (%s): it is %s.", m.GetMexId(), m.GetGiacomName(), word(m.GetState()))
	})
}

// MappingsRefresh is `mappings refresh`.
type MappingsRefresh struct {
	Connection string `arg:"" help:"Connection."`
}

func (cmd *MappingsRefresh) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		answer, err := client.RefreshMappings(ctx, &mappingv1.RefreshMappingsRequest{Connection: cmd.Connection})
		if err != nil {
			return err
		}
		return done(c, answer, "%s mapped, %d still not.", plural(int(answer.GetMapped()), "customer", "customers"), answer.GetUnmapped())
	})
}

// MappingsImport is `mappings import`.
type MappingsImport struct {
	Connection string `arg:"" help:"Connection."`
	File       string `arg:"" help:"CSV file; '-' for standard input. Columns by name: mex_id, and halo_client_id or halo_client_name, or ignore_reason; etag to refuse rows that changed since."`
	DryRun     bool   `name:"dry-run" help:"Check every row, import none."`
}

func (cmd *MappingsImport) Run(ctx context.Context, c *Client) error {
	content, err := readFile(cmd.File)
	if err != nil {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: err}
	}
	if len(content) == 0 {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: fmt.Errorf("%s is empty", cmd.File)}
	}
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		answer, err := client.ImportMappings(ctx, &mappingv1.ImportMappingsRequest{Connection: cmd.Connection, Csv: content, ValidateOnly: cmd.DryRun})
		if err != nil {
			return err
		}
		if len(answer.GetErrors()) > 0 {
			if c.Output == "json" {
				if err := printOne(c, answer); err != nil {
					return err
				}
			}
			lines := make([]string, len(answer.GetErrors()))
			for i, e := range answer.GetErrors() {
				lines[i] = clean(fmt.Sprintf("%s:%d: %s", cmd.File, e.GetLine(), e.GetText()))
			}
			return &rpc.Exit{Code: rpc.ExitFailed, Err: fmt.Errorf("nothing was imported; %s:\n%s",
				plural(len(lines), "row is wrong", "rows are wrong"), strings.Join(lines, "\n"))}
		}
		verb := "imported"
		if cmd.DryRun {
			verb = "would be imported"
		}
		note := ""
		if ids := answer.GetNotListed(); len(ids) > 0 {
			note = " Giacom has not listed these customers so far, look whether they are misspelt: " + strings.Join(ids, ", ") + "."
		}
		return done(c, answer, "%s %s, %d as they were.%s", plural(int(answer.GetImported()), "mapping", "mappings"), verb, answer.GetUnchanged(), note)
	})
}

// MappingsExport is `mappings export`.
type MappingsExport struct {
	Connection string `arg:"" help:"Connection."`
	Unmapped   bool   `help:"Only those that wait for a person: fill in a column and import the file."`
	Filter     string `short:"f" help:"AIP-160 filter."`
}

func (cmd *MappingsExport) Run(ctx context.Context, c *Client) error {
	if c.Output == "json" {
		rows, _, err := listMappings(ctx, c, List{Filter: cmd.Filter}, cmd.Connection, cmd.Unmapped)
		if err != nil {
			return err
		}
		return printArray(c, rows)
	}
	filter := cmd.Filter
	if cmd.Unmapped && filter != "" {
		filter = "(" + filter + ") AND "
	}
	if cmd.Unmapped {
		filter += "state = unmapped"
	}
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		file, err := client.GetMappingsFile(ctx, &mappingv1.GetMappingsFileRequest{Connection: cmd.Connection, Filter: filter})
		if err != nil {
			return err
		}
		_, err = c.out.Write(file.GetContent())
		return err
	})
}
