package web

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	"seatline.dev/services/console/web/access"
	"seatline.dev/services/overview"
)

type personKey struct{}

// forPeople makes every call that of the person in its context: the console's own token could read
// secrets, so no call may go out without a person whose role says what it may.
func forPeople(s overview.Services) overview.Services {
	return overview.Services{Console: personal{s.Console}, Fetcher: personal{s.Fetcher}, Mapper: personal{s.Mapper}, Licence: personal{s.Licence}, Billing: personal{s.Billing}}
}

type personal struct{ grpc.ClientConnInterface }

func acting(ctx context.Context) (context.Context, error) {
	p, ok := ctx.Value(personKey{}).(access.Person)
	if !ok {
		return nil, rpc.Errorf(codes.Unauthenticated, "NOBODY", "nobody is signed in")
	}
	return rpc.ActFor(ctx, p.Name, p.Role)
}

func (c personal) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	ctx, err := acting(ctx)
	if err != nil {
		return err
	}
	return c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

func (c personal) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, err := acting(ctx)
	if err != nil {
		return nil, err
	}
	return c.ClientConnInterface.NewStream(ctx, desc, method, opts...)
}
