package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// recoverTime bounds reading a few connections off the bus.
const recoverTime = 30 * time.Second

// recover takes back what the bus knows of connections and this database does not, because it was restored from an older
// dump. Other services find out again from Giacom and Halo what an older dump of theirs lacks; settings come from people,
// and whoever switched writing off, or deleted a connection, must not find it at work again. It is called before anything
// is answered or sent: what this database holds would go out as the newest otherwise.
//
// Secrets are not on the bus. One that was changed after the dump has to be entered again; until then the older one is
// tried, under the version of the newer: services that have the newer one in memory go on with it.
func (s *server) recover(ctx context.Context, from *bus.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	var newer []event.Event
	reading, done := context.WithCancel(ctx)
	defer done()
	err := event.Subscribe(reading, from, event.SubscribeConfig{
		Entity: entity, SnapshotComplete: done,
		Handler: func(ctx context.Context, e event.Event) error {
			known, err := revision(ctx, s.pool, e.Key)
			if err == nil && known < e.Revision {
				newer = append(newer, e)
			}
			return err
		},
		Malformed: func(subject string, err error) {
			s.log.Warn("a connection on the bus cannot be read", "subject", subject, "err", err)
		},
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound): // it will be made, and filled from here
		return nil
	case err == nil:
		err = ctx.Err() // of the time limit
	}
	if err != nil {
		return fmt.Errorf("look whether the bus has newer connections: %w", err)
	}
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockWrites(ctx, tx); err != nil {
			return err
		}
		var deleted, live []*connectionv1.Connection
		at := map[string]int64{}
		for _, e := range newer {
			c := &connectionv1.Connection{}
			if err := e.Unmarshal(c); err != nil {
				return err
			}
			if known, err := revision(ctx, tx, e.Key); err != nil || known >= e.Revision {
				if err != nil {
					return err
				}
				continue // another replica was faster
			}
			at[e.Key] = e.Revision
			if c.GetDeleted() {
				deleted = append(deleted, c)
			} else {
				live = append(live, c)
			}
		}
		for _, c := range slices.Concat(deleted, live) { // an account that was freed may be another's since
			if err := s.takeBack(ctx, tx, c, at[c.GetSlug()]); err != nil {
				return fmt.Errorf("take back connection %s: %w", c.GetSlug(), err)
			}
		}
		return nil
	})
}

// revision of a connection as it is stored; 0 for none.
func revision(ctx context.Context, q querier, slug string) (n int64, err error) {
	rows, err := q.Query(ctx, `select coalesce(max(revision), 0) from connections where slug = $1`, slug)
	if err != nil {
		return 0, fmt.Errorf("read connection %s: %w", slug, err)
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}

// takeBack stores a connection as it was on the bus, above its revision there.
func (s *server) takeBack(ctx context.Context, tx pgx.Tx, c *connectionv1.Connection, above int64) error {
	old, err := read(ctx, tx, c.GetSlug())
	if err != nil {
		return err
	}
	now := s.clock.Now()
	if least := time.UnixMicro(above + 1); now.Before(least) {
		now = least
	}
	reason := "this database was restored from an older dump; the settings are those that were in force"
	versions := map[string]int64{}
	for _, x := range []struct {
		field string
		ref   *connectionv1.SecretRef
	}{{fieldKey, c.GetGiacom().GetApiKey()}, {fieldSecret, c.GetHalo().GetClientSecret()}} {
		if x.ref == nil || c.GetDeleted() {
			continue
		}
		var version int64
		err := tx.QueryRow(ctx, `select version, last_four from secrets where slug = $1 and field = $2`, c.GetSlug(), x.field).Scan(&version, &x.ref.LastFour)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("read %s: %w", x.field, err)
		}
		if version < x.ref.GetVersion() {
			reason += "; " + x.field + " was changed after the dump: enter it again"
			versions[x.field] = x.ref.GetVersion()
		}
	}
	if err := write(ctx, tx, c, now, true); err != nil {
		return err
	}
	for field, version := range versions {
		_, err := tx.Exec(ctx, `insert into secrets (slug, field, version, last_four, update_time) values ($1, $2, $3, '', $4)
			on conflict (slug, field) do update set version = excluded.version`, c.GetSlug(), field, version, now)
		if err != nil {
			return fmt.Errorf("note the version of %s: %w", field, err)
		}
	}
	if c.GetDeleted() {
		if err := forgetSecrets(ctx, tx, c.GetSlug(), now); err != nil {
			return err
		}
	}
	s.log.WarnContext(ctx, "connection taken back from the bus", "connection", c.GetSlug(), "reason", reason)
	return record(ctx, tx, deed{slug: c.GetSlug(), what: "recovered", who: "seatline", reason: reason, fields: differences(old, c)}, now)
}
