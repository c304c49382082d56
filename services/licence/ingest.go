package licence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
)

// handlers of the events this service follows, by entity.
func (s *service) handlers() map[string]event.Handler {
	return map[string]event.Handler{
		connections.Entity: s.onConnections,
		"subscription":     s.onSubscriptions,
		"invoice-line":     s.onLines,
	}
}

// onSubscriptions stores what the mapper says and decides at once.
func (s *service) onSubscriptions(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	if err := takeTurn(ctx, tx, connectionsOf(batch)...); err != nil {
		return err
	}
	now := s.Clock.Now()
	changed, err := saveSubscriptions(ctx, tx, batch, now)
	if err != nil {
		return err
	}
	for _, connection := range slices.Sorted(maps.Keys(changed)) {
		_, err := tx.Exec(ctx, `insert into arrivals (connection, at) values ($1, $2)
			on conflict (connection) do update set at = greatest(arrivals.at, excluded.at)`, connection, now)
		if err != nil {
			return fmt.Errorf("note arrivals of %s: %w", connection, err)
		}
		if err := s.decideSubscriptions(ctx, tx, connection, changed[connection]); err != nil {
			return err
		}
	}
	return nil
}

// onConnections stores settings, and has everything of a connection decided anew when they matter here.
func (s *service) onConnections(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	if err := takeTurn(ctx, tx, connectionsOf(batch)...); err != nil {
		return err
	}
	changes, err := connections.Save(ctx, tx, batch)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	for _, change := range changes {
		c := change.After
		if change.Before != nil && reflect.DeepEqual(settingsOf(change.Before), settingsOf(c)) {
			continue
		}
		_, err = tx.Exec(ctx, `
			insert into revisits (connection, key, due_at) select connection, key, $2 from subscriptions where connection = $1 order by key
			on conflict (connection, key) do update set due_at = excluded.due_at`, c.GetSlug(), now)
		if err != nil {
			return fmt.Errorf("queue the licences of %s: %w", c.GetSlug(), err)
		}
		if err := s.decideReplaced(ctx, tx, settingsOf(c)); err != nil {
			return err
		}
		if !c.GetEnabled() || c.GetDeleted() || c.GetHalo().GetInstance() == "" {
			continue
		}
		known, err := readInstance(ctx, tx, c.GetHalo().GetInstance())
		if err != nil {
			return err
		}
		if known.ListedAt.IsZero() { // Halo's licences are needed before the first can be created
			if err := wantListing(ctx, tx, c.GetHalo().GetInstance(), now); err != nil {
				return err
			}
		}
	}
	return nil
}

// onLines stores what billing says of lines; licences that it concerns are decided anew soon.
func (s *service) onLines(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	if err := takeTurn(ctx, tx, connectionsOf(batch)...); err != nil {
		return err
	}
	changed, err := saveLines(ctx, tx, batch, s.Clock.Now())
	if err != nil {
		return err
	}
	return s.onReplaced(ctx, tx, changed)
}

// revisitSome decides anew about up to 500 queued keys of one connection.
func (s *service) revisitSome(ctx context.Context) (n int, err error) {
	err = postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		now := s.Clock.Now()
		var connection string
		err := tx.QueryRow(ctx, `select connection from revisits where due_at <= $1 order by due_at limit 1`, now).Scan(&connection)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for queued licences: %w", err)
		}
		if err := takeTurn(ctx, tx, connection); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			delete from revisits where connection = $2 and key in (
				select key from revisits where connection = $2 and due_at <= $1 order by key limit 500 for update skip locked)
			returning key`, now, connection)
		if err != nil {
			return fmt.Errorf("take queued licences: %w", err)
		}
		keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(keys) == 0 {
			return err
		}
		n = len(keys)
		slices.Sort(keys)
		return s.decideKeys(ctx, tx, connection, keys)
	})
	return n, err
}

// takeTurn makes this the only transaction that decides about these connections. What decisions rest on (settings,
// subscriptions, lines, what Halo shows) changes under the same lock, and whoever changes it queues what it concerns: so
// a decision has either seen the change or is made anew.
func takeTurn(ctx context.Context, tx pgx.Tx, names ...string) error {
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		_, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended('licence ' || current_schema() || ' ' || $1, 0))`, name)
		if err != nil {
			return fmt.Errorf("wait for the turn of connection %s: %w", name, err)
		}
	}
	return nil
}

func connectionsOf(batch []event.Event) []string {
	names := make([]string, len(batch))
	for i, e := range batch {
		names[i] = e.Connection
	}
	return names
}

// patience bounds how long adoption waits for subscriptions to stop coming in.
const patience = time.Minute

// unmarshal is proto.Unmarshal for what this service itself has written.
func unmarshal[M proto.Message](b []byte, m M) (M, error) {
	if err := proto.Unmarshal(b, m); err != nil {
		return m, fmt.Errorf("stored %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return m, nil
}
