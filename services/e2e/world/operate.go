package world

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/seatline/ctl"
	"seatline.dev/services/settled"
)

// Connection returns settings that join the world's simulators: no schedule, no waiting between the
// pulls that prove a removal, a budget that never binds.
func (w *World) Connection(slug string) *connectionv1.Connection {
	proRata := int32(1)
	return &connectionv1.Connection{
		Slug: slug, DisplayName: "Story", Enabled: true, Mode: connectionv1.Mode_MODE_AUTO,
		Giacom: &connectionv1.Giacom{
			Account: "acme", Version: connectionv1.GiacomVersion_GIACOM_VERSION_V1, BaseUrl: w.GiacomURL,
			Method: connectionv1.ImportMethod_IMPORT_METHOD_BOTH, AllProductsFeed: connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS,
			CustomersFrom: connectionv1.CustomersFrom_CUSTOMERS_FROM_ENDPOINT, Currency: "GBP",
			AnnualPriceBasis: moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH,
		},
		Halo: &connectionv1.Halo{
			BaseUrl: w.HaloURL, Tenant: "sim", ClientId: "sim-client",
			BudgetRequests: 1_000_000, BudgetWindow: durationpb.New(5 * time.Minute),
		},
		Customers: &connectionv1.Customers{Create: true, TopLevelId: 12},
		Licences:  &connectionv1.Licences{DeactivateRemoved: true},
		Billing:   &connectionv1.Billing{ProRata: &proRata},
		Schedule:  &connectionv1.Schedule{},
		Guards:    &connectionv1.Guards{RemovalConfirmations: 2, RemovalInterval: durationpb.New(0), MaxRemovals: 1000, AllowCustomerRemoval: true},
	}
}

// Apply stores a connection with the simulators' secrets, and its price rules.
func (w *World) Apply(ctx context.Context, c *connectionv1.Connection, rules []*pricingv1.PriceRule) (*connectionv1.Connection, error) {
	out, err := connectionv1.NewConnectionServiceClient(w.Client(ctl.Console)).ApplyConnection(ctx, &connectionv1.ApplyConnectionRequest{
		Connection: c, GiacomApiKey: "sim-key", HaloClientSecret: "sim-secret", Force: true, OverrideReason: w.Override,
	})
	if err != nil {
		return nil, fmt.Errorf("apply connection %s: %w", c.GetSlug(), err)
	}
	if err := w.Settle(ctx, c.GetSlug()); err != nil {
		return nil, err
	}
	_, err = pricingv1.NewPricingServiceClient(w.Client(ctl.Billing)).SetPriceRules(ctx, &pricingv1.SetPriceRulesRequest{
		Rules: &pricingv1.PriceRules{Connection: c.GetSlug(), Rules: rules}, Force: true,
	})
	if err != nil {
		return nil, fmt.Errorf("set price rules of %s: %w", c.GetSlug(), err)
	}
	return out, w.Settle(ctx, c.GetSlug())
}

// Validate checks a connection, which also finds out what its Halo can do.
func (w *World) Validate(ctx context.Context, slug string) ([]*connectionv1.Check, error) {
	resp, err := connectionv1.NewConnectionServiceClient(w.Client(ctl.Console)).ValidateConnection(ctx, &connectionv1.GetConnectionRequest{Slug: slug})
	if err != nil {
		return nil, err
	}
	return resp.GetChecks(), w.Settle(ctx, slug)
}

// SignInLink is where somebody signs in to the web console, once.
func (w *World) SignInLink(ctx context.Context, name string, role accessv1.Role) (string, error) {
	link, err := accessv1.NewAccessServiceClient(w.Client(ctl.Console)).CreateSignInLink(ctx, &accessv1.CreateSignInLinkRequest{Name: name, Role: role})
	return link.GetUrl(), err
}

// Begin starts a run, as the schedule would when scheduled is set.
func (w *World) Begin(ctx context.Context, slug string, scheduled bool) (*runv1.Run, error) {
	run, err := runv1.NewRunServiceClient(w.Client(ctl.Fetcher)).StartRun(ctx, &runv1.StartRunRequest{Connection: slug, AsScheduled: scheduled})
	if err != nil {
		return nil, fmt.Errorf("start a run: %w", err)
	}
	return run, nil
}

// Run polls Giacom once, as the schedule would when scheduled is set, and returns the run as it ended.
func (w *World) Run(ctx context.Context, slug string, scheduled bool) (*runv1.Run, error) {
	run, err := w.Begin(ctx, slug, scheduled)
	if err != nil {
		return nil, err
	}
	watch, err := runv1.NewRunServiceClient(w.Client(ctl.Fetcher)).WatchRun(ctx, &runv1.GetRunRequest{Id: run.GetId()})
	if err != nil {
		return nil, err
	}
	for {
		next, err := watch.Recv()
		if errors.Is(err, io.EOF) {
			return run, nil
		}
		if err != nil {
			return nil, fmt.Errorf("watch run %s: %w", run.GetId(), err)
		}
		run = next
	}
}

// Ended waits until a run is over, while services and servers may go and come.
func (w *World) Ended(ctx context.Context, id string) (*runv1.Run, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		run, err := runv1.NewRunServiceClient(w.Client(ctl.Fetcher)).GetRun(ctx, &runv1.GetRunRequest{Id: id})
		if err == nil && run.GetOutcome() != runv1.Outcome_OUTCOME_RUNNING {
			return run, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("run %s does not end: %w", id, errors.Join(err, ctx.Err()))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Settle waits until nothing would happen any more by itself.
func (w *World) Settle(ctx context.Context, slug string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return w.SettleWithin(ctx, slug)
}

// SettleWithin is Settle with the time limit of ctx.
func (w *World) SettleWithin(ctx context.Context, slug string) error {
	var last []*opsv1.Progress
	order := slices.Clone(ctl.Services())
	look := func(ctx context.Context) (all []*opsv1.Progress, err error) {
		for i, service := range order {
			p, err := w.progress(ctx, service, slug)
			if err != nil {
				return nil, err
			}
			if all = append(all, p); settled.Busy(p) != "" { // most likely it still is the next time
				order = slices.Insert(slices.Delete(order, i, i+1), 0, service)
				return all, nil
			}
		}
		return all, nil
	}
	err := settled.Wait(ctx, look, func(all []*opsv1.Progress) { last = all })
	if err != nil {
		for _, p := range last {
			if what := settled.Busy(p); what != "" {
				err = fmt.Errorf("%w; %s is %s", err, p.GetService(), what)
			}
		}
		return fmt.Errorf("not settled: %w", err)
	}
	return nil
}

// Progress of every service.
func (w *World) Progress(ctx context.Context, slug string) ([]*opsv1.Progress, error) {
	var all []*opsv1.Progress
	for _, service := range ctl.Services() {
		p, err := w.progress(ctx, service, slug)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (w *World) progress(ctx context.Context, service, slug string) (*opsv1.Progress, error) {
	p, err := opsv1.NewOpsServiceClient(w.Client(service)).GetProgress(ctx, &opsv1.GetProgressRequest{Connection: slug})
	if err != nil {
		return nil, fmt.Errorf("progress of %s: %w", service, err)
	}
	return p, nil
}
