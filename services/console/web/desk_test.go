package web

import (
	"context"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
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

	connection  *connectionv1.Connection
	leave       *connectionv1.LeaveObserve
	licence     *licencev1.Licence
	classes     []*itemv1.Standing
	rules       *pricingv1.PriceRules
	counts      []*opsv1.StateCount
	invoiceRuns []*invoicelinev1.InvoiceRun // nil: one with three lines held
	changes     []*itemv1.Change
	next        string // token of every list's next page
	fail        error

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

func (d *desk) EnableConnection(_ context.Context, req *connectionv1.EnableConnectionRequest) (*connectionv1.Connection, error) {
	return d.connection, d.note(req)
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
		Applied: &invoicelinev1.Fields{Quantity: "12", UnitPrice: gbp("12.3456")}, MonthlyBefore: gbp("148.15"), MonthlyAfter: gbp("160"), Status: &itemv1.Status{State: itemv1.State_STATE_FAILED, Reason: &itemv1.Reason{Text: "Halo said no."}},
	}
}

func (d *desk) ListInvoiceRuns(context.Context, *invoicelinev1.ListInvoiceRunsRequest) (*invoicelinev1.ListInvoiceRunsResponse, error) {
	if d.invoiceRuns != nil {
		return &invoicelinev1.ListInvoiceRunsResponse{Runs: d.invoiceRuns}, nil
	}
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
	return &opsv1.Progress{Items: d.counts}, nil
}

func (d *desk) ListPlanItems(_ context.Context, req *opsv1.ListPlanItemsRequest) (*opsv1.ListPlanItemsResponse, error) {
	_ = d.note(req) // plans are read by pages that tell of another call's failure
	return &opsv1.ListPlanItemsResponse{}, nil
}

func (d *desk) ListChanges(context.Context, *opsv1.ListChangesRequest) (*opsv1.ListChangesResponse, error) {
	return &opsv1.ListChangesResponse{Changes: d.changes}, nil
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

func gbp(amount string) *moneyv1.Money { return &moneyv1.Money{Amount: amount, Currency: "GBP"} }
