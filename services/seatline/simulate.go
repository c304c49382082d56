package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	"seatline.dev/services/estate"
)

// Credentials of the simulators. They listen on loopback and hold nothing of anyone's.
const (
	simKey    = "sim-key"
	simClient = "sim-client"
	simSecret = "sim-secret"
	simTenant = "sim"
)

// estateSettings are those of the simulators' estate.
type estateSettings struct {
	Seed          uint64 `name:"seed" env:"SEATLINE_SEED" default:"1" help:"Of the simulated estate: the same seed gives the same estate."`
	Customers     int    `name:"customers" env:"SEATLINE_CUSTOMERS" default:"160" help:"Customers of the simulated estate."`
	Subscriptions int    `name:"subscriptions" env:"SEATLINE_SUBSCRIPTIONS" default:"2100" help:"Its subscriptions."`
}

func (e estateSettings) generate() estate.Data {
	return estate.Generate(estate.Config{Seed: e.Seed, Customers: e.Customers, Subscriptions: e.Subscriptions, Now: time.Now().UTC().Truncate(time.Hour)})
}

// simulators serve a made-up estate.
type simulators struct {
	giacom             *giacomsim.Sim
	halo               *halosim.Sim
	giacomURL, haloURL string
	group              *errgroup.Group
	cancel             context.CancelFunc
}

// startSimulators serves an estate until stop is called. limit is what Halo allows in five minutes; 0 for no limit.
func startSimulators(ctx context.Context, made estate.Data, limit int, giacomAddr, haloAddr string) (*simulators, error) {
	s := &simulators{
		giacom: giacomsim.New(giacomsim.Config{Key: simKey}),
		halo:   halosim.New(halosim.Config{ClientID: simClient, ClientSecret: simSecret, Tenant: simTenant, Limit: limit, Window: 5 * time.Minute, RetryAfter: true}),
	}
	if err := made.Fill(s.giacom, s.halo); err != nil {
		return nil, fmt.Errorf("fill the simulators: %w", err)
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.group, ctx = errgroup.WithContext(ctx)
	for _, x := range []struct {
		name, addr, flag string
		handler          http.Handler
		url              *string
	}{{"Giacom", giacomAddr, "--giacom-addr", s.giacom, &s.giacomURL}, {"Halo", haloAddr, "--halo-addr", s.halo, &s.haloURL}} {
		listener, err := net.Listen("tcp", x.addr)
		if err != nil {
			s.stop()
			return nil, elsewhere(fmt.Errorf("simulated %s: %w", x.name, err), x.flag)
		}
		*x.url = "http://" + listener.Addr().String()
		serve(ctx, s.group, listener, x.handler)
	}
	return s, nil
}

func (s *simulators) stop() {
	s.cancel()
	_ = s.group.Wait() // they only listen
}

// total of requests by route; those that the limit refused are counted under their route already.
func total(requests map[string]int) (sum int) {
	for route, n := range requests {
		if route != "429" {
			sum += n
		}
	}
	return sum
}

// simulateCommand serves both simulators alone. Anyone who reaches them may change everything there, so
// they listen on loopback unless told otherwise, as in containers.
type simulateCommand struct {
	estateSettings
	GiacomAddr string        `name:"giacom-addr" env:"SEATLINE_SIM_GIACOM_ADDR" default:"127.0.0.1:7711" placeholder:"HOST:PORT" help:"Where Giacom listens."`
	HaloAddr   string        `name:"halo-addr" env:"SEATLINE_SIM_HALO_ADDR" default:"127.0.0.1:7712" placeholder:"HOST:PORT" help:"Where Halo listens."`
	Limit      int           `name:"halo-limit" env:"SEATLINE_SIM_HALO_LIMIT" default:"300" help:"Requests that Halo allows in 5 minutes; 0 for no limit."`
	Evolve     time.Duration `name:"evolve" env:"SEATLINE_EVOLVE" default:"0" help:"How often the estate changes; 0 for never."`
	Check      bool          `name:"check" help:"Start nothing, but ask whether simulators answer there (for containers, which have no shell)."`
}

func (c simulateCommand) Run(ctx context.Context, k *kong.Kong) error {
	if c.Check {
		return c.check(ctx)
	}
	chassis.SpareGC()
	made := c.generate()
	s, err := startSimulators(ctx, made, c.Limit, c.GiacomAddr, c.HaloAddr)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Fprintf(k.Stdout, "Giacom  %s/Billing/v1  key %s\nHalo    %s  tenant %s, client id %s, client secret %s\n"+
		"%d customers, %d subscriptions, %d recurring invoices. Faults, state and counts are below /_sim of each.\n",
		s.giacomURL, simKey, s.haloURL, simTenant, simClient, simSecret, len(made.Giacom.Customers), len(made.Giacom.Subscriptions), len(made.Halo.Invoices))
	if c.Evolve <= 0 {
		<-ctx.Done()
		return nil
	}
	evolver := estate.NewEvolver(s.giacom, c.Seed, time.Now)
	for tick := time.NewTicker(c.Evolve); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
			fmt.Fprintf(k.Stdout, "%s  %s\n", time.Now().Format(time.TimeOnly), evolver.Step())
		}
	}
}

// check asks both simulators for their counts.
func (c simulateCommand) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for name, addr := range map[string]string{"Giacom": c.GiacomAddr, "Halo": c.HaloAddr} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/_sim/requests", nil)
		if err != nil {
			return &rpc.Exit{Code: rpc.ExitUsage, Err: fmt.Errorf("address of the simulated %s: %w", name, err)}
		}
		answer, err := http.DefaultClient.Do(req)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				err = fmt.Errorf("it answers %s", answer.Status)
			}
		}
		if err != nil {
			return &rpc.Exit{Code: rpc.ExitUnavailable, Err: fmt.Errorf("the simulated %s does not answer at %s: %w", name, addr, err)}
		}
	}
	return nil
}
