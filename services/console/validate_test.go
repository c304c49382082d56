package console

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// valid is a connection without fault, defaults filled in.
func valid() *connectionv1.Connection {
	c := proto.CloneOf(acme("acme").GetConnection())
	c.Giacom.ApiKey, c.Halo.ClientSecret = &connectionv1.SecretRef{Version: 1}, &connectionv1.SecretRef{Version: 1}
	Defaults(c)
	return c
}

func TestValidSettings(t *testing.T) {
	for name, change := range map[string]func(*connectionv1.Connection){
		"as they are":          func(*connectionv1.Connection) {},
		"v2 at loopback":       func(c *connectionv1.Connection) { v2(c, "http://127.0.0.1:4010/v2") },
		"v2 at localhost":      func(c *connectionv1.Connection) { v2(c, "http://localhost:4010/v2") },
		"v2 at uat":            func(c *connectionv1.Connection) { v2(c, "https://api.uat.integrations.giacom.com/v2") },
		"v2 at a test name":    func(c *connectionv1.Connection) { v2(c, "https://giacom-test.example.com/v2") },
		"interval, not cron":   func(c *connectionv1.Connection) { c.Schedule.Cron, c.Schedule.Interval = "", durationpb.New(time.Hour) },
		"pro rata of none":     func(c *connectionv1.Connection) { c.Billing.ProRata = proto.Int32(0) },
		"price per term":       func(c *connectionv1.Connection) { c.Giacom.AnnualPriceBasis = moneyv1.Basis_BASIS_PER_SEAT_PER_TERM },
		"no removal interval":  func(c *connectionv1.Connection) { c.Guards.RemovalInterval = durationpb.New(0) },
		"disabled, no secrets": func(c *connectionv1.Connection) { c.Enabled, c.Giacom.ApiKey, c.Halo.ClientSecret = false, nil, nil },
		"euro":                 func(c *connectionv1.Connection) { c.Giacom.Currency = "EUR" },
		"container by http":    func(c *connectionv1.Connection) { c.Halo.BaseUrl = "http://simulators:4011" },
	} {
		c := valid()
		change(c)
		for _, v := range Validate(nil, c) {
			t.Errorf("%s: %s: %s", name, v.Field, v.Description)
		}
	}
}

func v2(c *connectionv1.Connection, address string) {
	c.Giacom.Version, c.Giacom.BaseUrl = connectionv1.GiacomVersion_GIACOM_VERSION_V2, address
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for _, test := range []struct {
		field, says string
		change      func(*connectionv1.Connection)
	}{
		{"slug", `"Acme"`, func(c *connectionv1.Connection) { c.Slug = "Acme" }},
		{"slug", "1 to 40", func(c *connectionv1.Connection) { c.Slug = strings.Repeat("a", 41) }},
		{"display_name", "200", func(c *connectionv1.Connection) { c.DisplayName = strings.Repeat("a", 201) }},
		{"mode", "7", func(c *connectionv1.Connection) { c.Mode = 7 }},
		{"giacom.account", "mark", func(c *connectionv1.Connection) { c.Giacom.Account = "" }},
		{"giacom.account", "mark", func(c *connectionv1.Connection) { c.Giacom.Account = "a:b" }},
		{"giacom.version", "not available for production", func(c *connectionv1.Connection) { v2(c, "https://api.integrations.giacom.com/v2") }},
		{"giacom.version", "latest.example.com", func(c *connectionv1.Connection) { v2(c, "https://latest.example.com/v2") }},
		{"giacom.base_url", "is missing", func(c *connectionv1.Connection) { v2(c, "") }},
		{"giacom.auth_url", "token address", func(c *connectionv1.Connection) { v2(c, "http://[::1]:1/v2"); c.Giacom.ClientId = "x" }},
		{"giacom.base_url", "https://host/path", func(c *connectionv1.Connection) { c.Giacom.BaseUrl = "giacom" }},
		{"giacom.base_url", "unencrypted", func(c *connectionv1.Connection) { c.Giacom.BaseUrl = "http://giacom.example.com" }},
		{"giacom.base_url", "after ?", func(c *connectionv1.Connection) { c.Giacom.BaseUrl = "https://giacom.example.com?a=b" }},
		{"giacom.currency", "ISO 4217", func(c *connectionv1.Connection) { c.Giacom.Currency = "XYZ" }},
		{"giacom.currency", "ISO 4217", func(c *connectionv1.Connection) { c.Giacom.Currency = "gbp" }},
		{"giacom.annual_price_basis", "per month or", func(c *connectionv1.Connection) { c.Giacom.AnnualPriceBasis = moneyv1.Basis_BASIS_PER_MONTH }},
		{"giacom.key_header", "HTTP header", func(c *connectionv1.Connection) { c.Giacom.KeyHeader = "X-Key: v\r\nHost" }},
		{"giacom.report_path", "below the base URL", func(c *connectionv1.Connection) { c.Giacom.ReportPath = "../../admin" }},
		{"giacom.page_size", "100000", func(c *connectionv1.Connection) { c.Giacom.PageSize = -1 }},
		{"giacom.api_key", "Giacom portal", func(c *connectionv1.Connection) { c.Giacom.ApiKey = nil }},
		{"halo.base_url", "is missing", func(c *connectionv1.Connection) { c.Halo.BaseUrl = "" }},
		{"halo.base_url", "ends in /api", func(c *connectionv1.Connection) { c.Halo.BaseUrl = "https://acme.halopsa.com/api" }},
		{"halo.base_url", "user name or password", func(c *connectionv1.Connection) { c.Halo.BaseUrl = "https://a:b@acme.halopsa.com" }},
		{"halo.auth_url", "https://example.halopsa.com/auth", func(c *connectionv1.Connection) { c.Halo.AuthUrl = "nowhere" }},
		{"halo.client_id", "API application", func(c *connectionv1.Connection) { c.Halo.ClientId = " " }},
		{"halo.client_secret", "shown once", func(c *connectionv1.Connection) { c.Halo.ClientSecret = nil }},
		{"halo.tenant", "no name of a tenant", func(c *connectionv1.Connection) { c.Halo.Tenant = "a/b" }},
		{"halo.budget_requests", "between 10", func(c *connectionv1.Connection) { c.Halo.BudgetRequests = -5 }},
		{"halo.budget_window", "between 1s", func(c *connectionv1.Connection) { c.Halo.BudgetWindow = durationpb.New(0) }},
		{"customers.top_level_id", "no id", func(c *connectionv1.Connection) { c.Customers.TopLevelId = -1 }},
		{"customers.custom_field", "begin with CF", func(c *connectionv1.Connection) { c.Customers.CustomField = "Giacom" }},
		{"billing.pro_rata", "none of 0", func(c *connectionv1.Connection) { c.Billing.ProRata = proto.Int32(5) }},
		{"billing.pro_rata", "none of 0", func(c *connectionv1.Connection) { c.Billing.ProRata = proto.Int32(-1) }},
		{"billing.quiet_before_run", "between", func(c *connectionv1.Connection) { c.Billing.QuietBeforeRun = durationpb.New(-time.Hour) }},
		{"billing.refresh_interval", "between 5m0s", func(c *connectionv1.Connection) { c.Billing.RefreshInterval = durationpb.New(time.Second) }},
		{"billing.refresh_interval", "between", func(c *connectionv1.Connection) {
			c.Billing.RefreshInterval = &durationpb.Duration{Seconds: 1, Nanos: -1}
		}},
		{"schedule.cron", "choose one", func(c *connectionv1.Connection) { c.Schedule.Interval = durationpb.New(time.Hour) }},
		{"schedule.cron", "five fields", func(c *connectionv1.Connection) { c.Schedule.Cron = "every hour" }},
		{"schedule.cron", "five fields", func(c *connectionv1.Connection) { c.Schedule.Cron = "* * * * * *" }},
		{"schedule.cron", "never comes due", func(c *connectionv1.Connection) { c.Schedule.Cron = "0 0 31 2 *" }},
		{"schedule.interval", "between 1m0s", func(c *connectionv1.Connection) {
			c.Schedule.Cron, c.Schedule.Interval = "", durationpb.New(time.Second)
		}},
		{"schedule.time_zone", "IANA", func(c *connectionv1.Connection) { c.Schedule.TimeZone = "London" }},
		{"guards.removal_confirmations", "between 1", func(c *connectionv1.Connection) { c.Guards.RemovalConfirmations = -2 }},
		{"guards.removal_interval", "between 0s", func(c *connectionv1.Connection) { c.Guards.RemovalInterval = durationpb.New(-1) }},
		{"guards.max_removals", "less than 0", func(c *connectionv1.Connection) { c.Guards.MaxRemovals = -1 }},
		{"guards.max_removal_percent", "between 0", func(c *connectionv1.Connection) { c.Guards.MaxRemovalPercent = 101 }},
		{"guards.max_removal_percent", "between 0", func(c *connectionv1.Connection) { c.Guards.MaxRemovalPercent = math.NaN() }},
	} {
		c := valid()
		test.change(c)
		got := Validate(nil, c)
		if len(got) != 1 || got[0].Field != test.field || !strings.Contains(got[0].Description, test.says) {
			t.Errorf("%s, %q: got %v", test.field, test.says, got)
		}
	}
}

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	r := start(t)
	_, err := r.operator.ApplyConnection(t.Context(), &connectionv1.ApplyConnectionRequest{
		Connection:   &connectionv1.Connection{Slug: "Acme Ltd", Enabled: true, Schedule: &connectionv1.Schedule{TimeZone: "Mars"}},
		GiacomApiKey: "pasted with a line end\n",
	})
	e, ok := rpc.ErrorFrom(err)
	if !ok {
		t.Fatal(err)
	}
	var fields []string
	for _, v := range e.Violations {
		fields = append(fields, v.Field)
	}
	want := "slug giacom.account halo.base_url halo.client_id schedule.time_zone halo.client_secret giacom.api_key"
	if got := strings.Join(fields, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDefaultsChangeNothingTwice(t *testing.T) {
	c := valid()
	again := proto.CloneOf(c)
	Defaults(again)
	if !proto.Equal(c, again) {
		t.Errorf("was %v, became %v", c, again)
	}
}

func TestInstanceIsHostAndTenant(t *testing.T) {
	for _, test := range [][3]string{
		{"https://ACME.halopsa.com/", "Acme", "acme.halopsa.com/acme"},
		{"http://127.0.0.1:4011", "", "127.0.0.1:4011"},
		{"nowhere", "x", ""},
	} {
		if got := Instance(test[0], test[1]); got != test[2] {
			t.Errorf("Instance(%q, %q) = %q, want %q", test[0], test[1], got, test[2])
		}
	}
}
