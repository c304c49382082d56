package world

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/child"
)

// broker is a NATS server in a process of its own.
type broker struct {
	cmd  *exec.Cmd
	done <-chan error
}

// startNATS starts the server that the world's services meet at: in this process, or where ServeNATS says.
func (w *World) startNATS(ctx context.Context) (err error) {
	dir := filepath.Join(w.Dir, "nats")
	if w.ServeNATS == nil {
		embedded, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: dir, Volatile: !w.Durable})
		if err != nil {
			return err
		}
		w.closers = append(w.closers, embedded.Stop)
		w.natsURL = embedded.URL()
		w.Bus, err = embedded.Conn(ctx)
		return err
	}
	if w.natsPort, err = freePort(); err != nil {
		return err
	}
	w.closers = append(w.closers, func() { w.killNATS() })
	if err := w.serveNATS(dir); err != nil {
		return err
	}
	w.Bus, err = bus.Connect(ctx, bus.Config{URL: w.natsURL})
	return err
}

// serveNATS starts the process, and waits until it says where it listens.
func (w *World) serveNATS(dir string) error {
	cmd := w.ServeNATS(dir, w.natsPort)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	b := &broker{cmd: cmd}
	if b.done, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	w.nats = b
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "nats://") {
		return fmt.Errorf("NATS in a process of its own says %q, and not where it listens: %w", line, err)
	}
	w.natsURL = strings.TrimSpace(line)
	return nil
}

func (w *World) killNATS() {
	if w.nats == nil {
		return
	}
	_ = w.nats.cmd.Process.Kill()
	<-w.nats.done
	w.nats = nil
}

// CrashNATS ends the NATS server the hard way (SIGKILL) and starts it again on what it left on disk. Only for a world with
// ServeNATS.
func (w *World) CrashNATS() error {
	w.killNATS()
	return w.serveNATS(filepath.Join(w.Dir, "nats"))
}

// CrashPostgres kills the server's process behind one of the services' sessions (SIGKILL), as a fault in the server would.
// PostgreSQL then ends every session, throws away what it holds in memory and recovers from its log. Only for a world whose
// server no other world uses. It returns when the server answers again.
func (w *World) CrashPostgres(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, w.Database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var pid int
	err = conn.QueryRow(ctx, `select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() order by random() limit 1`).Scan(&pid)
	if err != nil {
		return fmt.Errorf("look for a session to kill: %w", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the process %d of PostgreSQL: %w", pid, err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for conn.Ping(ctx) == nil { // our session ends with all others
		if time.Now().After(deadline) {
			return fmt.Errorf("the process %d of PostgreSQL was killed, and no other session ended", pid)
		}
		time.Sleep(time.Millisecond)
	}
	for {
		again, err := pgx.Connect(ctx, w.Database)
		if err == nil {
			return again.Close(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL does not recover: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
