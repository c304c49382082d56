package oracle

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

var noon = time.Date(2026, 11, 16, 12, 0, 0, 0, time.UTC)

// world is Acme, with ten seats of Premium, of which Halo's integration made licence 501, on line 910 of invoice -94.
type world struct {
	t        *testing.T
	giacom   giacomsim.Account
	halo     halosim.State
	settings Settings
	oracle   *Oracle
	at       time.Time
}

func newWorld(t *testing.T) *world {
	seats := decimal.NewNullDecimal(decimal.NewFromInt(10))
	return &world{
		t: t, at: noon,
		giacom: giacomsim.Account{
			Customers: []giacomsim.Customer{{MexID: "MEX1", Name: "Acme Ltd", TenantID: "t-1"}},
			Subscriptions: []giacomsim.Subscription{{
				ID: "1001", GUID: "g-1", MexID: "MEX1", Name: "Premium", OfferID: "SKU:1", ProductID: "SKU:1", Quantity: seats, Price: money("15.09"), RRP: money("18.10"),
				Cycle: "Monthly", Term: "Monthly", Start: noon.AddDate(-1, 0, 0), Renewal: noon.AddDate(0, 1, 0),
			}},
		},
		halo: halosim.State{
			Clients: []halosim.Client{{ID: 39, Name: "Acme Ltd"}, {ID: 40, Name: "Other Ltd"}},
			Items:   []halosim.Item{{ID: 77, Name: "Premium", SupplierPartCode: "SKU:1", RecurringPrice: halosim.Pounds("19.90")}},
			Licences: []halosim.Licence{{
				ID: 501, Type: 1, Name: "Premium", ClientID: 39, Count: 10, ProductSKU: "SKU:1", IsActive: true, Price: halosim.Pounds("19"), Notes: "keep",
				Extra: halosim.Extra{"custom": []byte(`"x"`)},
			}},
			Invoices: []halosim.Invoice{{ID: -94, ClientID: 39, Period: 2, NextCreation: halosim.On(noon.AddDate(0, 0, 15)), Lines: []halosim.Line{
				{ID: 910, ItemID: 77, Name: "Premium", QuantityType: halosim.Subscriptions, UnitPrice: halosim.Pounds("19.90"), UnitCost: halosim.Pounds("14"),
					Subscriptions: []halosim.QuantityRow{{ID: 31, LineID: 910, Kind: 4, LicenceID: 501, ProRata: 1}}, Extra: halosim.Extra{"xero_tax_code": []byte(`"A"`)}},
				{ID: 911, Name: "Support", Quantity: halosim.Pounds("1"), UnitPrice: halosim.Pounds("50")},
			}}},
			Control: halosim.Control{CalculateQuantities: true},
		},
		settings: Settings{Connection: &connectionv1.Connection{
			Mode: connectionv1.Mode_MODE_AUTO,
			Giacom: &connectionv1.Giacom{
				Account: "demo", Method: connectionv1.ImportMethod_IMPORT_METHOD_REPORT, AnnualPriceBasis: moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH,
			},
			Customers: &connectionv1.Customers{Create: true, TopLevelId: 12},
			Licences:  &connectionv1.Licences{DeactivateRemoved: true},
			Billing:   &connectionv1.Billing{ProRata: proto.Int32(1)},
			Guards:    &connectionv1.Guards{AllowCustomerRemoval: true},
		}},
	}
}

func money(s string) decimal.NullDecimal { return decimal.NewNullDecimal(decimal.RequireFromString(s)) }

func (w *world) sub() *giacomsim.Subscription { return &w.giacom.Subscriptions[0] }

// run tells the oracle of a scheduled, complete run, two hours after the last.
func (w *world) run() halosim.State {
	w.t.Helper()
	return w.runAs(Run{Scheduled: true, Complete: true})
}

func (w *world) runAs(r Run) halosim.State {
	w.t.Helper()
	if w.oracle == nil {
		w.oracle = New(w.halo, w.settings)
	}
	r.At, w.at = w.at, w.at.Add(2*time.Hour)
	w.oracle.Observe(w.giacom, r)
	return w.oracle.Expected()
}

func (w *world) waits(code string) {
	w.t.Helper()
	if !slices.ContainsFunc(w.oracle.Waiting(), func(x Waiting) bool { return x.Code == code }) {
		w.t.Errorf("nothing waits for %q: %v", code, w.oracle.Waiting())
	}
}

func (w *world) same(want, got halosim.State) {
	w.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("changed:\n%s", diff)
	}
}

func TestAdoptsUpdatesAndKeepsTheRest(t *testing.T) {
	w := newWorld(t)
	got := w.run()
	want := clone(w.halo)
	l := &want.Licences[0]
	l.SnowID, l.PurchasePrice, l.BillingCycle, l.TermDuration = "giacom:demo:microsoft/g-1", halosim.Pounds("15.09"), "Monthly", "Monthly"
	l.StartDate, l.EndDate = halosim.On(noon.AddDate(-1, 0, 0)), halosim.On(noon.AddDate(0, 1, 0))
	want.Invoices[0].Lines[0].UnitCost = halosim.Pounds("15.09")
	w.same(want, got)

	w.sub().Quantity = money("12")
	l.Count = 12
	w.same(want, w.run())
	w.same(want, w.run())
}

func TestPossibleDuplicateIsHeld(t *testing.T) {
	w := newWorld(t)
	w.halo.Licences[0].Count = 9
	w.same(w.halo, w.run())
	w.waits("possible_duplicate")
}

func TestCreates(t *testing.T) {
	w := newWorld(t)
	w.giacom.Customers[0].Name = "Newcomer Ltd"
	w.sub().Term = "Annual"
	w.sub().Cycle = "Annual"
	got := w.run()
	c, l := got.Clients[2], got.Licences[1]
	if c.Name != "Newcomer Ltd" || c.TopLevelID != 12 || c.CustomFields[0].Value != "MEX1" {
		t.Errorf("client %+v", c)
	}
	if l.ClientID != c.ID || l.Count != 10 || !l.PurchasePrice.Equal(halosim.Pounds("181.08")) || l.SnowID != "giacom:demo:microsoft/g-1" || l.Vendor != "Microsoft" || !l.IsActive {
		t.Errorf("licence %+v", l)
	}
	w.giacom.Customers[0].Name = "Renamed Ltd"
	if got := w.run(); got.Clients[2].Name != "Renamed Ltd" || len(got.Licences) != 2 || len(got.Clients) != 3 {
		t.Errorf("after the next run %+v", got.Clients)
	}
}

func TestNearMatchWaits(t *testing.T) {
	for _, name := range []string{"ACME Limited", "Acmé, Ltd.", "Other"} {
		w := newWorld(t)
		w.giacom.Customers[0].Name = name
		w.same(w.halo, w.run())
		w.waits("near_match")
	}
	w := newWorld(t)
	w.giacom.Customers[0].Name = "Nobody"
	w.halo.Control.GiacomMappings = []halosim.Link{{HaloID: 39, ThirdPartyID: " mex1 "}}
	if got := w.run(); got.Licences[0].SnowID == "" {
		t.Error("Halo's own mapping is not used")
	}
	// Both ways of mapping by itself can be switched off.
	off := false
	for _, native := range []string{"", "MEX1"} {
		w := newWorld(t)
		w.settings.Connection.Customers = &connectionv1.Customers{MapByName: &off, MapFromNative: &off}
		w.halo.Control.GiacomMappings = []halosim.Link{{HaloID: 39, ThirdPartyID: native}}
		w.same(w.halo, w.run())
		w.waits("not_mapped")
	}
}

func TestHolds(t *testing.T) {
	for code, change := range map[string]func(*giacomsim.Subscription){
		"status":   func(s *giacomsim.Subscription) { s.Status = "Hibernating" },
		"pending":  func(s *giacomsim.Subscription) { s.Status = "Pending" },
		"quantity": func(s *giacomsim.Subscription) { s.Quantity = money("2.5") },
		"price":    func(s *giacomsim.Subscription) { s.Price = decimal.NullDecimal{} },
		"words":    func(s *giacomsim.Subscription) { s.Cycle = "Fortnightly" },
	} {
		w := newWorld(t)
		change(w.sub())
		w.same(w.halo, w.run())
		w.waits(code)
	}
	w := newWorld(t)
	w.settings.Connection.Giacom.AnnualPriceBasis = 0
	w.sub().Term = "Annual"
	w.same(w.halo, w.run())
	w.waits("price")
}

func TestRemovalNeedsProofAndASchedule(t *testing.T) {
	w := newWorld(t)
	before := w.run()
	gone := w.giacom.Subscriptions
	w.giacom.Subscriptions = nil
	w.same(before, w.runAs(Run{Scheduled: true})) // incomplete
	w.same(before, w.run())                       // missed once
	w.waits("absent")
	w.same(before, w.runAs(Run{Complete: true})) // proven, by hand
	w.waits("gone")
	after := w.run()
	if after.Licences[0].IsActive {
		t.Error("still active after proof and a scheduled run")
	}
	after.Licences[0].IsActive = true
	w.same(before, after)
	w.giacom.Subscriptions = gone
	w.same(before, w.run()) // it returns

	off := newWorld(t)
	off.settings.Connection.Licences.DeactivateRemoved = false
	before = off.run()
	off.sub().Status = "Cancelled"
	off.same(before, off.run())
	off.waits("gone")

	guarded := newWorld(t)
	guarded.settings.Connection.Guards = &connectionv1.Guards{RemovalConfirmations: 1, RemovalInterval: durationpb.New(0)}
	before = guarded.run()
	guarded.giacom.Subscriptions = nil
	if !guarded.oracle.Observe(guarded.giacom, Run{Scheduled: true, Complete: true, At: guarded.at}) {
		t.Error("a whole customer vanishes and nothing holds it")
	}
	guarded.same(before, guarded.oracle.Expected())
	if got := guarded.runAs(Run{Scheduled: true, Complete: true, Released: true}); got.Licences[0].IsActive {
		t.Error("released, and not carried out")
	}
}

func TestRenewalTakesOverTheLicence(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.sub().GUID, w.sub().Quantity = "g-2", money("11")
	got := w.run()
	if len(got.Licences) != 1 || got.Licences[0].Count != 10 {
		t.Errorf("before the proof %+v", got.Licences)
	}
	w.waits("renewal")
	got = w.run()
	if l := got.Licences[0]; len(got.Licences) != 1 || !l.IsActive || l.Count != 11 || l.SnowID != "giacom:demo:microsoft/g-2" {
		t.Errorf("after the proof %+v", got.Licences)
	}
}

func TestLines(t *testing.T) {
	rule := func(change func(*pricingv1.PriceRule)) *pricingv1.PriceRule {
		r := &pricingv1.PriceRule{Name: "r", Price: &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: "20"}}
		change(r)
		return r
	}
	none := func(*pricingv1.PriceRule) {}
	line := func(w *world) *halosim.Line { return &w.halo.Invoices[0].Lines[0] }
	for name, c := range map[string]struct {
		change                              func(*world)
		rule                                *pricingv1.PriceRule
		price, cost, quantity, licencePrice string
		row                                 halosim.QuantityRow // LicenceID, Minimum, Free
	}{
		"cost plus":  {nil, rule(none), "18.11", "15.09", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"rounding":   {nil, rule(func(r *pricingv1.PriceRule) { r.Rounding = "0.05" }), "18.1", "15.09", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"rrp":        {nil, rule(func(r *pricingv1.PriceRule) { r.Price = &pricingv1.PriceRule_Rrp{Rrp: true} }), "18.1", "15.09", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"no rrp":     {func(w *world) { w.sub().RRP = decimal.NullDecimal{} }, rule(func(r *pricingv1.PriceRule) { r.Price = &pricingv1.PriceRule_Rrp{Rrp: true} }), "19.9", "14", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"no term":    {func(w *world) { w.sub().Term = "" }, rule(func(r *pricingv1.PriceRule) { r.Terms = []giacomv1.Term{giacomv1.Term_TERM_ANNUAL} }), "19.9", "14", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"other name": {nil, rule(func(r *pricingv1.PriceRule) { r.Names = []string{"basic*"} }), "19.9", "15.09", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"minimum": {nil, rule(func(r *pricingv1.PriceRule) { r.MinimumQuantity, r.IncludedQuantity = proto.Int64(5), proto.Int64(2) }), "18.11", "15.09", "0", "19",
			halosim.QuantityRow{LicenceID: 501, Minimum: 5, Free: 2}},
		"price by the licence": {func(w *world) {
			line(w).Subscriptions[0].UsesSubsPrice, line(w).Subscriptions[0].UsesSubsCost = true, true
		}, rule(none), "19.9", "14", "0", "18.11", halosim.QuantityRow{LicenceID: 501}},
		"automatic increase": {func(w *world) { line(w).AutoIncrease = 12 }, rule(none), "19.9", "15.09", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"unlinked":           {func(w *world) { line(w).Subscriptions[0].LicenceID = 0 }, nil, "19.9", "15.09", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"wrong period":       {func(w *world) { w.halo.Invoices[0].Period = 3 }, nil, "19.9", "14", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"disabled":           {func(w *world) { w.halo.Invoices[0].Disabled = true }, nil, "19.9", "14", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"invoice run":        {func(w *world) { w.halo.Invoices[0].NextCreation = halosim.On(noon.Add(time.Hour)) }, nil, "19.9", "14", "0", "19", halosim.QuantityRow{LicenceID: 501}},
		"typed":              {func(w *world) { line(w).QuantityType, line(w).Subscriptions = halosim.Fixed, nil }, nil, "19.9", "15.09", "10", "19", halosim.QuantityRow{}},
		"typed with included": {func(w *world) { line(w).QuantityType, line(w).Subscriptions = halosim.Fixed, nil }, rule(func(r *pricingv1.PriceRule) { r.IncludedQuantity = proto.Int64(3) }),
			"18.11", "15.09", "7", "19", halosim.QuantityRow{}},
		"pro rata pending": {func(w *world) {
			line(w).QuantityType, line(w).Subscriptions, line(w).ProRata = halosim.Fixed, nil, []halosim.ProRataRow{{Quantity: halosim.Pounds("1")}}
		}, nil, "19.9", "14", "0", "19", halosim.QuantityRow{}},
		"users": {func(w *world) { line(w).QuantityType = halosim.Users }, rule(none), "19.9", "14", "0", "19", halosim.QuantityRow{LicenceID: 501}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.change != nil {
				c.change(w)
			}
			if c.rule != nil {
				w.settings.Rules = []*pricingv1.PriceRule{c.rule}
			}
			got := w.run()
			l := got.Invoices[0].Lines[0]
			var row halosim.QuantityRow
			if len(l.Subscriptions) > 0 {
				row = halosim.QuantityRow{LicenceID: l.Subscriptions[0].LicenceID, Minimum: l.Subscriptions[0].Minimum, Free: l.Subscriptions[0].Free}
			}
			if diff := cmp.Diff(c.row, row); diff != "" {
				t.Error(diff)
			}
			for what, pair := range map[string][2]string{
				"price": {c.price, l.UnitPrice.String()}, "cost": {c.cost, l.UnitCost.String()}, "quantity": {c.quantity, l.Quantity.String()}, "licence price": {c.licencePrice, got.Licences[0].Price.String()},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s is %s, want %s", what, pair[1], pair[0])
				}
			}
			if diff := cmp.Diff(w.halo.Invoices[0].Lines[1], got.Invoices[0].Lines[1]); diff != "" {
				t.Errorf("the manual line changed: %s", diff)
			}
		})
	}
}

func TestAddsALine(t *testing.T) {
	w := newWorld(t)
	w.halo.Invoices[0].Lines = w.halo.Invoices[0].Lines[1:]
	if got := w.run(); len(got.Invoices[0].Lines) != 1 {
		t.Error("a line is added that nobody asked for")
	}
	w.waits("not_billed")
	w.settings.Rules = []*pricingv1.PriceRule{{Name: "add", Price: &pricingv1.PriceRule_Keep{Keep: true}, AddLine: &pricingv1.AddLine{}}}
	w.oracle.SetSettings(w.settings)
	for range 2 {
		got := w.run().Invoices[0].Lines
		if len(got) != 2 || got[1].ItemID != 77 || !got[1].UnitPrice.Equal(halosim.Pounds("19.90")) || !got[1].UnitCost.Equal(halosim.Pounds("15.09")) || got[1].Subscriptions[0].LicenceID != 501 {
			t.Errorf("lines %+v", got)
		}
	}
}

func TestChangedMappingMovesTheLicence(t *testing.T) {
	w := newWorld(t)
	w.run()
	w.settings.Mapped = map[string]int64{"MEX1": 40}
	w.oracle.SetSettings(w.settings)
	got := w.run()
	if got.Licences[0].ClientID != 40 || len(got.Invoices[0].Lines[0].Subscriptions) != 0 {
		t.Errorf("licence of %d, links %+v", got.Licences[0].ClientID, got.Invoices[0].Lines[0].Subscriptions)
	}
	stuck := newWorld(t)
	before := stuck.run()
	stuck.oracle.state.Invoices[0].Disabled = true
	before.Invoices[0].Disabled = true
	stuck.settings.Mapped = map[string]int64{"MEX1": 40}
	stuck.oracle.SetSettings(stuck.settings)
	stuck.same(before, stuck.run())
	stuck.waits("line")
}

func TestACustomerThatAPersonChoseKeepsItsName(t *testing.T) {
	w := newWorld(t)
	w.giacom.Customers[0].Name = "Newcomer Ltd"
	before := w.run().Clients
	made := before[len(before)-1]
	if made.Name != "Newcomer Ltd" {
		t.Fatalf("the newcomer is not created: %+v", before)
	}
	w.settings.Mapped = map[string]int64{"MEX1": 40}
	w.oracle.SetSettings(w.settings)
	if diff := cmp.Diff(before, w.run().Clients); diff != "" {
		t.Errorf("renamed: %s", diff)
	}
	delete(w.settings.Mapped, "MEX1")
	w.oracle.Unmap("MEX1")
	w.giacom.Customers[0].Name = "Known by now Ltd"
	clients := w.run().Clients
	if got := clients[len(clients)-1]; len(clients) != len(before) || got.ID != made.ID || got.Name != "Known by now Ltd" {
		t.Errorf("the mark is not followed: %+v", clients)
	}
}

func TestObserveChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.settings.Connection.Mode = connectionv1.Mode_MODE_OBSERVE
	w.same(w.halo, w.run())
	w.settings.Connection.Mode = connectionv1.Mode_MODE_AUTO
	if got := w.run(); got.Licences[0].SnowID == "" {
		t.Error("auto does not carry out what observe held")
	}
}

func TestIgnoredExcludedAssigned(t *testing.T) {
	w := newWorld(t)
	w.settings.Ignored = map[string]string{"MEX1": ""}
	w.same(w.halo, w.run())
	w.waits("customer_ignored")
	w = newWorld(t)
	w.settings.Excluded = map[string]string{"microsoft/g-1": "free of charge"}
	w.same(w.halo, w.run())
	w.waits("excluded")
	w = newWorld(t)
	w.settings.Assigned = map[string]int64{"microsoft/g-1": 40}
	if got := w.run(); len(got.Licences) != 2 || got.Licences[1].ClientID != 40 {
		t.Errorf("%+v", got.Licences)
	}
}

func TestGuards(t *testing.T) {
	many := func() *world {
		w := newWorld(t)
		w.settings.Connection.Guards = &connectionv1.Guards{RemovalConfirmations: 1, RemovalInterval: durationpb.New(0)}
		for _, id := range []string{"g-2", "g-3", "g-4", "g-5"} {
			s := *w.sub()
			s.ID, s.GUID, s.Name, s.OfferID = "sub "+id, id, "Product "+id, "SKU:"+id
			w.giacom.Subscriptions = append(w.giacom.Subscriptions, s)
		}
		w.run()
		return w
	}
	for name, c := range map[string]struct {
		change func(*world)
		run    Run
		held   bool
	}{
		"three of five vanish":                    {func(w *world) { w.giacom.Subscriptions = w.giacom.Subscriptions[:2] }, Run{Complete: true}, false},
		"four of five vanish":                     {func(w *world) { w.giacom.Subscriptions = w.giacom.Subscriptions[:1] }, Run{Complete: true}, true},
		"four of five vanish from half a picture": {func(w *world) { w.giacom.Subscriptions = w.giacom.Subscriptions[:1] }, Run{}, false},
		"four are cancelled, half a picture": {func(w *world) {
			for i := range 4 {
				w.giacom.Subscriptions[i].Status = "Cancelled"
			}
		}, Run{}, true},
	} {
		w := many()
		c.change(w)
		c.run.At = w.at
		if held := w.oracle.Observe(w.giacom, c.run); held != c.held {
			t.Errorf("%s: held %v", name, held)
		}
	}
	w := newWorld(t)
	w.settings.Connection.Guards = nil
	w.run()
	w.sub().Status = "Cancelled" // the only one: yet Giacom says so itself
	if w.oracle.Observe(w.giacom, Run{Complete: true, At: w.at}) {
		t.Error("a cancelled subscription is held as a customer that vanished")
	}
}

// What a renewal takes over while nothing may be written is its own, wherever its customer is mapped to by the time it may.
func TestARenewalThatIsOnlyObservedKeepsItsLicence(t *testing.T) {
	w := newWorld(t)
	w.halo.Invoices = nil // which would hold the licence where it is
	w.run()
	w.settings.Connection.Mode = connectionv1.Mode_MODE_OBSERVE
	w.sub().GUID, w.sub().ID = "g-2", "1002"
	w.run() // missing once, then proven gone
	held := w.run()
	w.settings.Mapped = map[string]int64{"MEX1": 40}
	w.oracle.SetSettings(w.settings)
	w.same(held, w.run())
	w.settings.Connection.Mode = connectionv1.Mode_MODE_AUTO
	got := w.run()
	if l := got.Licences[0]; len(got.Licences) != 1 || !l.IsActive || l.ClientID != 40 || l.SnowID != "giacom:demo:microsoft/g-2" {
		t.Errorf("%+v", got.Licences)
	}
}
