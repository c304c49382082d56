package main

import (
	"strings"
	"testing"

	"seatline.dev/pkg/rpc"
)

func TestTheWebConsoleIsServedOnlyWhenItIsSafe(t *testing.T) {
	well := settings{ServiceToken: "ssssssssssssssss", webSettings: webSettings{WebAddr: "127.0.0.1:0", SessionIdle: 1, SessionMax: 1}}
	if p, err := well.pages(nil); err != nil || p.Addr != "127.0.0.1:0" || p.OpenID != nil {
		t.Errorf("%+v, %v", p, err)
	}
	for _, addr := range []string{"", noWeb} {
		s := well
		s.WebAddr = addr
		if p, err := s.pages(nil); err != nil || p.Addr != "" {
			t.Errorf("%q: %+v, %v", addr, p, err)
		}
	}
	for name, c := range map[string]struct {
		change func(*settings)
		says   string
	}{
		"no token":           {func(s *settings) { s.ServiceToken = "" }, "SEATLINE_SERVICE_TOKEN"},
		"certificate alone":  {func(s *settings) { s.WebTLSCert = "x" }, "--web-tls-key"},
		"TLS twice":          {func(s *settings) { s.WebTLSCert, s.WebTLSKey, s.WebProxy = "x", "y", true }, "--web-proxy"},
		"proxy without name": {func(s *settings) { s.WebProxy = true }, "--web-url"},
		"no client":          {func(s *settings) { s.OIDCIssuer, s.OIDCViewers = "https://id", []string{"*"} }, "SEATLINE_OIDC_CLIENT_ID"},
		"nobody may enter":   {func(s *settings) { s.OIDCIssuer, s.OIDCClientID = "https://id", "x" }, "SEATLINE_OIDC_OPERATORS"},
		"no time":            {func(s *settings) { s.SessionMax = 0 }, "--session-max"},
	} {
		s := well
		c.change(&s)
		if _, err := s.pages(nil); err == nil || rpc.ExitCode(err) != rpc.ExitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigKeepsTheClientSecretToItself(t *testing.T) {
	clear(t)
	t.Setenv("SEATLINE_OIDC_CLIENT_SECRET", "hunter2hunter2")
	t.Setenv("SEATLINE_OIDC_OPERATORS", "zoe@example.com,group:Billing")
	code, out, errs := call(t, "config")
	if code != 0 || strings.Contains(out, "hunter2") || !strings.Contains(out, "oidc-client-secret: '[redacted]'") && !strings.Contains(out, `oidc-client-secret: "[redacted]"`) {
		t.Errorf("exit code %d %s: %s", code, errs, out)
	}
	// What is printed can be read again.
	path := configFile(t, out)
	code, again, errs := call(t, "config", "--config", path)
	if code != 0 || !strings.Contains(again, "oidc-operators: zoe@example.com,group:Billing") {
		t.Errorf("exit code %d %s: %s", code, errs, again)
	}
}
