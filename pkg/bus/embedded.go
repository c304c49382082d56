package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// EmbeddedConfig of a server in this process.
type EmbeddedConfig struct {
	Dir  string // of JetStream's files
	Port int    // on loopback; 0 picks a free one
	// Volatile skips the sync after each write: for tests that do not pull the plug.
	Volatile bool
}

// Embedded is a running server.
type Embedded struct{ s *server.Server }

// StartEmbedded starts a NATS server with JetStream on disk. Every acknowledged message is synced:
// JetStream's own default of two minutes loses acknowledged messages in a power cut.
func StartEmbedded(cfg EmbeddedConfig) (*Embedded, error) {
	port := cfg.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	opts := &server.Options{
		ServerName: "seatline", Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: cfg.Dir,
		SyncAlways: !cfg.Volatile, NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS in %s: %w", cfg.Dir, err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("embedded NATS in %s does not come up: is another server using that directory?", cfg.Dir)
	}
	return &Embedded{s}, nil
}

// URL for clients on this machine.
func (e *Embedded) URL() string { return e.s.ClientURL() }

// Conn connects inside the process.
func (e *Embedded) Conn(context.Context) (*Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(e.s), nats.MaxReconnects(-1))
	if err != nil {
		return nil, fmt.Errorf("connect to embedded NATS: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("connect to embedded JetStream: %w", err)
	}
	return &Conn{NC: nc, JS: js}, nil
}

// Stop ends the server and waits for it.
func (e *Embedded) Stop() {
	e.s.Shutdown()
	e.s.WaitForShutdown()
}
