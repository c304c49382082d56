// Package e2e tells whole-system stories: the real binary, a real PostgreSQL, NATS, and both
// simulators over HTTP. After every step Halo's state must be what the oracle says, field by field.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/postgres/postgrestest"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/oracle"
)

// binary is built once, with the race detector if the tests have it.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "seatline-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "seatline")
	if raceEnabled {
		return path, world.Build(path, "-race")
	}
	return path, world.Build(path)
})

func TestMain(m *testing.M) {
	beNATS()
	flag.Parse()
	// Stories mostly wait: for pauses, for NATS, for each other.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	code := m.Run()
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// story is one world with an operator, and the oracle that watches.
type story struct {
	*testing.T
	ctx        context.Context
	w          *world.World
	data       estate.Data
	connection *connectionv1.Connection
	rules      []*pricingv1.PriceRule
	oracle     *oracle.Oracle
	settings   oracle.Settings
	now        time.Time
}

// plot is how a story begins.
type plot struct {
	estate   estate.Data
	world    world.Options
	settings func(*connectionv1.Connection)
	rules    []*pricingv1.PriceRule
}

var keepAndAdd = world.KeepAndAdd()

// tell starts a world with an estate and a connection in it. Nothing is imported yet.
func tell(t *testing.T, p plot) *story {
	t.Helper()
	s := begin(t, p)
	s.connection = s.w.Connection("acme")
	if p.settings != nil {
		p.settings(s.connection)
	}
	s.watch()
	s.apply(func(*connectionv1.Connection) {})
	if _, err := s.w.Validate(s.ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	return s
}

// begin starts a world with an estate in it, and no connection yet.
func begin(t *testing.T, p plot) *story {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := &story{T: t, ctx: t.Context(), data: p.estate, rules: p.rules, now: time.Now()}
	p.world.Binary, p.world.Dir = path, t.TempDir()
	if p.world.Server == "" {
		p.world.Server = postgrestest.URL(t)
	}
	if s.w, err = world.Start(s.ctx, p.world); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.w.Logs())
		}
		s.w.Close()
	})
	if err := p.estate.Fill(s.w.Giacom, s.w.Halo); err != nil {
		t.Fatal(err)
	}
	return s
}

// watch has an oracle look on from now: at Halo as it is, and with the settings of the connection.
func (s *story) watch() {
	s.settings = oracle.Settings{Connection: s.connection, Rules: s.rules,
		Mapped: map[string]int64{}, Ignored: map[string]string{}, Create: map[string]bool{}, Excluded: map[string]string{}, Assigned: map[string]int64{}}
	s.oracle = oracle.New(s.w.Halo.State(), s.settings)
}

// apply changes the connection's settings, as an operator would.
func (s *story) apply(change func(*connectionv1.Connection)) {
	s.Helper()
	s.connection = proto.CloneOf(s.connection)
	change(s.connection)
	if _, err := s.w.Apply(s.ctx, s.connection, s.rules); err != nil {
		s.Fatal(err)
	}
	s.settings.Connection, s.settings.Rules = s.connection, s.rules
	s.oracle.SetSettings(s.settings)
}

// poll runs the fetcher once, waits until all is settled, and tells the oracle.
func (s *story) poll(scheduled bool) *runv1.Run {
	s.Helper()
	s.now = time.Now()
	run, err := s.w.Run(s.ctx, "acme", scheduled)
	if err != nil {
		s.Fatal(err)
	}
	if run.GetOutcome() == runv1.Outcome_OUTCOME_FAILED || run.GetOutcome() == runv1.Outcome_OUTCOME_INTERRUPTED {
		s.Fatalf("the run ended as %s: %s", run.GetOutcome(), run.GetReason().GetText())
	}
	s.settle()
	s.oracle.Observe(s.w.Giacom.Account(), oracle.Run{Scheduled: scheduled, Complete: run.GetComplete(), At: s.now})
	return run
}

func (s *story) settle() {
	s.Helper()
	if err := s.w.Settle(s.ctx, s.connection.GetSlug()); err != nil {
		s.Fatal(err)
	}
}

// right checks that Halo holds what it must.
func (s *story) right(when string) {
	s.Helper()
	differences := oracle.Compare(s.oracle.Expected(), s.w.Halo.State())
	if len(differences) == 0 {
		return
	}
	var text strings.Builder
	for i, d := range differences {
		if i == 25 {
			fmt.Fprintf(&text, "… and %d more\n", len(differences)-i)
			break
		}
		fmt.Fprintln(&text, d)
	}
	s.Fatalf("%s, Halo is not as it must be:\n%s", when, text.String())
}

func (s *story) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// command runs the operator's command line and gives what it printed; the exit code must be this one.
func (s *story) command(code int, args ...string) string {
	s.Helper()
	out, got, err := s.w.Command(s.ctx, args...)
	s.must(err)
	if got != code {
		s.Fatalf("seatline %s: exit %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return out
}

// says wants words in what was printed.
func (s *story) says(out string, words ...string) {
	s.Helper()
	for _, w := range words {
		if !strings.Contains(out, w) {
			s.Errorf("%q is not said in:\n%s", w, out)
		}
	}
}

// sub returns a subscription of the estate's account.
func (s *story) sub(i int) giacomsim.Subscription { return s.data.Giacom.Subscriptions[i] }

// licence returns the licence in Halo that carries the mark of a subscription.
func (s *story) licence(mark string) *halosim.Licence {
	s.Helper()
	for _, l := range s.w.Halo.State().Licences {
		if strings.HasSuffix(l.SnowID, mark) {
			return &l
		}
	}
	return nil
}

// small is a plain estate: a few customers, each with a monthly invoice that links its licences.
func small() estate.Data {
	return estate.Plain(estate.Config{Seed: 3, Customers: 4, Subscriptions: 12, Now: time.Now()}, estate.LinkedLines)
}
