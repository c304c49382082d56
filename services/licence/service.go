// Package licence decides what each Giacom subscription's licence in Halo should hold, and makes Halo hold it. See
// README.md for what it owns.
package licence

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// Service is the service's name, and that of its schema.
const Service = "licence"

// Config of the service. Zero values take the defaults.
type Config struct {
	chassis.Env
	Secrets   connections.SecretSource
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
	c.Env = c.Env.WithDefaults()
	c.Lease, c.Poll = cmp.Or(c.Lease, 2*time.Minute), cmp.Or(c.Poll, 250*time.Millisecond)
	c.Quiet, c.Sweep = cmp.Or(c.Quiet, 2*time.Second), cmp.Or(c.Sweep, 6*time.Hour)
	return c
}

// service is the running licence service.
type service struct {
	Config
	halos  *connections.Halo
	engine *reconcile.Engine[Fields]
	wake   chassis.Wake // there may be licences to decide anew
	// began: what is known of Halo from before may be of a database that has been set back to an older dump.
	began time.Time
	// learning has the turn of each instance whose marks are being learnt.
	learning sync.Map // string to chan struct{}
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
	halos, err := cfg.Halo(ctx, Service, cfg.Secrets, cfg.Transport, cfg.HaloTimeout)
	if err != nil {
		return err
	}
	s := &service{Config: cfg, halos: halos, wake: chassis.NewWake(), began: cfg.Clock.Now()}
	s.engine = reconcile.New(reconcile.Config[Fields]{
		Service: Service, Kind: "licence", Pool: cfg.Pool, Clock: cfg.Clock, Log: cfg.Log,
		Diff: diff, Action: action, Event: licenceEvent, Listed: true, Apply: s.apply, BatchSize: claimSize, Linger: linger, Workers: 2,
		Lease: cfg.Lease, Settle: cfg.Settle,
	})
	return chassis.Run(ctx, cfg.Env, chassis.Spec{
		Name:     Service,
		Schemas:  []postgres.Migrations{reconcile.Schema(), connections.Schema(), schema()},
		Register: func(r grpc.ServiceRegistrar) { licencev1.RegisterLicenceServiceServer(r, s) },
		Handlers: s.handlers(),
		Engine:   s.engine,
		Loops: []func(context.Context) error{
			cfg.Loop("decide queued licences", s.wake, cfg.Poll, s.revisitSome),
			cfg.Loop("read Halo's licences", nil, cfg.Poll, s.readDue),
		},
		Busy: s.busy,
	})
}

// busy tells whether licences of a connection ("" for any) wait to be decided, or Halo's are being read, which no item
// shows.
func (s *service) busy(connection string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var busy bool
	of := `$1 = ''`
	if connection != "" { // which lets the indexes be used
		of = `connection = $1`
	}
	err := s.Pool.QueryRow(ctx, `select exists (select from revisits where `+of+`)
		or exists (select from instances where wanted_at > coalesce(listed_at, '-infinity') and failures = 0)
		or exists (select from items where `+of+` and state in (4, 5) and reason_code = 'halo_list' and halo_id = 0
			and not exists (select from instances n where n.instance = items.instance and n.failures > 0))`, connection).Scan(&busy)
	return err != nil || busy
}
