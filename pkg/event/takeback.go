package event

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/postgres"
)

// TakeBackConfig says what a schema is to take back.
type TakeBackConfig struct {
	Bus  *bus.Conn
	Pool *pgxpool.Pool
	// Entity is one that this schema publishes.
	Entity string
	// Lock keeps everybody else from publishing of the entity until tx ends: what another replica decided since is not lost.
	Lock func(ctx context.Context, tx pgx.Tx) error
	// Handler is given, within tx, what the schema has lost. It may be given the same again when it fails.
	Handler func(ctx context.Context, tx pgx.Tx, lost []Event) error
	// Batch is how many are compared, and at most handed over, at a time; default 500.
	Batch int
	// Malformed is called for messages that are no events.
	Malformed func(subject string, err error)
}

// TakeBack finds the state events of an entity that the stream has and this schema's history has not, because the schema
// was restored from an older dump. What a service finds out from others it finds out again; what people decided is nowhere
// else. It has to be called before the relay sends anything: what the dump holds would go out as the newest.
//
// What was lost is put back into the history. Where nothing was, TakeBack costs one request to the stream.
func TakeBack(ctx context.Context, cfg TakeBackConfig) error {
	behind, err := cfg.behind(ctx)
	if err != nil || !behind {
		return err
	}
	size := cmp.Or(cfg.Batch, 500)
	var batch []Event
	flush := func() error {
		err := postgres.InTx(ctx, cfg.Pool, func(tx pgx.Tx) error { return cfg.takeBack(ctx, tx, batch) })
		batch = batch[:0]
		return err
	}
	reading, done := context.WithCancel(ctx)
	defer done()
	err = Subscribe(reading, cfg.Bus, SubscribeConfig{
		Entity: cfg.Entity, SnapshotComplete: done, Malformed: cfg.Malformed,
		Handler: func(_ context.Context, e Event) error {
			if batch = append(batch, e); len(batch) < size {
				return nil
			}
			return flush()
		},
	})
	if err = cmp.Or(err, ctx.Err()); err == nil && len(batch) > 0 {
		err = flush()
	}
	if err != nil {
		return fmt.Errorf("take back what the stream knows of each %s, and this database does not: %w", cfg.Entity, err)
	}
	return nil
}

// behind tells whether the stream has an event of the entity after the last that this schema knows to have been taken.
func (cfg TakeBackConfig) behind(ctx context.Context) (bool, error) {
	stream, err := cfg.Bus.JS.Stream(ctx, bus.StateStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil // it will be made, and filled from here
	}
	if err != nil {
		return false, fmt.Errorf("look at stream %s: %w", bus.StateStream, err)
	}
	var created string
	var seq int64
	err = cfg.Pool.QueryRow(ctx, `select created, last_seq from streams where name = $1`, bus.StateStream).Scan(&created, &seq)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("read the known stream: %w", err)
	}
	if created != streamTime(stream) {
		seq = 0
	}
	last, err := stream.GetLastMsgForSubject(ctx, Filter("", cfg.Entity, false))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look at the last %s: %w", cfg.Entity, err)
	}
	return last.Sequence > uint64(seq), nil
}

// takeBack gives what the history lacks to the handler, and then to the history. Nobody is kept from anything by a look.
func (cfg TakeBackConfig) takeBack(ctx context.Context, tx pgx.Tx, batch []Event) error {
	at, err := cfg.lost(ctx, tx, batch)
	if err != nil || len(at) == 0 {
		return err
	}
	if err := cfg.Lock(ctx, tx); err != nil {
		return err
	}
	if at, err = cfg.lost(ctx, tx, batch); err != nil || len(at) == 0 {
		return err
	}
	lost, back := make([]Event, len(at)), &pgx.Batch{}
	for i, n := range at {
		e := batch[n]
		lost[i] = e
		if e.Payload == nil {
			e.Payload = []byte{} // an empty message is no NULL
		}
		back.Queue(`insert into history (entity, connection, key, revision, id, type, run, cause, source, time, traceparent, payload)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			e.Entity, e.Connection, e.Key, e.Revision, e.ID, e.Type, e.Run, e.Cause, e.Source, e.Time, e.TraceParent, e.Payload)
	}
	if err := cfg.Handler(ctx, tx, lost); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, back).Close(); err != nil {
		return fmt.Errorf("put events back into the history: %w", err)
	}
	return nil
}

// lost says which events of a batch the history does not have.
func (cfg TakeBackConfig) lost(ctx context.Context, tx pgx.Tx, batch []Event) ([]int, error) {
	connections, keys, revisions := make([]string, len(batch)), make([]string, len(batch)), make([]int64, len(batch))
	for i, e := range batch {
		connections[i], keys[i], revisions[i] = e.Connection, e.Key, e.Revision
	}
	rows, err := tx.Query(ctx, `
		select n::int - 1 from unnest($2::text[], $3::text[], $4::bigint[]) with ordinality as t(connection, key, revision, n)
		where not exists (select from history h where h.entity = $1 and h.connection = t.connection and h.key = t.key and h.revision >= t.revision)
		order by n`, cfg.Entity, connections, keys, revisions)
	if err != nil {
		return nil, fmt.Errorf("compare with the history: %w", err)
	}
	at, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, fmt.Errorf("compare with the history: %w", err)
	}
	return at, nil
}
