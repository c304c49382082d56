package giacom

import (
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// The wire shapes. encoding/json matches names without regard to case, so camelCase and PascalCase are one; every field
// is text, so that no odd type fails a row. Names are [F-1] unless marked.

type customerRow struct {
	MexID        text `json:"mexId"`
	CustomerID   text `json:"customerId"`
	ID           text `json:"id"` // [G]
	CustomerName text `json:"customerName"`
	Name         text `json:"name"` // [G]
	TenantID     text `json:"tenantId"`
	Status       text `json:"status"`      // [G]
	Created      text `json:"createdDate"` // [G]
	Address      struct {
		Line1    text `json:"line1"`
		Line2    text `json:"line2"`
		City     text `json:"city"`
		Postcode text `json:"postcode"`
		Country  text `json:"country"`
	} `json:"address"` // [G]
	Contact struct {
		Name  text `json:"name"`
		Email text `json:"email"`
		Phone text `json:"phone"`
	} `json:"contact"` // [G]
}

func (r customerRow) customer() Customer {
	created, _ := readDate(r.Created)
	return Customer{
		MexID: mexID(r.MexID, r.CustomerID, r.ID), Name: first(r.CustomerName, r.Name), TenantID: r.TenantID.trim(),
		Status: r.Status.trim(), Created: created,
		Address: Address{
			Line1: r.Address.Line1.trim(), Line2: r.Address.Line2.trim(), City: r.Address.City.trim(),
			Postcode: r.Address.Postcode.trim(), Country: r.Address.Country.trim(),
		},
		Contact: Contact{Name: r.Contact.Name.trim(), Email: r.Contact.Email.trim(), Phone: r.Contact.Phone.trim()},
	}
}

// reportBlock is a customer of SubscriptionsManagementReport with its subscriptions.
type reportBlock struct {
	MexID         text        `json:"mexId"`
	CustomerID    text        `json:"customerId"`
	TenantID      text        `json:"tenantId"`
	CustomerName  text        `json:"customerName"`
	Name          text        `json:"name"` // [G]
	Subscriptions []reportRow `json:"subscriptions"`
}

func (b reportBlock) customer() Customer {
	return Customer{MexID: mexID(b.MexID, b.CustomerID), Name: first(b.CustomerName, b.Name), TenantID: b.TenantID.trim(), Derived: true}
}

type reportRow struct {
	SubscriptionID   text `json:"subscriptionId"`
	Name             text `json:"name"`
	OfferID          text `json:"offerId"`
	Licences         text `json:"licences"`
	Licenses         text `json:"licenses"`
	Quantity         text `json:"quantity"`
	Term             text `json:"term"`
	BillingFrequency text `json:"billingFrequency"`
	Status           text `json:"status"`
	IsNCE            text `json:"isNce"`
	IsPromoApplied   text `json:"isPromoApplied"`
	OrderDate        text `json:"orderDate"`
	RenewalDate      text `json:"renewalDate"`
	Cancellable      text `json:"cancellableUntilDate"`
	CommitmentEnd    text `json:"commitmentEndDate"`
	TermEndAction    text `json:"termEndAction"`
	Price            text `json:"price"`
	ERP              text `json:"erp"`
	Currency         text `json:"currency"` // [G]
}

func (r reportRow) subscription(of Customer) Subscription {
	s := Subscription{
		// Microsoft writes its GUIDs in either case.
		Space: SpaceMicrosoft, ID: strings.ToLower(r.SubscriptionID.trim()), Microsoft: true,
		MexID: of.MexID, CustomerName: of.Name, TenantID: of.TenantID,
		Name: r.Name.trim(), SKU: r.OfferID.trim(), Currency: currency(r.Currency),
		Cycle: r.BillingFrequency.trim(), Term: r.Term.trim(), Status: r.Status.trim(),
		Promo: readBool(r.IsPromoApplied), NCE: readBool(r.IsNCE), TermEndAction: r.TermEndAction.trim(),
	}
	s.Quantity = s.number("licences", text(first(r.Licences, r.Licenses, r.Quantity)))
	s.Price = s.number("price", r.Price)
	s.RRP = s.number("erp", r.ERP)
	s.dates(r.OrderDate, r.CommitmentEnd, r.RenewalDate, r.Cancellable)
	return s
}

// productRow is a row of Subscriptions [G] and of AccountTotals, which has no subscriptionId.
type productRow struct {
	SubscriptionID   text `json:"subscriptionId"`
	ID               text `json:"id"`
	MexID            text `json:"mexId"`
	CustomerID       text `json:"customerId"`
	CustomerName     text `json:"customerName"`
	TenantID         text `json:"tenantId"`
	ProductID        text `json:"productId"`
	ProductReference text `json:"productReference"`
	Name             text `json:"name"`
	ServiceName      text `json:"serviceName"`
	Quantity         text `json:"quantity"`
	CostPerSeat      text `json:"costPerSeat"`
	TotalCost        text `json:"totalCost"`
	BillingFrequency text `json:"billingFrequency"`
	Created          text `json:"created"`
	Currency         text `json:"currency"`
}

// subscription has no end, term and status: that is the feed's known limit [F].
func (r productRow) subscription() Subscription {
	s := Subscription{
		Space: SpaceGiacom, ID: first(r.SubscriptionID, r.ID), MexID: mexID(r.MexID, r.CustomerID),
		CustomerName: r.CustomerName.trim(), TenantID: r.TenantID.trim(), Name: first(r.ProductReference, r.Name),
		SKU: r.ProductID.trim(), Service: r.ServiceName.trim(), Currency: currency(r.Currency), Cycle: r.BillingFrequency.trim(),
	}
	s.Microsoft = LooksMicrosoft(s.Name, s.Service, s.SKU)
	s.NCE = strings.Contains(strings.ToLower(s.Name), "(nce")
	s.Quantity = s.number("quantity", r.Quantity)
	s.Price = unitCost(s.number("costPerSeat", r.CostPerSeat), s.number("totalCost", r.TotalCost), s.Quantity)
	s.dates(r.Created, "", "", "")
	return s
}

func (s Subscription) customer() Customer {
	return Customer{MexID: s.MexID, Name: s.CustomerName, TenantID: s.TenantID, Derived: true}
}

// unitCost is the cost of a seat. costPerSeat can be 0 or absent while totalCost is not [F-1]; then the total is divided,
// to 4 decimal places, half up. A free product has both as 0.
func unitCost(perSeat, total, quantity decimal.NullDecimal) decimal.NullDecimal {
	if perSeat.Valid && !perSeat.Decimal.IsZero() {
		return perSeat
	}
	if total.Valid && !total.Decimal.IsZero() && quantity.Valid && quantity.Decimal.IsPositive() {
		return decimal.NewNullDecimal(total.Decimal.DivRound(quantity.Decimal, 4))
	}
	return perSeat
}

func (s *Subscription) number(field string, t text) decimal.NullDecimal {
	n, ok := readNumber(t)
	if !ok {
		s.problem(field, t)
	}
	return n
}

func (s *Subscription) dates(start, end, renewal, cancellable text) {
	for _, d := range []struct {
		field string
		from  text
		to    *time.Time
	}{
		{"start date", start, &s.Start}, {"commitment end", end, &s.CommitmentEnd},
		{"renewal date", renewal, &s.Renewal}, {"cancellable until", cancellable, &s.Cancellable},
	} {
		at, ok := readDate(d.from)
		if !ok {
			s.problem(d.field, d.from)
		}
		*d.to = at
	}
}

func (s *Subscription) problem(field string, t text) {
	value := []rune(string(t))
	if len(value) > 40 {
		value = append(value[:40], '…')
	}
	s.Problems = append(s.Problems, field+" "+strings.ToValidUTF8(`"`+string(value)+`"`, "")+" cannot be read")
}

// mexID is the first id given, in the one form ids are compared in.
func mexID(ids ...text) string { return strings.ToUpper(first(ids...)) }

func currency(t text) string { return strings.ToUpper(t.trim()) }

func first(ts ...text) string {
	for _, t := range ts {
		if s := t.trim(); s != "" {
			return s
		}
	}
	return ""
}
