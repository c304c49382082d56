package halosim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Entry of the journal: that an object was written, or that a recurring invoice was read by itself, as its writers do.
type Entry struct {
	Seq int `json:"seq"`
	// By is the process that asked: its User-Agent and the token it was given, which no two processes share.
	By    string `json:"by"`
	Write bool   `json:"write"`
	// Kind is client, licence, invoice, or line for a line of an invoice that is another than before, new or gone.
	Kind    string `json:"kind"`
	ID      int64  `json:"id"`
	Invoice int64  `json:"invoice,omitempty"` // of a line
	Created bool   `json:"created,omitempty"`
	// Changed says that something is other than before; a write that did not change anything was not needed.
	Changed bool            `json:"changed"`
	Sent    json.RawMessage `json:"sent,omitempty"` // of a client or licence, its fields as they were sent
}

// Journal is what was noted last, oldest first: as much as the configuration asks for.
func (s *Sim) Journal() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.journal)
}

// process names who sent a request.
func process(r *http.Request) string {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return r.UserAgent() + " " + bearer
}

// note adds an entry, and forgets the oldest beyond the limit. The caller holds the lock.
func (s *Sim) note(e Entry) {
	if s.cfg.Journal == 0 {
		return
	}
	s.noted++
	e.Seq = s.noted
	if len(s.journal) >= s.cfg.Journal {
		s.journal = slices.Delete(s.journal, 0, len(s.journal)/4+1)
	}
	s.journal = append(s.journal, e)
}

var kinds = map[string]string{"/Client": "client", "/SoftwareLicence": "licence", "/RecurringInvoice": "invoice"}

// written writes a row, and notes what came of it.
func (s *Sim) written(p posted, row object) (any, string) {
	kind := kinds[p.route]
	if s.cfg.Journal == 0 || kind == "" {
		return p.write(row)
	}
	id := row.int("id")
	before, linesBefore := s.look(kind, id)
	last := map[string]int64{"client": s.clients.last, "licence": s.licences.last, "invoice": s.invoices.last}
	o, warning := p.write(row)
	e := Entry{By: p.by, Write: true, Kind: kind, ID: id, Created: id == 0}
	if e.Created {
		if e.ID = last[kind] + 1; kind == "invoice" {
			e.ID = last[kind] - 1
		}
	}
	if kind != "invoice" {
		e.Sent = raw(row)
	}
	after, linesAfter := s.look(kind, e.ID)
	e.Changed = !bytes.Equal(before, after)
	var lines []Entry
	for id, line := range linesAfter {
		if was, there := linesBefore[id]; !bytes.Equal(was, line) {
			lines = append(lines, Entry{By: p.by, Write: true, Kind: "line", ID: id, Invoice: e.ID, Created: !there, Changed: true})
		}
	}
	for id := range linesBefore {
		if linesAfter[id] == nil {
			lines = append(lines, Entry{By: p.by, Write: true, Kind: "line", ID: id, Invoice: e.ID, Changed: true})
		}
	}
	e.Changed = e.Changed || len(lines) > 0
	s.note(e)
	for _, l := range lines {
		s.note(l)
	}
	return o, warning
}

// look is an object without what moves with every write, whatever is written; and the lines of an invoice.
func (s *Sim) look(kind string, id int64) (o []byte, lines map[int64][]byte) {
	switch kind {
	case "client":
		if c := s.clients.byID[id]; c != nil {
			c := c.clone()
			c.Updated = Date{}
			o = raw(c)
		}
	case "licence":
		if l := s.licences.byID[id]; l != nil {
			o = raw(*l)
		}
	case "invoice":
		if inv := s.invoices.byID[id]; inv != nil {
			s.calculate(inv)
			lines = make(map[int64][]byte, len(inv.Lines))
			for _, l := range inv.Lines {
				lines[l.ID] = raw(l)
			}
			header := *inv
			header.Lines, header.ChangeSeq, header.Total = nil, 0, Money{}
			o = raw(header)
		}
	}
	return o, lines
}
