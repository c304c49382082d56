package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Session of a person in one browser.
type Session struct {
	Person
	Method                   Method
	Address                  string
	Created, Last, ExpiresAt time.Time
}

// touchEvery bounds how often a session's row is written: idle time is counted this coarsely.
const touchEvery = time.Minute

// Begin opens a session and returns the secret for the browser's cookie.
func (s *Store) Begin(ctx context.Context, p Person, method Method, address string) (string, error) {
	if err := s.sweep(ctx); err != nil {
		return "", err
	}
	id, now := secret(), s.Clock.Now()
	_, err := s.Pool.Exec(ctx, `insert into web_sessions (id, name, role, method, address, create_time, last_time, expire_time) values ($1, $2, $3, $4, $5, $6, $6, $7)`,
		digest(id), p.Name, string(p.Role), string(method), address, now, now.Add(s.Max))
	if err != nil {
		return "", fmt.Errorf("begin a session of %s: %w", p.Name, err)
	}
	return id, nil
}

// Session that a cookie stands for; false when there is none, or it is over. A request that a person
// made keeps it from going idle; one that a page makes by itself does not (used is false).
func (s *Store) Session(ctx context.Context, id string, used bool) (Session, bool, error) {
	now := s.Clock.Now()
	var x Session
	err := s.Pool.QueryRow(ctx, `select name, role, method, address, create_time, last_time, expire_time from web_sessions
		where id = $1 and expire_time > $2 and last_time > $3`, digest(id), now, now.Add(-s.Idle)).
		Scan(&x.Name, &x.Role, &x.Method, &x.Address, &x.Created, &x.Last, &x.ExpiresAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return Session{}, false, nil
	}
	if err != nil {
		return Session{}, false, fmt.Errorf("read session: %w", err)
	}
	if used && now.Sub(x.Last) > touchEvery {
		if _, err := s.Pool.Exec(ctx, `update web_sessions set last_time = $2 where id = $1`, digest(id), now); err != nil {
			return Session{}, false, fmt.Errorf("read session: %w", err)
		}
	}
	return x, true, nil
}

// End closes the session that a cookie stands for.
func (s *Store) End(ctx context.Context, id string) error {
	if _, err := s.Pool.Exec(ctx, `delete from web_sessions where id = $1`, digest(id)); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// EndOf closes the sessions of a name, or with "" everybody's, and returns how many there were.
func (s *Store) EndOf(ctx context.Context, name string) (int64, error) {
	tag, err := s.Pool.Exec(ctx, `delete from web_sessions where $1 = '' or name = $1`, name)
	if err != nil {
		return 0, fmt.Errorf("end sessions of %q: %w", name, err)
	}
	return tag.RowsAffected(), nil
}

// Sessions that are open, the one used last first.
func (s *Store) Sessions(ctx context.Context) ([]Session, error) {
	now := s.Clock.Now()
	rows, err := s.Pool.Query(ctx, `select name, role, method, address, create_time, last_time, expire_time from web_sessions
		where expire_time > $1 and last_time > $2 order by last_time desc`, now, now.Add(-s.Idle))
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (x Session, err error) {
		return x, r.Scan(&x.Name, &x.Role, &x.Method, &x.Address, &x.Created, &x.Last, &x.ExpiresAt)
	})
}

// PutFlash leaves something for the session's next page to show; TakeFlash takes it away.
func (s *Store) PutFlash(ctx context.Context, id string, flash any) error {
	content, err := json.Marshal(flash)
	if err != nil {
		return fmt.Errorf("leave a message: %w", err)
	}
	if _, err := s.Pool.Exec(ctx, `update web_sessions set flash = $2 where id = $1`, digest(id), content); err != nil {
		return fmt.Errorf("leave a message: %w", err)
	}
	return nil
}

// TakeFlash reads what PutFlash left into flash; false when there was nothing.
func (s *Store) TakeFlash(ctx context.Context, id string, flash any) (bool, error) {
	var content []byte
	err := s.Pool.QueryRow(ctx, `with taken as (select id, flash from web_sessions where id = $1 and flash is not null for update)
		update web_sessions w set flash = null from taken where w.id = taken.id returning taken.flash`, digest(id)).Scan(&content)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take a message: %w", err)
	}
	return true, json.Unmarshal(content, flash)
}
