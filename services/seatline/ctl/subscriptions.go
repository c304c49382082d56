package ctl

import (
	"context"
	"fmt"

	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Subscriptions is the command of that name.
type Subscriptions struct {
	Client
	List    SubscriptionsList    `cmd:"" help:"List subscriptions."`
	Get     SubscriptionsGet     `cmd:"" help:"Show one."`
	Assign  SubscriptionsAssign  `cmd:"" help:"Bill it to another Halo customer than its customer's."`
	Exclude SubscriptionsExclude `cmd:"" help:"Leave it unbilled, for a reason."`
	Reset   SubscriptionsReset   `cmd:"" help:"Undo assign and exclude."`
}

// keyArgs name something by connection and key.
type keyArgs struct {
	Connection string `arg:"" help:"Connection."`
	Key        string `arg:"" help:"Key, as list shows it."`
}

// SubscriptionsList is `subscriptions list`.
type SubscriptionsList struct {
	Connection string `arg:"" optional:"" help:"Of this connection only."`
	List
}

func (cmd *SubscriptionsList) Run(ctx context.Context, c *Client) error {
	var rows []*subscriptionv1.Subscription
	var more bool
	err := c.subscriptions(ctx, func(ctx context.Context, client subscriptionv1.SubscriptionServiceClient) (err error) {
		more, err = cmd.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListSubscriptions(ctx, &subscriptionv1.ListSubscriptionsRequest{
				PageSize: size, PageToken: token, Filter: within(cmd.Connection, cmd.Filter), OrderBy: cmd.OrderBy,
			})
			rows = append(rows, page.GetSubscriptions()...)
			return len(page.GetSubscriptions()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*subscriptionv1.Subscription]{"connection", (*subscriptionv1.Subscription).GetConnection},
		column[*subscriptionv1.Subscription]{"key", (*subscriptionv1.Subscription).GetKey},
		column[*subscriptionv1.Subscription]{"customer", func(x *subscriptionv1.Subscription) string { return x.GetGiacom().GetCustomerName() }},
		column[*subscriptionv1.Subscription]{"product", func(x *subscriptionv1.Subscription) string { return x.GetGiacom().GetName() }},
		column[*subscriptionv1.Subscription]{"seats", func(x *subscriptionv1.Subscription) string { return orNone(x.GetGiacom().GetQuantity()) }},
		column[*subscriptionv1.Subscription]{"cost", func(x *subscriptionv1.Subscription) string { return money(x.GetGiacom().GetPurchasePrice()) }},
		column[*subscriptionv1.Subscription]{"giacom says", func(x *subscriptionv1.Subscription) string { return orDash(x.GetGiacom().GetStatusWord()) }},
		column[*subscriptionv1.Subscription]{"state", func(x *subscriptionv1.Subscription) string { return word(x.GetState()) }},
		column[*subscriptionv1.Subscription]{"halo customer", subscriptionClient},
		column[*subscriptionv1.Subscription]{"why", func(x *subscriptionv1.Subscription) string { return x.GetReason().GetText() }},
	)
}

func subscriptionClient(x *subscriptionv1.Subscription) string {
	if x.GetHaloClientId() == 0 {
		return "–"
	}
	return fmt.Sprintf("%d %s", x.GetHaloClientId(), x.GetHaloClientName())
}

// orNone is orDash for figures of which 0 is one.
func orNone(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// SubscriptionsGet is `subscriptions get`.
type SubscriptionsGet struct{ keyArgs }

func (cmd *SubscriptionsGet) Run(ctx context.Context, c *Client) error {
	return c.subscriptions(ctx, func(ctx context.Context, client subscriptionv1.SubscriptionServiceClient) error {
		s, err := client.GetSubscription(ctx, &subscriptionv1.GetSubscriptionRequest{Connection: cmd.Connection, Key: cmd.Key})
		if err != nil {
			return err
		}
		return printOne(c, s)
	})
}

// SubscriptionsAssign is `subscriptions assign`.
type SubscriptionsAssign struct {
	keyArgs
	HaloID int64 `arg:"" name:"halo-id" help:"Halo's id of the customer."`
	etagFlag
}

func (cmd *SubscriptionsAssign) Run(ctx context.Context, c *Client) error {
	return c.subscriptions(ctx, func(ctx context.Context, client subscriptionv1.SubscriptionServiceClient) error {
		s, err := client.AssignSubscription(ctx, &subscriptionv1.AssignSubscriptionRequest{Connection: cmd.Connection, Key: cmd.Key, HaloClientId: cmd.HaloID, Etag: cmd.Etag})
		if err != nil {
			return err
		}
		return done(c, s, "%s is billed to %s.", s.GetKey(), subscriptionClient(s))
	})
}

// SubscriptionsExclude is `subscriptions exclude`.
type SubscriptionsExclude struct {
	keyArgs
	Reason string `required:"" help:"Why it is not billed."`
	etagFlag
}

func (cmd *SubscriptionsExclude) Run(ctx context.Context, c *Client) error {
	return c.subscriptions(ctx, func(ctx context.Context, client subscriptionv1.SubscriptionServiceClient) error {
		s, err := client.ExcludeSubscription(ctx, &subscriptionv1.ExcludeSubscriptionRequest{Connection: cmd.Connection, Key: cmd.Key, Reason: cmd.Reason, Etag: cmd.Etag})
		if err != nil {
			return err
		}
		return done(c, s, "%s is left unbilled: %s.", s.GetKey(), cmd.Reason)
	})
}

// SubscriptionsReset is `subscriptions reset`.
type SubscriptionsReset struct {
	keyArgs
	etagFlag
}

func (cmd *SubscriptionsReset) Run(ctx context.Context, c *Client) error {
	return c.subscriptions(ctx, func(ctx context.Context, client subscriptionv1.SubscriptionServiceClient) error {
		s, err := client.ResetSubscription(ctx, &subscriptionv1.ResetSubscriptionRequest{Connection: cmd.Connection, Key: cmd.Key, Etag: cmd.Etag})
		if err != nil {
			return err
		}
		return done(c, s, "%s follows its customer's mapping again: it is %s.", s.GetKey(), word(s.GetState()))
	})
}
