package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/giacom"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

type measurement struct {
	subscriptions       int
	lines               bool
	binary, dir, server string
}

func measure(ctx context.Context, m measurement) (s Size, err error) {
	s.Subscriptions = m.subscriptions
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return s, err
	}
	w, err := world.Start(ctx, world.Options{Binary: m.binary, Dir: m.dir, Server: m.server, Durable: true,
		Env: []string{"SEATLINE_APPLY_LEASE=1m", "SEATLINE_APPLY_SETTLE=3m"}}) // as shipped; stories hurry
	if err != nil {
		return s, err
	}
	defer w.Close()
	defer func() {
		if err != nil {
			fmt.Fprintln(os.Stderr, w.Logs())
		}
	}()
	data := estate.Plain(estate.Config{Seed: 1, Customers: max(1, m.subscriptions/20), Subscriptions: m.subscriptions, Now: time.Now()}, estate.NoLines)
	rules := []*pricingv1.PriceRule{{Name: "keep", Price: &pricingv1.PriceRule_Keep{Keep: true}}}
	if m.lines {
		data = withInvoices(data)
		rules[0].AddLine = &pricingv1.AddLine{ItemId: data.Halo.Items[0].ID}
	}
	if err := data.Fill(w.Giacom, w.Halo); err != nil {
		return s, err
	}
	if _, err := w.Apply(ctx, w.Connection("acme"), rules); err != nil {
		return s, err
	}
	if _, err := w.Validate(ctx, "acme"); err != nil {
		return s, err
	}
	// The simulator makes each row once, when it is first asked for: that is not what is measured.
	if err := pull(ctx, w, giacom.Sink{
		Customer: func(giacom.Customer) error { return nil }, Subscription: func(giacom.Subscription) error { return nil },
	}); err != nil {
		return s, err
	}
	w.Halo.ResetRequests()
	s.Seconds, err = took(func() error {
		if err := poll(ctx, w); err != nil {
			return err
		}
		settling, cancel := context.WithTimeout(ctx, 20*time.Minute)
		defer cancel()
		return w.SettleWithin(settling, "acme")
	})
	if err != nil {
		return s, err
	}
	s.EndToEnd = float64(m.subscriptions) / s.Seconds
	s.HaloRequests = w.Halo.Requests()
	if n := len(w.Halo.State().Licences); n != m.subscriptions {
		return s, fmt.Errorf("the simulated Halo has %d licences", n)
	}
	if s.UnchangedPoll, err = unchanged(ctx, w, m.subscriptions); err != nil {
		return s, err
	}
	if err := resting(ctx, w.Database); err != nil {
		return s, err
	}
	if s.LicencePage, err = licencePage(ctx, w); err != nil {
		return s, err
	}
	s.PeakMemory = map[string]float64{}
	for _, service := range ctl.Services() {
		bytes, err := w.Process(service, 0).PeakMemory()
		if err != nil {
			return s, err
		}
		s.PeakMemory[service] = float64(bytes) / (1 << 20)
	}
	return s, nil
}

func poll(ctx context.Context, w *world.World) error {
	run, err := w.Run(ctx, "acme", true)
	if err != nil {
		return err
	}
	if run.GetOutcome() != runv1.Outcome_OUTCOME_SUCCEEDED {
		return fmt.Errorf("the run ended as %s: %s", run.GetOutcome(), run.GetReason().GetText())
	}
	return nil
}

// unchanged polls against decoding and COPYing the same rows, in turns; the medians count.
func unchanged(ctx context.Context, w *world.World, rows int) (Ratio, error) {
	var ours, floors []float64
	for range 5 {
		seconds, err := took(func() error { return poll(ctx, w) })
		if err != nil {
			return Ratio{}, err
		}
		ours = append(ours, float64(rows)/seconds)
		if seconds, err = took(func() error { return decodeAndCopy(ctx, w) }); err != nil {
			return Ratio{}, err
		}
		floors = append(floors, float64(rows)/seconds)
	}
	return ratio(median(ours), median(floors)), nil
}

// decodeAndCopy is the least that a poll must do: read the feeds and put their rows, as they were read, into PostgreSQL,
// where nothing more is done with them. It shares the decoder with the fetcher, and nothing else.
func decodeAndCopy(ctx context.Context, w *world.World) error {
	conn, err := pgx.Connect(ctx, w.Database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "create temporary table floor (key text, mex_id text, customer text, tenant text, name text, sku text, "+
		"quantity text, price text, rrp text, start timestamptz, ends timestamptz, cycle text, term text, status text)")
	if err != nil {
		return err
	}
	rows := make(chan []any, 1000)
	pulled := make(chan error, 1)
	go func() {
		defer close(rows)
		pulled <- pull(ctx, w, giacom.Sink{
			Customer: func(c giacom.Customer) error {
				rows <- []any{c.MexID, c.MexID, c.Name, c.TenantID, c.Name, "", "", "", "", c.Created, c.Created, "", "", c.Status}
				return nil
			},
			Subscription: func(s giacom.Subscription) error {
				rows <- []any{
					s.Key(), s.MexID, s.CustomerName, s.TenantID, s.Name, s.SKU, s.Quantity.Decimal.String(), s.Price.Decimal.String(),
					s.RRP.Decimal.String(), s.Start, s.End(), s.Cycle, s.Term, s.Status,
				}
				return nil
			},
		})
	}()
	columns := []string{"key", "mex_id", "customer", "tenant", "name", "sku", "quantity", "price", "rrp", "start", "ends", "cycle", "term", "status"}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"floor"}, columns, pgx.CopyFromFunc(func() ([]any, error) { return <-rows, nil }))
	if err != nil {
		return err
	}
	return <-pulled
}

// pull reads the feeds.
func pull(ctx context.Context, w *world.World, into giacom.Sink) error {
	cfg := connections.Giacom(w.Connection("acme"), "sim-key")
	cfg.Log = slog.New(slog.DiscardHandler)
	client, err := giacom.New(cfg)
	if err != nil {
		return err
	}
	_, err = client.Import(ctx, giacom.Want{Customers: true, Subscriptions: true}, into)
	return err
}

// resting waits until PostgreSQL has tidied up after the import, which a page of licences would else be measured beside.
func resting(ctx context.Context, database string) error {
	const still, patience = 3, 2 * time.Minute
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for seen, end := 0, time.Now().Add(patience); seen < still && time.Now().Before(end); seen++ {
		<-every.C
		var busy bool
		err := conn.QueryRow(ctx, `select exists (select from pg_stat_activity where backend_type = 'autovacuum worker')`).Scan(&busy)
		if err != nil {
			return err
		}
		if busy {
			seen = -1
		}
	}
	return nil
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}
