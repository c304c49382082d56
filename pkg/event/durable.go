package event

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/postgres"
)

// errGeneration: another replica has moved to a new durable.
var errGeneration = errors.New("the durable's generation has changed")

// A durable remembers in NATS what the schema has digested, and the two can come apart: a schema
// restored from a backup has forgotten what the durable thinks is done, and a stream made anew has
// no durable. So the durable's name carries a generation that the schema keeps, and a new
// generation, which begins at the start of the stream, is taken when
//
//   - the schema has none, or its tables are not the ones that it was written into (schema_oid),
//   - the stream is another one than before (stream_created), or the durable is gone,
//   - the durable has seen more deliveries acknowledged than the schema has committed
//     (delivered): the schema is older than the durable.
type registration struct {
	generation    string
	streamCreated string
	schemaOID     int64
	delivered     int64
}

// attach returns the durable of the present generation, after taking a new one where needed.
func (c *consumer) attach(ctx context.Context) (jetstream.Consumer, error) {
	stream, err := c.Bus.JS.Stream(ctx, bus.StateStream)
	if err != nil {
		// The relay makes a missing stream anew; until then there is nothing to follow.
		return nil, fmt.Errorf("look at stream %s: %w", bus.StateStream, err)
	}
	created := streamTime(stream)
	var durable jetstream.Consumer
	err = postgres.InTx(ctx, c.Pool, func(tx pgx.Tx) error {
		old, now, err := c.registration(ctx, tx)
		if err != nil {
			return err
		}
		now.streamCreated = created
		now.generation = old.generation
		reason, err := c.stale(ctx, stream, old, now)
		if err != nil {
			return err
		}
		if reason != "" {
			now.generation = newGeneration()
			if old.generation != "" {
				c.Log.Info("reading the stream from its beginning", "service", c.Service, "entity", c.Entity, "reason", reason)
			}
			_, err := tx.Exec(ctx, `insert into consumers (service, entity, generation, stream_created, schema_oid)
				values ($1, $2, $3, $4, $5) on conflict (service, entity) do update set generation = excluded.generation,
				stream_created = excluded.stream_created, schema_oid = excluded.schema_oid, delivered = 0`,
				c.Service, c.Entity, now.generation, now.streamCreated, now.schemaOID)
			if err != nil {
				return fmt.Errorf("register a new generation: %w", err)
			}
		}
		c.generation = now.generation
		durable, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable:       c.durable(),
			Description:   c.Service + " reads " + c.Entity,
			FilterSubject: Filter("", c.Entity, false),
			DeliverPolicy: jetstream.DeliverAllPolicy,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       c.AckWait,
			MaxDeliver:    -1,
			MaxAckPending: 8 * c.Batch,
		})
		if err != nil {
			return fmt.Errorf("make durable %s: %w", c.durable(), err)
		}
		if reason != "" {
			c.forgetOthers(ctx, stream)
		}
		return nil
	})
	return durable, err
}

// registration reads what the schema remembers, locked against other replicas, and what it is.
func (c *consumer) registration(ctx context.Context, tx pgx.Tx) (old, now registration, err error) {
	// The row may not exist yet, so the lock is one on its name.
	_, err = tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('seatline consumer ' || current_schema()), hashtext($1))`, c.Service+" "+c.Entity)
	if err != nil {
		return old, now, fmt.Errorf("lock registration: %w", err)
	}
	err = tx.QueryRow(ctx, `select (select oid::bigint from pg_database where datname = current_database()) * 4294967296
		+ 'consumers'::regclass::oid::bigint`).Scan(&now.schemaOID)
	if err != nil {
		return old, now, fmt.Errorf("identify the schema: %w", err)
	}
	err = tx.QueryRow(ctx, `select generation, stream_created, schema_oid, delivered from consumers
		where service = $1 and entity = $2`, c.Service, c.Entity).
		Scan(&old.generation, &old.streamCreated, &old.schemaOID, &old.delivered)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return old, now, fmt.Errorf("read registration: %w", err)
	}
	return old, now, nil
}

// stale says why the remembered durable cannot be used; empty when it can.
func (c *consumer) stale(ctx context.Context, stream jetstream.Stream, old, now registration) (string, error) {
	switch {
	case old.generation == "":
		return "first start", nil
	case old.streamCreated != now.streamCreated:
		return "the stream was made anew", nil
	case old.schemaOID != now.schemaOID:
		return "the database was restored", nil
	}
	durable, err := stream.Consumer(ctx, durableName(c.Service, c.Entity, old.generation))
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return "the durable is gone", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at durable: %w", err)
	}
	if int64(durable.CachedInfo().AckFloor.Consumer) > old.delivered {
		return "the database is older than the durable", nil
	}
	return "", nil
}

// delivered notes in tx how far the durable's deliveries are digested, and fails when the durable
// is not the present one any more.
func (c *consumer) delivered(ctx context.Context, tx pgx.Tx, batch []received) error {
	var last uint64
	for _, r := range batch {
		last = max(last, r.delivery)
	}
	// Last in the transaction: replicas meet at this row, and so only for the time of the commit.
	tag, err := tx.Exec(ctx, `update consumers set delivered = greatest(delivered, $4)
		where service = $1 and entity = $2 and generation = $3`, c.Service, c.Entity, c.generation, int64(last))
	if err != nil {
		return Transient(fmt.Errorf("note delivery: %w", err))
	}
	if tag.RowsAffected() == 0 {
		return errGeneration
	}
	return nil
}

// forgetOthers deletes the durables of former generations.
func (c *consumer) forgetOthers(ctx context.Context, stream jetstream.Stream) {
	prefix := durableName(c.Service, c.Entity, "")
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		generation, ok := strings.CutPrefix(name, prefix)
		if ok && len(generation) == generationLength && name != c.durable() {
			if err := stream.DeleteConsumer(ctx, name); err != nil {
				c.Log.Warn("delete former durable", "durable", name, "err", err)
			}
		}
	}
}

func (c *consumer) durable() string { return durableName(c.Service, c.Entity, c.generation) }

func durableName(service, entity, generation string) string {
	return service + "-" + entity + "-" + generation
}

const generationLength = 12

func newGeneration() string {
	b := make([]byte, generationLength/2)
	_, _ = rand.Read(b) // Never fails.
	return hex.EncodeToString(b)
}

// registered returns the durables that the schema's consumers use, by entity.
func registered(ctx context.Context, pool *pgxpool.Pool) ([][2]string, error) {
	rows, err := pool.Query(ctx, `select entity, service || '-' || entity || '-' || generation from consumers order by entity, service`)
	if err != nil {
		return nil, fmt.Errorf("read consumers: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (p [2]string, err error) {
		return p, r.Scan(&p[0], &p[1])
	})
	if err != nil {
		return nil, fmt.Errorf("read consumers: %w", err)
	}
	return found, nil
}

// lag counts the messages that the service has not digested.
func (c *consumer) lag(ctx context.Context) (int64, error) {
	var generation string
	err := c.Pool.QueryRow(ctx, `select generation from consumers where service = $1 and entity = $2`, c.Service, c.Entity).Scan(&generation)
	if err != nil {
		return 0, fmt.Errorf("measure lag: %w", err)
	}
	durable, err := c.Bus.JS.Consumer(ctx, bus.StateStream, durableName(c.Service, c.Entity, generation))
	if err != nil {
		return 0, fmt.Errorf("measure lag: %w", err)
	}
	info := durable.CachedInfo()
	return int64(info.NumPending) + int64(info.NumAckPending), nil
}
