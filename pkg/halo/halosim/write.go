package halosim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"seatline.dev/pkg/simulator"
)

// object is a posted row.
type object map[string]json.RawMessage

func (o object) int(name string) int64 {
	var n int64
	_ = read(o[name], &n) // what is no integer is refused by merge
	return n
}

func (o object) text(name string) string {
	var t string
	_ = read(o[name], &t)
	return t
}

// refusal is a reply that is no success.
type refusal struct {
	status int
	body   any // nil for none
}

func refuse(body any) *refusal { return &refusal{http.StatusBadRequest, body} }

var notFound = &refusal{status: http.StatusNotFound}

// check says whether a row would be accepted; write writes it and gives the object as it is then, with a warning if Halo has one.
type writer struct {
	check func(i int, o object) *refusal
	write func(o object) (any, string)
}

// posted are rows on their way to a writer.
type posted struct {
	writer
	route, by string
	rows      []object
}

// servePost writes rows: an array always [S], in order. A row that is refused refuses them all, unless PartialBatches.
func (s *Sim) servePost(w http.ResponseWriter, r *http.Request, q request, body []byte, f struck) {
	if q.sub == "process" {
		s.servePostProcess(w, body)
		return
	}
	rows, bad := s.rowsOf(body)
	if bad != nil {
		bad.answer(w)
		return
	}
	p := posted{route: q.route(), by: process(r), rows: rows}
	var ok bool
	if p.writer, ok = s.writers()[p.route]; !ok {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	for _, name := range []string{"late", "late_504"} {
		late, struck := f.Find(name)
		if !struck {
			continue
		}
		s.mu.Lock()
		s.late++
		s.mu.Unlock()
		s.cfg.Clock.AfterFunc(late.Delay, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.late--
			s.apply(p, f)
		})
		if name == "late_504" {
			gateway(w, http.StatusGatewayTimeout)
			return
		}
		<-r.Context().Done()
		return
	}
	s.mu.Lock()
	made, bad := s.apply(p, f)
	s.mu.Unlock()
	switch {
	case f.Has("cut_after"):
		panic(http.ErrAbortHandler)
	case f.Has("error_after"):
		simulator.WriteJSON(w, http.StatusInternalServerError, exception("Execution Timeout Expired."))
	case bad != nil:
		bad.answer(w)
	case f.Has("empty_reply") || len(made) == 0:
		w.WriteHeader(http.StatusCreated)
	case len(made) == 1 || s.cfg.ReplyLast:
		reply(w, made[len(made)-1])
	default:
		reply(w, append(append([]byte{'['}, bytes.Join(made, []byte{','})...), ']'))
	}
}

func reply(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body)
}

func (b *refusal) answer(w http.ResponseWriter) {
	if b.body == nil {
		w.WriteHeader(b.status)
		return
	}
	simulator.WriteJSON(w, b.status, b.body)
}

func (s *Sim) rowsOf(body []byte) ([]object, *refusal) {
	var rows []object
	if err := json.Unmarshal(body, &rows); err == nil {
		return rows, nil
	}
	var single object
	if json.Unmarshal(body, &single) != nil {
		return nil, refuse(exception("The request body is not valid JSON, or a row is not an object."))
	}
	if !s.cfg.AcceptObject {
		return nil, refuse(exception("Cannot deserialize the current JSON object into type 'System.Collections.Generic.List' because the type requires a JSON array."))
	}
	return []object{single}, nil
}

// apply writes rows and gives what a reply shows of each. The caller holds the lock.
func (s *Sim) apply(p posted, f struck) ([][]byte, *refusal) {
	rows := p.rows
	stop, bad := len(rows), (*refusal)(nil)
	for i, row := range rows {
		if bad = p.check(i, row); bad == nil {
			bad = s.faulty(f, i, len(rows), row)
		}
		if bad != nil {
			if stop = i; !s.cfg.PartialBatches && !f.Has("partial") {
				stop = 0
			}
			break
		}
	}
	if f.Has("ignored_write") {
		var made [][]byte
		for _, row := range rows {
			made = append(made, raw(row))
		}
		return made, nil
	}
	var made [][]byte
	for _, row := range rows[:stop] {
		if lines, ok := row["lines"]; ok && f.Has("lost_lines") {
			var all []json.RawMessage
			if json.Unmarshal(lines, &all) == nil && len(all) > 0 {
				row["lines"] = raw(all[:len(all)-1])
			}
		}
		o, warning := s.written(p, row)
		if f.Has("warning") {
			warning = "Simulated warning: please check this record."
		}
		b := shown(o)
		if warning != "" {
			b = append(append(b[:len(b)-1], `,"_warning":`...), append(raw(warning), '}')...)
		}
		made = append(made, b)
	}
	return made, bad
}

// faulty is the refusal of a row that a fault names.
func (s *Sim) faulty(f struck, i, n int, row object) *refusal {
	partial, isPartial := f.Find("partial")
	for _, one := range f.Struck {
		if one.Name == "bad_row" && named(row, one.Match) {
			return refuse(refusals{fmt.Sprintf("[%d].name", i): {"This record is refused by the simulator."}})
		}
	}
	if isPartial && (named(row, partial.Match) || partial.Match == "" && i == n/2) {
		return refuse(exception("A database error occurred (2627) - Violation of UNIQUE KEY constraint."))
	}
	return nil
}

// bad turns per-field messages into a refusal.
func bad(r refusals) *refusal {
	if len(r) == 0 {
		return nil
	}
	return refuse(r)
}

func (s *Sim) writers() map[string]writer {
	return map[string]writer{
		"/Client":                       {s.checkClient, s.writeClient},
		"/Site":                         {s.checkSite, s.writeSite},
		"/SoftwareLicence":              {s.checkLicence, s.writeLicence},
		"/RecurringInvoice":             {s.checkInvoice, s.writeInvoice},
		"/RecurringInvoice/Lines":       {s.checkLine, s.writeLine},
		"/RecurringInvoice/updatelines": {s.checkLine, s.writeLine},
		"/ExternalLink":                 {s.checkLink, s.writeLink},
		"/Control":                      {s.checkControl, s.writeControl},
	}
}

func at(i int) string { return fmt.Sprintf("[%d]", i) }
