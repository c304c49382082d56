// Package console owns connections: one Giacom account joined to one Halo instance, with settings and
// sealed secrets. It answers ConnectionService and publishes every change as an event.
package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"
	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/ops"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// Service is the console's name, and that of its schema.
const Service = "console"

// Config of the console.
type Config struct {
	// Database is a PostgreSQL URL; everything lives in the schema "console" there.
	Database string
	Bus      *bus.Conn
	// Replicas of the streams when they have to be made anew; 0 means 1.
	Replicas int
	// RPC is the listener. Healthy is set here.
	RPC rpc.Config
	// Sealer of secrets; see OpenSealer, NewSealer and EnsureKeyset. Required.
	Sealer *Sealer
	Log    *slog.Logger
	// Clock is the real one if nil.
	Clock clockwork.Clock
	// Transport to Giacom and Halo when validating; http.DefaultTransport if nil.
	Transport http.RoundTripper
	// Listening is called with the address once calls are answered; may be nil.
	Listening func(addr string)
}

func (cfg Config) withDefaults() Config {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = clockwork.NewRealClock()
	}
	return cfg
}

// Run serves until ctx ends, and then returns nil.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Sealer == nil || cfg.Bus == nil {
		return errors.New("console: needs a keyset for secrets and a connection to NATS")
	}
	cfg = cfg.withDefaults()
	pool, err := postgres.Open(ctx, cfg.Database, Service)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	defer pool.Close()
	if err := serve(ctx, cfg, pool); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// serve is Run on a pool whose search path is the console's schema.
func serve(ctx context.Context, cfg Config, pool *pgxpool.Pool) error {
	if err := postgres.Migrate(ctx, pool, event.Schema, Migrations()); err != nil {
		return err
	}
	bucket, err := cfg.Bus.JS.KeyValue(ctx, bus.BudgetBucket)
	if err != nil {
		return fmt.Errorf("bucket %s of request budgets: %w", bus.BudgetBucket, err)
	}
	cfg.RPC.Healthy = func(ctx context.Context) error { return pool.Ping(ctx) }
	listener, err := rpc.NewServer(cfg.RPC, cfg.Log)
	if err != nil {
		return err
	}
	s := &server{pool: pool, sealer: cfg.Sealer, bucket: halo.Bucket(bucket), transport: cfg.Transport, clock: cfg.Clock, log: cfg.Log}
	connectionv1.RegisterConnectionServiceServer(listener, s)
	(&ops.Server{Service: Service, Pool: pool, Bus: cfg.Bus}).Register(listener)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return listener.Serve(ctx) })
	group.Go(func() error {
		relay := &event.Relay{Bus: cfg.Bus, Pool: pool, Log: cfg.Log, Service: Service, Replicas: cfg.Replicas}
		return relay.Run(ctx)
	})
	if cfg.Listening != nil {
		cfg.Listening(listener.Addr())
	}
	return group.Wait()
}
