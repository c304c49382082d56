package estate

import "seatline.dev/pkg/giacom/giacomsim"

// OddName is a customer's name that careless code would make something of.
const OddName = `Zoë's "Café" <b>&</b> 🌱`

// Strangers is the estate of a provider that is new here: hardly anybody has the same name in Giacom and in Halo. By their
// place, 0 and 1 do, 2 and 3 nearly do, 4 has a namesake too many in Halo, 5 and 6 are unknown there, 7 is called
// otherwise and tied by Halo's own integration. Each has a subscription of Microsoft's and one that is not, no licences,
// and an invoice a month with nothing on it that Seatline bills.
func Strangers(c Config) Data {
	g := newGrower(c)
	halo := []string{"Harbour Dental Ltd", OddName, "Northwind Bakery Ltd", "Quayside & Sons", "Twin", "Twin", "Somebody else altogether", "TST Holdings"}
	for i, name := range []string{"Harbour Dental Ltd", OddName, "Northwind Bakery Limited", "Quayside and Sons", "Twin", "Brand New Ventures", "Our own test tenant", "Tall Ship Tours"} {
		mex, client := g.customer(name), g.client(halo[i])
		for _, p := range []product{microsoft[2], others[2]} {
			g.subscription(mex, p, func(s *giacomsim.Subscription) {
				s.Term, s.Cycle = "Monthly", "Monthly"
				if p.microsoft {
					s.Reference = p.name
				}
			})
		}
		g.invoice(client, 2, g.manualLine())
		if i == 7 {
			g.nativeMapping(client, mex, name)
		}
	}
	return g.data
}
