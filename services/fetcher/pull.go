package fetcher

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// client is made anew for each run, with the settings and the key of the moment.
func (f *fetcher) client(ctx context.Context, c *connectionv1.Connection) (*giacom.Client, error) {
	secrets, err := f.Secrets.GetSecrets(ctx, &connectionv1.GetConnectionRequest{Slug: c.GetSlug()})
	if err != nil {
		return nil, &reasonError{"secrets", "the console did not give the API key; check that it runs and that the fetcher may read secrets", err}
	}
	cfg := connections.Giacom(c, telemetry.Secret(secrets.GetGiacomApiKey()))
	cfg.HTTP, cfg.Clock, cfg.Log = f.HTTP, f.Clock, f.Log.With("connection", c.GetSlug())
	return giacom.New(cfg)
}

// stageRows is how many rows are copied at once. One lot is copied while the next is read: the only rows of a pull in
// memory.
const stageRows = 2000

// pull streams the account into the run's staging table, noting its progress in the run; progress is called every second
// or so.
func (f *fetcher) pull(ctx context.Context, conn *pgx.Conn, c *connectionv1.Connection, run *runv1.Run, progress func() error) (giacom.Result, int64, error) {
	client, err := f.client(ctx, c)
	if err != nil {
		return giacom.Result{}, 0, err
	}
	if err := createStaging(ctx, conn, run.Id); err != nil {
		return giacom.Result{}, 0, err
	}
	currency := c.GetGiacom().GetCurrency()
	if currency == "" {
		currency = "GBP"
	}
	copying, ctx := errgroup.WithContext(ctx)
	s := &stager{
		fetcher: f, ctx: ctx, conn: conn, run: run, client: client, currency: currency, progress: progress, shown: f.Clock.Now(), full: make(chan []pulled), empty: make(chan []pulled, 2),
	}
	s.empty <- nil
	copying.Go(s.copy)
	want := giacom.Want{Customers: run.ImportCustomers, Subscriptions: run.ImportSubscriptions}
	result, err := client.Import(ctx, want, giacom.Sink{
		Customer: func(customer giacom.Customer) error {
			run.Customers.Seen++
			return s.add(pulled{customer: &customer})
		},
		Subscription: func(subscription giacom.Subscription) error {
			run.Subscriptions.Seen++
			return s.add(pulled{subscription: subscription})
		},
	})
	run.Requests = result.Requests
	if err == nil {
		err = s.flush()
	}
	close(s.full)
	if failed := copying.Wait(); failed != nil { // it is what ended the import, too
		err = failed
	}
	return result, s.staged, err
}

// pulled is a row as it came: a customer, or else a subscription.
type pulled struct {
	customer     *giacom.Customer
	subscription giacom.Subscription
}

func (p *pulled) row(currency string) (row, error) {
	if p.customer != nil {
		return customerRow(*p.customer)
	}
	return subscriptionRow(p.subscription, currency)
}

// stager collects rows into lots, and serialises and copies one while the next is collected: neither Giacom nor the
// database waits for the other.
type stager struct {
	*fetcher
	ctx      context.Context
	conn     *pgx.Conn // the copier's alone until it ends
	run      *runv1.Run
	client   *giacom.Client
	currency string
	rows     []pulled
	// Two lots go round.
	full, empty chan []pulled
	staged      int64 // rows copied; the copier's alone until it ends
	shown       time.Time
	progress    func() error
}

func (s *stager) add(p pulled) error {
	s.rows = append(s.rows, p)
	if len(s.rows) < stageRows {
		return nil
	}
	return s.flush()
}

func (s *stager) flush() error {
	if len(s.rows) == 0 {
		return nil
	}
	select {
	case s.full <- s.rows:
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	select {
	case s.rows = <-s.empty:
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	if s.Clock.Since(s.shown) < time.Second {
		return nil
	}
	s.shown = s.Clock.Now()
	s.run.Requests = s.client.Requests()
	return s.progress()
}

// copy stages lots until there are no more.
func (s *stager) copy() error {
	for rows := range s.full {
		if err := stage(s.ctx, s.conn, s.run.Id, rows, s.currency, s.staged); err != nil {
			return err
		}
		s.staged += int64(len(rows))
		clear(rows)         // lets go of what they hold
		s.empty <- rows[:0] // has room for both lots
	}
	return nil
}

// count puts what a comparison found and the pull noted into the run.
func count(run *runv1.Run, f found, r giacom.Result) {
	run.Customers, run.Subscriptions = f.customers, f.subscriptions
	run.Customers.Bad = int64(r.Customers.Bad + r.Customers.NoID)
	run.Subscriptions.Bad = int64(r.Subscriptions.Bad + r.Subscriptions.NoID)
	if !run.ImportCustomers {
		run.Customers = &runv1.Counts{}
	}
	if !run.ImportSubscriptions {
		run.Subscriptions = &runv1.Counts{}
	}
}

func (f *fetcher) now() *timestamppb.Timestamp { return timestamppb.New(f.Clock.Now()) }
