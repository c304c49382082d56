package event

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
)

// checker compares the stream with the history, in the background of a relay's tenure.
type checker struct {
	*tenure
	now  chan struct{}
	done chan struct{}
	end  context.CancelFunc
}

// checks starts a checker, which works every CheckEvery and whenever something is suspect.
func (t *tenure) checks(ctx context.Context) *checker {
	ctx, cancel := context.WithCancel(ctx)
	c := &checker{tenure: t, now: make(chan struct{}, 1), done: make(chan struct{}), end: cancel}
	go c.loop(ctx)
	return c
}

func (c *checker) stop() {
	c.end()
	<-c.done
}

func (c *checker) loop(ctx context.Context) {
	defer close(c.done)
	every := c.CheckEvery
	if every == 0 {
		every = 6 * time.Hour
	}
	var tick <-chan time.Time
	if every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		case <-c.now:
		}
		found, err := c.compare(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.Log.Warn("comparison of stream and history failed", "service", c.Service, "err", err)
		case found != Difference{}:
			c.Log.Warn("stream and history differed", "service", c.Service, "missing_in_stream", found.Missing,
				"newer_in_stream", found.Ahead, "unknown_here", found.Unknown)
		}
	}
}

// suspect starts a comparison when the stream holds something of this schema's entities beyond
// last, the sequence that the schema remembers as its last: it was restored from a backup, or
// (harmlessly) died between publishing and noting it.
func (c *checker) suspect(ctx context.Context, last uint64) error {
	stream, err := c.Bus.JS.Stream(ctx, bus.StateStream)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", bus.StateStream, err)
	}
	entities, err := c.owned(ctx)
	if err != nil {
		return err
	}
	for _, entity := range entities {
		m, err := stream.GetLastMsgForSubject(ctx, Filter("", entity, false))
		if err == jetstream.ErrMsgNotFound {
			continue
		}
		if err != nil {
			return fmt.Errorf("look at the last %s: %w", entity, err)
		}
		if m.Sequence > last {
			select {
			case c.now <- struct{}{}:
			default:
			}
			return nil
		}
	}
	return nil
}

// owned returns the entities that this schema publishes, by hopping from one to the next along the
// history's primary key.
func (c *checker) owned(ctx context.Context) ([]string, error) {
	rows, err := c.Pool.Query(ctx, `
		with recursive e(entity) as (
			select min(entity) from history
			union all
			select (select min(h.entity) from history h where h.entity > e.entity) from e where e.entity is not null
		) select entity from e where entity is not null`)
	if err != nil {
		return nil, fmt.Errorf("read the schema's entities: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the schema's entities: %w", err)
	}
	return found, nil
}

// Difference is what a comparison of stream and history found.
type Difference struct {
	// Missing entities were not in the stream, or only in an older revision; they were sent again.
	Missing int64
	// Ahead entities had a newer revision in the stream than here, as after a restore. Consumers
	// would ignore the state that holds here, so it was sent under a revision above the stream's.
	Ahead int64
	// Unknown entities are in the stream but not here; nothing is done about them.
	Unknown int64
}

// compare reads the headers of all messages of this schema's entities and puts right what differs.
func (c *checker) compare(ctx context.Context) (Difference, error) {
	var d Difference
	entities, err := c.owned(ctx)
	if err != nil || len(entities) == 0 {
		return d, err
	}
	conn, err := c.Pool.Acquire(ctx)
	if err != nil {
		return d, fmt.Errorf("compare stream and history: %w", err)
	}
	defer conn.Release()
	began := time.Now()
	if _, err := conn.Exec(ctx, `create temp table if not exists in_stream (entity text, connection text, key text, revision bigint)`); err != nil {
		return d, fmt.Errorf("compare stream and history: %w", err)
	}
	defer conn.Exec(context.WithoutCancel(ctx), `drop table if exists in_stream`)
	src := &headers{ctx: ctx}
	if err := src.open(c.Bus, entities); err != nil {
		return d, err
	}
	defer src.close()
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"in_stream"}, []string{"entity", "connection", "key", "revision"}, src); err != nil {
		return d, fmt.Errorf("compare stream and history: %w", err)
	}
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		d, err = reconcile(ctx, tx, entities, began)
		return err
	})
	return d, err
}

// reconcile compares the table in_stream with the history. What was written after the stream was
// read is left alone, and so is what still waits in the outbox.
func reconcile(ctx context.Context, tx pgx.Tx, entities []string, began time.Time) (d Difference, err error) {
	_, err = tx.Exec(ctx, `create temp table latest on commit drop as
		select h.entity, h.connection, h.key, h.revision, coalesce(max(s.revision), 0) as streamed
		from (
			select distinct on (entity, connection, key) entity, connection, key, revision, recorded_at
			from history where entity = any($1) order by entity, connection, key, revision desc
		) h left join in_stream s using (entity, connection, key)
		where h.recorded_at < $2 and not exists (select from outbox o
			where o.entity = h.entity and o.connection = h.connection and o.key = h.key and not o.log)
		group by h.entity, h.connection, h.key, h.revision
		having coalesce(max(s.revision), 0) <> h.revision`, entities, began)
	if err != nil {
		return d, fmt.Errorf("find differences: %w", err)
	}
	tag, err := tx.Exec(ctx, `
		insert into outbox (entity, connection, key, revision, run)
		select h.entity, h.connection, h.key, h.revision, h.run from latest l join history h using (entity, connection, key, revision) where l.streamed < l.revision`)
	if err != nil {
		return d, fmt.Errorf("send what is missing: %w", err)
	}
	d.Missing = tag.RowsAffected()
	// One above the stream's and not the present time: a change that is being written just now has
	// the present time for its revision, and must win over this one.
	d.Ahead, err = PublishSelect(ctx, tx, `
		select h.type, h.entity, h.connection, h.key, l.streamed + 1 as revision, h.run, h.cause, h.source, h.payload
		from latest l join history h using (entity, connection, key, revision) where l.streamed > l.revision`)
	if err != nil {
		return d, fmt.Errorf("send what the stream is ahead of: %w", err)
	}
	err = tx.QueryRow(ctx, `select count(*) from in_stream s where not exists (
		select from history h where h.entity = s.entity and h.connection = s.connection and h.key = s.key)`).Scan(&d.Unknown)
	if err != nil {
		return d, fmt.Errorf("count unknown entities: %w", err)
	}
	return d, nil
}

// headers gives what is in the stream to COPY, row by row, so that no more than a few messages are
// in memory. It implements pgx.CopyFromSource.
type headers struct {
	ctx  context.Context
	iter jetstream.MessagesContext
	left uint64
	row  Event
	err  error
}

func (h *headers) open(b *bus.Conn, entities []string) error {
	filters := make([]string, len(entities))
	for i, e := range entities {
		filters[i] = Filter("", e, false)
	}
	consumer, err := b.JS.OrderedConsumer(h.ctx, bus.StateStream, jetstream.OrderedConsumerConfig{FilterSubjects: filters, HeadersOnly: true})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", bus.StateStream, err)
	}
	if h.left = consumer.CachedInfo().NumPending; h.left == 0 {
		return nil
	}
	if h.iter, err = consumer.Messages(); err != nil {
		return fmt.Errorf("read stream %s: %w", bus.StateStream, err)
	}
	return nil
}

func (h *headers) close() {
	if h.iter != nil {
		h.iter.Stop()
	}
}

// Next reads the next message that is an event.
func (h *headers) Next() bool {
	for h.left > 0 {
		m, err := h.iter.Next(jetstream.NextContext(h.ctx))
		if err != nil {
			h.err = fmt.Errorf("read stream %s: %w", bus.StateStream, err)
			return false
		}
		meta, err := m.Metadata()
		if err != nil {
			h.err = fmt.Errorf("read stream %s: %w", bus.StateStream, err)
			return false
		}
		h.left = meta.NumPending
		if h.row, err = DecodeMsg(m); err == nil {
			return true
		}
	}
	return false
}

func (h *headers) Values() ([]any, error) {
	return []any{h.row.Entity, h.row.Connection, h.row.Key, h.row.Revision}, nil
}

func (h *headers) Err() error { return h.err }
