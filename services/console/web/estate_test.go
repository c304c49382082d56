package web

import (
	"html"
	"net/http"
	"testing"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

func TestOverviewAnswersWhetherEverythingIsInStep(t *testing.T) {
	s, _ := atDesk(t)
	s.enter(t, "vera", rpc.RoleViewer).get("/c/acme").tells(t, "the overview",
		"things need attention", "8 licences in Halo are no longer in Giacom, still billing £212.00 a month", `href="/c/acme/parity/rows?class=no_line"`,
		"Before the next invoice run", `href="/c/acme/lines?next=2026-12-01T06%3A00%3A00&amp;state=held">3 held`, "−£16.00", "no writes from ", "1 Dec 2026, 04:00",
		"1 hour ago", "The integrator is switched off.", "Halo budget", "12 of 250", `href="/c/acme/licences?reason=price_missing&amp;state=held">19`,
		"Customers that are not mapped", "Gone from Giacom, and still bills", "−£20.00", "November 2026", "21 Nov: More seats", "moved by ", "£94.50")
	s, _ = atDesk(t, func(d *desk) { d.classes = nil; d.fail = rpc.Errorf(codes.Internal, "BROKEN", "billing is broken") })
	if r := s.enter(t, "vera", rpc.RoleViewer).get("/c/acme"); r.status != http.StatusOK {
		t.Errorf("with a broken service: answers %d", r.status)
	} else {
		r.tells(t, "with a broken service", "billing is broken", "In sync")
	}
}

func TestEachNumberOfParityIsAListWithPages(t *testing.T) {
	s, d := atDesk(t, func(d *desk) { d.next = "more of it" })
	p := s.enter(t, "vera", rpc.RoleViewer)
	p.get("/c/acme/parity").tells(t, "parity", "1,943 of 2,011 subscriptions agree with Halo; 8 licences in Halo are no longer in Giacom, still billing £212.00 a month; 41 are on no invoice line, costing £1,204.00 a month; 19 counts differ.",
		`href="/c/acme/parity/rows?class=no_line">41`, "What was measured when", "23 Nov 2026, 12:00", "23 Nov 2026, 13:00", "23 Nov 2026, 13:05")
	r := p.get("/c/acme/parity/rows?class=no_line&q=%22o%27neill&order=cost+desc")
	r.tells(t, "the rows", "On no invoice line", `href="/c/acme/licences/giacom/10%3F%231"`, `href="/c/acme/customers/MEX%2F1%3F"`, `rel="next"`, "£120.00")
	req := last[*licencev1.ListParityRequest](d)
	if req.GetFilter() != `("\"o'neill") AND (class = "no_line") AND (connection = "acme")` || req.GetOrderBy() != "cost desc" {
		t.Errorf("asked for %q in order %q", req.GetFilter(), req.GetOrderBy())
	}
	next := nextPage.FindStringSubmatch(r.body)
	p.get(html.UnescapeString(next[1]))
	if again := last[*licencev1.ListParityRequest](d); again.GetPageToken() != "more of it" || again.GetFilter() != req.GetFilter() || again.GetOrderBy() != req.GetOrderBy() {
		t.Errorf("the next page asks for %v", again)
	}
}

func TestListsOfLicencesLinesAndMarginsNarrowSortAndPage(t *testing.T) {
	s, d := atDesk(t, func(d *desk) { d.next = "more" })
	p := s.enter(t, "vera", rpc.RoleViewer)
	p.get("/c/acme/licences?state=held&reason=price_missing&customer=MEX%2F1%3F&sku=CFQ*&order=count").tells(t, "licences", "Seats", `rel="next"`, "£9.8765", "Price missing")
	if req := last[*licencev1.ListLicencesRequest](d); req.GetFilter() != `(state = "held") AND (sku = "CFQ*") AND (reason = "price_missing") AND (mex_id = "MEX/1?") AND (connection = "acme")` || req.GetOrderBy() != "count" {
		t.Errorf("licences are asked for by %q", req.GetFilter())
	}
	p.get("/c/acme/lines?kind=linked&client=12&licence=giacom%2F1&next=2026-12-01T06:00:00").tells(t, "lines", `href="/c/acme/lines/-7/3"`, "£12.3456", "Halo said no.", "1 Dec 2026")
	if req := last[*invoicelinev1.ListLinesRequest](d); req.GetFilter() != `(kind = "linked") AND (client_id = "12") AND (licence_key : "giacom/1") AND (next_invoice = "2026-12-01T06:00:00") AND (connection = "acme")` {
		t.Errorf("lines are asked for by %q", req.GetFilter())
	}
	p.get("/c/acme/margins?margin=negative&order=percent").tells(t, "margins", "−£20.00", "-25.0 %", `href="/c/acme/lines?client=12"`, `rel="next"`)
	if req := last[*invoicelinev1.ListMarginsRequest](d); req.GetFilter() != "margin < 0" || req.GetOrderBy() != "percent" || req.GetConnection() != "acme" {
		t.Errorf("margins are asked for by %v", req)
	}
}
