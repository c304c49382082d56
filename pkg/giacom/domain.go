package giacom

import (
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Space is the id space a subscription's id belongs to. The two import methods number differently [F], so an id means
// nothing without it.
type Space string

const (
	// SpaceGiacom holds Giacom's own ids.
	SpaceGiacom Space = "giacom"
	// SpaceMicrosoft holds Microsoft's subscription GUIDs.
	SpaceMicrosoft Space = "microsoft"
)

// Customer is a customer of the partner account.
type Customer struct {
	// MexID is Giacom's customer id, trimmed and upper case. The name is no identity: it changes, and two may share one.
	MexID string
	Name  string
	// TenantID is the Microsoft tenant this row names; a customer with several comes with several rows.
	TenantID string
	// Status as Giacom words it; empty when derived.
	Status  string
	Created time.Time
	Address Address
	Contact Contact
	// Derived says that the row is of a subscription feed, which knows the name and the tenant only.
	Derived bool
}

// Address of a customer [G].
type Address struct{ Line1, Line2, City, Postcode, Country string }

// Contact of a customer [G].
type Contact struct{ Name, Email, Phone string }

// Subscription is one subscription as Giacom has it. Words are kept as given; [ReadStatus], [ReadCycle] and [ReadTerm]
// normalise them.
type Subscription struct {
	Space Space
	ID    string

	MexID        string // trimmed, upper case; empty if the row named no customer
	CustomerName string // as this row spells it
	TenantID     string

	Name string
	// SKU is offerId of the report, productId of the other feeds.
	SKU string
	// Service is the product family, if the feed has one [G].
	Service string
	// Microsoft says that it is from the report, or that [LooksMicrosoft] thinks so.
	Microsoft bool

	// Quantity is the number of seats; not valid when missing or unreadable.
	Quantity decimal.NullDecimal
	// Price is what the partner pays per seat, RRP the recommended retail price per seat; not valid when missing.
	Price, RRP decimal.NullDecimal
	// Currency of the row, ISO 4217; empty when the feed does not say, as all known ones.
	Currency string

	// Start is the order date. Times are UTC; the zero Time means none.
	Start         time.Time
	CommitmentEnd time.Time // null in the live feed as far as is known [F-1]
	Renewal       time.Time
	Cancellable   time.Time // until when it can be cancelled without penalty

	// Cycle, Term and Status are Giacom's words; empty when the feed has none.
	Cycle, Term, Status string
	Promo, NCE          bool
	// TermEndAction is Microsoft's word, for example RenewToNewTerm [F-1].
	TermEndAction string

	// Problems are fields that could not be read, each a short sentence. The row was seen nonetheless.
	Problems []string
}

// Key identifies the subscription across id spaces: "microsoft/0b5a3c1e-…".
func (s Subscription) Key() string { return string(s.Space) + "/" + s.ID }

// End is the commitment's end, else the renewal date; the zero Time when neither is known.
func (s Subscription) End() time.Time {
	if !s.CommitmentEnd.IsZero() {
		return s.CommitmentEnd
	}
	return s.Renewal
}

// microsoftNames begin the names of Microsoft's products. Only the beginning counts: "Exclaimer for Microsoft 365" is not one.
var microsoftNames = []string{
	"microsoft", "office 365", "o365", "m365", "azure", "dynamics 365", "windows 365", "windows server", "windows 10",
	"windows 11", "exchange online", "sharepoint", "onedrive", "teams ", "power bi", "power apps", "power automate", "power pages",
	"visio plan", "project plan", "project online", "planner plan", "planner and project", "planner & project", "intune", "defender for", "entra", "copilot", "enterprise mobility", "viva ",
	"sql server", "visual studio", "github copilot",
}

// LooksMicrosoft decides whether a row of an all-products feed is a subscription that the report lists too. It decides
// from the row alone, so the answer is the same in every pull:
//
//   - an offer id in Microsoft's form (CFQ7TTC0LCHC:0002) means yes;
//   - a name that ends in "(NCE … Term)", as AccountTotals writes it [F-1], means yes;
//   - else the service, or the name when there is no service, must begin as Microsoft's products do.
//
// [MethodBoth] leaves such rows to the report and takes all others.
func LooksMicrosoft(name, service, sku string) bool {
	if isOfferID(sku) {
		return true
	}
	name = strings.ToLower(strings.TrimSpace(name))
	if i := strings.LastIndex(name, "(nce"); i >= 0 && strings.HasSuffix(name, ")") {
		return true
	}
	word := strings.ToLower(strings.TrimSpace(service))
	if word == "" {
		word = name
	}
	for _, prefix := range microsoftNames {
		if strings.HasPrefix(word, prefix) {
			return true
		}
	}
	return false
}

// isOfferID recognises product:sku and product:sku:availability of Microsoft's new commerce [F].
func isOfferID(s string) bool {
	product, rest, ok := strings.Cut(strings.TrimSpace(s), ":")
	if !ok || len(product) != 12 || len(rest) < 4 {
		return false
	}
	for _, r := range product + rest[:4] {
		if (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return len(rest) == 4 || rest[4] == ':'
}
