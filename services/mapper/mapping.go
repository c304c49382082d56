package mapper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/businessname"
)

// Reasons of mappings, for programs.
const (
	reasonNotMapped = "customer_not_mapped"
	reasonNear      = "near_match"
	reasonUnread    = "halo_unread"
	reasonIgnored   = "customer_ignored"
	// Of customers mapped to one that Halo does not have any more, has merged into another, or has made inactive.
	reasonGone     = "halo_customer_gone"
	reasonMerged   = "halo_customer_merged"
	reasonInactive = "halo_customer_inactive"
)

// mapping says which Halo customer a Giacom customer is.
type mapping struct {
	State      mappingv1.State
	ClientID   int64
	ClientName string
	Origin     mappingv1.Origin
	Code, Text string // why unmapped or ignored, or mapped and to be remapped
}

// astray tells whether the customer is mapped to one of Halo that cannot be billed any more.
func (m mapping) astray() bool { return m.State == mappingv1.State_STATE_MAPPED && m.Code != "" }

// decision is what a person decided about a customer; it wins over all rules.
type decision struct {
	State    mappingv1.State // unspecified: nothing; creating: in spite of near matches
	ClientID int64
	Origin   mappingv1.Origin // file or operator
	Reason   string
	Who      string
}

// customer is a Giacom customer that exists: it is in the customer feed or has a subscription.
type customer struct {
	MexID    string
	Name     string
	Decision decision
	Now      mapping
	// InFlight: a customer is being created in Halo, or may have been.
	InFlight bool
}

// client is a customer of Halo.
type client struct {
	ID       int64
	Name     string
	Inactive bool
}

// picture is what is known of a Halo instance. read is false as long as nothing is.
type picture struct {
	read    bool
	readAt  time.Time // when the listing began
	clients map[int64]client
	marks   map[string][]int64 // our own marks, by mexId
	native  map[string][]int64 // rows of Halo's native integration, by mexId
}

// settings of a connection that the mapping rules ask for.
type settings struct {
	Create        bool
	NotByName     bool // exactly equal names are mapped on demand only
	NotNative     bool // and so is what Halo's own Giacom integration says
	FollowCreated bool
	FollowMapped  bool
	TopLevelID    int64
	Field         string // custom field that holds our mark
	Account       string // Giacom account, for the mark
	Instance      string // host and tenant of Halo
}

func settingsOf(c *connectionv1.Connection) settings {
	s := c.GetCustomers()
	return settings{
		Create:        s.GetCreate(),
		NotByName:     s != nil && s.MapByName != nil && !s.GetMapByName(),
		NotNative:     s != nil && s.MapFromNative != nil && !s.GetMapFromNative(),
		FollowCreated: s == nil || s.FollowNameOfCreated == nil || s.GetFollowNameOfCreated(),
		FollowMapped:  s.GetFollowNameOfMapped(),
		TopLevelID:    s.GetTopLevelId(),
		Field:         cmp.Or(s.GetCustomField(), "CFGiacomCustomerId"),
		Account:       c.GetGiacom().GetAccount(),
		Instance:      c.GetHalo().GetInstance(),
	}
}

// decide maps all customers of a connection together, because whether a name is ambiguous depends
// on the others. Once mapped, a customer stays mapped: names change, and identities do not.
func decide(customers []customer, halo picture, s settings) map[string]mapping {
	d := newDecider(customers, halo)
	out := make(map[string]mapping, len(customers))
	unmapped := map[string]int{} // normalised name to how many still unmapped customers have it
	for _, c := range customers {
		m, ok := d.find(c, s)
		if !ok {
			unmapped[businessname.Fold(c.Name)]++
			continue
		}
		out[c.MexID] = m
	}
	for _, c := range customers {
		if _, ok := out[c.MexID]; !ok {
			out[c.MexID] = d.without(c, unmapped, s)
		}
	}
	return out
}

// newDecider prepares what decisions about single customers need to know of all.
func newDecider(customers []customer, halo picture) *decider {
	d := &decider{halo: halo, byName: map[string][]int64{}, taken: map[string]string{}, namesakes: map[string]int{}}
	for _, c := range halo.clients {
		if !c.Inactive {
			name := strings.TrimSpace(c.Name)
			d.byName[name] = append(d.byName[name], c.ID)
			// Of several the first in the alphabet, so that a reason does not change by itself.
			if n := businessname.Fold(c.Name); d.taken[n] == "" || c.Name < d.taken[n] {
				d.taken[n] = c.Name
			}
		}
	}
	for _, c := range customers {
		d.namesakes[strings.TrimSpace(c.Name)]++
	}
	return d
}

type decider struct {
	halo      picture
	byName    map[string][]int64 // exact name of active clients
	taken     map[string]string  // normalised name of active clients to one of their names
	namesakes map[string]int     // exact name to how many Giacom customers have it
}

// find returns the mapping of a customer that has one or can be given one.
func (d *decider) find(c customer, s settings) (mapping, bool) {
	switch {
	case c.Decision.State == mappingv1.State_STATE_MAPPED:
		return d.mapped(c, c.Decision.ClientID, c.Decision.Origin), true
	case c.Decision.State == mappingv1.State_STATE_IGNORED:
		return mapping{State: mappingv1.State_STATE_IGNORED, Origin: c.Decision.Origin, Code: reasonIgnored, Text: c.Decision.Reason}, true
	case c.Now.State == mappingv1.State_STATE_MAPPED:
		return d.mapped(c, c.Now.ClientID, c.Now.Origin), true
	case c.Now.State == mappingv1.State_STATE_CREATING && c.InFlight:
		// What Halo now shows may be the very customer that is being created: its outcome decides.
		return c.Now, true
	}
	if id, ok := d.active(d.halo.marks[c.MexID]); ok {
		return d.mapped(c, id, mappingv1.Origin_ORIGIN_MARK), true
	}
	if id, ok := d.active(d.halo.native[c.MexID]); ok && !s.NotNative {
		return d.mapped(c, id, mappingv1.Origin_ORIGIN_NATIVE), true
	}
	if id, ok := d.named(c); ok && !s.NotByName {
		return d.mapped(c, id, mappingv1.Origin_ORIGIN_NAME), true
	}
	return mapping{}, false
}

// named returns the one active client of exactly the customer's name, if no other customer has that name.
func (d *decider) named(c customer) (int64, bool) {
	name := strings.TrimSpace(c.Name)
	if ids := d.byName[name]; name != "" && len(ids) == 1 && d.namesakes[name] == 1 {
		return ids[0], true
	}
	return 0, false
}

// active returns the one active client among ids; two of them are as good as none.
func (d *decider) active(ids []int64) (found int64, ok bool) {
	for _, id := range ids {
		if c, known := d.halo.clients[id]; known && !c.Inactive && id != found {
			if found != 0 {
				return 0, false
			}
			found = id
		}
	}
	return found, found != 0
}

// mapped completes a mapping with the client's name, the last known one when Halo was not read. A
// client that is gone or inactive stays the customer's, so that its licences are left where they are,
// and the reason says that it is to be remapped.
func (d *decider) mapped(of customer, id int64, origin mappingv1.Origin) mapping {
	m := mapping{State: mappingv1.State_STATE_MAPPED, ClientID: id, Origin: origin}
	there, ok := d.halo.clients[id]
	switch {
	case ok:
		m.ClientName = there.Name
	case of.Now.ClientID == id:
		m.ClientName = of.Now.ClientName
	}
	switch {
	case !d.halo.read && of.Now.ClientID == id:
		m.Code, m.Text = of.Now.Code, of.Now.Text // nobody knows better yet
	case !d.halo.read, ok && !there.Inactive:
	case ok:
		m.Code, m.Text = reasonInactive, fmt.Sprintf("Customer %d of Halo (%s) is inactive: activate it there, or map to another. Until then its licences are left as they are.", id, m.ClientName)
	default:
		m.Code, m.Text = reasonGone, fmt.Sprintf("Halo has customer %d (%s) no longer: map to another. Until then its licences are left as they are.", id, m.ClientName)
		if into, ok := d.active(append(slices.Clone(d.halo.marks[of.MexID]), d.halo.native[of.MexID]...)); ok {
			m.Code, m.Text = reasonMerged, fmt.Sprintf("Halo has customer %d (%s) no longer, and ties its Giacom customer to %d (%s) now, into which it seems to have been merged: confirm that mapping, or choose another. Until then its licences are left as they are.",
				id, m.ClientName, into, d.halo.clients[into].Name)
		}
	}
	return m
}

// without says what becomes of a customer that nothing maps.
func (d *decider) without(c customer, unmapped map[string]int, s settings) mapping {
	if !d.halo.read {
		return mapping{State: mappingv1.State_STATE_UNMAPPED, Code: reasonUnread,
			Text: "Halo's customers could not be read yet; check the connection's Halo address and credentials."}
	}
	name := businessname.Fold(c.Name)
	near, isNear := d.taken[name]
	switch forced := c.Decision.State == mappingv1.State_STATE_CREATING; {
	case forced && strings.TrimSpace(c.Name) != "":
		return mapping{State: mappingv1.State_STATE_CREATING, Origin: mappingv1.Origin_ORIGIN_CREATED}
	case !s.Create:
		return mapping{State: mappingv1.State_STATE_UNMAPPED, Code: reasonNotMapped,
			Text: fmt.Sprintf("No customer of Halo is known to be %q: map it, ignore it, or let customers be created.", c.Name)}
	case strings.TrimSpace(c.Name) == "":
		return mapping{State: mappingv1.State_STATE_UNMAPPED, Code: reasonNotMapped, Text: "Giacom gives no name for this customer: map it or ignore it."}
	case isNear:
		return mapping{State: mappingv1.State_STATE_UNMAPPED, Code: reasonNear,
			Text: fmt.Sprintf("Near match: %q is in Halo as %q. Map it to that customer, or create it beside it.", c.Name, near)}
	case unmapped[name] > 1:
		return mapping{State: mappingv1.State_STATE_UNMAPPED, Code: reasonNear,
			Text: fmt.Sprintf("Near match: Giacom has %d customers called %q or nearly so. Map each, or create it.", unmapped[name], c.Name)}
	}
	return mapping{State: mappingv1.State_STATE_CREATING, Origin: mappingv1.Origin_ORIGIN_CREATED}
}

// follows tells whether the name of the Halo customer is to follow Giacom's. A mark is left only on
// customers that Seatline created.
func (m mapping) follows(s settings) bool {
	if m.State != mappingv1.State_STATE_MAPPED {
		return false
	}
	if m.Origin == mappingv1.Origin_ORIGIN_CREATED || m.Origin == mappingv1.Origin_ORIGIN_MARK {
		return s.FollowCreated
	}
	return s.FollowMapped
}

// mexID is the form in which Giacom customer ids are compared and stored.
func mexID(s string) string { return strings.ToUpper(strings.TrimSpace(s)) }
