package oracle

import (
	"cmp"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/giacom/giacomsim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// row is a subscription as the configured feeds show it.
type row struct {
	key, mexID, customer, tenant, name, sku string
	microsoft                               bool
	quantity, price, rrp                    decimal.NullDecimal
	start, end                              time.Time
	cycle, term                             string // "", "Monthly", "Annual", "Triennial", "One-Time", "?"
	status                                  string // "", or a lower-case word
}

// read shows the account as the feeds of the connection do.
func read(a giacomsim.Account, g *connectionv1.Giacom) map[string]row {
	out := map[string]row{}
	names, tenants := map[string]string{}, map[string]string{}
	for _, c := range a.Customers {
		names[c.MexID], tenants[c.MexID] = c.Name, c.TenantID
	}
	method := g.GetMethod()
	report := method == connectionv1.ImportMethod_IMPORT_METHOD_REPORT || method == connectionv1.ImportMethod_IMPORT_METHOD_BOTH
	others := method == connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS || method == connectionv1.ImportMethod_IMPORT_METHOD_BOTH
	v2 := g.GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 // whose one feed has everything
	totals := g.GetAllProductsFeed() == connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_ACCOUNT_TOTALS
	for _, s := range a.Subscriptions {
		mexID := strings.ToUpper(strings.TrimSpace(s.MexID))
		r := row{
			mexID: mexID, customer: cmp.Or(s.CustomerName, names[s.MexID]), quantity: s.Quantity, price: s.Price,
			start: s.Start.UTC().Truncate(time.Second), cycle: word(s.Cycle),
			microsoft: s.GUID != "", // as offer, service or name tell in every feed
		}
		listed := s.Status == "" || s.Status == "Active" || s.Status == "Suspended"
		switch {
		case v2:
			r.key, r.name, r.sku = "giacom/svc-"+s.ID, s.Name, cmp.Or(s.OfferID, s.ProductID)
			r.tenant, r.rrp, r.term = cmp.Or(s.TenantID, tenants[s.MexID]), s.RRP, word(s.Term)
			r.status, r.end = strings.ToLower(cmp.Or(s.Status, "Active")), s.Renewal.UTC().Truncate(time.Second)
		case report && s.GUID != "":
			r.key, r.name, r.sku = "microsoft/"+strings.ToLower(strings.TrimSpace(s.GUID)), s.Name, s.OfferID
			r.tenant, r.rrp, r.term = cmp.Or(s.TenantID, tenants[s.MexID]), s.RRP, word(s.Term)
			r.status = strings.ToLower(cmp.Or(s.Status, "Active"))
			if r.end = s.CommitmentEnd; r.end.IsZero() {
				r.end = s.Renewal
			}
			r.end = r.end.UTC().Truncate(time.Second)
		case others && !(report && s.GUID != "") && listed && totals:
			r.key, r.name, r.sku, r.cycle = "giacom/"+mexID+"/"+s.ProductID, cmp.Or(s.Reference, s.Name), s.ProductID, ""
			if sum, ok := out[r.key]; ok { // rows of one product are one subscription
				sum.quantity = decimal.NewNullDecimal(sum.quantity.Decimal.Add(r.quantity.Decimal))
				if r.start.Before(sum.start) {
					sum.start = r.start
				}
				r = sum
			}
		case others && listed && !totals:
			r.key, r.name, r.sku = "giacom/"+s.ID, cmp.Or(s.Reference, s.Name), s.ProductID
		default:
			continue
		}
		out[r.key] = r
	}
	return out
}

// customerNames of every customer that the feeds show.
func customerNames(a giacomsim.Account, rows map[string]row, g *connectionv1.Giacom) map[string]string {
	names := map[string]string{}
	for _, r := range rows {
		names[r.mexID] = r.customer
	}
	listed := g.GetCustomersFrom() != connectionv1.CustomersFrom_CUSTOMERS_FROM_DERIVED
	inReport := g.GetMethod() != connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS
	for _, c := range a.Customers {
		mexID := strings.ToUpper(strings.TrimSpace(c.MexID))
		if listed && !c.NotInList || !listed && inReport && c.TenantID != "" {
			names[mexID] = c.Name
		}
	}
	return names
}

// word reads a billing frequency or a term.
func word(s string) string {
	switch strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(s)) {
	case "":
		return ""
	case "monthly", "p1m", "1month":
		return "Monthly"
	case "annual", "annually", "yearly", "p1y", "1year":
		return "Annual"
	case "triennial", "p3y", "3year", "3years":
		return "Triennial"
	case "onetime":
		return "One-Time"
	}
	return "?"
}
