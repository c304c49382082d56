package halosim

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

var clientReadOnly = []string{"id", "customfields", "alastupdate", "main_site_id", "main_site_name", "toplevel_name"}

func (s *Sim) checkClient(i int, o object) *refusal {
	var c Client
	if id := o.int("id"); id != 0 && s.clients.byID[id] == nil {
		return notFound
	} else if id == 0 {
		name := strings.TrimSpace(o.text("name"))
		if name == "" {
			return refuse("Customer Name must not be blank")
		}
		if s.cfg.UniqueClientNames && slices.ContainsFunc(s.clients.rows, func(c *Client) bool { return strings.EqualFold(c.Name, name) }) {
			return refuse("Customer Name must be unique")
		}
	}
	if top := o.int("toplevel_id"); top != 0 && s.topLevels.byID[top] == nil {
		return refuse(exception("A database error occurred (547) - The INSERT statement conflicted with the FOREIGN KEY constraint on Tree."))
	}
	return bad(merge(&c, o, at(i), clientReadOnly...))
}

// writeClient makes a site with a new client, called Main unless newclient_sitename says otherwise [G].
func (s *Sim) writeClient(o object) (any, string) {
	id := o.int("id")
	if id == 0 {
		site := o.text("newclient_sitename")
		if site == "" {
			site = "Main"
		}
		id = s.addClient(Client{Name: o.text("name"), Colour: "#000000"}, site)
	}
	c := s.clients.byID[id]
	was := c.Name
	merge(c, withoutHelpers(o), "", clientReadOnly...)
	if t := s.topLevels.byID[c.TopLevelID]; t != nil {
		c.TopLevelName = t.Name
	}
	warning := s.writeCustomFields(c, o["customfields"])
	if c.Updated = s.now(); was != c.Name {
		for _, l := range s.licences.rows {
			if l.ClientID == id {
				l.ClientName = c.Name
			}
		}
		for _, inv := range s.invoices.rows {
			if inv.ClientID == id {
				inv.ClientName = c.Name
			}
		}
		for _, site := range s.sites.rows {
			if site.ClientID == id {
				site.ClientName = c.Name
			}
		}
	}
	return c.clone(), warning
}

// withoutHelpers drops what only instructs the creation and is stored nowhere.
func withoutHelpers(o object) object {
	kept := object{}
	for name, v := range o {
		if !strings.HasPrefix(name, "newclient_") && !strings.HasPrefix(name, "_") {
			kept[name] = v
		}
	}
	return kept
}

func (s *Sim) writeCustomFields(c *Client, b json.RawMessage) (warning string) {
	var sent []CustomField
	_ = json.Unmarshal(b, &sent)
	c.CustomFields = slices.Clone(c.CustomFields)
	for _, f := range sent {
		at := slices.IndexFunc(s.customFields, func(name string) bool { return strings.EqualFold(name, f.Name) })
		if f.Name == "" {
			at = int(f.ID) - 1
		}
		if at < 0 || at >= len(s.customFields) {
			warning = fmt.Sprintf("Custom field '%s' does not exist and was ignored.", f.Name)
			continue
		}
		f.ID, f.Name, f.Label = int64(at+1), s.customFields[at], strings.TrimPrefix(s.customFields[at], "CF")
		if i := slices.IndexFunc(c.CustomFields, func(have CustomField) bool { return have.Name == f.Name }); i >= 0 {
			c.CustomFields[i].Value = f.Value
		} else {
			c.CustomFields = append(c.CustomFields, f)
		}
	}
	return warning
}

func (s *Sim) checkSite(i int, o object) *refusal {
	id := o.int("id")
	if id != 0 && s.sites.byID[id] == nil {
		return notFound
	}
	if id == 0 && (o.text("name") == "" || s.clients.byID[o.int("client_id")] == nil) {
		return refuse(exception("A database error occurred (515) - Cannot insert the value NULL into column 'SArea'."))
	}
	return bad(merge(&Site{}, o, at(i), "id", "client_name"))
}

func (s *Sim) writeSite(o object) (any, string) {
	id := o.int("id")
	if id == 0 {
		id = s.sites.id(false)
		s.sites.put(id, &Site{ID: id})
	}
	site := s.sites.byID[id]
	merge(site, o, "", "id", "client_name")
	site.ClientName = s.clientName(site.ClientID)
	return *site, ""
}

var licenceReadOnly = []string{"id", "client_name", "licences_in_use"}

// checkLicence wants client_id with updates too: public clients always send it [C].
func (s *Sim) checkLicence(i int, o object) *refusal {
	id := o.int("id")
	switch {
	case id != 0 && s.licences.byID[id] == nil:
		return notFound
	case s.clients.byID[o.int("client_id")] == nil:
		if r := bad(merge(&Licence{}, o, at(i), licenceReadOnly...)); r != nil {
			return r
		}
		return refuse(exception("A database error occurred (515) - Cannot insert the value NULL into column 'LArea'."))
	case id == 0 && o.text("name") == "":
		return refuse("Name must not be blank")
	}
	return bad(merge(&Licence{}, o, at(i), licenceReadOnly...))
}

func (s *Sim) writeLicence(o object) (any, string) {
	id := o.int("id")
	if id == 0 {
		l := Licence{IsActive: true, SiteID: -1}
		merge(&l, o, "", licenceReadOnly...)
		return *s.licences.byID[s.addLicence(l)], ""
	}
	l := s.licences.byID[id]
	was := *l
	merge(l, o, "", licenceReadOnly...)
	s.licenceChanged(was, l)
	return *l, ""
}

func (s *Sim) checkLink(i int, o object) *refusal {
	if id := o.int("id"); id != 0 && s.links.byID[id] == nil {
		return notFound
	}
	return bad(merge(&Link{}, o, at(i), "id"))
}

func (s *Sim) writeLink(o object) (any, string) {
	id := o.int("id")
	if id == 0 {
		id = s.links.id(false)
		s.links.put(id, &Link{ID: id})
	}
	merge(s.links.byID[id], o, "", "id")
	return *s.links.byID[id], ""
}

func (s *Sim) checkControl(i int, o object) *refusal { return bad(merge(&Control{}, o, at(i))) }

func (s *Sim) writeControl(o object) (any, string) {
	merge(&s.control, o, "")
	return s.control, ""
}
