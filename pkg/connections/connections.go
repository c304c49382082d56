// Package connections is what every service but the console knows of connections: a copy of their
// settings in the service's own schema, kept by events, and the clients made from them. Secrets are
// asked of the console over gRPC when they are needed, and are kept in memory only.
package connections

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema returns the table of this package. It lives in the service's own schema.
func Schema() postgres.Migrations { return postgres.Embedded("connections", migrations) }

// Entity of the events that carry connections.
const Entity = "connection"

// ErrUnknown: no event about that connection has arrived.
var ErrUnknown = errors.New("unknown connection")

// Change of a connection's settings. Before is nil for a new one; a deleted one has Deleted set in After.
type Change struct {
	Before, After *connectionv1.Connection
	Event         event.Event
}

// Save stores a batch of connection events, for use in an event handler, and returns what changed by it.
func Save(ctx context.Context, tx pgx.Tx, batch []event.Event) ([]Change, error) {
	var changes []Change
	for _, e := range batch { // a deployment has few connections, and they change rarely
		after := &connectionv1.Connection{}
		if err := e.Unmarshal(after); err != nil {
			return nil, err
		}
		before, revision, err := read(ctx, tx, e.Key, " for update")
		if err != nil && !errors.Is(err, ErrUnknown) {
			return nil, err
		}
		if revision >= e.Revision {
			continue
		}
		body, err := proto.Marshal(after)
		if err != nil {
			return nil, fmt.Errorf("connection %s: %w", e.Key, err)
		}
		_, err = tx.Exec(ctx, `insert into connections (slug, revision, body) values ($1, $2, $3)
			on conflict (slug) do update set revision = excluded.revision, body = excluded.body`, e.Key, e.Revision, body)
		if err != nil {
			return nil, fmt.Errorf("store connection %s: %w", e.Key, err)
		}
		changes = append(changes, Change{before, after, e})
	}
	return changes, nil
}

// Querier is a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Read returns one connection: ErrUnknown when there is none. Deleted ones are returned too.
func Read(ctx context.Context, q Querier, slug string) (*connectionv1.Connection, error) {
	c, _, err := read(ctx, q, slug, "")
	return c, err
}

// Lock is Read, and keeps the settings as they are until the transaction ends.
func Lock(ctx context.Context, tx pgx.Tx, slug string) (*connectionv1.Connection, error) {
	c, _, err := read(ctx, tx, slug, " for share")
	return c, err
}

func read(ctx context.Context, q Querier, slug, lock string) (*connectionv1.Connection, int64, error) {
	rows, err := q.Query(ctx, `select slug, revision, body from connections where slug = $1`+lock, slug)
	if err != nil {
		return nil, 0, fmt.Errorf("read connection %s: %w", slug, err)
	}
	x, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, fmt.Errorf("%w %q", ErrUnknown, slug)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read connection %s: %w", slug, err)
	}
	return x.connection, x.revision, nil
}

// All returns every connection that is not deleted, by slug.
func All(ctx context.Context, q Querier) ([]*connectionv1.Connection, error) {
	rows, err := q.Query(ctx, `select slug, revision, body from connections`)
	if err != nil {
		return nil, fmt.Errorf("read connections: %w", err)
	}
	list, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("read connections: %w", err)
	}
	var out []*connectionv1.Connection
	for _, x := range list {
		if !x.connection.GetDeleted() {
			out = append(out, x.connection)
		}
	}
	slices.SortFunc(out, func(a, b *connectionv1.Connection) int { return strings.Compare(a.GetSlug(), b.GetSlug()) })
	return out, nil
}

type stored struct {
	connection *connectionv1.Connection
	revision   int64
}

func scan(r pgx.CollectableRow) (stored, error) {
	var slug string
	var body []byte
	x := stored{connection: &connectionv1.Connection{}}
	if err := r.Scan(&slug, &x.revision, &body); err != nil {
		return x, err
	}
	if err := proto.Unmarshal(body, x.connection); err != nil {
		return x, fmt.Errorf("connection %s: %w", slug, err)
	}
	return x, nil
}
