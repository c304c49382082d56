// Package fetcher polls Giacom accounts: it keeps the last picture of each, finds what changed, and publishes that.
//
// A run streams the account's rows into a staging table and compares it with the last picture in one statement; its
// memory does not grow with the account. Only complete pulls may conclude that something is gone, and a run that would
// take away too much waits for a person. See README.md for what the dates and counts mean.
package fetcher

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"
	_ "time/tzdata" // schedules name time zones; a container may have none

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"
	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/ops"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations returns the tables of this service, those of the packages it uses included.
func Migrations() []postgres.Migrations {
	own, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return []postgres.Migrations{event.Schema, connections.Schema(), {Name: "fetcher", FS: own}}
}

// Config is everything the fetcher needs from outside.
type Config struct {
	// Pool of the service's own schema, which Run migrates.
	Pool *pgxpool.Pool
	// Bus with its streams.
	Bus *bus.Conn
	// Secrets are asked for each run's API key: the console.
	Secrets connections.SecretSource
	// RPC is the gRPC listener; Serving, if not nil, is told its address once it answers.
	RPC     rpc.Config
	Serving func(addr string)
	Log     *slog.Logger
	// Clock of schedules, runs and back-off; nil means the real one.
	Clock clockwork.Clock
	// HTTP sends the requests to Giacom; nil means a client of its own.
	HTTP *http.Client
	// Tick is how often schedules and dead runs are looked at; default 1 s.
	Tick time.Duration
}

// fetcher is the running service.
type fetcher struct {
	Config
	began time.Time
	// serving is the service's context; runs end with it.
	serving context.Context
	runs    sync.WaitGroup

	mu   sync.Mutex
	mine map[string]bool // runs of this process that are under way, by id
}

// Run migrates the schema and serves until ctx ends; then it ends the runs under way, each marked as interrupted.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Clock == nil {
		cfg.Clock = clockwork.NewRealClock()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{}
	}
	if cfg.Tick <= 0 {
		cfg.Tick = time.Second
	}
	if err := postgres.Migrate(ctx, cfg.Pool, Migrations()...); err != nil {
		return fmt.Errorf("fetcher: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	f := &fetcher{Config: cfg, began: cfg.Clock.Now(), serving: ctx, mine: map[string]bool{}}

	server, err := rpc.NewServer(cfg.RPC, cfg.Log)
	if err != nil {
		return fmt.Errorf("fetcher: %w", err)
	}
	runv1.RegisterRunServiceServer(server, &runServer{fetcher: f})
	handlers := map[string]event.Handler{connections.Entity: f.ingest}
	(&ops.Server{Service: "fetcher", Pool: cfg.Pool, Bus: cfg.Bus, Handlers: handlers, Busy: f.busy}).Register(server)

	group.Go(func() error { return server.Serve(ctx) })
	group.Go(func() error {
		return (&event.Relay{Bus: cfg.Bus, Pool: cfg.Pool, Log: cfg.Log, Service: "fetcher"}).Run(ctx)
	})
	group.Go(func() error {
		return event.Consume(ctx, event.ConsumerConfig{
			Bus: cfg.Bus, Pool: cfg.Pool, Log: cfg.Log, Service: "fetcher", Entity: connections.Entity, Handler: f.ingest,
		})
	})
	group.Go(func() error { return f.schedule(ctx) })
	if cfg.Serving != nil {
		cfg.Serving(server.Addr())
	}
	err = group.Wait()
	f.runs.Wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("fetcher: %w", err)
	}
	return nil
}

// ingest keeps the service's copy of the connections. What is polled follows from it at the next tick.
func (f *fetcher) ingest(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	_, err := connections.Save(ctx, tx, batch)
	return err
}

// busy says whether a run is under way, in any replica.
func (f *fetcher) busy(connection string) bool {
	ctx, cancel := context.WithTimeout(f.serving, 5*time.Second)
	defer cancel()
	var running bool
	err := f.Pool.QueryRow(ctx, `select exists (select from runs where outcome = 1 and ($1 = '' or connection = $1))`, connection).Scan(&running)
	return err != nil || running
}
