package halosim

import (
	"slices"
	"time"
)

// The objects of a simulated Halo, with the fields that matter to somebody [S]. Every other field a client sends is kept
// in Extra. Amounts are ex VAT in the currency of the instance.

// TopLevel groups clients (schema Tree).
type TopLevel struct {
	ID       int64  `json:"id"`
	Name     string `json:"name"`
	LongName string `json:"long_name"`
	ParentID int64  `json:"parentid"`
}

// CustomField of a client. Only fields that the instance defines can be written; see [State.CustomFields].
type CustomField struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Label string `json:"label"`
	Type  int64  `json:"type"`
	Value string `json:"value"`
}

// Client is a customer (schema Area).
type Client struct {
	ID           int64         `json:"id"`
	Name         string        `json:"name"`
	TopLevelID   int64         `json:"toplevel_id"`
	TopLevelName string        `json:"toplevel_name"`
	Inactive     bool          `json:"inactive"`
	MainSiteID   int64         `json:"main_site_id"`
	MainSiteName string        `json:"main_site_name"`
	AccountsID   string        `json:"accountsid"`
	Ref          string        `json:"ref"`
	Colour       string        `json:"colour"`
	Notes        string        `json:"notes"`
	Updated      Date          `json:"alastupdate"`
	CustomFields []CustomField `json:"customfields"`
	Domain       string        `json:"domain,omitempty"`
	Website      string        `json:"website,omitempty"`
	Tenant       string        `json:"azure_tenant_id,omitempty"`
	Extra        Extra         `json:"-"`
}

// Site of a client.
type Site struct {
	ID         int64   `json:"id"`
	Name       string  `json:"name"`
	ClientID   int64   `json:"client_id"`
	ClientName string  `json:"client_name"`
	Inactive   bool    `json:"inactive"`
	Address    Address `json:"delivery_address,omitzero"`
	Extra      Extra   `json:"-"`
}

// Address of a site (schema AddressStore).
type Address struct {
	PostCode string `json:"postcode"`
}

// User is a person of a client; line type 2 counts them.
type User struct {
	ID             int64  `json:"id"`
	Name           string `json:"name"`
	ClientID       int64  `json:"client_id"`
	SiteID         int64  `json:"site_id"`
	Inactive       bool   `json:"inactive"`
	ServiceAccount bool   `json:"isserviceaccount"`
}

// Item is a product.
type Item struct {
	ID               int64  `json:"id"`
	Name             string `json:"name"`
	BasePrice        Money  `json:"baseprice"`
	CostPrice        Money  `json:"costprice"`
	RecurringPrice   Money  `json:"recurringprice"`
	RecurringCost    Money  `json:"recurringcost"`
	IsRecurring      bool   `json:"isrecurringitem"`
	SupplierPartCode string `json:"supplier_part_code"`
	NominalCode      string `json:"nominalcode"`
	TaxCode          int64  `json:"taxcode"`
	Extra            Extra  `json:"-"`
}

// Licence is a row of /SoftwareLicence: type 0 a licence, 1 a subscription. Prices are per seat.
type Licence struct {
	ID             int64  `json:"id"`
	Type           int64  `json:"type"`
	Name           string `json:"name"`
	Count          int64  `json:"count"`
	ClientID       int64  `json:"client_id"`
	ClientName     string `json:"client_name"`
	SiteID         int64  `json:"site_id"`
	PurchasePrice  Money  `json:"purchase_price"`
	Price          Money  `json:"price"`
	StartDate      Date   `json:"start_date"`
	EndDate        Date   `json:"end_date"`
	BillingCycle   string `json:"billing_cycle"`
	TermDuration   string `json:"term_duration"`
	Status         string `json:"status"`
	AutoRenew      bool   `json:"autorenew"`
	IsActive       bool   `json:"is_active"`
	Deleted        bool   `json:"deleted"`
	Vendor         string `json:"vendor"`
	Distributor    string `json:"distributor"`
	SnowID         string `json:"snowid"`
	ProductSKU     string `json:"product_sku"`
	ThirdPartyID   string `json:"thirdparty_client_id"`
	TenantID       string `json:"tenant_id"`
	Notes          string `json:"notes"`
	AssignedCount  int64  `json:"licences_in_use"`
	VendorSKU      string `json:"vendor_product_sku"`
	ThirdPartyName string `json:"third_party_product"`
	Extra          Extra  `json:"-"`
}

// QuantityRow says what a calculated line counts (schema InvoiceDetailQuantity).
type QuantityRow struct {
	ID            int64  `json:"id"`
	LineID        int64  `json:"invoice_line_id"`
	Kind          int64  `json:"kind"`
	TypeID        int64  `json:"type_id"`
	SiteID        int64  `json:"site_id"`
	LicenceID     int64  `json:"licence_id"`
	LicenceName   string `json:"licence_name"`
	Assigned      bool   `json:"assigned_licences"`
	Free          int64  `json:"qty_free"`
	Minimum       int64  `json:"minimum_qty"`
	ProRata       int64  `json:"pro_rata"`
	UsesSubsPrice bool   `json:"use_linked_subscription_price"`
	UsesSubsCost  bool   `json:"use_linked_subscription_cost"`
	Extra         Extra  `json:"-"`
}

// ProRataRow bills part of a period (schema InvoiceDetailProRata). UnitPrice and UnitCost are for the part already.
type ProRataRow struct {
	ID         int64  `json:"id"`
	LineID     int64  `json:"invoicedetailid"`
	Date       Date   `json:"date"`
	Quantity   Money  `json:"quantity"`
	UnitPrice  Money  `json:"unitprice"`
	UnitCost   Money  `json:"unitcost"`
	Text       string `json:"shortdescription"`
	QuantityID int64  `json:"quantity_id"`
	IsInvoiced bool   `json:"isinvoiced"`
	Extra      Extra  `json:"-"`
}

// Where the quantity of a line comes from [C].
const (
	Fixed         = 0
	Licences      = 1
	Users         = 2
	Assets        = 3
	Subscriptions = 4
)

// Line of a recurring invoice (schema InvoiceDetail).
type Line struct {
	ID            int64         `json:"id"`
	InvoiceID     int64         `json:"ihid"`
	ItemID        int64         `json:"_itemid"`
	Name          string        `json:"item_shortdescription"`
	LongName      string        `json:"item_longdescription"`
	Quantity      Money         `json:"qty_order"`
	UnitPrice     Money         `json:"unit_price"`
	UnitCost      Money         `json:"unit_cost"`
	Inactive      bool          `json:"isinactive"`
	GroupText     bool          `json:"isgroupdesc"`
	Sequence      int64         `json:"sequenceid"`
	AutoIncrease  int64         `json:"auto_increase_period"`
	Nominal       string        `json:"nominal_code"`
	TaxCode       string        `json:"tax_code"`
	QuantityType  int64         `json:"recurring_invoice_quantity_type"`
	Subscriptions []QuantityRow `json:"quantity_subscriptions"`
	Licences      []QuantityRow `json:"quantity_licences"`
	Users         []QuantityRow `json:"quantity_users"`
	Assets        []QuantityRow `json:"quantity_assets"`
	ProRata       []ProRataRow  `json:"prorata_data"`
	Extra         Extra         `json:"-"`
}

// Invoice is a recurring invoice (schema InvoiceHeader). Its id is negative.
type Invoice struct {
	ID           int64  `json:"id"`
	ClientID     int64  `json:"client_id"`
	ClientName   string `json:"client_name"`
	Recurring    bool   `json:"is_recurring_invoice"`
	Disabled     bool   `json:"disabled"`
	Period       int64  `json:"period"`
	StartDate    Date   `json:"startdate"`
	EndDate      Date   `json:"enddate"`
	NextCreation Date   `json:"nextcreationdate"`
	LastCreated  Date   `json:"lastcreated"`
	PeriodsAhead int64  `json:"invoice_prorata_periods_ahead"`
	Calculated   bool   `json:"contains_calculated_quantity"`
	Total        Money  `json:"total"`
	Reference    string `json:"reference"`
	Notes        string `json:"notes_1"`
	ChangeSeq    int64  `json:"change_seq"`
	Lines        []Line `json:"lines,omitempty"` // omitted only where MarshalJSON writes them itself
	Extra        Extra  `json:"-"`
}

// Link is an external link.
type Link struct {
	ID           int64  `json:"id"`
	TableID      int64  `json:"table_id"`
	ModuleID     int64  `json:"module_id"`
	HaloID       int64  `json:"halo_id"`
	HaloText     string `json:"halo_desc"`
	ThirdPartyID string `json:"third_party_id"`
	Text         string `json:"third_party_desc"`
	Primary      bool   `json:"primary"`
	Extra        Extra  `json:"-"`
}

// Control is the instance's settings.
type Control struct {
	CalculateQuantities   bool   `json:"allow_quantity_calculations"`
	InactiveLicenceLines  bool   `json:"remove_licences_when_inactive"`
	LineStatusFollows     bool   `json:"use_subscription_status_for_invoice_line_status"`
	DropZeroQuantityLines bool   `json:"removezeroquantitylines"`
	NegativeProRata       bool   `json:"allow_negative_prorata"`
	GiacomTopLevel        int64  `json:"giacom_top_level"`
	GiacomEntities        string `json:"giacom_import_entities"`
	GiacomNewEndpoint     int64  `json:"giacom_use_new_endpoint"`
	GiacomDeletes         bool   `json:"giacomdeletelicences"`
	GiacomMappings        []Link `json:"giacom_client_mappings"`
	GiacomIntegrator      bool   `json:"halointegrator_giacom"`
	GiacomLastSync        Date   `json:"halointegrator_giacom_lastsync"`
	GiacomLastError       string `json:"halointegrator_giacom_lasterror"`
	IntyURL               string `json:"inty_url"`
	IntyUserName          string `json:"inty_username"`
	IntyMappings          []Link `json:"inty_client_mappings"`
	IntyIntegrator        bool   `json:"halointegrator_inty"`
	IntyLastSync          Date   `json:"halointegrator_inty_lastsync"`
	IntyLastError         string `json:"halointegrator_inty_lasterror"`
	Extra                 Extra  `json:"-"`
}

// LicenceChange records a change of a count.
type LicenceChange struct {
	ID        int64 `json:"id"`
	LicenceID int64 `json:"licence_id"`
	Date      Date  `json:"change_date"`
	Old       int64 `json:"old_count"`
	New       int64 `json:"new_count"`
}

// InvoiceChange records a change of a field of an invoice or its line.
type InvoiceChange struct {
	ID        int64  `json:"id"`
	InvoiceID int64  `json:"invoice_id"`
	LineID    int64  `json:"invoice_line_id"`
	Field     string `json:"field_name"`
	Old       string `json:"old_value"`
	New       string `json:"new_value"`
	Who       string `json:"who"`
	Date      Date   `json:"datetime"`
}

// The marshalling of each is its fields, then the unknown ones.

// clone copies a line so that no change of one shows in the other. Extra maps are replaced, never written to.
func (o Line) clone() Line {
	o.Subscriptions, o.Licences, o.Users, o.Assets, o.ProRata = slices.Clone(o.Subscriptions), slices.Clone(o.Licences),
		slices.Clone(o.Users), slices.Clone(o.Assets), slices.Clone(o.ProRata)
	return o
}

func (o Invoice) clone() Invoice {
	o.Lines = slices.Clone(o.Lines)
	for i := range o.Lines {
		o.Lines[i] = o.Lines[i].clone()
	}
	return o
}

func (o Client) clone() Client {
	o.CustomFields = slices.Clone(o.CustomFields)
	return o
}

// next moves a date on by the invoice's period [C].
func (o Invoice) next(t time.Time, n int) time.Time {
	switch o.Period {
	case 1:
		return t.AddDate(0, 0, 7*n)
	case 3:
		return t.AddDate(n, 0, 0)
	case 4:
		return t.AddDate(0, 3*n, 0)
	case 5:
		return t.AddDate(0, 6*n, 0)
	case 7:
		return t.AddDate(3*n, 0, 0)
	case 8:
		return t.AddDate(2*n, 0, 0)
	case 9:
		return t.AddDate(4*n, 0, 0)
	}
	return t.AddDate(0, n, 0)
}
