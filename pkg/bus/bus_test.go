package bus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/bus/bustest"
)

func TestTheStateStreamKeepsTheLastMessageOfEachSubject(t *testing.T) {
	conn := bustest.New(t)
	for i := range 3 {
		for _, key := range []string{"a", "b"} {
			if _, err := conn.JS.Publish(t.Context(), "seatline.v1.demo.licence."+key, fmt.Appendf(nil, "%s%d", key, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	stream, err := conn.JS.Stream(t.Context(), bus.StateStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 2 {
		t.Errorf("%d messages for 2 subjects", n)
	}
	msg, err := stream.GetLastMsgForSubject(t.Context(), "seatline.v1.demo.licence.b")
	if err != nil || string(msg.Data) != "b2" {
		t.Errorf("last of b: %v (%v)", msg, err)
	}
}

func TestBothStreamsTakeAtomicBatches(t *testing.T) {
	conn := bustest.New(t)
	for _, subject := range []string{"seatline.v1.demo.licence.x", "seatline.log.v1.demo.run.x"} {
		batch, err := jetstreamext.NewBatchPublisher(conn.JS)
		if err != nil {
			t.Fatal(err)
		}
		if err := batch.Add(subject+"1", []byte("1")); err != nil {
			t.Fatal(err)
		}
		if _, err := batch.Commit(t.Context(), subject+"2", []byte("2")); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

func TestEnsureStreamsKeepsWhatIsThereAndMendsSettings(t *testing.T) {
	conn := bustest.New(t)
	if _, err := conn.JS.Publish(t.Context(), "seatline.v1.demo.licence.a", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	stream, err := conn.JS.Stream(t.Context(), bus.LogStream)
	if err != nil {
		t.Fatal(err)
	}
	changed := stream.CachedInfo().Config
	changed.MaxAge = time.Hour
	if _, err := conn.JS.UpdateStream(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if err := bus.EnsureStreams(t.Context(), conn.JS, 1); err != nil {
		t.Fatal(err)
	}
	if stream, err = conn.JS.Stream(t.Context(), bus.LogStream); err != nil || stream.CachedInfo().Config.MaxAge != bus.LogAge {
		t.Errorf("log stream keeps messages for %v (%v)", stream.CachedInfo().Config.MaxAge, err)
	}
	if stream, err = conn.JS.Stream(t.Context(), bus.StateStream); err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("state stream lost its message (%v)", err)
	}
}

func TestWhatWasAcknowledgedIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	for i, wantBefore := range []uint64{0, 1} {
		s, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := s.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := bus.EnsureStreams(t.Context(), conn.JS, 1); err != nil {
			t.Fatal(err)
		}
		stream, err := conn.JS.Stream(t.Context(), bus.StateStream)
		if err != nil || stream.CachedInfo().State.Msgs != wantBefore {
			t.Errorf("start %d: %d messages (%v), want %d", i, stream.CachedInfo().State.Msgs, err, wantBefore)
		}
		if _, err := conn.JS.Publish(t.Context(), "seatline.v1.demo.licence.a", nil); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		s.Stop()
	}
}

func TestTheEmbeddedServerLetsOnlyThoseInWhoKnowItsURL(t *testing.T) {
	s, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: t.TempDir(), Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	conn, err := bus.Connect(t.Context(), bus.Config{URL: s.URL()})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()

	_, address, _ := strings.Cut(s.URL(), "@")
	started := time.Now()
	if _, err := bus.Connect(t.Context(), bus.Config{URL: "nats://" + address}); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without the token: %v", err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("a refusal was tried again for %v", took)
	}
}

func TestConnectWaitsForTheServerAndOutlastsItsRestart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()

	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := bus.Connect(short, bus.Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", port)}); err == nil || !strings.Contains(err.Error(), "SEATLINE_NATS_URL") {
		t.Errorf("nobody there: %v", err)
	}

	start := func() (stop func()) {
		s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoLog: true, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the test's server does not come up")
		}
		return func() { s.Shutdown(); s.WaitForShutdown() }
	}
	connected := make(chan *bus.Conn)
	go func() {
		conn, err := bus.Connect(t.Context(), bus.Config{URL: fmt.Sprintf("nats://127.0.0.1:%d", port)})
		if err != nil {
			t.Error(err)
		}
		connected <- conn
	}()
	time.Sleep(300 * time.Millisecond) // it is waiting now
	stop := start()
	conn := <-connected
	if conn == nil {
		return
	}
	defer conn.NC.Close()
	stop()
	if _, err := conn.JS.Publish(t.Context(), "x", nil, jetstream.WithRetryAttempts(0)); err == nil {
		t.Error("a message that nobody took counts as sent")
	}
	defer start()()
	for deadline := time.Now().Add(10 * time.Second); !conn.NC.IsConnected(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not connected again")
		}
	}
}
