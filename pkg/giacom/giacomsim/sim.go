// Package giacomsim is Giacom's API as a strict and nasty stand-in: an http.Handler over an account held in memory.
//
// It serves v1 below /Billing/v1 (Status, Customers, Subscriptions, AccountTotals, SubscriptionsManagementReport), v2
// below /v2 (organization, service) with its token route /oauth2/token, and its own admin routes below /_sim. Which of
// these shapes are Giacom's and which are guesses is said in package giacom; the simulator must not be taken as proof of
// anything. Faults are switched on by name; see [Faults].
//
// Everything is deterministic: the same account, faults and requests give the same answers, byte for byte.
package giacomsim

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"seatline.dev/pkg/simulator"
)

// Config of a simulator. The zero value serves v1 and v2 with key "sim-key".
type Config struct {
	// Key that v1, and v2 without OAuth, wants. Default "sim-key".
	Key string
	// KeyHeader carries it. Default Ocp-Apim-Subscription-Key.
	KeyHeader string
	// ClientID and ClientSecret that the token route wants. Defaults "sim-client" and "sim-secret".
	ClientID, ClientSecret string
	// TokenLife of v2 tokens. Default an hour.
	TokenLife time.Duration
	// PascalCase writes every field name with a capital; the other variant of v1.
	PascalCase bool
	// CountSubscriptions makes pages of the report count subscriptions rather than customer blocks: nobody knows which
	// Giacom does. A customer may then be split over two pages.
	CountSubscriptions bool
	// MaxPageSize caps what is asked for; 0 for no cap.
	MaxPageSize int
	// Totals puts pageNumber, pageSize and totalCount into every list of v1; otherwise only Customers has them.
	Totals bool
	// Seed of the faults that come at a rate.
	Seed uint64
	// Now is the clock of token lives and of changes; nil means the real one.
	Now func() time.Time
}

// Sim is a simulated Giacom. It is safe for use by several goroutines. Its Requests are counted as "customers",
// "subscriptions", "accounttotals", "report", "status", "organization", "service", "token" and "unknown".
type Sim struct {
	*simulator.Rig
	cfg Config

	mu      sync.Mutex
	account account
	revoked bool
	tokens  map[string]time.Time
	issued  int
}

// New returns a simulator with an empty account.
func New(cfg Config) *Sim {
	cfg.Key, cfg.KeyHeader = cmp.Or(cfg.Key, "sim-key"), cmp.Or(cfg.KeyHeader, "Ocp-Apim-Subscription-Key")
	cfg.ClientID, cfg.ClientSecret = cmp.Or(cfg.ClientID, "sim-client"), cmp.Or(cfg.ClientSecret, "sim-secret")
	cfg.TokenLife = cmp.Or(cfg.TokenLife, time.Hour)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Sim{
		Rig: simulator.NewRig(Faults, "token", rand.NewPCG(cfg.Seed, 1)),
		cfg: cfg, account: newAccount(), tokens: map[string]time.Time{},
	}
}

// RevokeKey makes the gateway refuse the key from now on; RestoreKey undoes it.
func (s *Sim) RevokeKey()  { s.locked(func() { s.revoked = true }) }
func (s *Sim) RestoreKey() { s.locked(func() { s.revoked = false }) }

func (s *Sim) locked(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// routes by lower-case path: the gateway does not mind the case of a path.
var routes = map[string]string{
	"/billing/v1/status":                        "status",
	"/billing/v1/customers":                     "customers",
	"/billing/v1/subscriptions":                 "subscriptions",
	"/billing/v1/accounttotals":                 "accounttotals",
	"/billing/v1/subscriptionsmanagementreport": "report",
	"/v2/organization":                          "organization",
	"/v2/service":                               "service",
	"/oauth2/token":                             "token",
}

func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, simulator.Prefix) {
		s.Admin(w, r, s.admin())
		return
	}
	route := routes[strings.ToLower(strings.TrimRight(r.URL.Path, "/"))]
	method := http.MethodGet
	if route == "token" {
		method = http.MethodPost
	}
	if route == "" || r.Method != method {
		s.Count("unknown", r.UserAgent())
		gatewayError(w, http.StatusNotFound, "Resource not found")
		return
	}
	s.Count(route, r.UserAgent())
	f := struck{s.Strike(method, route)}
	if f.before(w, r) {
		return
	}
	if route == "token" {
		s.serveToken(w, r)
		return
	}
	if !s.admit(w, r, f) {
		return
	}
	switch route {
	case "status":
		if f.Has("status_400") {
			gatewayError(w, http.StatusBadRequest, "accountId is required")
			return
		}
		simulator.WriteJSON(w, http.StatusOK, map[string]string{"status": "OK"})
	case "organization", "service":
		s.serveTMF(w, r, route, f)
	default:
		s.serveList(w, r, route, f)
	}
}

// admit answers 401 unless the request carries a key, or for v2 a token, that is good.
func (s *Sim) admit(w http.ResponseWriter, r *http.Request, f struck) bool {
	s.mu.Lock()
	revoked := s.revoked || f.Has("key_revoked")
	bearer, hasToken := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	until := s.tokens[bearer]
	s.mu.Unlock()
	if hasToken && strings.HasPrefix(strings.ToLower(r.URL.Path), "/v2/") {
		if revoked || f.Has("token_expired") || !s.cfg.Now().Before(until) {
			simulator.WriteJSON(w, http.StatusUnauthorized, map[string]string{"code": "41", "reason": "Unauthorized", "message": "The token has expired", "status": "401"})
			return false
		}
		return true
	}
	key := r.Header.Get(s.cfg.KeyHeader)
	switch {
	case key == "" || f.Has("key_missing"):
		gatewayError(w, http.StatusUnauthorized, "Access denied due to missing subscription key. Make sure to include subscription key when making requests to an API.")
	case key != s.cfg.Key || revoked || f.Has("key_bad"):
		gatewayError(w, http.StatusUnauthorized, "Access denied due to invalid subscription key. Make sure to provide a valid key for an active subscription.")
	default:
		return true
	}
	return false
}

func (s *Sim) serveToken(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") == "":
		simulator.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request"})
	case id != s.cfg.ClientID || secret != s.cfg.ClientSecret || s.revoked:
		simulator.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_client"})
	default:
		s.issued++
		token := "sim-token-" + strconv.Itoa(s.issued)
		s.tokens[token] = s.cfg.Now().Add(s.cfg.TokenLife)
		simulator.WriteJSON(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": int(s.cfg.TokenLife.Seconds())})
	}
}

// gatewayError writes the body of Azure API Management's own errors [F].
func gatewayError(w http.ResponseWriter, status int, message string) {
	simulator.WriteJSON(w, status, map[string]any{"statusCode": status, "message": message})
}
