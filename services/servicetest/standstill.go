package servicetest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event/eventtest"
)

// Standstill makes a process stand still, when it is told to, between its claim of items and its call to Halo, for so long
// that another one has taken them over by the time it goes on.
type Standstill struct {
	t     testing.TB
	pool  *pgxpool.Pool
	mu    sync.Mutex
	armed bool
}

// Stand puts a Standstill under a service that has not been started yet.
func Stand(t testing.TB, env *chassis.Env) *Standstill {
	t.Helper()
	s := &Standstill{t: t, pool: env.Pool}
	cfg := env.Pool.Config()
	cfg.ConnConfig.Tracer = s
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	env.Pool = pool
	return s
}

// Once has the next claim taken over; Wait waits until it has been.
func (s *Standstill) Once() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = true
}

// Wait waits until a claim has been taken over.
func (s *Standstill) Wait() {
	s.t.Helper()
	eventtest.Eventually(s.t, "a claim that was taken over", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.armed
	})
}

// TraceQueryStart is where it stands still: every service asks for a connection's settings between its claim and its call.
func (s *Standstill) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.armed || !strings.Contains(q.SQL, "from connections") {
		return ctx
	}
	taken, err := TakeOver(ctx, s.pool)
	if err != nil && ctx.Err() == nil {
		s.t.Errorf("take a claim over: %v", err)
	}
	s.armed = !taken
	return ctx
}

// TakeOver has another process take over whatever is claimed, if anything is, as it may when whoever claimed it was silent
// for longer than its lease. That one dies a second later, and the items come back.
func TakeOver(ctx context.Context, db *pgxpool.Pool) (bool, error) {
	until := time.Now().Add(time.Second)
	taken, err := db.Exec(ctx, `update work set claim = 'another', ready_at = $1 where claim <> ''`, until)
	if err != nil || taken.RowsAffected() == 0 {
		return false, err
	}
	_, err = db.Exec(ctx, `update writers set owner = 'another', lease_until = $1`, until)
	return true, err
}

// TraceQueryEnd has nothing to do.
func (*Standstill) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
