package access

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/postgres"
)

// Attempts allowed in the window before one must wait: few for an account, more for an address, behind
// which a whole office may sit.
const (
	attemptWindow      = 15 * time.Minute
	attemptsPerAccount = 5
	attemptsPerAddress = 20
)

// TooMany attempts were made; the next one counts after Wait.
type TooMany struct{ Wait time.Duration }

func (e *TooMany) Error() string {
	return fmt.Sprintf("too many attempts to sign in: wait %s", e.Wait.Round(time.Second))
}

func accountKey(name string) string { return "account " + name }

// addressKey counts a network of IPv6 as one address: whoever has one has 2^64 to choose from.
func addressKey(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil && ip.Unmap().Is6() {
		if network, err := ip.WithZone("").Prefix(64); err == nil {
			address = network.Masked().String()
		}
	}
	return "address " + address
}

// attempt counts one before the password is looked at: of a hundred at the same time, through whatever
// replicas, only as many as are allowed get further. It returns the ids of what it counted.
func (s *Store) attempt(ctx context.Context, name, address string) (counted []int64, err error) {
	now := s.Clock.Now()
	err = postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		counted = nil
		for _, limit := range []struct {
			key  string
			most int
		}{{accountKey(name), attemptsPerAccount}, {addressKey(address), attemptsPerAddress}} {
			if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtext('seatline sign-in'), hashtext($1))`, limit.key); err != nil {
				return fmt.Errorf("count attempts: %w", err)
			}
			// The oldest of the last few: when it leaves the window, one more is allowed.
			var seen int
			var oldest *time.Time
			err := tx.QueryRow(ctx, `select count(*), min(time) from (select time from web_attempts where key = $1 and time > $2 order by time desc limit $3) t`,
				limit.key, now.Add(-attemptWindow), limit.most).Scan(&seen, &oldest)
			if err != nil {
				return fmt.Errorf("count attempts: %w", err)
			}
			if seen >= limit.most {
				return &TooMany{oldest.Add(attemptWindow).Sub(now)}
			}
			var id int64
			if err := tx.QueryRow(ctx, `insert into web_attempts (key, time) values ($1, $2) returning id`, limit.key, now).Scan(&id); err != nil {
				return fmt.Errorf("count attempts: %w", err)
			}
			counted = append(counted, id)
		}
		return nil
	})
	return counted, err
}

// forgive what was counted against an account, once its right password came. Of the address only this
// attempt is taken back: otherwise one account's owner could guess at others' without end.
func (s *Store) forgive(ctx context.Context, name string, counted []int64) error {
	if _, err := s.Pool.Exec(ctx, `delete from web_attempts where key = $1 or id = any($2)`, accountKey(name), counted); err != nil {
		return fmt.Errorf("forget attempts: %w", err)
	}
	return nil
}
