package halo

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"strings"
)

// Item is a product that invoice lines are made of.
type Item struct {
	ID               Int    `json:"id"`
	Name             string `json:"name"`
	BasePrice        Money  `json:"baseprice"`
	CostPrice        Money  `json:"costprice"`
	RecurringPrice   Money  `json:"recurringprice"`
	RecurringCost    Money  `json:"recurringcost"`
	SupplierPartCode Text   `json:"supplier_part_code"`
	IsRecurring      bool   `json:"isrecurringitem"`
	DontInvoice      bool   `json:"dontinvoice"`
}

// Items lists the products of the instance.
func (c *Client) Items(ctx context.Context) iter.Seq2[Item, error] {
	return rows[Item](ctx, c, "/Item", "items", nil, c.caps.pageSize())
}

// TableCustomer is the table_id of a link to a client [C].
const TableCustomer = 2

// ExternalLink ties an object of Halo to one of another system.
type ExternalLink struct {
	ID           Int    `json:"id,omitempty"`
	TableID      Int    `json:"table_id,omitempty"`
	ModuleID     Int    `json:"module_id,omitempty"`
	HaloID       Int    `json:"halo_id,omitempty"`
	ThirdPartyID Text   `json:"third_party_id,omitzero"`
	Description  string `json:"third_party_desc,omitempty"`
	// HaloName is the name of the object in Halo; SecondaryID whatever else the other system knows it by.
	HaloName    string `json:"halo_desc,omitempty"`
	SecondaryID Text   `json:"third_party_secondary_id,omitzero"`
}

// Linked says whether the row names both sides: an id of "-1" or "" means unmapped [C].
func (l ExternalLink) Linked() bool {
	id := strings.TrimSpace(l.ThirdPartyID.Value)
	return id != "" && id != "-1" && l.HaloID > 0
}

// ExternalLinks lists the links of one kind. The key of this list is not known; the first array found is taken [G].
func (c *Client) ExternalLinks(ctx context.Context, tableID, moduleID int64) iter.Seq2[ExternalLink, error] {
	q := url.Values{"table_id": {strconv.FormatInt(tableID, 10)}}
	if moduleID != 0 {
		q.Set("module_id", strconv.FormatInt(moduleID, 10))
	}
	return rows[ExternalLink](ctx, c, "/ExternalLink", "external_links", q, c.caps.pageSize())
}

// PostExternalLinks creates and updates links in one request.
func (c *Client) PostExternalLinks(ctx context.Context, links []ExternalLink) (Reply, error) {
	return post(ctx, c, "/ExternalLink", links, func(l ExternalLink) bool { return l.ID != 0 })
}

// Control is the settings of the whole instance, of which few matter here; see the accessors of [Object] for the rest.
type Control struct{ Object }

// Control reads the settings of the instance.
func (c *Client) Control(ctx context.Context) (Control, error) {
	var o Control
	err := c.get(ctx, "/Control", 0, nil, &o.Object)
	return o, err
}

// GiacomMappings are the customer mappings that Halo's own Giacom integration keeps [S].
func (o Control) GiacomMappings() []ExternalLink {
	var links []ExternalLink
	o.read("giacom_client_mappings", &links)
	return links
}

// CalculatesQuantities says whether this instance computes linked lines at all.
func (o Control) CalculatesQuantities() bool { return o.Bool("allow_quantity_calculations") }
