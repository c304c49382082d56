package halo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// renewEarly is how long before its end a token is no longer used [C].
const renewEarly = time.Minute

// Credentials are those of the Halo application (client credentials grant). They appear in no log and no error.
type Credentials struct {
	ClientID string
	Secret   string
	// Tenant is sent as a query parameter, which hosted tenants need [C]; empty for a self-hosted Halo.
	Tenant string
	// Scope is space-separated; empty is DefaultScope.
	Scope string
}

// String keeps the secret out of anything that prints the struct.
func (c Credentials) String() string { return "halo application " + c.ClientID }

// DefaultScope is what Seatline needs and no more.
const DefaultScope = "read:customers edit:customers read:items read:invoices edit:invoices read:softwarelicensing edit:softwarelicensing"

// tokens keeps one access token and renews it when it is about to end, one request for all who wait.
type tokens struct {
	http  *http.Client
	agent string
	url   string
	creds Credentials
	clock clockwork.Clock
	take  func(context.Context) error
	sent  func(context.Context, error) // counts a request that was sent

	turn  chan struct{} // held by whoever renews
	mu    sync.Mutex
	token string
	until time.Time
	scope string // as Halo worded what it granted; "" when it said nothing
}

// get is a token that is good for now. One equal to refused is not given again.
func (t *tokens) get(ctx context.Context, refused string) (string, error) {
	if token := t.current(refused); token != "" {
		return token, nil
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-t.turn }()
	if token := t.current(refused); token != "" {
		return token, nil
	}
	token, life, err := t.renew(ctx)
	if err != nil {
		return "", err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token, t.until = token, t.clock.Now().Add(max(life-renewEarly, life/2))
	return token, nil
}

func (t *tokens) current(refused string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == refused || !t.clock.Now().Before(t.until) {
		return ""
	}
	return t.token
}

func (t *tokens) renew(ctx context.Context) (token string, life time.Duration, err error) {
	fail := func(class Class, status int, message string, err error) (string, time.Duration, error) {
		return "", 0, &Error{Class: class, Method: http.MethodPost, Route: "/token", Status: status, Message: message, Err: err}
	}
	if err := t.take(ctx); err != nil {
		return "", 0, err
	}
	defer func() { t.sent(ctx, err) }()
	address := t.url
	if t.creds.Tenant != "" {
		address += "?" + url.Values{"tenant": {t.creds.Tenant}}.Encode()
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {t.creds.ClientID}, "client_secret": {t.creds.Secret}, "scope": {t.creds.Scope},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return fail(Unauthorised, 0, "the token address is not usable", err)
	}
	req.Header.Set("User-Agent", t.agent)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	res, err := t.http.Do(req)
	if err != nil {
		return fail(Unavailable, 0, "", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fail(Unavailable, res.StatusCode, "", err)
	}
	switch {
	case res.StatusCode == http.StatusTooManyRequests:
		return fail(RateLimited, res.StatusCode, "", nil)
	case res.StatusCode >= 500: // also what a wrong tenant gets [C]
		return fail(Unavailable, res.StatusCode, "the token server failed, which is also how it answers an unknown tenant", nil)
	case res.StatusCode >= 300:
		message, _ := parseRefusal(body)
		return fail(Unauthorised, res.StatusCode, message, nil)
	}
	var reply struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   Int    `json:"expires_in"`
		Scope       Text   `json:"scope"`
	}
	if err := json.Unmarshal(body, &reply); err != nil || reply.AccessToken == "" {
		return fail(Unauthorised, res.StatusCode, "the reply holds no token; is this the address of Halo's authorisation server?", nil)
	}
	t.mu.Lock()
	t.scope = reply.Scope.Value
	t.mu.Unlock()
	if life = time.Duration(reply.ExpiresIn) * time.Second; life <= 0 {
		life = time.Hour // what every Halo is seen to use [C]
	}
	return reply.AccessToken, life, nil
}

// Discover asks a Halo instance, without a token, for its authorisation server and tenant [C]. agent is as in [Config].
func Discover(ctx context.Context, client *http.Client, agent, baseURL string) (authURL, tenant string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(baseURL, "/")+"/api/authinfo", nil)
	if err != nil {
		return "", "", err
	}
	req.Header.Set("User-Agent", agent)
	res, err := client.Do(req)
	if err != nil {
		return "", "", &Error{Class: Unavailable, Method: req.Method, Route: "/authinfo", Err: err}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", "", &Error{Class: NotFound, Method: req.Method, Route: "/authinfo", Status: res.StatusCode, Message: "is this the address of a Halo instance?"}
	}
	var info struct {
		AuthURL  string `json:"auth_url"`
		TenantID string `json:"tenant_id"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&info); err != nil {
		return "", "", fmt.Errorf("read what %s says of itself: %w", baseURL, err)
	}
	return info.AuthURL, info.TenantID, nil
}
