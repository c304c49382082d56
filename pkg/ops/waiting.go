package ops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/rpc"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// ListWaiting groups what is not in sync by why. Reasons are few: all come on the first page.
func (s *Server) ListWaiting(ctx context.Context, req *opsv1.ListWaitingRequest) (*opsv1.ListWaitingResponse, error) {
	if req.GetConnection() == "" {
		return nil, rpc.InvalidArgument("connection", "is missing")
	}
	if s.Items == nil {
		return &opsv1.ListWaitingResponse{}, nil
	}
	waiting, err := s.Items.Waiting(ctx, s.Pool, req.GetConnection())
	if err != nil {
		return nil, err
	}
	return &opsv1.ListWaitingResponse{Waiting: waiting}, nil
}

// longest is how many days a chart may have.
const longest = 400 * 24 * time.Hour

// ListChangeDays groups what was written by day and class. A day has few classes: all come on the first page.
func (s *Server) ListChangeDays(ctx context.Context, req *opsv1.ListChangeDaysRequest) (*opsv1.ListChangeDaysResponse, error) {
	if req.GetConnection() == "" {
		return nil, rpc.InvalidArgument("connection", "is missing")
	}
	name := req.GetTimeZone()
	if name == "" {
		name = "Europe/London"
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, rpc.InvalidArgument("time_zone", "%q is not an IANA name, such as Europe/London", name)
	}
	now := time.Now().In(zone)
	from := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, zone)
	to := from.AddDate(0, 1, 0)
	if t := req.GetStartTime(); t != nil {
		from = t.AsTime()
	}
	if t := req.GetEndTime(); t != nil {
		to = t.AsTime()
	}
	if !from.Before(to) || to.Sub(from) > longest {
		return nil, rpc.InvalidArgument("end_time", "%s to %s is not a time of 1 to 400 days", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	if s.Items == nil {
		return &opsv1.ListChangeDaysResponse{}, nil
	}
	days, err := s.Items.ChangeDays(ctx, s.Pool, req.GetConnection(), from, to, name)
	if err != nil {
		return nil, err
	}
	return &opsv1.ListChangeDaysResponse{Days: days}, nil
}

// GetHaloBudget tells what is left of the requests that everybody together may send to an instance.
func (s *Server) GetHaloBudget(ctx context.Context, req *opsv1.GetHaloBudgetRequest) (*opsv1.HaloBudget, error) {
	if s.Items == nil {
		return nil, rpc.FailedPrecondition("NO_HALO", s.Service, "the service %s does not speak with Halo", s.Service).Do("ask mapper, licence or billing")
	}
	c, err := connections.Read(ctx, s.Pool, req.GetConnection())
	if errors.Is(err, connections.ErrUnknown) {
		return nil, rpc.NotFound("connection", req.GetConnection()).Do("list them with `seatline connections list`")
	}
	if err != nil {
		return nil, err
	}
	bucket, err := s.Bus.JS.KeyValue(ctx, bus.BudgetBucket)
	if err != nil {
		return nil, fmt.Errorf("bucket %s of request budgets: %w", bus.BudgetBucket, err)
	}
	h := c.GetHalo()
	b := halo.NewBudget(halo.BudgetConfig{
		Bucket: bucket, Key: halo.InstanceKey(h.GetBaseUrl(), h.GetTenant()), Limit: int(h.GetBudgetRequests()), Period: h.GetBudgetWindow().AsDuration(),
	})
	left, err := b.Left(ctx)
	if err != nil {
		return nil, err
	}
	window := h.GetBudgetWindow().AsDuration()
	if window <= 0 {
		window = halo.DefaultPeriod
	}
	return &opsv1.HaloBudget{Instance: h.GetInstance(), Limit: int64(b.Limit()), Left: int64(left), Window: durationpb.New(window)}, nil
}
