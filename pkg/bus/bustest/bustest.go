// Package bustest gives each test a NATS server of its own, in the test's process.
package bustest

import (
	"context"
	"testing"

	"seatline.dev/pkg/bus"
)

// New starts a server in a directory of the test's, with the streams, and connects to it.
func New(t testing.TB) *bus.Conn {
	t.Helper()
	s, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: t.TempDir(), Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	conn, err := s.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.NC.Close)
	if err := bus.EnsureStreams(t.Context(), conn.JS, 1); err != nil {
		t.Fatal(err)
	}
	return conn
}
