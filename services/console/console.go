// Package console owns connections: one Giacom account joined to one Halo instance, with settings and
// sealed secrets. It answers ConnectionService and publishes every change as an event.
package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/access"
	"seatline.dev/services/overview"
)

// Service is the console's name, and that of its schema.
const Service = "console"

// Config of the console.
type Config struct {
	chassis.Env
	// Sealer of secrets; see OpenSealer, NewSealer and EnsureKeyset. Required.
	Sealer *Sealer
	// Services are connections to all of them, with a token of the role service. The console writes nowhere but in its
	// own tables; it asks the others for what belongs on one page with a connection. Required.
	Services overview.Services
	// Web is how the web console is served.
	Web Pages
	// Transport to Giacom and Halo when validating; http.DefaultTransport if nil.
	Transport http.RoundTripper
}

// Run serves until ctx ends, and then returns nil.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Sealer == nil {
		return errors.New("the console needs a keyset for secrets")
	}
	env := cfg.Env.WithDefaults()
	bucket, err := env.Budgets(ctx)
	if err != nil {
		return err
	}
	s := &server{pool: env.Pool, sealer: cfg.Sealer, peers: cfg.Services, bucket: halo.Bucket(bucket), transport: cfg.Transport, agent: env.Agent(Service), clock: env.Clock, log: env.Log}
	web, err := newSite(env, cfg.Services, cfg.Web)
	if err != nil {
		return err
	}
	defer web.close()
	return chassis.Run(ctx, env, chassis.Spec{
		Name:    Service,
		Schemas: []postgres.Migrations{Migrations(), access.Migrations()},
		Before:  func(ctx context.Context) error { return s.recover(ctx, env.Bus) },
		Loops:   append(web.loops(), env.Loop("look who else writes in Halo", nil, time.Hour, s.lookAgain)),
		Register: func(r grpc.ServiceRegistrar) {
			connectionv1.RegisterConnectionServiceServer(r, s)
			web.register(r)
			runv1.RegisterIntegratorServiceServer(r, integrator{server: s})
		},
	})
}
