package world

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"time"

	"seatline.dev/pkg/halo/halosim"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/estate"
)

// Halo allows few requests. What three jobs take is counted at a simulated Halo that has all that [halo.Client.Probe] looks
// for, and at ones that lack a part of it.

// Lack is something that nobody has proven of Halo, and a Halo that does not have it.
type Lack struct {
	What string // "" for a Halo that has everything
	Halo halosim.Config
}

// Lacks are a Halo with everything, and one without each capability that is probed.
func Lacks() []Lack {
	return []Lack{
		{"", halosim.Config{}},
		{"marks in lists of licences", halosim.Config{NoListMarks: true}},
		{"pages of more than 100", halosim.Config{MaxPageSize: 100}},
		{"whole invoices in lists", halosim.Config{InvoiceLines: halosim.LinesThin}},
	}
}

// Spent are requests by service and route, tokens included.
type Spent map[string]map[string]int

// By is what one service spent.
func (s Spent) By(service string) (n int) {
	for _, m := range s[service] {
		n += m
	}
	return n
}

// All is what all services spent together.
func (s Spent) All() (n int) {
	for service := range s {
		n += s.By(service)
	}
	return n
}

// NewLicences counts what it takes to join a Giacom of n subscriptions to an empty Halo, from the moment when nobody knows
// it: a licence is created for each.
func (w *World) NewLicences(ctx context.Context, lack Lack, n int) (Spent, error) {
	data := estate.Plain(estate.Config{Seed: 2, Customers: max(1, n/20), Subscriptions: n, Now: time.Now()}, estate.NoLines)
	slug, err := w.thrift(ctx, lack, data)
	if err != nil {
		return nil, err
	}
	spent, err := w.spend(ctx, slug)
	if err != nil {
		return nil, err
	}
	licences := w.Halo.State().Licences
	for _, l := range licences {
		if !strings.HasPrefix(l.SnowID, "giacom:") {
			return nil, fmt.Errorf("licence %d is not one of ours", l.ID)
		}
	}
	if len(licences) != n {
		return nil, fmt.Errorf("the simulated Halo has %d licences, want %d", len(licences), n)
	}
	return spent, nil
}

// Linked is what three jobs take where each licence is on a linked line of its customer's only invoice.
type Linked struct {
	First  Spent // from the moment when nobody knows that Halo: its licences and invoices are read, and the licences marked
	Counts Spent // the seats of all licences change
	Costs  Spent // then the cost of one line in each invoice
}

// LinkedChanges counts what the jobs take with so many licences and invoices.
func (w *World) LinkedChanges(ctx context.Context, lack Lack, licences, invoices int) (spent Linked, err error) {
	data := estate.Plain(estate.Config{Seed: 2, Customers: invoices, Subscriptions: licences, Now: time.Now()}, estate.LinkedLines)
	slug, err := w.thrift(ctx, lack, data)
	if err != nil {
		return spent, err
	}
	if spent.First, err = w.spend(ctx, slug); err != nil {
		return spent, err
	}
	w.Halo.ResetRequests()
	subs := data.Giacom.Subscriptions
	seats := func() (sum int64) {
		for _, l := range w.Halo.State().Licences {
			sum += l.Count
		}
		return sum
	}
	before := seats()
	for _, s := range subs {
		if err := w.Giacom.SetSeats(s.ID, s.Quantity.Decimal.IntPart()+1); err != nil {
			return spent, err
		}
	}
	if spent.Counts, err = w.spend(ctx, slug); err != nil {
		return spent, err
	}
	if more := seats() - before; more != int64(licences) {
		return spent, fmt.Errorf("%d seats more in Halo, want one for each of %d licences", more, licences)
	}
	w.Halo.ResetRequests()
	was := w.Halo.State()
	seen := map[string]bool{}
	for _, s := range subs {
		if seen[s.MexID] {
			continue
		}
		seen[s.MexID] = true
		if err := w.Giacom.SetPrice(s.ID, s.Price.Decimal.Add(s.Price.Decimal)); err != nil {
			return spent, err
		}
	}
	if spent.Costs, err = w.spend(ctx, slug); err != nil {
		return spent, err
	}
	changed := 0
	for i, inv := range w.Halo.State().Invoices {
		for j, l := range inv.Lines {
			if !l.UnitCost.Equal(was.Invoices[i].Lines[j].UnitCost) {
				changed++
			}
		}
	}
	if changed != invoices {
		return spent, fmt.Errorf("%d lines have another cost, want one in each of %d invoices", changed, invoices)
	}
	return spent, nil
}

// thrift joins the world's Giacom, filled anew, to a Halo in which nothing has happened yet, and gives the connection.
func (w *World) thrift(ctx context.Context, lack Lack, data estate.Data) (slug string, err error) {
	w.Halo = halosim.New(lack.Halo)
	server := httptest.NewServer(w.Halo)
	w.closers = append(w.closers, server.Close)
	w.HaloURL = server.URL
	if err := data.Fill(w.Giacom, w.Halo); err != nil {
		return "", err
	}
	c := w.Connection("thrift-" + strings.ToLower(token()))
	keep := []*pricingv1.PriceRule{{Name: "keep", Price: &pricingv1.PriceRule_Keep{Keep: true}}}
	for _, c.Enabled = range []bool{false, true} { // what Halo can do is known before anybody reads it
		if _, err := w.Apply(ctx, c, keep); err != nil {
			return "", err
		}
		if c.Enabled {
			break
		}
		if _, err := w.Validate(ctx, c.GetSlug()); err != nil {
			return "", err
		}
	}
	return c.GetSlug(), nil
}

// spend polls Giacom once and counts what was spent when nothing would happen any more.
func (w *World) spend(ctx context.Context, slug string) (Spent, error) {
	run, err := w.Run(ctx, slug, true)
	if err != nil {
		return nil, err
	}
	if run.GetOutcome() != runv1.Outcome_OUTCOME_SUCCEEDED {
		return nil, fmt.Errorf("the run ended as %s: %s", run.GetOutcome(), run.GetReason().GetText())
	}
	if err := w.Settle(ctx, slug); err != nil {
		return nil, err
	}
	spent := Spent{}
	for agent, requests := range w.Halo.RequestsBy() {
		service, ours := strings.CutPrefix(agent, "seatline-")
		if !ours {
			return nil, fmt.Errorf("somebody who does not say which service it is asks Halo: %q", agent)
		}
		spent[service] = requests
	}
	return spent, nil
}
