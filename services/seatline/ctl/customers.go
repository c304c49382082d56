package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// Customers is the command of that name.
type Customers struct {
	Client
	Import  CustomersImport  `cmd:"" help:"Create and update customers in Halo once, also where automatic creation is off. Exits 7 when something waits for a person, 8 when Halo refused a customer."`
	Imports CustomersImports `cmd:"" help:"List imports, newest first."`
	Report  CustomersReport  `cmd:"" help:"Show the report of an import, or write it as a file."`
}

// CustomersImport is `customers import`.
type CustomersImport struct {
	Connection string   `arg:"" help:"Connection."`
	DryRun     bool     `name:"dry-run" help:"Show what would be created, updated and skipped, and why; write nothing."`
	Link       []string `placeholder:"MEX-ID=HALO-ID" help:"Answer to a near match: it is this Halo customer. May be repeated."`
	Create     []string `placeholder:"MEX-ID" help:"Answer to a near match: create another. May be repeated."`
	Skip       []string `placeholder:"MEX-ID" help:"Leave this one for now. May be repeated."`
	Etag       string   `help:"Refuse if something else would be done than in the dry run of this etag."`
}

func (cmd *CustomersImport) request() (*mappingv1.ImportCustomersRequest, error) {
	req := &mappingv1.ImportCustomersRequest{Connection: cmd.Connection, Etag: cmd.Etag}
	for _, link := range cmd.Link {
		id, to, _ := strings.Cut(link, "=")
		client, err := strconv.ParseInt(to, 10, 64)
		if err != nil || client <= 0 {
			return nil, &rpc.Exit{Code: rpc.ExitUsage, Err: fmt.Errorf("--link %s: write it as MEX-ID=HALO-ID, for example C1=12", link)}
		}
		req.Answers = append(req.Answers, &mappingv1.ImportAnswer{MexId: id, Answer: &mappingv1.ImportAnswer_Link{Link: client}})
	}
	for _, id := range cmd.Create {
		req.Answers = append(req.Answers, &mappingv1.ImportAnswer{MexId: id, Answer: &mappingv1.ImportAnswer_Create{Create: true}})
	}
	for _, id := range cmd.Skip {
		req.Answers = append(req.Answers, &mappingv1.ImportAnswer{MexId: id, Answer: &mappingv1.ImportAnswer_Skip{Skip: true}})
	}
	return req, nil
}

func (cmd *CustomersImport) Run(ctx context.Context, c *Client) error {
	req, err := cmd.request()
	if err != nil {
		return err
	}
	if cmd.DryRun {
		return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
			p, err := client.GetCustomerImport(ctx, req)
			if err != nil {
				return err
			}
			if err := printImport(c, p); err != nil || c.Output == "json" {
				return err
			}
			_, err = fmt.Fprintf(c.out, "Would create %d, update %d, link %d; %d wait for an answer (--link or --create), %d skipped, %d need nothing. Its etag is %s.\n",
				p.GetCreate(), p.GetUpdate(), p.GetLink(), p.GetAsk(), p.GetSkip(), p.GetUnchanged(), p.GetEtag())
			if err == nil && p.GetBlocked() != nil {
				_, err = fmt.Fprintln(c.out, clean("It cannot be done now: "+p.GetBlocked().GetText()))
			}
			return err
		})
	}
	var last *mappingv1.CustomerImport
	// An import may take longer than a call usually may: Halo's budget sets the pace.
	err = c.callFor(ctx, 0, Mapper, func(ctx context.Context, conn grpc.ClientConnInterface) error {
		client := mappingv1.NewMappingServiceClient(conn)
		started, err := client.ImportCustomers(ctx, req)
		if err != nil {
			return err
		}
		stream, err := client.WatchCustomerImport(ctx, &mappingv1.GetCustomerImportReportRequest{Id: started.GetId()})
		if err != nil {
			return err
		}
		for {
			now, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			last = now
			if c.Output == "json" {
				err = printLine(c, now)
			} else {
				_, err = fmt.Fprintf(c.out, "%s  %-8s  created %d of %d   updated %d of %d   linked %d   failed %d   waiting %d\n", time.Now().Format(time.TimeOnly), now.GetStage(),
					now.GetCreated(), now.GetCreate(), now.GetUpdated(), now.GetUpdate(), now.GetLinked(), now.GetFailed(), now.GetWaiting())
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return importOutcome(last)
}

// importOutcome is the outcome of an import as that of the command.
func importOutcome(p *mappingv1.CustomerImport) error {
	look := "→ seatline customers report " + p.GetId()
	switch {
	case p.GetEndTime() == nil:
		return &rpc.Exit{Code: rpc.ExitFailed, Err: errors.New("the mapper ended the watch without saying how the import ended; look with `seatline customers imports`")}
	case p.GetFailed() > 0:
		return &rpc.Exit{Code: rpc.ExitFailed, Err: fmt.Errorf("%s refused by Halo\n%s", plural(int(p.GetFailed()), "customer was", "customers were"), look)}
	case p.GetWaiting()+p.GetAsk() > 0:
		return &rpc.Exit{Code: rpc.ExitHeld, Err: fmt.Errorf("%s for a person\n%s", plural(int(p.GetWaiting()+p.GetAsk()), "customer waits", "customers wait"), look)}
	}
	return nil
}

func printImport(c *Client, p *mappingv1.CustomerImport) error {
	if c.Output == "json" {
		return printOne(c, p)
	}
	return printList(c, p.GetRows(), false,
		column[*mappingv1.CustomerImportRow]{"giacom id", (*mappingv1.CustomerImportRow).GetMexId},
		column[*mappingv1.CustomerImportRow]{"giacom name", (*mappingv1.CustomerImportRow).GetGiacomName},
		column[*mappingv1.CustomerImportRow]{"action", func(x *mappingv1.CustomerImportRow) string { return word(x.GetAction()) }},
		column[*mappingv1.CustomerImportRow]{"outcome", func(x *mappingv1.CustomerImportRow) string { return word(x.GetOutcome()) }},
		column[*mappingv1.CustomerImportRow]{"halo id", func(x *mappingv1.CustomerImportRow) string { return orDash(fmt.Sprint(x.GetHaloClientId())) }},
		column[*mappingv1.CustomerImportRow]{"why", func(x *mappingv1.CustomerImportRow) string { return x.GetReason().GetText() }},
		column[*mappingv1.CustomerImportRow]{"candidates", func(x *mappingv1.CustomerImportRow) string {
			var all []string
			for _, k := range x.GetCandidates() {
				all = append(all, fmt.Sprintf("%d (%s, %d)", k.GetHaloClientId(), k.GetHaloClientName(), k.GetScore()))
			}
			return strings.Join(all, "; ")
		}},
	)
}

// CustomersImports is `customers imports`.
type CustomersImports struct {
	Connection string `arg:"" optional:"" help:"Of this connection only."`
	List
}

func (cmd *CustomersImports) Run(ctx context.Context, c *Client) error {
	var rows []*mappingv1.CustomerImport
	var more bool
	err := c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) (err error) {
		more, err = cmd.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListCustomerImports(ctx, &mappingv1.ListCustomerImportsRequest{PageSize: size, PageToken: token, Filter: within(cmd.Connection, cmd.Filter), OrderBy: cmd.OrderBy})
			rows = append(rows, page.GetImports()...)
			return len(page.GetImports()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	number := func(get func(*mappingv1.CustomerImport) int32) func(*mappingv1.CustomerImport) string {
		return func(x *mappingv1.CustomerImport) string { return fmt.Sprint(get(x)) }
	}
	return printList(c, rows, more,
		column[*mappingv1.CustomerImport]{"import", (*mappingv1.CustomerImport).GetId},
		column[*mappingv1.CustomerImport]{"connection", (*mappingv1.CustomerImport).GetConnection},
		column[*mappingv1.CustomerImport]{"started", func(x *mappingv1.CustomerImport) string { return when(x.GetStartTime()) }},
		column[*mappingv1.CustomerImport]{"by", (*mappingv1.CustomerImport).GetWho},
		column[*mappingv1.CustomerImport]{"stage", (*mappingv1.CustomerImport).GetStage},
		column[*mappingv1.CustomerImport]{"created", number((*mappingv1.CustomerImport).GetCreated)},
		column[*mappingv1.CustomerImport]{"updated", number((*mappingv1.CustomerImport).GetUpdated)},
		column[*mappingv1.CustomerImport]{"linked", number((*mappingv1.CustomerImport).GetLinked)},
		column[*mappingv1.CustomerImport]{"failed", number((*mappingv1.CustomerImport).GetFailed)},
		column[*mappingv1.CustomerImport]{"waiting", number((*mappingv1.CustomerImport).GetWaiting)},
	)
}

// CustomersReport is `customers report`.
type CustomersReport struct {
	ID     string `arg:"" name:"import" help:"Import."`
	Format string `enum:",csv,json" default:"" help:"Write it as a file to standard output: csv or json."`
}

func (cmd *CustomersReport) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		if cmd.Format == "" {
			p, err := client.GetCustomerImportReport(ctx, &mappingv1.GetCustomerImportReportRequest{Id: cmd.ID})
			if err != nil {
				return err
			}
			return printImport(c, p)
		}
		format := mappingv1.FileFormat_FILE_FORMAT_CSV
		if cmd.Format == "json" {
			format = mappingv1.FileFormat_FILE_FORMAT_JSON
		}
		file, err := client.GetCustomerImportFile(ctx, &mappingv1.GetCustomerImportFileRequest{Id: cmd.ID, Format: format})
		if err != nil {
			return err
		}
		_, err = c.out.Write(file.GetContent())
		return err
	})
}
