package main

import (
	"time"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/services/estate"
)

// withInvoices gives every customer an empty monthly invoice, for rules to add lines to.
func withInvoices(d estate.Data) estate.Data {
	now := time.Now().UTC()
	next := time.Date(now.Year(), now.Month()+2, 1, 0, 0, 0, 0, time.UTC)
	for i, c := range d.Halo.Clients {
		d.Halo.Invoices = append(d.Halo.Invoices, halosim.Invoice{
			ID: -int64(i + 10), ClientID: c.ID, ClientName: c.Name, Recurring: true, Period: 2, ChangeSeq: 1,
			StartDate: halosim.On(next.AddDate(-1, 0, 0)), NextCreation: halosim.On(next), LastCreated: halosim.On(next.AddDate(0, -1, 0)),
		})
	}
	return d
}
