package estate

import (
	"fmt"
	"strings"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
)

// Cases of an estate that came from Inty; see [Inty].
const (
	IntySameSeats  Case = "Inty's licence has the seats of Giacom's"
	IntyOtherSeats Case = "Inty's licence has other seats than Giacom's"
	IntyAmerican   Case = "customer of Inty's in the United States"
	IntyUnknown    Case = "customer of Inty's of whom no country is known"
	IntyNoGiacom   Case = "licence of Inty's that Giacom does not have"
)

// Inty is the estate of a provider that still runs Halo's Inty integration: n customers of each case, in
// the order of the cases above, each mapped in the Inty module, with a licence of Inty's on a linked line
// of its monthly invoice, beside a line that counts users. In Giacom they go by another legal form, so
// that no mapping is found by the exact name. Those in the United States are not in Giacom at all.
func Inty(c Config, n int) Data {
	g := newGrower(c)
	h := &g.data.Halo
	h.Control.IntyURL, h.Control.IntyUserName, h.Control.IntyIntegrator = "https://cascade.inty.example", "msp", true
	for _, k := range []Case{IntySameSeats, IntyOtherSeats, IntyAmerican, IntyUnknown, IntyNoGiacom} {
		for i := range n {
			g.fromInty(k, fmt.Sprintf("%s %d", strings.ReplaceAll(g.companyName(), " Ltd", ""), i), microsoft[i%len(microsoft)])
		}
	}
	return g.data
}

func (g *grower) fromInty(c Case, name string, p product) {
	h := &g.data.Halo
	client := g.client(name)
	country := map[Case]string{IntyAmerican: "US", IntyUnknown: ""}
	site := &h.Sites[len(h.Sites)-1]
	if word, ok := country[c]; !ok {
		site.Extra = halosim.Extra{"country_code": []byte(`"GB"`)}
	} else if word != "" {
		site.Extra = halosim.Extra{"country_code": []byte(`"` + word + `"`)}
	}
	h.Control.IntyMappings = append(h.Control.IntyMappings, halosim.Link{
		ID: int64(9000 + len(h.Control.IntyMappings)), TableID: 2, ModuleID: 209, HaloID: client, HaloText: name, ThirdPartyID: fmt.Sprintf("IN-%d", client), Text: name,
	})
	t := Tag{ClientID: client}
	sub := giacomsim.Subscription{Name: p.name, ProductID: p.sku, Quantity: whole(9), Price: pounds(p.price), RRP: pounds(p.rrp), Cycle: "Monthly", Term: "Monthly", Start: g.now.AddDate(0, -3, 0)}
	if c != IntyAmerican {
		t.MexID = g.customer(name + " Limited")
		if c == IntyUnknown { // nor does Giacom say
			g.data.Giacom.Customers[len(g.data.Giacom.Customers)-1].Country = ""
		}
		ofGiacom := p
		if c == IntyNoGiacom {
			ofGiacom = microsoft[len(microsoft)-1]
		}
		s := g.subscription(t.MexID, ofGiacom, func(s *giacomsim.Subscription) { s.Term, s.Cycle, s.Quantity = "Monthly", "Monthly", whole(9) })
		t.SubscriptionID = s.ID
	}
	t.LicenceID = g.licence(client, sub, func(l *halosim.Licence) {
		l.Name, l.ProductSKU, l.Distributor, l.ThirdPartyID = p.name+" (Active)", "", "Inty", fmt.Sprintf("IN-%d", client)
		if c != IntySameSeats {
			l.Count = 12
		}
	})
	line := g.line(sub, halosim.Subscriptions, t.LicenceID)
	t.Line = line.ID
	t.InvoiceID = g.invoice(client, 2, line, g.userLine(), g.manualLine())
	h.Users = append(h.Users, halosim.User{ID: int64(len(h.Users) + 1), Name: people[int(client)%len(people)], ClientID: client})
	g.tag(c, t)
}
