// Package fetcher polls Giacom accounts: it keeps the last picture of each, finds what changed, and publishes that.
//
// A run streams the account's rows into a staging table and compares it with the last picture in one statement; its
// memory does not grow with the account. Only complete pulls may conclude that something is gone, and a run that would
// take away too much waits for a person. See README.md for what the dates and counts mean.
package fetcher

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"net/http"
	"sync"
	"time"
	_ "time/tzdata" // schedules name time zones; a container may have none

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Service is the fetcher's name, and that of its schema.
const Service = "fetcher"

// Config is everything the fetcher needs from outside.
type Config struct {
	chassis.Env
	// Secrets are asked for each run's API key: the console.
	Secrets connections.SecretSource
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

// Run serves until ctx ends; then it ends the runs under way, each marked as interrupted.
func Run(ctx context.Context, cfg Config) error {
	cfg.Env = cfg.Env.WithDefaults()
	cfg.Tick = cmp.Or(cfg.Tick, time.Second)
	if cfg.HTTP == nil {
		cfg.HTTP = &http.Client{}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	f := &fetcher{Config: cfg, began: cfg.Clock.Now(), serving: ctx, mine: map[string]bool{}}
	err := chassis.Run(ctx, cfg.Env, chassis.Spec{
		Name:     Service,
		Schemas:  []postgres.Migrations{connections.Schema(), postgres.Embedded(Service, migrations)},
		Register: func(r grpc.ServiceRegistrar) { runv1.RegisterRunServiceServer(r, &runServer{fetcher: f}) },
		Handlers: map[string]event.Handler{connections.Entity: f.ingest},
		Loops:    []func(context.Context) error{f.schedule},
		Prune:    map[string]chassis.Prune{"runs": f.pruneRuns},
		Busy:     f.busy,
	})
	stop()
	f.runs.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
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
