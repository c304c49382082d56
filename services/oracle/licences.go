package oracle

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo/halosim"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// licences carries every billed subscription into its licence.
func (o *Oracle) licences() {
	o.reindex()
	keys := slices.Sorted(maps.Keys(o.rows))
	var fresh []*subscription
	for _, key := range keys {
		s := o.rows[key]
		if s.removed {
			continue
		}
		client, why := o.resolve(s)
		if client == 0 {
			o.wait("subscription", key, why)
			continue
		}
		l := o.licenceOf(key)
		switch {
		case s.absent():
			o.wait("licence", key, "absent")
		case o.holds(s) != "":
			o.wait("licence", key, o.holds(s))
		case l == nil:
			fresh = append(fresh, s)
		case l.ClientID != client && o.stuck(l):
			o.wait("licence", key, "line")
		default:
			o.write(l, s, client)
		}
	}
	o.adoptOrCreate(fresh)
	o.reindex()
	for _, key := range keys { // only now: a renewal takes over the licence of what it replaces
		l := o.licenceOf(key)
		switch s := o.rows[key]; {
		case !s.removed || l == nil || !l.IsActive:
		case o.settings.Connection.GetLicences().GetDeactivateRemoved() && s.scheduled:
			l.IsActive = false
		default:
			o.wait("licence", key, "gone")
		}
	}
}

// stuck: a line of the client that a licence is to leave links it, and cannot be written now.
func (o *Oracle) stuck(l *halosim.Licence) bool {
	for i := range o.state.Invoices {
		inv := &o.state.Invoices[i]
		for _, line := range inv.Lines {
			if inv.ClientID == l.ClientID && line.QuantityType == halosim.Subscriptions && (inv.Disabled || line.Inactive || line.GroupText || o.quiet(inv)) &&
				slices.ContainsFunc(line.Subscriptions, func(r halosim.QuantityRow) bool { return r.LicenceID == l.ID }) {
				return true
			}
		}
	}
	return false
}

func (o *Oracle) mark(key string) string {
	return "giacom:" + o.settings.Connection.GetGiacom().GetAccount() + ":" + key
}

// owner is the mark of the subscription whose licence this is: the one that it carries, or that of the renewal that takes it
// over as soon as that may be written.
func (o *Oracle) owner(l halosim.Licence) string {
	if mark, ok := o.renewed[l.ID]; ok {
		return mark
	}
	return l.SnowID
}

// holder is the subscription whose licence this is, nil where it is none of ours.
func (o *Oracle) holder(l halosim.Licence) *subscription {
	return o.rows[strings.TrimPrefix(o.owner(l), o.mark(""))]
}

// renewals notes which licences would have been taken over by renewals if they could have been written: that was decided, and
// stays so whatever becomes of the mapping. before is what Halo still holds.
func (o *Oracle) renewals(before []halosim.Licence) map[int64]string {
	renewed := map[int64]string{}
	for i, was := range before { // licences are only ever added behind
		now := o.owner(o.state.Licences[i])
		if now != was.SnowID && strings.HasPrefix(was.SnowID, o.mark("")) {
			renewed[was.ID] = now
		}
	}
	return renewed
}

func (o *Oracle) licenceOf(key string) *halosim.Licence {
	return o.licenceMarked(o.mark(key))
}

func (o *Oracle) licenceMarked(mark string) *halosim.Licence {
	if i, ok := o.index.byMark[mark]; ok {
		return &o.state.Licences[i]
	}
	return nil
}

// index of the licences by position: there may be very many.
type index struct {
	byMark   map[string]int
	byID     map[int64]int
	byClient map[int64][]int
}

// reindex is called whenever licences were added, marked or moved.
func (o *Oracle) reindex() {
	n := len(o.state.Licences)
	o.index = index{make(map[string]int, n), make(map[int64]int, n), map[int64][]int{}}
	for i, l := range o.state.Licences {
		o.index.byID[l.ID] = i
		o.index.byClient[l.ClientID] = append(o.index.byClient[l.ClientID], i)
		if mark := o.owner(l); mark != "" {
			if _, twice := o.index.byMark[mark]; !twice {
				o.index.byMark[mark] = i
			}
		}
	}
}

// holds says why a subscription that is there may not be billed as it is; "" when it may.
func (o *Oracle) holds(s *subscription) string {
	switch s.status {
	case "", "active", "suspended":
	case "pending":
		return "pending"
	default:
		return "status"
	}
	if !s.quantity.Valid || !s.quantity.Decimal.IsInteger() || s.quantity.Decimal.IsNegative() {
		return "quantity"
	}
	if s.cycle == "?" || s.term == "?" {
		return "words"
	}
	if _, ok := o.perCycle(s, s.price); !ok {
		return "price"
	}
	return ""
}

// perCycle is a price per seat and billing cycle.
func (o *Oracle) perCycle(s *subscription, p decimal.NullDecimal) (decimal.Decimal, bool) {
	if !p.Valid {
		return decimal.Zero, false
	}
	months := map[string]int64{"": 1, "Monthly": 1, "One-Time": 1, "Annual": 12, "Triennial": 36}
	cycle, term := months[s.cycle], months[s.term]
	if s.term == "" {
		term = cycle
	}
	if term == 1 || s.cycle == "One-Time" { // what is paid once costs what it costs
		return p.Decimal.Round(4), true
	}
	switch o.settings.Connection.GetGiacom().GetAnnualPriceBasis() {
	case moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH:
		return p.Decimal.Mul(decimal.NewFromInt(cycle)).Round(4), true
	case moneyv1.Basis_BASIS_PER_SEAT_PER_TERM:
		return p.Decimal.Mul(decimal.NewFromInt(cycle)).DivRound(decimal.NewFromInt(term), 4), true
	}
	return decimal.Zero, false
}

// write puts the fields that are ours.
func (o *Oracle) write(l *halosim.Licence, s *subscription, client int64) {
	cost, _ := o.perCycle(s, s.price)
	s.left = 0
	if l.ClientID != client {
		s.left = l.ClientID
	}
	l.SnowID = o.mark(s.key)
	delete(o.renewed, l.ID)
	l.ClientID, l.Count, l.PurchasePrice = client, s.quantity.Decimal.IntPart(), halosim.Money{Decimal: cost}
	l.IsActive, l.BillingCycle = true, orKeep(s.cycle, l.BillingCycle)
	l.TermDuration = orKeep(s.term, l.TermDuration)
	l.StartDate, l.EndDate = dateOrKeep(s.start, l.StartDate), dateOrKeep(s.end, l.EndDate)
}

func orKeep(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func dateOrKeep(t time.Time, otherwise halosim.Date) halosim.Date {
	if t.IsZero() {
		return otherwise
	}
	return halosim.On(t)
}

// adoptOrCreate finds what Halo has already for subscriptions that have no licence, and creates the rest.
func (o *Oracle) adoptOrCreate(fresh []*subscription) {
	o.reindex() // some have moved
	candidates := map[*subscription][]int64{}
	rivals := map[int64]int{} // by licence: how many could take it
	for _, s := range fresh {
		client, _ := o.resolve(s)
		candidates[s] = o.candidates(s, client)
		for _, id := range candidates[s] {
			rivals[id]++
		}
	}
	for _, s := range fresh {
		client, _ := o.resolve(s)
		if len(candidates[s]) == 0 {
			o.create(s, client)
			continue
		}
		if len(candidates[s]) > 1 || rivals[candidates[s][0]] > 1 {
			o.wait("licence", s.key, "possible_duplicate")
			continue
		}
		l := o.licence(candidates[s][0])
		before := o.holder(*l)
		switch {
		case before != nil && !before.removed:
			o.wait("licence", s.key, "renewal")
		case before != nil || l.Count == s.quantity.Decimal.IntPart() && !strings.HasPrefix(l.SnowID, o.mark("")):
			o.write(l, s, client)
		default:
			o.wait("licence", s.key, "possible_duplicate")
		}
	}
}

// candidates are licences that may be this subscription: same client and product, of no live subscription.
func (o *Oracle) candidates(s *subscription, client int64) []int64 {
	var out []int64
	for _, i := range o.index.byClient[client] {
		l := &o.state.Licences[i]
		if !l.IsActive || l.Deleted || l.Type != 1 {
			continue
		}
		if l.ProductSKU != "" && s.sku != "" {
			if !strings.EqualFold(l.ProductSKU, s.sku) {
				continue
			}
		} else if !strings.EqualFold(withoutStatus(l.Name), s.name) {
			continue
		}
		if other := o.holder(*l); other != nil && !other.removed && !other.absent() {
			continue
		}
		if strings.HasPrefix(l.SnowID, "giacom:") && !strings.HasPrefix(l.SnowID, o.mark("")) {
			continue // of another Giacom account
		}
		out = append(out, l.ID)
	}
	return out
}

// withoutStatus drops the status that Inty wrote behind names: "… (Active)".
func withoutStatus(name string) string {
	for _, status := range []string{"Active", "Suspended", "Cancelled", "Canceled", "Pending", "Deleted", "Expired", "Disabled", "Inactive"} {
		suffix := " (" + strings.ToLower(status) + ")"
		if strings.HasSuffix(strings.ToLower(name), suffix) {
			return strings.TrimSpace(name[:len(name)-len(suffix)])
		}
	}
	return name
}

func (o *Oracle) create(s *subscription, client int64) {
	l := halosim.Licence{
		ID: o.id(), Type: 1, Name: s.name, ProductSKU: s.sku, Distributor: "Giacom", TenantID: s.tenant,
		ThirdPartyID: s.mexID,
	}
	if s.microsoft {
		l.Vendor = "Microsoft"
	}
	if rrp, ok := o.perCycle(s, s.rrp); ok {
		l.Price = halosim.Money{Decimal: rrp}
	}
	o.write(&l, s, client)
	o.state.Licences = append(o.state.Licences, l)
}

// haloFollows is Halo's own doing: lines become inactive with their licences, and active again, where its settings say so.
func (o *Oracle) haloFollows(before []halosim.Licence) {
	settings := o.state.Control
	flipped := map[int64]bool{}
	for i, was := range before { // licences are only ever added behind
		if o.state.Licences[i].IsActive != was.IsActive {
			flipped[was.ID] = true
		}
	}
	if len(flipped) == 0 {
		return
	}
	for i := range o.state.Invoices {
		for j := range o.state.Invoices[i].Lines {
			l := &o.state.Invoices[i].Lines[j]
			active, touched := false, false
			for _, r := range l.Subscriptions {
				licence := o.licence(r.LicenceID)
				active = active || licence != nil && licence.IsActive && !licence.Deleted
				touched = touched || flipped[r.LicenceID]
			}
			switch {
			case !touched || l.QuantityType != halosim.Subscriptions || o.state.Invoices[i].Disabled:
			case !active && (settings.InactiveLicenceLines || settings.LineStatusFollows):
				l.Inactive = true
			case active && settings.LineStatusFollows:
				l.Inactive = false
			}
		}
	}
}
