package access

import (
	"context"
	"fmt"
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

func accountKey(name string) string    { return "account " + name }
func addressKey(address string) string { return "address " + address }

// attempt counts one before the password is looked at: of a hundred at the same time, through whatever
// replicas, only as many as are allowed get further.
func (s *Store) attempt(ctx context.Context, name, address string) error {
	now := s.Clock.Now()
	return postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
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
			if _, err := tx.Exec(ctx, `insert into web_attempts (key, time) values ($1, $2)`, limit.key, now); err != nil {
				return fmt.Errorf("count attempts: %w", err)
			}
		}
		return nil
	})
}

// forgive what was counted, once the right password came. Of the address only the last one is taken
// back: otherwise one account's owner could guess at others' without end.
func (s *Store) forgive(ctx context.Context, name, address string) error {
	_, err := s.Pool.Exec(ctx, `delete from web_attempts where key = $1 or (key = $2 and time = (select max(time) from web_attempts where key = $2))`,
		accountKey(name), addressKey(address))
	if err != nil {
		return fmt.Errorf("forget attempts: %w", err)
	}
	return nil
}
