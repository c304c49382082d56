package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
)

// OpenID is an identity provider and who of its people may enter. A person matches a list by one of
//
//	zoe@example.com     their e-mail address, verified
//	@example.com        its domain
//	group:Billing       a group, or whatever GroupsClaim holds
//	*                   everybody whom the provider lets in
//
// Operators is looked at first. Who matches neither list stays outside.
type OpenID struct {
	Issuer       string
	ClientID     string
	ClientSecret telemetry.Secret
	Scopes       []string
	// GroupsClaim names the claim that holds groups or roles, a text or a list of them.
	GroupsClaim        string
	Operators, Viewers []string
	// TrustEmail takes e-mail addresses that the provider does not call verified, as Microsoft's Entra ID
	// does not. Right only where people cannot choose the address themselves.
	TrustEmail bool
	// Redirect is the address of the console's own page that the provider sends people back to.
	Redirect string
	// Client reaches the provider; nil for one with a time limit of 15 s.
	Client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider
}

// ErrOutside is the answer to a person whom the provider knows and the settings do not let in.
var ErrOutside = errors.New("is on neither the list of operators nor that of viewers")

func (o *OpenID) client(ctx context.Context) context.Context {
	if o.Client == nil {
		return oidc.ClientContext(ctx, &http.Client{Timeout: 15 * time.Second})
	}
	return oidc.ClientContext(ctx, o.Client)
}

// discover asks the provider about itself, once it is needed: the console starts without it.
func (o *OpenID) discover(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.provider == nil {
		// The provider keeps the context for fetching keys later on.
		p, err := oidc.NewProvider(o.client(context.WithoutCancel(ctx)), o.Issuer)
		if err != nil {
			return nil, fmt.Errorf("identity provider %s: %w", o.Issuer, err)
		}
		o.provider = p
	}
	return o.provider, nil
}

func (o *OpenID) oauth(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret.Reveal(), Endpoint: p.Endpoint(), RedirectURL: o.Redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, slices.DeleteFunc(slices.Clone(o.Scopes), func(s string) bool { return s == oidc.ScopeOpenID })...),
	}
}

// Start returns where to send the browser, and the state that must come back.
func (o *OpenID) Start(ctx context.Context, store *Store, back string) (url, state string, err error) {
	p, err := o.discover(ctx)
	if err != nil {
		return "", "", err
	}
	f := Flow{Nonce: secret(), Verifier: oauth2.GenerateVerifier(), Back: back}
	if state, err = store.BeginFlow(ctx, f); err != nil {
		return "", "", err
	}
	return o.oauth(p).AuthCodeURL(state, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), state, nil
}

// Finish turns the code that the provider sent back with into a person.
func (o *OpenID) Finish(ctx context.Context, f Flow, code string) (Person, error) {
	p, err := o.discover(ctx)
	if err != nil {
		return Person{}, err
	}
	ctx = o.client(ctx)
	token, err := o.oauth(p).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return Person{}, fmt.Errorf("identity provider %s: exchange the code: %w", o.Issuer, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Person{}, fmt.Errorf("identity provider %s: sent no ID token", o.Issuer)
	}
	id, err := p.Verifier(&oidc.Config{ClientID: o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Person{}, fmt.Errorf("identity provider %s: ID token: %w", o.Issuer, err)
	}
	if id.Nonce != f.Nonce {
		return Person{}, fmt.Errorf("identity provider %s: the ID token is of another visit", o.Issuer)
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return Person{}, fmt.Errorf("identity provider %s: claims: %w", o.Issuer, err)
	}
	return o.person(claims)
}

// person decides who somebody with these claims is, and what they may do.
func (o *OpenID) person(claims map[string]any) (Person, error) {
	text := func(name string) string { s, _ := claims[name].(string); return strings.TrimSpace(s) }
	email := strings.ToLower(text("email"))
	// Some providers send "true" as text.
	verified := o.TrustEmail || claims["email_verified"] == true || claims["email_verified"] == "true"
	p := Person{Name: first(text("name"), text("preferred_username"), email, text("sub"))}
	if email != "" && email != p.Name {
		p.Name += " <" + email + ">"
	}
	if len(p.Name) > 200 { // what the change log takes
		p.Name = first(email, text("sub"))
		p.Name = strings.ToValidUTF8(p.Name[:min(len(p.Name), 200)], "")
	}
	if !verified {
		email = ""
	}
	groups := words(claims[o.GroupsClaim])
	switch {
	case member(o.Operators, email, groups):
		p.Role = rpc.RoleOperator
	case member(o.Viewers, email, groups):
		p.Role = rpc.RoleViewer
	default:
		return p, fmt.Errorf("%s %w", p.Name, ErrOutside)
	}
	return p, nil
}

func member(list []string, email string, groups []string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		entry = strings.TrimSpace(entry)
		group, isGroup := strings.CutPrefix(entry, "group:")
		switch {
		case entry == "":
			return false
		case entry == "*":
			return true
		case isGroup:
			return slices.Contains(groups, group)
		case strings.HasPrefix(entry, "@"):
			return strings.HasSuffix(email, strings.ToLower(entry))
		default:
			return email != "" && email == strings.ToLower(entry)
		}
	})
}

// words of a claim that holds a text, or a list of texts.
func words(claim any) []string {
	switch x := claim.(type) {
	case string:
		return []string{x}
	case []any:
		var out []string
		for _, v := range x {
			if s, ok := v.(string); ok {
				out = append(out, s)
			}
		}
		return out
	default:
		return nil
	}
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
