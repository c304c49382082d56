// Package bus connects to NATS, runs the embedded server, and defines the streams.
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Conn is a connection with its JetStream.
type Conn struct {
	NC *nats.Conn
	JS jetstream.JetStream
}

// Close ends the connection after what was published has left.
func (c *Conn) Close() {
	_ = c.NC.FlushTimeout(2 * time.Second) // a server that is gone gets nothing anyway
	c.NC.Close()
}

// Config says where NATS is and how to get in.
type Config struct {
	// URL of one server or several, comma separated. User and password, or a token, may be part of it.
	URL string
	// CredsFile holds a user's JWT and key; optional.
	CredsFile string
	// CAFile verifies the server's certificate; optional, the machine's own roots otherwise.
	CAFile string
	// CertFile and KeyFile are what we show the server; optional.
	CertFile, KeyFile string
	// Name is shown by the server's monitoring.
	Name string
	// Log hears of lost and regained connections; nil discards.
	Log *slog.Logger
}

// Connect waits until NATS answers or ctx ends, and reconnects for ever after. Credentials that the
// server refuses are not tried again.
func Connect(ctx context.Context, cfg Config) (*Conn, error) {
	options := options(cfg)
	waiting := false
	for {
		nc, err := nats.Connect(cfg.URL, options...)
		if err == nil {
			return open(nc)
		}
		if !absent(err) {
			return nil, fmt.Errorf("connect to NATS: %w", err)
		}
		if !waiting && cfg.Log != nil {
			cfg.Log.Info("waiting for NATS", "err", err)
		}
		waiting = true
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to NATS: %w: is the server running, and is SEATLINE_NATS_URL its address?", err)
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// absent: the server cannot be reached now, and may be later.
func absent(err error) bool {
	var network net.Error // a name that does not resolve yet, among others
	return errors.As(err, &network) || errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrConnectionClosed)
}

func options(cfg Config) []nats.Option {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	options := []nats.Option{
		nats.Name(cfg.Name), nats.MaxReconnects(-1), nats.ReconnectWait(500 * time.Millisecond), nats.Timeout(5 * time.Second),
		// A server that is being set up anew may refuse us for a while.
		nats.IgnoreAuthErrorAbort(),
		// A publisher must learn that the server is away, rather than believe that it was heard.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("connection to NATS lost, reconnecting", "err", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("connection to NATS regained") }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) {
			subject := ""
			if s != nil {
				subject = s.Subject
			}
			log.Warn("NATS", "subject", subject, "err", err)
		}),
	}
	if cfg.CredsFile != "" {
		options = append(options, nats.UserCredentials(cfg.CredsFile))
	}
	if cfg.CAFile != "" {
		options = append(options, nats.RootCAs(cfg.CAFile))
	}
	if cfg.CertFile != "" {
		options = append(options, nats.ClientCert(cfg.CertFile, cfg.KeyFile))
	}
	return options
}

func open(nc *nats.Conn) (*Conn, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("connect to JetStream: %w", err)
	}
	return &Conn{NC: nc, JS: js}, nil
}
