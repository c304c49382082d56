package billing

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// Price rules are people's work and stand nowhere else, neither in Halo nor in what other services tell. So billing tells
// them, one message a connection, and reads them back when it starts: an empty or older database has them before
// anything is decided.
const (
	rulesEntity = "price-rules"
	rulesKey    = "rules"
)

// saveRules stores the rules of a connection, and tells whether they are newer than those that are there.
func saveRules(ctx context.Context, tx pgx.Tx, p *pricingv1.PriceRules, revision int64) (bool, error) {
	body, err := proto.Marshal(p)
	if err != nil {
		return false, err
	}
	done, err := tx.Exec(ctx, `insert into price_rules as r (connection, revision, body, who, update_time) values ($1, $2, $3, $4, $5)
		on conflict (connection) do update set revision = excluded.revision, body = excluded.body, who = excluded.who, update_time = excluded.update_time
		where excluded.revision > r.revision`, p.GetConnection(), revision, body, p.GetWho(), p.GetUpdateTime().AsTime())
	if err != nil {
		return false, fmt.Errorf("store price rules of %s: %w", p.GetConnection(), err)
	}
	return done.RowsAffected() > 0, nil
}

func tellRules(ctx context.Context, tx pgx.Tx, p *pricingv1.PriceRules, revision int64) error {
	return event.Publish(ctx, tx, event.Event{
		Type: "seatline.price_rules.changed.v1", Entity: rulesEntity, Connection: p.GetConnection(), Key: rulesKey, Revision: revision,
		Source: "seatline/" + Service, Time: p.GetUpdateTime().AsTime(), Data: p,
	})
}

// knowRules reads back the price rules once in the life of the process; whatever rests on them waits for that.
func (s *service) knowRules(ctx context.Context) error {
	s.rules.Lock()
	defer s.rules.Unlock()
	if s.rulesKnown {
		return nil
	}
	found, err := s.toldRules(ctx)
	if err != nil {
		return fmt.Errorf("read back the price rules: %w", err)
	}
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		for _, e := range found {
			p := &pricingv1.PriceRules{}
			if err := e.Unmarshal(p); err != nil {
				return err
			}
			newer, err := saveRules(ctx, tx, p, e.Revision)
			if err != nil {
				return err
			}
			if !newer {
				continue
			}
			s.Log.InfoContext(ctx, "price rules read back", "connection", e.Connection, "rules", len(p.GetRules()), "who", p.GetWho())
			// The history had lost them, too.
			if err := tellRules(ctx, tx, p, e.Revision); err != nil {
				return err
			}
			if err := dirtyAll(ctx, tx, e.Connection, s.Clock.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	s.rulesKnown = err == nil
	return err
}

// toldRules are the last rules of each connection as they were told.
func (s *service) toldRules(ctx context.Context) (found []event.Event, err error) {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	complete := false
	err = event.Subscribe(ctx, s.Bus, event.SubscribeConfig{
		Entity:           rulesEntity,
		Handler:          func(_ context.Context, e event.Event) error { found = append(found, e); return nil },
		SnapshotComplete: func() { complete = true; stop() },
	})
	if err == nil && !complete {
		err = ctx.Err()
	}
	return found, err
}

// decideKnowing and applyKnowing are what they say, with the rules read back before.
func (s *service) decideKnowing(ctx context.Context) (int, error) {
	if err := s.knowRules(ctx); err != nil {
		return 0, err
	}
	return s.decideSome(ctx)
}

func (s *service) applyKnowing(ctx context.Context, batch []item) []outcome {
	if err := s.knowRules(ctx); err != nil {
		s.Log.WarnContext(ctx, "write recurring invoice", "err", err)
		outcomes := make([]outcome, len(batch))
		for i := range outcomes {
			outcomes[i] = reconcile.Retry[Fields](0, "rules_unread", "Waits for the price rules to be read back.")
		}
		return outcomes
	}
	return s.apply(ctx, batch)
}
