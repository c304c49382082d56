package giacomsim

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/shopspring/decimal"
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

// serveAdmin answers the simulator's own routes. They want no key: serve a simulator on loopback only.
//
//	GET    /_sim/faults    the faults that are on, and all there are
//	POST   /_sim/faults    a Fault, or a list of them, to switch on
//	DELETE /_sim/faults    switch off ?name=, or all
//	GET    /_sim/requests  requests by route; DELETE begins anew
//	GET    /_sim/state     the account; PUT replaces it
//	POST   /_sim/change    a Change, or a list of them
func (s *Sim) serveAdmin(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/faults":
		on := []Fault{}
		s.locked(func() {
			for _, f := range s.faults {
				on = append(on, f.Fault)
			}
		})
		writeJSON(w, http.StatusOK, map[string]any{"on": on, "known": Faults})
		return
	case "POST /_sim/faults":
		err = each(r, s.Inject)
	case "DELETE /_sim/faults":
		s.Clear(r.URL.Query().Get("name"))
	case "GET /_sim/requests":
		writeJSON(w, http.StatusOK, s.Requests())
		return
	case "DELETE /_sim/requests":
		s.ResetRequests()
	case "GET /_sim/state":
		writeJSON(w, http.StatusOK, s.Account())
		return
	case "PUT /_sim/state":
		var a Account
		if err = json.NewDecoder(r.Body).Decode(&a); err == nil {
			err = s.Set(a)
		}
	case "POST /_sim/change":
		err = each(r, s.Apply)
	default:
		gatewayError(w, http.StatusNotFound, "no such route of the simulator")
		return
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// each decodes one T or a list of them and does each.
func each[T any](r *http.Request, do func(T) error) error {
	var raw json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	var list []T
	if json.Unmarshal(raw, &list) != nil {
		list = make([]T, 1)
		if err := json.Unmarshal(raw, &list[0]); err != nil {
			return fmt.Errorf("body: %w", err)
		}
	}
	for _, v := range list {
		if err := do(v); err != nil {
			return err
		}
	}
	return nil
}
