package event

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
)

// ServiceProgress is how far a service is with a run. A run is settled when, for every service,
// Outbox is 0, nothing of its items is pending, and every consumer's Floor has reached the largest
// Published of the services it reads from.
type ServiceProgress struct {
	// Outbox counts rows not yet published; of the run, when one was asked for.
	Outbox int64
	// Published is the stream sequence of the last event published for the run; 0 for none.
	Published uint64
	Consumers []ConsumerProgress
	// Activity grows with every event written and every delivery digested.
	Activity int64
}

// ConsumerProgress is how far a service is with an entity.
type ConsumerProgress struct {
	Entity string
	// Floor: every message of the stream up to this sequence is digested.
	Floor uint64
	// Pending messages are not yet delivered, Unacknowledged ones delivered but not digested.
	Pending, Unacknowledged uint64
}

// Progress tells how far the service that owns the schema behind pool is. An empty run or
// connection means any.
func Progress(ctx context.Context, pool *pgxpool.Pool, b *bus.Conn, connection, run string) (ServiceProgress, error) {
	var p ServiceProgress
	// The sequence's last value counts every event ever written, also those that are gone.
	err := pool.QueryRow(ctx, `select
			(select count(*) from outbox where ($1 = '' or connection = $1) and ($2 = '' or run = $2)),
			(select coalesce(max(last_seq), 0) from run_marks where ($1 = '' or connection = $1) and ($2 = '' or run = $2)),
			coalesce((select last_value from pg_sequences where schemaname = current_schema() and sequencename = 'outbox_seq_seq'), 0)
				+ (select coalesce(sum(delivered), 0) from consumers)`, connection, run).
		Scan(&p.Outbox, &p.Published, &p.Activity)
	if err != nil {
		return p, fmt.Errorf("read progress: %w", err)
	}
	durables, err := registered(ctx, pool)
	if err != nil || len(durables) == 0 {
		return p, err
	}
	// Read before the consumers: what is published from here on is not counted as digested.
	stream, err := b.JS.Stream(ctx, bus.StateStream)
	if err != nil {
		return p, fmt.Errorf("look at stream %s: %w", bus.StateStream, err)
	}
	last := stream.CachedInfo().State.LastSeq
	for _, d := range durables {
		c := ConsumerProgress{Entity: d[0]}
		durable, err := stream.Consumer(ctx, d[1])
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			// About to be made anew: everything is still to be read.
			c.Pending = stream.CachedInfo().State.Msgs
		case err != nil:
			return p, fmt.Errorf("look at durable %s: %w", d[1], err)
		default:
			info := durable.CachedInfo()
			c.Floor, c.Pending, c.Unacknowledged = info.AckFloor.Stream, info.NumPending, uint64(info.NumAckPending)
			if c.Pending == 0 && c.Unacknowledged == 0 {
				c.Floor = max(c.Floor, last)
			}
		}
		p.Consumers = append(p.Consumers, c)
	}
	return p, nil
}
