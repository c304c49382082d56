package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/telemetry"
)

// ownDatabase makes a database for a demonstration on a server that belongs to someone: nothing that
// is there already is touched. drop removes it.
func ownDatabase(ctx context.Context, server telemetry.Secret) (own telemetry.Secret, drop func(), err error) {
	name := "seatline_demo_" + strings.ToLower(rand.Text()[:8])
	if err := execute(ctx, server, "create database "+name); err != nil {
		return "", nil, fmt.Errorf("make the database %s for the demonstration: %w: give a user that may create databases, or leave DATABASE_URL out", name, err)
	}
	drop = func() {
		// The demonstration's context has ended by now. A database that stays behind does no harm.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = execute(ctx, server, "drop database if exists "+name+" with (force)")
	}
	return withDatabase(server, name), drop, nil
}

func execute(ctx context.Context, server telemetry.Secret, sql string) error {
	cfg, err := pgx.ParseConfig(server.Reveal())
	if err != nil { // its text would show the password
		return fmt.Errorf("the database address is not a PostgreSQL URL or connection string: check DATABASE_URL")
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// withDatabase is the address of another database on the same server.
func withDatabase(server telemetry.Secret, name string) telemetry.Secret {
	raw := server.Reveal()
	if u, err := url.Parse(raw); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		u.Path = "/" + name
		query := u.Query()
		query.Del("dbname")
		u.RawQuery = query.Encode()
		return telemetry.Secret(u.String())
	}
	return telemetry.Secret(raw + " dbname=" + name) // the last one counts
}
