package access

import (
	"context"
	"log/slog"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	accessv1 "seatline.dev/proto/seatline/access/v1"
)

// Server answers AccessService.
type Server struct {
	accessv1.UnimplementedAccessServiceServer
	Store *Store
	Log   *slog.Logger
	// Link makes the address of a one-time link from its secret; nil when none can be: the console has
	// no pages, or others than this machine can reach them.
	Link func(secret string) string
}

// inPerson refuses those who are signed in to the web console: who got at a browser for a minute must
// not be able to make an account to come back with.
func inPerson(ctx context.Context) error {
	if caller := rpc.CallerFrom(ctx); caller.Via != "" {
		return rpc.Errorf(codes.PermissionDenied, "COMMAND_LINE_ONLY", "%s may not change who enters the console from within it", caller.Name).
			Do("use the command line: seatline console --help")
	}
	return nil
}

// ListAccounts by name.
func (s *Server) ListAccounts(ctx context.Context, _ *accessv1.ListAccountsRequest) (*accessv1.ListAccountsResponse, error) {
	accounts, err := s.Store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	resp := &accessv1.ListAccountsResponse{}
	for _, a := range accounts {
		resp.Accounts = append(resp.Accounts, account(a))
	}
	return resp, nil
}

// SetPassword makes or changes an account.
func (s *Server) SetPassword(ctx context.Context, req *accessv1.SetPasswordRequest) (*accessv1.Account, error) {
	if err := inPerson(ctx); err != nil {
		return nil, err
	}
	p := Person{Name: strings.ToLower(first(strings.TrimSpace(req.GetName()), "admin")), Role: role(req.GetRole())}
	a, err := s.Store.SetPassword(ctx, p, telemetry.Secret(req.GetPassword()))
	if err != nil {
		return nil, err
	}
	s.Log.InfoContext(ctx, "password set", "account", p.Name, "role", p.Role, "who", rpc.Who(ctx))
	return account(a), nil
}

// DeleteAccount with its sessions.
func (s *Server) DeleteAccount(ctx context.Context, req *accessv1.DeleteAccountRequest) (*accessv1.DeleteAccountResponse, error) {
	if err := inPerson(ctx); err != nil {
		return nil, err
	}
	if err := s.Store.DeleteAccount(ctx, strings.ToLower(req.GetName())); err != nil {
		return nil, err
	}
	s.Log.InfoContext(ctx, "account deleted", "account", req.GetName(), "who", rpc.Who(ctx))
	return &accessv1.DeleteAccountResponse{}, nil
}

// ListSessions that are open.
func (s *Server) ListSessions(ctx context.Context, _ *accessv1.ListSessionsRequest) (*accessv1.ListSessionsResponse, error) {
	sessions, err := s.Store.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	resp := &accessv1.ListSessionsResponse{}
	for _, x := range sessions {
		resp.Sessions = append(resp.Sessions, &accessv1.Session{
			Name: x.Name, Role: wire(x.Role), Method: string(x.Method), Address: x.Address,
			CreateTime: timestamppb.New(x.Created), LastTime: timestamppb.New(x.Last), ExpireTime: timestamppb.New(x.ExpiresAt),
		})
	}
	return resp, nil
}

// EndSessions of one name, or of everybody.
func (s *Server) EndSessions(ctx context.Context, req *accessv1.EndSessionsRequest) (*accessv1.EndSessionsResponse, error) {
	if err := inPerson(ctx); err != nil {
		return nil, err
	}
	if (req.GetName() == "") != req.GetAll() {
		return nil, rpc.InvalidArgument("name", "give the name of one person, or ask for all")
	}
	n, err := s.Store.EndOf(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	s.Log.InfoContext(ctx, "sessions ended", "of", req.GetName(), "sessions", n, "who", rpc.Who(ctx))
	return &accessv1.EndSessionsResponse{Ended: n}, nil
}

// CreateSignInLink for a console on loopback.
func (s *Server) CreateSignInLink(ctx context.Context, req *accessv1.CreateSignInLinkRequest) (*accessv1.SignInLink, error) {
	if err := inPerson(ctx); err != nil {
		return nil, err
	}
	if s.Link == nil {
		return nil, rpc.FailedPrecondition("NO_SIGN_IN_LINKS", "console", "the console serves no pages, or serves them beyond this machine, where links that sign in are not made").
			Do("sign in with the identity provider, or set a password: seatline console set-password")
	}
	p := Person{Name: first(strings.TrimSpace(req.GetName()), "local"), Role: role(req.GetRole())}
	if len(p.Name) > 200 {
		return nil, rpc.InvalidArgument("name", "it is longer than 200 bytes")
	}
	id, until, err := s.Store.NewLink(ctx, p)
	if err != nil {
		return nil, err
	}
	s.Log.InfoContext(ctx, "sign-in link made", "for", p.Name, "role", p.Role, "who", rpc.Who(ctx))
	return &accessv1.SignInLink{Url: s.Link(id), ExpireTime: timestamppb.New(until)}, nil
}

func account(a Account) *accessv1.Account {
	return &accessv1.Account{Name: a.Name, Role: wire(a.Role), UpdateTime: timestamppb.New(a.Updated)}
}

func role(r accessv1.Role) rpc.Role {
	if r == accessv1.Role_ROLE_VIEWER {
		return rpc.RoleViewer
	}
	return rpc.RoleOperator
}

func wire(r rpc.Role) accessv1.Role {
	if r == rpc.RoleViewer {
		return accessv1.Role_ROLE_VIEWER
	}
	return accessv1.Role_ROLE_OPERATOR
}
