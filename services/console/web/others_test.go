package web_test

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// others are the services beside the console, with answers of a test's.
type others struct {
	runv1.UnimplementedRunServiceServer
	opsv1.UnimplementedOpsServiceServer
	mappingv1.UnimplementedMappingServiceServer
	licencev1.UnimplementedLicenceServiceServer
	invoicelinev1.UnimplementedLineServiceServer

	sync    *runv1.SyncStatus
	runs    []*runv1.Run
	preview *runv1.PullPreview
	counts  []*opsv1.RunChangeCount
	changes []*itemv1.Change
	asked   *runv1.GetPullPreviewRequest
	filter  string
}

func (o *others) register(r grpc.ServiceRegistrar) {
	runv1.RegisterRunServiceServer(r, o)
	opsv1.RegisterOpsServiceServer(r, o)
	mappingv1.RegisterMappingServiceServer(r, o)
	subscriptionv1.RegisterSubscriptionServiceServer(r, skipping{})
	licencev1.RegisterLicenceServiceServer(r, o)
	invoicelinev1.RegisterLineServiceServer(r, o)
}

func (o *others) GetSyncStatus(context.Context, *runv1.GetSyncStatusRequest) (*runv1.SyncStatus, error) {
	if o.sync == nil {
		return nil, rpc.NotFound("connection", "acme") // it has not come here yet
	}
	return o.sync, nil
}

func (o *others) ListRuns(_ context.Context, req *runv1.ListRunsRequest) (*runv1.ListRunsResponse, error) {
	o.filter = req.GetFilter()
	if strings.Contains(req.GetFilter(), "outcome = RUNNING OR") {
		return &runv1.ListRunsResponse{}, nil
	}
	return &runv1.ListRunsResponse{Runs: o.runs}, nil
}

func (o *others) GetRun(_ context.Context, req *runv1.GetRunRequest) (*runv1.Run, error) {
	for _, r := range o.runs {
		if r.GetId() == req.GetId() {
			return r, nil
		}
	}
	return nil, rpc.NotFound("run", req.GetId())
}

func (o *others) GetPullPreview(_ context.Context, req *runv1.GetPullPreviewRequest) (*runv1.PullPreview, error) {
	o.asked = req
	if o.preview == nil {
		return nil, rpc.FailedPrecondition("KEY_REJECTED", "acme", "Giacom refuses the key of connection acme").Do("enter another key")
	}
	return o.preview, nil
}

func (o *others) ListSubscriptions(context.Context, *runv1.ListSubscriptionsRequest) (*runv1.ListSubscriptionsResponse, error) {
	return &runv1.ListSubscriptionsResponse{Subscriptions: []*runv1.SeenSubscription{{Key: "microsoft/1"}, {Key: "microsoft/2"}}}, nil
}

func (o *others) GetProgress(context.Context, *opsv1.GetProgressRequest) (*opsv1.Progress, error) {
	return &opsv1.Progress{}, nil
}

// GetChangeCounts is asked of each of three services, of which one has any.
func (o *others) GetChangeCounts(_ context.Context, req *opsv1.GetChangeCountsRequest) (*opsv1.ChangeCounts, error) {
	counts := o.counts
	o.counts = nil
	return &opsv1.ChangeCounts{Counts: counts}, nil
}

func (o *others) ListChanges(context.Context, *opsv1.ListChangesRequest) (*opsv1.ListChangesResponse, error) {
	changes := o.changes
	o.changes = nil
	return &opsv1.ListChangesResponse{Changes: changes}, nil
}

func (o *others) ListMappings(context.Context, *mappingv1.ListMappingsRequest) (*mappingv1.ListMappingsResponse, error) {
	return &mappingv1.ListMappingsResponse{}, nil
}

func (o *others) ListLicences(context.Context, *licencev1.ListLicencesRequest) (*licencev1.ListLicencesResponse, error) {
	return &licencev1.ListLicencesResponse{}, nil
}

func (o *others) ListLines(context.Context, *invoicelinev1.ListLinesRequest) (*invoicelinev1.ListLinesResponse, error) {
	return &invoicelinev1.ListLinesResponse{Lines: []*invoicelinev1.Line{{Key: "1"}, {Key: "2"}, {Key: "add/3"}}}, nil
}

// skipping answers the mapper's list of what is not billed.
type skipping struct {
	subscriptionv1.UnimplementedSubscriptionServiceServer
}

func (skipping) ListSubscriptions(context.Context, *subscriptionv1.ListSubscriptionsRequest) (*subscriptionv1.ListSubscriptionsResponse, error) {
	return &subscriptionv1.ListSubscriptionsResponse{Subscriptions: []*subscriptionv1.Subscription{{Reason: &itemv1.Reason{Code: "customer_not_mapped"}}}}, nil
}

func pounds(s string) *moneyv1.Money { return &moneyv1.Money{Amount: s, Currency: "GBP"} }

func at(seconds int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: seconds} }
