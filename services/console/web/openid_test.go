package web

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"seatline.dev/pkg/rpc"
	"seatline.dev/services/console/web/access"
)

// provider of identities, as small as the protocol lets it be: it checks what the console must send, and
// signs what the test wants said.
type provider struct {
	*httptest.Server
	key    *rsa.PrivateKey
	claims map[string]any // of whoever signs in
	nonce  string         // instead of the one that was sent
	aud    string         // instead of the console's

	mu    sync.Mutex
	codes map[string]url.Values // what each code was asked for with
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key, codes: map[string]url.Values{}, claims: map[string]any{}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("/authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if q.Get("response_type") != "code" || q.Get("client_id") != "seatline" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" || q.Get("state") == "" || !strings.Contains(q.Get("scope"), "openid") {
			t.Errorf("asked with %v", q)
		}
		code := rand.Text()
		p.mu.Lock()
		p.codes[code] = q
		p.mu.Unlock()
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		asked := p.codes[r.PostFormValue("code")]
		delete(p.codes, r.PostFormValue("code"))
		p.mu.Unlock()
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		id, secret, _ := r.BasicAuth()
		if asked == nil || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") || id != "seatline" || secret != "hush" {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		claims := map[string]any{"iss": p.URL, "aud": "seatline", "sub": "1", "nonce": asked.Get("nonce"), "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix()}
		for name, v := range p.claims {
			claims[name] = v
		}
		if p.nonce != "" {
			claims["nonce"] = p.nonce
		}
		if p.aud != "" {
			claims["aud"] = p.aud
		}
		answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": p.sign(t, claims)})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) sign(t *testing.T, claims map[string]any) string {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: p.key}, (&jose.SignerOptions{}).WithHeader("kid", "1"))
	if err != nil {
		t.Error(err)
		return ""
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Error(err)
		return ""
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Error(err)
		return ""
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Error(err)
	}
	return token
}

func startWithProvider(t *testing.T) (*site, *provider) {
	p := newProvider(t)
	return start(t, func(c *Config) {
		c.OpenID = &access.OpenID{Issuer: p.URL, ClientID: "seatline", ClientSecret: "hush", Scopes: []string{"email"}, GroupsClaim: "groups", Operators: []string{"group:Billing"}, Viewers: []string{"vera@example.com"}}
	}), p
}

// visitProvider goes there and returns the way back, which the browser has not taken yet.
func (p *person) visitProvider(t *testing.T, back string) string {
	t.Helper()
	out := p.get("/sign-in/provider?back=" + url.QueryEscape(back))
	if out.status != http.StatusSeeOther {
		t.Fatalf("answers %d: %s", out.status, out.body)
	}
	resp, err := p.client.Get(out.to)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return strings.TrimPrefix(resp.Header.Get("Location"), p.base)
}

func TestSignInAtTheProvider(t *testing.T) {
	s, idp := startWithProvider(t)
	p := s.visitor(t)
	if r := p.get("/sign-in"); !strings.Contains(r.body, "Sign in with your organisation") || strings.Contains(r.body, `type="password"`) {
		t.Error("the page offers a password beside the provider")
	}
	if r := p.get("/assets/none"); r.status != http.StatusNotFound {
		t.Errorf("answers %d", r.status)
	}
	idp.claims = map[string]any{"name": "Zoë", "email": "zoe@example.com", "groups": []string{"Billing"}}
	if r := p.get(p.visitProvider(t, "/c/acme/runs")); r.status != http.StatusSeeOther || r.to != "/c/acme/runs" {
		t.Fatalf("answers %d, to %q: %s", r.status, r.to, r.body)
	}
	if r := p.get("/c/acme/runs"); !strings.Contains(r.body, "Zoë &lt;zoe@example.com&gt;") || !strings.Contains(r.body, "Operator") {
		t.Error("not signed in as an operator")
	}
	vera := s.visitor(t)
	idp.claims = map[string]any{"email": "vera@example.com", "email_verified": true}
	vera.get(vera.visitProvider(t, "/"))
	if r := vera.post("/c/acme/runs", "/c/acme/runs"); r.status != http.StatusForbidden || s.caller("StartRun") != (rpc.Caller{}) {
		t.Errorf("a viewer's command: answers %d", r.status)
	}
}

func TestWhatTheProviderSaysMustFit(t *testing.T) {
	s, idp := startWithProvider(t)
	billing := map[string]any{"name": "Zoë", "groups": "Billing"}
	for name, c := range map[string]struct {
		prepare func(p *person) string // the way back
		status  int
		says    string
	}{
		"on no list": {func(p *person) string {
			idp.claims = map[string]any{"name": "Eve", "groups": "Sales"}
			return p.visitProvider(t, "/")
		}, http.StatusForbidden, "You may not enter"},
		"another visit's token": {func(p *person) string { idp.nonce = "old"; return p.visitProvider(t, "/") }, http.StatusBadGateway, "did not work"},
		"a token for others":    {func(p *person) string { idp.aud = "else"; return p.visitProvider(t, "/") }, http.StatusBadGateway, "did not work"},
		"another browser's":     {func(*person) string { return s.visitor(t).visitProvider(t, "/") }, http.StatusForbidden, "belongs to another visit"},
		"made up":               {func(p *person) string { p.visitProvider(t, "/"); return "/sign-in/return?code=x&state=y" }, http.StatusForbidden, "belongs to another visit"},
		"too late": {func(p *person) string {
			back := p.visitProvider(t, "/")
			s.clock.Advance(11 * time.Minute)
			return back
		}, http.StatusForbidden, "longer than 10 minutes"},
		"refused there": {func(p *person) string {
			u, err := url.Parse(p.visitProvider(t, "/"))
			if err != nil {
				t.Fatal(err)
			}
			return "/sign-in/return?" + url.Values{"state": {u.Query().Get("state")}, "error": {"access_denied"}, "error_description": {"<b>no</b>"}}.Encode()
		}, http.StatusForbidden, "access_denied (&lt;b&gt;no&lt;/b&gt;)"},
	} {
		t.Run(name, func(t *testing.T) {
			idp.claims, idp.nonce, idp.aud = billing, "", ""
			p := s.visitor(t)
			r := p.get(c.prepare(p))
			if r.status != c.status || !strings.Contains(r.body, c.says) {
				t.Errorf("answers %d, want %d and %q:\n%s", r.status, c.status, c.says, r.body)
			}
			if r := p.get("/c/acme"); r.status != http.StatusSeeOther {
				t.Errorf("is in: %d", r.status)
			}
		})
	}
	idp.claims, idp.nonce, idp.aud = billing, "", ""
	p := s.visitor(t)
	back := p.visitProvider(t, "/")
	if r := p.get(back); r.to != "/" {
		t.Fatalf("answers %d", r.status)
	}
	if r := p.get(back); r.status != http.StatusForbidden {
		t.Errorf("the same answer twice: %d", r.status)
	}
	// A password does not get around the provider.
	if _, err := s.store.SetPassword(t.Context(), access.Person{Name: "olga", Role: rpc.RoleOperator}, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	q := s.visitor(t)
	q.get("/sign-in")
	r := q.postWith(tokenOf("whatever"), "/sign-in", "name", "olga", "password", "correct horse battery")
	if r.status == http.StatusOK || q.get("/c/acme").status != http.StatusSeeOther {
		t.Errorf("a password signed in beside the provider: %d", r.status)
	}
}
