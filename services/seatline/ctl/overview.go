package ctl

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	overviewv1 "seatline.dev/proto/seatline/overview/v1"
	"seatline.dev/services/overview"
)

// compose connects to all services for what is composed of their answers.
func (c *Client) compose(ctx context.Context, do func(context.Context, overview.Services) error) error {
	conns := map[string]*grpc.ClientConn{}
	for _, service := range Services() {
		conn, err := rpc.Dial(c.endpoint(c.addr(service)))
		if err != nil {
			return err
		}
		defer conn.Close()
		conns[service] = conn
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	return do(ctx, overview.Services{
		Console: conns[Console], Fetcher: conns[Fetcher], Mapper: conns[Mapper], Licence: conns[Licence], Billing: conns[Billing],
	})
}

// Parity is the command of that name.
type Parity struct {
	Client
	Connection string `arg:"" help:"Connection."`
	Class      string `help:"List the rows of this class, for example no_line; 'all' for every row."`
	List
}

func (cmd *Parity) Run(ctx context.Context, c *Client) error {
	return c.compose(ctx, func(ctx context.Context, s overview.Services) error {
		if cmd.Class != "" {
			return cmd.rows(ctx, c, s)
		}
		p, err := s.Parity(ctx, cmd.Connection, cmd.Filter)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printOne(c, p)
		}
		fmt.Fprintf(c.out, "%s\nMoney is per month, ex VAT. Halo's licences were last read: %s.\n\n", clean(overview.Headline(p)), when(p.GetLicencesReadTime()))
		return printList(c, p.GetClasses(), false,
			column[*itemv1.Standing]{"class", (*itemv1.Standing).GetClass},
			column[*itemv1.Standing]{"rows", func(x *itemv1.Standing) string { return overview.Count(x.GetCount()) }},
			column[*itemv1.Standing]{"cost", func(x *itemv1.Standing) string { return orDash(overview.Amounts(x.GetCost())) }},
			column[*itemv1.Standing]{"billed", func(x *itemv1.Standing) string { return orDash(overview.Amounts(x.GetBilled())) }},
			column[*itemv1.Standing]{"should be", func(x *itemv1.Standing) string { return orDash(overview.Amounts(x.GetWanted())) }},
			column[*itemv1.Standing]{"what", (*itemv1.Standing).GetText},
		)
	})
}

func (cmd *Parity) rows(ctx context.Context, c *Client, s overview.Services) error {
	filter := within(cmd.Connection, cmd.Filter)
	if cmd.Class != "all" {
		filter += " AND class = " + fmt.Sprintf("%q", cmd.Class)
	}
	var rows []*licencev1.ParityRow
	more, err := cmd.collect(func(size int32, token string) (int, string, error) {
		page, err := s.ParityRows(ctx, &licencev1.ListParityRequest{PageSize: size, PageToken: token, Filter: filter, OrderBy: cmd.OrderBy})
		rows = append(rows, page.GetRows()...)
		return len(page.GetRows()), page.GetNextPageToken(), err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*licencev1.ParityRow]{"key", (*licencev1.ParityRow).GetKey},
		column[*licencev1.ParityRow]{"class", (*licencev1.ParityRow).GetClass},
		column[*licencev1.ParityRow]{"customer", (*licencev1.ParityRow).GetCustomerName},
		column[*licencev1.ParityRow]{"product", (*licencev1.ParityRow).GetName},
		column[*licencev1.ParityRow]{"seats", func(x *licencev1.ParityRow) string { return optional(x.SeatsGiacom) }},
		column[*licencev1.ParityRow]{"in halo", func(x *licencev1.ParityRow) string { return optional(x.SeatsHalo) }},
		column[*licencev1.ParityRow]{"cost", func(x *licencev1.ParityRow) string { return money(x.GetCost()) }},
		column[*licencev1.ParityRow]{"billed", func(x *licencev1.ParityRow) string { return money(x.GetBilled()) }},
		column[*licencev1.ParityRow]{"should be", func(x *licencev1.ParityRow) string { return money(x.GetWanted()) }},
		column[*licencev1.ParityRow]{"lines", func(x *licencev1.ParityRow) string { return orDash(strings.Join(x.GetLineKeys(), ", ")) }},
		column[*licencev1.ParityRow]{"why", func(x *licencev1.ParityRow) string { return x.GetReason().GetText() }},
	)
}

func optional(n *int64) string {
	if n == nil {
		return "–"
	}
	return overview.Count(*n)
}

// Overview is the command of that name. With --check it exits 7 when something needs attention.
type Overview struct {
	Client
	Connection string `arg:"" help:"Connection."`
	Check      bool   `help:"Exit with 7 when something needs attention, for scripts."`
}

func (cmd *Overview) Run(ctx context.Context, c *Client) error {
	return c.compose(ctx, func(ctx context.Context, s overview.Services) error {
		o, err := s.Overview(ctx, cmd.Connection)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			err = printOne(c, o)
		} else {
			err = cmd.print(c, o)
		}
		if err == nil && cmd.Check && !o.GetInStep() {
			err = &rpc.Exit{Code: rpc.ExitHeld, Err: fmt.Errorf("%s attention", plural(len(o.GetAttention()), "thing needs", "things need"))}
		}
		return err
	})
}

func (cmd *Overview) print(c *Client, o *overviewv1.Overview) error {
	say := func(format string, args ...any) { fmt.Fprintln(c.out, clean(fmt.Sprintf(format, args...))) }
	say("%s: %s", o.GetConnection(), word(o.GetMode()))
	if o.GetCanary() != nil {
		say("  only for its canary: %s", plural(len(o.GetCanary().GetHaloClientIds())+len(o.GetCanary().GetMexIds()), "customer", "customers"))
	}
	if o.GetInStep() {
		say("%s", overview.InStep(o))
	} else {
		say("Needs attention:")
		for _, text := range o.GetAttention() {
			say("  %s", text)
		}
	}
	say("")
	if o.GetParity() != nil {
		say("%s", overview.Headline(o.GetParity()))
	}
	last := o.GetSync().GetLastRun()
	say("Last poll: %s, %s. Next: %s.", when(last.GetEndTime()), word(last.GetOutcome()), whenFirst(o.GetSync().GetNextTimes(), o.GetSync().GetNoNext()))
	for _, m := range o.GetMargin() {
		say("%s", marginText(m))
	}
	if b := o.GetBudget(); b != nil {
		say("Halo budget: %s of %s requests left in any %s.", overview.Count(b.GetLeft()), overview.Count(b.GetLimit()), b.GetWindow().AsDuration())
	}
	if len(o.GetInvoiceRuns()) > 0 {
		say("\nNext invoice runs:")
		if err := printList(c, o.GetInvoiceRuns(), false,
			column[*invoicelinev1.InvoiceRun]{"when", func(r *invoicelinev1.InvoiceRun) string { return when(r.GetTime()) }},
			column[*invoicelinev1.InvoiceRun]{"invoices", func(r *invoicelinev1.InvoiceRun) string { return overview.Count(r.GetInvoices()) }},
			column[*invoicelinev1.InvoiceRun]{"lines", func(r *invoicelinev1.InvoiceRun) string { return overview.Count(r.GetLines()) }},
			column[*invoicelinev1.InvoiceRun]{"pending", func(r *invoicelinev1.InvoiceRun) string { return overview.Count(r.GetPending()) }},
			column[*invoicelinev1.InvoiceRun]{"parked", func(r *invoicelinev1.InvoiceRun) string { return overview.Count(r.GetParked()) }},
			column[*invoicelinev1.InvoiceRun]{"held", func(r *invoicelinev1.InvoiceRun) string { return overview.Count(r.GetHeld() + r.GetFailed()) }},
			column[*invoicelinev1.InvoiceRun]{"these bill", func(r *invoicelinev1.InvoiceRun) string { return orDash(overview.Amounts(r.GetAffectedBefore())) }},
			column[*invoicelinev1.InvoiceRun]{"should be", func(r *invoicelinev1.InvoiceRun) string { return orDash(overview.Amounts(r.GetAffectedAfter())) }},
			column[*invoicelinev1.InvoiceRun]{"read", func(r *invoicelinev1.InvoiceRun) string { return when(r.GetReadTime()) }},
		); err != nil {
			return err
		}
	}
	if len(o.GetUnmapped()) > 0 {
		say("\nCustomers that are not mapped (%s):", overview.Count(o.GetUnmappedCustomers()))
		if err := printList(c, o.GetUnmapped(), false,
			column[*overviewv1.UnmappedCustomer]{"customer", (*overviewv1.UnmappedCustomer).GetMexId},
			column[*overviewv1.UnmappedCustomer]{"name", (*overviewv1.UnmappedCustomer).GetName},
			column[*overviewv1.UnmappedCustomer]{"subscriptions", func(u *overviewv1.UnmappedCustomer) string { return overview.Count(u.GetSubscriptions()) }},
			column[*overviewv1.UnmappedCustomer]{"cost a month", func(u *overviewv1.UnmappedCustomer) string { return orDash(overview.Amounts(u.GetCost())) }},
		); err != nil {
			return err
		}
	}
	if len(o.GetLowestMargins()) > 0 {
		say("\nLowest margins:")
		if err := printMargins(c, o.GetLowestMargins(), false); err != nil {
			return err
		}
	}
	if len(o.GetWaiting()) > 0 {
		say("\nNot in Halo as Giacom has it, and why:")
		if err := printList(c, o.GetWaiting(), false,
			column[*opsv1.Waiting]{"items", func(w *opsv1.Waiting) string { return overview.Count(w.GetCount()) }},
			column[*opsv1.Waiting]{"kind", (*opsv1.Waiting).GetKind},
			column[*opsv1.Waiting]{"state", func(w *opsv1.Waiting) string { return word(w.GetState()) }},
			column[*opsv1.Waiting]{"since", func(w *opsv1.Waiting) string { return when(w.GetOldest()) }},
			column[*opsv1.Waiting]{"a month", func(w *opsv1.Waiting) string { return orDash(overview.Amounts(w.GetBefore())) }},
			column[*opsv1.Waiting]{"then", func(w *opsv1.Waiting) string { return orDash(overview.Amounts(w.GetAfter())) }},
			column[*opsv1.Waiting]{"why", func(w *opsv1.Waiting) string { return orDash(w.GetReason().GetText()) }},
		); err != nil {
			return err
		}
	}
	if len(o.GetDays()) > 0 {
		say("\nWritten this month:")
		return printList(c, o.GetDays(), false,
			column[*opsv1.ChangeDay]{"day", (*opsv1.ChangeDay).GetDate},
			column[*opsv1.ChangeDay]{"kind", (*opsv1.ChangeDay).GetKind},
			column[*opsv1.ChangeDay]{"what", (*opsv1.ChangeDay).GetClass},
			column[*opsv1.ChangeDay]{"count", func(d *opsv1.ChangeDay) string { return overview.Count(d.GetCount()) }},
			column[*opsv1.ChangeDay]{"a month", func(d *opsv1.ChangeDay) string { return orDash(overview.Amounts(d.GetDifference())) }},
		)
	}
	return nil
}

func whenFirst(times []*timestamppb.Timestamp, otherwise string) string {
	if len(times) > 0 {
		return when(times[0])
	}
	return orDash(otherwise)
}
