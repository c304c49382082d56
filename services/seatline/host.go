package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/billing"
	"seatline.dev/services/console"
	"seatline.dev/services/fetcher"
	"seatline.dev/services/licence"
	"seatline.dev/services/mapper"
	"seatline.dev/services/seatline/ctl"
)

// provide makes the process' telemetry that of packages which take theirs from the global providers.
func provide(tel *telemetry.Telemetry) {
	slog.SetDefault(tel.Log)
	otel.SetTracerProvider(tel.Tracers)
	otel.SetMeterProvider(tel.Meters)
	otel.SetTextMapPropagator(tel.Propagator)
}

// host runs services in this process: it gives each what it needs and knows which are up.
type host struct {
	settings
	bus *bus.Conn
	tel *telemetry.Telemetry
	log *slog.Logger
	// where the services answer.
	where *addresses
	// pagesOn is where the web console listens; nil: at its address.
	pagesOn net.Listener
	// browsable is called with the web console's URL once it serves pages; may be nil.
	browsable func(url string)

	mu    sync.Mutex
	addrs map[string]string // gRPC addresses of the services that answer
}

// run serves one service until ctx ends, at addr or, unless it is nil, on a listener with that address; listening is
// called once it answers calls.
func (h *host) run(ctx context.Context, name, addr string, on net.Listener, listening func(addr string)) error {
	if err := h.serve(ctx, name, addr, on, listening); err != nil {
		flag := "--grpc-addr"
		if name == ctl.Console {
			flag += ", or --web-addr for the web console"
		}
		return elsewhere(fmt.Errorf("%s: %w", name, err), flag)
	}
	return nil
}

func (h *host) serve(ctx context.Context, name, addr string, on net.Listener, listening func(addr string)) error {
	listener, err := h.listener(addr, h.tel)
	if err != nil {
		return err
	}
	listener.Listener = on
	pool, err := postgres.Open(ctx, h.DatabaseURL.Reveal(), name) // the schema has the name of the service
	if err != nil {
		return err
	}
	defer pool.Close()
	kept := chassis.Retention{History: time.Duration(h.Retention) * 24 * time.Hour}
	env := chassis.Env{Pool: pool, Bus: h.bus, Replicas: h.Replicas, Version: version, RPC: listener, Log: h.log.With("part", name), Retention: kept, Listening: func(addr string) {
		h.mu.Lock()
		if h.addrs == nil {
			h.addrs = map[string]string{}
		}
		h.addrs[name] = addr
		h.mu.Unlock()
		listening(addr)
	}}
	if name == ctl.Console {
		sealer, err := h.sealer()
		if err != nil {
			return err
		}
		services, letGo := h.services()
		defer letGo()
		pages, err := h.pages(h.browsable)
		if err != nil {
			return err
		}
		pages.Listener = h.pagesOn
		return console.Run(ctx, console.Config{Env: env, Sealer: sealer, Services: services, Web: pages})
	}
	secrets, closeConn, err := h.secrets(ctx)
	if err != nil {
		return err
	}
	defer closeConn()
	switch name {
	case ctl.Fetcher:
		return fetcher.Run(ctx, fetcher.Config{Env: env, Secrets: secrets})
	case ctl.Mapper:
		return mapper.Run(ctx, mapper.Config{Env: env, Secrets: secrets, HaloTimeout: h.HaloTimeout, Lease: h.lease(), Settle: h.ApplySettle})
	case ctl.Licence:
		return licence.Run(ctx, licence.Config{Env: env, Secrets: secrets, HaloTimeout: h.HaloTimeout, Lease: h.lease(), Settle: h.ApplySettle})
	case ctl.Billing:
		return billing.Run(ctx, billing.Config{Env: env, Secrets: secrets, Timeout: h.HaloTimeout, Settle: h.ApplySettle})
	default:
		return fmt.Errorf("there is no service %q", name)
	}
}

// secrets asks the console for those of connections.
func (h *host) secrets(ctx context.Context) (connections.SecretSource, func() error, error) {
	addr, err := h.where.wait(ctx, ctl.Console)
	if err != nil {
		return nil, nil, err
	}
	conn, err := rpc.Dial(rpc.Endpoint{Addr: addr, Token: h.ServiceToken, TLS: rpc.TLS{CA: h.ConsoleCA}, Telemetry: h.tel})
	if err != nil {
		return nil, nil, err
	}
	return connectionv1.NewConnectionServiceClient(conn), conn.Close, nil
}

// ready tells whether everything this process needs is there.
func (h *host) ready(context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !h.bus.NC.IsConnected():
		return errors.New("no connection to NATS")
	case len(h.addrs) == 0:
		return errors.New("starting")
	}
	return nil
}

// serveHTTP answers /healthz, /readyz and /metrics until ctx ends, and returns the address.
func serveHTTP(ctx context.Context, group *errgroup.Group, addr string, metrics http.Handler, ready func(context.Context) error) (string, error) {
	var listener net.Listener
	var err error
	if addr == "" {
		listener, err = preferred(defaultHTTPPort)
	} else {
		listener, err = net.Listen("tcp", addr)
	}
	if err != nil {
		return "", elsewhere(fmt.Errorf("HTTP for health and metrics: %w", err), "--http-addr")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	serve(ctx, group, listener, mux)
	return listener.Addr().String(), nil
}

// serve answers on a listener until ctx ends.
func serve(ctx context.Context, group *errgroup.Group, listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := server.Shutdown(closing); err != nil {
			return server.Close()
		}
		return nil
	})
}
