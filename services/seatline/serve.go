package main

import (
	"context"
	"errors"
	"net"
	"strconv"

	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	"seatline.dev/services/seatline/ctl"
)

// serveCommand runs one service, as the containers do.
type serveCommand struct {
	Service string `arg:"" enum:"console,fetcher,mapper,licence,billing" help:"One of ${enum}."`
	settings
}

func (c serveCommand) Run(ctx context.Context) error {
	chassis.SpareGC()
	if c.NATSURL == "" || c.DatabaseURL == "" {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("a service needs NATS and PostgreSQL: set SEATLINE_NATS_URL and DATABASE_URL (`seatline up` brings its own)")}
	}
	if c.ServiceToken == "" && c.Service != ctl.Console {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("a service needs a token to get secrets from the console: set the same SEATLINE_SERVICE_TOKEN for all services (`openssl rand -hex 32` makes one)")}
	}
	tel, err := telemetry.Setup(ctx, telemetry.Config{Service: c.Service, Version: version, Level: c.LogLevel})
	if err != nil {
		return err
	}
	defer tel.Shutdown(ctx)
	log := tel.Log
	provide(tel)

	conn, err := c.connectBus(ctx, c.Service, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	if c.GRPCAddr == "" {
		c.GRPCAddr = net.JoinHostPort("127.0.0.1", strconv.Itoa(ctl.DefaultPort(c.Service)))
	}
	h := &host{settings: c.settings, bus: conn, tel: tel, log: log, where: c.addresses()}
	h.browsable = func(url string) { log.Info("web console", "url", url) }
	group, ctx := errgroup.WithContext(ctx)
	web, err := serveHTTP(ctx, group, c.HTTPAddr, tel.MetricsHandler, h.ready)
	if err != nil {
		return err
	}
	group.Go(func() error {
		return h.run(ctx, c.Service, c.GRPCAddr, nil, func(addr string) {
			log.Info("serving", "grpc", addr, "http", web, "version", version)
		})
	})
	return group.Wait()
}
