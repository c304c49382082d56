package estate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/giacom/giacomsim"
)

// Evolver changes a Giacom account as months of business would, the same way for the same seed.
type Evolver struct {
	giacom *giacomsim.Sim
	rng    *rand.Rand
	now    func() time.Time

	live    []string                          // subscriptions, by Giacom id
	resting map[string]giacomsim.Subscription // removed ones, which may return
	order   []string                          // their ids, in order of removal
	mex     []string
	next    int64
}

// NewEvolver reads the account once; nobody else should change it from then on. now is the clock that dates changes.
func NewEvolver(g *giacomsim.Sim, seed uint64, now func() time.Time) *Evolver {
	e := &Evolver{giacom: g, rng: rand.New(rand.NewPCG(seed, 0xe701)), now: now, resting: map[string]giacomsim.Subscription{}, next: 20_000_000}
	a := g.Account()
	for _, s := range a.Subscriptions {
		e.live = append(e.live, s.ID)
	}
	for _, c := range a.Customers {
		e.mex = append(e.mex, c.MexID)
	}
	return e
}

// Change is what happened, in words for a test's log.
type Change struct {
	What   string
	ID     string // subscription, or customer
	Detail string
}

func (c Change) String() string { return fmt.Sprintf("%s %s %s", c.What, c.ID, c.Detail) }

// Step makes one change, chosen as real business would: seats most often.
func (e *Evolver) Step() Change {
	kinds := []struct {
		weight int
		change func() (Change, bool)
	}{
		{30, e.SeatsUp}, {16, e.SeatsDown}, {12, e.New}, {8, e.PriceChange}, {6, e.Remove}, {5, e.Renew}, {5, e.Return}, {4, e.Suspend},
		{4, e.Cancel}, {4, e.Activate}, {3, e.Rename}, {3, e.NewCustomer},
	}
	for {
		at := e.rng.IntN(100)
		for _, k := range kinds {
			if at -= k.weight; at >= 0 {
				continue
			}
			if c, ok := k.change(); ok {
				return c
			}
			break // nothing to do it to: choose again
		}
	}
}

// pick chooses a live subscription that fits; it gives up after some tries.
func (e *Evolver) pick(fits func(giacomsim.Subscription) bool) (giacomsim.Subscription, bool) {
	for range 40 {
		if len(e.live) == 0 {
			break
		}
		s, ok := e.giacom.Subscription(e.live[e.rng.IntN(len(e.live))])
		if ok && fits(s) {
			return s, true
		}
	}
	return giacomsim.Subscription{}, false
}

func active(s giacomsim.Subscription) bool { return s.Status == "" || s.Status == "Active" }

func countable(s giacomsim.Subscription) bool {
	return active(s) && s.Quantity.Valid && s.Quantity.Decimal.IsInteger()
}

// must: the evolver is the only one that changes the account, so what it looked up is there.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// SeatsUp adds one to ten seats to a subscription. This and the next ones say false if there is none to change.
func (e *Evolver) SeatsUp() (Change, bool) {
	s, ok := e.pick(countable)
	if !ok {
		return Change{}, false
	}
	return e.seats(s, s.Quantity.Decimal.IntPart()+1+int64(e.rng.IntN(10)))
}

// SeatsDown takes some seats away, sometimes all.
func (e *Evolver) SeatsDown() (Change, bool) {
	s, ok := e.pick(func(s giacomsim.Subscription) bool { return countable(s) && s.Quantity.Decimal.IsPositive() })
	if !ok {
		return Change{}, false
	}
	return e.seats(s, int64(e.rng.IntN(int(s.Quantity.Decimal.IntPart()))))
}

func (e *Evolver) seats(s giacomsim.Subscription, n int64) (Change, bool) {
	must(e.giacom.SetSeats(s.ID, n))
	return Change{"seats", s.ID, fmt.Sprintf("%s to %d", s.Quantity.Decimal, n)}, true
}

// PriceChange moves what a seat costs by up to a tenth.
func (e *Evolver) PriceChange() (Change, bool) {
	s, ok := e.pick(func(s giacomsim.Subscription) bool { return active(s) && s.Price.Valid && s.Price.Decimal.IsPositive() })
	if !ok {
		return Change{}, false
	}
	price := s.Price.Decimal.Mul(decimal.New(900+int64(e.rng.IntN(201)), -3)).Round(4)
	must(e.giacom.SetPrice(s.ID, price))
	return Change{"price", s.ID, fmt.Sprintf("%s to %s", s.Price.Decimal, price)}, true
}

// New adds a subscription of a product to a customer.
func (e *Evolver) New() (Change, bool) {
	if len(e.mex) == 0 {
		return Change{}, false
	}
	return e.subscribe(e.mex[e.rng.IntN(len(e.mex))]), true
}

func (e *Evolver) subscribe(mex string) Change {
	all := append(slices.Clone(microsoft), others...)
	p := all[e.rng.IntN(len(all))]
	e.next++
	now := e.now().UTC().Truncate(time.Second)
	s := giacomsim.Subscription{
		ID: fmt.Sprint(e.next), MexID: mex, Name: p.name, Service: p.service, ProductID: p.sku, Quantity: whole(int64(1 + e.rng.IntN(25))), Price: pounds(p.price),
		RRP: pounds(p.rrp), Start: now, Renewal: now.AddDate(1, 0, 0), Cycle: "Monthly", Term: "Monthly", Status: "Active",
	}
	if p.microsoft {
		s.GUID, s.OfferID, s.NCE = guid(e.rng.Uint64), p.sku, true
		s.Reference = p.name + " (NCE Monthly Term)"
	}
	must(e.giacom.PutSubscription(s))
	e.live = append(e.live, s.ID)
	return Change{"new", s.ID, fmt.Sprintf("%s of %s for %s", s.Quantity.Decimal, p.name, mex)}
}

// NewCustomer adds a customer with a subscription.
func (e *Evolver) NewCustomer() (Change, bool) {
	mex := fmt.Sprintf("MEX%05d", 50001+len(e.mex))
	e.mex = append(e.mex, mex)
	e.giacom.PutCustomer(giacomsim.Customer{
		MexID: mex, Name: fmt.Sprintf("%s %s %d Ltd", places[e.rng.IntN(len(places))], trades[e.rng.IntN(len(trades))], len(e.mex)), TenantID: guid(e.rng.Uint64), Created: e.now(),
	})
	c := e.subscribe(mex)
	return Change{"new customer", mex, c.Detail}, true
}

// Remove makes a subscription vanish; Return may bring it back.
func (e *Evolver) Remove() (Change, bool) {
	s, ok := e.pick(active)
	if !ok {
		return Change{}, false
	}
	e.remove(s)
	return Change{"removed", s.ID, s.Name}, true
}

func (e *Evolver) remove(s giacomsim.Subscription) {
	must(e.giacom.Remove(s.ID))
	e.resting[s.ID] = s
	e.order = append(e.order, s.ID)
	e.live = slices.DeleteFunc(e.live, func(id string) bool { return id == s.ID })
}

// Return brings back a removed subscription, as it was.
func (e *Evolver) Return() (Change, bool) {
	if len(e.order) == 0 {
		return Change{}, false
	}
	at := e.rng.IntN(len(e.order))
	s := e.resting[e.order[at]]
	e.order = slices.Delete(e.order, at, at+1)
	delete(e.resting, s.ID)
	must(e.giacom.PutSubscription(s))
	e.live = append(e.live, s.ID)
	return Change{"returned", s.ID, s.Name}, true
}

// Renew replaces a Microsoft subscription by its renewal under a new id and GUID.
func (e *Evolver) Renew() (Change, bool) {
	s, ok := e.pick(func(s giacomsim.Subscription) bool { return active(s) && s.GUID != "" })
	if !ok {
		return Change{}, false
	}
	e.next++
	id := fmt.Sprint(e.next)
	must(e.giacom.Renew(s.ID, id, guid(e.rng.Uint64)))
	e.live[slices.Index(e.live, s.ID)] = id
	return Change{"renewed", s.ID, "as " + id}, true
}

// Suspend, Cancel and Activate change the status word.
func (e *Evolver) Suspend() (Change, bool) { return e.status("Suspended", active) }

// Cancel leaves the subscription in the report, where a cancelled one stays.
func (e *Evolver) Cancel() (Change, bool) { return e.status("Cancelled", active) }

// Activate brings a suspended or cancelled subscription back.
func (e *Evolver) Activate() (Change, bool) {
	return e.status("Active", func(s giacomsim.Subscription) bool { return s.Status == "Suspended" || s.Status == "Cancelled" })
}

func (e *Evolver) status(word string, fits func(giacomsim.Subscription) bool) (Change, bool) {
	s, ok := e.pick(fits)
	if !ok {
		return Change{}, false
	}
	must(e.giacom.Update(s.ID, func(s *giacomsim.Subscription) { s.Status = word }))
	return Change{"status", s.ID, word}, true
}

// Rename gives a customer another name.
func (e *Evolver) Rename() (Change, bool) {
	if len(e.mex) == 0 {
		return Change{}, false
	}
	mex := e.mex[e.rng.IntN(len(e.mex))]
	name := fmt.Sprintf("%s %s (%d) Ltd", places[e.rng.IntN(len(places))], trades[e.rng.IntN(len(trades))], e.rng.IntN(9000)+1000)
	must(e.giacom.Rename(mex, name))
	return Change{"renamed", mex, name}, true
}
