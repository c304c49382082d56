package giacomsim

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// The rows as they go over the wire; field names and their order are pinned by golden files. [F-1] names except where the
// type says otherwise.

type reportBlock struct {
	MexID         string      `json:"mexId"`
	TenantID      *string     `json:"tenantId"`
	CustomerName  string      `json:"customerName"`
	HasGDAP       bool        `json:"hasGdap"`
	Subscriptions []reportRow `json:"subscriptions"`
}

type reportRow struct {
	SubscriptionID   string `json:"subscriptionId"`
	Name             string `json:"name"`
	OfferID          string `json:"offerId"`
	Licences         number `json:"licences"`
	Term             any    `json:"term"`
	BillingFrequency any    `json:"billingFrequency"`
	Status           string `json:"status"`
	IsNCE            bool   `json:"isNce"`
	IsPromoApplied   bool   `json:"isPromoApplied"`
	OrderDate        date   `json:"orderDate"`
	MigratedToNCE    date   `json:"migratedToNCEDate"`
	RenewalDate      date   `json:"renewalDate"`
	Cancellable      date   `json:"cancellableUntilDate"`
	CommitmentEnd    date   `json:"commitmentEndDate"`
	TermEndAction    any    `json:"termEndAction"`
	Price            number `json:"price"`
	ERP              number `json:"erp"`
}

// productRow is of the path Subscriptions [G].
type productRow struct {
	SubscriptionID   string `json:"subscriptionId"`
	MexID            string `json:"mexId"`
	CustomerName     string `json:"customerName"`
	ProductID        string `json:"productId"`
	ProductReference string `json:"productReference"`
	ServiceName      any    `json:"serviceName"`
	Quantity         number `json:"quantity"`
	CostPerSeat      number `json:"costPerSeat"`
	TotalCost        number `json:"totalCost"`
	BillingFrequency any    `json:"billingFrequency"`
	Created          date   `json:"created"`
}

type totalsRow struct {
	CustomerID       string `json:"customerId"`
	CustomerName     string `json:"customerName"`
	ProductID        string `json:"productId"`
	ProductReference string `json:"productReference"`
	Quantity         number `json:"quantity"`
	CostPerSeat      number `json:"costPerSeat"`
	TotalCost        number `json:"totalCost"`
	Created          date   `json:"created"`
}

// customerRow is [G].
type customerRow struct {
	MexID        string         `json:"mexId"`
	CustomerName string         `json:"customerName"`
	TenantID     *string        `json:"tenantId"`
	HasGDAP      bool           `json:"hasGdap"`
	Status       string         `json:"status"`
	CreatedDate  date           `json:"createdDate"`
	Address      addressRow     `json:"address"`
	Contact      map[string]any `json:"contact"`
}

type addressRow struct {
	Line1    string `json:"line1"`
	City     string `json:"city"`
	Postcode string `json:"postcode"`
	Country  string `json:"country"`
}

// number is written as a JSON number, as text when the row says so, or null.
type number struct {
	decimal.NullDecimal
	text bool
}

func (n number) MarshalJSON() ([]byte, error) {
	switch {
	case !n.Valid:
		return []byte("null"), nil
	case n.text:
		return []byte(`"` + n.Decimal.String() + `"`), nil
	}
	return []byte(n.Decimal.String()), nil
}

type date time.Time

func (d date) MarshalJSON() ([]byte, error) {
	if time.Time(d).IsZero() {
		return []byte("null"), nil
	}
	return []byte(time.Time(d).UTC().Format(`"2006-01-02T15:04:05Z"`)), nil
}

// words are null on the wire rather than empty.
func word(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (c *customerEntry) reportRow(s Subscription) reportRow {
	n := func(d decimal.NullDecimal) number { return number{d, s.NumbersAsText} }
	return reportRow{
		SubscriptionID: s.GUID, Name: s.Name, OfferID: s.OfferID, Licences: n(s.Quantity),
		Term: word(s.Term), BillingFrequency: word(s.Cycle), Status: cmp.Or(s.Status, "Active"),
		IsNCE: s.NCE, IsPromoApplied: s.Promo, OrderDate: date(s.Start), MigratedToNCE: date(s.Migrated),
		RenewalDate: date(s.Renewal), Cancellable: date(s.Cancellable), CommitmentEnd: date(s.CommitmentEnd),
		TermEndAction: word(s.TermEndAction), Price: n(s.Price), ERP: n(s.RRP),
	}
}

// costs are costPerSeat and totalCost.
func (s Subscription) costs() (perSeat, total number) {
	perSeat = number{s.Price, s.NumbersAsText}
	total = number{text: s.NumbersAsText}
	if s.Price.Valid && s.Quantity.Valid {
		total.NullDecimal = decimal.NewNullDecimal(s.Price.Decimal.Mul(s.Quantity.Decimal))
	}
	if s.CostAsTotal && total.Valid {
		perSeat.NullDecimal = decimal.NewNullDecimal(decimal.Zero)
	}
	return perSeat, total
}

func (c *customerEntry) productRow(s Subscription) productRow {
	perSeat, total := s.costs()
	return productRow{
		SubscriptionID: s.ID, MexID: c.MexID, CustomerName: c.nameFor(s), ProductID: s.ProductID,
		ProductReference: cmp.Or(s.Reference, s.Name), ServiceName: word(s.Service), Quantity: number{s.Quantity, s.NumbersAsText},
		CostPerSeat: perSeat, TotalCost: total, BillingFrequency: word(s.Cycle), Created: date(s.Start),
	}
}

func (c *customerEntry) totalsRow(s Subscription) totalsRow {
	perSeat, total := s.costs()
	return totalsRow{
		CustomerID: c.MexID, CustomerName: c.nameFor(s), ProductID: s.ProductID, ProductReference: cmp.Or(s.Reference, s.Name),
		Quantity: number{s.Quantity, s.NumbersAsText}, CostPerSeat: perSeat, TotalCost: total, Created: date(s.Start),
	}
}

func (c *customerEntry) customerRow() customerRow {
	return customerRow{
		MexID: c.MexID, CustomerName: c.Name, TenantID: nullable(c.TenantID), HasGDAP: c.HasGDAP,
		Status: cmp.Or(c.Status, "Active"), CreatedDate: date(c.Created),
		Address: addressRow{c.Line1, c.City, c.Postcode, c.Country},
		Contact: map[string]any{"name": word(c.Contact), "email": word(c.Email), "phone": word(c.Phone)},
	}
}

// serviceRow and organisationRow are v2 [G].
func (c *customerEntry) serviceRow(s Subscription) map[string]any {
	type characteristic struct {
		Name  string `json:"name"`
		Value any    `json:"value"`
	}
	state := map[string]string{"": "active", "Active": "active", "Suspended": "suspended", "Cancelled": "terminated", "Deleted": "terminated", "Pending": "pending"}[s.Status]
	characteristics := []characteristic{
		{"quantity", number{s.Quantity, false}},
		{"unitCost", map[string]any{"value": number{s.Price, true}}}, // wrapped once more, as is sometimes seen [F-1]
		{"unitPrice", number{s.RRP, true}},
		{"billingCycle", word(s.Cycle)}, {"termDuration", word(s.Term)}, {"offerId", word(cmp.Or(s.OfferID, s.ProductID))},
		{"vendorSubscriptionId", word(s.GUID)}, {"tenantId", word(c.tenantFor(s))},
	}
	return map[string]any{
		"id": "svc-" + s.ID, "href": "/v2/service/svc-" + s.ID, "name": s.Name, "category": "Licence",
		"state": cmp.Or(state, strings.ToLower(s.Status)), "startDate": date(s.Start), "endDate": date(s.Renewal),
		"relatedParty":          []map[string]string{{"id": c.MexID, "role": "customer", "name": c.nameFor(s)}},
		"serviceCharacteristic": characteristics,
	}
}

func (c *customerEntry) organisationRow() map[string]any {
	return map[string]any{"id": c.MexID, "name": c.Name, "tradingName": c.Name, "status": strings.ToLower(cmp.Or(c.Status, "active"))}
}

// render marshals without HTML escapes, as .NET does not either by default for names in this API [G].
func render(v any) []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // a row type that cannot be marshalled is a mistake in this file
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}
