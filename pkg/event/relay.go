package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"seatline.dev/pkg/bus"
)

const (
	// relayRows is how many rows one round of the relay takes: the most that an atomic batch may hold.
	relayRows = 1000
	// relayLinger is how long a woken relay waits for more rows: an atomic batch costs the server a
	// file, and us a transaction, however small it is.
	relayLinger = 15 * time.Millisecond
)

// Relay sends what Publish wrote. One relay per schema is at work at any time, however many run.
type Relay struct {
	Bus  *bus.Conn
	Pool *pgxpool.Pool
	Log  *slog.Logger
	// Service names the publisher in logs and metrics.
	Service string
	// Replicas of the streams when they have to be made anew; 0 means 1.
	Replicas int
	// Poll is how often to look for rows without being woken, and for another stream; default 5 s.
	Poll time.Duration
	// CheckEvery is how often stream and history are compared; default 6 h, negative for never.
	CheckEvery time.Duration
	// Republish writes the present state of everything into the outbox when the stream was made
	// anew; the default takes it from the history.
	Republish func(ctx context.Context, tx pgx.Tx) error
}

// Run relays until ctx ends, and then returns nil. Trouble with Postgres or NATS is logged and
// outlasted.
func (r *Relay) Run(ctx context.Context) error {
	m, err := newRelayMetrics(r)
	if err != nil {
		return err
	}
	defer m.close()
	for pause := time.Duration(0); ; pause = min(max(2*pause, 100*time.Millisecond), 5*time.Second) {
		if !sleep(ctx, pause) {
			return nil
		}
		started := time.Now()
		err := r.lead(ctx, m)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > time.Minute {
			pause = 0
		}
		r.Log.Warn("relay lost its database connection, starting again", "service", r.Service, "err", err)
	}
}

// lead waits for the schema's lock on a connection of its own and relays as long as it lives.
// Everything the relay reads and deletes goes over this connection, and so nothing is sent for
// long after the lock is lost: a second relay that takes over finds no first one at work.
func (r *Relay) lead(ctx context.Context, m *relayMetrics) error {
	conn, err := pgx.ConnectConfig(ctx, r.Pool.Config().ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		// Closing releases the lock at once, so that the next replica need not wait for a timeout.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(closing)
	}()
	t := &tenure{Relay: r, conn: conn, metrics: m}
	if err := t.lock(ctx); err != nil {
		return err
	}
	return t.run(ctx)
}

// tenure is the time during which a relay holds its schema's lock.
type tenure struct {
	*Relay
	conn    *pgx.Conn
	metrics *relayMetrics
	// looked is when the streams' creation times were last compared with those remembered.
	looked time.Time
}

func (t *tenure) lock(ctx context.Context) error {
	// A dead peer must not keep the lock for the two hours of a default keepalive. Refused on unix
	// sockets by some servers, where it is not needed either.
	for _, set := range []string{"tcp_keepalives_idle = 10", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3"} {
		if _, err := t.conn.Exec(ctx, "set "+set); err != nil && t.conn.IsClosed() {
			return err
		}
	}
	for {
		// Tried again and again rather than waited for: a statement that waits holds a snapshot, and
		// a snapshot keeps vacuum from the rows that the active relay deletes.
		var got bool
		if err := t.conn.QueryRow(ctx, `select pg_try_advisory_lock(hashtext('seatline outbox'), hashtext(current_schema()))`).Scan(&got); err != nil {
			return err
		}
		if got {
			break
		}
		if !sleep(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
	}
	_, err := t.conn.Exec(ctx, "listen seatline_outbox")
	return err
}

func (t *tenure) run(ctx context.Context) error {
	check := t.checks(ctx)
	defer check.stop()
	failures := 0
	for {
		n, err := t.round(ctx, check)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case t.conn.IsClosed():
			return fmt.Errorf("connection closed: %w", err)
		case err != nil:
			failures++
			t.looked = time.Time{}
			t.Log.Warn("events wait in the outbox", "service", t.Service, "attempt", failures, "err", err)
			if err := t.wait(ctx, min(100*time.Millisecond<<min(failures, 6), 5*time.Second)); err != nil {
				return err
			}
		default:
			failures = 0
			if n == relayRows {
				continue // There is more.
			}
			if err := t.wait(ctx, t.poll()); err != nil {
				return err
			}
		}
	}
}

// round publishes one batch of each stream at most, and returns the number of rows that left the outbox.
func (t *tenure) round(ctx context.Context, check *checker) (int, error) {
	if time.Since(t.looked) > t.poll() {
		if err := t.recognise(ctx, check); err != nil {
			return 0, err
		}
		t.looked = time.Now()
	}
	rows, err := t.head(ctx)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return len(rows), t.send(ctx, rows)
}

func (t *tenure) poll() time.Duration {
	if t.Poll > 0 {
		return t.Poll
	}
	return 5 * time.Second
}

// wait returns when rows were written, or after d. It fails when the connection is dead.
func (t *tenure) wait(ctx context.Context, d time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var schema string
	if err := t.conn.QueryRow(ctx, `select current_schema()`).Scan(&schema); err != nil {
		return err
	}
	for {
		n, err := t.conn.WaitForNotification(limited)
		switch {
		case err == nil && n.Payload == schema:
			if !sleep(ctx, relayLinger) {
				return ctx.Err()
			}
			return nil
		case err == nil: // Another schema of this database.
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(limited.Err(), context.DeadlineExceeded) && !t.conn.IsClosed():
			return nil
		default:
			return err
		}
	}
}

// sleep waits for d and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
