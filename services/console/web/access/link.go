package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// linkLife is how long a one-time link waits to be used.
const linkLife = 15 * time.Minute

// NewLink returns the secret of a link that signs p in once, and when it stops doing so.
func (s *Store) NewLink(ctx context.Context, p Person) (string, time.Time, error) {
	if err := s.sweep(ctx); err != nil {
		return "", time.Time{}, err
	}
	id, until := secret(), s.Clock.Now().Add(linkLife)
	_, err := s.Pool.Exec(ctx, `insert into web_links (id, name, role, expire_time) values ($1, $2, $3, $4)`, digest(id), p.Name, string(p.Role), until)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("make a sign-in link: %w", err)
	}
	return id, until, nil
}

// UseLink returns whom a link signs in, and spends it; false when it was used before, or is too old.
func (s *Store) UseLink(ctx context.Context, id string) (p Person, ok bool, err error) {
	err = s.Pool.QueryRow(ctx, `delete from web_links where id = $1 and expire_time > $2 returning name, role`, digest(id), s.Clock.Now()).Scan(&p.Name, &p.Role)
	if errors.Is(err, pgx.ErrNoRows) {
		return Person{}, false, nil
	}
	if err != nil {
		return Person{}, false, fmt.Errorf("use a sign-in link: %w", err)
	}
	return p, true, nil
}

// Flow is a visit to the identity provider.
type Flow struct{ Nonce, Verifier, Back string }

// flowLife is how long a person may take there.
const flowLife = 10 * time.Minute

// BeginFlow remembers a visit and returns its state parameter.
func (s *Store) BeginFlow(ctx context.Context, f Flow) (string, error) {
	if err := s.sweep(ctx); err != nil {
		return "", err
	}
	state := secret()
	_, err := s.Pool.Exec(ctx, `insert into web_flows (id, nonce, verifier, back, expire_time) values ($1, $2, $3, $4, $5)`,
		digest(state), f.Nonce, f.Verifier, f.Back, s.Clock.Now().Add(flowLife))
	if err != nil {
		return "", fmt.Errorf("begin signing in at the provider: %w", err)
	}
	return state, nil
}

// EndFlow returns the visit that a state belongs to, once.
func (s *Store) EndFlow(ctx context.Context, state string) (f Flow, ok bool, err error) {
	err = s.Pool.QueryRow(ctx, `delete from web_flows where id = $1 and expire_time > $2 returning nonce, verifier, back`, digest(state), s.Clock.Now()).
		Scan(&f.Nonce, &f.Verifier, &f.Back)
	if errors.Is(err, pgx.ErrNoRows) {
		return Flow{}, false, nil
	}
	if err != nil {
		return Flow{}, false, fmt.Errorf("come back from the provider: %w", err)
	}
	return f, true, nil
}
