package halo

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Customer is a Halo client [S: Area].
type Customer struct {
	ID           Int           `json:"id"`
	Name         string        `json:"name"`
	TopLevelID   Int           `json:"toplevel_id"`
	TopLevelName string        `json:"toplevel_name"`
	Inactive     bool          `json:"inactive"`
	Ref          Text          `json:"ref"`
	AccountsID   Text          `json:"accountsid"`
	MainSiteID   Int           `json:"main_site_id"`
	Currency     Text          `json:"default_currency_code_name"`
	CustomFields []CustomField `json:"customfields"`

	// What tells who a customer is. Which of them a list row carries is not known [G].
	Domain  Text    `json:"domain"`
	Website Text    `json:"website"`
	Address Address `json:"main_delivery_address"`
	// Microsoft tenants: the one of the customer itself, and a list whose form is not known [S].
	TenantID Text     `json:"azure_tenant_id"`
	Tenants  []Tenant `json:"azure_tenants"`
}

// TenantIDs are the Microsoft tenants of the customer, as far as Halo shows them.
func (c Customer) TenantIDs() []string {
	var ids []string
	for _, t := range append([]Tenant{{TenantID: c.TenantID}}, c.Tenants...) {
		if id := strings.TrimSpace(cmp.Or(t.AzureTenantID.Value, t.TenantID.Value)); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Tenant is a Microsoft tenant of a customer. Its fields are a guess [G].
type Tenant struct {
	AzureTenantID Text `json:"azure_tenant_id"`
	TenantID      Text `json:"tenant_id"`
}

// Address of a customer or site [S: AddressStore].
type Address struct {
	PostCode Text `json:"postcode"`
}

// Field is the value of a custom field, "" if the customer has none. List rows may not carry custom fields.
func (c Customer) Field(name string) string {
	for _, f := range c.CustomFields {
		if f.Name == name {
			return f.Value.Value
		}
	}
	return ""
}

// CustomField is a custom field of a customer, which must exist in the tenant before it is written.
type CustomField struct {
	Name  string `json:"name"`
	Value Text   `json:"value"`
}

// CustomerWrite is what is posted of a customer. Without ID it is created. Empty fields are not sent.
type CustomerWrite struct {
	ID   int64  `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// TopLevelID is for creation only: a customer that exists stays where its people put it [V].
	TopLevelID   int64         `json:"toplevel_id,omitempty"`
	SiteName     string        `json:"newclient_sitename,omitempty"`
	CustomFields []CustomField `json:"customfields,omitempty"`
}

// Mark is a custom field with a value, for a CustomerWrite.
func Mark(name, value string) CustomField {
	return CustomField{Name: name, Value: Text{Value: value, Present: true}}
}

// CustomerFilter narrows a list of customers.
type CustomerFilter struct {
	Inactive   bool // also inactive ones
	TopLevelID int64
	Search     string
	// ChangedSince lists only what changed then or later, if set. Halo knows this filter for customers only [S].
	ChangedSince Date
	// Tenants asks for the Microsoft tenants too [S].
	Tenants bool
}

// Customers lists clients. List rows carry fewer fields than [Client.Customer].
func (c *Client) Customers(ctx context.Context, f CustomerFilter) iter.Seq2[Customer, error] {
	q := url.Values{}
	if f.Inactive {
		q.Set("includeinactive", "true")
	}
	if f.TopLevelID != 0 {
		q.Set("toplevel_id", strconv.FormatInt(f.TopLevelID, 10))
	}
	if f.Search != "" {
		q.Set("search", f.Search)
	}
	if !f.ChangedSince.IsZero() {
		q.Set("lastupdatefromdate", f.ChangedSince.String())
	}
	if f.Tenants {
		q.Set("includeazuretenants", "true")
	}
	return rows[Customer](ctx, c, "/Client", "clients", q, c.caps.pageSize())
}

// Customer reads one client with its custom fields.
func (c *Client) Customer(ctx context.Context, id int64) (Customer, error) {
	var o Customer
	err := c.get(ctx, "/Client", id, url.Values{"includedetails": {"true"}}, &o)
	return o, err
}

// CustomerTrouble is why Halo may refuse what is written for a customer: it was made inactive, or is gone. Both are "" where
// that is not so, and where Halo does not say. What Halo answers to such a write is not known [G]; so it is asked about the
// customer instead. text says what happened, to whom, and what to do.
func (c *Client) CustomerTrouble(ctx context.Context, id int64) (code, text string) {
	if id == 0 {
		return "", ""
	}
	switch o, err := c.Customer(ctx, id); {
	case ClassOf(err) == NotFound:
		return "halo_customer_gone", fmt.Sprintf("Halo refused it, and has no customer %d any more. Map the Giacom customer to another.", id)
	case err == nil && o.Inactive:
		return "halo_customer_inactive", fmt.Sprintf("Halo refused it, and customer %d of Halo (%s) is inactive. Activate it there, or map the Giacom customer to another; then retry it.", id, o.Name)
	}
	return "", ""
}

// PostCustomers creates and updates clients in one request.
func (c *Client) PostCustomers(ctx context.Context, customers []CustomerWrite) (Reply, error) {
	return post(ctx, c, "/Client", customers, func(w CustomerWrite) bool { return w.ID != 0 })
}

// TopLevel is a group of customers [S: Tree].
type TopLevel struct {
	ID       Int    `json:"id"`
	Name     string `json:"name"`
	LongName string `json:"long_name"`
	ParentID Int    `json:"parentid"`
}

// TopLevels lists the groups customers may be created under.
func (c *Client) TopLevels(ctx context.Context) iter.Seq2[TopLevel, error] {
	return rows[TopLevel](ctx, c, "/TopLevel", "tree", nil, c.caps.pageSize())
}

// Site is a place of a customer.
type Site struct {
	ID       Int    `json:"id"`
	Name     string `json:"name"`
	ClientID Int    `json:"client_id"` // may come as 12.0 [S]
	Inactive bool   `json:"inactive"`
	// Address only where a list was asked for addresses [S].
	Address Address `json:"delivery_address"`
	// Country as a code and as a name; either may be missing.
	CountryCode Text `json:"country_code"`
	Country     Text `json:"country_code_name"`
}

// SiteAddresses lists the sites of all clients with their addresses.
func (c *Client) SiteAddresses(ctx context.Context) iter.Seq2[Site, error] {
	return rows[Site](ctx, c, "/Site", "sites", url.Values{"includeaddress": {"true"}}, c.caps.pageSize())
}

// Sites lists the sites of a client, of all clients if 0.
func (c *Client) Sites(ctx context.Context, clientID int64) iter.Seq2[Site, error] {
	q := url.Values{}
	if clientID != 0 {
		q.Set("client_id", strconv.FormatInt(clientID, 10))
	}
	return rows[Site](ctx, c, "/Site", "sites", q, c.caps.pageSize())
}

// CountUsers is how many active people a client has, those Halo would count on a user line. A count that Halo does not
// announce is counted.
func (c *Client) CountUsers(ctx context.Context, clientID, siteID int64) (int, error) {
	q := url.Values{"client_id": {strconv.FormatInt(clientID, 10)}, "exclude_generaluser": {"true"}, "includeserviceaccount": {"false"}}
	if siteID > 0 {
		q.Set("site_id", strconv.FormatInt(siteID, 10))
	}
	n := 0
	for _, err := range rows[Object](ctx, c, "/Users", "users", q, c.caps.pageSize()) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}
