package mapper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// weighAll decides the mappings of connections that are due. What then still waits does so for more to come in, and
// hence never counts as done: that would have it looked at again at once.
func (s *service) weighAll(ctx context.Context) (did int, err error) {
	if err := s.queueRefresh(ctx); err != nil {
		return 0, err
	}
	rows, err := s.Pool.Query(ctx, `select connection from due where at <= $1 order by at`, s.Clock.Now())
	if err != nil {
		return 0, fmt.Errorf("look for due connections: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("look for due connections: %w", err)
	}
	var errs []error
	for _, c := range found {
		if err := s.weigh(ctx, c); err != nil && !errors.Is(err, errBusy) {
			errs = append(errs, fmt.Errorf("connection %s: %w", c, err))
		}
	}
	return 0, errors.Join(errs...)
}

// queueRefresh queues connections whose picture of Halo has aged: soon while a customer waits for
// somebody to map it over there, seldom otherwise.
func (s *service) queueRefresh(ctx context.Context) error {
	all, err := connections.All(ctx, s.Pool)
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	for _, c := range all {
		if !c.GetEnabled() {
			continue
		}
		err := postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
			var stale bool
			err := tx.QueryRow(ctx, `select not exists (select from instances i where i.instance = $1 and i.read_at >= case
					when exists (select from customers c where c.connection = $2 and c.state = $3) then $4::timestamptz else $5::timestamptz end)
				and not exists (select from due where connection = $2)`,
				c.GetHalo().GetInstance(), c.GetSlug(), int16(mappingv1.State_STATE_UNMAPPED), now.Add(-s.RefreshUnmapped), now.Add(-s.Refresh)).Scan(&stale)
			if err != nil || !stale {
				return err
			}
			return setDue(ctx, tx, c.GetSlug(), now, now, true)
		})
		if err != nil {
			return fmt.Errorf("look whether %s is to be read again: %w", c.GetSlug(), err)
		}
	}
	return nil
}

// errBusy: the mappings of this connection are being decided at the moment, here or by another replica.
var errBusy = errors.New("the mappings are being decided already")

// alone runs f while nobody else does the same for the connection, and returns errBusy when somebody does.
func (s *service) alone(ctx context.Context, connection string, f func(ctx context.Context) error) error {
	conn, err := s.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("lock connection %s: %w", connection, err)
	}
	defer conn.Release()
	const lock = `(hashtext('seatline mapper ' || current_schema()), hashtext($1))`
	var got bool
	if err := conn.QueryRow(ctx, `select pg_try_advisory_lock`+lock, connection).Scan(&got); err != nil {
		return fmt.Errorf("lock connection %s: %w", connection, err)
	}
	if !got {
		return errBusy
	}
	defer func() {
		if _, err := conn.Exec(context.WithoutCancel(ctx), `select pg_advisory_unlock`+lock, connection); err != nil {
			// A session that keeps the lock must not go back into the pool.
			conn.Conn().Close(context.WithoutCancel(ctx))
		}
	}()
	return f(ctx)
}

// weigh decides the mappings of one connection if it is due; errBusy when somebody is at it.
func (s *service) weigh(ctx context.Context, connection string) error {
	return s.alone(ctx, connection, func(ctx context.Context) error {
		var at, since time.Time
		var readHalo bool
		var failures int
		err := s.Pool.QueryRow(ctx, `select at, since, read_halo, failures from due where connection = $1`, connection).Scan(&at, &since, &readHalo, &failures)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read what is due: %w", err)
		}
		if s.Clock.Since(since) < s.Patience {
			more, err := s.moreComing(ctx, connection)
			if err != nil {
				return err
			}
			if more {
				return nil // Names are not known to be unique before all customers are here.
			}
		}
		c, err := connections.Read(ctx, s.Pool, connection)
		if errors.Is(err, connections.ErrUnknown) {
			return nil // Its event queues it again.
		}
		if err != nil {
			return err
		}
		var unread error
		if readHalo && !c.GetDeleted() {
			unread = s.readHalo(ctx, c)
		}
		if err := s.apply(ctx, c); err != nil {
			return err
		}
		s.engine.Kick()
		if err := s.suggestLater(ctx, connection); err != nil {
			return err
		}
		if unread != nil {
			wait := min(5*time.Second<<min(failures, 7), 10*time.Minute)
			s.Log.WarnContext(ctx, "Halo's customers could not be read", "connection", connection, "again_in", wait, "err", unread)
			_, err := s.Pool.Exec(ctx, `update due set at = $3, failures = failures + 1 where connection = $1 and at = $2`, connection, at, s.Clock.Now().Add(wait))
			return err
		}
		// Unless something came meanwhile.
		_, err = s.Pool.Exec(ctx, `delete from due where connection = $1 and at = $2`, connection, at)
		return err
	})
}

// commandPatience is how long a command waits for the rules to be applied to what it decided.
const commandPatience = 10 * time.Second

// weighNow decides the mappings of a connection for a command, whose answer says what came of it: whoever is at it already
// may have looked before the command decided. What takes too long, such as reading Halo, goes on without the command.
func (s *service) weighNow(ctx context.Context, connection string) error {
	limit := time.NewTimer(commandPatience)
	defer limit.Stop()
	for {
		err := s.weigh(ctx, connection)
		if !errors.Is(err, errBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// moreComing tells whether customers or subscriptions are still being read from the stream.
func (s *service) moreComing(ctx context.Context, connection string) (bool, error) {
	p, err := event.Progress(ctx, s.Pool, s.Bus, connection, "")
	if err != nil {
		return false, err
	}
	for _, c := range p.Consumers {
		if c.Entity != connections.Entity && c.Pending+c.Unacknowledged > 0 {
			return true, nil
		}
	}
	return false, nil
}

// applyRows bounds the subscriptions that one transaction of apply sends out again: the services behind start with the first.
const applyRows = 1000

// apply decides all mappings of a connection from what is known, and carries out what changed, in
// transactions of bounded size.
func (s *service) apply(ctx context.Context, c *connectionv1.Connection) error {
	set := settingsOf(c)
	all, err := readCustomers(ctx, s.Pool, `c.connection = $1 order by c.mex_id`, c.GetSlug())
	if err != nil {
		return err
	}
	known, err := readPicture(ctx, s.Pool, set)
	if err != nil {
		return err
	}
	flight, err := s.inFlight(ctx, c.GetSlug())
	if err != nil {
		return err
	}
	var live []customer
	for i := range all {
		all[i].InFlight = flight[all[i].MexID]
		if all[i].live() {
			live = append(live, all[i].customer)
		}
	}
	decided := decide(live, known, set)
	for len(all) > 0 {
		n, rows := 0, 0
		for n < len(all) && (n == 0 || rows < applyRows && n < 500) {
			rows += int(all[n].Subscriptions)
			n++
		}
		if err := s.applySome(ctx, c, all[:n], decided, known); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// inFlight returns the customers that are being created, or may have been.
func (s *service) inFlight(ctx context.Context, connection string) (map[string]bool, error) {
	rows, err := s.Pool.Query(ctx, `select key from work where connection = $1 and (claim <> '' or unclear)`, connection)
	if err != nil {
		return nil, fmt.Errorf("look for customers under way: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for customers under way: %w", err)
	}
	out := map[string]bool{}
	for _, k := range keys {
		out[k] = true
	}
	return out, nil
}

// applySome carries out the decisions about some customers, except for those that changed since
// they were read: what changed them has queued the connection again.
func (s *service) applySome(ctx context.Context, c *connectionv1.Connection, seen []record, decided map[string]mapping, known picture) error {
	ids := make([]string, len(seen))
	versions := make(map[string]record, len(seen))
	for i, x := range seen {
		ids[i] = x.MexID
		versions[x.MexID] = x
	}
	return postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		locked, err := lockCustomers(ctx, tx, c.GetSlug(), ids)
		if err != nil {
			return err
		}
		var now []record
		var changed []string
		for _, x := range locked {
			was := versions[x.MexID]
			if x.Version != was.Version || x.Name != was.Name || x.live() != was.live() {
				continue
			}
			if m, ok := decided[x.MexID]; ok && m != x.Now {
				if x.Now.State != 0 { // else it is what a person's decision comes to
					x.ChangedBy = ""
				}
				x.Now, x.Version, x.Updated = m, x.Version+1, s.Clock.Now()
				if err := saveCustomer(ctx, tx, x); err != nil {
					return err
				}
				changed = append(changed, x.MexID)
			}
			now = append(now, x)
		}
		// First, because what is desired now updates the item, and makes the listing look old.
		if err := s.observe(ctx, tx, c.GetSlug(), ids, known); err != nil {
			return err
		}
		if err := s.engine.Desire(ctx, tx, wants(now, settingsOf(c), connections.PermitOf(c), known)...); err != nil {
			return err
		}
		return s.resend(ctx, tx, c.GetSlug(), now, changed)
	})
}

// observe tells the engine of names that somebody changed in Halo although they follow Giacom's.
func (s *service) observe(ctx context.Context, tx pgx.Tx, connection string, ids []string, known picture) error {
	items, err := s.engine.Get(ctx, tx, connection, ids...)
	if err != nil {
		return err
	}
	var seen []reconcile.Seen[Fields]
	for _, x := range items {
		if x.Desired == nil || x.Desired.Name == "" || x.Applied == nil || !known.readAt.After(x.Updated) {
			continue // Not ours, or the listing may be older than what we wrote.
		}
		if there, ok := known.clients[x.Applied.ClientID]; ok && there.Name != x.Applied.Name {
			seen = append(seen, reconcile.Seen[Fields]{Connection: connection, Key: x.Key, Observed: &Fields{ClientID: there.ID, Name: there.Name}})
		}
	}
	if len(seen) == 0 {
		return nil
	}
	return s.engine.Observe(ctx, tx, seen...)
}

// resend resolves and publishes the subscriptions of customers whose mapping changed.
func (s *service) resend(ctx context.Context, tx pgx.Tx, connection string, customers []record, changed []string) error {
	if len(changed) == 0 {
		return nil
	}
	mappings := make(map[string]record, len(customers))
	for _, c := range customers {
		mappings[c.MexID] = c
	}
	list, err := readSubscriptions(ctx, tx, `connection = $1 and mex_id = any($2) order by key for update`, connection, changed)
	if err != nil {
		return err
	}
	return settleAnew(ctx, tx, connection, list, func(mexID string) mapping { return mappings[mexID].Now }, s.Clock.Now())
}
