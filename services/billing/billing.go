// Package billing owns the lines of Halo's recurring invoices as far as they bill licences of ours:
// their links, quantities, costs and prices, and the rules that make the prices. See README.md.
package billing

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"
	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/ops"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// Service is billing's name, and that of its schema.
const Service = "billing"

// Config of billing.
type Config struct {
	// Database is a PostgreSQL URL; everything lives in the schema "billing" there.
	Database string
	Bus      *bus.Conn
	// Replicas of the streams when they have to be made anew; 0 means 1.
	Replicas int
	// RPC is the listener. Healthy is set here.
	RPC rpc.Config
	// Secrets of connections: the console.
	Secrets connections.SecretSource
	Log     *slog.Logger
	// Clock is the real one if nil.
	Clock clockwork.Clock
	// Transport to Halo; http.DefaultTransport if nil. Timeout of one request; 0 for the client's default.
	Transport http.RoundTripper
	Timeout   time.Duration
	// Workers is how many invoices are written at once; default 4.
	Workers int
	// Settle is how long after its deadline a write to Halo may still land; default 3 min.
	Settle time.Duration
	// Pause is how long no new licence must have come in before lines are decided; default 1 s.
	Pause time.Duration
	// Poll is how often to look for work that nobody announced; default 500 ms.
	Poll time.Duration
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
	if cfg.Timeout == 0 {
		cfg.Timeout = halo.DefaultTimeout
	}
	if cfg.Workers == 0 {
		cfg.Workers = 4
	}
	if cfg.Pause == 0 {
		cfg.Pause = time.Second
	}
	if cfg.Poll == 0 {
		cfg.Poll = 500 * time.Millisecond
	}
	return cfg
}

//go:embed migrations/*.sql
var files embed.FS

// schema is the tables of this service's own.
func schema() postgres.Migrations {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the directory is compiled in
	}
	return postgres.Migrations{Name: Service, FS: sub}
}

// Schemas are all tables of the service, in the order they have to be made.
func schemas() []postgres.Migrations {
	return []postgres.Migrations{event.Schema, reconcile.Schema(), connections.Schema(), schema()}
}

// Run serves until ctx ends, and then returns nil.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Bus == nil || cfg.Secrets == nil {
		return errors.New("billing: needs a connection to NATS and a source of secrets")
	}
	cfg = cfg.withDefaults()
	pool, err := postgres.Open(ctx, cfg.Database, Service)
	if err != nil {
		return fmt.Errorf("billing: %w", err)
	}
	defer pool.Close()
	if err := serve(ctx, cfg, pool); err != nil {
		return fmt.Errorf("billing: %w", err)
	}
	return nil
}

// service is billing at work.
type service struct {
	Config
	pool   *pgxpool.Pool
	halo   *connections.Halo
	engine *reconcile.Engine[Fields]
	wake   chan struct{} // there may be customers to decide about
	reread chan struct{} // there may be an instance to read
}

func newService(cfg Config, pool *pgxpool.Pool, clients *connections.Halo) *service {
	s := &service{Config: cfg, pool: pool, halo: clients, wake: make(chan struct{}, 1), reread: make(chan struct{}, 1)}
	s.engine = reconcile.New(reconcile.Config[Fields]{
		Service: Service, Kind: "invoice-line", Pool: pool, Clock: cfg.Clock, Log: cfg.Log,
		Diff: diff, Action: action, Event: lineEvent, Apply: s.apply,
		Grouped: true, Workers: cfg.Workers, Lease: cfg.Timeout + 15*time.Second, Settle: cfg.Settle, Poll: cfg.Poll,
	})
	return s
}

// serve is Run on a pool whose search path is the service's schema.
func serve(ctx context.Context, cfg Config, pool *pgxpool.Pool) error {
	if err := postgres.Migrate(ctx, pool, schemas()...); err != nil {
		return err
	}
	bucket, err := cfg.Bus.JS.KeyValue(ctx, bus.BudgetBucket)
	if err != nil {
		return fmt.Errorf("bucket %s of request budgets: %w", bus.BudgetBucket, err)
	}
	s := newService(cfg, pool, connections.NewHalo(connections.HaloConfig{
		Secrets: cfg.Secrets, Bucket: bucket, Clock: cfg.Clock, Log: cfg.Log, Transport: cfg.Transport, Timeout: cfg.Timeout,
	}))
	cfg.RPC.Healthy = func(ctx context.Context) error { return pool.Ping(ctx) }
	listener, err := rpc.NewServer(cfg.RPC, cfg.Log)
	if err != nil {
		return err
	}
	invoicelinev1.RegisterLineServiceServer(listener, &lineServer{s: s})
	pricingv1.RegisterPricingServiceServer(listener, &pricingServer{s: s})
	(&ops.Server{Service: Service, Pool: pool, Bus: cfg.Bus, Items: s.engine, Handlers: s.handlers(), Busy: s.busy}).Register(listener)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return listener.Serve(ctx) })
	group.Go(func() error {
		relay := &event.Relay{Bus: cfg.Bus, Pool: pool, Log: cfg.Log, Service: Service, Replicas: cfg.Replicas}
		return relay.Run(ctx)
	})
	for entity, handler := range s.handlers() {
		group.Go(func() error {
			return event.Consume(ctx, event.ConsumerConfig{Bus: cfg.Bus, Pool: pool, Log: cfg.Log, Service: Service, Entity: entity, Handler: handler})
		})
	}
	group.Go(func() error { return s.decideLoop(ctx) })
	group.Go(func() error { return s.readLoop(ctx) })
	group.Go(func() error { return s.engine.Run(ctx) })
	if cfg.Listening != nil {
		cfg.Listening(listener.Addr())
	}
	return group.Wait()
}

// nudge wakes a loop; one nudge is as good as many.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// loop calls step until ctx ends: again at once while it finds work, else when nudged or after Poll.
func (s *service) loop(ctx context.Context, what string, wake chan struct{}, step func(context.Context) (bool, error)) error {
	for {
		more, err := step(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.Log.ErrorContext(ctx, what, "err", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-s.Clock.After(s.Poll):
		}
	}
}
