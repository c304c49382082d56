package web_test

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"google.golang.org/grpc"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/console"
	"seatline.dev/services/console/web"
	"seatline.dev/services/overview"
	"seatline.dev/services/servicetest"
)

// The secrets of these tests. No page may ever show one.
const (
	apiKey       = "canary-giacom-key-0001"
	clientSecret = "sim-secret"
	serviceToken = telemetry.Secret("the-services-token-of-a-test")
)

// house is the real console with its pages, on a real database, with Giacom and Halo simulated. The other
// services are what a test makes of them; the stories in e2e/browser have the real ones.
type house struct {
	t       *testing.T
	url     string
	giacom  *giacomsim.Sim
	halo    *halosim.Sim
	giacomA string // address of the API
	haloA   string
	rpc     connectionv1.ConnectionServiceClient
	access  accessv1.AccessServiceClient
	log     *lockedBuffer
	pages   *lockedBuffer // everything that any page said
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(p)
}

func (l *lockedBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.String()
}

// build a house; nil: nothing is known to the other services.
func build(t *testing.T, beside *others) *house {
	t.Helper()
	h := &house{t: t, giacom: giacomsim.New(giacomsim.Config{Key: apiKey}), halo: halosim.New(halosim.Config{}), log: &lockedBuffer{}, pages: &lockedBuffer{}}
	h.giacom.PutCustomer(giacomsim.Customer{MexID: "C-1", Name: "Harbour Dental"})
	err := h.giacom.PutSubscription(giacomsim.Subscription{
		ID: "1", GUID: "g-1", MexID: "C-1", Name: "Microsoft 365", Quantity: decimal.NewNullDecimal(decimal.NewFromInt(5)),
		Price: decimal.NewNullDecimal(decimal.NewFromInt(9)), Cycle: "Monthly", Term: "Monthly",
	})
	if err != nil {
		t.Fatal(err)
	}
	state := h.halo.State()
	state.Clients = []halosim.Client{{ID: 12, Name: "Harbour Dental"}}
	h.halo.Set(state)
	giacom, halo := httptest.NewServer(h.giacom), httptest.NewServer(h.halo)
	t.Cleanup(giacom.Close)
	t.Cleanup(halo.Close)
	h.giacomA, h.haloA = giacom.URL+"/Billing/v1", halo.URL

	keyset := filepath.Join(t.TempDir(), "keyset.json")
	if err := console.EnsureKeyset(keyset); err != nil {
		t.Fatal(err)
	}
	sealer, err := console.OpenSealer(keyset)
	if err != nil {
		t.Fatal(err)
	}
	env := servicetest.Env(t)
	env.Log = slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	env.RPC.Addr = freeAddr(t) // the pages must know it before it is served
	env.RPC.Tokens = []rpc.Token{{Name: "console", Role: rpc.RoleService, Secret: serviceToken}}
	if beside == nil {
		beside = &others{}
	}
	own, rest := dial(t, env.RPC.Addr), dial(t, serve(t, beside.register))
	up := make(chan string, 1)
	conn, _ := servicetest.Start(t, env, func(ctx context.Context, env chassis.Env) error {
		return console.Run(ctx, console.Config{Env: env, Sealer: sealer, Services: overview.Services{Console: own, Fetcher: rest, Mapper: rest, Licence: rest, Billing: rest}, Web: console.Pages{
			Config: web.Config{Addr: "127.0.0.1:0", Listening: func(url string) { up <- url }},
		}})
	})
	select {
	case h.url = <-up:
	case <-time.After(30 * time.Second):
		t.Fatal("no pages")
	}
	h.rpc, h.access = connectionv1.NewConnectionServiceClient(conn), accessv1.NewAccessServiceClient(conn)
	t.Cleanup(func() {
		for where, text := range map[string]string{"a page": h.pages.text(), "the log": h.log.text()} {
			for _, secret := range []string{apiKey, clientSecret, "canary-", string(serviceToken.Reveal())} {
				if strings.Contains(text, secret) {
					t.Errorf("%s holds the secret %q", where, secret)
				}
			}
		}
	})
	return h
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(rpc.Endpoint{Addr: addr, Token: serviceToken})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func serve(t *testing.T, register func(grpc.ServiceRegistrar)) string {
	t.Helper()
	server, err := rpc.NewServer(rpc.Config{Addr: "127.0.0.1:0", Tokens: []rpc.Token{{Name: "console", Role: rpc.RoleService, Secret: serviceToken}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	register(server)
	eventtest.Run(t, server.Serve)
	return server.Addr()
}

// guest is a person in a browser without JavaScript.
type guest struct {
	h      *house
	client *http.Client
}

func (h *house) enter(name string, role accessv1.Role) *guest {
	h.t.Helper()
	link, err := h.access.CreateSignInLink(h.t.Context(), &accessv1.CreateSignInLinkRequest{Name: name, Role: role})
	if err != nil {
		h.t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	g := &guest{h, &http.Client{Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if a := g.get(strings.TrimPrefix(link.GetUrl(), h.url)); a.status != http.StatusSeeOther {
		h.t.Fatalf("the link answers %d", a.status)
	}
	return g
}

func (h *house) operator(name string) *guest { return h.enter(name, accessv1.Role_ROLE_OPERATOR) }

type answer struct {
	status int
	to     string
	body   string
	header http.Header
}

// says whether the page says it, as people read it.
func (a answer) says(text string) bool { return strings.Contains(a.text(), text) }

var tags = regexp.MustCompile(`<[^>]*>`)

func (a answer) text() string {
	return strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(a.body, " "))), " ")
}

// field is the value of an input as the page has it.
func (a answer) field(name string) string {
	m := regexp.MustCompile(`name="` + regexp.QuoteMeta(name) + `"(?: type="[^"]*")? value="([^"]*)"`).FindStringSubmatch(a.body)
	if m == nil {
		m = regexp.MustCompile(`name="` + regexp.QuoteMeta(name) + `" value="([^"]*)"`).FindStringSubmatch(a.body)
	}
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// wrong is what the page says is wrong with a field; "" for nothing.
func (a answer) wrong(name string) string {
	id := "f-" + strings.ReplaceAll(name, ".", "-") + "-about"
	m := regexp.MustCompile(`id="` + id + `"><p class="error">([^<]*)</p>`).FindStringSubmatch(a.body)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

func (g *guest) do(req *http.Request) answer {
	g.h.t.Helper()
	resp, err := g.client.Do(req)
	if err != nil {
		g.h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		g.h.t.Fatal(err)
	}
	fmt.Fprint(g.h.pages, body.String(), resp.Header)
	return answer{resp.StatusCode, resp.Header.Get("Location"), body.String(), resp.Header}
}

func (g *guest) get(path string) answer {
	g.h.t.Helper()
	req, err := http.NewRequestWithContext(g.h.t.Context(), http.MethodGet, g.h.url+path, nil)
	if err != nil {
		g.h.t.Fatal(err)
	}
	return g.do(req)
}

// form of a page, as a browser would send it back untouched.
func (g *guest) form(path, action string) url.Values {
	g.h.t.Helper()
	a := g.get(path)
	return formOf(g.h.t, a, action)
}

var (
	controls = regexp.MustCompile(`(?s)<input[^>]*>|<select.*?</select>|<textarea.*?</textarea>`)
	attr     = regexp.MustCompile(`([a-z-]+)(?:="([^"]*)")?`)
	selected = regexp.MustCompile(`<option value="([^"]*)" selected>`)
	option   = regexp.MustCompile(`<option value="([^"]*)"`)
)

func formOf(t *testing.T, a answer, action string) url.Values {
	t.Helper()
	_, rest, ok := strings.Cut(a.body, `action="`+action+`" method="post"`)
	if !ok {
		t.Fatalf("no form for %s (%d):\n%s", action, a.status, a.text())
	}
	rest, _, _ = strings.Cut(rest, "</form>")
	values := url.Values{}
	for _, c := range controls.FindAllString(rest, -1) {
		tag, _, _ := strings.Cut(c, ">")
		attrs := map[string]string{}
		for _, m := range attr.FindAllStringSubmatch(tag, -1) {
			attrs[m[1]] = html.UnescapeString(m[2])
		}
		_, checked := attrs["checked"]
		switch {
		case strings.HasPrefix(c, "<select"):
			if m := selected.FindStringSubmatch(c); m != nil {
				values.Set(attrs["name"], html.UnescapeString(m[1]))
			} else if m := option.FindStringSubmatch(c); m != nil {
				values.Set(attrs["name"], html.UnescapeString(m[1]))
			}
		case attrs["type"] == "checkbox" || attrs["type"] == "radio":
			if checked {
				values.Set(attrs["name"], attrs["value"])
			}
		default:
			values.Set(attrs["name"], attrs["value"])
		}
	}
	return values
}

// send a form with some of it changed.
func (g *guest) send(path string, values url.Values, pairs ...string) answer {
	g.h.t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			values.Del(pairs[i])
		}
	}
	req, err := http.NewRequestWithContext(g.h.t.Context(), http.MethodPost, g.h.url+path, strings.NewReader(values.Encode()))
	if err != nil {
		g.h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return g.do(req)
}

// add the connection acme, as a person does.
func (g *guest) add(pairs ...string) answer {
	g.h.t.Helper()
	pairs = append([]string{
		"slug", "acme", "display_name", "Acme IT", "giacom.account", "acme", "giacom.api_key", apiKey, "giacom.base_url", g.h.giacomA,
		"halo.base_url", g.h.haloA, "halo.tenant", "sim", "halo.client_id", "sim-client", "halo.client_secret", clientSecret,
	}, pairs...)
	return g.send("/connections/new", g.form("/connections/new", "/connections/new"), pairs...)
}

func (h *house) connection() *connectionv1.Connection {
	h.t.Helper()
	c, err := h.rpc.GetConnection(h.t.Context(), &connectionv1.GetConnectionRequest{Slug: "acme"})
	if err != nil {
		h.t.Fatal(rpc.Describe(err))
	}
	return c
}
