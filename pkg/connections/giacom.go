package connections

import (
	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// Giacom says how the account of a connection is reached with its key. What runs the client adds its
// HTTP client, clock and log. What is unspecified takes the default that package giacom documents.
func Giacom(c *connectionv1.Connection, key telemetry.Secret) giacom.Config {
	g := c.GetGiacom()
	cfg := giacom.Config{
		Version: giacom.V1, BaseURL: g.GetBaseUrl(), Key: key, KeyHeader: g.GetKeyHeader(),
		DeriveCustomers: g.GetCustomersFrom() == connectionv1.CustomersFrom_CUSTOMERS_FROM_DERIVED,
		ReportPath:      g.GetReportPath(), AccountTotalsPath: g.GetAccountTotalsPath(),
		SubscriptionsPath: g.GetSubscriptionsPath(), CustomersPath: g.GetCustomersPath(),
		PageSizeArgument: g.GetPageSizeArgument(), PageArgument: g.GetPageNumberArgument(), PageSize: int(g.GetPageSize()),
		AuthURL: g.GetAuthUrl(), ClientID: g.GetClientId(),
	}
	if g.GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		cfg.Version = giacom.V2
	}
	switch g.GetMethod() {
	case connectionv1.ImportMethod_IMPORT_METHOD_REPORT:
		cfg.Method = giacom.MethodReport
	case connectionv1.ImportMethod_IMPORT_METHOD_BOTH:
		cfg.Method = giacom.MethodBoth
	case connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS:
		cfg.Method = giacom.MethodSubscriptions
	}
	switch g.GetAllProductsFeed() {
	case connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_ACCOUNT_TOTALS:
		cfg.AllProducts = giacom.FromAccountTotals
	case connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS:
		cfg.AllProducts = giacom.FromSubscriptions
	}
	return cfg
}
