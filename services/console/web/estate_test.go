package web

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
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

func TestWhatOnlyTheModeHoldsIsNobodysToDecide(t *testing.T) {
	s, d := atDesk(t, func(d *desk) { // three services say so alike
		d.counts = []*opsv1.StateCount{{Kind: "licence", State: itemv1.State_STATE_HELD, Reason: "observe", Count: 16}, {Kind: "licence", State: itemv1.State_STATE_HELD, Reason: "canary", Count: 1}, {Kind: "licence", State: itemv1.State_STATE_HELD, Reason: "price_missing", Count: 7}}
	})
	p := s.enter(t, "vera", rpc.RoleViewer)
	text := strings.Join(strings.Fields(tag.ReplaceAllString(p.get("/c/acme").body, " ")), " ")
	for _, says := range []string{"Held 21 for a person", "Only shown 51 not written in this mode"} {
		if !strings.Contains(text, says) {
			t.Errorf("the overview does not say %q:\n%s", says, text)
		}
	}
	for decides, filter := range map[string]string{"person": `state = "held" AND reason != "observe" AND reason != "canary"`, "mode": `state = "held" AND (reason = "observe" OR reason = "canary")`} {
		p.get("/c/acme").tells(t, "the overview", `href="/c/acme/plan?decides=`+decides+`"`)
		p.get("/c/acme/plan?decides=" + decides)
		if req := last[*opsv1.ListPlanItemsRequest](d); req.GetFilter() != filter {
			t.Errorf("the list behind the number is asked for by %q", req.GetFilter())
		}
	}
}

var tag = regexp.MustCompile(`<[^>]*>`)

func TestWaitingForWhatComesByItselfIsInStep(t *testing.T) {
	s, _ := atDesk(t, func(d *desk) {
		d.classes = []*itemv1.Standing{{Class: "waiting", Text: "subscriptions wait for something that comes by itself", Count: 3, Filter: "class = waiting"}}
		d.invoiceRuns = []*invoicelinev1.InvoiceRun{}
	})
	s.enter(t, "vera", rpc.RoleViewer).get("/c/acme").tells(t, "the overview", "Everything is in step; 3 subscriptions wait for what comes by itself", `href="/c/acme/parity/rows?class=waiting"`)
}

func TestTheVerdictIsRenewedWithTheNumbers(t *testing.T) {
	s, _ := atDesk(t)
	p := s.enter(t, "vera", rpc.RoleViewer)
	page := p.get("/c/acme").body
	live := strings.Index(page, `data-live="/c/acme/live"`)
	for _, says := range []string{"things need attention", "In sync", "Before the next invoice run", "Giacom against Halo"} {
		if at := strings.Index(page, says); live < 0 || at < live {
			t.Errorf("%q at %d is outside what is renewed, which begins at %d", says, at, live)
		}
	}
	got := p.event("/c/acme/live")
	for _, says := range []string{"event: replace", "things need attention", "In sync", "Giacom against Halo"} {
		if !strings.Contains(got, says) {
			t.Errorf("the stream does not say %q", says)
		}
	}
}

func TestChangesTellMoneyAndCustomersAsPeopleDo(t *testing.T) {
	s, d := atDesk(t, func(d *desk) {
		d.changes = []*itemv1.Change{{Id: "licence-1", Kind: "licence", Key: "giacom/1", Title: "Seats", Action: "create", Outcome: "applied", Time: stamp("2026-11-23T13:00:00Z"), Changes: []*itemv1.FieldChange{
			{Field: "client_id", Before: "0", After: "12"}, {Field: "purchase_price", Before: "10", After: "12.3456"}, {Field: "end_date", After: "2027-03-19T00:00:00"}, {Field: "count", Before: "9", After: "12"},
		}}}
	})
	s.enter(t, "vera", rpc.RoleViewer).get("/c/acme/changes").tells(t, "the changes", `<span class="before">—</span>`, html.EscapeString(awkward)+" (12)", "cost, ex VAT", `<span class="before">£10.00</span>`, `<span class="after">£12.3456</span>`, "19 Mar 2027", `<span class="after">12</span>`)
	if req := last[*mappingv1.ListMappingsRequest](d); req.GetFilter() != `connection = "acme" AND (halo_client_id = 12)` {
		t.Errorf("names are asked for by %q", req.GetFilter())
	}
	if word := fieldWord("should be: unit_price amount"); word != "should be: unit price" || !isMoney("status monthly_after amount") || isMoney("count") {
		t.Errorf("of a history: %q", word)
	}
}

func TestALineShowsWhatShouldBeBesideWhatHaloHolds(t *testing.T) {
	s, _ := atDesk(t)
	r := s.enter(t, "vera", rpc.RoleViewer).get("/c/acme/lines/-7/3")
	r.tells(t, "the line", "Should be", "In Halo", "£12.3456")
	if strings.Contains(r.body, "Last written") {
		t.Error("it tells of a write where none was")
	}
}

func TestEachNumberOfParityIsAListWithPages(t *testing.T) {
	s, d := atDesk(t, func(d *desk) { d.next = "more of it" })
	p := s.enter(t, "vera", rpc.RoleViewer)
	p.get("/c/acme/parity").tells(t, "parity", "1,943 of 2,011 subscriptions agree with Halo; 8 licences in Halo are no longer in Giacom, still billing £212.00 a month; 41 are on no invoice line, costing £1,204.00 a month; 19 counts differ. Sums are ex VAT.",
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
