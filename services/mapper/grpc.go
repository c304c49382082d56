package mapper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

var mappings = list.Spec{
	Noun: "mappings",
	Fields: map[string]list.Field{
		"connection": list.Text("c.connection"), "mex_id": list.Text("c.mex_id"),
		"giacom_name": list.Text("coalesce(nullif(c.name, ''), n.name, '')"),
		"state":       list.Enum("c.state", mappingv1.State(0).Descriptor()), "origin": list.Enum("c.origin", mappingv1.Origin(0).Descriptor()),
		"reason": list.Text("c.reason_code"), "halo_client_id": list.Integer("c.client_id"), "halo_client_name": list.Text("c.client_name"),
		"subscriptions": list.Integer("coalesce(n.live, 0)"), "update_time": list.Time("c.updated"),
	},
	Key:    []string{"connection", "mex_id"},
	Search: []string{"giacom_name", "halo_client_name", "mex_id"},
}

// ListMappings pages through the customers that Giacom has, and those that a person decided about.
func (s *service) ListMappings(ctx context.Context, req *mappingv1.ListMappingsRequest) (*mappingv1.ListMappingsResponse, error) {
	q, err := mappings.Query(req)
	if err != nil {
		return nil, err
	}
	found, next, err := list.Collect(ctx, s.Pool, q, list.Select{
		Columns: customerColumns, From: customerFrom, Where: "c.in_feed or coalesce(n.live, 0) > 0 or c.decision <> 0",
	}, scanCustomer)
	if err != nil {
		return nil, err
	}
	resp := &mappingv1.ListMappingsResponse{NextPageToken: next}
	if resp.Mappings, err = s.withStatus(ctx, found); err != nil {
		return nil, err
	}
	return resp, nil
}

// withStatus completes mappings with the state of their items.
func (s *service) withStatus(ctx context.Context, found []record) ([]*mappingv1.Mapping, error) {
	list, ids := make([]string, len(found)), make([]string, len(found))
	for i, c := range found {
		list[i], ids[i] = c.Connection, c.MexID
	}
	items, err := s.engine.Query(ctx, s.Pool, `(connection, key) in (select * from unnest($1::text[], $2::text[]))`, list, ids)
	if err != nil {
		return nil, err
	}
	known := map[[2]string]item{}
	for _, x := range items {
		known[[2]string{x.Connection, x.Key}] = x
	}
	out := make([]*mappingv1.Mapping, len(found))
	for i, c := range found {
		out[i] = c.proto()
		if x, ok := known[[2]string{c.Connection, c.MexID}]; ok {
			out[i].Status = x.Status()
		}
	}
	return out, nil
}

// GetMapping returns the mapping of one customer.
func (s *service) GetMapping(ctx context.Context, req *mappingv1.GetMappingRequest) (*mappingv1.Mapping, error) {
	found, err := readCustomers(ctx, s.Pool, `c.connection = $1 and c.mex_id = $2`, req.GetConnection(), mexID(req.GetMexId()))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, rpc.NotFound("customer", req.GetConnection()+"/"+mexID(req.GetMexId())).Do("look for it with `seatline mappings list`")
	}
	out, err := s.withStatus(ctx, found)
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// SetMapping maps a customer to a client, which must exist and be active.
func (s *service) SetMapping(ctx context.Context, req *mappingv1.SetMappingRequest) (*mappingv1.Mapping, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	to, err := s.activeClient(ctx, c, req.GetHaloClientId())
	if err != nil {
		return nil, err
	}
	return s.change(ctx, c, req.GetMexId(), req.GetEtag(), func(x *record) error {
		x.Decision = decision{State: mappingv1.State_STATE_MAPPED, ClientID: to.ID, Origin: mappingv1.Origin_ORIGIN_OPERATOR, Who: rpc.Who(ctx)}
		x.Now = mapping{State: mappingv1.State_STATE_MAPPED, ClientID: to.ID, ClientName: to.Name, Origin: mappingv1.Origin_ORIGIN_OPERATOR}
		return nil
	})
}

// IgnoreCustomer leaves a customer and its subscriptions alone.
func (s *service) IgnoreCustomer(ctx context.Context, req *mappingv1.IgnoreCustomerRequest) (*mappingv1.Mapping, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	if req.GetReason() == "" {
		return nil, rpc.InvalidArgument("reason", "is missing: whoever finds the customer unbilled will want to know why")
	}
	return s.change(ctx, c, req.GetMexId(), "", func(x *record) error {
		x.Decision = decision{State: mappingv1.State_STATE_IGNORED, Origin: mappingv1.Origin_ORIGIN_OPERATOR, Reason: req.GetReason(), Who: rpc.Who(ctx)}
		x.Now = mapping{State: mappingv1.State_STATE_IGNORED, Origin: mappingv1.Origin_ORIGIN_OPERATOR, Code: reasonIgnored, Text: req.GetReason()}
		return nil
	})
}

// CreateCustomer has a customer created in Halo although one of nearly that name exists.
func (s *service) CreateCustomer(ctx context.Context, req *mappingv1.GetMappingRequest) (*mappingv1.Mapping, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	return s.change(ctx, c, req.GetMexId(), "", func(x *record) error {
		if x.Now.State == mappingv1.State_STATE_MAPPED {
			return rpc.FailedPrecondition("ALREADY_MAPPED", x.MexID, "customer %s (%s) is mapped to customer %d of Halo", x.MexID, x.Name, x.Now.ClientID).
				Do("remove that mapping first, if it is wrong")
		}
		x.Decision = decision{State: mappingv1.State_STATE_CREATING, Origin: mappingv1.Origin_ORIGIN_OPERATOR, Who: rpc.Who(ctx)}
		return nil
	})
}

// RemoveMapping undoes what a person decided; the rules decide at once.
func (s *service) RemoveMapping(ctx context.Context, req *mappingv1.GetMappingRequest) (*mappingv1.Mapping, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	return s.change(ctx, c, req.GetMexId(), "", func(x *record) error {
		x.Decision, x.Now = decision{Who: rpc.Who(ctx)}, mapping{}
		return nil
	})
}

// change carries out a person's decision: with its subscriptions at once where it says what holds
// now, and by the rules otherwise.
func (s *service) change(ctx context.Context, c *connectionv1.Connection, id, etag string, decide func(*record) error) (*mappingv1.Mapping, error) {
	id = mexID(id)
	key := c.GetSlug() + "/" + id
	err := postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		known, err := readCustomers(ctx, tx, `c.connection = $1 and c.mex_id = $2 for update of c`, c.GetSlug(), id)
		if err != nil {
			return err
		}
		if len(known) == 0 {
			return rpc.NotFound("customer", key).Do("look for it with `seatline mappings list`")
		}
		x := known[0]
		if etag != "" && x.proto().Etag != etag {
			return rpc.Conflict("mapping", key)
		}
		if err := decide(&x); err != nil {
			return err
		}
		return s.decided(ctx, tx, c, x)
	})
	if err != nil {
		return nil, err
	}
	if err := s.weigh(ctx, c.GetSlug()); err != nil {
		return nil, err
	}
	s.engine.Kick()
	return s.GetMapping(ctx, &mappingv1.GetMappingRequest{Connection: c.GetSlug(), MexId: id})
}

// decided stores locked customers as a person wants them, and publishes their subscriptions.
func (s *service) decided(ctx context.Context, tx pgx.Tx, c *connectionv1.Connection, changed ...record) error {
	known, err := readPicture(ctx, tx, settingsOf(c))
	if err != nil {
		return err
	}
	now := s.Clock.Now()
	var settled []record
	var ids []string
	for _, x := range changed {
		x.Version, x.Updated, x.Run, x.Cause, x.Trace = x.Version+1, now, "", "", ""
		if err := saveCustomer(ctx, tx, x); err != nil {
			return err
		}
		if x.Now.State != 0 {
			settled, ids = append(settled, x), append(ids, x.MexID)
		}
	}
	// The decision may make another customer's name unique, or free a near match.
	if err := setDue(ctx, tx, c.GetSlug(), now, now, false); err != nil {
		return err
	}
	var live []record
	for _, x := range settled {
		if x.live() {
			live = append(live, x)
		}
	}
	if err := s.engine.Desire(ctx, tx, wants(live, settingsOf(c), connections.PermitOf(c), known)...); err != nil {
		return err
	}
	return s.resend(ctx, tx, c.GetSlug(), settled, ids)
}

// RefreshMappings reads Halo's customers again and decides all mappings anew.
func (s *service) RefreshMappings(ctx context.Context, req *mappingv1.RefreshMappingsRequest) (*mappingv1.RefreshMappingsResponse, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	if err := s.readHalo(ctx, c); err != nil {
		return nil, unreachable(err)
	}
	now := s.Clock.Now()
	if err := postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return setDue(ctx, tx, c.GetSlug(), now, now, false) }); err != nil {
		return nil, err
	}
	if err := s.weigh(ctx, c.GetSlug()); err != nil {
		return nil, err
	}
	resp := &mappingv1.RefreshMappingsResponse{}
	err = s.Pool.QueryRow(ctx, `select count(*) filter (where state = $2), count(*) filter (where state = $3) from customers where connection = $1`,
		c.GetSlug(), int16(mappingv1.State_STATE_MAPPED), int16(mappingv1.State_STATE_UNMAPPED)).Scan(&resp.Mapped, &resp.Unmapped)
	if err != nil {
		return nil, fmt.Errorf("count mappings: %w", err)
	}
	return resp, nil
}

// connection reads a connection's settings.
func (s *service) connection(ctx context.Context, slug string) (*connectionv1.Connection, error) {
	c, err := connections.Read(ctx, s.Pool, slug)
	if errors.Is(err, connections.ErrUnknown) || err == nil && c.GetDeleted() {
		return nil, rpc.NotFound("connection", slug).Do("look for it with `seatline connections list`")
	}
	return c, err
}

// activeClient asks Halo for a client that something is to be billed to.
func (s *service) activeClient(ctx context.Context, c *connectionv1.Connection, id int64) (client, error) {
	if id <= 0 {
		return client{}, rpc.InvalidArgument("halo_client_id", "is missing: it is the number of the customer in Halo")
	}
	api, err := s.halos.Client(ctx, c)
	if err != nil {
		return client{}, unreachable(err)
	}
	x, err := api.At(halo.Urgent).Customer(ctx, id)
	switch {
	case halo.ClassOf(err) == halo.NotFound:
		return client{}, rpc.FailedPrecondition("HALO_CUSTOMER_MISSING", fmt.Sprint(id), "Halo has no customer %d", id).
			Do("look the number up in Halo, in the address of the customer's page")
	case err != nil:
		return client{}, unreachable(err)
	case x.Inactive:
		return client{}, rpc.FailedPrecondition("HALO_CUSTOMER_INACTIVE", fmt.Sprint(id), "customer %d of Halo (%s) is inactive", id, x.Name).
			Do("activate it in Halo, or choose another")
	}
	return client{ID: int64(x.ID), Name: x.Name}, nil
}

func unreachable(err error) error {
	return rpc.Unavailable("HALO_UNREACHABLE", 30*time.Second, "Halo could not be asked: %v", err).Do("check the connection, then try again")
}
