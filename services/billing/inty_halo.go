package billing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/billing/inty"
)

// intyConnection is the connection that migrates.
func (s *service) intyConnection(ctx context.Context, slug string) (*connectionv1.Connection, error) {
	c, err := connections.Read(ctx, s.pool, slug)
	if errors.Is(err, connections.ErrUnknown) || err == nil && c.GetDeleted() {
		return nil, rpc.NotFound("connection", slug).Do("look for it with `seatline connections list`")
	}
	return c, err
}

// haloOf is a client for what a person waits for.
func (s *service) haloOf(ctx context.Context, c *connectionv1.Connection) (*halo.Client, error) {
	if !c.GetEnabled() {
		return nil, rpc.FailedPrecondition("CONNECTION_DISABLED", c.GetSlug(), "connection %s is not enabled", c.GetSlug()).Do("enable it first")
	}
	client, err := s.halo.Client(ctx, c)
	if err != nil {
		return nil, unreachable(err)
	}
	return client.At(halo.Urgent), nil
}

func unreachable(err error) error {
	return rpc.Unavailable("HALO_UNREACHABLE", 30*time.Second, "Halo could not be asked: %v", err).Do("check the connection, then try again")
}

// askControl reads the settings of Halo's Inty module, and remembers how they stand.
func (s *service) askControl(ctx context.Context, c *connectionv1.Connection) (halo.Inty, *intyModule, error) {
	client, err := s.haloOf(ctx, c)
	if err != nil {
		return halo.Inty{}, nil, err
	}
	control, err := client.Control(ctx)
	if err != nil {
		return halo.Inty{}, nil, unreachable(err)
	}
	x := control.Inty()
	m := &intyModule{
		Time: s.Clock.Now(), On: x.IntegratorOn, Mappings: len(x.Mappings), URL: strings.TrimSpace(x.URL), UserName: strings.TrimSpace(x.UserName),
		LastSync: x.LastSync.Time, LastError: x.LastError,
	}
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		return changeMigration(ctx, tx, c.GetSlug(), c.GetHalo().GetInstance(), func(stored *intyMigration) { stored.Module = m })
	})
	return x, m, err
}

// done tells whether the module is cleared and off.
func (m *intyModule) done() bool { return m != nil && len(m.toDo()) == 0 }

// toDo says what is left to do in Halo, in the guide's order: clear it out, then disable it.
func (m *intyModule) toDo() []string {
	var out []string
	if m.Mappings > 0 {
		out = append(out, fmt.Sprintf("Remove the %d customer mappings of the Inty module (Configuration > Integrations > Inty > Customer mappings). They are saved here first.", m.Mappings))
	}
	if m.URL != "" || m.UserName != "" {
		out = append(out, "Clear the address and the user name of the Inty module, and save it.")
	}
	if m.On {
		out = append(out, "Switch off \"Enable the Halo Integrator for the Inty integration\" at the bottom of the module's page, then disable the module under Configuration > Integrations.")
	}
	return out
}

// mappingsOf are the saved form of inty_client_mappings. Rows that link nothing are left out.
func mappingsOf(links []halo.ExternalLink) []inty.Mapping {
	var out []inty.Mapping
	for _, l := range links {
		if !l.Linked() {
			continue
		}
		out = append(out, inty.Mapping{
			IntyID: strings.TrimSpace(l.ThirdPartyID.Value), IntyName: strings.TrimSpace(l.Description), ClientID: int64(l.HaloID),
			ClientName: strings.TrimSpace(l.HaloName), TenantID: strings.TrimSpace(l.SecondaryID.Value),
		})
	}
	return out
}

// saveMappings stores old mappings beside those that are there, and tells how many are new. None is ever
// taken away: once the module is cleared, nobody else has them.
func (s *service) saveMappings(ctx context.Context, c *connectionv1.Connection, from, who string, list []inty.Mapping) (added int, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		added = 0
		for _, m := range list {
			body, err := json.Marshal(m)
			if err != nil {
				return err
			}
			var fresh bool
			err = tx.QueryRow(ctx, `insert into inty_mappings as m (connection, inty_id, client_id, body) values ($1, $2, $3, $4)
				on conflict (connection, inty_id, client_id) do update set body = m.body || jsonb_strip_nulls((
					select jsonb_object_agg(k, nullif(v, '""'::jsonb)) from jsonb_each(excluded.body) e(k, v)))
				returning xmax = 0`, c.GetSlug(), m.IntyID, m.ClientID, string(body)).Scan(&fresh)
			if err != nil {
				return fmt.Errorf("store old mapping %s: %w", m.IntyID, err)
			}
			if fresh {
				added++
			}
		}
		return changeMigration(ctx, tx, c.GetSlug(), c.GetHalo().GetInstance(), func(m *intyMigration) {
			if len(list) > 0 || m.MappingsTime.IsZero() {
				m.MappingsTime, m.MappingsFrom, m.MappingsWho = s.Clock.Now(), from, who
			}
		})
	})
	return added, err
}

// readInty reads from Halo what Inty left: its licences, and where the customers are.
func (s *service) readInty(ctx context.Context, c *connectionv1.Connection) error {
	client, err := s.haloOf(ctx, c)
	if err != nil {
		return err
	}
	instance, began := c.GetHalo().GetInstance(), s.Clock.Now()
	mappings, err := readMappings(ctx, s.pool, c.GetSlug())
	if err != nil {
		return err
	}
	clients := map[int64]*intyClient{}
	for x, err := range client.Customers(ctx, halo.CustomerFilter{Inactive: true}) {
		if err != nil {
			return unreachable(err)
		}
		clients[int64(x.ID)] = &intyClient{name: x.Name, countries: []string{}, currencies: nonEmpty(x.Currency.Value)}
	}
	for x, err := range client.Sites(ctx, 0) {
		if err != nil {
			return unreachable(err)
		}
		if at := clients[int64(x.ClientID)]; at != nil {
			if country := cmp.Or(strings.TrimSpace(x.Country.Value), strings.TrimSpace(x.CountryCode.Value)); country != "" {
				at.countries = append(at.countries, country)
			}
		}
	}
	taken, err := column[int64](ctx, s.pool, `select halo_id from licences where instance = $1 and present and halo_id <> 0`, instance)
	if err != nil {
		return fmt.Errorf("read licences: %w", err)
	}
	ours := map[int64]bool{}
	for _, id := range taken {
		ours[id] = true
	}
	wasMapped := map[int64]bool{}
	for _, m := range mappings {
		wasMapped[m.ClientID] = true
	}
	var found []inty.Licence
	for x, err := range client.Licences(ctx, halo.LicenceFilter{Inactive: true}) {
		if err != nil {
			return unreachable(err)
		}
		l := intyLicence(x)
		adopted := ours[l.ID] && inty.StatusOf(l.Name) != "" // shown, because there is nothing to do for it
		if x.Type == halo.TypeSubscription && !x.Deleted && (adopted || !ours[l.ID] && inty.IsIntys(l, wasMapped[l.ClientID])) {
			found = append(found, l)
		}
	}
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error { return s.storeInty(ctx, tx, c.GetSlug(), instance, began, clients, found) })
}

type intyClient struct {
	name                  string
	countries, currencies []string
}

func nonEmpty(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return strings.TrimSpace(w) == "" })
}

func intyLicence(x halo.Licence) inty.Licence {
	l := inty.Licence{
		ID: int64(x.ID), ClientID: int64(x.ClientID), Name: x.Name, SKU: x.ProductSKU.Value, Count: int64(x.Count), Cost: x.PurchasePrice.Decimal,
		Price: x.Price.Decimal, Cycle: x.BillingCycle.Value, Term: x.TermDuration.Value, TenantID: x.TenantID.Value, Active: x.IsActive,
		Mark: x.Mark.Value, Distributor: x.Distributor.Value, Status: inty.StatusOf(x.Name),
	}
	if l.Status == "" && x.Status.Value != "" {
		l.Status, l.StatusInField = x.Status.Value, true
	}
	return l
}

func (s *service) storeInty(ctx context.Context, tx pgx.Tx, connection, instance string, began time.Time, clients map[int64]*intyClient, found []inty.Licence) error {
	rows := &pgx.Batch{}
	for _, l := range found {
		body, err := json.Marshal(l)
		if err != nil {
			return err
		}
		rows.Queue(`insert into inty_licences (instance, halo_id, client_id, active, body, read_at) values ($1, $2, $3, $4, $5, $6)
			on conflict (instance, halo_id) do update set client_id = excluded.client_id, active = excluded.active, body = excluded.body, read_at = excluded.read_at`,
			instance, l.ID, l.ClientID, l.Active, string(body), began)
	}
	for _, id := range sortedKeys(clients) {
		x := clients[id]
		rows.Queue(`insert into inty_clients (instance, client_id, name, countries, currencies) values ($1, $2, $3, $4, $5)
			on conflict (instance, client_id) do update set name = excluded.name, countries = excluded.countries, currencies = excluded.currencies`,
			instance, id, x.name, x.countries, x.currencies)
	}
	if err := tx.SendBatch(ctx, rows).Close(); err != nil {
		return fmt.Errorf("store what Inty left: %w", err)
	}
	// What Halo no longer shows is gone, or no longer looks like Inty's; what was re-pointed is kept for undo.
	_, err := tx.Exec(ctx, `delete from inty_licences i where instance = $1 and read_at < $2
		and not exists (select from inty_moves m where m.instance = i.instance and m.licence_id = i.halo_id and m.finished is null)
		and not exists (select from licences l where l.instance = i.instance and l.halo_id = i.halo_id and l.present)`, instance, began)
	if err != nil {
		return fmt.Errorf("forget licences that are gone: %w", err)
	}
	// Recurring invoices say in which currency a customer is billed.
	_, err = tx.Exec(ctx, `update inty_clients c set currencies = currencies || v.list from (
			select client_id, array_agg(distinct word) as list from (
				select client_id, convert_from(body, 'UTF8')::jsonb->>'currency_code_name' as word from invoices where instance = $1 and not gone) w
			where word <> '' group by client_id) v
		where c.instance = $1 and c.client_id = v.client_id`, instance)
	if err != nil {
		return fmt.Errorf("read currencies of recurring invoices: %w", err)
	}
	ids := []int64{}
	for _, l := range found {
		ids = append(ids, l.ClientID)
	}
	now := s.Clock.Now()
	if err := dirty(ctx, tx, instance, ids, now); err != nil { // no line is added beside one that Inty's licence is on
		return err
	}
	return changeMigration(ctx, tx, connection, instance, func(m *intyMigration) { m.ReadTime = began })
}
