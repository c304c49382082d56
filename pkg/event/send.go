package event

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"seatline.dev/pkg/bus"
)

// row is an event in the outbox.
type row struct {
	Event
	// superseded: the history has a newer revision, which is in the outbox too or already sent. Sending this one could only
	// put an old state over a newer one. Or it has no such revision any more, which was pruned, and is no news to anybody.
	superseded bool
}

// head reads the oldest rows of the outbox.
func (t *tenure) head(ctx context.Context) ([]row, error) {
	rows, err := t.conn.Query(ctx, `
		select o.seq, o.entity, o.connection, o.key, o.revision, o.run, o.log, coalesce(o.id, h.id, ''), coalesce(o.type, h.type, ''),
			coalesce(o.cause, h.cause, ''), coalesce(o.source, h.source, ''), coalesce(o.time, h.time, now()),
			coalesce(o.traceparent, h.traceparent, ''), coalesce(o.payload, h.payload), not o.log and h.revision is distinct from o.revision
		from (select * from outbox order by seq limit $1) o
		left join lateral (select * from history h where not o.log
			and h.entity = o.entity and h.connection = o.connection and h.key = o.key order by h.revision desc limit 1) h on true
		order by o.seq`, relayRows)
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	found, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (row, error) {
		var o row
		err := r.Scan(&o.Sequence, &o.Entity, &o.Connection, &o.Key, &o.Revision, &o.Run, &o.Log, &o.ID, &o.Type,
			&o.Cause, &o.Source, &o.Time, &o.TraceParent, &o.Payload, &o.superseded)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	return found, nil
}

// choose splits rows into what goes to the state stream, the newest of each key, and to the log.
func choose(rows []row) (state, log []Event) {
	newest := make(map[string]int, len(rows)) // subject to index in state
	for _, o := range rows {
		switch {
		case o.Log:
			log = append(log, o.Event)
		case o.superseded:
		default:
			subject := Subject(o.Event)
			if i, ok := newest[subject]; !ok {
				newest[subject] = len(state)
				state = append(state, o.Event)
			} else if o.Revision >= state[i].Revision {
				state[i] = o.Event
			}
		}
	}
	return state, log
}

// send publishes the rows and deletes them from the outbox once they are acknowledged.
func (t *tenure) send(ctx context.Context, rows []row) error {
	state, log := choose(rows)
	var last uint64
	marks := map[[2]string]uint64{} // connection and run to stream sequence
	if len(state) > 0 {
		ack, err := t.batch(ctx, bus.StateStream, state)
		if err != nil {
			return err
		}
		last = ack
		for i, e := range state {
			if e.Run != "" {
				// A batch is stored in one piece, so the sequences before the last one are known.
				marks[[2]string{e.Connection, e.Run}] = ack - uint64(len(state)-1-i)
			}
		}
	}
	if len(log) > 0 {
		if _, err := t.batch(ctx, bus.LogStream, log); err != nil {
			return err
		}
	}
	return t.sent(ctx, rows, last, marks)
}

// batch publishes the events as one atomic batch and returns the stream sequence of the last.
// The messages are encoded anew for each attempt, because publishing writes headers into them.
func (t *tenure) batch(ctx context.Context, stream string, events []Event) (seq uint64, err error) {
	ctx, end := t.metrics.publishing(ctx, stream, events)
	defer func() { end(err) }()
	msgs := make([]*nats.Msg, len(events))
	for i, e := range events {
		if msgs[i], err = Encode(e); err != nil {
			return 0, fmt.Errorf("outbox row %d: %w", e.Sequence, err)
		}
	}
	if !t.Bus.NC.IsConnected() {
		// Otherwise the client would keep the messages and send them whenever it is connected again.
		return 0, fmt.Errorf("publish to %s: NATS is %s", stream, t.Bus.NC.Status())
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if len(msgs) == 1 { // a batch would cost the server a file
		ack, err := t.Bus.JS.PublishMsg(limited, msgs[0], jetstream.WithRetryAttempts(0))
		if err != nil {
			return 0, fmt.Errorf("publish an event to %s: %w", stream, err)
		}
		return ack.Sequence, nil
	}
	ack, err := jetstreamext.PublishMsgBatch(limited, t.Bus.JS, msgs)
	if err != nil {
		return 0, fmt.Errorf("publish %d events to %s: %w", len(msgs), stream, err)
	}
	return ack.Sequence, nil
}

// sent forgets the rows and notes how far the stream has got with their runs.
func (t *tenure) sent(ctx context.Context, rows []row, last uint64, marks map[[2]string]uint64) error {
	seqs := make([]int64, len(rows))
	for i, o := range rows {
		seqs[i] = o.Sequence
	}
	var connections, runs []string
	var marked []int64
	for k, seq := range marks {
		connections, runs, marked = append(connections, k[0]), append(runs, k[1]), append(marked, int64(seq))
	}
	b := &pgx.Batch{}
	// Losing this transaction in a crash means to send the rows again, which harms nobody: no need
	// to wait for the disk.
	b.Queue(`begin`)
	b.Queue(`set local synchronous_commit = off`)
	b.Queue(`delete from outbox where seq = any($1)`, seqs)
	if len(runs) > 0 {
		b.Queue(`insert into run_marks (connection, run, last_seq)
			select * from unnest($1::text[], $2::text[], $3::bigint[])
			on conflict (connection, run) do update set last_seq = excluded.last_seq, time = now()
			where excluded.last_seq > run_marks.last_seq`, connections, runs, marked)
	}
	if last > 0 {
		b.Queue(`update streams set last_seq = $2 where name = $1 and last_seq < $2`, bus.StateStream, int64(last))
	}
	b.Queue(`commit`)
	if err := t.conn.SendBatch(ctx, b).Close(); err != nil {
		if !t.conn.IsClosed() {
			_, _ = t.conn.Exec(ctx, `rollback`)
		}
		return fmt.Errorf("delete %d published rows from the outbox: %w", len(rows), err)
	}
	return nil
}

// recognise makes the streams if they are missing, and sends everything again when the state
// stream is not the one this schema has published to before.
func (t *tenure) recognise(ctx context.Context, check *checker) error {
	created, err := streamCreated(ctx, t.Bus, max(t.Replicas, 1))
	if err != nil {
		return err
	}
	var known string
	var last int64
	err = t.conn.QueryRow(ctx, `select created, last_seq from streams where name = $1`, bus.StateStream).Scan(&known, &last)
	if err != nil && err != pgx.ErrNoRows {
		return fmt.Errorf("read the known stream: %w", err)
	}
	if known == created {
		if t.looked.IsZero() {
			return check.suspect(ctx, uint64(last))
		}
		return nil
	}
	if err := t.startOver(ctx, known, created); err != nil || known != "" {
		return err
	}
	return check.suspect(ctx, 0)
}

// startOver remembers a stream that this schema has not published to yet. If it published to
// another one before, the new one is empty, and everything goes out again; if it never did,
// everything is in the outbox anyway.
func (t *tenure) startOver(ctx context.Context, known, created string) error {
	return pgx.BeginFunc(ctx, t.conn, func(tx pgx.Tx) error {
		republishAll := func(ctx context.Context, tx pgx.Tx) error {
			n, err := republish(ctx, tx, "")
			t.Log.Info("the stream was made anew, publishing everything again", "service", t.Service, "events", n, "stream_created", created)
			return err
		}
		if t.Republish != nil {
			republishAll = t.Republish
		}
		if known != "" {
			if err := republishAll(ctx, tx); err != nil {
				return err
			}
		}
		// The sequences start again too.
		if _, err := tx.Exec(ctx, `delete from run_marks`); err != nil {
			return fmt.Errorf("forget run marks: %w", err)
		}
		_, err := tx.Exec(ctx, `insert into streams (name, created) values ($1, $2)
			on conflict (name) do update set created = excluded.created, last_seq = 0`, bus.StateStream, created)
		if err != nil {
			return fmt.Errorf("remember the stream: %w", err)
		}
		return nil
	})
}

// streamCreated returns the creation time of the state stream, which it makes if it is missing.
func streamCreated(ctx context.Context, b *bus.Conn, replicas int) (string, error) {
	s, err := b.JS.Stream(ctx, bus.StateStream)
	if err == nil {
		_, err = b.JS.Stream(ctx, bus.LogStream)
	}
	if err == jetstream.ErrStreamNotFound {
		if err := bus.EnsureStreams(ctx, b.JS, replicas); err != nil {
			return "", err
		}
		s, err = b.JS.Stream(ctx, bus.StateStream)
	}
	if err != nil {
		return "", fmt.Errorf("look at stream %s: %w", bus.StateStream, err)
	}
	return streamTime(s), nil
}

// streamTime returns the creation time of a stream, by which one is told from another.
func streamTime(s jetstream.Stream) string {
	return s.CachedInfo().Created.UTC().Format(time.RFC3339Nano)
}
