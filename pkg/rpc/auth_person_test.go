package rpc

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

func TestAServiceActsForAPerson(t *testing.T) {
	var caller Caller
	addr, _, _ := serve(t, Config{Tokens: tokens()}, func(ctx context.Context) (*connectionv1.Connection, error) {
		caller = CallerFrom(ctx)
		return &connectionv1.Connection{}, nil
	})
	service := connectionv1.NewConnectionServiceClient(dial(t, Endpoint{Addr: addr, Token: serviceToken}))
	acting := func(name string, role Role) context.Context {
		t.Helper()
		ctx, err := ActFor(t.Context(), name, role)
		if err != nil {
			t.Fatal(err)
		}
		return ctx
	}
	if _, err := service.GetConnection(acting("Zoë O’Neill 🌱", RoleViewer), &connectionv1.GetConnectionRequest{}); err != nil {
		t.Fatal(err)
	}
	if want := (Caller{Name: "Zoë O’Neill 🌱", Role: RoleViewer, Via: "licence"}); caller != want {
		t.Errorf("the call was made by %+v, want %+v", caller, want)
	}
	// The person's role counts, in both directions: an operator commands, which a service may not, and
	// gets no secrets, which a service may.
	if _, err := service.DeleteConnection(acting("olga", RoleOperator), &connectionv1.GetConnectionRequest{}); err != nil {
		t.Errorf("an operator was refused: %v", err)
	}
	_, err := service.DeleteConnection(acting("vera", RoleViewer), &connectionv1.GetConnectionRequest{})
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "vera") {
		t.Errorf("a viewer's command: %v", err)
	}
	if _, err := service.GetSecrets(acting("olga", RoleOperator), &connectionv1.GetConnectionRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a person's reading of secrets: %v", err)
	}
}

func TestOnlyAServiceMayActForOthers(t *testing.T) {
	never := func(context.Context) (*connectionv1.Connection, error) {
		t.Error("the call came through")
		return &connectionv1.Connection{}, nil
	}
	closed, _, _ := serve(t, Config{Tokens: tokens()}, never)
	open, _, _ := serve(t, Config{InsecureLoopback: true}, never)
	ctx, err := ActFor(t.Context(), "olga", RoleOperator)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(value ...string) context.Context {
		return metadata.NewOutgoingContext(t.Context(), metadata.MD{personKey: value})
	}
	for name, c := range map[string]struct {
		to   Endpoint
		ctx  context.Context
		want codes.Code
	}{
		"viewer":          {Endpoint{Addr: closed, Token: viewerToken}, ctx, codes.PermissionDenied},
		"operator":        {Endpoint{Addr: closed, Token: operatorToken}, ctx, codes.PermissionDenied},
		"nobody":          {Endpoint{Addr: closed}, ctx, codes.Unauthenticated},
		"without a token": {Endpoint{Addr: open}, ctx, codes.PermissionDenied},
		"for a service":   {Endpoint{Addr: closed, Token: serviceToken}, raw(`{"name":"x","role":"service"}`), codes.InvalidArgument},
		"for no one":      {Endpoint{Addr: closed, Token: serviceToken}, raw(`{"role":"operator"}`), codes.InvalidArgument},
		"for two":         {Endpoint{Addr: closed, Token: serviceToken}, raw(`{"name":"x","role":"viewer"}`, `{"name":"y","role":"operator"}`), codes.InvalidArgument},
		"for nonsense":    {Endpoint{Addr: closed, Token: serviceToken}, raw("olga"), codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := connectionv1.NewConnectionServiceClient(dial(t, c.to)).GetConnection(c.ctx, &connectionv1.GetConnectionRequest{})
			if status.Code(err) != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	for name, role := range map[string]Role{"": RoleViewer, "x": RoleService, strings.Repeat("x", 201): RoleViewer} {
		if _, err := ActFor(t.Context(), name, role); err == nil {
			t.Errorf("ActFor takes %q as %s", name, role)
		}
	}
}
