package console

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/rpc"
)

// peerTime is how long one of several services may take over its part of an answer.
const peerTime = 10 * time.Second

// absent notes the services that gave no answer.
type absent []string

// ask calls a service for its part of an answer, and notes when it did not come: the rest is worth
// having. What the service answers with an error for the caller, such as NOT_FOUND, is returned.
func (a *absent) ask(ctx context.Context, service string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, peerTime)
	defer cancel()
	err := call(ctx)
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown:
		if !slices.Contains(*a, service) {
			*a = append(*a, service)
		}
		return nil
	case codes.Canceled:
		return ctx.Err()
	}
	return err
}

// unreachable is the error of a service that a whole answer depends on.
func unreachable(service string, err error) error {
	switch status.Code(err) {
	case codes.Unavailable:
		return rpc.Unavailable("SERVICE_UNREACHABLE", 5*time.Second, "the %s does not answer", service).
			Do("see that it runs (seatline status), and try again")
	}
	e, _ := rpc.ErrorFrom(err)
	return e
}
