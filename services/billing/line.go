package billing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// Settings are what the rules need of a connection.
type Settings struct {
	Connection, Instance, Currency string
	Mode                           reconcile.Mode // of the connection: Auto as soon as anything may be written
	Permit                         connections.Permit
	Basis                          moneyv1.Basis // what a price of a term longer than a month means
	// ProRata is Halo's pro_rata value of links that Seatline makes; nil: such links are held.
	ProRata *int64
	// Quiet is how long before an invoice run its invoice is left alone.
	Quiet   time.Duration
	Refresh time.Duration
}

// Book is what the people in charge have set, by connection.
type Book struct {
	Settings map[string]Settings
	Rules    map[string][]Rule
}

// Facts of a line go with its item: into its events, and back into the next decision.
type Facts struct {
	Invoice      int64            `json:"invoice,omitempty"`
	Line         int64            `json:"line,omitempty"`
	Client       int64            `json:"client,omitempty"` // whom the invoice bills
	ClientName   string           `json:"client_name,omitempty"`
	Text         string           `json:"text,omitempty"`
	Item         int64            `json:"item,omitempty"`
	Linked       bool             `json:"linked"`
	Licences     []string         `json:"licences,omitempty"` // keys
	Rule         string           `json:"rule,omitempty"`
	Next         string           `json:"next,omitempty"` // as Halo writes it, UTC
	Period       int64            `json:"period,omitempty"`
	LicencePrice *decimal.Decimal `json:"licence_price,omitempty"`
	// Seats that are billed now, and that should be; for a linked line what Halo computes.
	QuantityBefore *decimal.Decimal `json:"before,omitempty"`
	QuantityAfter  *decimal.Decimal `json:"after,omitempty"`
	// Replaced are licences of Inty's that the line billed before and that may be deactivated.
	Replaced []Replaced `json:"replaced,omitempty"`
}

// Decision is what one line should be, and why.
type Decision struct {
	ItemKey
	Instance string
	Desired  Fields
	Applied  *Fields // what the line holds; nil for one to be added
	Verdict  reconcile.Verdict
	Facts    Facts
	Customer string
	// Before and After are per month ex VAT.
	Before, After *decimal.Decimal
	// Follows: nothing is written, yet what is billed changes with the licence.
	Follows           bool
	Unlink            []int64 // licences whose rows go
	Ours              []int64 // licences of ours whose rows stay or come
	Moves             []Move  // of links between Inty's licences and ours
	Who               string  // applied them
	Run, Cause, Trace string
}

// decide says what every line of the customers in question should be.
func decide(s *Snapshot, b Book) []Decision {
	var out []Decision
	p := pairUp(s)
	taken := map[lineID]bool{}
	for _, x := range p.pairs {
		if len(x.back) > 0 {
			out = append(out, decideBack(s, b, x))
		} else {
			out = append(out, decideLine(s, b, x))
		}
		taken[lineID{x.invoice.ID, x.line.ID}] = true
	}
	for _, x := range p.idle {
		out = append(out, decideIdle(s, b, x))
	}
	out = append(out, abandoned(s, b, taken)...)
	out = sparing(out, s, b)
	for i := range out {
		if alarm, ok := s.Alarms[out[i].Facts.Invoice]; ok {
			out[i].Verdict = reconcile.Hold(linesLost, alarm)
		}
	}
	slices.SortFunc(out, func(a, b Decision) int {
		return cmp.Or(cmp.Compare(a.Connection, b.Connection), cmp.Compare(a.Key, b.Key))
	})
	return out
}

// first keeps the first verdict that is against writing: it is the one to act on.
func (d *Decision) first(v reconcile.Verdict) {
	if d.Verdict.State == reconcile.Pending {
		d.Verdict = v
	}
}

func lineKey(invoice, line int64) string {
	return strconv.FormatInt(invoice, 10) + "/" + strconv.FormatInt(line, 10)
}

func factsOf(inv *Invoice, line *Line) Facts {
	return Facts{
		Invoice: inv.ID, Line: line.ID, Client: inv.ClientID, ClientName: inv.ClientName, Text: line.Description, Item: line.ItemID,
		Linked: line.Type == quantityLinked, Next: halo.NewDate(inv.Next).String(), Period: inv.Period,
	}
}

// decideLine: what a line that exists should be.
func decideLine(s *Snapshot, b Book, x pair) Decision {
	all := slices.Concat(x.licences, x.leaving)
	lead := slices.MinFunc(all, func(a, b *Licence) int {
		return cmp.Or(cmp.Compare(a.Connection, b.Connection), cmp.Compare(a.Key, b.Key))
	})
	has := fieldsOf(*x.line, ours(x.licences))
	d := Decision{
		ItemKey: ItemKey{lead.Connection, lineKey(x.invoice.ID, x.line.ID)}, Instance: b.Settings[lead.Connection].Instance,
		Verdict: reconcile.Go(), Applied: &has, Facts: factsOf(x.invoice, x.line), Customer: x.invoice.ClientName,
	}
	for _, l := range all {
		if !slices.Contains(d.Facts.Licences, l.Key) {
			d.Facts.Licences = append(d.Facts.Licences, l.Key)
		}
		if l.Connection != lead.Connection {
			d.first(reconcile.Hold("several_connections", "The line links licences of two connections. Give each its own line in Halo."))
		}
	}
	d.causedBy(all)
	d.Desired = Fields{Linked: has.Linked}
	for _, l := range x.licences {
		d.Ours = append(d.Ours, l.HaloID)
	}
	for _, l := range x.leaving {
		d.Unlink = append(d.Unlink, l.HaloID)
	}
	rows := slices.DeleteFunc(slices.Clone(x.line.Rows), func(r Row) bool { return slices.Contains(d.Unlink, r.LicenceID) })
	d.swap(x, rows)
	d.link(b, x, &rows)
	d.Facts.Replaced = replaced(s, x)
	for _, r := range rows {
		if r.LicenceID > 0 && r.LicenceID != uncreated {
			d.Desired.Licences = append(d.Desired.Licences, r.LicenceID)
		}
	}
	if !has.Linked {
		d.Desired.Licences = has.Licences
	}
	usesPrice := slices.ContainsFunc(rows, func(r Row) bool { return r.UsesPrice })
	usesCost := slices.ContainsFunc(rows, func(r Row) bool { return r.UsesCost })
	var rule Price
	followed := slices.DeleteFunc(slices.Clone(x.licences), func(l *Licence) bool { return l.LeftAlone })
	switch {
	case len(followed) > 0:
		rule = d.amounts(b.Rules[lead.Connection], followed, x.invoice.Period, usesPrice, usesCost, x.line.AutoRaised)
	case len(x.licences) > 0:
		d.Facts.Rule = "left as it is"
	}
	switch {
	case has.Linked:
	case lead.LeftAlone:
		d.Desired.Quantity = has.Quantity
	default:
		q := fixedQuantity(lead, rule)
		d.Desired.Quantity = &q
	}
	d.money(x, rows, usesPrice, s.Inty.Licences)
	changes := diff(d.Applied, &d.Desired)
	if !has.Linked && x.line.ProRata > 0 && len(changes) > 0 {
		d.first(reconcile.Hold("prorata_pending", "The line has pro-rata rows that Halo has not invoiced yet and would add to a new quantity. It is written once they are invoiced; delete them in Halo to have it written now."))
	}
	d.Follows = has.Linked && len(changes) == 0 && !(same(d.Facts.QuantityBefore, d.Facts.QuantityAfter) && same(d.Before, d.After))
	return d
}

// uncreated stands for a licence that has no id in Halo yet.
const uncreated = math.MaxInt64

// link adds the row of a licence that the line should count and does not name yet, and says what it
// has to wait for.
func (d *Decision) link(b Book, x pair, rows *[]Row) {
	if x.link == nil {
		if !d.Facts.Linked {
			d.first(moving(x.licences[0]))
		}
		return
	}
	id := x.link.HaloID
	if id == 0 {
		id = uncreated
	}
	if len(*rows) > 0 {
		(*rows)[0].LicenceID = id
	} else {
		*rows = append(*rows, Row{LicenceID: id})
		if b.Settings[d.Connection].ProRata == nil {
			d.first(noProRata)
		}
	}
	d.first(ready(x.link))
}

var noProRata = reconcile.Hold("pro_rata", "Halo needs to be told how changes within a period are billed, and nobody has. Set pro_rata of the connection's billing settings.")

// ready: a licence can be linked when it exists and belongs to its customer.
func ready(l *Licence) reconcile.Verdict {
	if l.HaloID == 0 {
		return reconcile.Park("licence_pending", "Waits for its licence to be created in Halo.")
	}
	return moving(l)
}

func moving(l *Licence) reconcile.Verdict {
	if l.OldClientID != 0 {
		return reconcile.Park("licence_moving", "Waits for its licence to be moved to this customer in Halo.")
	}
	return reconcile.Go()
}

// causedBy takes run and trace from the licence that changed last.
func (d *Decision) causedBy(list []*Licence) {
	last := slices.MaxFunc(list, func(a, b *Licence) int { return cmp.Compare(a.Revision, b.Revision) })
	d.Run, d.Cause, d.Trace = last.Run, last.Cause, last.Trace
}

// abandoned keeps lines in sight that were paired with a licence by product and no longer can be: the
// licence moved to another customer, or a second of the product came. They still bill what they did.
func abandoned(s *Snapshot, b Book, taken map[lineID]bool) []Decision {
	var out []Decision
	for i := range s.Invoices {
		inv := &s.Invoices[i]
		for j := range inv.Lines {
			line := &inv.Lines[j]
			if taken[lineID{inv.ID, line.ID}] || line.Type != quantityFixed || !line.bills() || inv.Disabled || line.Quantity.IsZero() || !s.Clients[inv.ClientID] {
				continue
			}
			for connection, settings := range b.Settings {
				key := ItemKey{connection, lineKey(inv.ID, line.ID)}
				known, ok := s.Known[key]
				if !ok || known.Facts.Linked {
					continue
				}
				at := slices.IndexFunc(s.Licences, func(l Licence) bool {
					return l.Connection == connection && l.Active && slices.Contains(known.Facts.Licences, l.Key)
				})
				if at < 0 {
					continue
				}
				l, has := &s.Licences[at], fieldsOf(*line, nil)
				why := "its product has several licences, or several lines, by now"
				if l.ClientID != inv.ClientID {
					why = "its licence moved to another customer"
				}
				d := Decision{
					ItemKey: key, Instance: settings.Instance, Applied: &has, Desired: has, Facts: factsOf(inv, line), Customer: inv.ClientName,
					Verdict: reconcile.Hold("unpaired", fmt.Sprintf("The line bills %s seats that it no longer gets from a licence: %s. Correct or remove it in Halo, or let it count the right subscription.", line.Quantity, why)),
				}
				d.Facts.Licences, d.Facts.Rule = known.Facts.Licences, "left as it is"
				d.Facts.QuantityBefore, d.Facts.QuantityAfter = has.Quantity, has.Quantity
				d.Before = monthly(has.Quantity, &line.Price, line.Discount, inv.Period)
				d.After = d.Before
				d.causedBy([]*Licence{l})
				out = append(out, d)
			}
		}
	}
	return out
}

func same(a, b *decimal.Decimal) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Equal(*b))
}

func sameInt(a, b *int64) bool {
	return (a == nil) == (b == nil) && (a == nil || *a == *b)
}

// titleOf names a line for people.
func (d *Decision) titleOf() string {
	return strings.TrimSpace(d.Facts.ClientName + ": " + d.Facts.Text)
}
