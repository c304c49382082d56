package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"seatline.dev/pkg/telemetry"
)

// Role says what a caller may do.
type Role string

const (
	// RoleViewer reads everything but secrets.
	RoleViewer Role = "viewer"
	// RoleOperator reads and commands; no secrets.
	RoleOperator Role = "operator"
	// RoleService reads, and obtains secrets; it commands nothing.
	RoleService Role = "service"
)

// Token lets whoever carries it act in a role.
type Token struct {
	// Name of the caller for the change log, for example "alice" or "licence".
	Name   string
	Role   Role
	Secret telemetry.Secret
}

// Caller is who makes the present call.
type Caller struct {
	Name string
	Role Role
	// Via is the name of the service that acts for the caller, a person who is signed in there;
	// empty for a caller who came with a token or certificate of their own.
	Via string
}

type callerKey struct{}

// CallerFrom returns who makes the call that ctx belongs to; the zero Caller outside of one.
func CallerFrom(ctx context.Context) Caller {
	caller, _ := ctx.Value(callerKey{}).(Caller)
	return caller
}

// Who is the caller's name for the change log; "" outside of a call.
func Who(ctx context.Context) string { return CallerFrom(ctx).Name }

// AskOutside refuses viewers a read that asks Giacom or Halo: what these answer in a given time is limited, and the work
// needs it. Viewers look at what is known.
func AskOutside(ctx context.Context) error {
	if caller := CallerFrom(ctx); caller.Role == RoleViewer {
		return Errorf(codes.PermissionDenied, "ROLE_FORBIDS", "%s is a viewer, and this asks Giacom or Halo anew", caller.Name).
			Do("look at what is known already, or have an operator do it")
	}
	return nil
}

// WithCaller makes ctx belong to caller, for in-process calls and tests.
func WithCaller(ctx context.Context, caller Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, caller)
}

// right is what a method needs.
type right int

const (
	rightNone right = iota
	rightRead
	rightCommand
	rightSecrets
)

// rightFor tells by the method's name what it needs: a method that is not known to only read counts
// as a command, so that a new one is never open by accident.
func rightFor(fullMethod string) right {
	service, method, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	switch {
	case strings.HasPrefix(service, "grpc.health."):
		return rightNone // probes carry no token, and health says nothing about anyone
	case strings.HasPrefix(service, "grpc.reflection."):
		return rightRead
	case strings.HasPrefix(method, "GetSecret"):
		return rightSecrets
	case strings.HasPrefix(method, "Get"), strings.HasPrefix(method, "List"), strings.HasPrefix(method, "Watch"):
		return rightRead
	default:
		return rightCommand
	}
}

func (r Role) may(need right) bool {
	switch need {
	case rightNone:
		return true
	case rightRead:
		return r == RoleViewer || r == RoleOperator || r == RoleService
	case rightCommand:
		return r == RoleOperator
	case rightSecrets:
		return r == RoleService
	default:
		return false
	}
}

// Valid tells whether r is one of the roles.
func (r Role) Valid() bool { return r == RoleViewer || r == RoleOperator || r == RoleService }

type authenticator struct {
	tokens []Token
	// open lets a caller without a token act as an operator; never set off loopback.
	open bool
}

// authorise finds the caller and checks that it may call the method.
func (a authenticator) authorise(ctx context.Context, fullMethod string) (context.Context, error) {
	need := rightFor(fullMethod)
	if need == rightNone {
		return ctx, nil
	}
	caller, err := a.caller(ctx)
	if err != nil {
		return nil, err
	}
	if caller, err = represented(ctx, caller); err != nil {
		return nil, err
	}
	if !caller.Role.may(need) {
		return nil, Errorf(codes.PermissionDenied, "ROLE_FORBIDS", "%s has the role %s, which may not call %s", caller.Name, caller.Role, fullMethod)
	}
	return WithCaller(ctx, caller), nil
}

func (a authenticator) caller(ctx context.Context) (Caller, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if values := md.Get("authorization"); len(values) > 0 {
		scheme, given, _ := strings.Cut(values[0], " ")
		if !strings.EqualFold(scheme, "bearer") {
			return Caller{}, Errorf(codes.Unauthenticated, "SCHEME_UNKNOWN", "the authorization is not a bearer token")
		}
		if token, ok := a.match(strings.TrimSpace(given)); ok {
			return Caller{Name: token.Name, Role: token.Role}, nil
		}
		return Caller{}, Errorf(codes.Unauthenticated, "TOKEN_UNKNOWN", "the token is not known to this service")
	}
	if caller, ok := certificateCaller(ctx); ok {
		return caller, nil
	}
	if a.open {
		return Caller{Name: "local", Role: RoleOperator}, nil
	}
	return Caller{}, Errorf(codes.Unauthenticated, "TOKEN_MISSING", "the call carries no token")
}

// match compares with every token, by digest and in constant time, so that timing tells nothing.
func (a authenticator) match(given string) (found Token, ok bool) {
	sum := sha256.Sum256([]byte(given))
	for _, token := range a.tokens {
		want := sha256.Sum256([]byte(token.Secret.Reveal()))
		if subtle.ConstantTimeCompare(sum[:], want[:]) == 1 && token.Secret != "" {
			found, ok = token, true
		}
	}
	return found, ok
}

// certificateCaller reads who calls from a verified client certificate: its common name, and its
// organisational unit for the role.
func certificateCaller(ctx context.Context) (Caller, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, false
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return Caller{}, false
	}
	subject := info.State.VerifiedChains[0][0].Subject
	for _, unit := range subject.OrganizationalUnit {
		if role := Role(unit); role.Valid() && subject.CommonName != "" {
			return Caller{Name: subject.CommonName, Role: role}, true
		}
	}
	return Caller{}, false
}
