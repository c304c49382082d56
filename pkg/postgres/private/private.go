// Package private runs a PostgreSQL server of our own, for people who have none at hand: the
// installed binaries, or fetched ones, in a directory of ours, reachable from this machine only.
//
// PostgreSQL refuses to run as root; then the server runs as an unprivileged user.
package private

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Config of a private server.
type Config struct {
	// Dir holds the data; made if missing. The server's user must be able to reach it.
	Dir string
	Log *slog.Logger
	// Durable: committed transactions survive a power cut. Tests do without.
	Durable bool
	// Binaries is the directory of initdb and postgres; found or fetched when empty.
	Binaries string
}

// Server is a running server.
type Server struct {
	url  string
	cmd  *exec.Cmd
	done chan error
}

// URL of the server's database, with its password. It listens on loopback only.
func (s *Server) URL() string { return s.url }

// Start initialises Dir if it is empty, starts the server and waits until it answers.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	bin := cfg.Binaries
	if bin == "" {
		var err error
		if bin, err = Find(ctx, cfg.Log); err != nil {
			return nil, err
		}
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	if err := as.own(dir); err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); errors.Is(err, os.ErrNotExist) {
		if err := initialise(ctx, bin, dir, data, as); err != nil {
			return nil, err
		}
	}
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	// Another program may take the port between our look and the server's start: then try again.
	for attempt := 1; ; attempt++ {
		s, err := launch(ctx, cfg, bin, dir, data, strings.TrimSpace(string(password)), as)
		if err == nil || attempt == 3 || ctx.Err() != nil {
			return s, err
		}
	}
}

func initialise(ctx context.Context, bin, dir, data string, as user) error {
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(random()+"\n"), 0o600); err != nil {
		return fmt.Errorf("private PostgreSQL: %w", err)
	}
	if err := as.chown(secret); err != nil {
		return fmt.Errorf("private PostgreSQL: %w", err)
	}
	// A start that died half way leaves a directory that initdb refuses.
	if err := os.RemoveAll(data); err != nil {
		return fmt.Errorf("private PostgreSQL: %w", err)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "seatline", "--pwfile", secret,
		"-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
	cmd.Dir = dir
	as.become(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise private PostgreSQL in %s: %w\n%s", dir, err, bytes.TrimSpace(out))
	}
	return nil
}

func launch(ctx context.Context, cfg Config, bin, dir, data, password string, as user) (*Server, error) {
	// A server of an earlier run that was killed may have left its lock; postgres itself checks
	// whether that process still lives.
	port, err := freePort()
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	args := []string{"-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200", "-c", "shared_buffers=256MB", "-c", "max_wal_size=2GB", "-c", "log_min_messages=warning",
		"-c", "jit=off", "-c", "timezone=UTC", "-c", "autovacuum_naptime=15s"}
	if !cfg.Durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	log, err := os.OpenFile(filepath.Join(dir, "server.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	as.become(cmd)
	s := &Server{cmd: cmd, done: make(chan error, 1)}
	if err := startGuarded(cmd, s.done); err != nil {
		return nil, fmt.Errorf("start private PostgreSQL: %w", err)
	}
	s.url = fmt.Sprintf("postgres://seatline:%s@127.0.0.1:%d/postgres?sslmode=disable", password, port)
	deadline := time.Now().Add(30 * time.Second)
	for {
		conn, err := pgx.Connect(ctx, s.url)
		if err == nil {
			return s, conn.Close(ctx)
		}
		select {
		case <-s.done:
			s.done <- nil
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("private PostgreSQL in %s did not start: %s", dir, lastLines(text, 5))
		case <-ctx.Done():
			s.Stop()
			return nil, ctx.Err()
		case <-time.After(30 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.Stop()
			return nil, fmt.Errorf("private PostgreSQL in %s does not answer; see server.log there", dir)
		}
	}
}

// Stop ends the server: fast shutdown, then by force after ten seconds. It may be called twice.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown; an error means that it has ended
	select {
	case err := <-s.done:
		s.done <- err
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		s.done <- <-s.done
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}
