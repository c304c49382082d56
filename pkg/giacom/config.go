package giacom

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"

	"seatline.dev/pkg/telemetry"
)

// Version of Giacom's API.
type Version int

const (
	V1 Version = 1
	// V2 is not available for production instances [F]; it is refused at a production address.
	V2 Version = 2
)

// Method is the import method, by the names Halo gives them [F].
type Method string

const (
	// MethodSubscriptions imports all products, without end date, term and status.
	MethodSubscriptions Method = "subscriptions"
	// MethodReport imports Microsoft subscriptions only, with end date, term and status.
	MethodReport Method = "subscriptionsmanagementreport"
	// MethodBoth takes Microsoft subscriptions from the report and all others from the other feed; see [LooksMicrosoft].
	MethodBoth Method = "both"
)

// AllProducts is the path that serves [MethodSubscriptions].
type AllProducts string

const (
	// FromSubscriptions is the path Subscriptions [G].
	FromSubscriptions AllProducts = "subscriptions"
	// FromAccountTotals is the path AccountTotals [F-1]. Its rows have no id; see [Client.AccountTotals].
	FromAccountTotals AllProducts = "accounttotals"
)

// Defaults of Config.
const (
	DefaultBaseURL           = "https://cloudmarket-services.azure-api.net/Billing/v1" // [F-1]
	DefaultKeyHeader         = "Ocp-Apim-Subscription-Key"                             // [F-1]
	DefaultReportPath        = "SubscriptionsManagementReport"                         // [F-1]
	DefaultAccountTotalsPath = "AccountTotals"                                         // [F-1]
	DefaultStatusPath        = "Status"                                                // [F-1]
	DefaultSubscriptionsPath = "Subscriptions"                                         // [G]
	DefaultCustomersPath     = "Customers"                                             // [G]
	DefaultPageSizeArgument  = "pageSize"                                              // [F-1]
	DefaultPageArgument      = "pageNumber"                                            // [G]
	DefaultPageSize          = 5000                                                    // [F-1]
	DefaultScope             = "integrations/organization.read integrations/serviceInventory.read"
)

// Config says how one Giacom account is reached. The zero value of a field means its default; Key is required.
type Config struct {
	// Version is V1 unless V2 is chosen.
	Version Version
	// BaseURL of the API, without a trailing slash. Required for V2: there is no address to default to.
	BaseURL string
	// Key is the API key: the gateway's subscription key, for V2 with ClientID the client secret.
	Key telemetry.Secret
	// KeyHeader carries Key in V1, and in V2 without ClientID.
	KeyHeader string

	Method      Method
	AllProducts AllProducts
	// DeriveCustomers takes customers from the subscription feeds rather than from the customers path.
	DeriveCustomers bool

	// Paths below BaseURL.
	ReportPath, AccountTotalsPath, StatusPath, SubscriptionsPath, CustomersPath string

	// PageSizeArgument and PageArgument are the names of the paging arguments of V1; PageSize is what is asked for.
	PageSizeArgument, PageArgument string
	PageSize                       int
	// DataKeys are the fields of an answer that may hold its rows, compared without regard to case. Default "data".
	DataKeys []string

	// AuthURL and ClientID choose OAuth client credentials in V2: the token address and the client id. Scope is asked for.
	AuthURL, ClientID, Scope string

	// HTTP sends the requests; nil means a client of its own. Redirects are never followed: they would carry the key to
	// another host.
	HTTP *http.Client
	// Silence is how long Giacom may send nothing before a request counts as cut; default one minute.
	Silence time.Duration
	// Clock drives back-off; nil means the real one.
	Clock clockwork.Clock
	// Log hears of retries; nil discards. The key never reaches it.
	Log *slog.Logger
	// Meters counts requests; nil means OpenTelemetry's global one.
	Meters metric.MeterProvider
}

// withDefaults fills what is empty.
func (c Config) withDefaults() Config {
	set := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	if c.Version == 0 {
		c.Version = V1
	}
	if c.Version == V1 {
		set(&c.BaseURL, DefaultBaseURL)
	}
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	set(&c.KeyHeader, DefaultKeyHeader)
	set(&c.ReportPath, DefaultReportPath)
	set(&c.AccountTotalsPath, DefaultAccountTotalsPath)
	set(&c.StatusPath, DefaultStatusPath)
	set(&c.SubscriptionsPath, DefaultSubscriptionsPath)
	set(&c.CustomersPath, DefaultCustomersPath)
	set(&c.PageSizeArgument, DefaultPageSizeArgument)
	set(&c.PageArgument, DefaultPageArgument)
	set(&c.Scope, DefaultScope)
	set((*string)(&c.Method), string(MethodSubscriptions))
	set((*string)(&c.AllProducts), string(FromSubscriptions))
	if c.PageSize <= 0 {
		c.PageSize = DefaultPageSize
		if c.Version == V2 {
			c.PageSize = 100
		}
	}
	if len(c.DataKeys) == 0 {
		c.DataKeys = []string{"data"}
	}
	if c.Silence <= 0 {
		c.Silence = time.Minute
	}
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Meters == nil {
		c.Meters = otel.GetMeterProvider()
	}
	return c
}

// productionHosts are Giacom's known production addresses [F-1].
var productionHosts = []string{"cloudmarket-services.azure-api.net", "api.integrations.giacom.com"}

// check refuses what cannot work, in words for the person who configured it.
func (c Config) check() error {
	if c.Key == "" {
		return &Error{Class: Misconfigured, Message: "no API key: make one in the Giacom portal under Settings > API and enter it here"}
	}
	if c.BaseURL == "" {
		return &Error{Class: Misconfigured, Message: "v2 has no default address: enter the one Giacom gave you, or choose v1"}
	}
	u, err := url.Parse(c.BaseURL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.User != nil {
		return &Error{Class: Misconfigured, Message: fmt.Sprintf("base URL %q: expected https://host/path without query or password", redactURL(c.BaseURL))}
	}
	if c.Version == V2 {
		for _, host := range productionHosts {
			if strings.EqualFold(u.Hostname(), host) {
				return &Error{Class: Misconfigured, Message: "v2 is not available for production instances (" + host + "): choose v1"}
			}
		}
		if c.ClientID != "" && c.AuthURL == "" {
			return &Error{Class: Misconfigured, Message: "v2 with a client id needs the token address too: enter it, or leave the client id empty to send the plain key"}
		}
	}
	switch c.Method {
	case MethodSubscriptions, MethodReport, MethodBoth:
	default:
		return &Error{Class: Misconfigured, Message: fmt.Sprintf("unknown import method %q: expected %s, %s or %s", c.Method, MethodSubscriptions, MethodReport, MethodBoth)}
	}
	return nil
}

func redactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable)"
	}
	u.RawQuery, u.User = "", nil
	return u.String()
}
