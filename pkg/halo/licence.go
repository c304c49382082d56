package halo

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
	"strconv"
)

// MaxBatch is how many rows one POST carries. What Halo bears is not known [G].
const MaxBatch = 50

// TypeSubscription tells a subscription from a licence in the one table that holds both [C].
const TypeSubscription = 1

// Licence is a row of /SoftwareLicence [S: Licence_List]. Amounts are per seat and billing cycle.
type Licence struct {
	ID            Int    `json:"id"`
	Type          Int    `json:"type"`
	Name          string `json:"name"`
	ClientID      Int    `json:"client_id"`
	Count         Int    `json:"count"`
	PurchasePrice Money  `json:"purchase_price"` // what we pay
	Price         Money  `json:"price"`          // what the customer pays
	StartDate     Date   `json:"start_date"`
	EndDate       Date   `json:"end_date"`
	BillingCycle  Text   `json:"billing_cycle"`
	TermDuration  Text   `json:"term_duration"`
	IsActive      bool   `json:"is_active"` // true if Halo does not say, its default
	Deleted       bool   `json:"deleted"`
	// Mark is snowid, the general-purpose external id that Seatline signs its licences with. List rows may lack it.
	Mark             Text `json:"snowid"`
	ProductSKU       Text `json:"product_sku"`
	Vendor           Text `json:"vendor"`
	Distributor      Text `json:"distributor"`
	TenantID         Text `json:"tenant_id"`
	ThirdPartyClient Text `json:"thirdparty_client_id"`
	// Status is free text; Seatline's own licences have none.
	Status Text `json:"status"`
}

func (l *Licence) UnmarshalJSON(b []byte) error {
	type plain Licence
	p := plain{IsActive: true}
	if err := json.Unmarshal(b, &p); err != nil {
		return err
	}
	*l = Licence(p)
	return nil
}

// LicenceWrite is what is posted of a licence. Without ID it is created. Fields that are nil or empty are not sent, and
// Halo keeps what it has in them.
type LicenceWrite struct {
	ID       int64 `json:"id,omitempty"`
	ClientID int64 `json:"client_id"` // always: an update without it is known to fail [C]
	Type     *Int  `json:"type,omitempty"`
	Count    *Int  `json:"count,omitempty"`

	Name          string `json:"name,omitempty"`
	PurchasePrice *Money `json:"purchase_price,omitempty"`
	Price         *Money `json:"price,omitempty"`
	StartDate     *Date  `json:"start_date,omitempty"`
	EndDate       *Date  `json:"end_date,omitempty"`
	BillingCycle  string `json:"billing_cycle,omitempty"`
	TermDuration  string `json:"term_duration,omitempty"`
	IsActive      *bool  `json:"is_active,omitempty"`

	Mark             string `json:"snowid,omitempty"`
	ProductSKU       string `json:"product_sku,omitempty"`
	Vendor           string `json:"vendor,omitempty"`
	Distributor      string `json:"distributor,omitempty"`
	TenantID         string `json:"tenant_id,omitempty"`
	ThirdPartyClient string `json:"thirdparty_client_id,omitempty"`
}

// LicenceFilter narrows a list of licences. Halo has no changed-since filter for them [S].
type LicenceFilter struct {
	ClientID int64
	Inactive bool // also inactive ones
	// Newest asks for the highest ids first [S]. That the order is kept is a guess: whoever relies on it looks.
	Newest bool
}

// Licences lists licences and subscriptions.
func (c *Client) Licences(ctx context.Context, f LicenceFilter) iter.Seq2[Licence, error] {
	q := url.Values{}
	if f.ClientID != 0 {
		q.Set("client_id", strconv.FormatInt(f.ClientID, 10))
	}
	if f.Inactive {
		q.Set("includeinactive", "true")
	}
	if f.Newest {
		q.Set("order", "id")
		q.Set("orderdesc", "true")
	}
	return rows[Licence](ctx, c, "/SoftwareLicence", "licences", q, c.caps.pageSize())
}

// Licence reads one licence whole.
func (c *Client) Licence(ctx context.Context, id int64) (Licence, error) {
	var l Licence
	err := c.get(ctx, "/SoftwareLicence", id, url.Values{"includedetails": {"true"}}, &l)
	return l, err
}

// PostLicences creates and updates up to MaxBatch licences, of any clients, in one request. Whether a refused batch was
// applied in part is not known.
func (c *Client) PostLicences(ctx context.Context, licences []LicenceWrite) (Reply, error) {
	return post(ctx, c, "/SoftwareLicence", licences, func(w LicenceWrite) bool { return w.ID != 0 })
}
