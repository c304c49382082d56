package access

import (
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	accessv1 "seatline.dev/proto/seatline/access/v1"
)

func TestWhoMayChangeWhoEnters(t *testing.T) {
	s, _, _ := stores(t)
	var log strings.Builder
	own := &Server{Store: s, Log: slog.New(slog.NewTextHandler(&log, nil))}
	var tokens []rpc.Token
	for _, role := range []rpc.Role{rpc.RoleViewer, rpc.RoleOperator, rpc.RoleService} {
		tokens = append(tokens, rpc.Token{Name: string(role), Role: role, Secret: telemetry.Secret("token-of-the-" + string(role))})
	}
	server, err := rpc.NewServer(rpc.Config{Addr: "127.0.0.1:0", Tokens: tokens}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	accessv1.RegisterAccessServiceServer(server, own)
	eventtest.Run(t, server.Serve)
	as := func(role rpc.Role) accessv1.AccessServiceClient {
		conn, err := rpc.Dial(rpc.Endpoint{Addr: server.Addr(), Token: telemetry.Secret("token-of-the-" + string(role))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return accessv1.NewAccessServiceClient(conn)
	}
	operator := as(rpc.RoleOperator)
	set := &accessv1.SetPasswordRequest{Password: "correct horse battery"}
	for _, role := range []rpc.Role{rpc.RoleViewer, rpc.RoleService} {
		if _, err := as(role).SetPassword(t.Context(), set); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", role, err)
		}
	}
	// A person in the web console is an operator too, but may not make an account to come back with.
	ctx, err := rpc.ActFor(t.Context(), "olga", rpc.RoleOperator)
	if err != nil {
		t.Fatal(err)
	}
	web := as(rpc.RoleService)
	_, err1 := web.SetPassword(ctx, set)
	_, err2 := web.CreateSignInLink(ctx, &accessv1.CreateSignInLinkRequest{})
	_, err3 := web.EndSessions(ctx, &accessv1.EndSessionsRequest{All: true})
	_, err4 := web.DeleteAccount(ctx, &accessv1.DeleteAccountRequest{Name: "admin"})
	for i, err := range []error{err1, err2, err3, err4} {
		if rpc.Reason(err) != "COMMAND_LINE_ONLY" {
			t.Errorf("call %d from within the web console: %v", i, err)
		}
	}
	if a, err := operator.SetPassword(t.Context(), set); err != nil || a.GetName() != "admin" || a.GetRole() != accessv1.Role_ROLE_OPERATOR {
		t.Fatalf("%v, %v", a, err)
	}
	if p, err := s.SignIn(t.Context(), "admin", "correct horse battery", ""); err != nil || p.Role != rpc.RoleOperator {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := operator.CreateSignInLink(t.Context(), &accessv1.CreateSignInLinkRequest{}); rpc.Reason(err) != "NO_SIGN_IN_LINKS" {
		t.Errorf("a link beyond this machine: %v", err)
	}
	own.Link = func(secret string) string { return "http://127.0.0.1/once?link=" + secret }
	link, err := operator.CreateSignInLink(t.Context(), &accessv1.CreateSignInLinkRequest{Name: "vera", Role: accessv1.Role_ROLE_VIEWER})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	if p, ok, err := s.UseLink(t.Context(), u.Query().Get("link")); !ok || err != nil || p != (Person{"vera", rpc.RoleViewer}) {
		t.Errorf("%v, %v, %v", p, ok, err)
	}
	if strings.Contains(log.String(), "correct horse") || strings.Contains(log.String(), u.Query().Get("link")) {
		t.Error("a secret is in the log")
	}
	for _, who := range []string{"a", "b"} {
		if _, err := s.Begin(t.Context(), Person{who, rpc.RoleViewer}, ByOpenID, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := operator.EndSessions(t.Context(), &accessv1.EndSessionsRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("nobody named: %v", err)
	}
	if r, err := operator.EndSessions(t.Context(), &accessv1.EndSessionsRequest{Name: "a"}); err != nil || r.GetEnded() != 1 {
		t.Errorf("%v, %v", r, err)
	}
	if r, err := as(rpc.RoleViewer).ListSessions(t.Context(), &accessv1.ListSessionsRequest{}); err != nil || len(r.GetSessions()) != 1 || r.GetSessions()[0].GetName() != "b" {
		t.Errorf("%v, %v", r, err)
	}
}
