package estate

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
)

// guid is a random one in Microsoft's form.
func guid(next func() uint64) string {
	a, b := next(), next()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", uint32(a>>32), uint16(a>>16), a&0xfff, 0x8000|uint16(b>>48)&0x3fff, b&0xffffffffffff)
}

// customer adds one to Giacom, with a Microsoft tenant.
func (g *grower) customer(name string) string {
	n := len(g.data.Giacom.Customers)
	mex := fmt.Sprintf("MEX%05d", 10021+n)
	person := people[g.rng.IntN(len(people))]
	g.data.Giacom.Customers = append(g.data.Giacom.Customers, giacomsim.Customer{
		MexID: mex, Name: name, TenantID: guid(g.rng.Uint64), HasGDAP: g.rng.IntN(4) > 0, Created: g.now.AddDate(0, 0, -400-g.rng.IntN(1500)),
		Line1: fmt.Sprintf("%d %s Road", 1+g.rng.IntN(180), places[g.rng.IntN(len(places))]), City: "Leeds", Postcode: fmt.Sprintf("LS%d %dAB", 1+g.rng.IntN(28), 1+g.rng.IntN(9)),
		Country: "GB", Contact: person, Email: fmt.Sprintf("accounts@customer-%d.example", n),
	})
	return mex
}

// client adds one to Halo, with its site.
func (g *grower) client(name string) int64 {
	h := &g.data.Halo
	id := int64(len(h.Clients) + 101)
	h.Sites = append(h.Sites, halosim.Site{ID: id + 5000, Name: "Main", ClientID: id, ClientName: name})
	h.Clients = append(h.Clients, halosim.Client{
		ID: id, Name: name, TopLevelID: TopLevel, TopLevelName: "Customers", MainSiteID: id + 5000, MainSiteName: "Main", Colour: "#000000",
		AccountsID: fmt.Sprintf("ACC%04d", id), Updated: halosim.On(g.now.AddDate(0, -1, 0)), Extra: halosim.Extra{"is_vip": []byte("false")},
	})
	return id
}

// nativeMapping records what Halo's own integration knows: this client is that Giacom customer.
func (g *grower) nativeMapping(client int64, mex, name string) {
	h := &g.data.Halo
	link := halosim.Link{ID: int64(len(h.Links) + 1), TableID: 2, ModuleID: 311, HaloID: client, ThirdPartyID: mex, Text: name, Primary: true}
	h.Links = append(h.Links, link)
	h.Control.GiacomMappings = append(h.Control.GiacomMappings, link)
}

// subscription adds an active one to Giacom: mostly annual terms billed monthly, as Microsoft's are.
func (g *grower) subscription(mex string, p product, change ...func(*giacomsim.Subscription)) giacomsim.Subscription {
	g.nextSub++
	start := g.now.AddDate(0, 0, -20-g.rng.IntN(330)).Truncate(24 * time.Hour)
	s := giacomsim.Subscription{
		ID: fmt.Sprint(g.nextSub), MexID: mex, Name: p.name, Service: p.service, ProductID: p.sku, Quantity: whole(int64(1 + g.rng.IntN(g.crowd()))),
		Price: pounds(p.price), RRP: pounds(p.rrp), Start: start, Cycle: "Monthly", Term: "Monthly", Status: "Active", Renewal: start.AddDate(1, 0, 0),
	}
	if p.microsoft {
		s.GUID, s.OfferID, s.NCE, s.TermEndAction = guid(g.rng.Uint64), p.sku, true, "RenewToNewTerm"
		s.Cancellable = start.AddDate(0, 0, 7)
		switch at := g.rng.IntN(100); {
		case at < 60:
			s.Term = "Annual"
		case at < 68:
			s.Term, s.Cycle = "Annual", "Annual"
		}
		s.Reference = fmt.Sprintf("%s (NCE %s Term)", p.name, s.Term)
	}
	for _, f := range change {
		f(&s)
	}
	g.data.Giacom.Subscriptions = append(g.data.Giacom.Subscriptions, s)
	return s
}

// crowd bounds the seats: most subscriptions are small.
func (g *grower) crowd() int { return []int{3, 8, 8, 20, 20, 45, 160}[g.rng.IntN(7)] }

func whole(n int64) decimal.NullDecimal { return decimal.NewNullDecimal(decimal.NewFromInt(n)) }
func pounds(s string) decimal.NullDecimal {
	return decimal.NewNullDecimal(decimal.RequireFromString(s))
}

// licence is what Halo's own integration made of a subscription: no mark.
func (g *grower) licence(client int64, s giacomsim.Subscription, change ...func(*halosim.Licence)) int64 {
	h := &g.data.Halo
	l := halosim.Licence{
		ID: int64(len(h.Licences) + 501), Type: 1, Name: s.Name, Count: s.Quantity.Decimal.IntPart(), ClientID: client, SiteID: -1, PurchasePrice: amount(s.Price),
		Price: amount(s.RRP), StartDate: halosim.On(s.Start), BillingCycle: s.Cycle, TermDuration: s.Term, IsActive: true, Distributor: "Giacom",
		ProductSKU: s.ProductID, ThirdPartyID: s.MexID, Extra: halosim.Extra{"monthly_price": []byte("0")},
	}
	if s.GUID != "" {
		l.Vendor = "Microsoft"
	}
	for _, f := range change {
		f(&l)
	}
	h.Licences = append(h.Licences, l)
	return l.ID
}

// line of a subscription, of a quantity type; licence 0 links none.
func (g *grower) line(s giacomsim.Subscription, kind, licence int64) halosim.Line {
	item := g.item[s.ProductID+"|"+s.Name]
	if item == 0 {
		item = 70 // a person took any Item
	}
	l := g.newLine(item, s.Name, amount(s.RRP), amount(s.Price))
	l.Quantity, l.QuantityType = amount(s.Quantity), kind
	if kind == halosim.Subscriptions {
		g.nextRow++
		l.Subscriptions = []halosim.QuantityRow{{ID: g.nextRow, LineID: l.ID, Kind: 4, LicenceID: licence, LicenceName: s.Name, ProRata: 1}}
	}
	return l
}

func (g *grower) newLine(item int64, name string, price, cost halosim.Money) halosim.Line {
	g.nextLine++
	return halosim.Line{
		ID: 900 + g.nextLine, ItemID: item, Name: name, UnitPrice: price, UnitCost: cost, Quantity: halosim.Pounds("1"), Sequence: g.nextLine, Nominal: "4000",
		TaxCode: "1", Extra: halosim.Extra{"xero_tax_code": []byte(`"OUTPUT2"`), "discount_perc": []byte("0")},
	}
}

func (g *grower) manualLine() halosim.Line {
	l := g.newLine(g.item["|Managed support"], "Managed support", halosim.Pounds("250"), halosim.Pounds("0"))
	l.LongName = "Helpdesk and monitoring, Monday to Friday"
	return l
}

func (g *grower) userLine() halosim.Line {
	l := g.newLine(g.item["|Managed support"], "Support per user", halosim.Pounds("18.50"), halosim.Pounds("0"))
	g.nextRow++
	l.QuantityType, l.Users = halosim.Users, []halosim.QuantityRow{{ID: g.nextRow, LineID: l.ID, Kind: 2}}
	return l
}

func (g *grower) assetLine() halosim.Line {
	l := g.newLine(g.item["|Backup per server"], "Backup per server", halosim.Pounds("40"), halosim.Pounds("14"))
	g.nextRow++
	l.QuantityType, l.Assets, l.Quantity = halosim.Assets, []halosim.QuantityRow{{ID: g.nextRow, LineID: l.ID, Kind: 3, TypeID: 2}}, halosim.Pounds("2")
	return l
}

// invoice adds a recurring invoice: period 2 monthly, 3 yearly, 7 every three years.
func (g *grower) invoice(client, period int64, lines ...halosim.Line) int64 {
	h := &g.data.Halo
	id := -int64(len(h.Invoices)) - 11
	for i := range lines {
		lines[i].InvoiceID = id
	}
	first := time.Date(g.now.Year(), g.now.Month(), 1, 0, 0, 0, 0, time.UTC)
	next := first.AddDate(0, 1, 0)
	last := first
	if years := map[int64]int{3: 1, 7: 3}[period]; years > 0 {
		next = first.AddDate(0, 1+g.rng.IntN(10), 0)
		last = next.AddDate(-years, 0, 0)
	}
	h.Invoices = append(h.Invoices, halosim.Invoice{
		ID: id, ClientID: client, Period: period, StartDate: halosim.On(last.AddDate(-1, 0, 0)), NextCreation: halosim.On(next), LastCreated: halosim.On(last),
		PeriodsAhead: 1, ChangeSeq: 1, Reference: fmt.Sprintf("RI%05d", -id), Lines: lines, Extra: halosim.Extra{"paymentterms": []byte("30"), "due_date_type": []byte("0")},
	})
	return id
}
