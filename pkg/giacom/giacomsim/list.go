package giacomsim

import (
	"bufio"
	"bytes"
	"net/http"
	"strconv"

	"seatline.dev/pkg/simulator"
)

// serveList answers a list of v1. Rows are rendered once and kept until they change, so that a large account costs little
// more than copying its bytes.
func (s *Sim) serveList(w http.ResponseWriter, r *http.Request, route string, f struck) {
	size, ok := positive(r, "pageSize", 1000)
	page, ok2 := positive(r, "pageNumber", 1)
	if !ok || !ok2 {
		gatewayError(w, http.StatusBadRequest, "pageSize and pageNumber must be positive numbers")
		return
	}
	if s.cfg.MaxPageSize > 0 {
		size = min(size, s.cfg.MaxPageSize)
	}
	if f.Has("page_capped") {
		size = min(size, f.number("page_capped", 100))
	}
	if f.Has("page_number_ignored") {
		page = 1
	}
	if f.Has("page_size_ignored") {
		size, page = 1<<30, 1
	}
	s.mu.Lock()
	if f.Has("change_mid_run") && page > 1 {
		s.account.changeOne()
	}
	rows, total := s.account.page(route, page, size, s.cfg.CountSubscriptions)
	s.mu.Unlock()
	rows, total = f.rows(rows, total)

	paging := ""
	if s.cfg.Totals || route == "customers" {
		if f.Has("wrong_total") {
			total += f.number("wrong_total", 5)
		}
		paging = `,"pageNumber":` + strconv.Itoa(page) + `,"pageSize":` + strconv.Itoa(size) + `,"totalCount":` + strconv.Itoa(total)
	}
	open, end := `{"data":[`, `]`+paging+`}`
	switch {
	case f.Has("bare_array"):
		open, end = "[", "]"
	case f.Has("data_null"):
		rows, open, end = nil, `{"data":null`, "}"
	}
	pascal := s.cfg.PascalCase || f.Has("pascal_case")
	if !pascal && !f.Has("numbers_as_text") && !f.Has("cut") {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		out := bufio.NewWriterSize(w, 64<<10)
		writeRows(out, open, rows, end)
		_ = out.Flush() // the client may have gone
		return
	}
	var b bytes.Buffer
	writeRows(&b, open, rows, end)
	f.write(w, reshape(b.Bytes(), pascal, f.Has("numbers_as_text")))
}

type writer interface {
	Write([]byte) (int, error)
	WriteString(string) (int, error)
	WriteByte(byte) error
}

func writeRows(out writer, open string, rows [][]byte, end string) {
	out.WriteString(open)
	for i, row := range rows {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(row)
	}
	out.WriteString(end)
}

// serveTMF answers a list of v2: a bare array, its counts in headers, 206 when there is more [G].
func (s *Sim) serveTMF(w http.ResponseWriter, r *http.Request, route string, f struck) {
	limit, ok := positive(r, "limit", 50)
	offset, err := strconv.Atoi(defaulted(r.URL.Query().Get("offset"), "0"))
	if !ok || err != nil || offset < 0 {
		simulator.WriteJSON(w, http.StatusBadRequest, map[string]string{"code": "23", "reason": "Invalid query", "message": "offset and limit must be numbers", "status": "400"})
		return
	}
	limit = min(limit, 100)
	s.mu.Lock()
	all, total := s.account.rows(route, offset, limit)
	s.mu.Unlock()
	all, total = f.rows(all, total)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Total-Count", strconv.Itoa(total))
	w.Header().Set("X-Result-Count", strconv.Itoa(len(all)))
	var b bytes.Buffer
	writeRows(&b, "[", all, "]")
	if f.Has("cut") {
		f.write(w, b.Bytes())
		return
	}
	if offset+len(all) < total {
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(b.Bytes())
}

// page cuts page number n of size rows out of a list, and counts the whole.
func (a *account) page(route string, n, size int, bySubscription bool) ([][]byte, int) {
	if route == "report" && bySubscription {
		return a.reportBySubscription((n-1)*size, size)
	}
	if n > 1<<20 {
		return nil, 0
	}
	return a.rows(route, (n-1)*size, size)
}

func (a *account) rows(route string, offset, size int) (rows [][]byte, total int) {
	take := func(of map[string][]byte, build func() any) map[string][]byte {
		total++
		if total <= offset || len(rows) >= size {
			return of
		}
		if of == nil {
			of = map[string][]byte{}
		}
		if of[route] == nil {
			of[route] = render(build())
		}
		rows = append(rows, of[route])
		return of
	}
	switch route {
	case "customers", "organization":
		for _, c := range a.customers {
			if c.NotInList {
				continue
			}
			c.wire = take(c.wire, func() any {
				if route == "organization" {
					return c.organisationRow()
				}
				return c.customerRow()
			})
		}
	case "report":
		for _, c := range a.customers {
			for _, block := range c.reportBlocks() {
				total++
				if total > offset && len(rows) < size {
					rows = append(rows, block)
				}
			}
		}
	default:
		for _, sub := range a.all {
			if route != "service" && !sub.billed() {
				continue
			}
			sub.wire = take(sub.wire, func() any {
				c := a.byMex[sub.MexID]
				switch route {
				case "service":
					return c.serviceRow(sub.Subscription)
				case "accounttotals":
					return c.totalsRow(sub.Subscription)
				}
				return c.productRow(sub.Subscription)
			})
		}
	}
	return rows, total
}

func positive(r *http.Request, name string, otherwise int) (int, bool) {
	n, err := strconv.Atoi(defaulted(r.URL.Query().Get(name), strconv.Itoa(otherwise)))
	return n, err == nil && n > 0
}

func defaulted(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
