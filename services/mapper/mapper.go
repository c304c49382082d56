// Package mapper decides which Halo customer each Giacom customer is, creates those that are missing,
// and tells for every subscription whom it is billed to. See README.md for what it owns.
package mapper

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"
	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/ops"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Config of the service. Zero values of the fields below Listening take the defaults named there.
type Config struct {
	Database string // PostgreSQL URL; the service keeps to the schema "mapper"
	Bus      *bus.Conn
	Replicas int // of the streams, should they have to be made anew
	RPC      rpc.Config
	Secrets  connections.SecretSource
	Log      *slog.Logger
	// Listening is called with the address once gRPC answers; may be nil.
	Listening func(addr string)

	Schema    string // default "mapper"
	Clock     clockwork.Clock
	Transport http.RoundTripper // to Halo
	// HaloTimeout of one request to Halo; default halo.DefaultTimeout. Lease and Settle are the
	// engine's, and must be longer.
	HaloTimeout   time.Duration
	Lease, Settle time.Duration
	// Quiet is how long no new customer must have come before mappings are decided; default 500 ms.
	// Patience bounds the wait while the stream is still being read; default 1 min.
	Quiet, Patience time.Duration
	// Poll is how often to look for mappings that are due; default 250 ms.
	Poll time.Duration
	// Refresh is how often Halo's customers are read again without a cause; default 6 h.
	// RefreshUnmapped is the same while a customer is not mapped; default 15 min.
	Refresh, RefreshUnmapped time.Duration
}

func (c Config) withDefaults() Config {
	fallback := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	fallback(&c.Quiet, 500*time.Millisecond)
	fallback(&c.Patience, time.Minute)
	fallback(&c.Poll, 250*time.Millisecond)
	fallback(&c.Refresh, 6*time.Hour)
	fallback(&c.RefreshUnmapped, 15*time.Minute)
	fallback(&c.Lease, 2*time.Minute)
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Schema == "" {
		c.Schema = "mapper"
	}
	return c
}

// service is the running mapper.
type service struct {
	Config
	Pool   *pgxpool.Pool
	halos  *connections.Halo
	engine *reconcile.Engine[Fields]
	wake   chan struct{}
	mappingv1.UnimplementedMappingServiceServer
	subscriptionv1.UnimplementedSubscriptionServiceServer
}

// Run serves until ctx ends, and returns nil then.
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	pool, err := postgres.Open(ctx, cfg.Database, cfg.Schema)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := postgres.Migrate(ctx, pool, event.Schema, reconcile.Schema(), connections.Schema(), schema()); err != nil {
		return err
	}
	bucket, err := cfg.Bus.JS.KeyValue(ctx, bus.BudgetBucket)
	if err != nil {
		return fmt.Errorf("open the budget bucket %s: %w", bus.BudgetBucket, err)
	}
	s := &service{Config: cfg, Pool: pool, wake: make(chan struct{}, 1)}
	s.halos = connections.NewHalo(connections.HaloConfig{
		Secrets: cfg.Secrets, Bucket: bucket, Clock: cfg.Clock, Log: cfg.Log, Transport: cfg.Transport, Timeout: cfg.HaloTimeout,
	})
	s.engine = reconcile.New(reconcile.Config[Fields]{
		Service: "mapper", Kind: "customer", Pool: pool, Clock: cfg.Clock, Log: cfg.Log,
		Diff: diff, Action: action, Event: mappingEvent, Apply: s.write, Lease: cfg.Lease, Settle: cfg.Settle,
	})
	server, err := rpc.NewServer(cfg.RPC, cfg.Log)
	if err != nil {
		return err
	}
	mappingv1.RegisterMappingServiceServer(server, s)
	subscriptionv1.RegisterSubscriptionServiceServer(server, s)
	handlers := s.handlers()
	(&ops.Server{Service: "mapper", Pool: pool, Bus: cfg.Bus, Items: s.engine, Handlers: handlers, Busy: s.busy}).Register(server)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx) })
	relay := &event.Relay{Bus: cfg.Bus, Pool: pool, Log: cfg.Log, Service: "mapper", Replicas: cfg.Replicas}
	group.Go(func() error { return relay.Run(ctx) })
	for entity, handler := range handlers {
		group.Go(func() error {
			return event.Consume(ctx, event.ConsumerConfig{
				Bus: cfg.Bus, Pool: pool, Log: cfg.Log, Service: "mapper", Entity: entity, Handler: handler,
			})
		})
	}
	group.Go(func() error { return s.weighing(ctx) })
	group.Go(func() error { return s.engine.Run(ctx) })
	if cfg.Listening != nil {
		cfg.Listening(server.Addr())
	}
	return group.Wait()
}

// busy tells whether mappings of a connection ("" for any) are being decided, which no item shows.
func (s *service) busy(connection string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var due bool
	// Failures of reading Halo are tried again for ever, and are no work under way.
	err := s.Pool.QueryRow(ctx, `select exists (select from due d join connections c on c.slug = d.connection
		where ($1 = '' or d.connection = $1) and d.failures = 0)`, connection).Scan(&due)
	return err != nil || due
}

// nudge wakes the weighing.
func (s *service) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
