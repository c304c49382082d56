package licence

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

var licences = list.Spec{
	Noun: "licences",
	Fields: map[string]list.Field{
		"connection": list.Text("i.connection").Also("s.connection"), "key": list.Text("i.key").Also("s.key"), "mex_id": list.Text("s.mex_id"),
		"customer_name": list.Text("i.customer"), "name": list.Text("s.name"), "sku": list.Text("s.sku"),
		"state": list.Enum("i.state", itemv1.State(0).Descriptor()), "reason": list.Text("i.reason_code"),
		"halo_id": list.Integer("i.halo_id"), "halo_client_id": list.Integer("s.client_id"),
		"count": list.Integer("coalesce((i.desired->>'count')::bigint, 0)"), "update_time": list.Time("i.updated"),
	},
	Key:    []string{"connection", "key"},
	Search: []string{"customer_name", "name", "key"},
}

var listed = reconcile.Listing{Joins: map[string]string{"s": "join subscriptions s on s.connection = i.connection and s.key = i.key"}}

// ListLicences pages through licences.
func (s *service) ListLicences(ctx context.Context, req *licencev1.ListLicencesRequest) (*licencev1.ListLicencesResponse, error) {
	found, next, err := listLicences(ctx, s.Pool, req)
	if err != nil {
		return nil, err
	}
	return &licencev1.ListLicencesResponse{Licences: found, NextPageToken: next}, nil
}

func listLicences(ctx context.Context, db list.DB, req *licencev1.ListLicencesRequest) ([]*licencev1.Licence, string, error) {
	q, err := licences.Query(req)
	if err != nil {
		return nil, "", err
	}
	return reconcile.List(ctx, db, q, listed, licenceOf)
}

// GetLicence returns one licence.
func (s *service) GetLicence(ctx context.Context, req *licencev1.GetLicenceRequest) (*licencev1.Licence, error) {
	x, err := s.get(ctx, req.GetConnection(), req.GetKey())
	if err != nil {
		return nil, err
	}
	return licenceOf(x)
}

func (s *service) get(ctx context.Context, connection, key string) (item, error) {
	items, err := s.engine.Query(ctx, s.Pool, `connection = $1 and key = $2`, connection, key)
	if err != nil {
		return item{}, err
	}
	if len(items) == 0 {
		return item{}, rpc.NotFound("licence", connection+"/"+key)
	}
	return items[0], nil
}

// AdoptLicence takes over a licence that exists in Halo: a person says that it is this subscription's.
func (s *service) AdoptLicence(ctx context.Context, req *licencev1.AdoptLicenceRequest) (*licencev1.Licence, error) {
	x, err := s.get(ctx, req.GetConnection(), req.GetKey())
	if err != nil {
		return nil, err
	}
	c, err := connections.Read(ctx, s.Pool, x.Connection)
	if err != nil {
		return nil, err
	}
	client, err := s.halos.Client(ctx, c)
	if err != nil {
		return nil, err
	}
	l, err := client.At(halo.Urgent).Licence(ctx, req.GetHaloId())
	if halo.ClassOf(err) == halo.NotFound {
		return nil, rpc.NotFound("licence in Halo", number(req.GetHaloId()))
	}
	if err != nil {
		return nil, err
	}
	if int64(l.Type) != halo.TypeSubscription || l.Deleted {
		return nil, rpc.FailedPrecondition("NOT_A_SUBSCRIPTION", number(req.GetHaloId()), "licence %d in Halo is not a subscription, or is deleted", req.GetHaloId())
	}
	if err := save(ctx, s.Pool, x.Instance, s.Clock.Now().UnixMicro(), []halo.Licence{l}); err != nil {
		return nil, err
	}
	return s.resolve(ctx, x, req.GetHaloId())
}

// CreateLicence makes a new one although a candidate exists, or although ours is gone from Halo.
func (s *service) CreateLicence(ctx context.Context, req *licencev1.GetLicenceRequest) (*licencev1.Licence, error) {
	x, err := s.get(ctx, req.GetConnection(), req.GetKey())
	if err != nil {
		return nil, err
	}
	return s.resolve(ctx, x, 0)
}

// resolve records a person's decision and decides anew.
func (s *service) resolve(ctx context.Context, x item, adopt int64) (*licencev1.Licence, error) {
	err := postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := takeTurn(ctx, tx, x.Connection); err != nil {
			return err
		}
		items, err := s.engine.Lock(ctx, tx, `connection = $1 and key = $2`, x.Connection, x.Key)
		if err != nil || len(items) == 0 {
			return err
		}
		now := items[0]
		if now.State == reconcile.Applying {
			return rpc.Unavailable("WRITE_UNDER_WAY", 0, "licence %s/%s is being written to Halo", x.Connection, x.Key).Do("try again when it is done")
		}
		if now.HaloID != 0 && now.Reason.Code != "gone_in_halo" {
			return rpc.FailedPrecondition("HAS_LICENCE", x.Key, "%s/%s has licence %d in Halo already", x.Connection, x.Key, now.HaloID)
		}
		if adopt != 0 {
			owners, err := ownersOf(ctx, tx, x.Instance, []int64{adopt})
			if err != nil {
				return err
			}
			if owner, taken := owners[adopt]; taken {
				return rpc.FailedPrecondition("LICENCE_TAKEN", number(adopt), "licence %d in Halo belongs to %s", adopt, owner)
			}
		}
		if now.HaloID != 0 {
			if err := s.engine.Retire(ctx, tx, reconcile.Reason{Code: "gone_in_halo", Text: "Its licence is gone from Halo."}, x.Connection, x.Key); err != nil {
				return err
			}
		}
		var clients []int64
		if now.Desired != nil {
			clients = append(clients, now.Desired.ClientID)
		}
		return s.decided(ctx, tx, x.Connection, []string{x.Key}, []int64{adopt}, clients)
	})
	if err != nil {
		return nil, err
	}
	s.wake.Nudge()
	s.engine.Kick()
	return s.GetLicence(ctx, &licencev1.GetLicenceRequest{Connection: x.Connection, Key: x.Key})
}

// RetryLicence tries a failed one again, and has what was held for what Halo showed looked at anew.
func (s *service) RetryLicence(ctx context.Context, req *licencev1.GetLicenceRequest) (*licencev1.Licence, error) {
	x, err := s.get(ctx, req.GetConnection(), req.GetKey())
	if err != nil {
		return nil, err
	}
	err = postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		return s.engine.Release(ctx, tx, x.Connection, x.Key, rpc.Who(ctx), nil)
	})
	if errors.Is(err, reconcile.ErrHeldByRule) {
		if x.Reason.Code == "duplicate_mark" || x.Reason.Code == "possible_duplicate" {
			if err := wantListing(ctx, s.Pool, x.Instance, s.Clock.Now()); err != nil {
				return nil, err
			}
			return licenceOf(x)
		}
		return nil, rpc.FailedPrecondition("HELD_BY_RULE", x.Key, "%s/%s: %s", x.Connection, x.Key, x.Reason.Text)
	}
	if err != nil {
		return nil, err
	}
	s.engine.Kick()
	return s.GetLicence(ctx, req)
}

// licenceEvent is the full state of a licence as an event.
func licenceEvent(x item) (event.Event, error) {
	l, err := licenceOf(x)
	if err != nil {
		return event.Event{}, err
	}
	verb := "changed"
	if x.State == reconcile.Retired {
		verb = "removed"
	}
	return event.Event{Type: "seatline.licence." + verb + ".v1", Entity: "licence", Data: l}, nil
}

// licenceOf is an item as the contract has it. What the item carries along is part of it as it is stored: encoded
// messages that follow one another are one message to whoever decodes them, and a page need not be decoded in order to
// be sent. So the fields that weigh wrote are not to be read from what this returns.
func licenceOf(x item) (*licencev1.Licence, error) {
	giacom, err := within(x.Facts, 3, 3) // subscription.giacom
	if err != nil {
		return nil, fmt.Errorf("facts of licence %s/%s: %w", x.Connection, x.Key, err)
	}
	name, _ := within(giacom, 5)
	sku, _ := within(giacom, 6)
	l := &licencev1.Licence{Connection: x.Connection, Key: x.Key, Instance: x.Instance, Status: x.Status(), Etag: number(x.Revision)}
	l.ProtoReflect().SetUnknown(x.Facts)
	fields := func(f *Fields) *licencev1.Fields { return fieldsProto(f, string(name), string(sku), x.Currency) }
	l.Desired = fields(x.Desired)
	if l.Applied = l.Desired; x.Applied != x.Desired {
		l.Applied = fields(x.Applied)
	}
	return l, nil
}

// within finds a field in an encoded message, by the numbers of the messages that it lies in and its own; nil if it is
// not there.
func within(message []byte, path ...protowire.Number) ([]byte, error) {
	for rest := message; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		length := protowire.ConsumeFieldValue(number, kind, rest[n:])
		if length < 0 {
			return nil, protowire.ParseError(length)
		}
		value := rest[n : n+length]
		if number != path[0] || kind != protowire.BytesType {
			rest = rest[n+length:]
			continue
		}
		value, _ = protowire.ConsumeBytes(value)
		if len(path) == 1 {
			return value, nil
		}
		return within(value, path[1:]...)
	}
	return nil, nil
}

func fieldsProto(f *Fields, name, sku, currency string) *licencev1.Fields {
	if f == nil {
		return nil
	}
	amount := func(d *decimal.Decimal) *moneyv1.Money {
		if d == nil {
			return nil
		}
		return &moneyv1.Money{Amount: d.String(), Currency: currency, Basis: moneyv1.Basis_BASIS_PER_SEAT_PER_CYCLE}
	}
	moment := func(s string) *timestamppb.Timestamp {
		d := date(s)
		if d == nil {
			return nil
		}
		return timestamppb.New(d.Time)
	}
	return &licencev1.Fields{
		ClientId: f.ClientID, Count: deref(f.Count), PurchasePrice: amount(f.PurchasePrice), StartTime: moment(f.Start), EndTime: moment(f.End),
		BillingCycle: f.Cycle, TermDuration: f.Term, Active: f.Active, Price: amount(f.Price), Name: name, Sku: sku,
	}
}
