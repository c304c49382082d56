package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/estate"
	"seatline.dev/services/oracle"
	"seatline.dev/services/seatline/ctl"
	"seatline.dev/services/settled"
)

// demoSlug is the connection of the demonstration.
const demoSlug = "demo"

// Requests that the simulated Halo allows in five minutes: enough for everything to settle within a
// minute, and with --real-limit what a real one is said to allow for sure.
const (
	fastLimit = 20_000
	realLimit = 300
)

// demo is a stack with simulators and the connection between them.
type demo struct {
	*stack
	upSettings
	sims    *simulators
	initial halosim.State
	rules   []*pricingv1.PriceRule
	oracle  *oracle.Oracle
}

func newDemo(ctx context.Context, c upSettings, s *stack) (*demo, error) {
	limit := fastLimit
	if c.RealLimit {
		limit = realLimit
	}
	sims, err := startSimulators(ctx, c.generate(), limit, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &demo{stack: s, upSettings: c, sims: sims, initial: sims.halo.State(), rules: demoRules()}
	if err := d.connect(ctx, limit); err != nil {
		d.close()
		return nil, fmt.Errorf("the connection of the demonstration: %w", err)
	}
	return d, nil
}

func (d *demo) close() { d.sims.stop() }

// connect declares the connection and its price rules.
func (d *demo) connect(ctx context.Context, limit int) error {
	client := connectionv1.NewConnectionServiceClient(d.clients[ctl.Console])
	_, err := client.ApplyConnection(ctx, &connectionv1.ApplyConnectionRequest{
		Connection: d.sims.connection(limit), GiacomApiKey: simKey, HaloClientSecret: simSecret, Force: true,
	})
	if err != nil {
		return err
	}
	if _, err := client.ValidateConnection(ctx, &connectionv1.GetConnectionRequest{Slug: demoSlug}); err != nil {
		return err
	}
	current, err := client.GetConnection(ctx, &connectionv1.GetConnectionRequest{Slug: demoSlug})
	if err != nil {
		return err
	}
	d.oracle = oracle.New(d.initial, oracle.Settings{Connection: current, Rules: d.rules})
	// Billing hears of the connection over the bus; until then it refuses rules for it.
	return retry(ctx, 20*time.Second, func() error {
		_, err := pricingv1.NewPricingServiceClient(d.clients[ctl.Billing]).SetPriceRules(ctx, &pricingv1.SetPriceRulesRequest{
			Rules: &pricingv1.PriceRules{Connection: demoSlug, Rules: d.rules}, Force: true,
		})
		return err
	})
}

// connection between the two simulators, as the demonstration has it.
func (s *simulators) connection(limit int) *connectionv1.Connection {
	return &connectionv1.Connection{
		Slug: demoSlug, DisplayName: "Demonstration", Enabled: true, Mode: connectionv1.Mode_MODE_AUTO,
		Giacom: &connectionv1.Giacom{
			Account: demoSlug, BaseUrl: s.giacomURL + "/Billing/v1",
			Method:           connectionv1.ImportMethod_IMPORT_METHOD_BOTH,
			AllProductsFeed:  connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS,
			CustomersFrom:    connectionv1.CustomersFrom_CUSTOMERS_FROM_ENDPOINT,
			AnnualPriceBasis: moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH,
		},
		Halo: &connectionv1.Halo{
			BaseUrl: s.haloURL, AuthUrl: s.haloURL + "/auth", Tenant: simTenant, ClientId: simClient,
			BudgetRequests: int32(limit * 5 / 6), BudgetWindow: durationpb.New(5 * time.Minute),
		},
		Customers: &connectionv1.Customers{Create: true, TopLevelId: estate.TopLevel},
		Licences:  &connectionv1.Licences{DeactivateRemoved: true},
		Billing:   &connectionv1.Billing{ProRata: proto.Int32(1)},
		// The demonstration starts its runs itself, when its estate has changed.
		Schedule: &connectionv1.Schedule{Enabled: false, Cron: "0 6-22 * * *"},
		Guards:   &connectionv1.Guards{RemovalConfirmations: 1, RemovalInterval: durationpb.New(0)},
	}
}

// first is the first import, from nothing to settled, with its summary.
func (d *demo) first(ctx context.Context, out io.Writer) error {
	began := time.Now()
	fmt.Fprintf(out, "\nFirst import of a made-up estate: %d customers and %d subscriptions at Giacom, %d recurring invoices in Halo.\n\n",
		len(d.sims.giacom.Account().Customers), len(d.sims.giacom.Account().Subscriptions), len(d.initial.Invoices))
	view := newStages(ctx, out)
	run, err := d.run(ctx, func(r *runv1.Run) {
		view.set("Giacom", r.GetSubscriptions().GetSeen(), int64(len(d.sims.giacom.Account().Subscriptions)), "subscriptions "+r.GetStage())
	})
	if err == nil {
		err = settled.Wait(ctx, func(ctx context.Context) ([]*opsv1.Progress, error) { return d.look(ctx, demoSlug) }, func(all []*opsv1.Progress) { show(view, all) })
	}
	view.finish()
	if err != nil {
		return err
	}
	if run.GetOutcome() != runv1.Outcome_OUTCOME_SUCCEEDED {
		text := fmt.Sprintf("run %s: %s. %s", run.GetId(), word(run.GetOutcome().String(), "OUTCOME_"), run.GetReason().GetText())
		if d.Once {
			return &rpc.Exit{Code: rpc.ExitFailed, Err: errors.New(text)}
		}
		fmt.Fprintf(out, "\n%s\n", text)
	}
	sum, err := d.summarise(ctx, demoSlug)
	if err != nil {
		return err
	}
	sum.took, sum.haloRequests, sum.haloRoutes = time.Since(began), total(d.sims.halo.Requests()), d.sims.halo.Requests()
	sum.print(out)
	if !d.Once { // else it all ends now
		d.whereNext(out, d.signIn(ctx))
	}
	return nil
}

// whereNext says where things are, and what to try.
func (d *demo) whereNext(out io.Writer, signIn string) {
	fmt.Fprintf(out, "\nThe change log, the plan and everything else are a command away (in another terminal):\n\n"+
		"  %[7]s plan %[1]s%[2]s\n  %[7]s licences list -f 'state = held'%[2]s\n  %[7]s changes %[1]s%[2]s\n\n"+
		"%[8]sMetrics    http://%[3]s/metrics\nGiacom     %[4]s (simulated)\nHalo       %[5]s (simulated)\nLog        %[6]s\n\n",
		demoSlug, d.flag(), d.web, d.sims.giacomURL, d.sims.haloURL, d.dir.sub("seatline.log"), program(), signIn)
}

// show draws what the services are about.
func show(view stages, all []*opsv1.Progress) {
	for _, p := range all {
		done, sum := int64(0), int64(0)
		for _, c := range p.GetItems() {
			switch c.GetState() {
			case itemv1.State_STATE_RETIRED:
				continue
			case itemv1.State_STATE_PENDING, itemv1.State_STATE_APPLYING:
			default:
				done += c.GetCount()
			}
			sum += c.GetCount()
		}
		if stage := stageOf[p.GetService()]; stage != "" && sum > 0 {
			view.set(stage, done, sum, settled.Busy(p))
		}
	}
}

var stageOf = map[string]string{ctl.Mapper: "Customers", ctl.Licence: "Licences", ctl.Billing: "Invoice lines"}

// run polls Giacom as the schedule would and follows the run to its end.
func (d *demo) run(ctx context.Context, seen func(*runv1.Run)) (*runv1.Run, error) {
	client := runv1.NewRunServiceClient(d.clients[ctl.Fetcher])
	var run *runv1.Run
	account := d.sims.giacom.Account()
	err := retry(ctx, 20*time.Second, func() (err error) { // the fetcher hears of the connection over the bus
		run, err = client.StartRun(ctx, &runv1.StartRunRequest{Connection: demoSlug, AsScheduled: true})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start a run: %w", err)
	}
	stream, err := client.WatchRun(ctx, &runv1.GetRunRequest{Id: run.GetId()})
	if err != nil {
		return nil, fmt.Errorf("watch run %s: %w", run.GetId(), err)
	}
	for {
		next, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("watch run %s: %w", run.GetId(), err)
		}
		run = next
		seen(run)
	}
	d.oracle.Observe(account, oracle.Run{Scheduled: true, Complete: run.GetComplete(), At: run.GetStartTime().AsTime()})
	return run, nil
}

// verdict compares the simulated Halo with what the oracle says it must hold.
func (d *demo) verdict(ctx context.Context, out io.Writer) error {
	differences := oracle.Compare(d.oracle.Expected(), d.sims.halo.State())
	if len(differences) == 0 {
		fmt.Fprintln(out, "\nHalo holds exactly what Giacom, the mappings and the rules imply: every field was compared.")
		return nil
	}
	fields := "one field"
	if n := len(differences); n > 1 {
		fields = fmt.Sprintf("%d fields", n)
	}
	fmt.Fprintf(out, "\nHalo does not hold what it should, in %s:\n", fields)
	for i, x := range differences {
		if i == 20 {
			fmt.Fprintf(out, "  … and %d more\n", len(differences)-i)
			break
		}
		fmt.Fprintf(out, "  %s\n", x)
	}
	return &rpc.Exit{Code: rpc.ExitFailed, Err: errQuiet}
}

// live follows changes, and makes some, until ctx ends.
func (d *demo) live(ctx context.Context, out io.Writer) error {
	if d.Evolve > 0 {
		fmt.Fprintf(out, "The estate now changes every %s. What follows is what happens; Ctrl-C stops.\n\n", d.Evolve)
	} else {
		fmt.Fprint(out, "What follows is what happens; Ctrl-C stops.\n\n")
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.follow(ctx, out) })
	if d.Evolve > 0 {
		group.Go(func() error { return d.evolve(ctx, out) })
	}
	return group.Wait()
}

// evolve changes the estate and polls Giacom after it, as a schedule would.
func (d *demo) evolve(ctx context.Context, out io.Writer) error {
	evolver := estate.NewEvolver(d.sims.giacom, d.Seed, time.Now)
	for tick := time.NewTicker(d.Evolve); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
			fmt.Fprintf(out, "%s  at Giacom: %s\n", time.Now().Format(time.TimeOnly), evolver.Step())
			if _, err := d.run(ctx, func(*runv1.Run) {}); err != nil && ctx.Err() == nil {
				fmt.Fprintf(out, "%s  %s\n", time.Now().Format(time.TimeOnly), rpc.Describe(err))
			}
		}
	}
}

// retry calls until it works, or for a while.
func retry(ctx context.Context, patience time.Duration, call func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := call()
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
