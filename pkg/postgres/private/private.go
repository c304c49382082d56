//go:build unix

// Package private runs a PostgreSQL server of our own, for people who have none at hand: the
// installed binaries, or fetched ones, in a directory of ours, reachable from this machine only.
//
// PostgreSQL refuses to run as root; then the server runs as an unprivileged user. The server ends
// when this process does, however that ends.
package private

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
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

	"seatline.dev/pkg/child"
)

// Config of a private server.
type Config struct {
	// Dir holds the data; made if missing. When we are root and the server's user cannot reach it, a
	// directory that stands for it is used instead, which the log names.
	Dir string
	Log *slog.Logger
	// Durable: committed transactions survive a power cut. Tests do without.
	Durable bool
	// Temporary: the data is removed when the server ends, even if this process is killed.
	Temporary bool
}

// Server is a running server.
type Server struct {
	url   string
	cmd   *exec.Cmd
	done  chan error // holds the outcome once the server has ended
	guard *guard
}

// URL of the server's database, with its password. It listens on loopback only.
func (s *Server) URL() string { return s.url }

// Start initialises Dir if it is empty, starts the server and waits until it answers.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("private PostgreSQL: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, cfg Config) (*Server, error) {
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := as.place(cfg)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	want, err := majorOf(data)
	if err != nil {
		return nil, err
	}
	bin, err := find(ctx, cfg.Log, installed(), want, as)
	if err != nil {
		return nil, err
	}
	if want == 0 {
		if err := initialise(ctx, cfg, bin, dir, data, as); err != nil {
			return nil, err
		}
	}
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	if err != nil {
		return nil, err
	}
	if err := release(ctx, data); err != nil {
		return nil, err
	}
	// Another program may take the port between our look and the server's start: then try again.
	for attempt := 1; ; attempt++ {
		s, err := launch(ctx, cfg, bin, dir, data, strings.TrimSpace(string(password)), as)
		if err == nil || attempt == 3 || ctx.Err() != nil {
			return s, err
		}
	}
}

// majorOf the data; 0 when there is none yet.
func majorOf(data string) (int, error) {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s is not a database: %w", data, err)
	}
	return major, nil
}

func initialise(ctx context.Context, cfg Config, bin binaries, dir, data string, as user) error {
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(random()+"\n"), 0o600); err != nil {
		return err
	}
	if err := as.chown(secret); err != nil {
		return err
	}
	// Made aside and moved into place whole, so that a start that dies half way leaves nothing that
	// looks like a database.
	aside := data + ".new"
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	args := []string{"-D", aside, "-U", "seatline", "--pwfile", secret, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C"}
	if !cfg.Durable {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, bin.path("initdb"), args...)
	cmd.Dir = dir
	as.become(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise %s: %w: %s", dir, err, lastLines(bytes.TrimSpace(out), 3))
	}
	return os.Rename(aside, data)
}

// release waits for a server that still ends after its parent was killed, and takes away the lock of
// one that is long gone when its process number now belongs to something else; postgres would refuse.
func release(ctx context.Context, data string) error {
	lock := filepath.Join(data, "postmaster.pid")
	for deadline := time.Now().Add(10 * time.Second); ; {
		text, err := os.ReadFile(lock)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		first, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(first))
		if err != nil || !isPostgres(pid) {
			return os.Remove(lock)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is in use by the server with process number %d: is another Seatline running there? Stop it, or choose another data directory", data, pid)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func isPostgres(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil { // no such file system
		comm, err = exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	}
	// When nobody can tell, postgres decides.
	return err != nil || strings.Contains(string(comm), "postgres")
}

func launch(ctx context.Context, cfg Config, bin binaries, dir, data, password string, as user) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	args := []string{"-D", data, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=200", "-c", "shared_buffers=256MB", "-c", "max_wal_size=2GB", "-c", "log_min_messages=warning",
		"-c", "jit=off", "-c", "timezone=UTC", "-c", "autovacuum_naptime=15s"}
	if !cfg.Durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "wal_init_zero=off")
	}
	log, err := os.OpenFile(filepath.Join(dir, "server.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(bin.path("postgres"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	as.become(cmd)
	s := &Server{cmd: cmd}
	// Not only the guard ends it with us: we may be killed before that stands.
	if s.done, err = child.Start(cmd, syscall.SIGQUIT); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	if s.guard, err = newGuard(cmd.Process.Pid, dir, cfg.Temporary); err != nil {
		s.Stop()
		return nil, err
	}
	s.url = fmt.Sprintf("postgres://seatline:%s@127.0.0.1:%d/postgres?sslmode=disable", password, port)
	for deadline := time.Now().Add(60 * time.Second); ; {
		conn, err := pgx.Connect(ctx, s.url)
		if err == nil {
			return s, conn.Close(ctx)
		}
		select {
		case <-s.done:
			s.done <- nil
			text, _ := os.ReadFile(log.Name()) // without it the error says less
			s.Stop()
			return nil, fmt.Errorf("the server in %s did not start: %s", dir, lastLines(text, 5))
		case <-ctx.Done():
			s.Stop()
			return nil, ctx.Err()
		case <-time.After(30 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.Stop()
			return nil, fmt.Errorf("the server in %s does not answer; see server.log there", dir)
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
	s.guard.stop()
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
