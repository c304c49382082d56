// Package inty holds the decisions of the migration from Halo's Inty integration: which licences in
// Halo are Inty's, whose customers are in the United States, which Giacom customer an old mapping
// means, and which Giacom licence stands for one of Inty's. Everything here is pure.
package inty

import (
	"regexp"
	"strings"

	"github.com/shopspring/decimal"
)

// Licence is one in Halo that Inty's integration made, or may have made.
type Licence struct {
	ID, ClientID  int64
	Name          string // as Halo has it
	Status        string // in the name, else in the status field
	SKU           string
	Count         int64
	Cost, Price   decimal.Decimal // per seat and billing cycle, ex VAT
	Cycle, Term   string          // Halo's words
	TenantID      string
	Active        bool
	Mark          string // snowid
	Distributor   string
	StatusInField bool // the status stands in a field of its own, not in the name
}

// suffix is the status that Inty's licences carry behind their name [V: the guide's figure 8]. Any other
// word in parentheses belongs to the product: "Microsoft 365 F3 (EEA)".
var suffix = regexp.MustCompile(`(?i)\s*-?\s*\((active|inactive|suspended|cancelled|canceled|pending|expired|disabled|deleted)\)\s*$`)

// Product is the name without the status, as it is shown.
func (l Licence) Product() string { return strings.TrimSpace(suffix.ReplaceAllString(l.Name, "")) }

// StatusOf finds the status in a name, "" if there is none.
func StatusOf(name string) string {
	if m := suffix.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

// IsIntys tells whether a licence is Inty's: a status in its name, or Inty named as its distributor. A
// status in a field of its own counts only for customers that the old mappings name, because other
// vendors' connectors write one, too. What carries a mark of ours is ours.
func IsIntys(l Licence, mapped bool) bool {
	switch {
	case strings.HasPrefix(l.Mark, "giacom:"):
		return false
	case StatusOf(l.Name) != "", strings.EqualFold(strings.TrimSpace(l.Distributor), "inty"):
		return true
	}
	return mapped && l.StatusInField && l.Status != "" && strings.TrimSpace(l.Distributor) == ""
}

func product(name string) string {
	return strings.ToLower(strings.Join(strings.Fields(suffix.ReplaceAllString(name, "")), " "))
}

// SameProduct compares by SKU where both have one, else by name without the status.
func SameProduct(name, sku, otherName, otherSKU string) bool {
	sku, otherSKU = strings.TrimSpace(sku), strings.TrimSpace(otherSKU)
	if sku != "" && otherSKU != "" {
		return strings.EqualFold(sku, otherSKU)
	}
	return product(name) != "" && product(name) == product(otherName)
}

// Term brings the words for a term to one: "P1Y", "1 Year" and "Annual" are the same. "" when not known.
func Term(word string) string {
	switch strings.ToLower(strings.Join(strings.Fields(word), " ")) {
	case "p1m", "1 month", "month", "monthly", "one month":
		return "monthly"
	case "p1y", "1 year", "12 months", "year", "yearly", "annual", "annually", "one year":
		return "annual"
	case "p3y", "3 year", "3 years", "36 months", "triennial", "three years":
		return "triennial"
	}
	return ""
}
