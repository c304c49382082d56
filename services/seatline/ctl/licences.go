package ctl

import (
	"context"
	"errors"
	"fmt"

	"seatline.dev/pkg/rpc"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// Licences is the command of that name.
type Licences struct {
	Client
	List   LicencesList   `cmd:"" help:"List licences."`
	Get    LicencesGet    `cmd:"" help:"Show one, with its candidates when it may be a duplicate."`
	Adopt  LicencesAdopt  `cmd:"" help:"Take over a licence that exists in Halo; with --all, of each possible duplicate the one that it may be."`
	Create LicencesCreate `cmd:"" help:"Create a new one although a candidate exists; with --all, for each possible duplicate."`
	Retry  LicencesRetry  `cmd:"" aliases:"release" help:"Try a failed one again, or overwrite a change made by hand."`
}

// LicencesList is `licences list`.
type LicencesList struct {
	Connection string `arg:"" optional:"" help:"Of this connection only."`
	List
}

func (cmd *LicencesList) Run(ctx context.Context, c *Client) error {
	var rows []*licencev1.Licence
	var more bool
	err := c.licences(ctx, func(ctx context.Context, client licencev1.LicenceServiceClient) (err error) {
		more, err = cmd.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListLicences(ctx, &licencev1.ListLicencesRequest{
				PageSize: size, PageToken: token, Filter: within(cmd.Connection, cmd.Filter), OrderBy: cmd.OrderBy,
			})
			rows = append(rows, page.GetLicences()...)
			return len(page.GetLicences()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*licencev1.Licence]{"connection", (*licencev1.Licence).GetConnection},
		column[*licencev1.Licence]{"key", (*licencev1.Licence).GetKey},
		column[*licencev1.Licence]{"customer", func(x *licencev1.Licence) string { return x.GetSubscription().GetGiacom().GetCustomerName() }},
		column[*licencev1.Licence]{"product", func(x *licencev1.Licence) string { return x.GetSubscription().GetGiacom().GetName() }},
		column[*licencev1.Licence]{"seats in halo", func(x *licencev1.Licence) string { return seats(x.GetApplied()) }},
		column[*licencev1.Licence]{"should be", func(x *licencev1.Licence) string { return seats(x.GetDesired()) }},
		column[*licencev1.Licence]{"cost", func(x *licencev1.Licence) string { return money(x.GetDesired().GetPurchasePrice()) }},
		column[*licencev1.Licence]{"halo id", func(x *licencev1.Licence) string { return orDash(fmt.Sprint(x.GetStatus().GetHaloId())) }},
		column[*licencev1.Licence]{"state", func(x *licencev1.Licence) string { return word(x.GetStatus().GetState()) }},
		column[*licencev1.Licence]{"why", func(x *licencev1.Licence) string { return x.GetStatus().GetReason().GetText() }},
	)
}

func seats(f *licencev1.Fields) string {
	switch {
	case f == nil:
		return "–"
	case !f.GetActive():
		return "inactive"
	default:
		return fmt.Sprint(f.GetCount())
	}
}

// LicencesGet is `licences get`.
type LicencesGet struct{ keyArgs }

func (cmd *LicencesGet) Run(ctx context.Context, c *Client) error {
	return c.licences(ctx, func(ctx context.Context, client licencev1.LicenceServiceClient) error {
		l, err := client.GetLicence(ctx, cmd.request())
		if err != nil {
			return err
		}
		return printOne(c, l)
	})
}

func (k keyArgs) request() *licencev1.GetLicenceRequest {
	return &licencev1.GetLicenceRequest{Connection: k.Connection, Key: k.Key}
}

// LicencesAdopt is `licences adopt`.
type LicencesAdopt struct {
	decideMany
	HaloID int64 `arg:"" optional:"" name:"halo-id" help:"Halo's id of the licence, as get shows it among the candidates."`
}

func (cmd *LicencesAdopt) Run(ctx context.Context, c *Client) error {
	if cmd.All {
		return cmd.run(ctx, c, licencev1.Way_WAY_ADOPT)
	}
	if _, err := cmd.one(); err != nil {
		return err
	}
	if cmd.HaloID == 0 {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("say which licence of Halo it takes over: `seatline licences get` shows the candidates")}
	}
	return c.licences(ctx, func(ctx context.Context, client licencev1.LicenceServiceClient) error {
		l, err := client.AdoptLicence(ctx, &licencev1.AdoptLicenceRequest{Connection: cmd.Connection, Key: cmd.Key, HaloId: cmd.HaloID})
		if err != nil {
			return err
		}
		return done(c, l, "%s takes over licence %d of Halo: %s.", l.GetKey(), cmd.HaloID, word(l.GetStatus().GetState()))
	})
}

// LicencesCreate is `licences create`.
type LicencesCreate struct{ decideMany }

func (cmd *LicencesCreate) Run(ctx context.Context, c *Client) error {
	if cmd.All {
		return cmd.run(ctx, c, licencev1.Way_WAY_CREATE)
	}
	req, err := cmd.one()
	if err != nil {
		return err
	}
	return c.licences(ctx, func(ctx context.Context, client licencev1.LicenceServiceClient) error {
		l, err := client.CreateLicence(ctx, req)
		if err != nil {
			return err
		}
		return done(c, l, "A new licence for %s is to be created: %s.", l.GetKey(), word(l.GetStatus().GetState()))
	})
}

// LicencesRetry is `licences retry`.
type LicencesRetry struct{ keyArgs }

func (cmd *LicencesRetry) Run(ctx context.Context, c *Client) error {
	return c.licences(ctx, func(ctx context.Context, client licencev1.LicenceServiceClient) error {
		l, err := client.RetryLicence(ctx, cmd.request())
		if err != nil {
			return err
		}
		return done(c, l, "%s: %s.", l.GetKey(), word(l.GetStatus().GetState()))
	})
}
