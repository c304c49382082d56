// Package postgrestest gives each test a schema of its own on a real PostgreSQL: DATABASE_URL, or a
// private server that lives as long as the test process.
package postgrestest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/postgres/private"
)

// server starts once per process; it ends, and its files go, with the process.
var server = sync.OnceValues(func() (string, error) {
	if url := os.Getenv("DATABASE_URL"); url != "" {
		return url, nil
	}
	dir, err := os.MkdirTemp("", "seatline-postgrestest-")
	if err != nil {
		return "", err
	}
	s, err := private.Start(context.Background(), private.Config{Dir: dir, Log: slog.Default(), Temporary: true})
	if err != nil {
		return "", err
	}
	return s.URL(), nil
})

// URL of the test server, for tests that start processes of their own.
func URL(t testing.TB) string {
	t.Helper()
	url, err := server()
	if err != nil {
		t.Fatalf("tests need PostgreSQL: %v", err)
	}
	return url
}

// New returns a pool on a fresh schema with these migrations applied. Both end with the test.
func New(t testing.TB, sets ...postgres.Migrations) *pgxpool.Pool {
	t.Helper()
	pool := Open(t, URL(t), "t_"+strings.ToLower(rand.Text()[:12]))
	if err := postgres.Migrate(t.Context(), pool, sets...); err != nil {
		t.Fatal(err)
	}
	return pool
}

// Open returns a pool on a schema that is dropped when the test ends.
func Open(t testing.TB, url, schema string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// t's context has ended by now.
		ctx := context.Background()
		if _, err := pool.Exec(ctx, fmt.Sprintf("drop schema if exists %s cascade", pgx.Identifier{schema}.Sanitize())); err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	return pool
}
