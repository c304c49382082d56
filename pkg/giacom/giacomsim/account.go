package giacomsim

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// Customer of the simulated account.
type Customer struct {
	MexID     string    `json:"mexId"`
	Name      string    `json:"name"`
	TenantID  string    `json:"tenantId,omitempty"`
	HasGDAP   bool      `json:"hasGdap,omitempty"`
	Status    string    `json:"status,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	Line1     string    `json:"line1,omitempty"`
	City      string    `json:"city,omitempty"`
	Postcode  string    `json:"postcode,omitempty"`
	Country   string    `json:"country,omitempty"`
	Contact   string    `json:"contact,omitempty"`
	Email     string    `json:"email,omitempty"`
	Phone     string    `json:"phone,omitempty"`
	NotInList bool      `json:"notInList,omitempty"` // left out of the Customers path: some are
}

// Subscription of the simulated account. Amounts are per seat, ex VAT.
type Subscription struct {
	// ID is Giacom's own id; it names the subscription in this package.
	ID string `json:"id"`
	// GUID is Microsoft's id. Only subscriptions that have one are in the report.
	GUID  string `json:"guid,omitempty"`
	MexID string `json:"mexId"`
	// CustomerName and TenantID override the customer's: another spelling, a second tenant.
	CustomerName string `json:"customerName,omitempty"`
	TenantID     string `json:"tenantId,omitempty"`

	Name      string `json:"name"`                // in the report
	Reference string `json:"reference,omitempty"` // productReference of the other feeds; Name when empty
	ProductID string `json:"productId,omitempty"`
	OfferID   string `json:"offerId,omitempty"`
	Service   string `json:"service,omitempty"`

	// Quantity and prices are null on the wire when not valid.
	Quantity decimal.NullDecimal `json:"quantity"`
	Price    decimal.NullDecimal `json:"price"`
	RRP      decimal.NullDecimal `json:"rrp"`

	Start         time.Time `json:"start,omitzero"`
	Renewal       time.Time `json:"renewal,omitzero"`
	CommitmentEnd time.Time `json:"commitmentEnd,omitzero"`
	Cancellable   time.Time `json:"cancellable,omitzero"`
	Migrated      time.Time `json:"migrated,omitzero"`

	Cycle         string `json:"cycle,omitempty"`
	Term          string `json:"term,omitempty"`
	Status        string `json:"status,omitempty"` // Active when empty
	TermEndAction string `json:"termEndAction,omitempty"`
	Promo         bool   `json:"promo,omitempty"`
	NCE           bool   `json:"nce,omitempty"`
	// NumbersAsText writes this row's numbers as strings.
	NumbersAsText bool `json:"numbersAsText,omitempty"`
	// CostAsTotal leaves costPerSeat at 0 and gives only totalCost in the feeds that have both.
	CostAsTotal bool `json:"costAsTotal,omitempty"`
}

// billed says whether the feeds without a status list it: there, what is over is absent.
func (s Subscription) billed() bool {
	switch s.Status {
	case "", "Active", "Suspended":
		return true
	}
	return false
}

// Account is a copy of everything the simulator holds.
type Account struct {
	Customers     []Customer     `json:"customers"`
	Subscriptions []Subscription `json:"subscriptions"`
}

// account is the live one. Order of arrival is the order of every list.
type account struct {
	customers []*customerEntry
	byMex     map[string]*customerEntry
	byID      map[string]*subscriptionEntry
	all       []*subscriptionEntry
}

type customerEntry struct {
	Customer
	subscriptions []*subscriptionEntry
	wire          map[string][]byte // rendered rows by route, until the next change
	blocks        [][]byte          // rendered blocks of the report, until the next change; nil is not rendered
}

type subscriptionEntry struct {
	Subscription
	wire map[string][]byte
}

func newAccount() account {
	return account{byMex: map[string]*customerEntry{}, byID: map[string]*subscriptionEntry{}}
}

// Set replaces the whole account.
func (s *Sim) Set(a Account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account = newAccount()
	for _, c := range a.Customers {
		s.account.putCustomer(c)
	}
	for _, sub := range a.Subscriptions {
		if err := s.account.putSubscription(sub); err != nil {
			return err
		}
	}
	return nil
}

// Account copies the account out.
func (s *Sim) Account() Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	var a Account
	for _, c := range s.account.customers {
		a.Customers = append(a.Customers, c.Customer)
	}
	for _, sub := range s.account.all {
		a.Subscriptions = append(a.Subscriptions, sub.Subscription)
	}
	return a
}

// Subscription looks one up by Giacom's id.
func (s *Sim) Subscription(id string) (Subscription, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.account.byID[id]
	if !ok {
		return Subscription{}, false
	}
	return e.Subscription, true
}

// PutCustomer adds a customer or replaces the one of the same MexID.
func (s *Sim) PutCustomer(c Customer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.putCustomer(c)
}

// PutSubscription adds a subscription or replaces the one of the same ID. Its customer must exist.
func (s *Sim) PutSubscription(sub Subscription) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.putSubscription(sub)
}

// Update changes a subscription in place.
func (s *Sim) Update(id string, change func(*Subscription)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.update(id, change)
}

// SetSeats changes the number of seats.
func (s *Sim) SetSeats(id string, seats int64) error {
	return s.Update(id, func(sub *Subscription) { sub.Quantity = decimal.NewNullDecimal(decimal.NewFromInt(seats)) })
}

// SetPrice changes what a seat costs.
func (s *Sim) SetPrice(id string, price decimal.Decimal) error {
	return s.Update(id, func(sub *Subscription) { sub.Price = decimal.NewNullDecimal(price) })
}

// Suspend, Cancel and Activate set the status word. A cancelled subscription stays in the report and leaves the feeds that
// have no status.
func (s *Sim) Suspend(id string) error  { return s.setStatus(id, "Suspended") }
func (s *Sim) Cancel(id string) error   { return s.setStatus(id, "Cancelled") }
func (s *Sim) Activate(id string) error { return s.setStatus(id, "Active") }

func (s *Sim) setStatus(id, word string) error {
	return s.Update(id, func(sub *Subscription) { sub.Status = word })
}

// Remove makes a subscription vanish from every feed.
func (s *Sim) Remove(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.account.remove(id)
}

// RemoveCustomer makes a customer vanish with all its subscriptions.
func (s *Sim) RemoveCustomer(mexID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.account
	c, ok := a.byMex[mexID]
	if !ok {
		return fmt.Errorf("no customer %q", mexID)
	}
	for _, sub := range slices.Clone(c.subscriptions) {
		if err := a.remove(sub.ID); err != nil {
			return err
		}
	}
	delete(a.byMex, mexID)
	a.customers = slices.DeleteFunc(a.customers, func(e *customerEntry) bool { return e == c })
	return nil
}

// Rename gives a customer another name, in its own row and in those of its subscriptions.
func (s *Sim) Rename(mexID, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.account.byMex[mexID]
	if !ok {
		return fmt.Errorf("no customer %q", mexID)
	}
	c.Name = name
	c.forget()
	return nil
}

// Renew replaces a subscription by its renewal: the same product and seats under a new id and GUID, from its renewal date
// (or now) on for a year.
func (s *Sim) Renew(id, newID, newGUID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.account
	old, ok := a.byID[id]
	if !ok {
		return fmt.Errorf("no subscription %q", id)
	}
	next := old.Subscription
	next.ID, next.GUID, next.Status = newID, newGUID, "Active"
	if next.Start = old.Renewal; next.Start.IsZero() {
		next.Start = s.cfg.Now().UTC().Truncate(time.Second)
	}
	next.Renewal = next.Start.AddDate(1, 0, 0)
	if err := a.remove(id); err != nil {
		return err
	}
	return a.putSubscription(next)
}

func (a *account) putCustomer(c Customer) {
	if e, ok := a.byMex[c.MexID]; ok {
		e.Customer = c
		e.forget()
		return
	}
	e := &customerEntry{Customer: c}
	a.byMex[c.MexID] = e
	a.customers = append(a.customers, e)
}

func (a *account) putSubscription(sub Subscription) error {
	if sub.ID == "" {
		return fmt.Errorf("subscription %q of customer %q has no ID", sub.Name, sub.MexID)
	}
	if old, ok := a.byID[sub.ID]; ok && old.MexID == sub.MexID {
		return a.update(sub.ID, func(s *Subscription) { *s = sub })
	} else if ok {
		if err := a.remove(sub.ID); err != nil {
			return err
		}
	}
	c, ok := a.byMex[sub.MexID]
	if !ok {
		return fmt.Errorf("subscription %s: no customer %q", sub.ID, sub.MexID)
	}
	e := &subscriptionEntry{Subscription: sub}
	a.byID[sub.ID] = e
	a.all = append(a.all, e)
	c.subscriptions = append(c.subscriptions, e)
	c.blocks = nil
	return nil
}

func (a *account) update(id string, change func(*Subscription)) error {
	e, ok := a.byID[id]
	if !ok {
		return fmt.Errorf("no subscription %q", id)
	}
	was := e.Subscription
	change(&e.Subscription)
	e.ID, e.MexID = was.ID, was.MexID // identity does not change in place
	e.wire, a.byMex[e.MexID].blocks = nil, nil
	return nil
}

func (a *account) remove(id string) error {
	e, ok := a.byID[id]
	if !ok {
		return fmt.Errorf("no subscription %q", id)
	}
	is := func(o *subscriptionEntry) bool { return o == e }
	delete(a.byID, id)
	a.all = slices.DeleteFunc(a.all, is)
	c := a.byMex[e.MexID]
	c.subscriptions = slices.DeleteFunc(c.subscriptions, is)
	c.blocks = nil
	return nil
}

func (c *customerEntry) forget() {
	c.wire, c.blocks = nil, nil
	for _, sub := range c.subscriptions {
		sub.wire = nil
	}
}

func (c *customerEntry) nameFor(sub Subscription) string   { return cmp.Or(sub.CustomerName, c.Name) }
func (c *customerEntry) tenantFor(sub Subscription) string { return cmp.Or(sub.TenantID, c.TenantID) }
