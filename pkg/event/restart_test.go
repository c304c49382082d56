package event_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/postgres/postgrestest"
)

// server is a NATS server that can be stopped and started again on the same directory and port.
type server struct {
	t    testing.TB
	cfg  bus.EmbeddedConfig
	s    *bus.Embedded
	conn *bus.Conn
}

func newServer(t testing.TB) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, cfg: bus.EmbeddedConfig{Dir: t.TempDir(), Port: l.Addr().(*net.TCPAddr).Port}}
	l.Close()
	s.start()
	t.Cleanup(func() { s.s.Stop() })
	s.conn, err = bus.Connect(t.Context(), bus.Config{URL: s.s.URL(), Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.conn.NC.Close)
	if err := bus.EnsureStreams(t.Context(), s.conn.JS, 1); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) start() {
	s.t.Helper()
	var err error
	if s.s, err = bus.StartEmbedded(s.cfg); err != nil {
		s.t.Fatal(err)
	}
}

// Through stops of the server in the middle of batches, lost relays and ended consumers, everything
// committed arrives, and the last state of each key is what remains.
func TestNothingIsLostThroughRestarts(t *testing.T) {
	nats := newServer(t)
	source := postgrestest.New(t, event.Schema)
	s := newThings(t, nats.conn)
	relay := func() func() {
		return eventtest.Run(t, func(ctx context.Context) error {
			r := event.Relay{Bus: nats.conn, Pool: source, Log: eventtest.Log(t), Service: "source", Poll: 100 * time.Millisecond}
			return r.Run(ctx)
		})
	}
	cfg := s.config()
	cfg.Batch = 50
	consume := func() func() { return eventtest.Consume(t, cfg) }
	stopRelay, stopConsume := relay(), consume()

	want := map[string]string{}
	var written sync.WaitGroup
	written.Go(func() {
		for round := range int64(30) {
			var events []event.Event
			for k := range 200 {
				if rand.IntN(3) == 0 || round == 0 {
					key, v := fmt.Sprintf("k%d", k), fmt.Sprint(round)
					want[key] = v
					events = append(events, thing(key, round+1, v))
				}
			}
			eventtest.Publish(t, source, events...)
			time.Sleep(20 * time.Millisecond)
		}
	})
	for i := range 4 {
		time.Sleep(150 * time.Millisecond)
		switch i {
		case 0, 2:
			nats.s.Stop()
			time.Sleep(50 * time.Millisecond)
			nats.start()
		case 1:
			stopRelay()
			stopRelay = relay()
		case 3:
			stopConsume()
			stopConsume = consume()
		}
	}
	written.Wait()
	eventtest.Eventually(t, "connected again", nats.conn.NC.IsConnected)
	eventtest.Settle(t, source, nats.conn)
	s.want(want)
	if d := s.deadLetters(); len(d) != 0 {
		t.Errorf("dead letters: %+v", d)
	}
}

// BenchmarkPipeline measures events per second from the publisher's transaction to the consumer's.
func BenchmarkPipeline(b *testing.B) {
	nats := newServer(b)
	source := postgrestest.New(b, event.Schema)
	s := newThings(b, nats.conn)
	b.ResetTimer()
	var events []event.Event
	for i := range b.N {
		events = append(events, thing(fmt.Sprintf("microsoft/%08d", i), 1, "Microsoft 365 Business Premium, 25 seats, Harbour Dental Ltd"))
	}
	began := time.Now()
	if err := pgx.BeginFunc(b.Context(), source, func(tx pgx.Tx) error { return event.Publish(b.Context(), tx, events...) }); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "published/s")
	began = time.Now()
	eventtest.Relay(b, source, nats.conn)
	eventtest.Settle(b, source, nats.conn)
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "relayed/s")
	began = time.Now()
	s.start()
	settled(b, s.pool, nats.conn)
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "consumed/s")
}
