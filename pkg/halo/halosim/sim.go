// Package halosim is HaloPSA's API as a strict and nasty stand-in: an http.Handler over an instance held in memory.
//
// It serves the authorisation server below /auth, the API below /api, and its own admin routes below /_sim. What is known
// of Halo's behaviour and what is a guess is said in package halo and beside each field of [Config]; the simulator must not
// be taken as proof of anything. Faults are switched on by name; see [Faults].
package halosim

import (
	"cmp"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"seatline.dev/pkg/simulator"
)

// InvoiceLines says what a list of recurring invoices with includelines carries; nobody knows which Halo does.
type InvoiceLines int

const (
	LinesWhole  InvoiceLines = iota // the same lines as an invoice read by itself
	LinesThin                       // lines without their quantity rows
	LinesAbsent                     // no lines
)

// Config of a simulator. The zero value is an instance at /api for client "sim-client", secret "sim-secret", tenant "sim",
// without a rate limit.
type Config struct {
	ClientID, ClientSecret, Tenant string
	// Scopes the application is granted; default "all". Denied are module rights that its agent lacks, by scope name.
	Scopes []string
	Denied []string
	// DeniedStatus answers a missing scope or right: 401 with an empty body (the default, [L]) or 403.
	DeniedStatus int
	// TokenLife; default an hour.
	TokenLife time.Duration
	// Limit of requests in a rolling Window, answered 429 beyond; 0 for none. Published: 300 and 700 in 5 minutes, 500 in 3.
	Limit      int
	Window     time.Duration
	RetryAfter bool // send Retry-After with those
	// NoListMarks leaves snowid out of list rows.
	NoListMarks bool
	// MaxPageSize caps page_size; 0 for no cap.
	MaxPageSize int
	// IgnoreOrder lists by rising id, whatever order is asked for.
	IgnoreOrder  bool
	InvoiceLines InvoiceLines
	// ReplyLast answers a POST of many rows with the last object only, not with an array.
	ReplyLast bool
	// AcceptObject takes a POST of one object that is not in an array.
	AcceptObject bool
	// PartialBatches writes the rows before a refused one.
	PartialBatches bool
	// KeepMissingLines keeps the lines that a written invoice leaves out; otherwise they are deleted.
	KeepMissingLines bool
	// MergeLines keeps fields that a written line leaves out; otherwise they are lost.
	MergeLines bool
	// IgnoreChangeSeq does not check change_seq; StaleStatus answers a stale one, default 400.
	IgnoreChangeSeq bool
	StaleStatus     int
	// UniqueClientNames refuses to create a client whose name exists.
	UniqueClientNames bool
	// Latency of every API request.
	Latency time.Duration
	// Journal is how many of the last writes, and reads of single invoices, are kept; 0 for none. See [Sim.Journal].
	Journal int
	// Seed of the faults that come at a rate.
	Seed  uint64
	Clock clockwork.Clock
}

// Sim is a simulated Halo. It is safe for use by several goroutines. Its Requests are counted by method and route, such
// as "POST /SoftwareLicence" and "GET /RecurringInvoice/{id}"; "429" counts those that the rate limit refused, in addition.
type Sim struct {
	*simulator.Rig
	cfg Config

	mu             sync.Mutex
	topLevels      table[TopLevel]
	clients        table[Client]
	sites          table[Site]
	users          table[User]
	items          table[Item]
	licences       table[Licence]
	invoices       table[Invoice]
	links          table[Link]
	control        Control
	licenceChanges []LicenceChange
	invoiceChanges []InvoiceChange
	journal        []Entry
	noted          int
	customFields   []string

	lineID, rowID, proRataID, billed int64
	linked                           map[int64]map[int64]bool // licence to the invoices that link it, or once did

	window []time.Time // of the requests that were let through, oldest first
	tokens map[string]token
	issued int
	late   int
}

// New returns a simulator with an empty instance, in which Halo computes quantities.
func New(cfg Config) *Sim {
	cfg.ClientID, cfg.ClientSecret = cmp.Or(cfg.ClientID, "sim-client"), cmp.Or(cfg.ClientSecret, "sim-secret")
	cfg.Tenant = cmp.Or(cfg.Tenant, "sim")
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{"all"}
	}
	cfg.TokenLife, cfg.Window = cmp.Or(cfg.TokenLife, time.Hour), cmp.Or(cfg.Window, 5*time.Minute)
	cfg.StaleStatus = cmp.Or(cfg.StaleStatus, http.StatusBadRequest)
	cfg.DeniedStatus = cmp.Or(cfg.DeniedStatus, http.StatusUnauthorized)
	if cfg.Clock == nil {
		cfg.Clock = clockwork.NewRealClock()
	}
	s := &Sim{Rig: simulator.NewRig(Faults, tokenRoute, rand.NewPCG(cfg.Seed, 2)), cfg: cfg, tokens: map[string]token{}}
	s.Set(State{TopLevels: []TopLevel{{ID: 1, Name: "Customers", LongName: "Customers"}}, Control: Control{CalculateQuantities: true, NegativeProRata: true}})
	return s
}

func (s *Sim) now() Date { return On(s.cfg.Clock.Now()) }

// Late is how many writes have yet to land.
func (s *Sim) Late() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.late
}

const tokenRoute = "/auth/token"

// routes by lower-case name, with the scope that reading and writing them takes.
var routes = map[string]struct{ name, scope string }{
	"client": {"/Client", "customers"}, "toplevel": {"/TopLevel", "customers"}, "site": {"/Site", "customers"}, "users": {"/Users", "customers"},
	"item": {"/Item", "items"}, "softwarelicence": {"/SoftwareLicence", "softwarelicensing"}, "licencechange": {"/LicenceChange", "softwarelicensing"},
	"recurringinvoice": {"/RecurringInvoice", "invoices"}, "invoicechange": {"/InvoiceChange", "invoices"},
	"externallink": {"/ExternalLink", ""}, "control": {"/Control", ""}, "authinfo": {"/authinfo", ""}, "instanceinfo": {"/InstanceInfo", ""},
}

// request is what of an API request matters.
type request struct {
	name, scope string // the entity
	sub         string // Lines, updatelines or process
	id          int64
	hasID       bool
}

func (q request) route() string {
	switch {
	case q.hasID:
		return q.name + "/{id}"
	case q.sub != "":
		return q.name + "/" + q.sub
	}
	return q.name
}

// parse reads a path; paths do not mind case [C].
func parse(path string) (request, bool) {
	parts := strings.Split(strings.Trim(strings.ToLower(path), "/"), "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] != "api" {
		return request{}, false
	}
	r, ok := routes[parts[1]]
	q := request{name: r.name, scope: r.scope}
	if !ok || len(parts) == 2 {
		return q, ok
	}
	if id, err := strconv.ParseInt(parts[2], 10, 64); err == nil {
		q.id, q.hasID = id, true
		return q, true
	}
	for _, sub := range []string{"Lines", "updatelines", "process"} {
		if r.name == "/RecurringInvoice" && parts[2] == strings.ToLower(sub) {
			q.sub = sub
			return q, true
		}
	}
	return q, false
}

func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, simulator.Prefix) {
		s.Admin(w, r, s.admin())
		return
	}
	if strings.EqualFold(strings.TrimRight(r.URL.Path, "/"), tokenRoute) && r.Method == http.MethodPost {
		s.serveToken(w, r)
		return
	}
	q, known := parse(r.URL.Path)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20)) // read first, so that a client that goes is noticed
	if err != nil {
		return
	}
	route := q.route()
	if !known {
		route = "unknown"
	}
	s.Count(r.Method+" "+route, r.UserAgent())
	if wait := s.overLimit(); wait > 0 {
		s.Count("429", r.UserAgent())
		retryAfter := 0
		if s.cfg.RetryAfter {
			retryAfter = int(wait.Seconds()) + 1
		}
		s.throttled(w, retryAfter)
		return
	}
	f := struck{s.Strike(r.Method, route)}
	if f.Has("token_expired") {
		s.ExpireTokens()
	}
	if s.cfg.Latency > 0 {
		s.cfg.Clock.Sleep(s.cfg.Latency)
	}
	if f.before(s, w, r) {
		return
	}
	switch {
	case !known:
		w.WriteHeader(http.StatusNotFound)
		return
	case q.name == "/authinfo":
		simulator.WriteJSON(w, http.StatusOK, map[string]any{"auth_url": "http://" + r.Host + "/auth", "tenant_id": s.cfg.Tenant})
		return
	case q.name == "/InstanceInfo":
		simulator.WriteJSON(w, http.StatusOK, map[string]any{"name": "Simulated Halo", "tenant_id": s.cfg.Tenant, "version": "2.184.1"})
		return
	}
	if status := s.admit(r, q); status != 0 {
		w.WriteHeader(status)
		return
	}
	switch r.Method {
	case http.MethodGet:
		s.serveGet(w, r, q, f)
	case http.MethodPost:
		s.servePost(w, r, q, body, f)
	case http.MethodDelete:
		s.serveDelete(w, q)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// overLimit counts a request in the rolling window, or says how long until there is room.
func (s *Sim) overLimit() time.Duration {
	if s.cfg.Limit == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock.Now()
	from := now.Add(-s.cfg.Window)
	old := 0
	for old < len(s.window) && !s.window[old].After(from) {
		old++
	}
	s.window = s.window[old:]
	if len(s.window) >= s.cfg.Limit {
		return s.window[0].Sub(from)
	}
	s.window = append(s.window, now)
	return 0
}
