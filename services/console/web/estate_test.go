package web

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/overview"
)

const awkward = `O'Neill & "Söhne" <b>Ltd</b> 🦷`

// desk is an estate of one licence, one line and one customer, and notes what it is asked. The stories in e2e/browser
// have the real services.
type desk struct {
	connectionv1.UnimplementedConnectionServiceServer
	licencev1.UnimplementedLicenceServiceServer
	invoicelinev1.UnimplementedLineServiceServer
	mappingv1.UnimplementedMappingServiceServer
	subscriptionv1.UnimplementedSubscriptionServiceServer
	pricingv1.UnimplementedPricingServiceServer
	opsv1.UnimplementedOpsServiceServer

	connection *connectionv1.Connection
	leave      *connectionv1.LeaveObserve
	licence    *licencev1.Licence
	classes    []*itemv1.Standing
	rules      *pricingv1.PriceRules
	next       string // token of every list's next page
	fail       error

	mu    sync.Mutex
	asked []proto.Message
}

func (d *desk) note(m proto.Message) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, m)
	return d.fail
}

// last of what was asked that is of M's type; nil when nothing was.
func last[M proto.Message](d *desk) (m M) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.asked {
		if of, ok := x.(M); ok {
			m = of
		}
	}
	return m
}

func (d *desk) ListConnections(context.Context, *connectionv1.ListConnectionsRequest) (*connectionv1.ListConnectionsResponse, error) {
	return &connectionv1.ListConnectionsResponse{Connections: []*connectionv1.Connection{d.connection}}, nil
}

func (d *desk) GetConnection(context.Context, *connectionv1.GetConnectionRequest) (*connectionv1.Connection, error) {
	return d.connection, nil
}

func (d *desk) GetLeaveObserve(context.Context, *connectionv1.GetConnectionRequest) (*connectionv1.LeaveObserve, error) {
	return d.leave, nil
}

func (d *desk) ApplyConnection(_ context.Context, req *connectionv1.ApplyConnectionRequest) (*connectionv1.Connection, error) {
	return req.GetConnection(), d.note(req)
}

func (d *desk) ListLicences(_ context.Context, req *licencev1.ListLicencesRequest) (*licencev1.ListLicencesResponse, error) {
	return &licencev1.ListLicencesResponse{Licences: []*licencev1.Licence{d.licence}, NextPageToken: d.next}, d.note(req)
}

func (d *desk) GetDuplicateDecisions(_ context.Context, req *licencev1.GetDuplicateDecisionsRequest) (*licencev1.DuplicateDecisions, error) {
	one := &licencev1.DuplicateDecision{Key: d.licence.GetKey(), Customer: awkward, Name: "Seats", Count: 12, Candidate: d.licence.GetCandidates()[0], Monthly: gbp("120")}
	if req.GetWay() == licencev1.Way_WAY_ADOPT {
		one.HaloId = 514
	}
	return &licencev1.DuplicateDecisions{Decisions: []*licencev1.DuplicateDecision{one}, Skipped: []*licencev1.SkippedDuplicate{
		{Key: "giacom/2", Customer: awkward, Name: "Visio", Reason: &itemv1.Reason{Code: "several", Text: "3 licences in Halo could be it."}}}}, d.note(req)
}

func (d *desk) DecideDuplicates(_ context.Context, req *licencev1.DecideDuplicatesRequest) (*licencev1.DuplicateDecisions, error) {
	return &licencev1.DuplicateDecisions{Decisions: req.GetDecisions()}, d.note(req)
}

func (d *desk) GetLicence(_ context.Context, req *licencev1.GetLicenceRequest) (*licencev1.Licence, error) {
	if req.GetKey() != d.licence.GetKey() {
		return nil, rpc.NotFound("licence", req.GetKey())
	}
	return d.licence, nil
}

func (d *desk) AdoptLicence(_ context.Context, req *licencev1.AdoptLicenceRequest) (*licencev1.Licence, error) {
	return d.licence, d.note(req)
}

func (d *desk) RetryLicence(_ context.Context, req *licencev1.GetLicenceRequest) (*licencev1.Licence, error) {
	return d.licence, d.note(req)
}

func (d *desk) GetParity(context.Context, *licencev1.GetParityRequest) (*licencev1.Parity, error) {
	return &licencev1.Parity{Subscriptions: 2011, Agree: 1943, Classes: d.classes, LicencesReadTime: stamp("2026-11-23T13:00:00Z")}, nil
}

func (d *desk) ListParity(_ context.Context, req *licencev1.ListParityRequest) (*licencev1.ListParityResponse, error) {
	g := d.licence.GetSubscription().GetGiacom()
	return &licencev1.ListParityResponse{NextPageToken: d.next, Rows: []*licencev1.ParityRow{{
		Connection: "acme", Key: d.licence.GetKey(), Class: "no_line", MexId: g.GetMexId(), CustomerName: g.GetCustomerName(), Name: g.GetName(), SeatsGiacom: proto.Int64(12), Cost: gbp("120"),
	}}}, d.note(req)
}

func (d *desk) ListLines(_ context.Context, req *invoicelinev1.ListLinesRequest) (*invoicelinev1.ListLinesResponse, error) {
	return &invoicelinev1.ListLinesResponse{Lines: []*invoicelinev1.Line{d.line()}, NextPageToken: d.next}, d.note(req)
}

func (d *desk) GetLine(context.Context, *invoicelinev1.GetLineRequest) (*invoicelinev1.Line, error) {
	return d.line(), nil
}

func (d *desk) line() *invoicelinev1.Line {
	return &invoicelinev1.Line{
		Connection: "acme", Key: "-7/3", Kind: invoicelinev1.Kind_KIND_LINKED, InvoiceId: -7, LineId: 3, ClientId: 12, ClientName: awkward, Description: "Seats for " + awkward, LicenceKeys: []string{d.licence.GetKey()},
		Observed: &invoicelinev1.Fields{Quantity: "12", UnitPrice: gbp("12.3456")}, MonthlyBefore: gbp("148.15"), MonthlyAfter: gbp("160"), Status: &itemv1.Status{State: itemv1.State_STATE_FAILED, Reason: &itemv1.Reason{Text: "Halo said no."}},
	}
}

func (d *desk) ListInvoiceRuns(context.Context, *invoicelinev1.ListInvoiceRunsRequest) (*invoicelinev1.ListInvoiceRunsResponse, error) {
	return &invoicelinev1.ListInvoiceRunsResponse{Runs: []*invoicelinev1.InvoiceRun{{
		Time: stamp("2026-12-01T06:00:00Z"), QuietTime: stamp("2026-12-01T04:00:00Z"), ReadTime: stamp("2026-11-23T13:05:00Z"), Lines: 42, Invoices: 5, Held: 3, AffectedBefore: []*moneyv1.Money{gbp("100")}, AffectedAfter: []*moneyv1.Money{gbp("84")},
	}}}, nil
}

func (d *desk) ListMargins(_ context.Context, req *invoicelinev1.ListMarginsRequest) (*invoicelinev1.ListMarginsResponse, error) {
	row := &invoicelinev1.Margin{ClientId: 12, ClientName: awkward, Lines: 4, Cost: gbp("100"), Price: gbp("80"), Margin: gbp("-20"), Percent: "-25.0"}
	return &invoicelinev1.ListMarginsResponse{Margins: []*invoicelinev1.Margin{row}, Totals: []*invoicelinev1.Margin{row}, NextPageToken: d.next}, d.note(req)
}

func (d *desk) GetMapping(context.Context, *mappingv1.GetMappingRequest) (*mappingv1.Mapping, error) {
	return &mappingv1.Mapping{MexId: "MEX/1?", GiacomName: awkward, State: mappingv1.State_STATE_MAPPED, Standing: mappingv1.Standing_STANDING_MAPPED, HaloClientId: 12, HaloClientName: awkward}, nil
}

func (d *desk) ListMappings(ctx context.Context, req *mappingv1.ListMappingsRequest) (*mappingv1.ListMappingsResponse, error) {
	m, _ := d.GetMapping(ctx, nil)
	return &mappingv1.ListMappingsResponse{Mappings: []*mappingv1.Mapping{m}}, d.note(req)
}

func (d *desk) GetSubscription(context.Context, *subscriptionv1.GetSubscriptionRequest) (*subscriptionv1.Subscription, error) {
	return d.licence.GetSubscription(), nil
}

func (d *desk) ExcludeSubscription(_ context.Context, req *subscriptionv1.ExcludeSubscriptionRequest) (*subscriptionv1.Subscription, error) {
	return d.licence.GetSubscription(), d.note(req)
}

func (d *desk) GetPriceRules(context.Context, *pricingv1.GetPriceRulesRequest) (*pricingv1.PriceRules, error) {
	return d.rules, nil
}

func (d *desk) SetPriceRules(_ context.Context, req *pricingv1.SetPriceRulesRequest) (*pricingv1.PriceRules, error) {
	for _, r := range req.GetRules().GetRules() {
		if r.GetFixed() == "cheap" {
			return nil, rpc.InvalidArgument("rules.rules[1].fixed", "%q is not a price, such as 19.90", "cheap")
		}
	}
	return req.GetRules(), d.note(req)
}

func (d *desk) GetPriceRuleTrial(_ context.Context, req *pricingv1.GetPriceRuleTrialRequest) (*pricingv1.PriceRuleTrial, error) {
	return &pricingv1.PriceRuleTrial{
		Lines: 2011, Changed: 212, Before: []*moneyv1.Money{gbp("1000")}, After: []*moneyv1.Money{gbp("1384.20")}, Difference: []*moneyv1.Money{gbp("384.20")}, NextPageToken: d.next,
		Uses: []*pricingv1.RuleUse{{Name: "first", Licences: 1799}}, Rows: []*pricingv1.TriedLine{{Key: "-7/3", Customer: awkward, Description: "Seats", MonthlyBefore: gbp("10"), MonthlyAfter: gbp("12")}},
	}, d.note(req)
}

func (d *desk) GetProgress(context.Context, *opsv1.GetProgressRequest) (*opsv1.Progress, error) {
	return &opsv1.Progress{}, nil
}

func (d *desk) ListPlanItems(context.Context, *opsv1.ListPlanItemsRequest) (*opsv1.ListPlanItemsResponse, error) {
	return &opsv1.ListPlanItemsResponse{}, nil
}

func (d *desk) ListChanges(context.Context, *opsv1.ListChangesRequest) (*opsv1.ListChangesResponse, error) {
	return &opsv1.ListChangesResponse{}, nil
}

func (d *desk) ListHistory(context.Context, *opsv1.ListHistoryRequest) (*opsv1.ListHistoryResponse, error) {
	return &opsv1.ListHistoryResponse{Revisions: []*opsv1.Revision{{Time: stamp("2026-11-23T13:00:00Z"), Changes: []*itemv1.FieldChange{{Field: "desired.count", Before: "9", After: "12"}, {Field: "etag", After: "unsaid"}}}}}, nil
}

func (d *desk) ListWaiting(context.Context, *opsv1.ListWaitingRequest) (*opsv1.ListWaitingResponse, error) {
	return &opsv1.ListWaitingResponse{Waiting: []*opsv1.Waiting{{Kind: "licence", State: itemv1.State_STATE_HELD, Count: 19, Reason: &itemv1.Reason{Code: "price_missing", Text: "Giacom gives no price for " + awkward}}}}, nil
}

func (d *desk) ListChangeDays(context.Context, *opsv1.ListChangeDaysRequest) (*opsv1.ListChangeDaysResponse, error) {
	return &opsv1.ListChangeDaysResponse{Days: []*opsv1.ChangeDay{{Date: "2026-11-21", Kind: "invoice-line", Class: "seats_up", Count: 7, Difference: []*moneyv1.Money{gbp("31.5")}}}}, nil
}

func (d *desk) GetHaloBudget(context.Context, *opsv1.GetHaloBudgetRequest) (*opsv1.HaloBudget, error) {
	return &opsv1.HaloBudget{Limit: 250, Left: 12}, nil
}

// polls answers for the fetcher.
type polls struct {
	runv1.UnimplementedRunServiceServer
}

func (polls) GetSyncStatus(context.Context, *runv1.GetSyncStatusRequest) (*runv1.SyncStatus, error) {
	r := &runv1.Run{Id: "r1", Outcome: runv1.Outcome_OUTCOME_SUCCEEDED, StartTime: stamp("2026-11-23T12:00:00Z"), EndTime: stamp("2026-11-23T12:00:30Z")}
	return &runv1.SyncStatus{LastRun: r, LastSuccess: r, NoNext: "The integrator is switched off."}, nil
}

func (polls) ListRuns(context.Context, *runv1.ListRunsRequest) (*runv1.ListRunsResponse, error) {
	return &runv1.ListRunsResponse{}, nil
}

// atDesk starts a site on a desk.
func atDesk(t *testing.T, change ...func(*desk)) (*site, *desk) {
	t.Helper()
	d := &desk{
		connection: &connectionv1.Connection{Slug: "acme", DisplayName: "Acme IT", Enabled: true, Mode: connectionv1.Mode_MODE_OBSERVE, Etag: "c1", Halo: &connectionv1.Halo{BaseUrl: "https://acme.halopsa.com"}},
		leave:      &connectionv1.LeaveObserve{Slug: "acme", Mode: connectionv1.Mode_MODE_OBSERVE, MayLeave: true, Etag: "c1"},
		licence: &licencev1.Licence{
			Connection: "acme", Key: "giacom/10?#1", Status: &itemv1.Status{State: itemv1.State_STATE_HELD, Reason: &itemv1.Reason{Code: "possible_duplicate", Text: "Halo has two of them."}},
			Desired: &licencev1.Fields{ClientId: 12, Count: 12, PurchasePrice: gbp("9.8765")}, Candidates: []*licencev1.Candidate{{HaloId: 514, Name: awkward, Count: 9}},
			Subscription: &subscriptionv1.Subscription{Connection: "acme", Key: "giacom/10?#1", Etag: "s1", Giacom: &giacomv1.Subscription{Key: "giacom/10?#1", MexId: "MEX/1?", CustomerName: awkward, Name: "Seats", Quantity: "12"}},
		},
		classes: []*itemv1.Standing{
			{Class: "gone", Text: "licences in Halo are no longer in Giacom", Count: 8, Billed: []*moneyv1.Money{gbp("212")}, Filter: "class = gone"},
			{Class: "no_line", Text: "subscriptions are on no invoice line", Count: 41, Cost: []*moneyv1.Money{gbp("1204")}, Filter: "class = no_line"},
			{Class: "count", Text: "counts differ", Count: 19, Filter: "class = count"}, {Class: "held"},
		},
		rules: &pricingv1.PriceRules{Connection: "acme", Etag: "e1", Who: "ann", UpdateTime: stamp("2026-11-20T09:00:00Z"), Rules: []*pricingv1.PriceRule{{Name: "first", Price: &pricingv1.PriceRule_Keep{Keep: true}}}},
	}
	for _, f := range change {
		f(d)
	}
	conn := serveGRPC(t, func(r grpc.ServiceRegistrar) {
		connectionv1.RegisterConnectionServiceServer(r, d)
		licencev1.RegisterLicenceServiceServer(r, d)
		invoicelinev1.RegisterLineServiceServer(r, d)
		mappingv1.RegisterMappingServiceServer(r, d)
		subscriptionv1.RegisterSubscriptionServiceServer(r, d)
		pricingv1.RegisterPricingServiceServer(r, d)
		opsv1.RegisterOpsServiceServer(r, d)
		runv1.RegisterRunServiceServer(r, polls{})
	})
	return start(t, func(c *Config) {
		c.Services = overview.Services{Console: conn, Fetcher: conn, Mapper: conn, Licence: conn, Billing: conn}
	}), d
}

// tells fails unless a page has all of these texts, as HTML has them.
func (r reply) tells(t *testing.T, what string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.body, text) {
			t.Errorf("%s (%d) does not say %q", what, r.status, text)
		}
	}
	if strings.Contains(r.body, "<b>Ltd") || strings.Contains(r.body, `"Söhne"`) {
		t.Errorf("%s lets a name through as HTML", what)
	}
}

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

func TestALicenceIsDecidedOnByOperatorsOnly(t *testing.T) {
	s, d := atDesk(t)
	page := "/c/acme/licences/giacom/10%3F%231"
	vera, olga := s.enter(t, "vera", rpc.RoleViewer), s.enter(t, "olga", rpc.RoleOperator)
	r := vera.get(page)
	r.tells(t, "a licence", "Halo has two of them.", "licence 514", "£9.8765", "should be: count", "The customer in Halo", "are a guess", "https://acme.halopsa.com/customers?clientid=12")
	if strings.Contains(r.body, "Take it over") || strings.Contains(r.body, "Decide …") || strings.Contains(r.body, "unsaid") {
		t.Error("a viewer is offered what operators may, or told what is for programs")
	}
	if r := vera.post(page, page, "do", "adopt", "halo", "514"); r.status != http.StatusForbidden || last[*licencev1.AdoptLicenceRequest](d) != nil {
		t.Errorf("a viewer adopts: answers %d", r.status)
	}
	olga.get(page).tells(t, "a licence", `href="/c/acme/licences/giacom/10%3F%231?ask=adopt&amp;halo=514"`, "Create a new one …", "Try again")
	olga.get(page+"?ask=adopt&halo=514").tells(t, "the question", "Take over licence 514?", "from 9 to 12", "This connection observes")
	if r := olga.get(page + "?ask=adopt&halo=x"); r.status != http.StatusUnprocessableEntity {
		t.Errorf("no id: answers %d", r.status)
	}
	if r := olga.post(page, page, "do", "adopt", "halo", "514"); r.to != page {
		t.Errorf("adopted: answers %d to %q", r.status, r.to)
	}
	if req := last[*licencev1.AdoptLicenceRequest](d); req.GetHaloId() != 514 || req.GetKey() != "giacom/10?#1" {
		t.Errorf("adopted %v", req)
	}
	d.fail = rpc.FailedPrecondition("HELD_BY_RULE", "x", "it is held by a rule: no price").Do("correct it in Giacom")
	if r := olga.post(page, page, "do", "retry"); r.status != http.StatusConflict {
		t.Errorf("held by a rule: answers %d", r.status)
	} else {
		r.tells(t, "the refusal", "it is held by a rule: no price", "correct it in Giacom")
	}
	d.fail = nil
	if r := olga.get("/c/acme/licences/none"); r.status != http.StatusNotFound {
		t.Errorf("an unknown licence: answers %d", r.status)
	}
	olga.get("/c/acme/lines/-7/3").tells(t, "a line", "Halo said no.", "£148.15", "should be: count", "Seats")
	olga.get("/c/acme/customers/MEX%2F1%3F").tells(t, "a customer", "Mapped", `href="/c/acme/mappings/MEX%2F1%3F"`, "£1,204.00", "−£20.00")
}

// Many possible duplicates are shown with what would become of them, and decided as they were shown.
func TestPossibleDuplicatesAreDecidedTogether(t *testing.T) {
	s, d := atDesk(t)
	const page = "/c/acme/licences/duplicates"
	vera, olga := s.enter(t, "vera", rpc.RoleViewer), s.enter(t, "olga", rpc.RoleOperator)
	r := vera.get(page + "?q=zo%C3%AB")
	r.tells(t, "the list", "Seats", "No. 514", "£120.00", "3 licences in Halo could be it.", `href="/c/acme/licences/giacom/10%3F%231"`)
	if req := last[*licencev1.GetDuplicateDecisionsRequest](d); req.GetFilter() != `"zoë"` || req.GetWay() != licencev1.Way_WAY_ADOPT {
		t.Errorf("asked for %v", req)
	}
	if strings.Contains(r.body, `name="pick"`) || strings.Contains(r.body, "on every page") {
		t.Error("a viewer is offered to decide")
	}
	if r := vera.post(page, "/c/acme/licences", "pick", "514 giacom/1"); r.status != http.StatusForbidden {
		t.Errorf("a viewer decides: answers %d", r.status)
	}
	olga.get(page).tells(t, "the list", `name="pick" value="514 giacom/10?#1" form="decide"`, " checked", `id="decide"`, "Take over those picked", "on every page …")
	if r := olga.get(page + "?picked=none"); strings.Contains(r.body, " checked>") {
		t.Error("picked although none was to be")
	}
	olga.get(page+"?way=create").tells(t, "beside", `value="0 giacom/10?#1"`, "Create those picked")
	if r := olga.post(page, page, "way", "adopt", "q", "zoë"); !strings.HasPrefix(r.to, page) || last[*licencev1.DecideDuplicatesRequest](d) != nil {
		t.Errorf("nothing picked: %d to %s", r.status, r.to)
	}
	olga.post(page, page, "way", "adopt", "pick", "514 giacom/10?#1")
	if req := last[*licencev1.DecideDuplicatesRequest](d); len(req.GetDecisions()) != 1 || req.GetDecisions()[0].GetKey() != "giacom/10?#1" || req.GetDecisions()[0].GetHaloId() != 514 {
		t.Errorf("decided %v", req)
	}
	olga.get(page).tells(t, "afterwards", "1 possible duplicate is decided.")
	olga.get(page+"?ask=all&way=create").tells(t, "the question", "1 new licence is made beside", "may be billed twice", `name="all" value="1"`)
	olga.post(page, page, "way", "create", "all", "2")
	olga.get(page).tells(t, "another number", "There are 1 by now, not 2")
	olga.post(page, page, "way", "create", "all", "1")
	if req := last[*licencev1.DecideDuplicatesRequest](d); req.GetDecisions()[0].GetHaloId() != 0 {
		t.Errorf("decided %v", req)
	}
	if r := olga.post(page, page, "pick", "x"); r.status != http.StatusUnprocessableEntity && r.status != http.StatusBadRequest {
		t.Errorf("a pick of nothing: answers %d", r.status)
	}
}

func TestWhatIsDecidedAboutASubscriptionIsNeverLost(t *testing.T) {
	s, d := atDesk(t)
	p := s.enter(t, "olga", rpc.RoleOperator)
	page := "/c/acme/subscriptions/giacom/10%3F%231"
	p.get(page).tells(t, "the page", "Leave it unbilled", `name="etag" value="s1"`)
	if r := p.post(page, page, "do", "exclude", "etag", "s1", "reason", "director's own"); r.to != page {
		t.Fatalf("excluded: answers %d: %s", r.status, r.body)
	}
	if req := last[*subscriptionv1.ExcludeSubscriptionRequest](d); req.GetEtag() != "s1" || req.GetReason() != "director's own" || req.GetKey() != "giacom/10?#1" {
		t.Errorf("excluded by %v", req)
	}
	d.fail = rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "the subscription was changed by ann on 23 November 2026 at 14:01 UTC").Do("look at it again, then decide")
	r := p.post(page, page, "do", "exclude", "etag", "s0", "reason", "director's own")
	if r.status != http.StatusConflict {
		t.Errorf("a stale etag: answers %d", r.status)
	}
	r.tells(t, "the refusal", "changed by ann", "director&#39;s own", `name="etag" value="s1"`)
}

func TestRulesAreTriedBeforeTheyAreSaved(t *testing.T) {
	s, d := atDesk(t)
	p, other := s.enter(t, "olga", rpc.RoleOperator), s.enter(t, "oscar", rpc.RoleOperator)
	const rules, edit, draft = "/c/acme/rules", "/c/acme/rules/edit", "/c/acme/rules/draft"
	p.get(rules).tells(t, "the rules", "Set by ann on", "1,799 licences")
	r := p.post(edit, edit, "name", awkward, "price", "fixed", "fixed", "cheap", "names", "a*\nb", "cycles", "CYCLE_ANNUAL", "minimum_quantity", "3")
	if r.status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong price: answers %d", r.status)
	}
	r.tells(t, "the form", "is not a price, such as 19.90", `value="cheap"`, "a*\nb</textarea>", `value="CYCLE_ANNUAL" checked`, `name="minimum_quantity" value="3"`)
	if r := p.post(edit, edit, "name", "x", "price", "keep", "included_quantity", "some"); !strings.Contains(r.body, "is not a whole number") || !strings.Contains(r.body, `value="some"`) {
		t.Errorf("no number: answers %d", r.status)
	}
	if r := p.post(edit, edit, "name", awkward, "price", "fixed", "fixed", "19.90", "names", "a*\nb"); r.to != rules {
		t.Fatalf("into the draft: answers %d", r.status)
	}
	if req := last[*pricingv1.SetPriceRulesRequest](d); !req.GetValidateOnly() {
		t.Fatalf("the rules were saved: %v", req)
	}
	p.get(rules).tells(t, "the draft", "Of 2,011 lines these 212 would change, by ", "&#43;£384.20", "Line by line", "products a*, b", "19.90 ex VAT a seat", `name="etag" value="e1"`)
	if req := last[*pricingv1.GetPriceRuleTrialRequest](d); len(req.GetRules().GetRules()) != 2 {
		t.Errorf("tried %v", req)
	}
	if r := other.get(rules); strings.Contains(r.body, "Draft") {
		t.Error("somebody else sees the draft")
	}
	p.post(draft, rules, "do", "up", "rule", awkward)
	p.post(rules, rules, "etag", "e1")
	req := last[*pricingv1.SetPriceRulesRequest](d)
	if req.GetValidateOnly() || req.GetForce() || req.GetRules().GetEtag() != "e1" || req.GetRules().GetRules()[0].GetName() != awkward {
		t.Errorf("saved %v", req)
	}
	if r := p.get(rules); strings.Contains(r.body, "Draft") {
		t.Error("the draft is still there after it was saved")
	}

	// Another begins from the same rules, and comes second.
	other.post(draft, rules, "do", "delete", "rule", "first")
	d.rules = &pricingv1.PriceRules{Connection: "acme", Etag: "e2", Who: "olga", UpdateTime: stamp("2026-11-23T14:00:00Z"), Rules: req.GetRules().GetRules()}
	d.fail = rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "the price rules of acme are not those that you read: olga set them on 23 November 2026 at 14:00 UTC")
	r = other.post(rules, rules, "etag", "e1")
	d.fail = nil
	if r.status != http.StatusConflict {
		t.Errorf("second: answers %d", r.status)
	}
	r.tells(t, "the conflict", "Nothing was saved", "olga set them on 23 November", "Somebody else changed the rules", "19.90 ex VAT a seat", "Go on with mine")
	if r := other.post(draft, rules, "do", "go-on", "etag", "e1"); r.status != http.StatusConflict {
		t.Errorf("going on from what is not the newest: answers %d", r.status)
	}
	other.post(draft, rules, "do", "go-on", "etag", "e2")
	other.get(rules).tells(t, "gone on", `name="etag" value="e2"`)
	other.post(draft, rules, "do", "discard")
	if r := other.get(rules); strings.Contains(r.body, "Draft") {
		t.Error("the draft is still there after it was thrown away")
	}
	if r := s.enter(t, "vera", rpc.RoleViewer).get(edit); r.status != http.StatusForbidden {
		t.Errorf("a viewer edits rules: answers %d", r.status)
	}
}

func TestObserveIsLeftWithReasonsAndACanary(t *testing.T) {
	s, d := atDesk(t, func(d *desk) {
		d.leave.Questions = []*connectionv1.Question{
			{Code: "pro_rata", Setting: "billing.pro_rata", Question: "How does Halo bill?", Answer: "Not answered.", Choices: []*connectionv1.Choice{{Value: "0", Text: "none"}, {Value: "1", Text: "from the date of change"}}},
			{Code: "sell_price", Setting: "price_rules", Question: "What does the customer pay?", Answer: "1 price rule", Answered: true},
		}
		d.leave.Blockers = []*connectionv1.Blocker{{Code: "two_writers_inty", Text: "Halo’s Inty integration is switched on.", Fix: "Turn it off.", Overridable: true}}
		d.leave.Plan = []*connectionv1.Effect{{Code: "licence", Count: 43, Text: "43 licences would be written."}}
	})
	p := s.enter(t, "olga", rpc.RoleOperator)
	const page, begin = "/c/acme/leave-observe", "/c/acme/leave-observe/begin"
	p.get(page).tells(t, "the page", "How does Halo bill?", "Not answered", "Turn it off.", "43 licences would be written.", "Choose a few customers")
	p.post(page, page, "etag", "c1", "billing.pro_rata", "1")
	req := last[*connectionv1.ApplyConnectionRequest](d)
	if c := req.GetConnection(); c.GetBilling().GetProRata() != 1 || c.GetEtag() != "c1" || c.GetMode() != connectionv1.Mode_MODE_OBSERVE || req.GetForce() {
		t.Errorf("the answer became %v", req)
	}
	p.get(page+"/canary?with=MEX%2F1%3F").tells(t, "the choice", "Chosen", "Go on", "/begin?with=MEX%2F1%3F")
	with := begin + "?" + url.Values{"with": {"MEX/1?", "halo:12"}}.Encode()
	p.get(with).tells(t, "the question", "Begin with 2 customers?", "Why it is right all the same", "halo:12")
	if r := p.post(begin, with, "etag", "c1", "with", "MEX/1?"); r.status != http.StatusUnprocessableEntity || last[*connectionv1.ApplyConnectionRequest](d) != req {
		t.Errorf("without a reason: answers %d", r.status)
	}
	if r := p.post(begin, with, "etag", "c1", "with", "MEX/1?", "reason", "Inty is read only"); r.to != "/c/acme" {
		t.Errorf("begun: answers %d: %s", r.status, r.body)
	}
	req = last[*connectionv1.ApplyConnectionRequest](d)
	if c := req.GetConnection(); c.GetMode() != connectionv1.Mode_MODE_AUTO || c.GetEtag() != "c1" || req.GetOverrideReason() != "Inty is read only" || !proto.Equal(c.GetCanary(), &connectionv1.Canary{MexIds: []string{"MEX/1?"}}) {
		t.Errorf("begun with %v", req)
	}
	d.fail = rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "the connection was changed by ann").Do("read it again")
	if r := p.post(begin, with, "etag", "c0", "reason", "because"); r.status != http.StatusConflict || !strings.Contains(r.body, "changed by ann") || !strings.Contains(r.body, `value="because"`) {
		t.Errorf("a stale etag: answers %d", r.status)
	}
	d.fail, d.leave.MayLeave, d.leave.Blockers[0].Overridable = nil, false, false
	if r := p.post(begin, page, "etag", "c1", "reason", "because"); r.status != http.StatusConflict || strings.Contains(r.body, "Begin to write</button>") {
		t.Errorf("blocked: answers %d", r.status)
	}
	p.post(page+"/back", page+"/back", "etag", "c1")
	if c := last[*connectionv1.ApplyConnectionRequest](d).GetConnection(); c.GetMode() != connectionv1.Mode_MODE_OBSERVE {
		t.Errorf("back: %v", c)
	}
	r := s.enter(t, "vera", rpc.RoleViewer).get(page)
	r.tells(t, "for a viewer", "Not answered")
	if strings.Contains(r.body, "Keep these answers") || strings.Contains(r.body, "Choose a few") {
		t.Error("a viewer is offered to leave observe")
	}
}

func gbp(amount string) *moneyv1.Money { return &moneyv1.Money{Amount: amount, Currency: "GBP"} }
