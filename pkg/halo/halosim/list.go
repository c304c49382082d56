package halosim

import (
	"bytes"
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// serveGet answers a list, or one object with all its details. Unknown arguments are ignored [L].
func (s *Sim) serveGet(w http.ResponseWriter, r *http.Request, q request, f struck) {
	args := r.URL.Query()
	s.mu.Lock()
	var body []byte
	if q.hasID {
		if body = s.detail(q); body != nil && q.name == "/RecurringInvoice" {
			s.note(Entry{By: process(r), Kind: "invoice", ID: q.id})
		}
	} else {
		body = s.list(q, args, f)
	}
	s.mu.Unlock()
	if body == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = w.Write(body)
}

// detail is one object whole, nil if there is none.
func (s *Sim) detail(q request) []byte {
	switch q.name {
	case "/Client":
		return one(s.clients, q.id)
	case "/Site":
		return one(s.sites, q.id)
	case "/TopLevel":
		return one(s.topLevels, q.id)
	case "/Item":
		return one(s.items, q.id)
	case "/SoftwareLicence":
		return one(s.licences, q.id)
	case "/ExternalLink":
		return one(s.links, q.id)
	case "/RecurringInvoice":
		if inv, ok := s.invoices.byID[q.id]; ok {
			s.calculate(inv)
		}
		return one(s.invoices, q.id)
	}
	return nil
}

func one[T any](t table[T], id int64) []byte {
	if row, ok := t.byID[id]; ok {
		return shown(*row)
	}
	return nil
}

func (s *Sim) list(q request, args url.Values, f struck) []byte {
	number := func(name string) int64 { n, _ := strconv.ParseInt(args.Get(name), 10, 64); return n }
	client, search, inactive := number("client_id"), strings.ToLower(args.Get("search")), args.Get("includeinactive") == "true"
	matches := func(name string) bool { return search == "" || strings.Contains(strings.ToLower(name), search) }
	p := s.paging(args, f)
	switch q.name {
	case "/Control":
		return raw(s.control)
	case "/TopLevel":
		return page(p, "tree", pick(s.topLevels.rows, func(o *TopLevel) bool { return matches(o.Name) }), func(o *TopLevel) []byte { return raw(*o) })
	case "/Client":
		var since Date
		_ = since.UnmarshalJSON(raw(args.Get("lastupdatefromdate"))) // an unreadable date filters nothing
		top := number("toplevel_id")
		rows := pick(s.clients.rows, func(o *Client) bool {
			return (inactive || !o.Inactive) && (top == 0 || o.TopLevelID == top) && matches(o.Name) && !o.Updated.Before(since.Time)
		})
		tenants := args.Get("includeazuretenants") == "true"
		return page(p, "clients", rows, func(o *Client) []byte { return s.clientRow(o, tenants) })
	case "/Site":
		rows := pick(s.sites.rows, func(o *Site) bool { return (client == 0 || o.ClientID == client) && (inactive || !o.Inactive) })
		addresses := args.Get("includeaddress") == "true"
		return page(p, "sites", rows, func(o *Site) []byte {
			if addresses {
				return raw(*o)
			}
			thin := *o
			thin.Address = Address{}
			return raw(thin)
		})
	case "/Users":
		site := number("site_id")
		rows := pick(s.users.rows, func(o *User) bool {
			return (client == 0 || o.ClientID == client) && (site <= 0 || o.SiteID == site) && (inactive || !o.Inactive) &&
				(args.Get("exclude_generaluser") != "true" || o.Name != "General User") && (args.Get("includeserviceaccount") != "false" || !o.ServiceAccount)
		})
		return page(p, "users", rows, func(o *User) []byte { return raw(*o) })
	case "/Item":
		return page(p, "items", pick(s.items.rows, func(o *Item) bool { return matches(o.Name) }), func(o *Item) []byte { return raw(*o) })
	case "/SoftwareLicence":
		rows := s.licences.rows
		kind := args.Get("licence_type")
		if client != 0 || !inactive || kind != "" || search != "" {
			rows = pick(rows, func(o *Licence) bool {
				return (client == 0 || o.ClientID == client) && (inactive || o.IsActive && !o.Deleted) &&
					(kind == "" || kind == strconv.FormatInt(o.Type, 10)) && matches(o.Name)
			})
		}
		return page(p, "licences", rows, s.licenceRow)
	case "/LicenceChange":
		id := number("licence_id")
		rows := pick(pointers(s.licenceChanges), func(o *LicenceChange) bool { return id == 0 || o.LicenceID == id })
		return page(p, "changes", rows, func(o *LicenceChange) []byte { return raw(*o) })
	case "/InvoiceChange":
		id, line := number("invoice_id"), number("line_id")
		rows := pick(pointers(s.invoiceChanges), func(o *InvoiceChange) bool { return (id == 0 || o.InvoiceID == id) && (line == 0 || o.LineID == line) })
		return page(p, "changes", rows, func(o *InvoiceChange) []byte { return raw(*o) })
	case "/RecurringInvoice":
		rows := s.invoices.rows
		if client != 0 {
			rows = pick(rows, func(o *Invoice) bool { return o.ClientID == client })
		}
		lines := args.Get("includelines") == "true"
		return page(p, "invoices", rows, func(o *Invoice) []byte { return s.invoiceRow(o, lines) })
	case "/ExternalLink":
		table, module, halo, party := number("table_id"), number("module_id"), number("halo_id"), args.Get("third_party_id")
		rows := pick(s.links.rows, func(o *Link) bool {
			return (table == 0 || o.TableID == table) && (module == 0 || o.ModuleID == module) && (halo == 0 || o.HaloID == halo) && (party == "" || o.ThirdPartyID == party)
		})
		return page(p, "external_links", rows, func(o *Link) []byte { return raw(*o) })
	}
	return nil
}

func pick[T any](rows []*T, keep func(*T) bool) []*T {
	var kept []*T
	for _, row := range rows {
		if keep(row) {
			kept = append(kept, row)
		}
	}
	return kept
}

func pointers[T any](rows []T) []*T {
	all := make([]*T, len(rows))
	for i := range rows {
		all[i] = &rows[i]
	}
	return all
}

// Rows of lists are thinner than the objects themselves [C].

// clientRow carries the domain [G], and the tenant if it was asked for [S].
func (s *Sim) clientRow(o *Client, tenants bool) []byte {
	tenant := ""
	if tenants {
		tenant = o.Tenant
	}
	return raw(struct {
		ID           int64  `json:"id"`
		Name         string `json:"name"`
		TopLevelID   int64  `json:"toplevel_id"`
		TopLevelName string `json:"toplevel_name"`
		Inactive     bool   `json:"inactive"`
		MainSiteID   int64  `json:"main_site_id"`
		MainSiteName string `json:"main_site_name"`
		AccountsID   string `json:"accountsid"`
		Ref          string `json:"ref"`
		Colour       string `json:"colour"`
		Domain       string `json:"domain,omitempty"`
		Website      string `json:"website,omitempty"`
		Tenant       string `json:"azure_tenant_id,omitempty"`
		Updated      Date   `json:"alastupdate"`
	}{o.ID, o.Name, o.TopLevelID, o.TopLevelName, o.Inactive, o.MainSiteID, o.MainSiteName, o.AccountsID, o.Ref, o.Colour, o.Domain, o.Website, tenant, o.Updated})
}

func (s *Sim) licenceRow(o *Licence) []byte {
	type plain Licence
	thin := struct {
		plain
		Notes  *string `json:"notes,omitempty"` // hides the field of the whole licence
		SnowID *string `json:"snowid,omitempty"`
	}{plain: plain(*o)}
	if !s.cfg.NoListMarks {
		thin.SnowID = &o.SnowID
	}
	return raw(thin)
}

func (s *Sim) invoiceRow(o *Invoice, lines bool) []byte {
	s.calculate(o)
	row := map[string]any{
		"id": o.ID, "client_id": o.ClientID, "client_name": o.ClientName, "total": o.Total, "disabled": o.Disabled, "period": o.Period,
		"nextcreationdate": o.NextCreation, "lastcreated": o.LastCreated, "is_recurring_invoice": true, "change_seq": o.ChangeSeq,
	}
	switch {
	case !lines || s.cfg.InvoiceLines == LinesAbsent:
	case s.cfg.InvoiceLines == LinesThin:
		type thin struct {
			ID        int64  `json:"id"`
			Name      string `json:"item_shortdescription"`
			Quantity  Money  `json:"qty_order"`
			UnitPrice Money  `json:"unit_price"`
		}
		all := make([]thin, len(o.Lines))
		for i, l := range o.Lines {
			all[i] = thin{l.ID, l.Name, l.Quantity, l.UnitPrice}
		}
		row["lines"] = all
	default:
		return withLines(raw(row), o.Lines)
	}
	return raw(row)
}

// paging is what of a list is asked for.
type paging struct {
	enveloped bool
	no, size  int
	quirk     bool   // no page_no came
	wrong     int    // added to the count announced
	order     string // a field to order by, of those that everything has
	desc      bool
}

// paging reads Halo's arguments: pageinate without page_no ignores page_size and answers 50 [L]; without pageinate, count
// limits, 50 by default.
func (s *Sim) paging(args url.Values, f struck) paging {
	number := func(name string) int { n, _ := strconv.Atoi(args.Get(name)); return n }
	p := paging{no: 1, size: 50, order: strings.ToLower(args.Get("order")), desc: args.Get("orderdesc") == "true"}
	if s.cfg.IgnoreOrder {
		p.order, p.desc = "", false
	}
	if strings.EqualFold(args.Get("pageinate"), "true") {
		p.enveloped, p.quirk = true, args.Get("page_no") == ""
		if n := number("page_no"); n > 0 {
			p.no, p.size = n, cmp.Or(max(number("page_size"), 0), 50)
			if s.cfg.MaxPageSize > 0 {
				p.size = min(p.size, s.cfg.MaxPageSize)
			}
		}
	} else if n := number("count"); n > 0 {
		p.size = n
	}
	if f.Has("repeated_page") {
		p.no = 1
	}
	if f.Has("wrong_count") {
		p.wrong = 1
	}
	return p
}

// page writes one page of rows. Only what is shown is rendered.
func page[T any](p paging, key string, rows []*T, render func(*T) []byte) []byte {
	if p.desc && (p.order == "" || p.order == "id") {
		rows = slices.Clone(rows)
		slices.Reverse(rows)
	}
	from := min((p.no-1)*p.size, len(rows))
	shown := rows[from:min(from+p.size, len(rows))]
	count := len(rows)
	var b bytes.Buffer
	b.WriteByte('{')
	if p.enveloped {
		if p.quirk {
			count = len(shown) // as if that were all [L]
		}
		b.WriteString(`"page_no":` + strconv.Itoa(p.no) + `,"page_size":` + strconv.Itoa(p.size) + `,`)
	}
	b.WriteString(`"record_count":` + strconv.Itoa(count+p.wrong) + `,"` + key + `":[`)
	for i, row := range shown {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(render(row))
	}
	b.WriteString("]}")
	return b.Bytes()
}
