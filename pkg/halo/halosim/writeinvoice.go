package halosim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"seatline.dev/pkg/simulator"
)

var (
	invoiceReadOnly = []string{"id", "lines", "client_name", "total", "change_seq", "contains_calculated_quantity", "is_recurring_invoice"}
	lineReadOnly    = []string{"id", "ihid", "prorata_data"} // pro rata is Halo's own work; sending it back changes nothing
)

func (s *Sim) checkInvoice(i int, o object) *refusal {
	id := o.int("id")
	inv := s.invoices.byID[id]
	switch {
	case id != 0 && inv == nil:
		return notFound
	case id == 0 && s.clients.byID[o.int("client_id")] == nil:
		return refuse("Please select a Customer")
	}
	if _, sent := o["change_seq"]; sent && inv != nil && !s.cfg.IgnoreChangeSeq && string(o["ignore_change_seq"]) != "true" && o.int("change_seq") != inv.ChangeSeq {
		return &refusal{s.cfg.StaleStatus, exception(staleText)}
	}
	all := merge(&Invoice{}, o, at(i), invoiceReadOnly...)
	if all == nil {
		all = refusals{}
	}
	lines, r := linesOf(o, at(i))
	if r != nil {
		return r
	}
	for j, l := range lines {
		path := fmt.Sprintf("[%d].lines[%d]", i, j)
		if id := l.int("id"); id != 0 && inv != nil && !slices.ContainsFunc(inv.Lines, func(have Line) bool { return have.ID == id }) {
			return refuse(exception("A database error occurred (547) - The line does not belong to this invoice."))
		}
		var line Line
		for field, texts := range merge(&line, l, path, lineReadOnly...) {
			all[field] = texts
		}
		if r := s.checkRows(line, path); r != nil {
			return r
		}
	}
	return bad(all)
}

// checkRows wants the licences that a line links to exist.
func (s *Sim) checkRows(l Line, path string) *refusal {
	for _, field := range []struct {
		name string
		rows []QuantityRow
	}{{"quantity_subscriptions", l.Subscriptions}, {"quantity_licences", l.Licences}} {
		for j, r := range field.rows {
			if r.LicenceID > 0 && s.licences.byID[r.LicenceID] == nil {
				return refuse(refusals{fmt.Sprintf("%s.%s[%d].licence_id", path, field.name, j): {"There is no such licence."}})
			}
		}
	}
	return nil
}

func linesOf(o object, path string) ([]object, *refusal) {
	b, sent := o["lines"]
	if !sent || string(b) == "null" {
		return nil, nil
	}
	var lines []object
	if json.Unmarshal(b, &lines) != nil {
		return nil, refuse(refusals{path + ".lines": {"Could not convert to array."}})
	}
	return lines, nil
}

// writeInvoice merges the header. The lines sent are the lines from then on, each as sent, unless the options say that
// missing lines and fields stay.
func (s *Sim) writeInvoice(o object) (any, string) {
	id := o.int("id")
	if id == 0 {
		id = s.addInvoice(Invoice{Period: 2, ClientID: o.int("client_id")})
	}
	inv := s.invoices.byID[id]
	stored := object{}
	for name, v := range o {
		if name[0] != '_' && name != "ignore_change_seq" {
			stored[name] = v
		}
	}
	merge(inv, stored, "", invoiceReadOnly...)
	if _, sent := o["lines"]; sent {
		lines, _ := linesOf(o, "")
		s.writeLines(inv, lines, s.cfg.KeepMissingLines)
	}
	inv.ChangeSeq++
	s.complete(inv)
	return inv.clone(), ""
}

// writeLine adds a line to the invoice it names by ihid, or changes one field by field.
func (s *Sim) checkLine(i int, o object) *refusal {
	inv := s.invoices.byID[o.int("ihid")]
	if inv == nil {
		return notFound
	}
	if id := o.int("id"); id != 0 && !slices.ContainsFunc(inv.Lines, func(l Line) bool { return l.ID == id }) {
		return notFound
	}
	var line Line
	wrong := merge(&line, o, at(i), lineReadOnly...)
	if r := s.checkRows(line, at(i)); r != nil {
		return r
	}
	return bad(wrong)
}

func (s *Sim) writeLine(o object) (any, string) {
	inv := s.invoices.byID[o.int("ihid")]
	id := o.int("id")
	at := slices.IndexFunc(inv.Lines, func(l Line) bool { return l.ID == id })
	if at < 0 {
		at = len(inv.Lines)
		inv.Lines = append(inv.Lines, Line{})
	}
	was := inv.Lines[at].clone()
	merge(&inv.Lines[at], o, "", lineReadOnly...)
	inv.ChangeSeq++
	s.complete(inv)
	s.logLine(inv, was, inv.Lines[at])
	return inv.Lines[at].clone(), ""
}

func (s *Sim) writeLines(inv *Invoice, sent []object, keepMissing bool) {
	have := map[int64]Line{}
	for _, l := range inv.Lines {
		have[l.ID] = l
	}
	var lines []Line
	var before []Line
	for _, o := range sent {
		old, exists := have[o.int("id")]
		delete(have, old.ID)
		l := Line{ID: old.ID, ProRata: old.ProRata}
		if exists && s.cfg.MergeLines {
			l = old.clone()
		}
		merge(&l, o, "", lineReadOnly...)
		lines, before = append(lines, l), append(before, old)
	}
	for _, l := range inv.Lines {
		if _, missing := have[l.ID]; !missing {
			continue
		}
		if keepMissing {
			lines, before = append(lines, l), append(before, l)
		} else {
			s.logInvoice(inv.ID, l.ID, "line", l.Name, "", s.cfg.ClientID)
		}
	}
	inv.Lines = lines
	s.complete(inv)
	for i := range lines {
		s.logLine(inv, before[i], inv.Lines[i])
	}
}

func (s *Sim) logLine(inv *Invoice, was, now Line) {
	linked := func(l Line) (ids []int64) {
		for _, r := range l.Subscriptions {
			ids = append(ids, r.LicenceID)
		}
		return ids
	}
	for _, f := range []struct{ name, old, now string }{
		{"item_shortdescription", was.Name, now.Name}, {"unit_price", was.UnitPrice.String(), now.UnitPrice.String()},
		{"unit_cost", was.UnitCost.String(), now.UnitCost.String()}, {"qty_order", was.Quantity.String(), now.Quantity.String()},
		{"quantity_subscriptions", fmt.Sprint(linked(was)), fmt.Sprint(linked(now))}, {"isinactive", fmt.Sprint(was.Inactive), fmt.Sprint(now.Inactive)},
	} {
		if f.old != f.now {
			s.logInvoice(inv.ID, now.ID, f.name, f.old, f.now, s.cfg.ClientID)
		}
	}
}

// servePostProcess makes an invoice from each recurring one named, due or not.
func (s *Sim) servePostProcess(w http.ResponseWriter, body []byte) {
	var ids []int64
	if json.Unmarshal(body, &ids) != nil {
		refuse(exception("The request body must be an array of integers.")).answer(w)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made := []Billed{}
	for _, id := range ids {
		inv, ok := s.invoices.byID[id]
		if !ok {
			notFound.answer(w)
			return
		}
		made = append(made, s.bill(inv))
	}
	simulator.WriteJSON(w, http.StatusCreated, made)
}
