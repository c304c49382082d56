package billing

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/event"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// intyKey begins the keys of licences that are Inty's, of which the licence service only keeps whether
// they are active.
const intyKey = "inty/"

// onAllLicences parts what the licence service tells: licences of ours, and replaced ones of Inty's.
func (s *service) onAllLicences(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	ours := make([]event.Event, 0, len(batch))
	for _, e := range batch {
		id, ok := strings.CutPrefix(e.Key, intyKey)
		if !ok {
			ours = append(ours, e)
			continue
		}
		if err := s.onReplaced(ctx, tx, e, id); err != nil {
			return err
		}
	}
	if len(ours) == 0 {
		return nil
	}
	return s.onLicences(ctx, tx, ours)
}

// onReplaced notes whether one of Inty's licences is active; a line may wait for it.
func (s *service) onReplaced(ctx context.Context, tx pgx.Tx, e event.Event, key string) error {
	var p licencev1.Licence
	if err := e.Unmarshal(&p); err != nil {
		return err
	}
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil || p.GetApplied() == nil {
		return nil // nothing was written to it
	}
	_, err = tx.Exec(ctx, `update inty_licences set active = $3 where instance = $1 and halo_id = $2`, p.GetInstance(), id, p.GetApplied().GetActive())
	if err != nil {
		return fmt.Errorf("note that licence %d is active or not: %w", id, err)
	}
	clients, err := column[int64](ctx, tx, `select v.client_id from inty_moves m join invoices v on v.instance = m.instance and v.id = m.invoice_id
		where m.instance = $1 and m.licence_id = $2`, p.GetInstance(), id)
	if err != nil {
		return err
	}
	s.wake.Nudge()
	return dirty(ctx, tx, p.GetInstance(), clients, s.Clock.Now())
}

// onMappings keeps which Halo customer each Giacom customer is.
func (s *service) onMappings(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	n := len(batch)
	connection, mex, revision := make([]string, n), make([]string, n), make([]int64, n)
	name, client, ignored := make([]string, n), make([]int64, n), make([]bool, n)
	for i, e := range batch {
		var m mappingv1.Mapping
		if err := e.Unmarshal(&m); err != nil {
			return err
		}
		connection[i], mex[i], revision[i], name[i] = e.Connection, e.Key, e.Revision, m.GetGiacomName()
		if m.GetState() == mappingv1.State_STATE_MAPPED {
			client[i] = m.GetHaloClientId()
		}
		ignored[i] = m.GetState() == mappingv1.State_STATE_IGNORED
	}
	_, err := tx.Exec(ctx, `
		insert into inty_customers as c (connection, mex_id, mapping_revision, name, client_id, ignored)
		select * from unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::boolean[]) as t(c, m, r, n, i, g) order by c, m
		on conflict (connection, mex_id) do update set mapping_revision = excluded.mapping_revision, name = excluded.name,
			client_id = excluded.client_id, ignored = excluded.ignored
		where excluded.mapping_revision > c.mapping_revision`, connection, mex, revision, name, client, ignored)
	if err != nil {
		return fmt.Errorf("store %d mappings: %w", n, err)
	}
	return nil
}

// onCustomers keeps what tells one Giacom customer from another: tenants and country.
func (s *service) onCustomers(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
	for _, e := range batch { // few, and they hardly change
		var c giacomv1.Customer
		if err := e.Unmarshal(&c); err != nil {
			return err
		}
		tenants := c.GetTenantIds()
		if tenants == nil {
			tenants = []string{}
		}
		_, err := tx.Exec(ctx, `
			insert into inty_customers as c (connection, mex_id, customer_revision, tenants, country) values ($1, $2, $3, $4, $5)
			on conflict (connection, mex_id) do update set customer_revision = excluded.customer_revision, tenants = excluded.tenants, country = excluded.country
			where excluded.customer_revision > c.customer_revision`, e.Connection, e.Key, e.Revision, tenants, c.GetAddress().GetCountry())
		if err != nil {
			return fmt.Errorf("store Giacom customer %s: %w", e.Key, err)
		}
	}
	return nil
}
