package fetcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// GetSyncStatus tells what the schedule of a connection has done and will do.
func (s *runServer) GetSyncStatus(ctx context.Context, req *runv1.GetSyncStatusRequest) (*runv1.SyncStatus, error) {
	c, err := connections.Read(ctx, s.Pool, req.GetConnection())
	if errors.Is(err, connections.ErrUnknown) {
		return nil, rpc.NotFound("connection", req.GetConnection()).Do("look for it with `seatline connections list`")
	}
	if err != nil {
		return nil, err
	}
	out := &runv1.SyncStatus{Connection: c.GetSlug()}
	for _, x := range []struct {
		to    **runv1.Run
		where string
	}{
		{&out.LastRun, "outcome not in (1, 4)"}, {&out.LastSuccess, "outcome = 2"},
		{&out.LastError, "outcome in (3, 6, 7)"}, {&out.OpenRun, "outcome in (1, 4)"},
	} {
		if *x.to, err = s.newest(ctx, c.GetSlug(), x.where); err != nil {
			return nil, err
		}
	}
	if out.LastError.GetStartTime().AsTime().Before(out.LastSuccess.GetStartTime().AsTime()) {
		out.LastError = nil // it has come right since
	}
	out.NextTimes, out.NoNext, err = s.upcoming(ctx, c, out.GetOpenRun())
	return out, err
}

// newest is the latest run of a connection that meets the condition; nil for none.
func (s *runServer) newest(ctx context.Context, connection, where string) (*runv1.Run, error) {
	r, err := scanRun(s.Pool.QueryRow(ctx, `select body, scheduled, trace, version, staged from runs
		where connection = $1 and `+where+` order by start_time desc, id desc limit 1`, connection), "")
	if rpc.Reason(err) == "NOT_FOUND" || errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return r.Run, err
}

// upcoming are the next times of the schedule, or why there is none.
func (s *runServer) upcoming(ctx context.Context, c *connectionv1.Connection, open *runv1.Run) ([]*timestamppb.Timestamp, string, error) {
	switch {
	case c.GetDeleted():
		return nil, "The connection is deleted.", nil
	case !c.GetEnabled():
		return nil, "The connection is disabled.", nil
	case !c.GetSchedule().GetEnabled():
		return nil, "The integrator is switched off: imports are started by hand.", nil
	case open.GetOutcome() == runv1.Outcome_OUTCOME_HELD:
		return nil, fmt.Sprintf("Run %s is held: release or reject it first.", open.GetId()), nil
	}
	last, err := lastScheduled(ctx, s.Pool, c.GetSlug())
	if err != nil {
		return nil, "", err
	}
	since := s.began
	if t := c.GetCreateTime(); t != nil {
		since = t.AsTime()
	}
	var all []*timestamppb.Timestamp
	at := last.start
	for len(all) < 5 {
		next, err := due(c.GetSchedule(), at, since)
		if err != nil {
			return nil, err.Error(), nil
		}
		at = next
		now := s.Clock.Now()
		if len(all) == 0 { // what was missed is one run, and a refusal by Giacom puts it off
			next = latest(next, last.retryAt)
			if open == nil {
				next = latest(next, now)
			}
		}
		if next.Before(now) || len(all) > 0 && !next.After(all[len(all)-1].AsTime()) {
			continue
		}
		all = append(all, timestamppb.New(next))
	}
	return all, "", nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
