package web

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// whatChanged lists fields with their old and new values, and the reason.
func (v *visit) whatChanged(fields []*itemv1.FieldChange, why *itemv1.Reason) any {
	var changes ui.Changes
	for _, f := range fields {
		x := ui.Change{Field: fieldWord(f.GetField()), Minor: f.GetField() == "snowid"}
		x.Before, x.After = v.fieldValue(f.GetField(), f.GetBefore()), v.fieldValue(f.GetField(), f.GetAfter())
		if isMoney(f.GetField()) {
			x.Field += ", ex VAT"
		}
		changes = append(changes, x)
	}
	switch {
	case len(changes) > 0 && why.GetText() != "":
		return ui.Stack{Top: changes, Under: why.GetText()}
	case len(changes) > 0:
		return changes
	case why.GetText() != "":
		return ui.Quiet{Value: why.GetText()}
	default:
		return nil
	}
}

// fieldName is the field of Halo that a name ends with: before it a history says where, "should be: unit_price amount".
func fieldName(field string) (where, name string) {
	field = strings.TrimSuffix(field, " amount")
	at := strings.LastIndex(field, " ") + 1
	return field[:at], field[at:]
}

// isMoney tells of an amount, of one seat or a month.
func isMoney(field string) bool {
	_, name := fieldName(field)
	return strings.HasSuffix(field, " amount") || slices.Contains([]string{"unit_cost", "unit_price", "purchase_price", "price"}, name)
}

// fieldWord is a field of Halo in words.
func fieldWord(field string) string {
	where, name := fieldName(field)
	switch name {
	case "client_id":
		name = "Halo customer"
	case "purchase_price":
		name = "cost"
	case "snowid":
		name = "mark"
	case "is_active":
		name = "active"
	}
	return where + strings.ReplaceAll(name, "_", " ")
}

// fieldValue writes money, customers and dates as people do.
func (v *visit) fieldValue(field, value string) string {
	_, name := fieldName(field)
	switch {
	case value == "":
		return ""
	case isMoney(field):
		if d, err := decimal.NewFromString(value); err == nil {
			return ui.Amount{Value: d, Currency: cmp.Or(v.connection.GetGiacom().GetCurrency(), "GBP"), Fine: true}.Text()
		}
	case name == "client_id" && value == "0":
		return "—"
	case name == "client_id" && v.clients[value] != "":
		return v.clients[value] + " (" + value + ")"
	}
	return dateValue(value)
}

// dateValue writes one of Halo's dates as people do, and leaves all else as it is.
func dateValue(value string) string {
	if t, err := time.Parse("2006-01-02T15:04:05", value); err == nil {
		return t.Format("2 Jan 2006")
	}
	return value
}

// changesIn are the fields that each of a list's entries changes.
func changesIn[X interface{ GetChanges() []*itemv1.FieldChange }](list []X) [][]*itemv1.FieldChange {
	out := make([][]*itemv1.FieldChange, len(list))
	for i, x := range list {
		out[i] = x.GetChanges()
	}
	return out
}

// mostNamed bounds what is asked for in one filter.
const mostNamed = 100

// nameClients looks up the names of the customers in Halo that changes are about, all of a page at once. Those that no
// mapping knows stay numbers, and so do all where the mapper does not answer.
func (v *visit) nameClients(lists ...[]*itemv1.FieldChange) {
	var terms []string
	for _, f := range slices.Concat(lists...) {
		if _, name := fieldName(f.GetField()); name != "client_id" {
			continue
		}
		for _, id := range []string{f.GetBefore(), f.GetAfter()} {
			term := "halo_client_id = " + id
			if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > 0 && v.clients[id] == "" && !slices.Contains(terms, term) && len(terms) < mostNamed {
				terms = append(terms, term)
			}
		}
	}
	if len(terms) == 0 {
		return
	}
	resp, err := v.Mappings().ListMappings(v.ctx(), &mappingv1.ListMappingsRequest{PageSize: 2 * mostNamed, Filter: v.ofThis() + " AND (" + strings.Join(terms, " OR ") + ")"})
	if err != nil {
		return
	}
	if v.clients == nil {
		v.clients = map[string]string{}
	}
	for _, m := range resp.GetMappings() {
		v.clients[strconv.FormatInt(m.GetHaloClientId(), 10)] = m.GetHaloClientName()
	}
}
