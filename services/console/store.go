package console

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations of the console's own tables.
func Migrations() postgres.Migrations { return postgres.Embedded(Service, files) }

// Entity and types of the events.
const (
	entity      = "connection"
	typeChanged = "seatline.connection.changed.v1"
	typeDeleted = "seatline.connection.deleted.v1"
	source      = "seatline/console"
)

// Names of the secrets of a connection.
const (
	fieldKey    = "giacom_api_key"
	fieldSecret = "halo_client_secret"
)

// lockWrites makes writers take turns until the transaction ends. Connections change rarely, and so
// what one writer has checked across all of them cannot change under it.
func lockWrites(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('seatline connections'), hashtext(current_schema()))`)
	if err != nil {
		return fmt.Errorf("wait for other changes to connections: %w", err)
	}
	return nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// read returns a connection, deleted or not; nil when the slug was never used.
func read(ctx context.Context, q querier, slug string) (*connectionv1.Connection, error) {
	rows, err := q.Query(ctx, `select body from connections where slug = $1`, slug)
	if err != nil {
		return nil, fmt.Errorf("read connection %s: %w", slug, err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read connection %s: %w", slug, err)
	}
	return c, nil
}

// neighbours are the other connections to the same host of Halo that are not deleted, by slug.
func neighbours(ctx context.Context, q querier, c *connectionv1.Connection) ([]*connectionv1.Connection, error) {
	rows, err := q.Query(ctx, `select body from connections
		where slug <> $1 and not deleted and split_part(instance, '/', 1) = split_part($2, '/', 1) order by slug`,
		c.GetSlug(), c.GetHalo().GetInstance())
	if err != nil {
		return nil, fmt.Errorf("read connections beside %s: %w", c.GetSlug(), err)
	}
	list, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("read connections beside %s: %w", c.GetSlug(), err)
	}
	return list, nil
}

func scan(row pgx.CollectableRow) (*connectionv1.Connection, error) {
	var body []byte
	if err := row.Scan(&body); err != nil {
		return nil, err
	}
	c := &connectionv1.Connection{}
	if err := proto.Unmarshal(body, c); err != nil {
		return nil, fmt.Errorf("stored connection: %w", err)
	}
	return c, nil
}

// write stores c and publishes it, within the writers' lock. byPerson moves the etag on.
func write(ctx context.Context, tx pgx.Tx, c *connectionv1.Connection, now time.Time, byPerson bool) error {
	var revision, edition int64
	err := tx.QueryRow(ctx, `select revision, edition from connections where slug = $1`, c.GetSlug()).Scan(&revision, &edition)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("read connection %s: %w", c.GetSlug(), err)
	}
	revision = event.NewRevision(revision, now)
	if byPerson {
		edition = revision
		c.UpdateTime = timestamppb.New(now)
	}
	if c.CreateTime == nil {
		c.CreateTime = timestamppb.New(now)
	}
	c.Etag = strconv.FormatInt(edition, 36)
	body, err := proto.Marshal(c)
	if err != nil {
		return fmt.Errorf("connection %s: %w", c.GetSlug(), err)
	}
	_, err = tx.Exec(ctx, `
		insert into connections (slug, revision, edition, display_name, enabled, mode, account, instance, deleted, create_time, update_time, body)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		on conflict (slug) do update set revision = excluded.revision, edition = excluded.edition, display_name = excluded.display_name,
			enabled = excluded.enabled, mode = excluded.mode, account = excluded.account, instance = excluded.instance,
			deleted = excluded.deleted, update_time = excluded.update_time, body = excluded.body`,
		c.GetSlug(), revision, edition, c.GetDisplayName(), c.GetEnabled(), int32(c.GetMode()), c.GetGiacom().GetAccount(),
		c.GetHalo().GetInstance(), c.GetDeleted(), c.GetCreateTime().AsTime(), c.GetUpdateTime().AsTime(), body)
	if err != nil {
		return fmt.Errorf("store connection %s: %w", c.GetSlug(), err)
	}
	kind := typeChanged
	if c.GetDeleted() {
		kind = typeDeleted
	}
	return event.Publish(ctx, tx, event.Event{
		Type: kind, Entity: entity, Connection: c.GetSlug(), Key: c.GetSlug(), Revision: revision, Source: source, Time: now, Data: outward(c),
	})
}

// outward is a connection as the bus may see it: of secrets only that they are there, and their version.
func outward(c *connectionv1.Connection) *connectionv1.Connection {
	c = proto.CloneOf(c)
	for _, ref := range []*connectionv1.SecretRef{c.GetGiacom().GetApiKey(), c.GetHalo().GetClientSecret()} {
		if ref != nil {
			ref.LastFour = ""
		}
	}
	return c
}

// sealed is a row of secrets.
type sealed struct {
	Field    string
	Version  int64
	LastFour string
	Sealed   []byte
}

func readSecrets(ctx context.Context, q querier, slug string) (map[string]sealed, error) {
	rows, err := q.Query(ctx, `select field, version, last_four, sealed from secrets where slug = $1 and sealed is not null`, slug)
	if err != nil {
		return nil, fmt.Errorf("read the secrets of connection %s: %w", slug, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sealed])
	if err != nil {
		return nil, fmt.Errorf("read the secrets of connection %s: %w", slug, err)
	}
	all := map[string]sealed{}
	for _, s := range list {
		all[s.Field] = s
	}
	return all, nil
}

func writeSecret(ctx context.Context, tx pgx.Tx, sealer *Sealer, slug, field string, ref *connectionv1.SecretRef, secret telemetry.Secret, now time.Time) error {
	box, err := sealer.seal(slug, field, secret)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `insert into secrets (slug, field, version, last_four, sealed, update_time) values ($1, $2, $3, $4, $5, $6)
		on conflict (slug, field) do update set version = excluded.version, last_four = excluded.last_four, sealed = excluded.sealed,
			update_time = excluded.update_time`, slug, field, ref.GetVersion(), ref.GetLastFour(), box, now)
	if err != nil {
		return fmt.Errorf("store %s of connection %s: %w", field, slug, err)
	}
	return nil
}

// forgetSecrets drops what is sealed, for good.
func forgetSecrets(ctx context.Context, tx pgx.Tx, slug string, now time.Time) error {
	_, err := tx.Exec(ctx, `update secrets set sealed = null, last_four = '', update_time = $2 where slug = $1`, slug, now)
	if err != nil {
		return fmt.Errorf("drop the secrets of connection %s: %w", slug, err)
	}
	return nil
}
