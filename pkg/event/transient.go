package event

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Transient marks an error of a handler as one that passes: the events are retried for as long as
// it takes, and never become dead letters.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return transientError{err}
}

type transientError struct{ error }

func (e transientError) Unwrap() error { return e.error }

// passes reports whether trying again can help without the event or the code being changed. Only
// what is surely the event's fault may become a dead letter, and so any answer of Postgres passes
// unless it is about the data: a table that is missing until a migration ran must not cost events.
func passes(err error) bool {
	var marked transientError
	if errors.As(err, &marked) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "22", "23": // data exception, integrity constraint
			return false
		case "21": // cardinality violation: the same key twice in one upsert
			return false
		case "P0": // raised by a function
			return false
		}
		return true
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, pgx.ErrTxCommitRollback) || err.Error() == "closed pool" || errors.Is(err, errGeneration)
}
