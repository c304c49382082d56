package rpc

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestErrorsSurviveTheWire(t *testing.T) {
	for name, want := range map[string]*Error{
		"not found":    NotFound("connection", "demo").Do("list them with `seatline connections list`"),
		"invalid":      InvalidArgument("halo.base_url", "%q is no URL", "x").Violate("giacom.account", "is empty"),
		"precondition": FailedPrecondition("RUN_NOT_HELD", "run 7", "run 7 is not held").With("run", "7"),
		"conflict":     Conflict("mapping", "C1"),
		"unavailable":  Unavailable("HALO_BUDGET", 90*time.Second, "Halo's budget is spent"),
	} {
		t.Run(name, func(t *testing.T) {
			// What a client gets: a status from the wire, not our type.
			got, ok := ErrorFrom(status.FromProto(want.GRPCStatus().Proto()).Err())
			if !ok {
				t.Fatal("no status")
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Error{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-sent +received):\n%s", diff)
			}
		})
	}
}

func TestDescribeSaysWhatToWhatAndWhatNext(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{NotFound("connection", "demo").Do("list them with `seatline connections list`"),
			"connection \"demo\" does not exist\n→ list them with `seatline connections list`"},
		{InvalidArgument("a", "is empty").Violate("b", "is 0"), "a: is empty\n  a: is empty\n  b: is 0"},
		{Unavailable("X", 2*time.Second, "Halo's budget is spent"), "Halo's budget is spent\n→ is the service running, and is its address right? `seatline status` asks all of them (in 2s)"},
		{status.Error(codes.PermissionDenied, "no"), "no\n→ use a token whose role allows it"},
		{errors.New("open x.yaml: no such file"), "open x.yaml: no such file"},
	} {
		if diff := cmp.Diff(test.want, Describe(test.err)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int
	}{
		{nil, ExitOK},
		{errors.New("plain"), ExitInternal},
		{InvalidArgument("a", "b"), ExitUsage},
		{fmt.Errorf("wrapped: %w", NotFound("run", "7")), ExitNotFound},
		{Conflict("mapping", "C1"), ExitRefused},
		{status.Error(codes.Unauthenticated, ""), ExitNotAllowed},
		{status.Error(codes.Unavailable, ""), ExitUnavailable},
		{status.Error(codes.Internal, ""), ExitInternal},
		{&Exit{ExitHeld, errors.New("the run is held")}, ExitHeld},
	} {
		if got := ExitCode(test.err); got != test.want {
			t.Errorf("%v exits %d, want %d", test.err, got, test.want)
		}
	}
}

func TestInsideStaysInside(t *testing.T) {
	downstream := status.Error(codes.Unauthenticated, "bad token of the service itself")
	for name, test := range map[string]struct {
		err  error
		code codes.Code // OK: not for the caller at all
	}{
		"plain":                      {errors.New("pq: password of seatline is hunter2"), codes.OK},
		"refusal of another service": {fmt.Errorf("secrets of demo: %w", downstream), codes.OK},
		"own, wrapped":               {fmt.Errorf("get: %w", NotFound("line", "1/2")), codes.NotFound},
		"chosen status":              {status.Error(codes.Unimplemented, "not here"), codes.Unimplemented},
		"cancelled":                  {fmt.Errorf("query: %w", context.Canceled), codes.Canceled},
		"too slow":                   {fmt.Errorf("query: %w", context.DeadlineExceeded), codes.DeadlineExceeded},
		"another service down":       {fmt.Errorf("secrets of demo: %w", status.Error(codes.Unavailable, "10.0.0.7 refused")), codes.Unavailable},
	} {
		answer, _ := outward(test.err)
		if got := status.Code(answer); got != test.code {
			t.Errorf("%s: the caller sees %v, want %v", name, got, test.code)
		}
	}
}
