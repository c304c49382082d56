package halosim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// State is a copy of everything an instance holds, in the order of ids as Halo lists them (recurring invoices: -1, -2, …).
type State struct {
	TopLevels      []TopLevel      `json:"toplevels"`
	Clients        []Client        `json:"clients"`
	Sites          []Site          `json:"sites"`
	Users          []User          `json:"users"`
	Items          []Item          `json:"items"`
	Licences       []Licence       `json:"licences"`
	Invoices       []Invoice       `json:"invoices"`
	Links          []Link          `json:"links"`
	Control        Control         `json:"control"`
	LicenceChanges []LicenceChange `json:"licence_changes"`
	InvoiceChanges []InvoiceChange `json:"invoice_changes"`
	// CustomFields that clients may have. A field that is not defined is ignored with a warning.
	CustomFields []string `json:"custom_fields"`
}

// JSON is the state in one canonical form: equal states give equal bytes.
func (s State) JSON() []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, raw(s), "", " "); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// table keeps objects of one kind in the order of their making.
type table[T any] struct {
	rows []*T
	byID map[int64]*T
	last int64
}

func newTable[T any](rows []T, id func(*T) *int64, copied func(T) T, down bool) table[T] {
	t := table[T]{byID: make(map[int64]*T, len(rows)), rows: make([]*T, 0, len(rows))}
	for _, row := range rows {
		row := copied(row)
		if *id(&row) == 0 {
			*id(&row) = t.id(down)
		}
		t.put(*id(&row), &row)
	}
	return t
}

// id is the next free one; recurring invoices count downwards [C].
func (t *table[T]) id(down bool) int64 {
	if down {
		return t.last - 1
	}
	return t.last + 1
}

func (t *table[T]) put(id int64, row *T) {
	if abs(id) > abs(t.last) {
		t.last = id
	}
	t.rows, t.byID[id] = append(t.rows, row), row
}

func (t *table[T]) drop(id int64) {
	row := t.byID[id]
	delete(t.byID, id)
	t.rows = slices.DeleteFunc(t.rows, func(r *T) bool { return r == row })
}

func (t *table[T]) copy(copied func(T) T) []T {
	all := make([]T, len(t.rows))
	for i, row := range t.rows {
		all[i] = copied(*row)
	}
	return all
}

func abs(n int64) int64 { return max(n, -n) }

func same[T any](v T) T { return v }

// Set replaces everything the instance holds. Objects without an id are given one. Rates, faults and counts stay.
func (s *Sim) Set(state State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topLevels = newTable(state.TopLevels, func(o *TopLevel) *int64 { return &o.ID }, same, false)
	s.clients = newTable(state.Clients, func(o *Client) *int64 { return &o.ID }, Client.clone, false)
	s.sites = newTable(state.Sites, func(o *Site) *int64 { return &o.ID }, same, false)
	s.users = newTable(state.Users, func(o *User) *int64 { return &o.ID }, same, false)
	s.items = newTable(state.Items, func(o *Item) *int64 { return &o.ID }, same, false)
	s.licences = newTable(state.Licences, func(o *Licence) *int64 { return &o.ID }, same, false)
	s.invoices = newTable(state.Invoices, func(o *Invoice) *int64 { return &o.ID }, Invoice.clone, true)
	s.links = newTable(state.Links, func(o *Link) *int64 { return &o.ID }, same, false)
	s.control = state.Control
	s.licenceChanges, s.invoiceChanges = slices.Clone(state.LicenceChanges), slices.Clone(state.InvoiceChanges)
	if s.customFields = slices.Clone(state.CustomFields); s.customFields == nil {
		s.customFields = []string{"CFGiacomCustomerId"}
	}
	s.lineID, s.rowID, s.proRataID = 0, 0, 0
	for _, inv := range s.invoices.rows {
		for _, l := range inv.Lines {
			s.lineID = max(s.lineID, l.ID)
			for _, rows := range [][]QuantityRow{l.Subscriptions, l.Licences, l.Users, l.Assets} {
				for _, r := range rows {
					s.rowID = max(s.rowID, r.ID)
				}
			}
			for _, r := range l.ProRata {
				s.proRataID = max(s.proRataID, r.ID)
			}
		}
	}
	for _, l := range s.licences.rows {
		l.ClientName = s.clientName(l.ClientID)
	}
	s.linked = map[int64]map[int64]bool{}
	for _, inv := range s.invoices.rows {
		s.complete(inv)
	}
}

// State copies everything out. Quantities of calculated lines and totals are as Halo would show them.
func (s *Sim) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, inv := range s.invoices.rows {
		s.calculate(inv)
	}
	control := s.control
	control.GiacomMappings, control.IntyMappings = slices.Clone(control.GiacomMappings), slices.Clone(control.IntyMappings)
	return State{
		TopLevels: s.topLevels.copy(same), Clients: s.clients.copy(Client.clone), Sites: s.sites.copy(same), Users: s.users.copy(same),
		Items: s.items.copy(same), Licences: s.licences.copy(same), Invoices: s.invoices.copy(Invoice.clone), Links: s.links.copy(same),
		Control: control, LicenceChanges: slices.Clone(s.licenceChanges), InvoiceChanges: slices.Clone(s.invoiceChanges),
		CustomFields: slices.Clone(s.customFields),
	}
}

// EditClient, EditLicence and EditInvoice change an object as a person in Halo's own screens would.
func (s *Sim) EditClient(id int64, change func(*Client)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.clients.byID[id]
	if !ok {
		return fmt.Errorf("no client %d", id)
	}
	change(c)
	c.ID, c.Updated = id, s.now()
	return nil
}

// EditLicence runs Halo's own consequences too: pro rata, the change log, the state of linked lines.
func (s *Sim) EditLicence(id int64, change func(*Licence)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.licences.byID[id]
	if !ok {
		return fmt.Errorf("no licence %d", id)
	}
	was := *l
	change(l)
	l.ID = id
	s.licenceChanged(was, l)
	return nil
}

// EditInvoice moves change_seq on, as any writer's change does.
func (s *Sim) EditInvoice(id int64, change func(*Invoice)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	inv, ok := s.invoices.byID[id]
	if !ok {
		return fmt.Errorf("no recurring invoice %d", id)
	}
	change(inv)
	inv.ID = id
	inv.ChangeSeq++
	s.complete(inv)
	return nil
}

// EditControl changes the settings.
func (s *Sim) EditControl(change func(*Control)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.control)
}

// AddClient, AddLicence and AddInvoice add an object as a person would, and say which id it got.
func (s *Sim) AddClient(c Client) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addClient(c, "Main")
}

func (s *Sim) AddLicence(l Licence) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addLicence(l)
}

func (s *Sim) AddInvoice(inv Invoice) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addInvoice(inv.clone())
}

func (s *Sim) addClient(c Client, site string) int64 {
	c.ID, c.Updated = s.clients.id(false), s.now()
	if c.TopLevelID == 0 && len(s.topLevels.rows) > 0 {
		c.TopLevelID = s.topLevels.rows[0].ID
	}
	at := Site{ID: s.sites.id(false), Name: site, ClientID: c.ID, ClientName: c.Name}
	c.MainSiteID, c.MainSiteName = at.ID, at.Name
	s.sites.put(at.ID, &at)
	s.clients.put(c.ID, &c)
	return c.ID
}

func (s *Sim) addLicence(l Licence) int64 {
	l.ID, l.ClientName = s.licences.id(false), s.clientName(l.ClientID)
	s.licences.put(l.ID, &l)
	s.licenceChanges = append(s.licenceChanges, LicenceChange{ID: int64(len(s.licenceChanges) + 1), LicenceID: l.ID, Date: s.now(), New: l.Count})
	return l.ID
}

func (s *Sim) addInvoice(inv Invoice) int64 {
	inv.ID = s.invoices.id(true)
	s.invoices.put(inv.ID, &inv)
	s.complete(&inv)
	return inv.ID
}

func (s *Sim) clientName(id int64) string {
	if c, ok := s.clients.byID[id]; ok {
		return c.Name
	}
	return ""
}
