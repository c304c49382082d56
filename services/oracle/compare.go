package oracle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo/halosim"
)

// Difference between what Halo must hold and what it holds.
type Difference struct {
	// Object for a person: "licence giacom:acme:microsoft/0b5a… (id 501)".
	Object string
	// Field, or "" where the object itself is missing, unexpected or there twice.
	Field     string
	Want, Got string
}

func (d Difference) String() string {
	if d.Field == "" {
		return fmt.Sprintf("%s: want %s, got %s", d.Object, d.Want, d.Got)
	}
	return fmt.Sprintf("%s: %s: want %s, got %s", d.Object, d.Field, d.Want, d.Got)
}

// What Halo keeps by itself, and so nobody is asked for: times of change, sums, computed quantities.
var kept = map[string][]string{
	"customer": {"alastupdate", "main_site_id", "main_site_name", "toplevel_name", "colour"},
	"licence":  {"client_name", "licences_in_use", "snowid"},
	"invoice":  {"client_name", "change_seq", "total", "lines", "contains_calculated_quantity"},
	"line":     {"quantity_subscriptions"},
	"row":      {"id", "invoice_line_id", "licence_name", "licence_id"},
}

// Compare tells every field in which got is not what is wanted. Everything that is not ours must be
// as it was, and nothing may be there twice.
func Compare(want, got halosim.State) []Difference {
	c := &comparison{ids: map[int64]int64{}}
	c.customers(want, got)
	c.licences(want, got)
	c.invoices(want, got)
	c.rest(want, got)
	slices.SortFunc(c.found, func(a, b Difference) int { return strings.Compare(a.String(), b.String()) })
	return c.found
}

type comparison struct {
	found []Difference
	ids   map[int64]int64 // of what the oracle made: Halo's id for it
}

func (c *comparison) differ(object, field, want, got string) {
	c.found = append(c.found, Difference{object, field, want, got})
}

// id is what Halo calls something that the oracle made.
func (c *comparison) id(id int64) int64 {
	if real, ok := c.ids[id]; ok {
		return real
	}
	return id
}

func (c *comparison) customers(want, got halosim.State) {
	actual := map[int64]halosim.Client{}
	marked := map[string]int64{}
	for _, x := range got.Clients {
		actual[x.ID] = x
		if m := clientMark(x); m != "" {
			if _, twice := marked[m]; twice {
				c.differ("customer marked "+m, "", "once", "twice")
			}
			marked[m] = x.ID
		}
	}
	for _, x := range want.Clients {
		if x.ID >= firstOwnID {
			c.ids[x.ID] = marked[clientMark(x)]
		}
		name := fmt.Sprintf("customer %q", x.Name)
		g, ok := actual[c.id(x.ID)]
		if !ok {
			c.differ(name, "", "present", "missing")
			continue
		}
		created := x.ID >= firstOwnID
		delete(actual, g.ID)
		x.ID = g.ID
		if created { // only what we set; Halo fills in the rest
			if x.Name != g.Name {
				c.differ(name, "name", x.Name, g.Name)
			}
			if x.TopLevelID != 0 && x.TopLevelID != g.TopLevelID {
				c.differ(name, "toplevel_id", number(x.TopLevelID), number(g.TopLevelID))
			}
			continue
		}
		c.fields("customer", name, x, g)
	}
	for _, g := range actual {
		c.differ(fmt.Sprintf("customer %q (id %d)", g.Name, g.ID), "", "none", "present")
	}
}

func clientMark(x halosim.Client) string {
	for _, f := range x.CustomFields {
		if strings.Contains(strings.ToLower(f.Name), "giacom") && f.Value != "" {
			return strings.ToUpper(f.Value)
		}
	}
	return ""
}

func (c *comparison) licences(want, got halosim.State) {
	actual := map[int64]halosim.Licence{}
	marked := map[string]int64{}
	for _, x := range got.Licences {
		actual[x.ID] = x
		if x.SnowID == "" {
			continue
		}
		if _, twice := marked[x.SnowID]; twice {
			c.differ("licence marked "+x.SnowID, "", "once", "twice")
		}
		marked[x.SnowID] = x.ID
	}
	for _, x := range want.Licences {
		if x.ID >= firstOwnID {
			c.ids[x.ID] = marked[x.SnowID]
		}
		name := fmt.Sprintf("licence %q %s", x.Name, x.SnowID)
		g, ok := actual[c.id(x.ID)]
		if !ok {
			c.differ(name, "", "present", "missing")
			continue
		}
		delete(actual, g.ID)
		if x.SnowID != g.SnowID {
			c.differ(name, "snowid", x.SnowID, g.SnowID)
		}
		if x.ID >= firstOwnID {
			x.SiteID = g.SiteID // Halo's way to say none
		}
		x.ID, x.ClientID = g.ID, c.id(x.ClientID)
		c.fields("licence", name, x, g)
	}
	for _, g := range actual {
		c.differ(fmt.Sprintf("licence %q %s (id %d)", g.Name, g.SnowID, g.ID), "", "none", "present")
	}
}

func (c *comparison) invoices(want, got halosim.State) {
	actual := map[int64]halosim.Invoice{}
	for _, x := range got.Invoices {
		actual[x.ID] = x
	}
	for _, x := range want.Invoices {
		name := fmt.Sprintf("recurring invoice %d of %q", x.ID, x.ClientName)
		g, ok := actual[x.ID]
		if !ok {
			c.differ(name, "", "present", "missing")
			continue
		}
		delete(actual, x.ID)
		c.fields("invoice", name, x, g)
		c.lines(name, x, g)
	}
	for id := range actual {
		c.differ(fmt.Sprintf("recurring invoice %d", id), "", "none", "present")
	}
}

func (c *comparison) lines(invoice string, want, got halosim.Invoice) {
	actual := map[int64]halosim.Line{}
	linking := map[int64]int64{} // line by licence, among lines that were added
	emptied := map[int64]int64{} // line by Item, among those that were added and link nothing any more
	known := map[int64]bool{}
	for _, l := range want.Lines {
		known[l.ID] = true
	}
	for _, l := range got.Lines {
		actual[l.ID] = l
		if known[l.ID] {
			continue
		}
		if len(l.Subscriptions) == 0 {
			emptied[l.ItemID] = l.ID
		}
		for _, r := range l.Subscriptions {
			linking[r.LicenceID] = l.ID
		}
	}
	for _, l := range want.Lines {
		created := l.ID >= firstOwnID
		switch {
		case created && len(l.Subscriptions) == 0: // its licence went to another customer
			c.ids[l.ID] = emptied[l.ItemID]
		case created:
			c.ids[l.ID] = linking[c.id(l.Subscriptions[0].LicenceID)]
		}
		name := fmt.Sprintf("%s, line %q", invoice, l.Name)
		g, ok := actual[c.id(l.ID)]
		if !ok {
			c.differ(name, "", "present", "missing")
			continue
		}
		delete(actual, g.ID)
		c.rows(name, l, g)
		if created {
			c.created(name, l, g)
			continue
		}
		if l.QuantityType != halosim.Fixed { // Halo computes it when it creates the invoice
			l.Quantity, l.ProRata = g.Quantity, g.ProRata
		}
		c.fields("line", name, l, g)
	}
	for _, g := range actual {
		c.differ(fmt.Sprintf("%s, line %d %q", invoice, g.ID, g.Name), "", "none", "present")
	}
}

// created compares what we set on a line that we added.
func (c *comparison) created(name string, want, got halosim.Line) {
	for _, f := range []struct{ field, want, got string }{
		{"_itemid", number(want.ItemID), number(got.ItemID)},
		{"item_shortdescription", want.Name, got.Name},
		{"recurring_invoice_quantity_type", number(want.QuantityType), number(got.QuantityType)},
		{"unit_price", want.UnitPrice.String(), got.UnitPrice.String()},
		{"unit_cost", want.UnitCost.String(), got.UnitCost.String()},
	} {
		if f.want != f.got {
			c.differ(name, f.field, f.want, f.got)
		}
	}
}

func (c *comparison) rows(name string, want, got halosim.Line) {
	actual := map[int64]halosim.QuantityRow{}
	for _, r := range got.Subscriptions {
		if _, twice := actual[r.LicenceID]; twice {
			c.differ(name, fmt.Sprintf("link to licence %d", r.LicenceID), "once", "twice")
		}
		actual[r.LicenceID] = r
	}
	for _, r := range want.Subscriptions {
		link := fmt.Sprintf("%s, link to licence %d", name, c.id(r.LicenceID))
		g, ok := actual[c.id(r.LicenceID)]
		if !ok {
			c.differ(link, "", "present", "missing")
			continue
		}
		delete(actual, g.LicenceID)
		c.fields("row", link, r, g)
	}
	for id := range actual {
		c.differ(fmt.Sprintf("%s, link to licence %d", name, id), "", "none", "present")
	}
}

// rest: what we never write.
func (c *comparison) rest(want, got halosim.State) {
	for _, p := range []struct {
		name      string
		want, got any
	}{
		{"items", want.Items, got.Items}, {"top levels", want.TopLevels, got.TopLevels},
		{"users", want.Users, got.Users}, {"settings", want.Control, got.Control}, {"external links", want.Links, got.Links},
		{"sites", c.others(want.Sites), c.others(got.Sites)},
	} {
		w, g := canonical(p.want), canonical(p.got)
		if !bytes.Equal(w, g) {
			c.differ(p.name, "", "as they were", "changed")
		}
	}
}

// others are the sites that did not come with customers that were created.
func (c *comparison) others(sites []halosim.Site) []halosim.Site {
	made := slices.Collect(maps.Values(c.ids))
	kept := slices.DeleteFunc(slices.Clone(sites), func(s halosim.Site) bool { return slices.Contains(made, s.ClientID) })
	for i := range kept {
		kept[i].ClientName = "" // follows the customer by itself
	}
	return kept
}

func canonical(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain data
	}
	return b
}

// fields compares two objects as Halo would show them, unknown fields included.
func (c *comparison) fields(kind, name string, want, got any) {
	w, g := object(want), object(got)
	for _, f := range kept[kind] {
		delete(w, f)
		delete(g, f)
	}
	for _, f := range slices.Sorted(maps.Keys(w)) {
		if _, ok := g[f]; !ok {
			c.differ(name, f, string(w[f]), "nothing")
		} else if !equal(w[f], g[f]) {
			c.differ(name, f, string(w[f]), string(g[f]))
		}
		delete(g, f)
	}
	for f, v := range g {
		c.differ(name, f, "nothing", string(v))
	}
}

func object(v any) map[string]json.RawMessage {
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(canonical(v), &m); err != nil {
		panic(err) // an object of the simulator
	}
	return m
}

// equal compares JSON values; numbers by value.
func equal(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err1 := decimal.NewFromString(string(a))
	y, err2 := decimal.NewFromString(string(b))
	return err1 == nil && err2 == nil && x.Equal(y)
}
