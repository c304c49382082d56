package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// sums of several currencies, and how many amounts are in none of them.
func sums(all []*moneyv1.Money, unknown int32) string {
	var parts []string
	for _, m := range all {
		parts = append(parts, money(m))
	}
	if unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d unknown", unknown))
	}
	return orDash(strings.Join(parts, " + "))
}

// MappingsSummary is `mappings summary`.
type MappingsSummary struct {
	Connection string `arg:"" help:"Connection."`
}

func (cmd *MappingsSummary) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		s, err := client.GetMappingSummary(ctx, &mappingv1.GetMappingSummaryRequest{Connection: cmd.Connection})
		if err != nil {
			return err
		}
		err = done(c, s, "%d mapped (%s a month ex VAT), %d to be created, %d suggested and %d unmapped (%s), %d to be remapped (%s), %d ignored (%s), %d renamed since decided. Halo has %s, last read %s.",
			s.GetMapped(), sums(s.GetMonthlyMapped(), 0), s.GetCreating(), s.GetSuggested(), s.GetUnmapped(), sums(s.GetMonthlyUnmapped(), s.GetUnmappedUnpriced()),
			s.GetRemap(), sums(s.GetMonthlyRemap(), 0), s.GetIgnored(), sums(s.GetMonthlyIgnored(), 0), s.GetRenamed(),
			plural(int(s.GetHaloCustomers()), "active customer", "active customers"), when(s.GetHaloReadTime()))
		if err == nil && s.GetAlert().GetRaised() {
			err = &rpc.Exit{Code: rpc.ExitHeld, Err: errors.New(s.GetAlert().GetText() + "\n→ seatline mappings suggestions " + cmd.Connection)}
		}
		return err
	})
}

// MappingsSuggestions is `mappings suggestions`.
type MappingsSuggestions struct {
	Connection string `arg:"" help:"Connection."`
	MinScore   int32  `name:"min-score" help:"Only of at least this score, 1 to 100."`
	List
}

func (cmd *MappingsSuggestions) Run(ctx context.Context, c *Client) error {
	var rows []*mappingv1.Mapping
	var more bool
	err := c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) (err error) {
		more, err = cmd.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListSuggestions(ctx, &mappingv1.ListSuggestionsRequest{Connection: cmd.Connection, MinScore: cmd.MinScore, PageSize: size, PageToken: token,
				Filter: cmd.Filter, OrderBy: cmd.OrderBy})
			rows = append(rows, page.GetSuggestions()...)
			return len(page.GetSuggestions()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	best := func(x *mappingv1.Mapping) *mappingv1.Candidate {
		if len(x.GetCandidates()) == 0 {
			return nil
		}
		return x.GetCandidates()[0]
	}
	return printList(c, rows, more,
		column[*mappingv1.Mapping]{"giacom id", (*mappingv1.Mapping).GetMexId},
		column[*mappingv1.Mapping]{"giacom name", (*mappingv1.Mapping).GetGiacomName},
		column[*mappingv1.Mapping]{"score", func(x *mappingv1.Mapping) string { return fmt.Sprint(best(x).GetScore()) }},
		column[*mappingv1.Mapping]{"halo id", func(x *mappingv1.Mapping) string { return fmt.Sprint(best(x).GetHaloClientId()) }},
		column[*mappingv1.Mapping]{"halo name", func(x *mappingv1.Mapping) string { return best(x).GetHaloClientName() }},
		column[*mappingv1.Mapping]{"a month ex vat", func(x *mappingv1.Mapping) string { return sums(x.GetMonthly(), x.GetUnpriced()) }},
		column[*mappingv1.Mapping]{"why", func(x *mappingv1.Mapping) string {
			return strings.TrimSpace(strings.Join(best(x).GetReasons(), " ") + " " + x.GetAmbiguity())
		}},
	)
}

// MappingsAccept is `mappings accept`.
type MappingsAccept struct {
	Connection string `arg:"" help:"Connection."`
	MexID      string `arg:"" optional:"" name:"mex-id" help:"Giacom's id of the customer; without it, all that have --min-score."`
	HaloID     int64  `arg:"" optional:"" name:"halo-id" help:"Which of the candidates; without it the one that stands out."`
	MinScore   int32  `name:"min-score" help:"Accept all that stand out and have at least this score, 1 to 100."`
	etagFlag
	bulk
}

func (cmd *MappingsAccept) Run(ctx context.Context, c *Client) error {
	if (cmd.MexID == "") == (cmd.MinScore == 0) {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("name a customer, or give --min-score for all of at least that score")}
	}
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		if cmd.MexID != "" {
			if cmd.DryRun {
				m, err := client.GetMapping(ctx, &mappingv1.GetMappingRequest{Connection: cmd.Connection, MexId: cmd.MexID})
				if err != nil {
					return err
				}
				return printOne(c, m)
			}
			m, err := client.AcceptSuggestion(ctx, &mappingv1.AcceptSuggestionRequest{Connection: cmd.Connection, MexId: cmd.MexID, HaloClientId: cmd.HaloID, Etag: cmd.Etag})
			if err != nil {
				return err
			}
			return done(c, m, "%s (%s) is billed to Halo customer %d (%s).", m.GetMexId(), m.GetGiacomName(), m.GetHaloClientId(), m.GetHaloClientName())
		}
		req := &mappingv1.AcceptSuggestionsRequest{Connection: cmd.Connection, MinScore: cmd.MinScore, Etag: cmd.Etag}
		if cmd.DryRun {
			return cmd.print(c)(client.GetAcceptableSuggestions(ctx, req))
		}
		return cmd.print(c)(client.AcceptSuggestions(ctx, req))
	})
}

// bulk is the flag of commands on many mappings.
type bulk struct {
	DryRun bool `name:"dry-run" help:"Show what would be mapped, map nothing."`
}

// print says what such a command did, or would do.
func (bulk) print(c *Client) func(*mappingv1.MappingChanges, error) error {
	return func(m *mappingv1.MappingChanges, err error) error {
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return printOne(c, m)
		}
		for _, x := range m.GetChanges() {
			fmt.Fprintln(c.out, clean(fmt.Sprintf("map   %s (%s) to %d (%s): %s", x.GetMexId(), x.GetGiacomName(), x.GetHaloClientId(), x.GetHaloClientName(), strings.Join(x.GetReasons(), " "))))
		}
		for _, x := range m.GetSkipped() {
			fmt.Fprintln(c.out, clean(fmt.Sprintf("leave %s (%s): %s", x.GetMexId(), x.GetGiacomName(), x.GetReason().GetText())))
		}
		verb := "mapped"
		if !m.GetApplied() {
			verb = "would be mapped"
		}
		_, err = fmt.Fprintf(c.out, "%s %s, with %s for %s a month ex VAT; %d left as they are.\n", plural(len(m.GetChanges()), "customer", "customers"), verb,
			plural(int(m.GetSubscriptions()), "subscription", "subscriptions"), sums(m.GetMonthly(), 0), len(m.GetSkipped()))
		if err == nil && m.GetEtag() != "" && !m.GetApplied() {
			_, err = fmt.Fprintf(c.out, "With --etag %s this is done and nothing else.\n", m.GetEtag())
		}
		return err
	}
}

// mapAll is the flags of generate and take-over.
type mapAll struct {
	Connection string `arg:"" help:"Connection."`
	Etag       string `help:"Refuse if something else would be done than in the dry run of this etag."`
	bulk
}

func (m mapAll) request() *mappingv1.MapAllRequest {
	return &mappingv1.MapAllRequest{Connection: m.Connection, Etag: m.Etag}
}

// MappingsGenerate is `mappings generate`.
type MappingsGenerate struct{ mapAll }

func (cmd *MappingsGenerate) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		if cmd.DryRun {
			return cmd.print(c)(client.GetGeneratedMappings(ctx, cmd.request()))
		}
		return cmd.print(c)(client.GenerateMappings(ctx, cmd.request()))
	})
}

// MappingsTakeOver is `mappings take-over`.
type MappingsTakeOver struct{ mapAll }

func (cmd *MappingsTakeOver) Run(ctx context.Context, c *Client) error {
	return c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) error {
		if cmd.DryRun {
			return cmd.print(c)(client.GetNativeMappings(ctx, cmd.request()))
		}
		return cmd.print(c)(client.TakeOverMappings(ctx, cmd.request()))
	})
}

// MappingsHaloCustomers is `mappings halo-customers`.
type MappingsHaloCustomers struct {
	Connection string `arg:"" help:"Connection."`
	List
}

func (cmd *MappingsHaloCustomers) Run(ctx context.Context, c *Client) error {
	var rows []*mappingv1.HaloCustomer
	var more bool
	err := c.mappings(ctx, func(ctx context.Context, client mappingv1.MappingServiceClient) (err error) {
		more, err = cmd.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListHaloCustomers(ctx, &mappingv1.ListHaloCustomersRequest{Connection: cmd.Connection, PageSize: size, PageToken: token, Filter: cmd.Filter, OrderBy: cmd.OrderBy})
			rows = append(rows, page.GetCustomers()...)
			return len(page.GetCustomers()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*mappingv1.HaloCustomer]{"halo id", func(x *mappingv1.HaloCustomer) string { return fmt.Sprint(x.GetId()) }},
		column[*mappingv1.HaloCustomer]{"name", (*mappingv1.HaloCustomer).GetName},
		column[*mappingv1.HaloCustomer]{"state", func(x *mappingv1.HaloCustomer) string {
			if x.GetInactive() {
				return "inactive"
			}
			return "active"
		}},
		column[*mappingv1.HaloCustomer]{"giacom customers", func(x *mappingv1.HaloCustomer) string { return orDash(strings.Join(x.GetMexIds(), ", ")) }},
	)
}
