package mapper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// recoverTime bounds reading all mappings and subscriptions off the bus.
const recoverTime = 5 * time.Minute

// recover takes back what the bus knows of mappings and subscriptions, and this database does not, because it was restored
// from an older dump: what people decided is nowhere else. It is called before anything is answered, sent or written:
// licences would move to the customers of the dump otherwise.
func (s *service) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverTime)
	defer cancel()
	for _, x := range []struct {
		entity   string
		takeBack func(ctx context.Context, tx pgx.Tx, connection string, lost []event.Event) error
	}{{"subscription", s.takeBackSubscriptions}, {"mapping", s.takeBackMappings}} { // a mapping has its subscriptions sent where they differ
		err := event.TakeBack(ctx, event.TakeBackConfig{
			Bus: s.Bus, Pool: s.Pool, Entity: x.entity, Lock: lockAll,
			Handler: func(ctx context.Context, tx pgx.Tx, lost []event.Event) error {
				for connection, events := range byConnection(lost) {
					if err := x.takeBack(ctx, tx, connection, events); err != nil {
						return fmt.Errorf("take back each %s of %s: %w", x.entity, connection, err)
					}
				}
				return nil
			},
			Malformed: func(subject string, err error) {
				s.Log.Warn("an event of this service's on the bus cannot be read", "subject", subject, "err", err)
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lockAll keeps other replicas from changing anything: rows are locked before they are changed, everywhere.
func lockAll(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `lock table customers, subscriptions in exclusive mode`); err != nil {
		return fmt.Errorf("lock customers and subscriptions: %w", err)
	}
	return nil
}

// byConnection goes through events in the order of connections.
func byConnection(events []event.Event) func(yield func(string, []event.Event) bool) {
	groups := map[string][]event.Event{}
	for _, e := range events {
		groups[e.Connection] = append(groups[e.Connection], e)
	}
	return func(yield func(string, []event.Event) bool) {
		for _, connection := range slices.Sorted(maps.Keys(groups)) {
			if !yield(connection, groups[connection]) {
				return
			}
		}
	}
}

// takeBackMappings stores mappings of a connection as they were on the bus. All are weighed anew then, with what Halo has:
// the picture of it in the dump is old.
func (s *service) takeBackMappings(ctx context.Context, tx pgx.Tx, connection string, lost []event.Event) error {
	on := make(map[string]*mappingv1.Mapping, len(lost))
	for _, e := range lost {
		m := &mappingv1.Mapping{}
		if err := e.Unmarshal(m); err != nil {
			return err
		}
		on[mexID(e.Key)] = m
	}
	rows, err := lockCustomers(ctx, tx, connection, slices.Sorted(maps.Keys(on)))
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	known := picture{clients: map[int64]client{}}
	var live []record
	var settled []string
	for i, x := range rows {
		m := on[x.MexID]
		if x.FeedName != "" { // until the fetcher's event has come again
			x.FeedName, x.Name = m.GetGiacomName(), m.GetGiacomName()
			if _, err := tx.Exec(ctx, `update customers set name = $3 where connection = $1 and mex_id = $2`, connection, x.MexID, x.Name); err != nil {
				return fmt.Errorf("name customer %s: %w", x.MexID, err)
			}
		}
		x.Decision, x.Now = decisionOf(m), mappingOf(m)
		x.Version, x.Updated, x.Run, x.Cause, x.Trace, x.ChangedBy = x.Version+1, now, "", "", "", x.Decision.Who
		if err := saveCustomer(ctx, tx, x); err != nil {
			return err
		}
		rows[i] = x
		if x.Now.State != 0 {
			settled = append(settled, x.MexID)
			known.clients[x.Now.ClientID] = client{ID: x.Now.ClientID, Name: x.Now.ClientName}
			if x.live() {
				live = append(live, x)
			}
		}
	}
	if err := setDue(ctx, tx, connection, now, now, true); err != nil {
		return err
	}
	s.Log.WarnContext(ctx, "mappings taken back from the bus: this database was restored from an older dump", "connection", connection, "mappings", len(rows))
	c, err := connections.Read(ctx, tx, connection)
	if errors.Is(err, connections.ErrUnknown) {
		return nil // its event, which comes again, has everything weighed
	}
	if err != nil {
		return err
	}
	set := settingsOf(c)
	if _, err := tx.Exec(ctx, `delete from instances where instance = $1`, set.Instance); err != nil {
		return fmt.Errorf("forget what Halo looked like: %w", err)
	}
	// Whether anything is to be written is decided when all is weighed: these settings may be the dump's.
	want := wants(live, set, connections.Permit{}, known)
	for i := range want {
		switch on[want[i].Key].GetStatus().GetState() {
		case itemv1.State_STATE_PENDING, itemv1.State_STATE_APPLYING: // it may have been created since this was said
			want[i].Doubt = want[i].Desired != nil && want[i].Desired.Create
		}
	}
	if err := s.engine.Desire(ctx, tx, want...); err != nil {
		return err
	}
	return s.resend(ctx, tx, connection, rows, settled)
}

// mappingOf is what holds, as an event says it.
func mappingOf(m *mappingv1.Mapping) mapping {
	return mapping{
		State: m.GetState(), ClientID: m.GetHaloClientId(), ClientName: m.GetHaloClientName(), Origin: m.GetOrigin(),
		Code: m.GetReason().GetCode(), Text: m.GetReason().GetText(),
	}
}

// decisionOf is what a person decided about a customer, as its event says it.
func decisionOf(m *mappingv1.Mapping) decision {
	d := m.GetDecision()
	return decision{State: d.GetState(), ClientID: d.GetHaloClientId(), Origin: d.GetOrigin(), Reason: d.GetReason(), Who: m.GetWho()}
}

// takeBackSubscriptions stores subscriptions of a connection as they were on the bus, with what people decided about them.
// Giacom's own events come again, and are newer than these rows.
func (s *service) takeBackSubscriptions(ctx context.Context, tx pgx.Tx, connection string, lost []event.Event) error {
	keys := make([]string, len(lost))
	for i, e := range lost {
		keys[i] = e.Key
	}
	known, err := readSubscriptions(ctx, tx, `connection = $1 and key = any($2)`, connection, keys)
	if err != nil {
		return err
	}
	seen := make(map[string]int64, len(known))
	for _, x := range known {
		seen[x.Key] = x.Revision
	}
	back, owners, decided := make([]subscription, len(lost)), map[string]mapping{}, 0
	for i, e := range lost {
		p := &subscriptionv1.Subscription{}
		if err := e.Unmarshal(p); err != nil {
			return err
		}
		g := p.GetGiacom()
		body, err := proto.Marshal(g)
		if err != nil {
			return err
		}
		back[i] = subscription{
			Connection: connection, Key: e.Key, MexID: mexID(g.GetMexId()), Revision: seen[e.Key], Body: body, Gone: p.GetState() == subscriptionv1.State_STATE_REMOVED,
			CustomerName: g.GetCustomerName(), Name: g.GetName(), SKU: g.GetSku(), Tenant: g.GetTenantId(), Stake: stakeOf(g),
			Choice: choiceOf(p), Now: resolutionOf(p), OutRevision: e.Revision, Run: e.Run, Cause: e.Cause, Trace: e.TraceParent, Updated: p.GetUpdateTime().AsTime(),
		}
		owners[back[i].MexID] = mapping{}
		if back[i].Choice.State != 0 {
			decided++
		}
	}
	if _, err := shareCustomers(ctx, tx, connection, owners); err != nil {
		return err
	}
	s.Log.WarnContext(ctx, "subscriptions taken back from the bus: this database was restored from an older dump",
		"connection", connection, "subscriptions", len(back), "decided_by_people", decided)
	_, err = saveSubscriptions(ctx, tx, back)
	return err
}

// resolutionOf is whom a subscription goes to, as its event says it.
func resolutionOf(p *subscriptionv1.Subscription) resolution {
	return resolution{
		State: p.GetState(), ClientID: p.GetHaloClientId(), ClientName: p.GetHaloClientName(), Code: p.GetReason().GetCode(), Text: p.GetReason().GetText(),
	}
}

// choiceOf is what a person decided about a subscription, as its event says it.
func choiceOf(p *subscriptionv1.Subscription) choice {
	d := p.GetDecision()
	return choice{State: d.GetState(), ClientID: d.GetHaloClientId(), ClientName: d.GetHaloClientName(), Reason: d.GetReason(), Who: d.GetWho()}
}
