// Package mapper decides which Halo customer each Giacom customer is, creates those that are missing,
// and tells for every subscription whom it is billed to. See README.md for what it owns.
package mapper

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Service is the mapper's name, and that of its schema.
const Service = "mapper"

// Config of the service. Zero values take the defaults.
type Config struct {
	chassis.Env
	Secrets   connections.SecretSource
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
	// AlertEvery is how often to look for customers that stay unmapped; default 1 min.
	AlertEvery time.Duration
}

func (c Config) withDefaults() Config {
	c.Env = c.Env.WithDefaults()
	c.Quiet, c.Patience, c.Poll = cmp.Or(c.Quiet, 500*time.Millisecond), cmp.Or(c.Patience, time.Minute), cmp.Or(c.Poll, 250*time.Millisecond)
	c.Refresh, c.RefreshUnmapped = cmp.Or(c.Refresh, 6*time.Hour), cmp.Or(c.RefreshUnmapped, 15*time.Minute)
	c.AlertEvery = cmp.Or(c.AlertEvery, time.Minute)
	c.Lease = cmp.Or(c.Lease, 2*time.Minute)
	return c
}

// service is the running mapper.
type service struct {
	Config
	halos  *connections.Halo
	engine *reconcile.Engine[Fields]
	wake   chassis.Wake // there may be mappings to decide
	mappingv1.UnimplementedMappingServiceServer
	subscriptionv1.UnimplementedSubscriptionServiceServer
}

// Run serves until ctx ends, and returns nil then.
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	halos, err := cfg.Halo(ctx, Service, cfg.Secrets, cfg.Transport, cfg.HaloTimeout)
	if err != nil {
		return err
	}
	s := &service{Config: cfg, halos: halos, wake: chassis.NewWake()}
	s.engine = reconcile.New(reconcile.Config[Fields]{
		Service: Service, Kind: "customer", Pool: cfg.Pool, Clock: cfg.Clock, Log: cfg.Log,
		Diff: diff, Action: action, Event: mappingEvent, Apply: s.write, Lease: cfg.Lease, Settle: cfg.Settle,
	})
	stop, err := s.measure()
	if err != nil {
		return err
	}
	defer stop()
	return chassis.Run(ctx, cfg.Env, chassis.Spec{
		Name:    Service,
		Schemas: []postgres.Migrations{reconcile.Schema(), connections.Schema(), schema()},
		Before:  s.recover,
		Register: func(r grpc.ServiceRegistrar) {
			mappingv1.RegisterMappingServiceServer(r, s)
			subscriptionv1.RegisterSubscriptionServiceServer(r, s)
		},
		Handlers: s.handlers(),
		Engine:   s.engine,
		Loops: []func(context.Context) error{
			cfg.Loop("decide mappings", s.wake, cfg.Poll, s.weighAll),
			cfg.Loop("suggest customers", nil, cfg.Poll, s.suggestAll),
			cfg.Loop("follow imports of customers", nil, cfg.Poll, s.followImports),
			cfg.Loop("watch for unmapped customers", nil, cfg.AlertEvery, s.alert),
		},
		Prune: map[string]chassis.Prune{"imports": s.pruneImports},
		Busy:  s.busy,
	})
}

// busy tells whether mappings of a connection ("" for any) are being decided, which no item shows.
func (s *service) busy(connection string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var due bool
	// Failures of reading Halo are tried again for ever, and are no work under way.
	err := s.Pool.QueryRow(ctx, `select exists (select from due d join connections c on c.slug = d.connection
		where ($1 = '' or d.connection = $1) and d.failures = 0)
		or exists (select from suggest_due where $1 = '' or connection = $1)`, connection).Scan(&due)
	return err != nil || due
}
