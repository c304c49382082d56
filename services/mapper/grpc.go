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
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

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
	if err := s.noteClient(ctx, c, to); err != nil {
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
	return s.change(ctx, c, req.GetMexId(), req.GetEtag(), func(x *record) error {
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
	return s.change(ctx, c, req.GetMexId(), req.GetEtag(), func(x *record) error {
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
	return s.change(ctx, c, req.GetMexId(), req.GetEtag(), func(x *record) error {
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
		if etag != "" && x.etag() != etag {
			return changedMeanwhile(x)
		}
		if err := decide(&x); err != nil {
			return err
		}
		return s.decided(ctx, tx, c, x)
	})
	if err != nil {
		return nil, err
	}
	if err := s.weighNow(ctx, c.GetSlug()); err != nil {
		return nil, err
	}
	s.engine.Kick()
	return s.GetMapping(ctx, &mappingv1.GetMappingRequest{Connection: c.GetSlug(), MexId: id})
}

// changedMeanwhile says who was faster, and what holds now.
func changedMeanwhile(x record) error {
	by := "by a rule"
	if x.ChangedBy != "" {
		by = "by " + x.ChangedBy
	}
	e := rpc.Conflict("mapping", x.Connection+"/"+x.MexID)
	e.Message = fmt.Sprintf("the mapping of %s (%s) was changed %s at %s since you read it: %s", x.MexID, x.Name, by, x.Updated.UTC().Format("2 January 2006 15:04:05 MST"), x.Now.sentence())
	return e.Do("look at it as it is now, and decide again").With("changed_by", x.ChangedBy).With("change_time", x.Updated.UTC().Format(time.RFC3339)).With("etag", x.etag())
}

// sentence says what holds, within one.
func (m mapping) sentence() string {
	switch m.State {
	case mappingv1.State_STATE_MAPPED:
		return fmt.Sprintf("it is mapped to customer %d of Halo (%s)", m.ClientID, m.ClientName)
	case mappingv1.State_STATE_CREATING:
		return "its customer is to be created in Halo"
	case mappingv1.State_STATE_IGNORED:
		return fmt.Sprintf("it is ignored (%s)", m.Text)
	}
	return "it is not mapped"
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
		x.ChangedBy, x.Confirmed = rpc.Who(ctx), true
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
	if err := s.weighNow(ctx, c.GetSlug()); err != nil {
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
	return existing(slug, c, err)
}

// existing is a connection unless there is none, or none any more.
func existing(slug string, c *connectionv1.Connection, err error) (*connectionv1.Connection, error) {
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

// noteClient keeps what Halo just said of a customer: one that was made there since the last listing
// would be taken for gone.
func (s *service) noteClient(ctx context.Context, c *connectionv1.Connection, x client) error {
	_, err := s.Pool.Exec(ctx, `insert into clients (instance, id, name, inactive, first_seen) values ($1, $2, $3, false, $4)
		on conflict (instance, id) do update set name = excluded.name, inactive = false`, c.GetHalo().GetInstance(), x.ID, x.Name, s.Clock.Now())
	if err != nil {
		return fmt.Errorf("note customer %d of Halo: %w", x.ID, err)
	}
	return nil
}

func unreachable(err error) error {
	return rpc.Unavailable("HALO_UNREACHABLE", 30*time.Second, "Halo could not be asked: %v", err).Do("check the connection, then try again")
}
