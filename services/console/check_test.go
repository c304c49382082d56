package console

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// estate is a small account at Giacom and an instance of Halo that knows licences and invoices.
func estate(t *testing.T, cfg halosim.Config, change func(*halosim.State)) (g *giacomsim.Sim, h *halosim.Sim, connection *connectionv1.ApplyConnectionRequest) {
	t.Helper()
	g, h = giacomsim.New(giacomsim.Config{Key: "canary-giacom-key-0001"}), halosim.New(cfg)
	g.PutCustomer(giacomsim.Customer{MexID: "C-1", Name: "Harbour Dental"})
	err := g.PutSubscription(giacomsim.Subscription{
		ID: "1", GUID: "g-1", MexID: "C-1", Name: "Microsoft 365", Quantity: decimal.NewNullDecimal(decimal.NewFromInt(5)),
		Price: decimal.NewNullDecimal(decimal.NewFromInt(9)), Cycle: "Monthly", Term: "Monthly",
	})
	if err != nil {
		t.Fatal(err)
	}
	state := h.State()
	state.Clients = []halosim.Client{{ID: 12, Name: "Harbour Dental"}}
	state.Licences = []halosim.Licence{{ID: 7, Type: 1, ClientID: 12, Name: "Microsoft 365", Count: 5, SnowID: "giacom:acme:microsoft/g-1"}}
	state.Invoices = []halosim.Invoice{{ID: -3, ClientID: 12, Recurring: true, Period: 2, Lines: []halosim.Line{{ID: 1, Name: "Microsoft 365"}}}}
	if change != nil {
		change(&state)
	}
	h.Set(state)
	giacomServer, haloServer := httptest.NewServer(g), httptest.NewServer(h)
	t.Cleanup(giacomServer.Close)
	t.Cleanup(haloServer.Close)
	connection = acme("acme")
	connection.Connection.Giacom.BaseUrl = giacomServer.URL + "/Billing/v1"
	connection.Connection.Halo = &connectionv1.Halo{BaseUrl: haloServer.URL, Tenant: "sim", ClientId: "sim-client"}
	connection.HaloClientSecret = "sim-secret"
	return g, h, connection
}

// validate returns the checks by name, and all those that are not OK as "name: text".
func (r *running) validate(t *testing.T, name string) (byName map[string]*connectionv1.Check, trouble []string) {
	t.Helper()
	answer, err := r.operator.ValidateConnection(t.Context(), slug(name))
	if err != nil {
		t.Fatal(rpc.Describe(err))
	}
	byName = map[string]*connectionv1.Check{}
	for _, c := range answer.GetChecks() {
		if old := byName[c.GetName()]; old.GetOutcome() < c.GetOutcome() || old.GetOutcome() == connectionv1.Check_OUTCOME_SKIPPED {
			byName[c.GetName()] = c // several share a name: the worst counts
		}
		if c.GetText() == "" || c.GetOutcome() == connectionv1.Check_OUTCOME_UNSPECIFIED {
			t.Errorf("check %q says nothing: %v", c.GetName(), c)
		}
		switch c.GetOutcome() {
		case connectionv1.Check_OUTCOME_WARNING, connectionv1.Check_OUTCOME_FAILED:
			trouble = append(trouble, c.GetOutcome().String()+" "+c.GetName()+": "+c.GetText()+" "+c.GetFix())
			if c.GetFix() == "" || c.GetCode() == "" {
				t.Errorf("check %q does not say what to do: %v", c.GetName(), c)
			}
		}
	}
	return byName, trouble
}

func TestValidationOfAGoodConnection(t *testing.T) {
	r := start(t)
	_, h, req := estate(t, halosim.Config{}, func(s *halosim.State) {
		s.Control.LineStatusFollows = true
		s.Clients[0].CustomFields = []halosim.CustomField{{Name: "CFGiacomCustomerId"}}
		s.Licences[0].SnowID = "giacom:acme-account:microsoft/g-1"
	})
	req.Connection.Giacom.Method = connectionv1.ImportMethod_IMPORT_METHOD_BOTH
	req.Connection.Giacom.AnnualPriceBasis = 1
	req.Connection.Billing = &connectionv1.Billing{ProRata: proto.Int32(1)}
	req.Connection.Customers = &connectionv1.Customers{Create: true, TopLevelId: 1}
	before := r.apply(t, req)
	checks, trouble := r.validate(t, "acme")
	if len(trouble) > 0 {
		t.Errorf("trouble where there is none:\n%s", strings.Join(trouble, "\n"))
	}
	for _, name := range []string{
		"Giacom key", "Giacom customers", "Giacom report", "Giacom subscriptions", "Halo token", "Halo: read customers", "Halo: read licences",
		"Halo: read recurring invoices", "Halo: read items", "Halo: top level", "Halo: settings", "Halo: marks in lists", "Halo: lines in lists",
		"Settings", "Halo: quantities", "Halo: pro rata", "Halo: inactive licences", "Together: customers", "Together: marks", "Together: our mark on customers",
	} {
		if checks[name] == nil {
			t.Errorf("%s was not checked", name)
		}
	}
	for route := range h.Requests() {
		if strings.HasPrefix(route, "POST /") && !strings.Contains(route, "token") {
			t.Errorf("validation wrote to Halo: %s", route)
		}
	}
	// What was found out is kept and told to the services, and disturbs no edit under way.
	r.onBus(t, "acme", "the capabilities are on the bus", func(c *connectionv1.Connection, _ string) bool {
		caps := c.GetHalo().GetCapabilities()
		return caps.GetLicenceListHasSnowid() && caps.GetInvoiceListHasLines() && caps.GetProbeTime() != nil
	})
	after := r.apply(t, edit(before, func(c *connectionv1.Connection) { c.DisplayName = "Acme" }))
	if !after.GetHalo().GetCapabilities().GetLicenceListHasSnowid() {
		t.Error("the edit of somebody who read before the validation undid what it found")
	}
	// They are true of this instance only.
	moved := r.apply(t, withSecrets(edit(after, func(c *connectionv1.Connection) { c.Halo.BaseUrl = "https://elsewhere.halopsa.com" })))
	if moved.GetHalo().GetCapabilities() != nil {
		t.Errorf("another instance is believed to have %v", moved.GetHalo().GetCapabilities())
	}
}

func TestRepeatedValidationPublishesNothing(t *testing.T) {
	r := start(t)
	_, _, req := estate(t, halosim.Config{}, nil)
	r.apply(t, req)
	r.validate(t, "acme")
	before := r.count(t, `select count(*) from history`)
	r.validate(t, "acme")
	if after := r.count(t, `select count(*) from history`); before != 2 || after != before {
		t.Errorf("%d revisions after the first validation, %d after the second; want 2 both times", before, after)
	}
}

func TestValidationSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		halo  halosim.Config
		state func(*halosim.State)
		setup func(*giacomsim.Sim, *connectionv1.ApplyConnectionRequest)
		check string
		want  connectionv1.Check_Outcome
		says  []string
	}{
		"key refused": {
			setup: func(g *giacomsim.Sim, _ *connectionv1.ApplyConnectionRequest) { g.RevokeKey() },
			check: "Giacom key", want: connectionv1.Check_OUTCOME_FAILED, says: []string{"not accepted", "Settings > API"},
		},
		"path unknown": {
			setup: func(_ *giacomsim.Sim, req *connectionv1.ApplyConnectionRequest) {
				req.Connection.Giacom.CustomersPath = "Nowhere"
			},
			check: "Giacom customers", want: connectionv1.Check_OUTCOME_FAILED, says: []string{"derived"},
		},
		"Giacom not well": {
			setup: func(g *giacomsim.Sim, _ *connectionv1.ApplyConnectionRequest) { g.RevokeKey() },
			check: "Together: customers", want: connectionv1.Check_OUTCOME_SKIPPED, says: []string{"Needs both"},
		},
		"Halo not well": {
			setup: func(_ *giacomsim.Sim, req *connectionv1.ApplyConnectionRequest) {
				req.HaloClientSecret = "canary-wrong"
			},
			check: "Halo: scopes", want: connectionv1.Check_OUTCOME_SKIPPED, says: []string{"token first"},
		},
		"scope to write missing while observing": {
			halo:  halosim.Config{Scopes: []string{"read:customers", "read:softwarelicensing", "read:invoices", "read:items"}},
			check: "Halo: scope edit:invoices", want: connectionv1.Check_OUTCOME_SKIPPED, says: []string{"not needed while the connection observes"},
		},
		"scope to write missing in auto": {
			halo: halosim.Config{Scopes: []string{"read:customers", "read:softwarelicensing", "read:invoices", "read:items", "edit:softwarelicensing"}},
			setup: func(_ *giacomsim.Sim, req *connectionv1.ApplyConnectionRequest) {
				req.Connection.Mode = connectionv1.Mode_MODE_AUTO
			},
			check: "Halo: scope edit:invoices", want: connectionv1.Check_OUTCOME_FAILED, says: []string{"Not granted", "tick the scope edit:invoices"},
		},
		"no customer known to both": {
			state: func(s *halosim.State) { s.Clients[0].Name = "Somebody else" },
			check: "Together: customers", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"None of 1", "same business"},
		},
		"marks of another account": {
			state: func(s *halosim.State) { s.Licences[0].SnowID = "giacom:elsewhere:microsoft/g-1" },
			check: "Together: marks", want: connectionv1.Check_OUTCOME_WARNING, says: []string{`account "elsewhere"`},
		},
		"no negative pro rata": {
			state: func(s *halosim.State) { s.Control.NegativeProRata = false },
			check: "Halo: pro rata", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"does not credit"},
		},
		"lines of inactive licences stay": {
			check: "Halo: inactive licences", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"stays active"},
		},
		"no price basis": {
			check: "Settings: giacom.annual_price_basis", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"held until you say"},
		},
		"no pro rata": {
			check: "Settings: billing.pro_rata", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"held where the line has no"},
		},
		"secret refused": {
			setup: func(_ *giacomsim.Sim, req *connectionv1.ApplyConnectionRequest) {
				req.HaloClientSecret = "canary-wrong"
			},
			check: "Halo token", want: connectionv1.Check_OUTCOME_FAILED, says: []string{"not accepted", "wrong tenant"},
		},
		"wrong tenant": {
			setup: func(_ *giacomsim.Sim, req *connectionv1.ApplyConnectionRequest) {
				req.Connection.Halo.Tenant = "elsewhere"
			},
			check: "Halo token", want: connectionv1.Check_OUTCOME_FAILED, says: []string{`names its tenant "sim", the connection "elsewhere"`},
		},
		"Halo away": {
			setup: func(_ *giacomsim.Sim, req *connectionv1.ApplyConnectionRequest) {
				req.Connection.Halo.BaseUrl = "http://127.0.0.1:1"
			},
			check: "Halo token", want: connectionv1.Check_OUTCOME_FAILED, says: []string{"could not be reached", "Check the address"},
		},
		"no right to read invoices": {
			halo:  halosim.Config{Denied: []string{"read:invoices"}},
			check: "Halo: read recurring invoices", want: connectionv1.Check_OUTCOME_FAILED, says: []string{"scope read:invoices", "role"},
		},
		"top level unknown": {
			setup: func(_ *giacomsim.Sim, req *connectionv1.ApplyConnectionRequest) {
				req.Connection.Customers = &connectionv1.Customers{Create: true, TopLevelId: 99}
			},
			check: "Halo: top level", want: connectionv1.Check_OUTCOME_FAILED, says: []string{"no top level 99", "0 for Halo's default"},
		},
		"native integrator on": {
			state: func(s *halosim.State) { s.Control.GiacomIntegrator = true },
			check: "Halo: settings", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"two writers", "Turn it off before leaving observe"},
		},
		"quantities not computed": {
			state: func(s *halosim.State) { s.Control.CalculateQuantities = false },
			check: "Halo: quantities", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"allow_quantity_calculations"},
		},
		"Inty on": {
			state: func(s *halosim.State) { s.Control.IntyIntegrator = true },
			check: "Halo: settings", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"Inty module"},
		},
		"marks not in lists": {
			halo:  halosim.Config{NoListMarks: true},
			check: "Halo: marks in lists", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"more requests"},
		},
		"lines not in lists": {
			halo:  halosim.Config{InvoiceLines: halosim.LinesAbsent},
			check: "Halo: lines in lists", want: connectionv1.Check_OUTCOME_WARNING, says: []string{"more requests"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			g, _, req := estate(t, test.halo, test.state)
			if test.setup != nil {
				test.setup(g, req)
			}
			r.apply(t, req)
			checks, trouble := r.validate(t, "acme")
			got := checks[test.check]
			if got.GetOutcome() != test.want {
				t.Fatalf("%s: %v; trouble:\n%s", test.check, got, strings.Join(trouble, "\n"))
			}
			for _, part := range test.says {
				if !strings.Contains(got.GetText()+" "+got.GetFix(), part) {
					t.Errorf("%q, %q does not say %q", got.GetText(), got.GetFix(), part)
				}
			}
			if strings.Contains(strings.Join(trouble, " "), "canary") {
				t.Errorf("a secret shows: %s", trouble)
			}
		})
	}
}

func TestV2IsWarnedAbout(t *testing.T) {
	r := start(t)
	_, _, req := estate(t, halosim.Config{}, nil)
	req.Connection.Giacom.Version = connectionv1.GiacomVersion_GIACOM_VERSION_V2
	req.Connection.Giacom.BaseUrl = strings.Replace(req.Connection.Giacom.BaseUrl, "/Billing/v1", "/v2", 1)
	r.apply(t, req)
	checks, trouble := r.validate(t, "acme")
	if got := checks["Giacom version"]; got.GetOutcome() != connectionv1.Check_OUTCOME_WARNING || !strings.Contains(got.GetText(), "not currently available for production instances. Please use v1") {
		t.Errorf("got %v", got)
	}
	if got := checks["Giacom key"]; got.GetOutcome() != connectionv1.Check_OUTCOME_OK {
		t.Errorf("v2 against the simulator: %v", trouble)
	}
}

func TestConnectionsThatShareAHaloAreTold(t *testing.T) {
	r := start(t)
	_, _, req := estate(t, halosim.Config{}, nil)
	r.apply(t, req)
	other := proto.CloneOf(req)
	other.Connection.Slug, other.Connection.Giacom.Account = "other", "other-account"
	other.Connection.Halo.BudgetRequests = 500
	r.apply(t, other)
	checks, _ := r.validate(t, "acme")
	if got := checks["Halo instance"]; got.GetOutcome() != connectionv1.Check_OUTCOME_WARNING || !strings.Contains(got.GetFix(), "set both alike") {
		t.Errorf("got %v", got)
	}
	// One validation serves both.
	c, err := r.viewer.GetConnection(t.Context(), slug("other"))
	if err != nil || !c.GetHalo().GetCapabilities().GetLicenceListHasSnowid() {
		t.Errorf("the other connection of the instance: %v, %v", c.GetHalo(), err)
	}
}
