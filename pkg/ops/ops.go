// Package ops answers, for every service alike, what it says about itself over gRPC: its part of the
// plan, its change log, how far it is with a run, and the messages that it could not digest.
package ops

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

// Items is what a reconcile engine tells about its items, whatever its domain.
type Items interface {
	KindName() string
	ListPlan(ctx context.Context, db list.DB, req *opsv1.ListPlanItemsRequest) ([]*itemv1.PlanItem, string, error)
	ListChanges(ctx context.Context, db list.DB, req *opsv1.ListChangesRequest) ([]*itemv1.Change, string, error)
	ChangeCounts(ctx context.Context, q reconcile.Querier, connection string, runs []string) ([]*opsv1.RunChangeCount, error)
	Counts(ctx context.Context, q reconcile.Querier, connection, run string) ([]reconcile.Count, error)
	Waiting(ctx context.Context, q reconcile.Querier, connection string) ([]*opsv1.Waiting, error)
	ChangeDays(ctx context.Context, q reconcile.Querier, connection string, from, to time.Time, zone string) ([]*opsv1.ChangeDay, error)
}

// Server answers OpsService for one service.
type Server struct {
	opsv1.UnimplementedOpsServiceServer
	Service string
	Pool    *pgxpool.Pool
	Bus     *bus.Conn
	// Items of the service's engine; nil for a service that writes nothing to Halo.
	Items Items
	// Handlers redrive dead letters, by entity.
	Handlers map[string]event.Handler
	// Busy tells of work under way that no item shows, such as reading Halo; nil for never.
	Busy func(connection string) bool
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) { opsv1.RegisterOpsServiceServer(r, s) }

// ListPlanItems pages through the differences by key. The filter is applied in the database.
func (s *Server) ListPlanItems(ctx context.Context, req *opsv1.ListPlanItemsRequest) (*opsv1.ListPlanItemsResponse, error) {
	if req.GetConnection() == "" {
		return nil, rpc.InvalidArgument("connection", "is missing: a plan belongs to one connection")
	}
	if s.Items == nil {
		return &opsv1.ListPlanItemsResponse{}, nil
	}
	items, next, err := s.Items.ListPlan(ctx, s.Pool, req)
	if err != nil {
		return nil, err
	}
	return &opsv1.ListPlanItemsResponse{Items: items, NextPageToken: next}, nil
}

// ListChanges pages through the change log, newest first.
func (s *Server) ListChanges(ctx context.Context, req *opsv1.ListChangesRequest) (*opsv1.ListChangesResponse, error) {
	if s.Items == nil {
		return &opsv1.ListChangesResponse{}, nil
	}
	changes, next, err := s.Items.ListChanges(ctx, s.Pool, req)
	if err != nil {
		return nil, err
	}
	return &opsv1.ListChangesResponse{Changes: changes, NextPageToken: next}, nil
}

// GetChangeCounts counts what runs brought about.
func (s *Server) GetChangeCounts(ctx context.Context, req *opsv1.GetChangeCountsRequest) (*opsv1.ChangeCounts, error) {
	if n := len(req.GetRuns()); n > 1000 {
		return nil, rpc.InvalidArgument("runs", "names %d runs; at most 1000 are counted at once", n)
	}
	if s.Items == nil || len(req.GetRuns()) == 0 {
		return &opsv1.ChangeCounts{}, nil
	}
	counts, err := s.Items.ChangeCounts(ctx, s.Pool, req.GetConnection(), req.GetRuns())
	if err != nil {
		return nil, err
	}
	return &opsv1.ChangeCounts{Counts: counts}, nil
}

// GetProgress tells how far the service is.
func (s *Server) GetProgress(ctx context.Context, req *opsv1.GetProgressRequest) (*opsv1.Progress, error) {
	p, err := event.Progress(ctx, s.Pool, s.Bus, req.GetConnection(), req.GetRun())
	if err != nil {
		return nil, err
	}
	out := &opsv1.Progress{
		Service: s.Service, Outbox: p.Outbox, Published: p.Published, Activity: p.Activity,
		Busy: s.Busy != nil && s.Busy(req.GetConnection()),
	}
	for _, c := range p.Consumers {
		out.Consumers = append(out.Consumers, &opsv1.Consumer{Entity: c.Entity, Floor: c.Floor, Pending: c.Pending, Unacknowledged: c.Unacknowledged})
	}
	if s.Items == nil {
		return out, nil
	}
	counts, err := s.Items.Counts(ctx, s.Pool, req.GetConnection(), req.GetRun())
	if err != nil {
		return nil, err
	}
	for _, c := range counts {
		out.Items = append(out.Items, &opsv1.StateCount{
			Kind: s.Items.KindName(), State: itemv1.State(c.State), Reason: c.Reason, Count: c.N, Oldest: timestamppb.New(c.Oldest),
		})
	}
	return out, nil
}

// ListDeadLetters pages through what could not be digested, newest first.
func (s *Server) ListDeadLetters(ctx context.Context, req *opsv1.ListDeadLettersRequest) (*opsv1.ListDeadLettersResponse, error) {
	letters, next, err := event.DeadLetters(ctx, s.Pool, req)
	if err != nil {
		return nil, err
	}
	resp := &opsv1.ListDeadLettersResponse{NextPageToken: next}
	for _, l := range letters {
		resp.DeadLetters = append(resp.DeadLetters, letter(l))
	}
	return resp, nil
}

// RedriveDeadLetter digests a message again; it stays where it is when that fails.
func (s *Server) RedriveDeadLetter(ctx context.Context, req *opsv1.DeadLetterRequest) (*opsv1.DeadLetterResponse, error) {
	err := event.Redrive(ctx, s.Pool, req.GetId(), s.Handlers)
	if errors.Is(err, event.ErrNoDeadLetter) {
		return nil, rpc.NotFound("dead letter", req.GetId())
	}
	if err != nil {
		return nil, rpc.FailedPrecondition("redrive_refused", req.GetId(), "the message was refused again: %v", err).
			Do("mend its cause, or discard the message")
	}
	return &opsv1.DeadLetterResponse{}, nil
}

// DiscardDeadLetter drops a message for good.
func (s *Server) DiscardDeadLetter(ctx context.Context, req *opsv1.DeadLetterRequest) (*opsv1.DeadLetterResponse, error) {
	err := event.Discard(ctx, s.Pool, req.GetId())
	if errors.Is(err, event.ErrNoDeadLetter) {
		return nil, rpc.NotFound("dead letter", req.GetId())
	}
	if err != nil {
		return nil, err
	}
	return &opsv1.DeadLetterResponse{}, nil
}

// Republish puts the present state of everything the service owns on the stream once more.
func (s *Server) Republish(ctx context.Context, req *opsv1.RepublishRequest) (*opsv1.RepublishResponse, error) {
	n, err := event.Republish(ctx, s.Pool, req.GetConnection())
	if err != nil {
		return nil, err
	}
	return &opsv1.RepublishResponse{Events: n}, nil
}

func letter(l event.DeadLetter) *opsv1.DeadLetter {
	return &opsv1.DeadLetter{
		Id: l.ID, Subject: l.Subject, Type: l.Type, Connection: l.Connection, Key: l.Key,
		Reason: l.Reason, Time: timestamppb.New(l.Time), Payload: l.Payload,
	}
}
