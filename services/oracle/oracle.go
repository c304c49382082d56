// Package oracle is the specification in code: from what Giacom holds, what Halo held at the
// beginning, the mappings and the rules, it says what Halo must hold in the end, and it compares that
// with what Halo does hold, field by field. It shares no code with the services; where it and they
// disagree, one of them is wrong.
//
// It is a fold: every run of the fetcher is told to Observe, and what it expects is the initial state
// carried forward. Ids of what has been created are not foreseen: created customers and licences are
// recognised by their marks, created lines by the licence that they link.
package oracle

import (
	"maps"
	"slices"
	"time"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// Settings are everything besides Giacom and Halo that decides what Halo must hold.
type Settings struct {
	Connection *connectionv1.Connection
	Rules      []*pricingv1.PriceRule

	// What people decided. Keys: Giacom customer ids, upper case, and subscription keys.
	Mapped   map[string]int64  // to this Halo client
	Ignored  map[string]string // for this reason
	Create   map[string]bool   // although there is a near match
	Excluded map[string]string // subscriptions left unbilled
	Assigned map[string]int64  // subscriptions of another client
}

// Run of the fetcher.
type Run struct {
	Scheduled bool
	// Complete: every page came; only then may anything count as missing.
	Complete bool
	At       time.Time
	// Released: a person lets a run go that the guards hold.
	Released bool
}

// Oracle carries the expectation forward.
type Oracle struct {
	settings Settings
	state    halosim.State
	rows     map[string]*subscription
	names    map[string]string // of Giacom customers, by id
	clients  map[string]int64  // mapped Halo client, by Giacom customer id
	created  map[string]bool   // Giacom customers whose Halo client Seatline made
	fixed    map[int64]string  // fixed lines and the subscription they bill
	renewed  map[int64]string  // licences that renewals take over as soon as that may be written, and their marks
	nextID   int64
	now      time.Time // of the last run: what the quiet before an invoice run depends on
	waiting  []Waiting
	index    index
}

// Waiting is something that is deliberately not in Halo as Giacom has it, and why.
type Waiting struct {
	Kind, Key, Code string
}

// subscription is one of Giacom's and what has been seen of it.
type subscription struct {
	row
	misses    int
	firstMiss time.Time
	removed   bool  // proven
	scheduled bool  // by a scheduled run
	left      int64 // Halo client that its licence was moved away from by the last write
}

func (s *subscription) absent() bool { return s.misses > 0 && !s.removed }

// firstOwnID is where the ids of things begin that the oracle makes itself.
const firstOwnID = 1 << 40

// New starts from what Halo held before anything was synced.
func New(initial halosim.State, settings Settings) *Oracle {
	return &Oracle{
		settings: settings, state: clone(initial), rows: map[string]*subscription{}, names: map[string]string{},
		clients: map[string]int64{}, created: map[string]bool{}, fixed: map[int64]string{}, renewed: map[int64]string{}, nextID: firstOwnID,
	}
}

// SetSettings replaces the settings, as an operator would; the next Observe or Settle applies them.
func (o *Oracle) SetSettings(s Settings) { o.settings = s }

// Unmap forgets which Halo client a customer is, as an operator would who removes its mapping: the rules look anew.
func (o *Oracle) Unmap(mexID string) { delete(o.clients, mexID) }

// Observe tells the oracle of a run. It answers whether the guards hold it; then nothing of it counts.
func (o *Oracle) Observe(account giacomsim.Account, run Run) (held bool) {
	rows := read(account, o.settings.Connection.GetGiacom())
	if !run.Released && o.guarded(rows, run) {
		return true
	}
	for mexID, name := range customerNames(account, rows, o.settings.Connection.GetGiacom()) {
		o.names[mexID] = name
	}
	for key, r := range rows {
		s := o.rows[key]
		if s == nil {
			s = &subscription{}
			o.rows[key] = s
		}
		gone := r.status == "cancelled" || r.status == "deleted"
		*s = subscription{row: r, left: s.left, removed: gone, scheduled: gone && (run.Scheduled || s.removed && s.scheduled)}
	}
	if run.Complete {
		for key, s := range o.rows {
			if _, ok := rows[key]; !ok {
				o.miss(s, run)
			}
		}
	}
	o.Settle(run.At)
	return false
}

func (o *Oracle) miss(s *subscription, run Run) {
	if s.removed {
		s.scheduled = s.scheduled || run.Scheduled
		return
	}
	if s.misses == 0 {
		s.firstMiss = run.At
	}
	s.misses++
	if o.proven(s, run) {
		s.removed, s.scheduled = true, run.Scheduled
	}
}

func (o *Oracle) proven(s *subscription, run Run) bool {
	confirmations, interval := 2, time.Hour
	g := o.settings.Connection.GetGuards()
	if g.GetRemovalConfirmations() > 0 {
		confirmations = int(g.GetRemovalConfirmations())
	}
	if g.GetRemovalInterval() != nil {
		interval = g.GetRemovalInterval().AsDuration()
	}
	return s.misses >= confirmations && (s.misses == 1 || run.At.Sub(s.firstMiss) >= interval)
}

// guarded: would this run prove too many removals at once?
func (o *Oracle) guarded(rows map[string]row, run Run) bool {
	live, removals := 0, 0
	customers, vanishing, lost := map[string]int{}, map[string]int{}, map[string]bool{}
	stays := map[string]bool{}
	for _, r := range rows {
		stays[r.mexID] = stays[r.mexID] || r.status != "cancelled" && r.status != "deleted"
	}
	for key, s := range o.rows {
		if s.removed {
			continue
		}
		live++
		customers[s.mexID]++
		r, present := rows[key]
		next := *s
		switch {
		case !present && run.Complete:
			o.miss(&next, run)
			lost[s.mexID] = lost[s.mexID] || next.removed
		case present:
			next.removed = r.status == "cancelled" || r.status == "deleted"
		}
		if next.removed {
			removals++
			vanishing[s.mexID]++
		}
	}
	g := o.settings.Connection.GetGuards()
	if !g.GetAllowCustomerRemoval() {
		for mexID, n := range vanishing {
			if n == customers[mexID] && lost[mexID] && !stays[mexID] { // a status is Giacom's own word: not vanished
				return true
			}
		}
	}
	most, percent := 3, 2.0
	if g.GetMaxRemovals() > 0 {
		most = int(g.GetMaxRemovals())
	}
	if g.GetMaxRemovalPercent() > 0 {
		percent = g.GetMaxRemovalPercent()
	}
	return removals > most && float64(removals) > float64(live)*percent/100
}

// Settle carries the state forward to where everything that may happen by now has happened.
func (o *Oracle) Settle(now time.Time) {
	o.now = now
	o.waiting = nil
	before := *o
	before.state, before.clients = clone(o.state), maps.Clone(o.clients)
	before.created, before.fixed = maps.Clone(o.created), maps.Clone(o.fixed)
	o.customers()
	o.licences()
	o.haloFollows(before.state.Licences)
	o.lines()
	if o.settings.Connection.GetMode() == connectionv1.Mode_MODE_OBSERVE { // everything is shown, nothing is written
		o.renewed = o.renewals(before.state.Licences)
		o.state, o.clients, o.created, o.fixed = before.state, before.clients, before.created, before.fixed
		for _, s := range o.rows {
			s.left = 0
		}
	}
}

// Expected is what Halo must hold now.
func (o *Oracle) Expected() halosim.State { return clone(o.state) }

// Waiting lists what is parked or held, in no particular order.
func (o *Oracle) Waiting() []Waiting { return o.waiting }

func (o *Oracle) wait(kind, key, code string) {
	o.waiting = append(o.waiting, Waiting{kind, key, code})
}

func (o *Oracle) id() int64 {
	o.nextID++
	return o.nextID
}

// clone copies a state so deeply that the copies share nothing that the oracle writes.
func clone(s halosim.State) halosim.State {
	s.Clients, s.Licences, s.Invoices = slices.Clone(s.Clients), slices.Clone(s.Licences), slices.Clone(s.Invoices)
	for i := range s.Clients {
		s.Clients[i].CustomFields = slices.Clone(s.Clients[i].CustomFields)
	}
	for i := range s.Invoices {
		s.Invoices[i].Lines = slices.Clone(s.Invoices[i].Lines)
		for j := range s.Invoices[i].Lines {
			l := &s.Invoices[i].Lines[j]
			l.Subscriptions, l.ProRata = slices.Clone(l.Subscriptions), slices.Clone(l.ProRata)
		}
	}
	return s
}
