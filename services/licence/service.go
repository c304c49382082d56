// Package licence decides what each Giacom subscription's licence in Halo should hold, and makes Halo hold it. See
// README.md for what it owns.
package licence

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
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// Config of the service. Zero values of the fields below Listening take the defaults named there.
type Config struct {
	Database string // PostgreSQL URL; the service keeps to the schema "licence"
	Bus      *bus.Conn
	Replicas int // of the streams, should they have to be made anew
	RPC      rpc.Config
	Secrets  connections.SecretSource
	Log      *slog.Logger
	// Listening is called with the address once gRPC answers; may be nil.
	Listening func(addr string)

	Schema    string // default "licence"
	Clock     clockwork.Clock
	Transport http.RoundTripper // to Halo
	// HaloTimeout of one request to Halo; default halo.DefaultTimeout. Lease and Settle are the engine's; together they
	// must be longer than it.
	HaloTimeout   time.Duration
	Lease, Settle time.Duration
	// Poll is how often to look for queued work; default 250 ms.
	Poll time.Duration
	// Quiet is how long subscriptions must have stopped coming in before a licence that somebody else made is adopted;
	// default 2 s. Two that could both be its owner come in one run, not in one batch.
	Quiet time.Duration
	// Sweep is how often Halo's licences are read without a cause, to see what was changed by hand; default 6 h.
	Sweep time.Duration
}

func (c Config) withDefaults() Config {
	c.Schema, c.Lease, c.Poll = or(c.Schema, "licence"), or(c.Lease, 2*time.Minute), or(c.Poll, 250*time.Millisecond)
	c.Quiet, c.Sweep = or(c.Quiet, 2*time.Second), or(c.Sweep, 6*time.Hour)
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	return c
}

// service is the running licence service.
type service struct {
	Config
	Pool   *pgxpool.Pool
	halos  *connections.Halo
	engine *reconcile.Engine[Fields]
	wake   chan struct{}
	// began: what is known of Halo from before may be of a database that has been set back to an older dump.
	began time.Time
	licencev1.UnimplementedLicenceServiceServer
}

// claimSize is how many items one claim takes, and linger how long the first of them waits for others: the more licences
// are created at once, the fewer lists it takes to learn their ids, and the fuller the batches are.
const (
	claimSize = 3000
	linger    = 1500 * time.Millisecond
)

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
	s := &service{Config: cfg, Pool: pool, wake: make(chan struct{}, 1), began: cfg.Clock.Now()}
	s.halos = connections.NewHalo(connections.HaloConfig{
		Secrets: cfg.Secrets, Bucket: bucket, Clock: cfg.Clock, Log: cfg.Log, Transport: cfg.Transport, Timeout: cfg.HaloTimeout,
	})
	s.engine = reconcile.New(reconcile.Config[Fields]{
		Service: "licence", Kind: "licence", Pool: pool, Clock: cfg.Clock, Log: cfg.Log,
		Diff: diff, Action: action, Event: licenceEvent, Apply: s.apply, BatchSize: claimSize, Linger: linger, Workers: 2,
		Lease: cfg.Lease, Settle: cfg.Settle,
	})
	server, err := rpc.NewServer(cfg.RPC, cfg.Log)
	if err != nil {
		return err
	}
	licencev1.RegisterLicenceServiceServer(server, s)
	handlers := s.handlers()
	(&ops.Server{Service: "licence", Pool: pool, Bus: cfg.Bus, Items: s.engine, Handlers: handlers, Busy: s.busy}).Register(server)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx) })
	relay := &event.Relay{Bus: cfg.Bus, Pool: pool, Log: cfg.Log, Service: "licence", Replicas: cfg.Replicas}
	group.Go(func() error { return relay.Run(ctx) })
	for entity, handler := range handlers {
		group.Go(func() error {
			return event.Consume(ctx, event.ConsumerConfig{
				Bus: cfg.Bus, Pool: pool, Log: cfg.Log, Service: "licence", Entity: entity, Handler: handler,
			})
		})
	}
	group.Go(func() error { return s.revisits(ctx) })
	group.Go(func() error { return s.reading(ctx) })
	group.Go(func() error { return s.engine.Run(ctx) })
	if cfg.Listening != nil {
		cfg.Listening(server.Addr())
	}
	return group.Wait()
}

// busy tells whether licences of a connection ("" for any) wait to be decided, or Halo's are being read, which no item
// shows.
func (s *service) busy(connection string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var busy bool
	err := s.Pool.QueryRow(ctx, `select exists (select from revisits where $1 = '' or connection = $1)
		or exists (select from instances where wanted_at > coalesce(listed_at, '-infinity') and failures = 0)
		or exists (select from items where ($1 = '' or connection = $1) and reason_code = 'halo_list' and halo_id = 0
			and not exists (select from instances n where n.instance = items.instance and n.failures > 0))`, connection).Scan(&busy)
	return err != nil || busy
}
