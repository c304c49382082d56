// Package world is a whole Seatline for stories and measurements: the real binary, one process for
// each service, against a real PostgreSQL, NATS, and both simulators over HTTP.
package world

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	"seatline.dev/services/seatline/ctl"
)

// Options of a world.
type Options struct {
	Override string // why connections write although Halo shows another writer; usually none
	Binary   string // of seatline
	Dir      string // for logs, keys and NATS
	Server   string // URL of a PostgreSQL server; the world makes a database of its own there
	Giacom   giacomsim.Config
	Halo     halosim.Config
	// Replicas of every service; default 1.
	Replicas int
	// Durable syncs every message: for measurements of what is shipped.
	Durable bool
	// ServeNATS is the command that serves NATS from a directory, on a port of loopback, in a process of its own, which can
	// be killed; it prints its URL. Nil: NATS is in this process.
	ServeNATS func(dir string, port int) *exec.Cmd
	// Env is added to that of every process.
	Env []string
}

// World that runs.
type World struct {
	Options
	Giacom    *giacomsim.Sim
	Halo      *halosim.Sim
	GiacomURL string
	HaloURL   string
	WebURL    string // of the web console
	Database  string
	Bus       *bus.Conn

	natsURL  string
	natsPort int
	nats     *broker // where it is a process of its own

	mu        sync.Mutex // guards what starting processes side by side writes
	processes []*Process
	clients   map[string]*grpc.ClientConn
	addrs     map[string]string
	closers   []func()
}

const (
	serviceToken  = "the-services-token-of-a-test"
	operatorToken = "the-operators-token-of-a-test"
)

// Start brings a world up. Its simulators are empty.
func Start(ctx context.Context, o Options) (w *World, err error) {
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	w = &World{Options: o, clients: map[string]*grpc.ClientConn{}, addrs: map[string]string{}}
	defer func() {
		if err != nil {
			w.Close()
			w = nil
		}
	}()
	w.Giacom, w.Halo = giacomsim.New(o.Giacom), halosim.New(o.Halo)
	giacom, halo := httptest.NewServer(w.Giacom), httptest.NewServer(w.Halo)
	w.closers = append(w.closers, giacom.Close, halo.Close)
	w.GiacomURL, w.HaloURL = giacom.URL+"/Billing/v1", halo.URL

	if err := w.database(ctx); err != nil {
		return w, err
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "nats"), 0o700); err != nil {
		return w, err
	}
	if err := w.startNATS(ctx); err != nil {
		return w, err
	}
	w.closers = append(w.closers, w.Bus.Close)
	if err := bus.EnsureStreams(ctx, w.Bus.JS, 1); err != nil {
		return w, err
	}
	for _, service := range ctl.Services() {
		port, err := freePort()
		if err != nil {
			return w, err
		}
		w.addrs[service] = "127.0.0.1:" + strconv.Itoa(port)
	}
	port, err := freePort()
	if err != nil {
		return w, err
	}
	w.WebURL = "http://127.0.0.1:" + strconv.Itoa(port)
	if _, err := w.Spawn(ctx, ctl.Console, 0); err != nil { // the others ask it for secrets
		return w, err
	}
	var group errgroup.Group
	for _, service := range ctl.Services() {
		for i := range o.Replicas {
			if service != ctl.Console || i > 0 {
				group.Go(func() error { _, err := w.Spawn(ctx, service, i); return err })
			}
		}
	}
	return w, group.Wait()
}

// database makes one of the world's own on the server.
func (w *World) database(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, w.Server)
	if err != nil {
		return fmt.Errorf("the world needs PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	name := "world_" + strings.ToLower(token())
	if _, err := conn.Exec(ctx, "create database "+name); err != nil {
		return err
	}
	w.closers = append(w.closers, func() {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, w.Server)
		if err != nil {
			return // the server has gone, and the database with it
		}
		defer conn.Close(ctx)
		_, _ = conn.Exec(ctx, "drop database if exists "+name+" with (force)")
	})
	cfg, err := pgx.ParseConfig(w.Server)
	if err != nil {
		return err
	}
	w.Database = fmt.Sprintf("postgres://%s:%s@%s:%d/%s?sslmode=disable", cfg.User, cfg.Password, cfg.Host, cfg.Port, name)
	return nil
}

// Client of a service, as an operator.
func (w *World) Client(service string) *grpc.ClientConn { return w.clients[service] }

// addr of a service's first replica.
func (w *World) addr(service string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.addrs[service]
}

func (w *World) dial(service, addr string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addrs[service] = addr
	if old := w.clients[service]; old != nil {
		_ = old.Close()
	}
	conn, err := rpc.Dial(rpc.Endpoint{Addr: addr, Token: operatorToken})
	if err != nil {
		return err
	}
	w.clients[service] = conn
	return nil
}

// Close ends everything that the world started.
func (w *World) Close() {
	for _, p := range slices.Backward(w.processes) {
		p.Stop()
	}
	for _, c := range w.clients {
		_ = c.Close()
	}
	for _, f := range slices.Backward(w.closers) {
		f()
	}
}

// Logs of all processes, for a test that failed.
func (w *World) Logs() string {
	var all strings.Builder
	for _, p := range w.processes {
		text, err := os.ReadFile(p.log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			text = []byte(err.Error())
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(&all, "--- %s\n%s\n", p.Name, strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
	return all.String()
}
