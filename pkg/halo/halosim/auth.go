package halosim

import (
	"crypto/subtle"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"seatline.dev/pkg/simulator"
)

type token struct {
	until  time.Time
	scopes []string
}

// serveToken gives a token for the scopes that are both asked for and granted.
func (s *Sim) serveToken(w http.ResponseWriter, r *http.Request) {
	s.Count("POST "+tokenRoute, r.UserAgent())
	f := struck{s.Strike(r.Method, tokenRoute)}
	if f.before(s, w, r) {
		return
	}
	tenant := r.URL.Query().Get("tenant")
	if tenant == "" {
		tenant = r.PostFormValue("tenant") // some clients send it in the form [C]
	}
	switch {
	case tenant != s.cfg.Tenant:
		w.WriteHeader(http.StatusInternalServerError) // so does Halo [C]
		return
	case r.PostFormValue("grant_type") != "client_credentials":
		simulator.WriteJSON(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type", "error_description": "The specified grant type is not supported."})
		return
	case r.PostFormValue("client_id") != s.cfg.ClientID ||
		subtle.ConstantTimeCompare([]byte(r.PostFormValue("client_secret")), []byte(s.cfg.ClientSecret)) != 1:
		simulator.WriteJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client", "error_description": "The specified client credentials are invalid."})
		return
	}
	asked := strings.Fields(r.PostFormValue("scope"))
	var given []string
	switch {
	case slices.Contains(s.cfg.Scopes, "all"):
		given = asked
	case slices.Contains(asked, "all"):
		given = s.cfg.Scopes
	default:
		for _, scope := range asked {
			if slices.Contains(s.cfg.Scopes, scope) {
				given = append(given, scope)
			}
		}
	}
	s.mu.Lock()
	s.issued++
	name := "sim-token-" + strconv.Itoa(s.issued)
	s.tokens[name] = token{until: s.cfg.Clock.Now().Add(s.cfg.TokenLife), scopes: given}
	s.mu.Unlock()
	simulator.WriteJSON(w, http.StatusOK, map[string]any{
		"access_token": name, "token_type": "Bearer", "expires_in": int(s.cfg.TokenLife.Seconds()), "scope": strings.Join(given, " "),
	})
}

// ExpireTokens ends every token given so far.
func (s *Sim) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// admit gives the status that refuses a request, 0 if it may go on. Both the application's scopes and the agent's rights
// must allow it; edit includes read.
func (s *Sim) admit(r *http.Request, q request) int {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	t, ok := s.tokens[bearer]
	s.mu.Unlock()
	if !ok || !s.cfg.Clock.Now().Before(t.until) {
		return http.StatusUnauthorized
	}
	if q.scope == "" {
		return 0
	}
	needed := "edit:" + q.scope
	allowed := slices.Contains(t.scopes, "all") || slices.Contains(t.scopes, needed)
	if r.Method == http.MethodGet {
		needed = "read:" + q.scope
		allowed = allowed || slices.Contains(t.scopes, needed)
	}
	if !allowed || slices.Contains(s.cfg.Denied, needed) {
		return s.cfg.DeniedStatus
	}
	return 0
}
