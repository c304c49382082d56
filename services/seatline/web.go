package main

import (
	"errors"
	"fmt"
	"time"

	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	"seatline.dev/services/console"
	"seatline.dev/services/console/web"
	"seatline.dev/services/console/web/access"
)

// webSettings are those of the web console.
type webSettings struct {
	WebAddr    string `name:"web-addr" env:"SEATLINE_WEB_ADDR" placeholder:"HOST:PORT" help:"Where the web console listens. Default with 'up': 127.0.0.1:7780, or a free port when that is taken; with 'serve console': nowhere. 'none' for nowhere."`
	WebURL     string `name:"web-url" env:"SEATLINE_WEB_URL" placeholder:"URL" help:"Where people find the web console, for example https://seatline.example.com. Other names are refused. Default: its address."`
	WebTLSCert string `name:"web-tls-cert" env:"SEATLINE_WEB_TLS_CERT" type:"path" placeholder:"FILE" help:"Certificate of the web console (PEM). Beyond this machine it refuses plain HTTP."`
	WebTLSKey  string `name:"web-tls-key" env:"SEATLINE_WEB_TLS_KEY" type:"path" placeholder:"FILE" help:"Its key (PEM)."`
	WebProxy   bool   `name:"web-proxy" env:"SEATLINE_WEB_PROXY" help:"A proxy in front of the web console ends TLS, and appends the caller's address to X-Forwarded-For. Nobody else may reach the console's own port."`

	SessionIdle time.Duration `name:"session-idle" env:"SEATLINE_SESSION_IDLE" default:"2h" help:"A session of the web console ends when nobody used it for so long."`
	SessionMax  time.Duration `name:"session-max" env:"SEATLINE_SESSION_MAX" default:"12h" help:"Every session ends after so long; only then is a person's role asked for anew."`

	OIDCIssuer       string           `name:"oidc-issuer" env:"SEATLINE_OIDC_ISSUER" placeholder:"URL" help:"OpenID Connect provider that signs people in, for example https://login.microsoftonline.com/TENANT/v2.0. Register /sign-in/return below the console's address as redirect URI. Empty: local accounts ('seatline console set-password')."`
	OIDCClientID     string           `name:"oidc-client-id" env:"SEATLINE_OIDC_CLIENT_ID" placeholder:"ID" help:"The console's client id there."`
	OIDCClientSecret telemetry.Secret `name:"oidc-client-secret" env:"SEATLINE_OIDC_CLIENT_SECRET" placeholder:"SECRET" help:"Its client secret; empty for a public client."`
	OIDCScopes       []string         `name:"oidc-scopes" env:"SEATLINE_OIDC_SCOPES" default:"profile,email" placeholder:"SCOPE" help:"Scopes to ask for beside openid."`
	OIDCGroupsClaim  string           `name:"oidc-groups-claim" env:"SEATLINE_OIDC_GROUPS_CLAIM" default:"groups" placeholder:"CLAIM" help:"Claim that holds a person's groups or roles."`
	OIDCOperators    []string         `name:"oidc-operators" env:"SEATLINE_OIDC_OPERATORS" placeholder:"WHO" help:"Who may read and command: e-mail addresses, @domains, group:NAME, or * for everybody whom the provider lets in."`
	OIDCViewers      []string         `name:"oidc-viewers" env:"SEATLINE_OIDC_VIEWERS" placeholder:"WHO" help:"Who may read; as for operators."`
	OIDCTrustEmail   bool             `name:"oidc-trust-email" env:"SEATLINE_OIDC_TRUST_EMAIL" help:"Take e-mail addresses that the provider does not call verified (Entra ID calls none so). Right only where people cannot choose their address themselves."`
}

const (
	defaultWebPort = 7780
	noWeb          = "none"
)

// pages is the configuration of the web console.
func (s settings) pages(listening func(url string)) (console.Pages, error) {
	p := console.Pages{Idle: s.SessionIdle, Max: s.SessionMax}
	if s.WebAddr == "" || s.WebAddr == noWeb {
		return p, nil
	}
	wrong := func(format string, args ...any) (console.Pages, error) {
		return p, &rpc.Exit{Code: rpc.ExitUsage, Err: fmt.Errorf("the web console "+format, args...)}
	}
	switch {
	case s.ServiceToken == "":
		return wrong("acts for people with the services' token: set SEATLINE_SERVICE_TOKEN, the same as that of the services")
	case (s.WebTLSCert == "") != (s.WebTLSKey == ""):
		return wrong("needs both a certificate and its key: --web-tls-cert and --web-tls-key")
	case s.WebTLSCert != "" && s.WebProxy:
		return wrong("either ends TLS itself or has a proxy do it: leave out --web-proxy, or --web-tls-cert and --web-tls-key")
	case s.WebProxy && s.WebURL == "":
		return wrong("behind a proxy must know its own address: set --web-url")
	case s.OIDCIssuer != "" && s.OIDCClientID == "":
		return wrong("needs a client id at the OpenID Connect provider: set SEATLINE_OIDC_CLIENT_ID")
	case s.OIDCIssuer != "" && len(s.OIDCOperators)+len(s.OIDCViewers) == 0:
		return wrong("would let nobody in: say who may enter with SEATLINE_OIDC_OPERATORS and SEATLINE_OIDC_VIEWERS")
	case s.SessionIdle <= 0 || s.SessionMax <= 0:
		return p, &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("sessions last for some time: --session-idle and --session-max are more than 0")}
	}
	p.Config = web.Config{
		Addr: s.WebAddr, URL: s.WebURL, TLSCert: s.WebTLSCert, TLSKey: s.WebTLSKey, Proxy: s.WebProxy, Listening: listening,
	}
	if s.OIDCIssuer != "" {
		p.OpenID = &access.OpenID{
			Issuer: s.OIDCIssuer, ClientID: s.OIDCClientID, ClientSecret: s.OIDCClientSecret, Scopes: s.OIDCScopes,
			GroupsClaim: s.OIDCGroupsClaim, Operators: s.OIDCOperators, Viewers: s.OIDCViewers, TrustEmail: s.OIDCTrustEmail,
		}
	}
	return p, nil
}
