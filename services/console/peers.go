package console

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Peers are connections to the other services, as a service that reads. The console writes nowhere but
// in its own tables; it asks the others for what belongs on one page with a connection.
type Peers struct {
	Fetcher, Mapper, Licence, Billing grpc.ClientConnInterface
}

func (p Peers) runs() runv1.RunServiceClient { return runv1.NewRunServiceClient(p.Fetcher) }
func (p Peers) mappings() mappingv1.MappingServiceClient {
	return mappingv1.NewMappingServiceClient(p.Mapper)
}
func (p Peers) subscriptions() subscriptionv1.SubscriptionServiceClient {
	return subscriptionv1.NewSubscriptionServiceClient(p.Mapper)
}
func (p Peers) licences() licencev1.LicenceServiceClient {
	return licencev1.NewLicenceServiceClient(p.Licence)
}
func (p Peers) lines() invoicelinev1.LineServiceClient {
	return invoicelinev1.NewLineServiceClient(p.Billing)
}
func (p Peers) pricing() pricingv1.PricingServiceClient {
	return pricingv1.NewPricingServiceClient(p.Billing)
}

// writers are the services that write to Halo, in the order of a plan.
func (p Peers) writers() []struct {
	name string
	ops  opsv1.OpsServiceClient
} {
	return []struct {
		name string
		ops  opsv1.OpsServiceClient
	}{
		{"mapper", opsv1.NewOpsServiceClient(p.Mapper)}, {"licence", opsv1.NewOpsServiceClient(p.Licence)}, {"billing", opsv1.NewOpsServiceClient(p.Billing)},
	}
}

// peerTime is how long one of several services may take over its part of an answer.
const peerTime = 10 * time.Second

// absent notes the services that gave no answer.
type absent []string

// ask calls a service for its part of an answer, and notes when it did not come: the rest is worth
// having. What the service answers with an error for the caller, such as NOT_FOUND, is returned.
func (a *absent) ask(ctx context.Context, service string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, peerTime)
	defer cancel()
	err := call(ctx)
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown:
		if !slices.Contains(*a, service) {
			*a = append(*a, service)
		}
		return nil
	case codes.Canceled:
		return ctx.Err()
	}
	return err
}

// unreachable is the error of a service that a whole answer depends on.
func unreachable(service string, err error) error {
	switch status.Code(err) {
	case codes.Unavailable:
		return rpc.Unavailable("SERVICE_UNREACHABLE", 5*time.Second, "the %s does not answer", service).
			Do("see that it runs (seatline status), and try again")
	}
	e, _ := rpc.ErrorFrom(err)
	return e
}

// each pages through a list to its end.
func each[T any](fetch func(token string) (rows []T, next string, err error), do func(T)) error {
	for token := ""; ; {
		rows, next, err := fetch(token)
		if err != nil {
			return err
		}
		for _, row := range rows {
			do(row)
		}
		if token = next; token == "" {
			return nil
		}
	}
}
