package fetcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	"seatline.dev/pkg/telemetry"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// runServer answers RunService.
type runServer struct {
	runv1.UnimplementedRunServiceServer
	*fetcher
}

func (s *runServer) StartRun(ctx context.Context, req *runv1.StartRunRequest) (*runv1.Run, error) {
	c, err := connections.Latest(ctx, s.Pool, s.Secrets, req.GetConnection())
	if errors.Is(err, connections.ErrUnknown) || err == nil && c.GetDeleted() {
		return nil, rpc.NotFound("connection", req.GetConnection()).Do("look for it with `seatline connections list`")
	}
	if err != nil {
		return nil, err
	}
	if !c.GetEnabled() {
		return nil, rpc.FailedPrecondition("CONNECTION_DISABLED", c.GetSlug(), "connection %q is disabled: enable it first", c.GetSlug())
	}
	r, err := s.start(ctx, c, order{
		scheduled: req.GetAsScheduled(), who: rpc.Who(ctx), customers: req.GetCustomers(), subscriptions: req.GetSubscriptions(),
	})
	var open *openError
	switch {
	case errors.As(err, &open) && open.run.GetOutcome() == runv1.Outcome_OUTCOME_HELD:
		return nil, rpc.FailedPrecondition("RUN_HELD", open.run.GetId(), "run %s is held and must be decided first: release or reject it", open.run.GetId())
	case errors.As(err, &open):
		return nil, rpc.FailedPrecondition("RUN_UNDER_WAY", open.run.GetId(), "run %s of connection %q is under way: watch it, or try again when it is over", open.run.GetId(), c.GetSlug())
	case errors.Is(err, errNotNow):
		return nil, rpc.Unavailable("RUN_UNDER_WAY", time.Second, "a run of connection %q has just begun or ended: try again", c.GetSlug())
	case err != nil:
		return nil, err
	}
	return r.Run, nil
}

var runsSpec = list.Spec{
	Noun: "runs",
	Fields: map[string]list.Field{
		"id":         list.Text("r.id"),
		"connection": list.Text("r.connection"),
		"trigger":    list.Enum("r.trigger", runv1.Trigger(0).Descriptor()),
		"outcome":    list.Enum("r.outcome", runv1.Outcome(0).Descriptor()),
		"start_time": list.Time("r.start_time"),
	},
	Key:          []string{"id"},
	DefaultOrder: "start_time desc",
	Search:       []string{"id", "connection"},
}

func (s *runServer) ListRuns(ctx context.Context, req *runv1.ListRunsRequest) (*runv1.ListRunsResponse, error) {
	query, err := runsSpec.Query(req)
	if err != nil {
		return nil, err
	}
	runs, next, err := list.Collect(ctx, s.Pool, query, list.Select{Columns: "r.body, r.scheduled, r.trace, r.version, r.staged", From: "runs r"},
		func(row pgx.CollectableRow) (*runv1.Run, error) {
			r, err := scanRun(row, "")
			return r.Run, err
		})
	if err != nil {
		return nil, err
	}
	return &runv1.ListRunsResponse{Runs: runs, NextPageToken: next}, nil
}

func (s *runServer) GetRun(ctx context.Context, req *runv1.GetRunRequest) (*runv1.Run, error) {
	r, err := readRun(ctx, s.Pool, req.GetId(), false)
	if err != nil {
		return nil, err
	}
	return r.Run, nil
}

// watchEvery is how often a watched run's row is looked at for its progress. Its end is not waited for so long: it is an
// event, whichever replica runs it.
const watchEvery = 200 * time.Millisecond

func (s *runServer) WatchRun(req *runv1.GetRunRequest, stream grpc.ServerStreamingServer[runv1.Run]) error {
	r, err := readRun(stream.Context(), s.Pool, req.GetId(), false)
	if err != nil {
		return err
	}
	events := make(chan *nats.Msg, 8)
	if r.Outcome == runv1.Outcome_OUTCOME_RUNNING {
		subscription, err := s.Bus.NC.ChanSubscribe(event.Subject(runEvent(r.Run, "")), events)
		if err != nil {
			return fmt.Errorf("watch run %s: %w", req.GetId(), err)
		}
		defer subscription.Unsubscribe() //nolint:errcheck // fails only when the bus is gone
	}
	var sent int64
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		r, err := readRun(stream.Context(), s.Pool, req.GetId(), false)
		if err != nil {
			return err
		}
		if r.version != sent {
			if err := stream.Send(r.Run); err != nil {
				return err
			}
			sent = r.version
		}
		if r.Outcome != runv1.Outcome_OUTCOME_RUNNING {
			return nil // a held run stays so until a person decides
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-ticker.C:
		case <-events:
		}
	}
}

func (s *runServer) ReleaseRun(ctx context.Context, req *runv1.DecideRunRequest) (*runv1.Run, error) {
	return s.decide(ctx, req, func(ctx context.Context, tx pgx.Tx, r record) error {
		c, err := connections.Lock(ctx, tx, r.Connection)
		if err != nil {
			return err
		}
		if c.GetDeleted() {
			return rpc.FailedPrecondition("CONNECTION_DELETED", r.Connection, "connection %q was deleted: reject the run", r.Connection)
		}
		var rows int64
		err = tx.QueryRow(ctx, staged(r.Id, `select count(*) from {staging}`)).Scan(&rows)
		if err != nil {
			return fmt.Errorf("count what run %s staged: %w", r.Id, err)
		}
		if rows != r.staged {
			return s.close(ctx, tx, r.Run, runv1.Outcome_OUTCOME_FAILED, &itemv1.Reason{
				Code: "staging_lost", Text: "what the run had found was lost when the database restarted; nothing was published. Start a new run.",
			})
		}
		found, err := compare(ctx, tx, r.Id, r.Connection)
		if err != nil {
			return err
		}
		if err := apply(ctx, tx, r.Id, r.Connection, found); err != nil {
			return err
		}
		outcome := runv1.Outcome_OUTCOME_SUCCEEDED
		if !r.Complete {
			outcome = runv1.Outcome_OUTCOME_INCOMPLETE
		}
		return s.close(ctx, tx, r.Run, outcome, &itemv1.Reason{Code: "released", Text: decided("released", rpc.Who(ctx), req.GetReason())})
	})
}

func (s *runServer) RejectRun(ctx context.Context, req *runv1.DecideRunRequest) (*runv1.Run, error) {
	return s.decide(ctx, req, func(ctx context.Context, tx pgx.Tx, r record) error {
		return s.close(ctx, tx, r.Run, runv1.Outcome_OUTCOME_REJECTED, &itemv1.Reason{Code: "rejected", Text: decided("rejected", rpc.Who(ctx), req.GetReason())})
	})
}

// decide closes a held run, under the connection's lock. What is published belongs to the run's own trace.
func (s *runServer) decide(ctx context.Context, req *runv1.DecideRunRequest, do func(context.Context, pgx.Tx, record) error) (*runv1.Run, error) {
	if strings.TrimSpace(req.GetReason()) == "" {
		return nil, rpc.InvalidArgument("reason", "is missing: say why, for those who ask later")
	}
	r, err := readRun(ctx, s.Pool, req.GetId(), false)
	if err != nil {
		return nil, err
	}
	conn, err := s.lock(ctx, r.Connection, lettingGo)
	if err != nil {
		return nil, err
	}
	if conn == nil {
		return nil, rpc.Unavailable("RUN_UNDER_WAY", time.Second, "a run of connection %q is being worked on: try again", r.Connection)
	}
	defer hangUp(conn)
	ctx = telemetry.WithTraceParent(ctx, r.trace)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if r, err = readRun(ctx, tx, req.GetId(), true); err != nil {
			return err
		}
		if r.Outcome != runv1.Outcome_OUTCOME_HELD {
			return rpc.FailedPrecondition("RUN_NOT_HELD", r.Id, "run %s is not held but %s: there is nothing to decide", r.Id, strings.ToLower(strings.TrimPrefix(r.Outcome.String(), "OUTCOME_")))
		}
		return do(ctx, tx, r)
	})
	if err != nil {
		return nil, err
	}
	s.Log.Info("held run decided", "connection", r.Connection, "run", r.Id, "outcome", r.Outcome.String(), "who", rpc.Who(ctx), "reason", req.GetReason())
	if err := dropStaging(ctx, conn, r.Id); err != nil {
		s.Log.Warn("staging table is left to the sweep", "run", r.Id, "err", err)
	}
	return r.Run, nil
}

func decided(what, who, why string) string {
	if who == "" {
		who = "an operator"
	}
	return fmt.Sprintf("%s by %s: %s", what, who, strings.TrimSpace(why))
}

var subscriptionsSpec = list.Spec{
	Noun: "subscriptions",
	Fields: map[string]list.Field{
		"connection": list.Text("s.connection"),
		"key":        list.Text("s.key"),
		"mex_id":     list.Text("s.mex_id"),
		"name":       list.Text("s.name"),
		"status":     list.Text("s.status_word"),
		"absent":     list.Bool("(s.absent_since is not null)"),
	},
	Key:    []string{"connection", "key"},
	Search: []string{"key", "name", "mex_id"},
}

func (s *runServer) ListSubscriptions(ctx context.Context, req *runv1.ListSubscriptionsRequest) (*runv1.ListSubscriptionsResponse, error) {
	query, err := subscriptionsSpec.Query(req)
	if err != nil {
		return nil, err
	}
	seen, next, err := list.Collect(ctx, s.Pool, query, list.Select{
		Columns: "s.connection, s.key, s.mex_id, s.name, s.status_word, s.quantity, s.absent_since, s.misses, s.last_run",
		From:    "seen s", Where: "s.entity = 2",
	}, func(row pgx.CollectableRow) (*runv1.SeenSubscription, error) {
		var m runv1.SeenSubscription
		var absent *time.Time
		err := row.Scan(&m.Connection, &m.Key, &m.MexId, &m.Name, &m.StatusWord, &m.Quantity, &absent, &m.Misses, &m.LastRun)
		if absent != nil {
			m.AbsentSince = timestamppb.New(*absent)
		}
		return &m, err
	})
	if err != nil {
		return nil, err
	}
	return &runv1.ListSubscriptionsResponse{Subscriptions: seen, NextPageToken: next}, nil
}
