// Package access knows who may enter the web console: sessions, local accounts, one-time links, the
// visits to an identity provider, and how often somebody tried. All of it is in the console's schema,
// so that every replica knows the same.
package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations of the tables; they live beside those of connections, and begin with "web_".
func Migrations() postgres.Migrations {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return postgres.Migrations{Name: "console-access", FS: sub}
}

// Person who is let in.
type Person struct {
	// Name for the change log, for example "admin" or "Zoë O’Neill <zoe@example.com>".
	Name string
	Role rpc.Role
}

// Method by which a person proved who they are.
type Method string

const (
	ByPassword Method = "password"
	ByOpenID   Method = "openid"
	ByLink     Method = "link"
)

// Store keeps it all.
type Store struct {
	Pool  *pgxpool.Pool
	Clock clockwork.Clock
	// Idle ends a session that nobody used for so long; Max ends every session after so long.
	Idle, Max time.Duration
}

// digest of a secret that only a browser holds. The secrets have 130 random bits, so a plain hash will do.
func digest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// secret that cannot be guessed.
func secret() string { return rand.Text() }

// sweep removes what has expired; called where something new begins, so that nothing grows for ever.
func (s *Store) sweep(ctx context.Context) error {
	now := s.Clock.Now()
	for _, statement := range []string{
		`delete from web_sessions where expire_time < $1`,
		`delete from web_links where expire_time < $1`,
		`delete from web_flows where expire_time < $1`,
	} {
		if _, err := s.Pool.Exec(ctx, statement, now); err != nil {
			return fmt.Errorf("remove what has expired: %w", err)
		}
	}
	if _, err := s.Pool.Exec(ctx, `delete from web_attempts where time < $1`, now.Add(-attemptWindow)); err != nil {
		return fmt.Errorf("remove old attempts: %w", err)
	}
	return nil
}
