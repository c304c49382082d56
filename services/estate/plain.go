package estate

import (
	"fmt"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
)

// Lines says what of a plain estate is billed in Halo already.
type Lines int

const (
	NoLines     Lines = iota // no licences, no invoices
	LinkedLines              // a licence of the same count for each subscription, on a linked line of its customer's only invoice
)

// Plain is an estate for measuring: subscriptions spread evenly over customers, all active and monthly, every customer
// found by its exact name, every product once per customer. Each invoice has a manual line, too.
func Plain(c Config, lines Lines) Data {
	g := newGrower(c)
	left := c.Subscriptions
	for i := range c.Customers {
		name := fmt.Sprintf("Customer %06d", i)
		mex, client := g.customer(name), g.client(name)
		n := left / (c.Customers - i)
		left -= n
		var on []halosim.Line
		for j := range n {
			p := product{name: fmt.Sprintf("Microsoft 365 Plan %04d", j), service: "Microsoft 365", sku: fmt.Sprintf("CFQ7TTC0PLAN:%04d", j), price: "10.00", rrp: "12.50", microsoft: true}
			s := g.subscription(mex, p, func(s *giacomsim.Subscription) { s.Cycle, s.Term, s.Reference = "Monthly", "Monthly", p.name })
			if lines == LinkedLines {
				on = append(on, g.line(s, halosim.Subscriptions, g.licence(client, s)))
			}
		}
		if lines == LinkedLines {
			g.invoice(client, 2, append(on, g.manualLine())...)
		}
	}
	return g.data
}
