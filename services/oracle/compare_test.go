package oracle

import (
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/estate"

	"seatline.dev/pkg/giacom/giacomsim"
)

// asHalo is the expected state as Halo would hold it: with ids of its own, and what it fills in by itself.
func asHalo(s halosim.State) halosim.State {
	s = clone(s)
	s.Items, s.Sites = slices.Clone(s.Items), slices.Clone(s.Sites)
	ids := map[int64]int64{}
	real := func(id int64) int64 {
		if id >= firstOwnID && ids[id] == 0 {
			ids[id] = int64(len(ids)) + 7000
		}
		if id >= firstOwnID {
			return ids[id]
		}
		return id
	}
	for i := range s.Clients {
		c := &s.Clients[i]
		if c.ID >= firstOwnID {
			c.Colour, c.MainSiteID = "#000000", 9000+int64(i)
			s.Sites = append(s.Sites[:len(s.Sites):len(s.Sites)], halosim.Site{ID: c.MainSiteID, Name: "Main", ClientID: real(c.ID), ClientName: c.Name})
		}
		c.ID = real(c.ID)
	}
	for i := range s.Licences {
		s.Licences[i].ID, s.Licences[i].ClientID = real(s.Licences[i].ID), real(s.Licences[i].ClientID)
		s.Licences[i].ClientName = "filled in"
	}
	for i := range s.Invoices {
		s.Invoices[i].ChangeSeq += 3
		for j := range s.Invoices[i].Lines {
			l := &s.Invoices[i].Lines[j]
			l.ID = real(l.ID)
			for k := range l.Subscriptions {
				r := &l.Subscriptions[k]
				r.LicenceID, r.LineID, r.LicenceName = real(r.LicenceID), l.ID, "filled in"
			}
			if l.QuantityType != halosim.Fixed {
				l.Quantity = halosim.Pounds("99") // computed
			}
		}
	}
	return s
}

// grown is a world in which a client, a licence and a line are created, beside what was there.
func grown(t *testing.T) (want, got halosim.State) {
	w := newWorld(t)
	w.giacom.Customers = append(w.giacom.Customers, giacomsim.Customer{MexID: "MEX2", Name: "Newcomer Ltd"})
	second := w.giacom.Subscriptions[0]
	second.ID, second.GUID, second.MexID = "1002", "g-2", "MEX2"
	third := w.giacom.Subscriptions[0]
	third.ID, third.GUID, third.Name, third.OfferID = "1003", "g-3", "Basic", "SKU:3"
	w.giacom.Subscriptions = append(w.giacom.Subscriptions, second, third)
	w.halo.Sites = []halosim.Site{{ID: 1, Name: "Main", ClientID: 39, ClientName: "Acme Ltd"}}
	w.settings.Rules = []*pricingv1.PriceRule{{Price: &pricingv1.PriceRule_Keep{Keep: true}, AddLine: &pricingv1.AddLine{ItemId: 77}}}
	want = w.run()
	if len(want.Clients) != 3 || len(want.Licences) != 3 || len(want.Invoices[0].Lines) != 3 {
		t.Fatalf("the world did not grow: %d clients, %d licences, %d lines", len(want.Clients), len(want.Licences), len(want.Invoices[0].Lines))
	}
	return want, asHalo(want)
}

// TestCompareFindsWhatIsBroken breaks one thing at a time, and wants it found, and nothing else.
func TestCompareFindsWhatIsBroken(t *testing.T) {
	want, got := grown(t)
	for _, d := range Compare(want, got) {
		t.Errorf("equal states differ: %s", d)
	}
	for name, c := range map[string]struct {
		damage func(*halosim.State)
		object string
		field  string
	}{
		"client missing":             {func(s *halosim.State) { s.Clients = s.Clients[1:] }, `customer "Acme Ltd"`, ""},
		"client renamed":             {func(s *halosim.State) { s.Clients[0].Name = "x" }, `customer "Acme Ltd"`, "name"},
		"client field":               {func(s *halosim.State) { s.Clients[0].Extra = halosim.Extra{"vip": []byte("1")} }, `customer "Acme Ltd"`, "vip"},
		"created client's name":      {func(s *halosim.State) { s.Clients[2].Name = "x" }, `customer "Newcomer Ltd"`, "name"},
		"created client's top level": {func(s *halosim.State) { s.Clients[2].TopLevelID = 1 }, `customer "Newcomer Ltd"`, "toplevel_id"},
		"client too many":            {func(s *halosim.State) { s.Clients = append(s.Clients, halosim.Client{ID: 8000, Name: "x"}) }, `customer "x"`, ""},
		"client twice": {func(s *halosim.State) {
			c := s.Clients[2]
			c.ID = 8000
			s.Clients = append(s.Clients, c)
		}, "customer marked MEX2", ""},
		"licence missing":       {func(s *halosim.State) { s.Licences = s.Licences[:1] }, `licence "Premium" giacom:demo:microsoft/g-2`, ""},
		"licence twice":         {func(s *halosim.State) { l := s.Licences[0]; l.ID = 8000; s.Licences = append(s.Licences, l) }, "licence marked", ""},
		"licence count":         {func(s *halosim.State) { s.Licences[0].Count++ }, `licence "Premium" giacom:demo:microsoft/g-1`, "count"},
		"licence cost":          {func(s *halosim.State) { s.Licences[0].PurchasePrice = halosim.Pounds("1") }, `licence "Premium"`, "purchase_price"},
		"licence inactive":      {func(s *halosim.State) { s.Licences[1].IsActive = false }, `licence "Premium"`, "is_active"},
		"licence of another":    {func(s *halosim.State) { s.Licences[0].ClientID = 40 }, `licence "Premium"`, "client_id"},
		"licence end date":      {func(s *halosim.State) { s.Licences[0].EndDate = halosim.Date{} }, `licence "Premium"`, "end_date"},
		"licence mark":          {func(s *halosim.State) { s.Licences[0].SnowID = "" }, `licence "Premium"`, "snowid"},
		"licence price":         {func(s *halosim.State) { s.Licences[0].Price = halosim.Pounds("1") }, `licence "Premium"`, "price"},
		"licence notes":         {func(s *halosim.State) { s.Licences[0].Notes = "" }, `licence "Premium"`, "notes"},
		"licence unknown field": {func(s *halosim.State) { s.Licences[0].Extra = nil }, `licence "Premium"`, "custom"},
		"line missing":          {func(s *halosim.State) { s.Invoices[0].Lines = s.Invoices[0].Lines[1:] }, `line "Premium"`, ""},
		"manual line missing": {func(s *halosim.State) {
			s.Invoices[0].Lines = append(s.Invoices[0].Lines[:1:1], s.Invoices[0].Lines[2])
		}, `line "Support"`, ""},
		"line too many": {func(s *halosim.State) {
			s.Invoices[0].Lines = append(s.Invoices[0].Lines, halosim.Line{ID: 8000, Name: "x"})
		}, `"x"`, ""},
		"line price":         {func(s *halosim.State) { s.Invoices[0].Lines[0].UnitPrice = halosim.Pounds("1") }, `line "Premium"`, "unit_price"},
		"line cost":          {func(s *halosim.State) { s.Invoices[0].Lines[0].UnitCost = halosim.Pounds("1") }, `line "Premium"`, "unit_cost"},
		"line unknown field": {func(s *halosim.State) { s.Invoices[0].Lines[0].Extra = nil }, `line "Premium"`, "xero_tax_code"},
		"line tax code":      {func(s *halosim.State) { s.Invoices[0].Lines[1].TaxCode = "9" }, `line "Support"`, "tax_code"},
		"manual quantity":    {func(s *halosim.State) { s.Invoices[0].Lines[1].Quantity = halosim.Pounds("2") }, `line "Support"`, "qty_order"},
		"added line's price": {func(s *halosim.State) { s.Invoices[0].Lines[2].UnitPrice = halosim.Pounds("1") }, `line "Basic"`, "unit_price"},
		"added line missing": {func(s *halosim.State) { s.Invoices[0].Lines = s.Invoices[0].Lines[:2] }, `line "Basic"`, ""},
		"link missing":       {func(s *halosim.State) { s.Invoices[0].Lines[0].Subscriptions = nil }, "link to licence 501", ""},
		"link to another":    {func(s *halosim.State) { s.Invoices[0].Lines[0].Subscriptions[0].LicenceID = 7 }, "link to licence", ""},
		"link twice": {func(s *halosim.State) {
			l := &s.Invoices[0].Lines[0]
			l.Subscriptions = append(l.Subscriptions, l.Subscriptions[0])
		}, `line "Premium"`, "link to licence 501"},
		"link's pro rata":  {func(s *halosim.State) { s.Invoices[0].Lines[0].Subscriptions[0].ProRata = 3 }, "link to licence 501", "pro_rata"},
		"invoice missing":  {func(s *halosim.State) { s.Invoices = nil }, "recurring invoice -94", ""},
		"invoice schedule": {func(s *halosim.State) { s.Invoices[0].NextCreation = halosim.Date{} }, "recurring invoice -94", "nextcreationdate"},
		"invoice too many": {func(s *halosim.State) { s.Invoices = append(s.Invoices, halosim.Invoice{ID: -95}) }, "recurring invoice -95", ""},
		"item":             {func(s *halosim.State) { s.Items[0].Name = "x" }, "items", ""},
		"site":             {func(s *halosim.State) { s.Sites[0].Name = "x" }, "sites", ""},
		"settings":         {func(s *halosim.State) { s.Control.CalculateQuantities = false }, "settings", ""},
		"external link":    {func(s *halosim.State) { s.Links = append(s.Links, halosim.Link{ID: 1}) }, "external links", ""},
	} {
		t.Run(name, func(t *testing.T) {
			want, got := grown(t)
			c.damage(&got)
			found := Compare(want, got)
			hit := false
			for _, d := range found {
				hit = hit || strings.Contains(d.Object, c.object) && d.Field == c.field
			}
			if !hit {
				t.Errorf("not found among %v", found)
			}
		})
	}
}

// TestBilledIsWhatHaloBills compares the money with that of the simulator's own invoice run, over a whole estate.
func TestBilledIsWhatHaloBills(t *testing.T) {
	d := estate.Generate(estate.Config{Seed: 11})
	sim := halosim.New(halosim.Config{})
	sim.Set(d.Halo)
	state := sim.State()
	date := noon.AddDate(0, 0, 20)
	whole, proRata := Billed(state, date), ProRata(state, date)
	got, total := map[int64]decimal.Decimal{}, decimal.Zero
	for _, b := range sim.Process(date) {
		got[b.ClientID] = got[b.ClientID].Add(b.Net.Decimal)
		total = total.Add(b.Net.Decimal)
	}
	for client, sum := range got {
		if want := whole[client].Add(proRata[client]); !want.Equal(sum) {
			t.Errorf("client %d is billed %s, want %s", client, sum, want)
		}
	}
	if len(got) < 100 || total.LessThan(decimal.NewFromInt(10_000)) {
		t.Errorf("only %d clients are billed, %s in all", len(got), total)
	}
}

// TestAtScaleEstateSettles: what is expected of a whole estate does not change when nothing changes, and the awkward cases wait.
func TestAtScaleEstateSettles(t *testing.T) {
	d := estate.Generate(estate.Config{Seed: 12, Now: noon})
	w := newWorld(t)
	w.giacom, w.halo = d.Giacom, d.Halo
	w.settings.Connection.Giacom.Method = connectionv1.ImportMethod_IMPORT_METHOD_BOTH
	once := w.run()
	if found := Compare(once, asHalo(once)); len(found) > 0 {
		t.Errorf("%d differences from itself, first %s", len(found), found[0])
	}
	again := w.run()
	if found := Compare(once, asHalo(again)); len(found) > 0 {
		t.Errorf("a second run changes %d things, first %s", len(found), found[0])
	}
	for _, code := range []string{"near_match", "pending", "status", "quantity", "price", "possible_duplicate", "cycle", "invoice_run", "prices_differ", "not_billed"} {
		w.waits(code)
	}
	if adopted, created := count(once, d.Halo); adopted < 500 || created < 500 {
		t.Errorf("%d licences adopted, %d created", adopted, created)
	}
}

func count(now, before halosim.State) (adopted, created int) {
	for i, l := range now.Licences {
		if i >= len(before.Licences) {
			created++
		} else if l.SnowID != "" {
			adopted++
		}
	}
	return adopted, created
}

// TestAtScaleALargeEstate keeps the oracle usable for benchmarks: it must not take time quadratic in the licences.
func TestAtScaleALargeEstate(t *testing.T) {
	d := estate.Plain(estate.Config{Customers: 2000, Subscriptions: 30_000}, estate.LinkedLines)
	w := newWorld(t)
	w.giacom, w.halo = d.Giacom, d.Halo
	if adopted, created := count(w.run(), d.Halo); adopted != 30_000 || created != 0 {
		t.Errorf("%d adopted, %d created", adopted, created)
	}
}
