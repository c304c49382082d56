package mapper

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

var subscriptions = list.Spec{
	Noun: "subscriptions",
	Fields: map[string]list.Field{
		"connection": list.Text("connection"), "key": list.Text("key"), "mex_id": list.Text("mex_id"),
		"customer_name": list.Text("customer_name"), "name": list.Text("name"), "sku": list.Text("sku"),
		"state":          list.Enum("state", subscriptionv1.State(0).Descriptor()),
		"halo_client_id": list.Integer("client_id"), "reason": list.Text("reason_code"), "update_time": list.Time("updated"),
	},
	Key:    []string{"connection", "key"},
	Search: []string{"name", "customer_name", "key"},
}

// ListSubscriptions pages through all subscriptions with the customers they are billed to.
func (s *service) ListSubscriptions(ctx context.Context, req *subscriptionv1.ListSubscriptionsRequest) (*subscriptionv1.ListSubscriptionsResponse, error) {
	q, err := subscriptions.Query(req)
	if err != nil {
		return nil, err
	}
	found, next, err := list.Collect(ctx, s.Pool, q, list.Select{Columns: subscriptionColumns, From: "subscriptions"}, scanSubscription)
	if err != nil {
		return nil, err
	}
	resp := &subscriptionv1.ListSubscriptionsResponse{NextPageToken: next}
	for _, x := range found {
		p, err := x.read()
		if err != nil {
			return nil, err
		}
		resp.Subscriptions = append(resp.Subscriptions, p)
	}
	return resp, nil
}

// read is the row as a message.
func (s subscription) read() (*subscriptionv1.Subscription, error) {
	g := &giacomv1.Subscription{}
	if err := proto.Unmarshal(s.Body, g); err != nil {
		return nil, fmt.Errorf("stored subscription %s/%s: %w", s.Connection, s.Key, err)
	}
	p := s.proto(g)
	p.Etag = s.etag()
	return p, nil
}

// etag moves with every revision that was published, so also with what a person decided.
func (s subscription) etag() string { return strconv.FormatInt(s.OutRevision, 36) }

// GetSubscription returns one subscription.
func (s *service) GetSubscription(ctx context.Context, req *subscriptionv1.GetSubscriptionRequest) (*subscriptionv1.Subscription, error) {
	found, err := readSubscriptions(ctx, s.Pool, `connection = $1 and key = $2`, req.GetConnection(), req.GetKey())
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, noSubscription(req.GetConnection(), req.GetKey())
	}
	return found[0].read()
}

func noSubscription(connection, key string) error {
	return rpc.NotFound("subscription", connection+"/"+key).Do("look for it with `seatline subscriptions list`")
}

// AssignSubscription bills a subscription to another customer of Halo than its own customer's.
func (s *service) AssignSubscription(ctx context.Context, req *subscriptionv1.AssignSubscriptionRequest) (*subscriptionv1.Subscription, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	to, err := s.activeClient(ctx, c, req.GetHaloClientId())
	if err != nil {
		return nil, err
	}
	return s.choose(ctx, req.GetConnection(), req.GetKey(), req.GetEtag(), choice{
		State: subscriptionv1.State_STATE_RESOLVED, ClientID: to.ID, ClientName: to.Name, Who: rpc.Who(ctx),
	})
}

// ExcludeSubscription leaves a subscription unbilled.
func (s *service) ExcludeSubscription(ctx context.Context, req *subscriptionv1.ExcludeSubscriptionRequest) (*subscriptionv1.Subscription, error) {
	if req.GetReason() == "" {
		return nil, rpc.InvalidArgument("reason", "is missing: whoever finds the subscription unbilled will want to know why")
	}
	return s.choose(ctx, req.GetConnection(), req.GetKey(), req.GetEtag(), choice{
		State: subscriptionv1.State_STATE_UNRESOLVED, Reason: req.GetReason(), Who: rpc.Who(ctx),
	})
}

// ResetSubscription undoes both: the subscription goes where its customer's go.
func (s *service) ResetSubscription(ctx context.Context, req *subscriptionv1.ResetSubscriptionRequest) (*subscriptionv1.Subscription, error) {
	return s.choose(ctx, req.GetConnection(), req.GetKey(), req.GetEtag(), choice{Who: rpc.Who(ctx)})
}

// choose stores a person's choice about a subscription and publishes what follows from it. With an etag it refuses to
// overwrite what came between.
func (s *service) choose(ctx context.Context, connection, key, etag string, c choice) (*subscriptionv1.Subscription, error) {
	err := postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		found, err := readSubscriptions(ctx, tx, `connection = $1 and key = $2`, connection, key)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return noSubscription(connection, key)
		}
		// Customers are locked before subscriptions, here as everywhere.
		owner := map[string]mapping{found[0].MexID: {}}
		if _, err := shareCustomers(ctx, tx, connection, owner); err != nil {
			return err
		}
		if found, err = readSubscriptions(ctx, tx, `connection = $1 and key = $2 for update`, connection, key); err != nil {
			return err
		}
		x := found[0]
		if etag != "" && etag != x.etag() {
			return overtaken(x)
		}
		now := s.Clock.Now()
		x.Choice, x.Updated, x.OutRevision = c, now, event.NewRevision(x.OutRevision, now)
		x.Run, x.Cause, x.Trace = "", "", ""
		if m := owner[x.MexID]; m.State != 0 || c.State != 0 {
			x.Now = resolve(c, m, x.Gone)
		}
		return publish(ctx, tx, []subscription{x})
	})
	if err != nil {
		return nil, err
	}
	return s.GetSubscription(ctx, &subscriptionv1.GetSubscriptionRequest{Connection: connection, Key: key})
}

// overtaken says when something came between, and who it was if a person decided.
func overtaken(x subscription) error {
	who := "Giacom's next word, or its customer's mapping"
	if x.Choice.Who != "" {
		who = x.Choice.Who
	}
	return rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "subscription %s/%s was changed by %s on %s UTC, after you read it",
		x.Connection, x.Key, who, x.Updated.UTC().Format("2 January 2006 at 15:04")).
		Do("look at it again, then decide").With("who", x.Choice.Who).With("update_time", x.Updated.UTC().Format(time.RFC3339))
}
