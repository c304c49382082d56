package event

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
)

// Handler digests a batch of events of one entity within tx, which Consume commits before it
// acknowledges. The batch has one event per key, the newest, in the order of connection and key, so
// that multi-row upserts neither meet a key twice nor deadlock with those of another replica.
// The same event may come again, and an older one after a newer one: guard by the revision.
//
// An error sends the batch through again in halves, until the one event that causes it is found;
// that one goes to dead_letters. Errors that pass (see Transient) have the whole batch retried.
type Handler func(ctx context.Context, tx pgx.Tx, batch []Event) error

// ConsumerConfig configures Consume. All replicas of a service use the same Service and Entity and
// share the work.
type ConsumerConfig struct {
	Bus     *bus.Conn
	Pool    *pgxpool.Pool
	Log     *slog.Logger
	Service string
	Entity  string
	Handler Handler
	// Batch is the most events per transaction; default 500.
	Batch int
	// Linger is how long to wait for the next event before a batch that is not full is handled, and a
	// tenth of how long a batch is gathered at most; default 10 ms.
	Linger time.Duration
	// AckWait is after how long a message is given to another replica when nothing is heard of the
	// first; default 30 s. A batch under way keeps its messages for as long as it takes.
	AckWait time.Duration
	// Retry is the first delay after an error that passes, doubling up to 30 s; default 250 ms.
	Retry time.Duration
}

func (c ConsumerConfig) withDefaults() ConsumerConfig {
	if c.Batch == 0 {
		c.Batch = 500
	}
	if c.Linger == 0 {
		c.Linger = 10 * time.Millisecond
	}
	if c.AckWait == 0 {
		c.AckWait = 30 * time.Second
	}
	if c.Retry == 0 {
		c.Retry = 250 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Consume gives every state event of an entity, of all connections, to the handler, from the
// beginning of the stream when the durable is new. It blocks until ctx ends, and then returns nil.
// Trouble with Postgres or NATS is logged and outlasted.
func Consume(ctx context.Context, cfg ConsumerConfig) error {
	if cfg.Bus == nil || cfg.Pool == nil || cfg.Handler == nil || !token(cfg.Service) || !token(cfg.Entity) {
		return fmt.Errorf("consume %q as %q: bus, pool, handler, service and entity must be set", cfg.Entity, cfg.Service)
	}
	c := &consumer{ConsumerConfig: cfg.withDefaults()}
	var err error
	if c.metrics, err = newConsumeMetrics(c); err != nil {
		return err
	}
	defer c.metrics.close()
	for failures := 0; ; failures++ {
		started := time.Now()
		err := c.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(started) > time.Minute {
			failures = 0
		}
		c.Log.Warn("consumer starts again", "service", c.Service, "entity", c.Entity, "err", err)
		if !sleep(ctx, c.delay(failures)) {
			return nil
		}
	}
}

// consumer is one replica's share of a durable.
type consumer struct {
	ConsumerConfig
	metrics *consumeMetrics
	// generation that the durable at hand belongs to.
	generation string
}

func (c *consumer) delay(failures int) time.Duration {
	return min(c.Retry<<min(failures, 10), 30*time.Second)
}

// follow attaches to the durable and handles batches until something breaks.
func (c *consumer) follow(ctx context.Context) error {
	durable, err := c.attach(ctx)
	if err != nil {
		return err
	}
	// As many as one batch wait in memory while another is in the database.
	iter, err := durable.Messages(jetstream.PullMaxMessages(c.Batch), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return fmt.Errorf("pull from %s: %w", c.durable(), err)
	}
	defer c.release(iter)
	for failures := 0; ; {
		msgs, err := c.gather(ctx, iter)
		if err != nil {
			return err
		}
		err = c.handle(ctx, msgs)
		switch {
		case errors.Is(err, errGeneration):
			return err
		case err != nil && ctx.Err() == nil:
			c.Log.Warn("events are retried", "service", c.Service, "entity", c.Entity, "events", len(msgs), "delay", c.delay(failures), "err", err)
			// Without a pause the messages waiting in memory would fail one after the other.
			sleep(ctx, c.delay(failures))
			failures++
		default:
			failures = 0
		}
	}
}

// gather waits for a message and takes what follows close behind it.
func (c *consumer) gather(ctx context.Context, iter jetstream.MessagesContext) ([]jetstream.Msg, error) {
	first, err := iter.Next(jetstream.NextContext(ctx))
	if err != nil {
		return nil, err
	}
	msgs := []jetstream.Msg{first}
	// A transaction for each of many small batches would cost far more than the wait.
	for until := time.Now().Add(10 * c.Linger); len(msgs) < c.Batch && time.Now().Before(until); {
		m, err := iter.Next(jetstream.NextMaxWait(c.Linger))
		if err != nil {
			break // Nothing in time; what is wrong otherwise shows at the next call.
		}
		msgs = append(msgs, m)
	}
	return msgs, nil
}

// release hands the messages that wait in memory back, so that they need not time out first.
func (c *consumer) release(iter jetstream.MessagesContext) {
	iter.Drain()
	for {
		m, err := iter.Next(jetstream.NextMaxWait(time.Second))
		if err != nil {
			break
		}
		_ = m.Nak()
	}
	iter.Stop()
}
