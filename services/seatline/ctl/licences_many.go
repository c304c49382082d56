package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"seatline.dev/pkg/rpc"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// decideMany is the flags that decide about many possible duplicates at once.
type decideMany struct {
	Connection string `arg:"" help:"Connection."`
	Key        string `arg:"" optional:"" help:"Key, as list shows it."`
	All        bool   `help:"Decide about all that are held as possible duplicates; without --yes it only shows what would be done."`
	Filter     string `short:"f" help:"With --all: only these. AIP-160 filter as of list, for example 'customer_name : \"dental\"'."`
	Yes        bool   `help:"With --all: do it."`
}

// one names the licence that a command without --all is about.
func (d decideMany) one() (*licencev1.GetLicenceRequest, error) {
	if d.Key == "" || d.All || d.Filter != "" || d.Yes {
		return nil, &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("name one licence by its key, or give --all for those that are held as possible duplicates")}
	}
	return keyArgs{d.Connection, d.Key}.request(), nil
}

// perCall is how many decisions one call takes.
const perCall = 1000

func (d decideMany) run(ctx context.Context, c *Client, way licencev1.Way) error {
	if d.Key != "" {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("either name a licence or give --all")}
	}
	return c.licences(ctx, func(ctx context.Context, client licencev1.LicenceServiceClient) error {
		shown, done := &licencev1.DuplicateDecisions{}, &licencev1.DuplicateDecisions{}
		for token := ""; ; {
			page, err := client.GetDuplicateDecisions(ctx, &licencev1.GetDuplicateDecisionsRequest{Connection: d.Connection, Filter: d.Filter, Way: way, PageToken: token})
			if err != nil {
				return err
			}
			shown.Decisions, shown.Skipped = append(shown.Decisions, page.GetDecisions()...), append(shown.Skipped, page.GetSkipped()...)
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		if !d.Yes {
			if err := printDecisions(c, shown, false); err != nil || len(shown.GetDecisions()) == 0 {
				return err
			}
			return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("nothing was decided; repeat with --yes")}
		}
		done.Skipped = shown.GetSkipped()
		for some := range slices.Chunk(shown.GetDecisions(), perCall) {
			page, err := client.DecideDuplicates(ctx, &licencev1.DecideDuplicatesRequest{Connection: d.Connection, Decisions: some})
			if err != nil {
				return fmt.Errorf("after %s: %w", plural(len(done.GetDecisions()), "decision", "decisions"), err)
			}
			done.Decisions, done.Skipped = append(done.Decisions, page.GetDecisions()...), append(done.Skipped, page.GetSkipped()...)
		}
		return printDecisions(c, done, true)
	})
}

// printDecisions says what was decided, or would be, and what is left to a person.
func printDecisions(c *Client, d *licencev1.DuplicateDecisions, decided bool) error {
	if c.Output == "json" {
		return printOne(c, d)
	}
	for _, x := range d.GetDecisions() {
		what := fmt.Sprintf("adopt  %s: %s takes over licence %d of Halo, with %d seats instead of %d", x.GetKey(), x.GetCustomer()+", "+x.GetName(), x.GetHaloId(), x.GetCount(), x.GetCandidate().GetCount())
		if x.GetHaloId() == 0 {
			what = fmt.Sprintf("create %s: %s, a new licence with %d seats beside licence %d", x.GetKey(), x.GetCustomer()+", "+x.GetName(), x.GetCount(), x.GetCandidate().GetHaloId())
		}
		fmt.Fprintln(c.out, clean(what))
	}
	for _, x := range d.GetSkipped() {
		fmt.Fprintln(c.out, clean(fmt.Sprintf("leave  %s: %s, %s: %s", x.GetKey(), x.GetCustomer(), x.GetName(), x.GetReason().GetText())))
	}
	verb := "decided about"
	if !decided {
		verb = "would be decided about"
	}
	_, err := fmt.Fprintf(c.out, "%s %s; %d left as they are.\n", plural(len(d.GetDecisions()), "possible duplicate", "possible duplicates"), verb, len(d.GetSkipped()))
	return err
}
