package console

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
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
	return event.TakeBack(ctx, event.TakeBackConfig{
		Bus: from, Pool: s.pool, Entity: entity, Lock: lockWrites, Handler: s.takeBackAll,
		Batch: math.MaxInt, // all in one transaction: an account that one connection freed may be another's since
		Malformed: func(subject string, err error) {
			s.log.Warn("a connection on the bus cannot be read", "subject", subject, "err", err)
		},
	})
}

// takeBackAll stores connections that were lost, those first that were deleted.
func (s *server) takeBackAll(ctx context.Context, tx pgx.Tx, lost []event.Event) error {
	var deleted, live []*connectionv1.Connection
	at := map[string]int64{}
	for _, e := range lost {
		c := &connectionv1.Connection{}
		if err := e.Unmarshal(c); err != nil {
			return err
		}
		at[e.Key] = e.Revision
		if c.GetDeleted() {
			deleted = append(deleted, c)
		} else {
			live = append(live, c)
		}
	}
	for _, c := range slices.Concat(deleted, live) {
		if err := s.takeBack(ctx, tx, c, at[c.GetSlug()]); err != nil {
			return fmt.Errorf("take back connection %s: %w", c.GetSlug(), err)
		}
	}
	return nil
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
