package console

import (
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/halo"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// Defaults fills in what was left out, as the contract promises. Whoever reads a stored connection
// finds every setting in it and needs no defaults of its own.
func Defaults(c *connectionv1.Connection) {
	if c.Giacom == nil {
		c.Giacom = &connectionv1.Giacom{}
	}
	if c.Halo == nil {
		c.Halo = &connectionv1.Halo{}
	}
	if c.Customers == nil {
		c.Customers = &connectionv1.Customers{}
	}
	if c.Licences == nil {
		c.Licences = &connectionv1.Licences{}
	}
	if c.Billing == nil {
		c.Billing = &connectionv1.Billing{}
	}
	if c.Schedule == nil {
		c.Schedule = &connectionv1.Schedule{}
	}
	if c.Guards == nil {
		c.Guards = &connectionv1.Guards{}
	}
	fill(&c.DisplayName, c.GetSlug())
	fill(&c.Mode, connectionv1.Mode_MODE_OBSERVE)

	g := c.Giacom
	fill(&g.Version, connectionv1.GiacomVersion_GIACOM_VERSION_V1)
	if g.GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V1 {
		fill(&g.BaseUrl, giacom.DefaultBaseURL) // v2 has no address to default to
	}
	fill(&g.Method, connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS)
	fill(&g.AllProductsFeed, connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS)
	fill(&g.CustomersFrom, connectionv1.CustomersFrom_CUSTOMERS_FROM_ENDPOINT)
	fill(&g.Currency, "GBP")
	g.BaseUrl = strings.TrimRight(g.BaseUrl, "/")

	h := c.Halo
	h.BaseUrl = strings.TrimRight(h.BaseUrl, "/")
	if h.BaseUrl != "" {
		fill(&h.AuthUrl, h.BaseUrl+"/auth")
	}
	h.AuthUrl = strings.TrimRight(h.AuthUrl, "/")
	fill(&h.BudgetRequests, halo.DefaultLimit)
	fillDuration(&h.BudgetWindow, halo.DefaultPeriod)
	h.Instance = Instance(h.GetBaseUrl(), h.GetTenant())

	if c.Customers.FollowNameOfCreated == nil {
		c.Customers.FollowNameOfCreated = proto.Bool(true)
	}
	fill(&c.Customers.CustomField, "CFGiacomCustomerId")
	if c.Licences.AdoptAcrossMethods == nil {
		c.Licences.AdoptAcrossMethods = proto.Bool(true)
	}
	fillDuration(&c.Billing.QuietBeforeRun, 2*time.Hour)
	fillDuration(&c.Billing.RefreshInterval, 6*time.Hour)

	s := c.Schedule
	if s.GetInterval() == nil {
		fill(&s.Cron, "0 6-22 * * *")
	}
	fill(&s.TimeZone, "Europe/London")
	if !s.GetCustomers() && !s.GetSubscriptions() {
		s.Customers, s.Subscriptions = true, true
	}

	fill(&c.Guards.RemovalConfirmations, 2)
	fillDuration(&c.Guards.RemovalInterval, time.Hour)
	fill(&c.Guards.MaxRemovals, 3)
	fill(&c.Guards.MaxRemovalPercent, 2)
}

// Instance is the identity of a Halo instance: its host, and its tenant where there is one.
// Connections of the same instance share its request budget, customers and invoices.
func Instance(baseURL, tenant string) string {
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	if tenant == "" {
		return host
	}
	return host + "/" + strings.ToLower(tenant)
}

// next is what would be stored: the settings of asked, with what is not the caller's to set taken
// from old, which is nil for a new connection.
func next(old, asked *connectionv1.Connection) *connectionv1.Connection {
	c := proto.CloneOf(asked)
	c.Etag, c.CreateTime, c.UpdateTime, c.UpdatedBy, c.Deleted = old.GetEtag(), old.GetCreateTime(), old.GetUpdateTime(), old.GetUpdatedBy(), false
	if h := c.GetHalo(); h != nil && h.GetAuthUrl() != "" && h.GetAuthUrl() == old.GetHalo().GetBaseUrl()+"/auth" {
		h.AuthUrl = "" // the default of the address before: it follows a new one
	}
	Defaults(c)
	c.Giacom.ApiKey, c.Halo.ClientSecret = old.GetGiacom().GetApiKey(), old.GetHalo().GetClientSecret()
	c.Halo.Capabilities = nil
	if c.Halo.GetInstance() == old.GetHalo().GetInstance() {
		c.Halo.Capabilities = old.GetHalo().GetCapabilities() // what was found out is true of that instance only
	}
	return proto.CloneOf(c) // shares nothing with old
}

func fill[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func fillDuration(field **durationpb.Duration, value time.Duration) {
	if *field == nil {
		*field = durationpb.New(value)
	}
}
