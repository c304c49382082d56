// Package billing owns the lines of Halo's recurring invoices as far as they bill licences of ours:
// their links, quantities, costs and prices, and the rules that make the prices. See README.md.
package billing

import (
	"cmp"
	"context"
	"embed"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// Service is billing's name, and that of its schema.
const Service = "billing"

// Config of billing. Zero values take the defaults.
type Config struct {
	chassis.Env
	// Secrets of connections: the console.
	Secrets connections.SecretSource
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
}

func (cfg Config) withDefaults() Config {
	cfg.Env = cfg.Env.WithDefaults()
	cfg.Timeout, cfg.Workers = cmp.Or(cfg.Timeout, halo.DefaultTimeout), cmp.Or(cfg.Workers, 4)
	cfg.Pause, cfg.Poll = cmp.Or(cfg.Pause, time.Second), cmp.Or(cfg.Poll, 500*time.Millisecond)
	return cfg
}

// invoicesAtOnce is how many recurring invoices one claim takes: what is known of them is gathered together. It is no more
// than a shutdown can wait for.
const invoicesAtOnce = 16

// tellAfter is how long an addition goes untold: most are lines by then, and told as such.
const tellAfter = 30 * time.Second

//go:embed migrations/*.sql
var files embed.FS

// service is billing at work.
type service struct {
	Config
	pool   *pgxpool.Pool
	halo   *connections.Halo
	engine *reconcile.Engine[Fields]
	wake   chassis.Wake // there may be customers to decide about
	reread chassis.Wake // there may be an instance to read
	// rulesKnown: the price rules were read back since the process began.
	rules      sync.Mutex
	rulesKnown bool
	// writing holds a place for each invoice that is being written, of whatever claim.
	writing chan struct{}
}

// Run serves until ctx ends, and then returns nil.
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	clients, err := cfg.Halo(ctx, Service, cfg.Secrets, cfg.Transport, cfg.Timeout)
	if err != nil {
		return err
	}
	s := &service{Config: cfg, pool: cfg.Pool, halo: clients, wake: chassis.NewWake(), reread: chassis.NewWake(), writing: make(chan struct{}, cfg.Workers)}
	s.engine = reconcile.New(reconcile.Config[Fields]{
		Service: Service, Kind: "invoice-line", Pool: cfg.Pool, Clock: cfg.Clock, Log: cfg.Log,
		Diff: diff, Action: action, Event: lineEvent, Listed: true, Apply: s.applyKnowing, Recorded: s.wake.Nudge,
		Grouped: true, Groups: invoicesAtOnce, BatchSize: 2000, Workers: 2, Lease: cfg.Timeout + 15*time.Second, Settle: cfg.Settle, Poll: cfg.Poll,
		TellAfter: tellAfter,
	})
	return chassis.Run(ctx, cfg.Env, chassis.Spec{
		Name:    Service,
		Schemas: []postgres.Migrations{reconcile.Schema(), connections.Schema(), postgres.Embedded(Service, files)},
		Register: func(r grpc.ServiceRegistrar) {
			invoicelinev1.RegisterLineServiceServer(r, &lineServer{s: s})
			pricingv1.RegisterPricingServiceServer(r, &pricingServer{s: s})
			intyv1.RegisterMigrationServiceServer(r, &intyServer{s: s})
		},
		// Before the relay sends what an older dump holds for the newest. Where NATS does not answer now, it is tried again.
		Before: func(ctx context.Context) error {
			if err := s.knowRules(ctx); err != nil {
				cfg.Log.WarnContext(ctx, "price rules are read back later", "err", err)
			}
			return nil
		},
		Handlers: s.handlers(),
		Engine:   s.engine,
		Loops: []func(context.Context) error{
			cfg.Loop("decide queued customers", s.wake, cfg.Poll, s.decideKnowing),
			cfg.Loop("read recurring invoices", s.reread, cfg.Poll, s.readDue),
		},
		Prune: map[string]chassis.Prune{"inty_reports": s.pruneReports},
		Busy:  s.busy,
	})
}
