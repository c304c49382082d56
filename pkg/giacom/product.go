package giacom

import (
	"regexp"
	"strings"
)

// Product is what tells one product from another: two feeds, and Halo, may name the same one.
type Product struct{ Name, SKU string }

// Same tells whether two are one product: by their SKUs where both are of one kind, else by their names. The report
// has Microsoft's offer ids and the other feeds Giacom's product ids, so SKUs of different kinds say nothing.
func (p Product) Same(q Product) bool {
	a, b := strings.TrimSpace(p.SKU), strings.TrimSpace(q.SKU)
	if a != "" && b != "" && isOfferID(a) == isOfferID(b) {
		return strings.EqualFold(a, b)
	}
	name := ProductName(p.Name)
	return name != "" && name == ProductName(q.Name)
}

// Keys are texts of which two products that are the same have at least one in common, for looking them up.
func (p Product) Keys() []string {
	var keys []string
	if name := ProductName(p.Name); name != "" {
		keys = append(keys, name)
	}
	if sku := strings.ToLower(strings.ToUpper(strings.TrimSpace(p.SKU))); sku != "" { // as EqualFold sees it
		keys = append(keys, "sku "+sku)
	}
	return keys
}

// addition is what feeds and integrations append to the name of a product: Inty a status [V], AccountTotals
// "(NCE … Term)" [F-1].
var addition = regexp.MustCompile(`(?i)\s*-?\s*\((active|inactive|suspended|cancelled|canceled|pending|expired|disabled|deleted|nce( [^()]*)?)\)\s*$`)

// ProductName is the name of a product without what is appended to it, in one spelling for comparing.
func ProductName(name string) string {
	for {
		shorter := addition.ReplaceAllString(name, "")
		if shorter == name {
			return strings.ToLower(strings.Join(strings.Fields(name), " "))
		}
		name = shorter
	}
}
