package console

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/adhocore/gronx"
	"golang.org/x/text/currency"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

var (
	slugForm    = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	accountForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)
	headerForm  = regexp.MustCompile(`^[A-Za-z0-9-]*$`)
	pathForm    = regexp.MustCompile(`^[A-Za-z0-9._~/-]*$`)
)

// Validate returns everything that is wrong with the settings, after Defaults. old is what is stored,
// nil for a new connection. Nothing is asked of Giacom or Halo.
func Validate(old, c *connectionv1.Connection) []rpc.Violation {
	v := &violations{}
	if !slugForm.MatchString(c.GetSlug()) {
		v.add("slug", "%q is not 1 to 40 of the characters a-z, 0-9 and -", c.GetSlug())
	}
	if n := len(c.GetDisplayName()); n > 200 {
		v.add("display_name", "has %d bytes; at most 200 are kept", n)
	}
	v.known("mode", c.GetMode())
	v.giacom(old.GetGiacom(), c.GetGiacom())
	v.halo(c.GetHalo())
	v.schedule(c.GetSchedule())
	v.guards(c.GetGuards())
	if id := c.GetCustomers().GetTopLevelId(); id < 0 {
		v.add("customers.top_level_id", "%d is no id of a top level; 0 leaves the choice to Halo", id)
	}
	if c.GetCustomers().GetCustomField() != "" && !strings.HasPrefix(c.GetCustomers().GetCustomField(), "CF") {
		v.add("customers.custom_field", "%q is no custom field: in Halo their names begin with CF", c.GetCustomers().GetCustomField())
	}
	if b := c.GetBilling(); b.ProRata != nil && (b.GetProRata() < 0 || b.GetProRata() > 4) {
		v.add("billing.pro_rata", "%d is none of 0 (none), 1 (from the date of change), 2 (exclude), 3 (invoice at once) and 4 (ready for invoicing)", b.GetProRata())
	}
	v.between("billing.quiet_before_run", c.GetBilling().GetQuietBeforeRun(), 0, 7*24*time.Hour)
	v.between("billing.refresh_interval", c.GetBilling().GetRefreshInterval(), 5*time.Minute, 7*24*time.Hour)
	if c.GetEnabled() {
		if c.GetGiacom().GetApiKey().GetVersion() == 0 {
			v.add("giacom.api_key", "is missing: an enabled connection needs it; make one in the Giacom portal under Settings > API, or leave the connection disabled")
		}
		if c.GetHalo().GetClientSecret().GetVersion() == 0 {
			v.add("halo.client_secret", "is missing: an enabled connection needs it; it is shown once when the API application is made in Halo, or leave the connection disabled")
		}
	}
	return v.list
}

// violations collects, so that a person corrects a form once and not field by field.
type violations struct{ list []rpc.Violation }

func (v *violations) add(field, format string, args ...any) {
	v.list = append(v.list, rpc.Violation{Field: field, Description: fmt.Sprintf(format, args...)})
}

func (v *violations) giacom(old, g *connectionv1.Giacom) {
	switch {
	case !accountForm.MatchString(g.GetAccount()):
		v.add("giacom.account", "%q is not a name of 1 to 40 letters, digits, '.', '_' and '-'; it becomes part of the mark of every licence in Halo", g.GetAccount())
	case old != nil && old.GetAccount() != g.GetAccount():
		v.add("giacom.account", "is %q for good, because licences in Halo are marked with it; for another account make another connection", old.GetAccount())
	}
	v.known("giacom.version", g.GetVersion())
	v.known("giacom.method", g.GetMethod())
	v.known("giacom.all_products_feed", g.GetAllProductsFeed())
	v.known("giacom.customers_from", g.GetCustomersFrom())
	base := v.address("giacom.base_url", g.GetBaseUrl(), "https://host/path")
	if g.GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		if base != nil && !TestHost(base.Hostname()) {
			v.add("giacom.version", "v2 is not available for production accounts, so it is refused at %s: choose v1, or the address of a test system (loopback, or a host name with the word uat or test)", base.Hostname())
		}
		if g.GetClientId() != "" && g.GetAuthUrl() == "" {
			v.add("giacom.auth_url", "is missing: with a client id v2 needs the token address; without a client id the plain key is sent")
		}
	}
	if g.GetAuthUrl() != "" {
		v.address("giacom.auth_url", g.GetAuthUrl(), "https://host/path")
	}
	if _, err := currency.ParseISO(g.GetCurrency()); err != nil || strings.ToUpper(g.GetCurrency()) != g.GetCurrency() {
		v.add("giacom.currency", "%q is no currency of ISO 4217, such as GBP", g.GetCurrency())
	}
	switch g.GetAnnualPriceBasis() {
	case moneyv1.Basis_BASIS_UNSPECIFIED, moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH, moneyv1.Basis_BASIS_PER_SEAT_PER_TERM:
	default:
		v.add("giacom.annual_price_basis", "a price of Giacom is per seat per month or per seat per term; leave it out while you do not know, and such subscriptions are held")
	}
	if !headerForm.MatchString(g.GetKeyHeader()) {
		v.add("giacom.key_header", "is no name of an HTTP header")
	}
	for _, p := range []struct{ field, path string }{
		{"giacom.customers_path", g.GetCustomersPath()}, {"giacom.subscriptions_path", g.GetSubscriptionsPath()},
		{"giacom.report_path", g.GetReportPath()}, {"giacom.account_totals_path", g.GetAccountTotalsPath()},
		{"giacom.page_size_argument", g.GetPageSizeArgument()}, {"giacom.page_number_argument", g.GetPageNumberArgument()},
	} {
		if !pathForm.MatchString(p.path) || strings.Contains(p.path, "..") {
			v.add(p.field, "%q is not a plain name below the base URL", p.path)
		}
	}
	if n := g.GetPageSize(); n < 0 || n > 100_000 {
		v.add("giacom.page_size", "%d is not between 1 and 100000; 0 takes the default", n)
	}
}

func (v *violations) halo(h *connectionv1.Halo) {
	if base := v.address("halo.base_url", h.GetBaseUrl(), "https://example.halopsa.com"); base != nil {
		if path := strings.Trim(base.Path, "/"); path == "api" || path == "auth" {
			v.add("halo.base_url", "ends in /%s: give the address of the instance itself, such as %s://%s", path, base.Scheme, base.Host)
		}
		v.address("halo.auth_url", h.GetAuthUrl(), "https://example.halopsa.com/auth")
	}
	if strings.TrimSpace(h.GetClientId()) == "" {
		v.add("halo.client_id", "is missing: make an API application in Halo under Configuration > Integrations > Halo PSA API, with the method client id and secret")
	}
	if strings.ContainsAny(h.GetTenant(), " /?#&") {
		v.add("halo.tenant", "%q is no name of a tenant; Halo shows it beside the API details, and it is empty for a Halo of your own", h.GetTenant())
	}
	if n := h.GetBudgetRequests(); n < 10 || n > 1_000_000 {
		v.add("halo.budget_requests", "%d is not between 10 and 1000000", n)
	}
	v.between("halo.budget_window", h.GetBudgetWindow(), time.Second, time.Hour)
}

func (v *violations) schedule(s *connectionv1.Schedule) {
	switch {
	case s.GetInterval() != nil && s.GetCron() != "":
		v.add("schedule.cron", "stands beside an interval: choose one of the two")
	case s.GetInterval() != nil:
		v.between("schedule.interval", s.GetInterval(), time.Minute, 31*24*time.Hour)
	case len(strings.Fields(s.GetCron())) != 5 || !gronx.IsValid(s.GetCron()):
		v.add("schedule.cron", "%q is no cron expression of five fields, such as \"0 6-22 * * *\" for every hour from 6 to 22", s.GetCron())
	default:
		if _, err := gronx.NextTick(s.GetCron(), false); err != nil {
			v.add("schedule.cron", "%q never comes due", s.GetCron())
		}
	}
	if _, err := time.LoadLocation(s.GetTimeZone()); err != nil || s.GetTimeZone() == "Local" {
		v.add("schedule.time_zone", "%q is no time zone of the IANA database, such as Europe/London", s.GetTimeZone())
	}
}

func (v *violations) guards(g *connectionv1.Guards) {
	if n := g.GetRemovalConfirmations(); n < 1 || n > 100 {
		v.add("guards.removal_confirmations", "%d is not between 1 and 100", n)
	}
	v.between("guards.removal_interval", g.GetRemovalInterval(), 0, 31*24*time.Hour)
	if n := g.GetMaxRemovals(); n < 0 {
		v.add("guards.max_removals", "%d is less than 0", n)
	}
	if p := g.GetMaxRemovalPercent(); math.IsNaN(p) || p < 0 || p > 100 {
		v.add("guards.max_removal_percent", "%v is not between 0 and 100", p)
	}
}

// moved asks for a secret again when it would be sent to a host that it was not sent to before: otherwise
// whoever may change an address could have the stored secret delivered to themselves, and nobody may read it.
func (v *violations) moved(old, c *connectionv1.Connection, req *connectionv1.ApplyConnectionRequest) {
	ask := func(field string, ref *connectionv1.SecretRef, given string, before, after []string) {
		if ref.GetVersion() == 0 || given != "" {
			return
		}
		known := map[string]bool{}
		for _, address := range before {
			known[origin(address)] = true
		}
		for _, address := range after {
			if to := origin(address); to != "" && !known[to] {
				v.add(field, "would be sent to %s from now on, where it never was: enter it again, so that nobody gets at what is stored by changing an address", to)
				return
			}
		}
	}
	g, h := old.GetGiacom(), old.GetHalo()
	ask("giacom.api_key", g.GetApiKey(), req.GetGiacomApiKey(), []string{g.GetBaseUrl(), g.GetAuthUrl()}, []string{c.GetGiacom().GetBaseUrl(), c.GetGiacom().GetAuthUrl()})
	ask("halo.client_secret", h.GetClientSecret(), req.GetHaloClientSecret(), []string{h.GetBaseUrl(), h.GetAuthUrl()}, []string{c.GetHalo().GetBaseUrl(), c.GetHalo().GetAuthUrl()})
}

// origin of an address: its scheme and host; "" of none.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// address reads a URL, nil if it is wrong. It is not repeated in the message where it may hold a password.
func (v *violations) address(field, raw, example string) *url.URL {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		v.add(field, "is missing; it is like %s", example)
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		v.add(field, "is not an address like %s", example)
	case u.User != nil:
		v.add(field, "holds a user name or password: secrets have fields of their own, the address is not one")
	case u.RawQuery != "" || u.Fragment != "":
		v.add(field, "has a part after ? or #: give it without")
	case u.Scheme == "http" && !privateHost(u.Hostname()):
		v.add(field, "would send secrets unencrypted to %s: use https", u.Hostname())
	default:
		return u
	}
	return nil
}

// between checks bounds, both included.
func (v *violations) between(field string, d *durationpb.Duration, least, most time.Duration) {
	if d == nil {
		return
	}
	if d.CheckValid() != nil || d.AsDuration() < least || d.AsDuration() > most {
		v.add(field, "%s is not between %s and %s", d.AsDuration(), least, most)
	}
}

// known refuses the number of an enum value that this version does not have.
func (v *violations) known(field string, e protoreflect.Enum) {
	if e.Descriptor().Values().ByNumber(e.Number()) == nil {
		v.add(field, "%d is not a value that this version of Seatline knows", e.Number())
	}
}

// TestHost says whether a host is clearly not Giacom's production: this machine, or a name with the
// word uat or test in it.
func TestHost(host string) bool {
	if loopback(host) {
		return true
	}
	for _, word := range strings.FieldsFunc(strings.ToLower(host), func(r rune) bool { return r == '.' || r == '-' }) {
		if word == "uat" || word == "test" {
			return true
		}
	}
	return false
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// privateHost: this machine, a private address, or a name without a dot, as containers have.
func privateHost(host string) bool {
	ip := net.ParseIP(host)
	return loopback(host) || ip != nil && ip.IsPrivate() || ip == nil && !strings.Contains(host, ".")
}

// secret: what is pasted often brings a line end or a space along.
func (v *violations) secret(field, value string) {
	if strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		v.add(field, "begins or ends with a space, or holds a line end: paste it again without")
	}
	if len(value) > 4096 {
		v.add(field, "has %d bytes; at most 4096 are kept", len(value))
	}
}

// invalid is the answer to settings that are wrong; nil when nothing is.
func invalid(slug string, list []rpc.Violation) error {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return rpc.InvalidArgument(list[0].Field, "%s", list[0].Description)
	}
	e := rpc.Errorf(codes.InvalidArgument, "INVALID_ARGUMENT", "connection %q: %d settings are wrong", slug, len(list))
	e.Violations = list
	return e
}
