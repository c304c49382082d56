package world

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"seatline.dev/pkg/child"
	"seatline.dev/pkg/rpc"
	"seatline.dev/services/seatline/ctl"
)

// Process of one service.
type Process struct {
	Name    string
	Service string
	replica int
	addr    string
	log     string
	cmd     *exec.Cmd
	done    chan struct{}
}

// Spawn starts a replica of a service and waits until it answers.
func (w *World) Spawn(ctx context.Context, service string, replica int) (*Process, error) {
	p := &Process{Name: service + "-" + strconv.Itoa(replica), Service: service, replica: replica, done: make(chan struct{})}
	p.log = filepath.Join(w.Dir, p.Name+".log")
	if p.addr = w.addr(service); replica > 0 { // the others know the first one by its address
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		p.addr = "127.0.0.1:" + strconv.Itoa(port)
	}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(w.Binary, "serve", service)
	p.cmd.Env = append(os.Environ(),
		"DATABASE_URL="+w.Database, "SEATLINE_DATABASE_URL="+w.Database, "SEATLINE_NATS_URL="+w.natsURL,
		"SEATLINE_GRPC_ADDR="+p.addr, "SEATLINE_CONSOLE_ADDR="+w.addr(ctl.Console), "SEATLINE_FETCHER_ADDR="+w.addr(ctl.Fetcher),
		"SEATLINE_MAPPER_ADDR="+w.addr(ctl.Mapper), "SEATLINE_LICENCE_ADDR="+w.addr(ctl.Licence), "SEATLINE_BILLING_ADDR="+w.addr(ctl.Billing), "SEATLINE_SERVICE_TOKEN="+serviceToken,
		"SEATLINE_OPERATOR_TOKEN="+operatorToken, "SEATLINE_KEYSET_FILE="+filepath.Join(w.Dir, "keyset"),
		"SEATLINE_HALO_TIMEOUT=2s", "SEATLINE_APPLY_LEASE=3s", "SEATLINE_APPLY_SETTLE=3s")
	if service == ctl.Console && replica == 0 {
		p.cmd.Env = append(p.cmd.Env, "SEATLINE_WEB_ADDR="+strings.TrimPrefix(w.WebURL, "http://"))
	}
	p.cmd.Env = append(p.cmd.Env, w.Env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if service == ctl.Console {
		if err := exec.CommandContext(ctx, w.Binary, "keyset", filepath.Join(w.Dir, "keyset")).Run(); err != nil {
			return nil, fmt.Errorf("make a keyset: %w", err)
		}
	}
	ended, err := child.Start(p.cmd, syscall.SIGKILL)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	go func() { <-ended; close(p.done) }()
	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()
	if err := p.await(ctx); err != nil {
		return nil, err
	}
	if replica == 0 {
		return p, w.dial(service, p.addr)
	}
	return p, nil
}

// await until the process answers calls.
func (p *Process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	// gRPC waits a second after a refused connection: knock first.
	for {
		knock, err := net.DialTimeout("tcp", p.addr, time.Second)
		if err == nil {
			knock.Close()
			break
		}
		select {
		case <-p.done:
			text, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s ended:\n%s", p.Name, strings.TrimSpace(string(text)))
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen", p.Name)
		case <-time.After(10 * time.Millisecond):
		}
	}
	conn, err := rpc.Dial(rpc.Endpoint{Addr: p.addr})
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		resp, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		if err == nil && resp.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return nil
		}
		select {
		case <-p.done:
			text, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s ended:\n%s", p.Name, strings.TrimSpace(string(text)))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s does not answer", p.Name), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Process returns a replica of a service.
func (w *World) Process(service string, replica int) *Process {
	for _, p := range w.processes {
		if p.Service == service && p.replica == replica {
			return p
		}
	}
	return nil
}

// Kill ends a replica the hard way (SIGKILL) and starts it again.
func (w *World) Kill(ctx context.Context, service string, replica int) error {
	p := w.Process(service, replica)
	if p == nil {
		return fmt.Errorf("no process %s-%d", service, replica)
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	w.forget(p)
	_, err := w.Spawn(ctx, service, replica)
	return err
}

// Down ends a replica the polite way; Spawn brings it back.
func (w *World) Down(service string, replica int) error {
	p := w.Process(service, replica)
	if p == nil {
		return fmt.Errorf("no process %s-%d", service, replica)
	}
	p.Stop()
	w.forget(p)
	return nil
}

func (w *World) forget(p *Process) {
	for i, o := range w.processes {
		if o == p {
			w.processes = append(w.processes[:i:i], w.processes[i+1:]...)
			return
		}
	}
}

func (p *Process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Stop ends a process the polite way, and by force after a while.
func (p *Process) Stop() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second):
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// PeakMemory is the most the process has had resident, in bytes.
func (p *Process) PeakMemory() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("the kernel tells no peak memory")
}

// lastPort is the one that was given out last. Ports are below those that the system hands out by itself: a port that
// is free now, for a process that listens in a moment, must not go to somebody's connection meanwhile.
var lastPort atomic.Int64

func freePort() (int, error) {
	const low, high = 12_000, 32_000
	lastPort.CompareAndSwap(0, int64(low+os.Getpid()*97%(high-low))) // other tests that run beside this one begin elsewhere
	for range high - low {
		port := low + int(lastPort.Add(1))%(high-low)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port is free on 127.0.0.1")
}

func token() string { return rand.Text()[:10] }
