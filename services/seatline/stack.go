package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/postgres/private"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	accessv1 "seatline.dev/proto/seatline/access/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	"seatline.dev/services/seatline/ctl"
)

// stack is everything in one process: NATS, PostgreSQL and the five services.
type stack struct {
	settings
	dir  *dataDir
	demo bool
	log  *slog.Logger
	tel  *telemetry.Telemetry

	bus     *bus.Conn
	web     string                      // address of health and metrics
	console string                      // URL of the web console; empty: none
	addrs   map[string]string           // gRPC addresses by service
	clients map[string]*grpc.ClientConn // connections to them, as an operator
	group   *errgroup.Group             // of the services
	stop    context.CancelFunc
	closers []func() // in the order of their making
}

// start brings everything up and waits until every service answers.
func (s *stack) start(ctx context.Context) error {
	if err := s.infrastructure(ctx); err != nil {
		return err
	}
	conn, err := s.connectBus(ctx, "up", s.log)
	if err != nil {
		return err
	}
	s.closers = append(s.closers, conn.Close)
	s.bus = conn

	// The services outlive ctx until close stops them, so that a farewell can still be said.
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.group, running = errgroup.WithContext(running)
	up := make(chan [2]string, len(ctl.Services()))
	var pages net.Listener
	if s.WebAddr == "" {
		if pages, err = preferred(defaultWebPort); err != nil {
			return err
		}
		s.WebAddr = pages.Addr().String()
	}
	browsable, awaited := make(chan string, 1), len(ctl.Services())
	if s.WebAddr != noWeb {
		awaited++
	}
	h := &host{settings: s.settings, bus: conn, tel: s.tel, log: s.log, where: newAddresses(), pagesOn: pages, browsable: func(url string) { browsable <- url }}
	if s.web, err = serveHTTP(running, s.group, s.HTTPAddr, s.tel.MetricsHandler, h.ready); err != nil {
		return err
	}
	for _, service := range ctl.Services() {
		on, err := preferred(ctl.DefaultPort(service))
		if err != nil {
			return err
		}
		s.group.Go(func() error {
			err := h.run(running, service, on.Addr().String(), on, func(addr string) { up <- [2]string{service, addr} })
			if err == nil && running.Err() == nil {
				err = fmt.Errorf("%s ended by itself", service)
			}
			return err
		})
	}
	failed := make(chan error, 1)
	go func() { <-running.Done(); failed <- s.group.Wait() }()
	s.addrs, s.clients = map[string]string{}, map[string]*grpc.ClientConn{}
	for range awaited {
		select {
		case s.console = <-browsable:
		case x := <-up:
			s.addrs[x[0]] = x[1]
			h.where.set(x[0], x[1])
			client, err := rpc.Dial(rpc.Endpoint{Addr: x[1], Token: s.OperatorToken})
			if err != nil {
				return err
			}
			s.clients[x[0]] = client
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Minute):
			return errors.New("not every service came up within two minutes: the log says more")
		}
	}
	return ctl.WriteEndpoints(s.dir.path, ctl.Endpoints{Services: s.addrs, Token: s.OperatorToken.Reveal(), NATS: s.NATSURL.Reveal(), Web: s.console, Metrics: "http://" + s.web + "/metrics", PID: os.Getpid()})
}

// signIn is the line about the web console: where it is, with a link that signs in where one can be made.
func (s *stack) signIn(ctx context.Context) string {
	if s.console == "" {
		return ""
	}
	link, err := accessv1.NewAccessServiceClient(s.clients[ctl.Console]).CreateSignInLink(ctx, &accessv1.CreateSignInLinkRequest{})
	if err != nil { // others reach it too, so people sign in there
		return fmt.Sprintf("Console    %s\n", s.console)
	}
	return fmt.Sprintf("Console    %s\n           (signs you in once, within 15 minutes; another link: %s console sign-in%s)\n", link.GetUrl(), program(), s.flag())
}

// infrastructure starts NATS and PostgreSQL side by side, each unless one was given.
func (s *stack) infrastructure(ctx context.Context) error {
	var mu sync.Mutex
	closer := func(f func()) { mu.Lock(); defer mu.Unlock(); s.closers = append(s.closers, f) }
	group, ctx := errgroup.WithContext(ctx)
	if s.NATSURL == "" {
		group.Go(func() error {
			nats, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: s.dir.sub(s.place("nats")), Log: s.log.With("part", "nats")})
			if err != nil {
				return err
			}
			closer(nats.Stop)
			s.NATSURL = telemetry.Secret(nats.URL())
			return nil
		})
	}
	group.Go(func() error {
		switch {
		case s.DatabaseURL == "":
			server, err := private.Start(ctx, private.Config{Dir: s.dir.sub(s.place("postgres")), Log: s.log.With("part", "postgres"), Durable: !s.demo, Temporary: s.demo})
			if err != nil {
				return err
			}
			closer(server.Stop)
			s.DatabaseURL = telemetry.Secret(server.URL())
		case s.demo:
			url, drop, err := ownDatabase(ctx, s.DatabaseURL)
			if err != nil {
				return err
			}
			closer(drop)
			s.DatabaseURL = url
		}
		return nil
	})
	return group.Wait()
}

// place keeps what belongs to a demonstration apart: it begins anew each time, as its simulators do.
func (s *stack) place(name string) string {
	if s.demo {
		return demoDir + "/" + name
	}
	return name
}

// wait until ctx ends, or a service does although it should not.
func (s *stack) wait(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.group.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return nil
	}
}

// close stops everything in the reverse order of its start. It may be called after a start that failed.
func (s *stack) close() error {
	var err error
	if s.stop != nil {
		s.stop()
		err = s.group.Wait()
	}
	for _, client := range s.clients {
		client.Close()
	}
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	return errors.Join(err, ctl.RemoveEndpoints(s.dir.path))
}

// look asks every service how far it is with a connection.
func (s *stack) look(ctx context.Context, connection string) ([]*opsv1.Progress, error) {
	var all []*opsv1.Progress
	for _, service := range ctl.Services() {
		p, err := opsv1.NewOpsServiceClient(s.clients[service]).GetProgress(ctx, &opsv1.GetProgressRequest{Connection: connection})
		if err != nil {
			return nil, fmt.Errorf("progress of %s: %w", service, err)
		}
		all = append(all, p)
	}
	return all, nil
}
