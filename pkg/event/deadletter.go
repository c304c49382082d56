package event

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc/list"
)

// ErrNoDeadLetter: there is no dead letter of that id (any more).
var ErrNoDeadLetter = errors.New("no such dead letter")

// DeadLetter is a message that could not be digested.
type DeadLetter struct {
	ID             string
	Entity         string
	Subject        string
	StreamSequence uint64
	Type           string
	Connection     string
	Key            string
	Reason         string
	Headers        nats.Header
	Payload        []byte
	Time           time.Time
}

// Event reads the dead letter's message.
func (d DeadLetter) Event() (Event, error) {
	e, err := decode(d.Subject, d.Headers, d.Payload)
	e.StreamSequence = d.StreamSequence
	return e, err
}

// bury records a message as dead and ends its delivery. The error is one that passes.
func (c *consumer) bury(ctx context.Context, r received, reason error) error {
	subject, err := parseSubject(r.msg.Subject())
	if err != nil {
		subject = Event{}
	}
	headers, data := nats.Header{}, r.msg.Data()
	for name, values := range r.msg.Headers() {
		for _, v := range values {
			headers[text(name)] = append(headers[text(name)], text(v))
		}
	}
	if data == nil {
		data = []byte{}
	}
	seq := r.event.StreamSequence
	err = postgres.InTx(ctx, c.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `insert into dead_letters (entity, subject, stream_seq, type, connection, key, reason, headers, payload)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			on conflict (subject, stream_seq) do update set reason = excluded.reason, headers = excluded.headers,
				payload = excluded.payload, time = now()`,
			c.Entity, text(r.msg.Subject()), int64(seq), text(r.event.Type), subject.Connection, text(subject.Key), text(reason.Error()), headers, data)
		if err != nil {
			return err
		}
		return c.delivered(ctx, tx, []received{r})
	})
	if err != nil {
		return Transient(fmt.Errorf("record dead letter: %w", err))
	}
	c.metrics.buried(ctx)
	c.Log.Error("event cannot be digested and went to the dead letters",
		"service", c.Service, "subject", r.msg.Subject(), "stream_seq", seq, "event", r.event.ID, "err", reason)
	_ = r.msg.TermWithReason("see dead_letters of " + c.Service)
	return nil
}

// text drops what Postgres cannot store as text, so that a message cannot even fail to be buried.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

var deadLetters = list.Spec{
	Noun: "dead letters",
	Fields: map[string]list.Field{
		"id": list.Text("id::text"), "entity": list.Text("entity"), "subject": list.Text("subject"), "type": list.Text("type"),
		"connection": list.Text("connection"), "key": list.Text("key"), "reason": list.Text("reason"), "time": list.Time("time"),
	},
	Key:          []string{"id"},
	DefaultOrder: "time desc",
	Search:       []string{"reason", "type", "key"},
}

// DeadLetters shows a page of dead letters, the newest first unless the request orders them otherwise, and gives the
// token of the next page: "" after the last.
func DeadLetters(ctx context.Context, db list.DB, req list.Request) ([]DeadLetter, string, error) {
	q, err := deadLetters.Query(req)
	if err != nil {
		return nil, "", err
	}
	return list.Collect(ctx, db, q, list.Select{Columns: deadLetterColumns, From: "dead_letters"}, scanDeadLetter)
}

const deadLetterColumns = `id::text, entity, subject, stream_seq, type, connection, key, reason, headers, payload, time`

func scanDeadLetter(r pgx.CollectableRow) (d DeadLetter, err error) {
	err = r.Scan(&d.ID, &d.Entity, &d.Subject, &d.StreamSequence, &d.Type, &d.Connection, &d.Key, &d.Reason, &d.Headers, &d.Payload, &d.Time)
	return d, err
}

// Redrive gives a dead letter to the handler of its entity once more and removes it if that
// succeeds; otherwise it stays, with the new reason. ErrNoDeadLetter when there is none of that id.
func Redrive(ctx context.Context, pool *pgxpool.Pool, id string, handlers map[string]Handler) error {
	err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select `+deadLetterColumns+` from dead_letters where id::text = $1 for update`, id)
		if err != nil {
			return Transient(err)
		}
		d, err := pgx.CollectExactlyOneRow(rows, scanDeadLetter)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNoDeadLetter
		}
		if err != nil {
			return Transient(err)
		}
		h, ok := handlers[d.Entity]
		if !ok {
			return Transient(fmt.Errorf("this service has no handler for %q any more; discard the dead letter", d.Entity))
		}
		e, err := d.Event()
		if err != nil {
			return err
		}
		if err := call(remote(ctx, e.TraceParent), h, tx, []Event{e}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `delete from dead_letters where id::text = $1`, id)
		return err
	})
	if err == nil || errors.Is(err, ErrNoDeadLetter) || passes(err) {
		return err
	}
	if _, uerr := pool.Exec(ctx, `update dead_letters set reason = $2 where id::text = $1`, id, err.Error()); uerr != nil {
		return errors.Join(err, uerr)
	}
	return fmt.Errorf("redrive dead letter %s: %w", id, err)
}

// Discard removes a dead letter for good. ErrNoDeadLetter when there is none of that id.
func Discard(ctx context.Context, pool *pgxpool.Pool, id string) error {
	tag, err := pool.Exec(ctx, `delete from dead_letters where id::text = $1`, id)
	if err != nil {
		return fmt.Errorf("discard dead letter %s: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNoDeadLetter
	}
	return nil
}
