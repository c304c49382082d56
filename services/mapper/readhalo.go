package mapper

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// readHalo lists Halo's customers and what ties them to Giacom's. It costs a request for each 1,000
// customers and two more.
func (s *service) readHalo(ctx context.Context, c *connectionv1.Connection) error {
	set := settingsOf(c)
	api, err := s.halos.Client(ctx, c)
	if err != nil {
		return err
	}
	api = api.At(halo.Background)
	now := s.Clock.Now()
	var found []halo.Customer
	for x, err := range api.Customers(ctx, halo.CustomerFilter{Inactive: true, Tenants: true}) {
		if err != nil {
			return fmt.Errorf("list the customers of Halo: %w", err)
		}
		found = append(found, x)
	}
	var ties []tie
	control, err := api.Control(ctx)
	if err != nil && halo.ClassOf(err) != halo.MissingRights && halo.ClassOf(err) != halo.NotFound {
		return fmt.Errorf("read the settings of Halo: %w", err)
	}
	for _, l := range control.GiacomMappings() {
		if l.Linked() {
			ties = append(ties, tie{true, mexID(l.ThirdPartyID.Value), int64(l.HaloID)})
		}
	}
	linked, err := ownLinks(ctx, api)
	if err != nil {
		return err
	}
	places, err := s.postCodes(ctx, c.GetSlug(), api)
	if err != nil {
		return err
	}
	if err := s.storePicture(ctx, set.Instance, found, places, append(ties, linked...), now); err != nil {
		return err
	}
	return s.weighAssigned(ctx, c)
}

// postCodes of Halo's customers are read only while they could tell who an unmapped customer is. An
// instance that does not allow to list sites shows none.
func (s *service) postCodes(ctx context.Context, connection string, api *halo.Client) (map[int64][]string, error) {
	var useful bool
	err := s.Pool.QueryRow(ctx, `select exists (select from customers where connection = $1 and state in (0, $2) and traits ? 'post_codes')`,
		connection, int16(mappingv1.State_STATE_UNMAPPED)).Scan(&useful)
	if err != nil {
		return nil, fmt.Errorf("look for post codes: %w", err)
	}
	if !useful {
		return nil, nil
	}
	out := map[int64][]string{}
	for site, err := range api.SiteAddresses(ctx) {
		if class := halo.ClassOf(err); class == halo.MissingRights || class == halo.NotFound || class == halo.Refused {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the sites of Halo: %w", err)
		}
		if p := postCode(site.Address.PostCode.Value); p != "" {
			out[int64(site.ClientID)] = append(out[int64(site.ClientID)], p)
		}
	}
	return out, nil
}

// traitsOfClient are what Halo shows of a customer besides its name.
func traitsOfClient(c halo.Customer, postCodes []string) traits {
	t := traits{Tenants: c.TenantIDs(), PostCodes: postCodes}
	for _, d := range []string{domainOf(c.Domain.Value), domainOf(c.Website.Value)} {
		if d != "" && !slices.Contains(t.Domains, d) {
			t.Domains = append(t.Domains, d)
		}
	}
	if p := postCode(c.Address.PostCode.Value); p != "" && !slices.Contains(t.PostCodes, p) {
		t.PostCodes = append(t.PostCodes, p)
	}
	return t
}

// storePicture replaces what is known of an instance.
func (s *service) storePicture(ctx context.Context, instance string, found []halo.Customer, places map[int64][]string, ties []tie, now time.Time) error {
	n := len(found)
	ids, names, inactive, marks := make([]int64, n), make([]string, n), make([]bool, n), make([]map[string]string, n)
	who := make([]traits, n)
	for i, x := range found {
		ids[i], names[i], inactive[i], marks[i] = int64(x.ID), x.Name, x.Inactive, map[string]string{}
		who[i] = traitsOfClient(x, places[int64(x.ID)])
		for _, f := range x.CustomFields {
			marks[i][f.Name] = f.Value.Value
		}
	}
	return postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// Two connections may share the instance, and read it at the same time.
		_, err := tx.Exec(ctx, `insert into instances (instance, read_at) values ($1, $2)
			on conflict (instance) do update set read_at = greatest(instances.read_at, excluded.read_at)`, instance, now)
		if err != nil {
			return fmt.Errorf("store the customers of Halo: %w", err)
		}
		// List rows may not show custom fields; marks that were found out otherwise stay.
		_, err = tx.Exec(ctx, `insert into clients as c (instance, id, name, inactive, marks, first_seen, traits)
			select $1, id, name, inactive, marks, $6, traits from unnest($2::bigint[], $3::text[], $4::boolean[], $5::jsonb[], $7::jsonb[]) as t(id, name, inactive, marks, traits)
			on conflict (instance, id) do update set name = excluded.name, inactive = excluded.inactive,
				marks = c.marks || excluded.marks, traits = c.traits || excluded.traits`, instance, ids, names, inactive, marks, now, who)
		if err != nil {
			return fmt.Errorf("store the customers of Halo: %w", err)
		}
		// One that was created after the listing began is not in it, and not gone.
		if _, err := tx.Exec(ctx, `delete from clients where instance = $1 and id <> all($2) and first_seen < $3`, instance, ids, now); err != nil {
			return fmt.Errorf("forget customers of Halo: %w", err)
		}
		if _, err := tx.Exec(ctx, `delete from ties where instance = $1`, instance); err != nil {
			return fmt.Errorf("store the ties of Halo: %w", err)
		}
		return saveTies(ctx, tx, instance, ties)
	})
}

// tie is a link between a Giacom customer and a Halo customer that is kept in Halo.
type tie struct {
	native bool
	mexID  string // of our own links: "<Giacom account>/<mexId>"
	client int64
}

func saveTies(ctx context.Context, tx pgx.Tx, instance string, ties []tie) error {
	native, ids, clients := make([]bool, len(ties)), make([]string, len(ties)), make([]int64, len(ties))
	for i, t := range ties {
		native[i], ids[i], clients[i] = t.native, t.mexID, t.client
	}
	_, err := tx.Exec(ctx, `insert into ties (instance, native, mex_id, client_id)
		select $1, * from unnest($2::boolean[], $3::text[], $4::bigint[]) on conflict do nothing`, instance, native, ids, clients)
	if err != nil {
		return fmt.Errorf("store the ties of Halo: %w", err)
	}
	return nil
}
