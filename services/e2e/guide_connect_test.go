package e2e

import (
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

// declared is a connection as an operator writes it into a file.
const declared = `
slug: SLUG
display_name: 'DISPLAY'
enabled: true
mode: MODE
giacom:
  account: SLUG
  base_url: GIACOM
  api_key: KEY
  method: METHOD
  all_products_feed: subscriptions
  customers_from: endpoint
  annual_price_basis: per_seat_per_month
halo:
  base_url: HALO
  tenant: sim
  client_id: sim-client
  client_secret: file:SECRET
  budget_requests: 1000000
customers: {create: false, top_level_id: 12, map_by_name: BYNAME, map_from_native: false}
billing: {pro_rata: 1}
guards: {removal_confirmations: 2, removal_interval: 0s, max_removals: 1000, allow_customer_removal: true}
price_rules:
  - name: keep, and add what is missing
    keep: true
    add_line: {}
`

// applied writes the file and applies it.
func (g *guide) applied(c *connectionv1.Connection, key string) string {
	g.Helper()
	method := strings.ToLower(strings.TrimPrefix(c.GetGiacom().GetMethod().String(), "IMPORT_METHOD_"))
	mode := strings.ToLower(strings.TrimPrefix(c.GetMode().String(), "MODE_"))
	byName := map[bool]string{true: "true", false: "false"}[c.GetCustomers().GetMapByName()]
	path := g.file(c.GetSlug()+".yaml", strings.NewReplacer("SLUG", c.GetSlug(), "DISPLAY", strings.ReplaceAll(c.GetDisplayName(), "'", "''"), "MODE", mode, "GIACOM", g.w.GiacomURL,
		"KEY", key, "METHOD", method, "HALO", g.w.HaloURL, "SECRET", g.dir+"/halo-secret", "BYNAME", byName).Replace(declared))
	return g.command(0, "connections", "apply", "-f", path)
}

// called sends the same to the services.
func (g *guide) called(c *connectionv1.Connection, key string) {
	g.Helper()
	_, err := g.console.ApplyConnection(g.ctx, &connectionv1.ApplyConnectionRequest{Connection: c, GiacomApiKey: key, HaloClientSecret: haloSecret})
	g.must(err)
	g.connection = c
	g.settle() // billing hears of it over the bus
	_, err = pricingv1.NewPricingServiceClient(g.w.Client(ctl.Billing)).SetPriceRules(g.ctx, &pricingv1.SetPriceRulesRequest{Rules: &pricingv1.PriceRules{Connection: c.GetSlug(), Rules: g.rules}})
	g.must(err)
}

// wanted is a connection that maps and creates nobody by itself.
func (g *guide) wanted(slug string, mode connectionv1.Mode, method connectionv1.ImportMethod, byName bool) *connectionv1.Connection {
	c, native := g.w.Connection(slug), false
	c.DisplayName, c.Mode, c.Giacom.Account, c.Giacom.Method, c.Licences = estate.OddName, mode, slug, method, nil
	c.Customers.Create, c.Customers.MapByName, c.Customers.MapFromNative = false, &byName, &native
	return c
}

// stored wants a new connection to be as it was declared.
func (g *guide) stored(want *connectionv1.Connection) {
	g.Helper()
	g.connection = want
	g.follow()
	g.watch()
	got := g.connection
	if got.GetDisplayName() != want.GetDisplayName() || got.GetMode() != want.GetMode() || got.GetGiacom().GetMethod() != want.GetGiacom().GetMethod() ||
		got.GetGiacom().GetApiKey().GetVersion() == 0 || got.GetHalo().GetClientSecret().GetVersion() == 0 {
		g.Errorf("stored is %v, want %v", got, want)
	}
	if diff := cmp.Diff(want.GetCustomers(), got.GetCustomers(), protocmp.Transform(), protocmp.IgnoreFields(&connectionv1.Customers{}, "follow_name_of_created", "custom_field", "unmapped_alert_after")); diff != "" {
		g.Errorf("customers (-want +got):\n%s", diff)
	}
	rules, err := pricingv1.NewPricingServiceClient(g.w.Client(ctl.Billing)).GetPriceRules(g.ctx, &pricingv1.GetPriceRulesRequest{Connection: g.slug()})
	g.must(err)
	if diff := cmp.Diff(g.rules, rules.GetRules(), protocmp.Transform()); diff != "" {
		g.Errorf("price rules (-want +got):\n%s", diff)
	}
}

// connecting is the guide's "Connecting Halo to Giacom", and the first hour.
func connecting() []procedure {
	return []procedure{
		{
			name: "connect, with a key that is wrong",
			command: func(g *guide) {
				want := g.wanted("acme", connectionv1.Mode_MODE_OBSERVE, connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS, false)
				out := g.applied(want, "env:STORY_GIACOM_KEY")
				g.says(out, "Connection acme created: enabled, observe.")
				g.stored(want)
				g.noSecrets(out, g.command(0, "connections", "get", "acme"), g.command(0, "connections", "history", "acme"))
			},
			call: func(g *guide) {
				want := g.wanted("acme", connectionv1.Mode_MODE_OBSERVE, connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS, false)
				g.called(want, "a-wrong-key")
				g.stored(want)
				changes, err := g.console.ListConnectionChanges(g.ctx, &connectionv1.ListConnectionChangesRequest{})
				g.must(err)
				g.noSecrets(g.connection.String(), changes.String())
			},
			after: func(g *guide) {},
		},
		{
			name: "validate, and put the right key in its place",
			command: func(g *guide) {
				g.says(g.command(8, "connections", "validate", "acme"), "Giacom key", "My Account & Settings > Settings > API")
				g.says(g.command(4, "connections", "rotate", "acme", "--giacom-api-key", "env:STORY_OTHER_KEY"), "the old one stays")
				g.says(g.command(0, "connections", "rotate", "acme", "--giacom-api-key", "env:STORY_NEW_KEY"), "Giacom key version 2")
				g.says(g.command(0, "connections", "validate", "acme"), "Halo token", "2 of 8 Giacom customers")
			},
			call: func(g *guide) {
				checks := func() (failed []*connectionv1.Check, all string) {
					resp, err := g.console.ValidateConnection(g.ctx, &connectionv1.GetConnectionRequest{Slug: "acme"})
					g.must(err)
					for _, c := range resp.GetChecks() {
						if c.GetOutcome() == connectionv1.Check_OUTCOME_FAILED {
							failed = append(failed, c)
						}
					}
					return failed, resp.String()
				}
				failed, _ := checks()
				if len(failed) == 0 || failed[0].GetGroup() != connectionv1.Check_GROUP_GIACOM || !strings.Contains(failed[0].GetFix(), "My Account & Settings > Settings > API") {
					g.Errorf("with a wrong key these checks fail: %v", failed)
				}
				_, err := g.console.RotateSecrets(g.ctx, &connectionv1.RotateSecretsRequest{Slug: "acme", GiacomApiKey: "another-wrong-key"})
				g.refused(err, codes.FailedPrecondition, "the old one stays")
				_, err = g.console.RotateSecrets(g.ctx, &connectionv1.RotateSecretsRequest{Slug: "acme", GiacomApiKey: giacomKey})
				g.must(err)
				failed, all := checks()
				if len(failed) > 0 {
					g.Errorf("with the right key these checks fail: %v", failed)
				}
				g.noSecrets(all)
			},
			after: func(g *guide) {
				if c := g.connection; c.GetGiacom().GetApiKey().GetVersion() != 2 || c.GetHalo().GetCapabilities().GetProbeTime() == nil {
					g.Errorf("after validation: %v", c)
				}
				g.noSecrets()
			},
		},
		{
			name: "see how things stand before anything is written",
			command: func(g *guide) {
				g.command(0, "runs", "start", "acme", "--watch")
				g.saw(false)
				g.says(g.command(0, "parity", "acme"), "0 of 16 subscriptions agree with Halo")
				g.says(g.command(0, "parity", "acme", "--class", "unmapped"), estate.OddName)
				g.says(g.command(7, "overview", "acme", "--check"), "Needs attention")
			},
			call: func(g *guide) {
				_, err := g.w.Run(g.ctx, "acme", false)
				g.must(err)
				g.saw(false)
				parity, err := licencev1.NewLicenceServiceClient(g.w.Client(ctl.Licence)).GetParity(g.ctx, &licencev1.GetParityRequest{Connection: "acme"})
				g.must(err)
				if parity.GetSubscriptions() != 16 || parity.GetAgree() != 0 {
					g.Errorf("parity: %v", parity)
				}
			},
			after: func(g *guide) {
				if diff := cmp.Diff(g.before, g.w.Halo.State()); diff != "" {
					g.Errorf("a connection that observes wrote to Halo:\n%s", diff)
				}
			},
		},
	}
}

// leaving begins to write: everything that was mapped so far is now billed.
var leaving = procedure{
	name: "leave observe",
	command: func(g *guide) {
		g.says(g.command(0, "connections", "leave-observe", "acme"), "billing.pro_rata", "customers.create", "licences.deactivate_removed", "--pro-rata=0 (none)", "--rules=FILE")
		g.says(g.command(0, "connections", "leave-observe", "acme", "--price-basis=per-seat-per-term", "--deactivate-removed"), "A seat for the whole term.", "A scheduled run makes them inactive")
		g.says(g.command(2, "connections", "leave-observe", "acme", "--pro-rata=9", "--yes"), "billing.pro_rata")
		g.says(g.command(0, "rules", "set", "acme", "-f", g.file("none.yaml", "[]\n")), "0 rules stored")
		rules := g.file("rules.yaml", "- {name: 'keep, and add what is missing', keep: true, add_line: {}}\n")
		g.says(g.command(0, "connections", "leave-observe", "acme", "--rules", rules, "--price-basis=per-seat-per-month", "--no-deactivate-removed", "--yes", "--canary", g.mex(0)), "what concerns "+g.mex(0))
		if g.follow(); !slices.Equal(g.connection.GetCanary().GetMexIds(), []string{g.mex(0)}) {
			g.Errorf("the canary is %v", g.connection.GetCanary())
		}
		g.says(g.command(0, "connections", "leave-observe", "acme", "--yes"), "writes to Halo from now on")
	},
	call: func(g *guide) {
		leave, err := g.console.GetLeaveObserve(g.ctx, &connectionv1.GetConnectionRequest{Slug: "acme"})
		g.must(err)
		if !leave.GetMayLeave() || len(leave.GetQuestions()) != 6 || leave.GetEtag() != g.connection.GetEtag() {
			g.Errorf("leaving: %v", leave)
		}
		g.change(func(c *connectionv1.Connection) {
			c.Mode, c.Canary = connectionv1.Mode_MODE_AUTO, &connectionv1.Canary{MexIds: []string{g.mex(0)}}
		})
		g.change(func(c *connectionv1.Connection) { c.Canary = nil })
	},
	after: func(g *guide) {
		if g.connection.GetMode() != connectionv1.Mode_MODE_AUTO {
			g.Errorf("the mode is %s", g.connection.GetMode())
		}
		if c := g.connection; c.GetCanary() != nil || c.GetGiacom().GetAnnualPriceBasis() != moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH || c.GetLicences().GetDeactivateRemoved() || c.GetBilling().GetProRata() != 1 {
			g.Errorf("after the answers: %v", c)
		}
	},
}

// ending is what deleting a connection means.
func ending() []procedure {
	return []procedure{
		{
			name: "disable",
			command: func(g *guide) {
				g.says(g.command(0, "connections", "disable", g.slug()), "is disabled")
				g.says(g.command(4, "runs", "start", g.slug()), "is disabled: enable it first")
			},
			call: func(g *guide) {
				_, err := g.console.DisableConnection(g.ctx, &connectionv1.GetConnectionRequest{Slug: g.slug()})
				g.must(err)
			},
			after: func(g *guide) {
				if g.connection.GetEnabled() {
					g.Error("it is enabled")
				}
			},
		},
		deletion,
	}
}

// deletion is the end of a connection; Halo stays as it is.
var deletion = procedure{
	name: "delete",
	command: func(g *guide) {
		g.says(g.command(2, "connections", "delete", g.slug()), "Stays in Halo", "licence", "nothing was deleted")
		g.says(g.command(0, "connections", "delete", g.slug(), "--yes"), "What it wrote to Halo stays as it is")
		g.gone()
	},
	call: func(g *guide) {
		effects, err := g.console.GetDeletionEffects(g.ctx, &connectionv1.GetConnectionRequest{Slug: g.slug()})
		g.must(err)
		if len(effects.GetUnknown()) > 0 || effects.GetStaysInHalo()[0].GetCount() == 0 {
			g.Errorf("deleting would mean %v", effects)
		}
		_, err = g.console.DeleteConnection(g.ctx, &connectionv1.GetConnectionRequest{Slug: g.slug()})
		g.must(err)
		g.gone()
	},
}

// gone: the connection is, and what it wrote to Halo is not.
func (g *guide) gone() {
	g.Helper()
	if diff := cmp.Diff(g.before, g.w.Halo.State()); diff != "" {
		g.Errorf("deleting the connection changed Halo:\n%s", diff)
	}
	_, err := g.console.ApplyConnection(g.ctx, &connectionv1.ApplyConnectionRequest{Connection: g.connection, Force: true})
	g.refused(err, codes.FailedPrecondition, "deleted")
	g.connection, g.oracle = nil, nil
}
