// Package estate grows the estate of a managed service provider: a Giacom account and the Halo instance that bills it,
// consistent with each other, realistic, and the same for every run with the same seed. [Evolver] changes it over time.
//
// The awkward cases of real estates are in it, each under a [Case] by which tests find it.
package estate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
)

// Config of an estate. The zero value is 160 customers with 2,100 subscriptions on 16 November 2026.
type Config struct {
	Seed          uint64
	Customers     int
	Subscriptions int
	// Now is when the estate is: invoices are due on the first of the next month, terms began in the past.
	Now time.Time
}

// Data is a whole estate.
type Data struct {
	Giacom giacomsim.Account
	Halo   halosim.State
	Cases  map[Case][]Tag
}

// Fill puts the estate into simulators, replacing what they hold.
func (d Data) Fill(g *giacomsim.Sim, h *halosim.Sim) error {
	h.Set(d.Halo)
	if err := g.Set(d.Giacom); err != nil {
		return fmt.Errorf("fill the Giacom simulator: %w", err)
	}
	return nil
}

// Find gives the only or first example of a case; it panics if there is none, which would be a mistake of this package.
func (d Data) Find(c Case) Tag {
	if len(d.Cases[c]) == 0 {
		panic(fmt.Sprintf("the estate has no case %q", c))
	}
	return d.Cases[c][0]
}

// TopLevel is where customers should be created.
const TopLevel = 12

// grower grows an estate customer by customer.
type grower struct {
	rng   *rand.Rand
	now   time.Time
	data  Data
	names map[string]bool // simplified names in use

	nextSub, nextLine, nextRow int64
	item                       map[string]int64 // by SKU
}

func newGrower(c Config) *grower {
	if c.Now.IsZero() {
		c.Now = time.Date(2026, 11, 16, 9, 0, 0, 0, time.UTC)
	}
	g := &grower{
		rng: rand.New(rand.NewPCG(c.Seed, 0x5ea7)), now: c.Now.UTC().Truncate(time.Second), names: map[string]bool{}, nextSub: 10_480_000,
		data: Data{Cases: map[Case][]Tag{}}, item: map[string]int64{},
	}
	h := &g.data.Halo
	h.TopLevels = []halosim.TopLevel{{ID: TopLevel, Name: "Customers", LongName: "Customers"}, {ID: 13, Name: "Prospects", LongName: "Prospects"}}
	h.CustomFields = []string{"CFGiacomCustomerId"}
	h.Control = halosim.Control{CalculateQuantities: true, NegativeProRata: true, GiacomTopLevel: TopLevel}
	for _, p := range append(slices.Clone(microsoft), others...) {
		g.addItem(p)
	}
	for _, name := range []string{"Managed support", "Backup per server", "Site visit retainer"} {
		g.addItem(product{name: name, price: "0", rrp: "95"})
	}
	return g
}

func (g *grower) addItem(p product) {
	if p.noItem {
		return
	}
	id := int64(len(g.data.Halo.Items) + 70)
	g.item[p.key()] = id
	g.data.Halo.Items = append(g.data.Halo.Items, halosim.Item{
		ID: id, Name: p.name, BasePrice: halosim.Pounds(p.rrp), RecurringPrice: halosim.Pounds(p.rrp), CostPrice: halosim.Pounds(p.price),
		RecurringCost: halosim.Pounds(p.price), IsRecurring: true, SupplierPartCode: p.sku, NominalCode: "4000", TaxCode: 1,
	})
}

// Generate grows the default estate, with every [Case] in it.
func Generate(c Config) Data {
	if c.Customers == 0 && c.Subscriptions == 0 {
		c.Customers, c.Subscriptions = 160, 2100
	}
	c.Subscriptions = max(c.Subscriptions, 300)
	if c.Customers == 0 {
		c.Customers = c.Subscriptions / 13
	}
	c.Customers = max(c.Customers, 60)
	g := newGrower(c)
	g.cases()
	for left := c.Customers - len(g.data.Giacom.Customers); left > 0; left-- {
		n := (c.Subscriptions - len(g.data.Giacom.Subscriptions)) / left
		if n < 1 {
			n = 1
		}
		if left > 1 && n > 2 {
			n = 1 + g.rng.IntN(2*n-1) // from one man and his dog to the local college
		}
		g.ordinary(n)
	}
	for range c.Customers / 20 { // customers of the provider that buy nothing from Giacom
		id := g.client(g.companyName())
		g.invoice(id, 2, g.manualLine())
	}
	return g.data
}

// ordinary is a customer without a case: its Halo client, if it has one, is found by name or by Halo's own mapping.
func (g *grower) ordinary(subscriptions int) {
	name := g.companyName()
	mex := g.customer(name)
	var client int64
	switch at := g.rng.IntN(100); {
	case at < 80:
		client = g.client(name)
	case at < 90: // the integration of Halo itself knows it under another name
		client = g.client(g.companyName())
		g.nativeMapping(client, mex, name)
	default: // not in Halo yet
	}
	var monthly, yearly []halosim.Line
	all := append(slices.Clone(microsoft), others...)
	var picked []product
	for range subscriptions {
		if len(picked) == 0 {
			picked = slices.Clone(all)
			g.rng.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
		}
		p := picked[len(picked)-1]
		picked = picked[:len(picked)-1]
		sub := g.subscription(mex, p)
		if client == 0 {
			continue
		}
		if line, ok := g.billed(client, sub); !ok {
			continue
		} else if sub.Cycle == "Annual" {
			yearly = append(yearly, line)
		} else {
			monthly = append(monthly, line)
		}
	}
	if client == 0 {
		return
	}
	monthly = append(monthly, g.manualLine())
	if g.rng.IntN(3) == 0 {
		monthly = append(monthly, g.userLine())
	}
	if g.rng.IntN(6) == 0 {
		monthly = append(monthly, g.assetLine())
	}
	g.invoice(client, 2, monthly...)
	if len(yearly) > 0 {
		g.invoice(client, 3, yearly...)
	}
	for i := range 2 + g.rng.IntN(6) {
		g.data.Halo.Users = append(g.data.Halo.Users, halosim.User{ID: int64(len(g.data.Halo.Users) + 1), Name: people[(int(client)+i)%len(people)], ClientID: client})
	}
}

// billed is how a subscription is on the client's invoice today, if it is: linked to a licence that Halo's integration
// made, linked to nothing yet, or with a quantity that a person types.
func (g *grower) billed(client int64, sub giacomsim.Subscription) (halosim.Line, bool) {
	switch at := g.rng.IntN(100); {
	case at < 55:
		return g.line(sub, halosim.Subscriptions, g.licence(client, sub)), true
	case at < 70:
		return g.line(sub, halosim.Subscriptions, 0), true
	case at < 85:
		return g.line(sub, halosim.Fixed, 0), true
	}
	return halosim.Line{}, false
}

func amount(d decimal.NullDecimal) halosim.Money { return halosim.Money{Decimal: d.Decimal} }
