package giacomsim

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/simulator"
)

// Change is one change of the account, as the admin route takes it.
type Change struct {
	// Op is seats, price, status, remove, renew, put, rename, customer, remove_customer, revoke_key or restore_key.
	Op string `json:"op"`
	// ID of the subscription, or MexID of the customer for rename and remove_customer.
	ID string `json:"id,omitempty"`
	// Value is the number of seats, the price, the status word or the name.
	Value string `json:"value,omitempty"`
	// NewID and NewGUID of renew.
	NewID   string `json:"newId,omitempty"`
	NewGUID string `json:"newGuid,omitempty"`

	Subscription *Subscription `json:"subscription,omitempty"`
	Customer     *Customer     `json:"customer,omitempty"`
}

// Apply makes one change.
func (s *Sim) Apply(c Change) error {
	switch {
	case c.Op == "seats" || c.Op == "price":
		d, err := decimal.NewFromString(c.Value)
		if err != nil {
			return fmt.Errorf("%s of %s: %q is not a number", c.Op, c.ID, c.Value)
		}
		return s.Update(c.ID, func(sub *Subscription) {
			if c.Op == "seats" {
				sub.Quantity = decimal.NewNullDecimal(d)
			} else {
				sub.Price = decimal.NewNullDecimal(d)
			}
		})
	case c.Op == "status":
		return s.setStatus(c.ID, c.Value)
	case c.Op == "remove":
		return s.Remove(c.ID)
	case c.Op == "renew":
		return s.Renew(c.ID, c.NewID, c.NewGUID)
	case c.Op == "put" && c.Subscription != nil:
		return s.PutSubscription(*c.Subscription)
	case c.Op == "customer" && c.Customer != nil:
		s.PutCustomer(*c.Customer)
	case c.Op == "rename":
		return s.Rename(c.ID, c.Value)
	case c.Op == "remove_customer":
		return s.RemoveCustomer(c.ID)
	case c.Op == "revoke_key":
		s.RevokeKey()
	case c.Op == "restore_key":
		s.RestoreKey()
	default:
		return fmt.Errorf("no change is called %q, or its subscription or customer is missing", c.Op)
	}
	return nil
}

// admin are the routes of this simulator, beside those that all have:
//
//	GET  /_sim/state   the account; PUT replaces it
//	POST /_sim/change  a Change, or a list of them
func (s *Sim) admin() map[string]simulator.Route {
	return map[string]simulator.Route{
		"GET /_sim/state": func(*http.Request) (any, error) { return s.Account(), nil },
		"PUT /_sim/state": func(r *http.Request) (any, error) {
			var a Account
			if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
				return nil, err
			}
			return nil, s.Set(a)
		},
		"POST /_sim/change": func(r *http.Request) (any, error) { return nil, simulator.Each(r, s.Apply) },
	}
}
