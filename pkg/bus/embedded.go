package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// EmbeddedConfig of a server in this process.
type EmbeddedConfig struct {
	// Dir of JetStream's files. One server at a time may use it.
	Dir string
	// Port on loopback; 0 picks a free one.
	Port int
	// Volatile skips the sync after each write: for tests that do not pull the plug.
	Volatile bool
	// Log hears the server's warnings and errors; nil discards.
	Log *slog.Logger
}

// Embedded is a running server.
type Embedded struct {
	s     *server.Server
	token string
}

// maxPayload of one message, in bytes: far more than any event has.
const maxPayload = 8 << 20

// StartEmbedded starts a NATS server with JetStream on disk. Every acknowledged message is synced:
// JetStream's own default of two minutes loses acknowledged messages in a power cut. It listens on
// loopback, for those who know its URL.
func StartEmbedded(cfg EmbeddedConfig) (*Embedded, error) {
	port := cfg.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	token, err := token(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS in %s: %w", cfg.Dir, err)
	}
	e := &Embedded{token: token}
	s, err := server.NewServer(&server.Options{
		ServerName: "seatline", Host: "127.0.0.1", Port: port, Authorization: e.token,
		JetStream: true, StoreDir: cfg.Dir, SyncAlways: !cfg.Volatile, DisableJetStreamBanner: true,
		NoSigs: true, MaxPayload: maxPayload, NoLog: cfg.Log == nil,
	})
	if err != nil {
		return nil, fmt.Errorf("embedded NATS in %s: %w", cfg.Dir, err)
	}
	if cfg.Log != nil {
		s.SetLoggerV2(logger{cfg.Log}, false, false, false)
	}
	e.s = s
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("embedded NATS in %s does not come up: is another server using that directory, or port %d?", cfg.Dir, cfg.Port)
	}
	return e, nil
}

// token lets clients in. It stays the same from start to start, so that they find back.
func token(dir string) (string, error) {
	path := filepath.Join(dir, "token")
	text, err := os.ReadFile(path)
	if err == nil && len(text) > 0 {
		return string(text), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	made := rand.Text()
	return made, os.WriteFile(path, []byte(made), 0o600)
}

// URL for clients on this machine; it holds the token, so keep it from logs.
func (e *Embedded) URL() string {
	return fmt.Sprintf("nats://%s@%s", e.token, e.s.Addr())
}

// Conn connects inside the process.
func (e *Embedded) Conn(context.Context) (*Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(e.s), nats.Token(e.token), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, fmt.Errorf("connect to embedded NATS: %w", err)
	}
	return open(nc)
}

// Stop ends the server and waits for it.
func (e *Embedded) Stop() {
	e.s.Shutdown()
	e.s.WaitForShutdown()
}

// logger passes on what a person may have to act on. The server's notices are about its start.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log.Debug("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.log.Warn("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.log.Error("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Fatalf(format string, v ...any)  { l.log.Error("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Debugf(string, ...any)           {}
func (l logger) Tracef(string, ...any)           {}
