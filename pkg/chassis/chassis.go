// Package chassis is what every service stands on. Run runs one: its tables are brought up to date, one
// gRPC listener answers for itself, for health and for operations, a relay sends its events, a consumer
// digests each kind of event that it follows, and its own loops turn, until the context ends.
package chassis

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/ops"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
)

// Env is what every service is given by the process that hosts it.
type Env struct {
	// Pool of the service's own schema, which Run migrates. It stays open. Required.
	Pool *pgxpool.Pool
	// Bus is the connection to NATS. Required.
	Bus *bus.Conn
	// Replicas of the streams when they have to be made anew; 0 means 1.
	Replicas int
	// Version of the program, which Halo is told with every request.
	Version string
	// RPC is the listener. Healthy is set here: while the database answers.
	RPC rpc.Config
	// Log is nowhere if nil.
	Log *slog.Logger
	// Clock is the real one if nil.
	Clock clockwork.Clock
	// Retention of what is over; its zero values take the defaults.
	Retention Retention
	// Listening is called with the address once calls are answered; may be nil.
	Listening func(addr string)
}

// WithDefaults is e with everything set that may be left out.
func (e Env) WithDefaults() Env {
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	if e.Version == "" {
		e.Version = "dev"
	}
	if e.Clock == nil {
		e.Clock = clockwork.NewRealClock()
	}
	return e
}

// Budgets is the bucket in which the services share how much they may ask of each Halo instance.
func (e Env) Budgets(ctx context.Context) (jetstream.KeyValue, error) {
	bucket, err := e.Bus.JS.KeyValue(ctx, bus.BudgetBucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s of request budgets: %w", bus.BudgetBucket, err)
	}
	return bucket, nil
}

// Agent is the User-Agent of a service: "seatline-licence/v1.2.0".
func (e Env) Agent(service string) string {
	return "seatline-" + service + "/" + e.WithDefaults().Version
}

// Halo makes the Halo clients of a service's connections. transport is http.DefaultTransport if nil,
// timeout of one request the client's default if 0.
func (e Env) Halo(ctx context.Context, service string, secrets connections.SecretSource, transport http.RoundTripper, timeout time.Duration) (*connections.Halo, error) {
	bucket, err := e.Budgets(ctx)
	if err != nil {
		return nil, err
	}
	return connections.NewHalo(connections.HaloConfig{
		Secrets: secrets, Bucket: bucket, Agent: e.Agent(service), Clock: e.Clock, Log: e.Log, Transport: transport, Timeout: timeout,
	}), nil
}

// Engine writes the service's items to Halo: a *reconcile.Engine.
type Engine interface {
	ops.Items
	Run(ctx context.Context) error
	Prune(ctx context.Context, before time.Time, limit int) (int, error)
}

// Spec is what a service is made of.
type Spec struct {
	// Name of the service: the source of its events, and part of the names of its consumers.
	Name string
	// Schemas are its tables beside those of events, in the order in which they have to be made.
	Schemas []postgres.Migrations
	// Before runs when the tables are there, before anything is answered, sent or digested; may be nil.
	Before func(context.Context) error
	// Register adds its own gRPC services.
	Register func(grpc.ServiceRegistrar)
	// Handlers of the events that it follows, by entity.
	Handlers map[string]event.Handler
	// Engine is nil for a service that writes nothing to Halo.
	Engine Engine
	// Loops run until their context ends, and then return nil. See Env.Loop.
	Loops []func(context.Context) error
	// Prune deletes what is over of its own tables, by name. History and the engine's changes are seen to.
	Prune map[string]Prune
	// Busy tells of work under way that no item shows; nil for never.
	Busy func(connection string) bool
}

// Run serves until ctx ends, or one part fails, and returns when all parts have ended: nil after ctx ended.
func Run(ctx context.Context, env Env, spec Spec) error {
	env = env.WithDefaults()
	if err := postgres.Migrate(ctx, env.Pool, append([]postgres.Migrations{event.Schema}, spec.Schemas...)...); err != nil {
		return err
	}
	if spec.Before != nil {
		if err := spec.Before(ctx); err != nil {
			return err
		}
	}
	env.RPC.Healthy = env.Pool.Ping
	listener, err := rpc.NewServer(env.RPC, env.Log)
	if err != nil {
		return err
	}
	spec.Register(listener)
	operations := &ops.Server{Service: spec.Name, Pool: env.Pool, Bus: env.Bus, Handlers: spec.Handlers, Busy: spec.Busy}
	relay := &event.Relay{Bus: env.Bus, Pool: env.Pool, Log: env.Log, Service: spec.Name, Replicas: env.Replicas}

	group, ctx := errgroup.WithContext(ctx)
	start := func(part func(context.Context) error) { group.Go(func() error { return part(ctx) }) }
	if spec.Engine != nil {
		operations.Items = spec.Engine
		start(spec.Engine.Run)
	}
	operations.Register(listener)
	start(listener.Serve)
	start(relay.Run)
	start(env.pruning(spec))
	for entity, handler := range spec.Handlers {
		start(func(ctx context.Context) error {
			return event.Consume(ctx, event.ConsumerConfig{
				Bus: env.Bus, Pool: env.Pool, Log: env.Log, Service: spec.Name, Entity: entity, Handler: handler,
			})
		})
	}
	for _, loop := range spec.Loops {
		start(loop)
	}
	if env.Listening != nil {
		env.Listening(listener.Addr())
	}
	return group.Wait()
}
