package overview

import (
	"google.golang.org/grpc"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Services are connections to all of them, for those who ask several.
type Services struct {
	Console, Fetcher, Mapper, Licence, Billing grpc.ClientConnInterface
}

// Connections and what follows are clients of what the services answer.
func (s Services) Connections() connectionv1.ConnectionServiceClient {
	return connectionv1.NewConnectionServiceClient(s.Console)
}

func (s Services) Integrator() runv1.IntegratorServiceClient {
	return runv1.NewIntegratorServiceClient(s.Console)
}

func (s Services) Runs() runv1.RunServiceClient { return runv1.NewRunServiceClient(s.Fetcher) }

func (s Services) Mappings() mappingv1.MappingServiceClient {
	return mappingv1.NewMappingServiceClient(s.Mapper)
}

func (s Services) Subscriptions() subscriptionv1.SubscriptionServiceClient {
	return subscriptionv1.NewSubscriptionServiceClient(s.Mapper)
}

func (s Services) Licences() licencev1.LicenceServiceClient {
	return licencev1.NewLicenceServiceClient(s.Licence)
}

func (s Services) Lines() invoicelinev1.LineServiceClient {
	return invoicelinev1.NewLineServiceClient(s.Billing)
}

func (s Services) Pricing() pricingv1.PricingServiceClient {
	return pricingv1.NewPricingServiceClient(s.Billing)
}

func (s Services) Inty() intyv1.MigrationServiceClient {
	return intyv1.NewMigrationServiceClient(s.Billing)
}

// Writer is a service that writes to Halo, and so has a plan and a change log.
type Writer struct {
	Service string
	// Kind of what it writes, in plans and changes.
	Kind string
	Ops  opsv1.OpsServiceClient
}

// Writers in the order of a plan, which is that in which a seat travels through them.
func (s Services) Writers() []Writer {
	return []Writer{
		{"mapper", "customer", opsv1.NewOpsServiceClient(s.Mapper)},
		{"licence", "licence", opsv1.NewOpsServiceClient(s.Licence)},
		{"billing", "invoice-line", opsv1.NewOpsServiceClient(s.Billing)},
	}
}
