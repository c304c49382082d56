package estate

import (
	"strings"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
)

// Case names an awkward situation of a real estate.
type Case string

const (
	SameNameInGiacom    Case = "same name twice in Giacom"
	SameNameInHalo      Case = "same name twice in Halo"
	NearLimited         Case = "names differ by Ltd and Limited"
	NearCase            Case = "names differ by case"
	NearAccent          Case = "names differ by an accent"
	NearAmpersand       Case = "names differ by an ampersand"
	Renamed             Case = "customer renamed in Giacom, mapped by Halo's integration"
	TwoTenants          Case = "one customer with two tenants"
	MappedInactive      Case = "Halo's integration maps to an inactive client"
	MissingInHalo       Case = "customer missing in Halo"
	MissingInGiacom     Case = "client missing in Giacom"
	NoSubscriptions     Case = "customer without subscriptions"
	Suspended           Case = "suspended"
	Cancelled           Case = "cancelled"
	CancelledLicence    Case = "cancelled, its licence still bills in Halo"
	Pending             Case = "pending"
	Expired             Case = "expired"
	Disabled            Case = "disabled"
	UnknownStatus       Case = "unknown status"
	ZeroSeats           Case = "zero seats"
	FractionalSeats     Case = "fractional seats"
	NumbersAsText       Case = "numbers as text"
	NullPrice           Case = "null price"
	Promo               Case = "promo price"
	FreeSKU             Case = "free SKU"
	NoRRP               Case = "no RRP"
	NonMicrosoft        Case = "not Microsoft"
	NoItem              Case = "no Item in Halo"
	AnnualMonthly       Case = "annual term billed monthly"
	AnnualAnnual        Case = "annual term billed annually"
	Triennial           Case = "three-year term billed every three years"
	OneTime             Case = "one-time charge"
	CoTermed            Case = "co-termed add-on"
	Renewal             Case = "renews soon, under a new GUID"
	LinkedLine          Case = "line linked to a subscription"
	UnlinkedLine        Case = "subscription line that links nothing yet"
	FixedLine           Case = "line with a typed quantity"
	FixedProRata        Case = "typed quantity with pro rata not yet invoiced"
	TwoFixedLines       Case = "two lines with a typed quantity for one product"
	TwoPrices           Case = "two licences of different price on one line"
	ManualLine          Case = "manual line"
	UserLine            Case = "user-count line"
	AssetLine           Case = "asset line"
	LicenceLine         Case = "line that counts a licence which is no subscription"
	GroupText           Case = "group text line"
	InactiveLine        Case = "inactive line"
	AutoIncrease        Case = "line with automatic increase"
	MinimumAndFree      Case = "line with minimum and free seats"
	LinkedPrice         Case = "line that takes price and cost from the subscription"
	HandEdited          Case = "line edited by hand"
	BilledToParent      Case = "invoice billed to a parent"
	DisabledInvoice     Case = "disabled invoice"
	CycleMisfit         Case = "annual subscription on a monthly invoice"
	NotBilled           Case = "licence on no line"
	NativeLicence       Case = "licence made by Halo's integration"
	NativeOtherCount    Case = "licence made by Halo's integration, with another count"
	NativeTwice         Case = "two licences of the product in Halo"
	IntyLicence         Case = "licence made by Inty, status in its name"
	SameProductTwice    Case = "two subscriptions of one product"
	InactiveLicence     Case = "inactive licence of the product"
	NearInvoiceRun      Case = "invoice about to be created"
	AccentsAndQuotes    Case = "name with quotes, accents and emoji"
	LowerCaseCustomerID Case = "customer id in lower case with spaces"
)

// Tag says where a case is. Zero fields do not apply.
type Tag struct {
	MexID, SubscriptionID                string
	ClientID, LicenceID, InvoiceID, Line int64
}

func (g *grower) tag(c Case, t Tag) { g.data.Cases[c] = append(g.data.Cases[c], t) }

// pair is a customer known on both sides under one name.
func (g *grower) pair() (mex string, client int64) {
	name := g.companyName()
	return g.customer(name), g.client(name)
}

// cases puts one of each case into the estate.
func (g *grower) cases() {
	g.nameCases()
	g.statusCases()
	g.lineCases()
	g.licenceCases()
}

func (g *grower) nameCases() {
	basic := microsoft[0]
	with := func(c Case, mex string, client int64) {
		g.tag(c, Tag{MexID: mex, ClientID: client, SubscriptionID: g.subscription(mex, basic).ID})
	}
	twice := g.companyName()
	client := g.client(twice)
	with(SameNameInGiacom, g.customer(twice), client)
	with(SameNameInGiacom, g.customer(twice), client)
	twice = g.companyName()
	mex := g.customer(twice)
	with(SameNameInHalo, mex, g.client(twice))
	g.tag(SameNameInHalo, Tag{MexID: mex, ClientID: g.client(twice)})
	with(NearLimited, g.customer("Bramley Joinery Ltd"), g.client("Bramley Joinery Limited"))
	with(NearCase, g.customer("FERNHILL CARE"), g.client("Fernhill Care"))
	with(NearAccent, g.customer("Café Société"), g.client("Cafe Societe"))
	with(NearAmpersand, g.customer("Marsh & Sons"), g.client("Marsh and Sons"))
	with(AccentsAndQuotes, g.customer(`Zoë's "Ünïcode" Bäkery 🍞 <Ltd>`), g.client(`Zoë's "Ünïcode" Bäkery 🍞 <Ltd>`))
	mex, client = g.customer("Larkspur Holdings Ltd"), g.client("Larkspur Printing Ltd")
	g.nativeMapping(client, mex, "Larkspur Printing Ltd")
	with(Renamed, mex, client)
	mex, client = g.pair()
	with(TwoTenants, mex, client)
	second := g.subscription(mex, microsoft[1], func(s *giacomsim.Subscription) { s.TenantID = guid(g.rng.Uint64) })
	g.tag(TwoTenants, Tag{MexID: mex, ClientID: client, SubscriptionID: second.ID})
	mex, client = g.customer(g.companyName()), g.client(g.companyName())
	g.data.Halo.Clients[len(g.data.Halo.Clients)-1].Inactive = true
	g.nativeMapping(client, " "+strings.ToLower(mex)+" ", "gone")
	with(MappedInactive, mex, client)
	mex, client = g.customer(g.companyName()), g.client(g.companyName())
	g.nativeMapping(client, " "+strings.ToLower(mex)+" ", "spelt in lower case")
	with(LowerCaseCustomerID, mex, client)
	with(MissingInHalo, g.customer("Nettlebed Pottery Ltd"), 0)
	client = g.client("Quillon Fabrication Ltd")
	g.nativeMapping(client, "-1", "unmapped")
	g.tag(MissingInGiacom, Tag{ClientID: client, InvoiceID: g.invoice(client, 2, g.manualLine())})
	mex, client = g.pair()
	g.tag(NoSubscriptions, Tag{MexID: mex, ClientID: client})
}

func (g *grower) statusCases() {
	type change = func(*giacomsim.Subscription)
	status := func(word string) change { return func(s *giacomsim.Subscription) { s.Status = word } }
	for i, c := range []struct {
		name   Case
		change change
	}{
		{Suspended, status("Suspended")}, {Cancelled, status("Cancelled")}, {CancelledLicence, status("Cancelled")}, {Pending, status("Pending")},
		{Expired, status("Expired")}, {Disabled, status("Disabled")}, {UnknownStatus, status("Hibernating")},
		{ZeroSeats, func(s *giacomsim.Subscription) { s.Quantity = whole(0) }},
		{FractionalSeats, func(s *giacomsim.Subscription) { s.Quantity = pounds("2.5") }},
		{NumbersAsText, func(s *giacomsim.Subscription) { s.NumbersAsText = true }},
		{NullPrice, func(s *giacomsim.Subscription) { s.Price = decimal.NullDecimal{} }},
		{Promo, func(s *giacomsim.Subscription) { s.Promo, s.Price = true, pounds("1.0475") }},
		{FreeSKU, func(s *giacomsim.Subscription) {
			s.Name, s.Price, s.RRP = "Power Automate Free", pounds("0"), pounds("0")
		}},
		{NoRRP, func(s *giacomsim.Subscription) { s.RRP = decimal.NullDecimal{} }},
		{AnnualMonthly, func(s *giacomsim.Subscription) { s.Term, s.Cycle = "Annual", "Monthly" }},
		{AnnualAnnual, func(s *giacomsim.Subscription) { s.Term, s.Cycle = "Annual", "Annual" }},
		{Triennial, func(s *giacomsim.Subscription) { s.Term, s.Cycle = "Triennial", "Triennial" }},
		{OneTime, func(s *giacomsim.Subscription) { s.Term, s.Cycle = "", "One-Time" }},
		{Renewal, func(s *giacomsim.Subscription) {
			s.Start, s.Renewal = g.now.AddDate(-1, 0, 3), g.now.AddDate(0, 0, 3)
		}},
	} {
		mex, client := g.pair()
		s := g.subscription(mex, microsoft[i%len(microsoft)], func(s *giacomsim.Subscription) { s.Term, s.Cycle = "Monthly", "Monthly" }, c.change)
		t := Tag{MexID: mex, ClientID: client, SubscriptionID: s.ID}
		if c.name == CancelledLicence || c.name == Suspended {
			t.LicenceID = g.licence(client, s)
			l := g.line(s, halosim.Subscriptions, t.LicenceID)
			t.InvoiceID, t.Line = g.invoice(client, 2, l), l.ID
		}
		g.tag(c.name, t)
	}
	mex, client := g.pair()
	base := g.subscription(mex, microsoft[2], func(s *giacomsim.Subscription) { s.Term, s.Cycle = "Annual", "Monthly" })
	addOn := g.subscription(mex, microsoft[12], func(s *giacomsim.Subscription) {
		s.Term, s.Cycle, s.Start, s.Renewal, s.CommitmentEnd = "Annual", "Monthly", g.now.AddDate(0, -2, 0), base.Renewal, base.Renewal
	})
	g.tag(CoTermed, Tag{MexID: mex, ClientID: client, SubscriptionID: addOn.ID})
	for i, c := range []Case{NonMicrosoft, NoItem} {
		mex, client := g.pair()
		g.tag(c, Tag{MexID: mex, ClientID: client, SubscriptionID: g.subscription(mex, others[i*8]).ID})
	}
}

// monthly is a plain subscription of a new customer known on both sides.
func (g *grower) monthly(p product) (giacomsim.Subscription, int64) {
	mex, client := g.pair()
	return g.subscription(mex, p, func(s *giacomsim.Subscription) { s.Term, s.Cycle = "Monthly", "Monthly" }), client
}

func (g *grower) lineCases() {
	none := func(*halosim.Line) {}
	row := func(change func(*halosim.QuantityRow)) func(*halosim.Line) {
		return func(l *halosim.Line) { change(&l.Subscriptions[0]) }
	}
	for i, c := range []struct {
		name   Case
		kind   int64
		linked bool
		change func(*halosim.Line)
	}{
		{LinkedLine, halosim.Subscriptions, true, none},
		{UnlinkedLine, halosim.Subscriptions, false, none},
		{FixedLine, halosim.Fixed, false, func(l *halosim.Line) { l.Quantity = halosim.Pounds("1") }},
		{FixedProRata, halosim.Fixed, false, func(l *halosim.Line) {
			l.Quantity = halosim.Pounds("1")
			l.ProRata = []halosim.ProRataRow{{ID: 1, LineID: l.ID, Quantity: halosim.Pounds("1"), UnitPrice: halosim.Pounds("3")}}
		}},
		{InactiveLine, halosim.Subscriptions, true, func(l *halosim.Line) { l.Inactive = true }},
		{AutoIncrease, halosim.Subscriptions, true, func(l *halosim.Line) { l.AutoIncrease, l.UnitPrice = 12, halosim.Pounds("21.37") }},
		{MinimumAndFree, halosim.Subscriptions, true, row(func(r *halosim.QuantityRow) { r.Minimum, r.Free = 5, 2 })},
		{LinkedPrice, halosim.Subscriptions, true, row(func(r *halosim.QuantityRow) { r.UsesSubsPrice, r.UsesSubsCost = true, true })},
		{HandEdited, halosim.Subscriptions, true, func(l *halosim.Line) {
			l.Name, l.LongName, l.UnitPrice = "Email and Office for the team", "Agreed with Sue, do not change", halosim.Pounds("17.77")
			l.Extra = halosim.Extra{"xero_tax_code": []byte(`"EXEMPT"`), "customfields": []byte(`[{"id":9,"name":"CFAgreed","value":"yes"}]`), "discount_perc": []byte("2.5")}
		}},
		{TwoFixedLines, halosim.Fixed, false, none},
	} {
		s, client := g.monthly(microsoft[i])
		t := Tag{MexID: s.MexID, ClientID: client, SubscriptionID: s.ID}
		if c.linked {
			t.LicenceID = g.licence(client, s)
		}
		l := g.line(s, c.kind, t.LicenceID)
		c.change(&l)
		lines := []halosim.Line{l, g.manualLine()}
		if c.name == TwoFixedLines {
			lines = append(lines, g.line(s, halosim.Fixed, 0))
		}
		t.Line, t.InvoiceID = l.ID, g.invoice(client, 2, lines...)
		g.tag(c.name, t)
	}
	s, client := g.monthly(microsoft[3])
	other := g.subscription(s.MexID, microsoft[4], func(s *giacomsim.Subscription) { s.Term, s.Cycle = "Monthly", "Monthly" })
	t := Tag{MexID: s.MexID, ClientID: client, SubscriptionID: s.ID, LicenceID: g.licence(client, s)}
	l := g.line(s, halosim.Subscriptions, t.LicenceID)
	g.nextRow++
	l.Subscriptions = append(l.Subscriptions, halosim.QuantityRow{ID: g.nextRow, LineID: l.ID, Kind: 4, LicenceID: g.licence(client, other), ProRata: 1})
	t.Line, t.InvoiceID = l.ID, g.invoice(client, 2, l)
	g.tag(TwoPrices, t)

	for _, c := range []struct {
		name Case
		line func() halosim.Line
	}{{ManualLine, g.manualLine}, {UserLine, g.userLine}, {AssetLine, g.assetLine}} {
		_, client := g.monthly(microsoft[5])
		l := c.line()
		g.tag(c.name, Tag{ClientID: client, Line: l.ID, InvoiceID: g.invoice(client, 2, l)})
	}
	s, client = g.monthly(microsoft[5])
	perpetual := g.licence(client, s, func(l *halosim.Licence) { l.Type, l.Name, l.ProductSKU = 0, "Office 2024 Standard", "" })
	l = g.newLine(70, "Office 2024 maintenance", halosim.Pounds("4"), halosim.Pounds("2"))
	g.nextRow++
	l.QuantityType, l.Licences = halosim.Licences, []halosim.QuantityRow{{ID: g.nextRow, LineID: l.ID, Kind: 1, LicenceID: perpetual, ProRata: 0}}
	text := g.newLine(0, "Licences", halosim.Pounds("0"), halosim.Pounds("0"))
	text.GroupText = true
	t = Tag{MexID: s.MexID, ClientID: client, SubscriptionID: s.ID, LicenceID: perpetual, Line: l.ID, InvoiceID: g.invoice(client, 2, text, l)}
	g.tag(LicenceLine, t)
	t.Line = text.ID
	g.tag(GroupText, t)

	g.elsewhere()
}

// elsewhere are the cases of the invoice rather than the line.
func (g *grower) elsewhere() {
	linked := func(c Case, p product, period int64, payer func(client int64) int64, change func(*halosim.Invoice)) {
		s, client := g.monthly(p)
		t := Tag{MexID: s.MexID, ClientID: client, SubscriptionID: s.ID, LicenceID: g.licence(client, s)}
		l := g.line(s, halosim.Subscriptions, t.LicenceID)
		t.Line, t.InvoiceID = l.ID, g.invoice(payer(client), period, l)
		change(&g.data.Halo.Invoices[len(g.data.Halo.Invoices)-1])
		g.tag(c, t)
	}
	self, as := func(client int64) int64 { return client }, func(*halosim.Invoice) {}
	linked(BilledToParent, microsoft[6], 2, func(int64) int64 { return g.client(g.companyName()) }, as)
	linked(DisabledInvoice, microsoft[7], 2, self, func(i *halosim.Invoice) { i.Disabled = true })
	linked(CycleMisfit, microsoft[8], 3, self, as)
	linked(NearInvoiceRun, microsoft[9], 2, self, func(i *halosim.Invoice) { i.NextCreation = halosim.On(g.now.Add(3600e9)) })
	s, client := g.monthly(microsoft[10])
	g.tag(NotBilled, Tag{MexID: s.MexID, ClientID: client, SubscriptionID: s.ID, LicenceID: g.licence(client, s)})
}

func (g *grower) licenceCases() {
	same := func(*halosim.Licence) {}
	for i, c := range []struct {
		name   Case
		change func(*halosim.Licence)
	}{
		{NativeLicence, same},
		{NativeOtherCount, func(l *halosim.Licence) { l.Count += 3 }},
		{NativeTwice, same},
		{IntyLicence, func(l *halosim.Licence) {
			l.Name, l.ProductSKU, l.Distributor = l.Name+" (Active)", "", "Inty"
		}},
		{InactiveLicence, func(l *halosim.Licence) { l.IsActive = false }},
		{SameProductTwice, same},
	} {
		s, client := g.monthly(microsoft[11+i])
		t := Tag{MexID: s.MexID, ClientID: client, SubscriptionID: s.ID, LicenceID: g.licence(client, s, c.change)}
		g.tag(c.name, t)
		switch c.name {
		case NativeTwice:
			t.LicenceID = g.licence(client, s)
			g.tag(c.name, t)
		case SameProductTwice:
			t.SubscriptionID = g.subscription(s.MexID, microsoft[11+i], func(s *giacomsim.Subscription) { s.Term, s.Cycle = "Monthly", "Monthly" }).ID
			g.tag(c.name, t)
		}
	}
}
