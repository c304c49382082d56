package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/oracle"
	"seatline.dev/services/seatline/ctl"
)

// seed of the random stories: SEATLINE_SEED repeats one.
func seed(t *testing.T) uint64 {
	n := uint64(time.Now().UnixNano())
	if s := os.Getenv("SEATLINE_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SEATLINE_SEED=%q is not a number", s)
		}
	}
	t.Logf("SEATLINE_SEED=%d repeats this story", n)
	return n
}

// what may go wrong at Halo while it is written to.
var troubles = []halosim.Fault{
	{Name: "throttle", Rate: 0.2, RetryAfter: 1},
	{Name: "error_503", Rate: 0.2},
	{Name: "error_500", Rate: 0.2},
	{Name: "cut_after", Method: "POST", Rate: 0.4},
	{Name: "error_after", Method: "POST", Rate: 0.3},
	{Name: "reset", Rate: 0.2},
	{Name: "late", Method: "POST", Rate: 0.2, Delay: 2500 * time.Millisecond},
	{Name: "partial", Method: "POST", Route: "/SoftwareLicence", Rate: 0.5},
	{Name: "stale", Method: "POST", Route: "/RecurringInvoice", Rate: 0.3},
	{Name: "token_expired", Rate: 0.1},
	{Name: "warning", Method: "POST", Rate: 0.5},
	{Name: "empty_reply", Method: "POST", Rate: 0.3},
}

// After any sequence of changes at Giacom, with every kind of trouble at Halo and at Giacom, and with
// services killed in between, Halo holds what the oracle says and nothing exists twice.
func TestConvergence(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(seed(t), 1))
	data := estate.Plain(estate.Config{Seed: rng.Uint64(), Customers: 12, Subscriptions: 96, Now: time.Now()}, estate.LinkedLines)
	s := tell(t, plot{estate: data, rules: keepAndAdd})
	s.poll(true)
	s.right("after the first import")
	evolver := estate.NewEvolver(s.w.Giacom, rng.Uint64(), time.Now)
	// A customer that nobody knows would be created under a name that may be near another's; that is
	// a question of order, and has stories of its own.
	for round := range 6 {
		trouble := troubles[rng.IntN(len(troubles))]
		second := troubles[rng.IntN(len(troubles))]
		var changes []string
		for range 1 + rng.IntN(12) {
			changes = append(changes, fmt.Sprint(evolver.Step()))
		}
		s.must(s.w.Halo.Inject(trouble))
		s.must(s.w.Halo.Inject(second))
		if rng.IntN(2) == 0 {
			s.must(s.w.Giacom.Inject(giacomsim.Fault{Name: []string{"error_503", "cut", "duplicate_rows", "throttle_bare"}[rng.IntN(4)], Times: 1}))
		}
		victim := ""
		if rng.IntN(2) == 0 {
			victim = []string{ctl.Mapper, ctl.Licence, ctl.Billing}[rng.IntN(3)]
		}
		t.Logf("round %d: %s and %s at Halo, killed: %q; %s", round, trouble.Name, second.Name, victim, strings.Join(changes, "; "))

		run, err := s.w.Run(s.ctx, "acme", true)
		s.must(err)
		if victim != "" {
			time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond) // anywhere in the middle: that is the point
			s.must(s.w.Kill(s.ctx, victim, 0))
		}
		time.Sleep(time.Duration(300+rng.IntN(700)) * time.Millisecond) // let the trouble strike
		s.w.Halo.Clear("")
		s.w.Giacom.Clear("")
		s.settle()
		s.oracle.Observe(s.w.Giacom.Account(), oracle.Run{Scheduled: true, Complete: run.GetComplete(), At: time.Now()})
		if !run.GetComplete() {
			s.poll(true)
		}
		s.right(fmt.Sprintf("after round %d", round))
	}
	// What was missing is proven by one more poll.
	s.poll(true)
	s.right("at the end")
}

func TestTwoReplicasOfEverything(t *testing.T) {
	t.Parallel()
	data := estate.Plain(estate.Config{Seed: 11, Customers: 40, Subscriptions: 400, Now: time.Now()}, estate.LinkedLines)
	s := tell(t, plot{estate: data, rules: keepAndAdd, world: world.Options{Replicas: 2}})
	s.poll(true)
	s.right("after the first import by two replicas")
	rng := rand.New(rand.NewPCG(3, 3))
	for _, sub := range data.Giacom.Subscriptions {
		s.must(s.w.Giacom.SetSeats(sub.ID, int64(1+rng.IntN(50))))
		if rng.IntN(3) == 0 {
			s.must(s.w.Giacom.SetPrice(sub.ID, sub.Price.Decimal.Add(sub.Price.Decimal)))
		}
	}
	s.w.Halo.ResetRequests()
	s.poll(true)
	s.right("after many changes")
	// No write made twice: Halo notes each change of a field, and none may be noted with nothing changed
	// in between by somebody else.
	last := map[string]string{}
	for _, c := range s.w.Halo.State().InvoiceChanges {
		field := fmt.Sprint(c.InvoiceID, " ", c.LineID, " ", c.Field)
		if before, ok := last[field]; ok && before != c.Old {
			t.Errorf("%s was %s and was changed from %s", field, before, c.Old)
		}
		last[field] = c.New
	}
	if n := s.w.Halo.Requests()["POST /RecurringInvoice"]; n > 80 {
		t.Errorf("%d writes of 40 recurring invoices: more than two waves of changes can explain", n)
	}
	for _, service := range []string{ctl.Licence, ctl.Billing, ctl.Mapper, ctl.Fetcher} {
		s.must(s.w.Kill(s.ctx, service, 1))
		s.must(s.w.Giacom.SetSeats(data.Giacom.Subscriptions[0].ID, int64(60+len(service))))
		s.poll(true)
		s.right("after a replica of " + service + " was killed")
	}
}

// The database of one service is set back to an older dump, and the streams are deleted: both heal.
func TestRestoresHeal(t *testing.T) {
	t.Parallel()
	for _, service := range []string{ctl.Fetcher, ctl.Mapper, ctl.Licence, ctl.Billing} {
		t.Run("an older dump of "+service, func(t *testing.T) {
			t.Parallel()
			s := tell(t, plot{estate: small(), rules: keepAndAdd})
			s.poll(true)
			s.dump(service)
			for _, sub := range s.data.Giacom.Subscriptions[:6] {
				s.must(s.w.Giacom.SetSeats(sub.ID, 31))
			}
			account := s.w.Giacom.Account()
			extra := account.Subscriptions[0]
			extra.ID, extra.GUID, extra.Name, extra.OfferID = "77000001", "0b0b0b0b-0000-4000-8000-000000000001", "Visio Plan 9", "CFQ7TTC0VISI:0009"
			extra.Reference = extra.Name
			s.must(s.w.Giacom.PutSubscription(extra))
			s.poll(true)
			s.right("before the restore")
			s.restore(service)
			s.settle()
			s.poll(true)
			s.right("after the restore and one poll")
		})
	}
	t.Run("deleted streams", func(t *testing.T) {
		t.Parallel()
		s := tell(t, plot{estate: small(), rules: keepAndAdd})
		s.poll(true)
		for _, stream := range []string{bus.StateStream, bus.LogStream} {
			s.must(s.w.Bus.JS.DeleteStream(s.ctx, stream))
		}
		s.must(s.w.Giacom.SetSeats(s.sub(0).ID, 19))
		s.poll(true)
		// Each service looks for the stream every few seconds, and makes it where it is missing; then everything is there again: twelve
		// subscriptions as the fetcher, the mapper, the licence service and billing have them, and more.
		subjects, deadline := uint64(0), time.Now().Add(time.Minute)
		for subjects < 12*4 && time.Now().Before(deadline) {
			time.Sleep(100 * time.Millisecond)
			stream, err := s.w.Bus.JS.Stream(s.ctx, bus.StateStream)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				continue
			}
			s.must(err)
			subjects = stream.CachedInfo().State.NumSubjects
		}
		if subjects < 12*4 {
			t.Errorf("the rebuilt stream has %d subjects: not everybody published again", subjects)
		}
		s.settle()
		s.right("after the streams were deleted")
	})
}

// dump copies the tables of a service aside, as a backup would.
func (s *story) dump(service string) {
	s.Helper()
	conn, err := pgx.Connect(s.ctx, s.w.Database)
	s.must(err)
	defer conn.Close(s.ctx)
	_, err = conn.Exec(s.ctx, "create schema backup")
	s.must(err)
	for _, table := range s.tables(conn) {
		if name, ok := strings.CutPrefix(table, service+"."); ok {
			_, err := conn.Exec(s.ctx, fmt.Sprintf("create table backup.%s as table %s", name, table))
			s.must(err)
		}
	}
}

// restore puts them back, with the service down meanwhile.
func (s *story) restore(service string) {
	s.Helper()
	s.must(s.w.Down(service, 0))
	conn, err := pgx.Connect(s.ctx, s.w.Database)
	s.must(err)
	defer conn.Close(s.ctx)
	for _, table := range s.tables(conn) {
		name, ok := strings.CutPrefix(table, service+".")
		if !ok {
			continue
		}
		_, err := conn.Exec(s.ctx, fmt.Sprintf("truncate %s cascade", table))
		s.must(err)
		var columns string // what the database works out by itself is no part of a dump
		err = conn.QueryRow(s.ctx, `select string_agg(quote_ident(column_name), ', ' order by ordinal_position) from information_schema.columns
			where table_schema = $1 and table_name = $2 and is_generated = 'NEVER'`, service, name).Scan(&columns)
		s.must(err)
		_, err = conn.Exec(s.ctx, fmt.Sprintf("insert into %s (%s) overriding system value select %s from backup.%s", table, columns, columns, name))
		s.must(err)
	}
	_, err = s.w.Spawn(s.ctx, service, 0)
	s.must(err)
}
