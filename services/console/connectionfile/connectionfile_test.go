package connectionfile

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// given secrets, as a shell and a directory would give them.
var given = Secrets{
	Env: func(name string) (string, bool) {
		v, ok := map[string]string{"GIACOM_KEY": "canary-key", "EMPTY": " "}[name]
		return v, ok
	},
	File: func(path string) ([]byte, error) {
		if path != "/run/secrets/halo" {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return []byte("canary-secret\n"), nil
	},
}

func TestEverythingThatCanBeDeclared(t *testing.T) {
	all, err := Parse("acme.yaml", []byte(`
# One connection, in full.
slug: acme
display_name: "Acme: Managed"
enabled: true
mode: auto
giacom:
  account: acme
  version: v1
  api_key: env:GIACOM_KEY
  method: both
  all_products_feed: account totals
  annual_price_basis: PER_SEAT_PER_MONTH
  page_size: 500
halo:
  base_url: https://acme.halopsa.com
  tenant: acme
  client_id: 12345
  client_secret: file:/run/secrets/halo
  budget_window: 5m
customers: {create: true, top_level_id: 12, follow_name_of_created: false}
billing:
  pro_rata: 1
schedule:
  enabled: true
  interval: 90m
guards:
  max_removal_percent: 2.5
etag: abc
price_rules:
  - name: Microsoft
    names: ["Microsoft 365*", 'Office ?']
    cycles: [monthly, CYCLE_ANNUAL]
    cost_plus_percent: 12.50
    rounding: 0.05
    minimum_quantity: 5
  - rrp: true
    add_line: {invoice_id: -3}
---
slug: other
`), given)
	if err != nil {
		t.Fatal(err)
	}
	want := []Declaration{
		{
			At: "acme.yaml:3", GiacomAPIKey: "canary-key", HaloClientSecret: "canary-secret",
			Connection: &connectionv1.Connection{
				Slug: "acme", DisplayName: "Acme: Managed", Enabled: true, Mode: connectionv1.Mode_MODE_AUTO, Etag: "abc",
				Giacom: &connectionv1.Giacom{
					Account: "acme", Version: connectionv1.GiacomVersion_GIACOM_VERSION_V1, Method: connectionv1.ImportMethod_IMPORT_METHOD_BOTH,
					AllProductsFeed:  connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_ACCOUNT_TOTALS,
					AnnualPriceBasis: moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH, PageSize: 500,
				},
				Halo:      &connectionv1.Halo{BaseUrl: "https://acme.halopsa.com", Tenant: "acme", ClientId: "12345", BudgetWindow: durationpb.New(5 * time.Minute)},
				Customers: &connectionv1.Customers{Create: true, TopLevelId: 12, FollowNameOfCreated: proto.Bool(false)},
				Billing:   &connectionv1.Billing{ProRata: proto.Int32(1)},
				Schedule:  &connectionv1.Schedule{Enabled: true, Interval: durationpb.New(90 * time.Minute)},
				Guards:    &connectionv1.Guards{MaxRemovalPercent: 2.5},
			},
			PriceRules: &pricingv1.PriceRules{Connection: "acme", Rules: []*pricingv1.PriceRule{
				{
					Name: "Microsoft", Names: []string{"Microsoft 365*", "Office ?"}, Cycles: []giacomv1.Cycle{giacomv1.Cycle_CYCLE_MONTHLY, giacomv1.Cycle_CYCLE_ANNUAL},
					Price: &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: "12.50"}, Rounding: "0.05", MinimumQuantity: proto.Int64(5),
				},
				{Price: &pricingv1.PriceRule_Rrp{Rrp: true}, AddLine: &pricingv1.AddLine{InvoiceId: -3}},
			}},
		},
		{At: "acme.yaml:40", Connection: &connectionv1.Connection{Slug: "other"}},
	}
	if diff := cmp.Diff(want, all, protocmp.Transform()); diff != "" {
		t.Errorf("declared (-want +got):\n%s", diff)
	}
	req := all[0].Request()
	if req.GetGiacomApiKey() != "canary-key" || req.GetHaloClientSecret() != "canary-secret" || req.GetConnection() != all[0].Connection {
		t.Error("the request does not carry what was declared")
	}
}

func TestListsAnchorsAndWhatGetPrints(t *testing.T) {
	all, err := Parse("-", []byte(`
- slug: a
  halo: &halo
    base_url: https://acme.halopsa.com
    client_secret: {version: 3, last_four: "wxyz"}
  create_time: 2026-01-31T12:00:00Z
  price_rules: []
- slug: b
  halo: *halo
  displayName: B
  price_rules:
`), given)
	if err != nil {
		t.Fatal(err)
	}
	kept := &connectionv1.Halo{BaseUrl: "https://acme.halopsa.com", ClientSecret: &connectionv1.SecretRef{Version: 3, LastFour: "wxyz"}}
	want := []*connectionv1.Connection{
		{Slug: "a", Halo: kept, CreateTime: timestamppb.New(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))},
		{Slug: "b", Halo: kept, DisplayName: "B"},
	}
	for i := range want {
		if diff := cmp.Diff(want[i], all[i].Connection, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want[i].GetSlug(), diff)
		}
		if all[i].HaloClientSecret != "" {
			t.Errorf("%s: a secret out of nothing", want[i].GetSlug())
		}
		if all[i].PriceRules == nil || len(all[i].PriceRules.GetRules()) != 0 {
			t.Errorf("%s: price_rules is there and empty, read as %v", want[i].GetSlug(), all[i].PriceRules)
		}
	}
}

func TestWhatIsWrongIsNamedWithItsPlace(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"unknown field":         {"slug: a\ncolour: red", "f.yaml:2: document 1 (connection a): colour: does not exist; there are: billing, canary, create_time,"},
		"unknown nested field":  {"slug: a\nhalo:\n  url: x", "f.yaml:3: document 1 (connection a): halo.url: does not exist; there are: auth_url,"},
		"unknown rule field":    {"slug: a\nprice_rules:\n- margin: 3", "f.yaml:3: document 1 (connection a): price_rules[0].margin: does not exist"},
		"unknown word":          {"slug: a\nmode: fast", `f.yaml:2: document 1 (connection a): mode: "fast" is none of: observe, auto`},
		"second document":       {"slug: a\n---\nslug: b\nenabled: maybe", `f.yaml:4: document 2 (connection b): enabled: "maybe" is neither true nor false`},
		"entry of a list":       {"- slug: a\n- slug: b\n  billing: {pro_rata: 1.5}", `f.yaml:3: document 1, entry 2 (connection b): billing.pro_rata: "1.5" is no whole number`},
		"duration":              {"slug: a\nguards: {removal_interval: soon}", "guards.removal_interval: must be a duration, such as 30s"},
		"list wanted":           {"slug: a\nprice_rules: {keep: true}", "price_rules: must be a list"},
		"fields wanted":         {"slug: a\ngiacom: v1", "giacom: must hold fields"},
		"value wanted":          {"slug: a\ndisplay_name: [x]", "display_name: must be a single value"},
		"two prices":            {"slug: a\nprice_rules: [{keep: true, fixed: 3}]", "price_rules[0].fixed: stands beside keep: choose one"},
		"no slug":               {"mode: auto", "f.yaml:1: document 1: slug: is missing"},
		"slug twice":            {"slug: a\n---\nslug: a", `f.yaml:3: document 2 (connection a): slug: "a" is declared at f.yaml:1 already`},
		"both spellings":        {"slug: a\ndisplay_name: x\ndisplayName: y", "displayName: is given twice"},
		"nothing":               {"# only a remark\n", "f.yaml: declares no connection"},
		"a word":                {"hello", "f.yaml:1: document 1: must hold fields"},
		"not YAML":              {"slug: a\n\thalo: [", "f.yaml:2: is not YAML"},
		"number for not number": {"slug: a\nguards: {max_removal_percent: lots}", `"lots" is no number`},
		"unset variable":        {"slug: a\ngiacom: {api_key: 'env:NOWHERE'}", "f.yaml:2: document 1 (connection a): giacom.api_key: the environment variable NOWHERE is not set"},
		"empty variable":        {"slug: a\ngiacom: {api_key: 'env:EMPTY'}", "giacom.api_key: the environment variable EMPTY is empty"},
		"missing file":          {"slug: a\nhalo: {client_secret: 'file:/none'}", "halo.client_secret: read the secret: open /none: file does not exist"},
		"empty secret":          {"slug: a\nhalo:\n  client_secret:", "halo.client_secret: is empty; leave it out to keep"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := Parse("f.yaml", []byte(test.content), given)
			if err == nil {
				t.Fatalf("accepted as %v", all)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := Parse("f.yaml", []byte("slug: a\nmode: fast\ncolour: red\n---\nenabled: true"), given)
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 3 {
		t.Errorf("got %v, want three errors", err)
	}
}

// A secret that somebody wrote into the file shows in no message, however wrong the file is otherwise.
func TestLiteralSecretsAreRefusedAndNotRepeated(t *testing.T) {
	for _, content := range []string{
		"slug: a\ngiacom: {api_key: sesame}",
		"slug: a\ngiacom: {api_key: 'sesame:sesame'}",
		"slug: a\nhalo:\n  client_secret: |\n    sesame\n",
		"slug: a\nhalo:\n  client_secret: [sesame]",
		"slug: a\ngiacom_api_key: sesame",
		"slug: a\nhalo: sesame",
		"slug: a\ngiacom:\n  api_key: sesame\n bad: [",
		"slug: a\ngiacom:\n  api_key: \"sesame",
	} {
		all, err := Parse("f.yaml", []byte(content), given)
		if err == nil {
			t.Errorf("%q was accepted as %v", content, all)
		} else if strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: the message repeats it: %v", content, err)
		}
	}
	_, err := Parse("f.yaml", []byte("slug: a\ngiacom: {api_key: sesame}"), given)
	if !strings.Contains(err.Error(), "env:NAME") || !strings.Contains(err.Error(), "file:/path") {
		t.Errorf("%v does not say what to write instead", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("slug: a\nhalo: {base_url: x}")
	f.Add("- slug: &x a\n- slug: *x\n")
	f.Add("a: &a {b: *a}")
	f.Add("price_rules: [{add_line: {item_id: 1}}]\nslug: !!str 1")
	f.Fuzz(func(t *testing.T, content string) {
		all, err := Parse("f.yaml", []byte(content), given)
		if err == nil && len(all) == 0 {
			t.Error("neither a connection nor an error")
		}
	})
}
