package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"seatline.dev/services/e2e/world"
	"seatline.dev/services/seatline/ctl"
)

// Thrift is what three jobs take of Halo's requests, where Halo has everything that probing may find, or lacks something.
type Thrift struct {
	// Without a capability; "" for none.
	Without      string `json:"without"`
	NewLicences  Job    `json:"new_licences"`
	FirstReading Job    `json:"first_reading_of_invoices"` // and of as many linked licences as change
	ChangedSeats Job    `json:"changed_seats_on_linked_lines"`
	ChangedCosts Job    `json:"changed_costs_in_invoices"`
}

// Job is so many of something, and the requests that it took: in all, and by service and route.
type Job struct {
	Of     int         `json:"of"`
	All    int         `json:"requests"`
	Routes world.Spent `json:"by_service"`
}

func job(of int, spent world.Spent) Job { return Job{of, spent.All(), spent} }

// The estate in which linked licences change.
const linkedLicences, linkedInvoices = 1_000, 150

// fewer is how many licences are created where something lacks: a request for each may be needed.
const fewer = 1_000

// thrift counts requests; nothing is timed.
func thrift(ctx context.Context, licences int, binary, dir, server string) (all []Thrift, err error) {
	w, err := world.Start(ctx, world.Options{Binary: binary, Dir: filepath.Join(dir, "thrift"), Server: server})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	for _, lack := range slices.Backward(world.Lacks()) { // the most licences last, so that they are in nobody's way
		t, n := Thrift{Without: lack.What}, licences
		if lack.What != "" {
			n = min(n, fewer)
		}
		spent, err := w.NewLicences(ctx, lack, n)
		if err != nil {
			return nil, fmt.Errorf("new licences, without %q: %w", lack.What, err)
		}
		t.NewLicences = job(n, spent)
		linked, err := w.LinkedChanges(ctx, lack, linkedLicences, linkedInvoices)
		if err != nil {
			return nil, fmt.Errorf("changes of linked licences, without %q: %w", lack.What, err)
		}
		t.FirstReading = job(linkedInvoices, linked.First)
		t.ChangedSeats, t.ChangedCosts = job(linkedLicences, linked.Counts), job(linkedInvoices, linked.Costs)
		all = append(all, t)
	}
	slices.Reverse(all)
	return all, nil
}

// thriftTable has a row for each Halo. Of new licences it tells what the licence service takes, and what all take.
func thriftTable(to io.Writer, all []Thrift) {
	if len(all) == 0 {
		return
	}
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "\nHalo requests\tnew licences\tby the licence service\tby all\tfirst reading of %d invoices, by billing\t%d changed seat counts\t%d changed costs in as many invoices\n",
		linkedInvoices, linkedLicences, linkedInvoices)
	for _, x := range all {
		halo := "with everything that is probed"
		if x.Without != "" {
			halo = "without " + x.Without
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\n", halo, x.NewLicences.Of, x.NewLicences.Routes.By(ctl.Licence), x.NewLicences.All, x.FirstReading.Routes.By(ctl.Billing), x.ChangedSeats.All, x.ChangedCosts.All)
	}
}
