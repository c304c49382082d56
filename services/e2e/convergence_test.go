package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
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

// After any sequence of changes at Giacom and decisions of operators, with every kind of trouble at Halo and at Giacom, with
// events that come twice and out of order, and with services and servers killed in between, Halo holds what the oracle says
// and nothing exists twice. A seed chooses the estate and deals what happens in which order; all of it happens in each story.
func TestConvergence(t *testing.T) {
	t.Parallel()
	n := seed(t)
	services := []string{ctl.Mapper, ctl.Licence, ctl.Billing, ctl.Fetcher, ctl.Console}
	t.Run("an ordinary estate, and crashing servers", func(t *testing.T) {
		t.Parallel()
		rng := rand.New(rand.NewPCG(n, 1))
		config := estate.Config{Seed: rng.Uint64(), Customers: 6 + rng.IntN(10), Subscriptions: 40 + rng.IntN(80), Now: time.Now()}
		data := estate.Plain(config, []estate.Lines{estate.LinkedLines, estate.LinkedLines, estate.NoLines}[rng.IntN(3)])
		converge(t, rng, plot{estate: data, rules: keepAndAdd, world: servers(t)}, append(services, natsServer, postgresServer))
	})
	t.Run("an awkward estate", func(t *testing.T) {
		t.Parallel()
		rng := rand.New(rand.NewPCG(n, 2))
		data := estate.Generate(estate.Config{Seed: rng.Uint64(), Customers: 60 + rng.IntN(20), Subscriptions: 300, Now: time.Now()})
		converge(t, rng, plot{estate: data, rules: keepAndAdd}, services)
	})
}

// converge tells a random story in which each of the victims is killed once.
func converge(t *testing.T, rng *rand.Rand, p plot, victims []string) {
	p.world.Halo.Seed, p.world.Giacom.Seed = rng.Uint64(), rng.Uint64()
	s := tell(t, p)
	said := s.listen()
	s.poll(true)
	s.right("after the first import")
	evolver := estate.NewEvolver(s.w.Giacom, rng.Uint64(), time.Now)
	halo, giacom, victims, decisions := shuffled(rng, haloTroubles), shuffled(rng, giacomTroubles), shuffled(rng, victims), shuffled(rng, decisions)
	rounds := len(victims)
	for round := range rounds {
		strikes := halo[len(halo)*round/rounds : len(halo)*(round+1)/rounds]
		for _, trouble := range strikes {
			s.must(s.w.Halo.Inject(trouble))
		}
		for _, d := range decisions[len(decisions)*round/rounds : len(decisions)*(round+1)/rounds] {
			decided := s.decide(rng, d)
			t.Logf("round %d: %s", round, decided)
			s.right("after " + decided)
		}
		var changes []string
		for range 1 + rng.IntN(12) {
			changes = append(changes, fmt.Sprint(evolver.Step()))
		}
		s.must(s.w.Giacom.Inject(giacom[round]))
		run, done := s.upset(rng, victims[round])
		t.Logf("round %d: %s; %s at Giacom, %s killed, the run %s", round, strings.Join(changes, "; "), giacom[round].Name, victims[round], run.GetOutcome())
		repeated, rewound := 0, ""
		if rng.IntN(2) == 0 {
			repeated = s.repeat(said, rng, 200, false)
		}
		if rng.IntN(2) == 0 {
			rewound = s.rewind(rng)
		}
		s.settle()
		s.mend()
		t.Logf("round %d: struck %v; %d events repeated, %q rewound", round, s.w.Halo.On(), repeated, rewound)
		s.w.Halo.Clear("")
		s.w.Giacom.Clear("")
		if done {
			s.oracle.Observe(s.w.Giacom.Account(), oracle.Run{Scheduled: true, Complete: run.GetComplete(), At: time.Now()})
		}
		if !done || !run.GetComplete() {
			s.poll(true)
		}
		s.right(fmt.Sprintf("after round %d", round))
		s.repeat(said, rng, 200, true)
		s.settle()
		s.right(fmt.Sprintf("after old words in round %d", round))
	}
	s.decide(rng, automatic)
	// What was missing is proven by one more poll.
	s.poll(true)
	s.right("at the end")
}

func shuffled[T any](rng *rand.Rand, all []T) []T {
	all = slices.Clone(all)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
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
