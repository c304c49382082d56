// Package postgres opens a service's own schema, migrates it, and runs transactions.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Migrations are *.sql files at the root of FS, applied in name order, each once and in a transaction.
type Migrations struct {
	Name string
	FS   fs.FS
}

// Embedded are the migrations that a package compiles in, in its folder "migrations".
func Embedded(name string, files embed.FS) Migrations {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // only a folder name that is not valid fails
	}
	return Migrations{Name: name, FS: sub}
}

// oldest server version that Seatline runs on, as server_version_num says it.
const oldest = 140000

// patience with a database that is not there yet, as when both start together.
const patience = 30 * time.Second

// Open connects to the database at url with schema, which is made if missing, as the search path. It
// waits up to half a minute for a database that does not accept connections yet. The pool has 8
// connections unless the url says pool_max_conns; each caches its prepared statements.
func Open(ctx context.Context, url, schema string) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The error of pgx would show the password.
		return nil, errors.New("the database address is not a PostgreSQL URL or connection string: check DATABASE_URL")
	}
	if !strings.Contains(url, "pool_max_conns") {
		cfg.MaxConns = 8
	}
	cfg.ConnConfig.RuntimeParams["search_path"] = pgx.Identifier{schema}.Sanitize()
	cfg.ConnConfig.RuntimeParams["application_name"] = "seatline-" + schema
	// Tables grow by orders of magnitude within seconds of a first import: a plan that was made for the
	// empty table and kept would go through all rows for each one.
	cfg.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	// Nobody runs this on a disk that turns: reading one row here and one there costs little more than a whole table.
	cfg.ConnConfig.RuntimeParams["random_page_cost"] = "1.1"
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := prepare(ctx, pool, schema); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open schema %s: %w", schema, err)
	}
	return pool, nil
}

func prepare(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	if err := await(ctx, pool); err != nil {
		return err
	}
	var version int
	if err := pool.QueryRow(ctx, `select current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return err
	}
	if version < oldest {
		return fmt.Errorf("the server is PostgreSQL %d, and Seatline needs %d or later: upgrade it, or set DATABASE_URL to another", version/10000, oldest/10000)
	}
	// Asked first: whoever may not create schemas can still use one that was made for them.
	var exists bool
	if err := pool.QueryRow(ctx, `select exists (select from pg_namespace where nspname = $1)`, schema).Scan(&exists); err != nil || exists {
		return err
	}
	if _, err := pool.Exec(ctx, "create schema if not exists "+pgx.Identifier{schema}.Sanitize()); err != nil && !duplicate(err) {
		return err
	}
	return nil
}

// await tries until the server lets us in or says something that waiting does not mend.
func await(ctx context.Context, pool *pgxpool.Pool) error {
	for deadline := time.Now().Add(patience); ; {
		err := pool.Ping(ctx)
		if err == nil || !starting(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// starting: nobody listens yet, its name does not resolve yet, or the server says that it is not ready
// (class 57P).
func starting(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return strings.HasPrefix(pg.Code, "57P")
	}
	var name *net.DNSError
	return errors.As(err, &name) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
}

// duplicate: two services that start together both make what is missing; the second may lose the race.
func duplicate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "23505" || pg.Code == "42P06" || pg.Code == "42P07")
}

// Migrate brings the pool's schema up to date, under an advisory lock so that replicas take turns.
func Migrate(ctx context.Context, pool *pgxpool.Pool, sets ...Migrations) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer conn.Release()
	const lock = `hashtextextended('seatline migrate ' || current_schema(), 0)`
	if _, err := conn.Exec(ctx, "select pg_advisory_lock("+lock+")"); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer conn.Exec(context.WithoutCancel(ctx), "select pg_advisory_unlock("+lock+")") //nolint:errcheck // the lock ends with the connection
	if _, err := conn.Exec(ctx, `create table if not exists schema_migrations (
		name text not null, file text not null, applied_at timestamptz not null default now(), primary key (name, file))`); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, set := range sets {
		files, err := fs.Glob(set.FS, "*.sql")
		if err != nil {
			return fmt.Errorf("migrations %s: %w", set.Name, err)
		}
		slices.Sort(files)
		for _, file := range files {
			if err := apply(ctx, conn, set, file); err != nil {
				return fmt.Errorf("migration %s/%s: %w", set.Name, file, err)
			}
		}
	}
	return nil
}

func apply(ctx context.Context, conn *pgxpool.Conn, set Migrations, file string) error {
	sql, err := fs.ReadFile(set.FS, file)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `insert into schema_migrations (name, file) values ($1, $2) on conflict do nothing`, set.Name, file)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, string(sql))
		return err
	})
}

// InTx runs f in a transaction, again when PostgreSQL asks for it (serialisation, deadlock).
func InTx(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := pgx.BeginFunc(ctx, pool, f)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || (pg.Code != "40001" && pg.Code != "40P01") || attempt == 5 {
			return err
		}
		// Two that met once would meet again if both came back at the same moment.
		select {
		case <-ctx.Done():
			return err
		case <-time.After(rand.N(time.Duration(attempt) * 20 * time.Millisecond)):
		}
	}
}
