package web

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/access"
)

func TestNobodyGetsAnywhereWithoutSigningIn(t *testing.T) {
	s := start(t)
	p := s.visitor(t)
	for _, x := range pages() {
		path := strings.NewReplacer("{connection}", "acme", "{run}", "r1").Replace(x.path)
		if x.open || strings.Contains(path, "{") {
			continue
		}
		if x.method == "" || x.method == http.MethodGet {
			if r := p.get(path); r.status != http.StatusSeeOther || !strings.HasPrefix(r.to, "/sign-in?back=") {
				t.Errorf("GET %s answers %d, to %q", path, r.status, r.to)
			}
			if r := p.get(path, header("Accept", "text/event-stream")); r.status != http.StatusUnauthorized {
				t.Errorf("the stream %s answers %d", path, r.status)
			}
			continue
		}
		if r := p.postWith("", path); r.status != http.StatusUnauthorized || !strings.Contains(r.body, "was not saved") {
			t.Errorf("POST %s answers %d", path, r.status)
		}
	}
	if s.caller("ListConnections") != (rpc.Caller{}) || s.caller("StartRun") != (rpc.Caller{}) {
		t.Error("a service was called for nobody")
	}
	if r := p.get("/c/acme/plan?state=held"); r.to != "/sign-in?back=%2Fc%2Facme%2Fplan%3Fstate%3Dheld" {
		t.Errorf("leads to %q, and so not back", r.to)
	}
}

func TestEveryAnswerIsProtected(t *testing.T) {
	s := start(t)
	p := s.enter(t, "olga", rpc.RoleOperator)
	for _, path := range []string{"/sign-in", "/", "/c/acme", "/c/acme/runs", "/nowhere", "/c/none", "/assets/" + "x"} {
		h := p.get(path).header
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		} {
			if got := h.Get(name); got != want && !(name == "Cache-Control" && strings.HasPrefix(path, "/assets/")) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	for _, forbidden := range []string{"unsafe-inline", "unsafe-eval", "*", "http:", "data:"} {
		if strings.Contains(policy, forbidden) {
			t.Errorf("the policy allows %s", forbidden)
		}
	}
}

func TestRequestsOfOtherSitesAreRefused(t *testing.T) {
	s := start(t)
	p, other := s.enter(t, "olga", rpc.RoleOperator), s.enter(t, "mallory", rpc.RoleOperator)
	const form = "application/x-www-form-urlencoded"
	own := p.token("/c/acme/runs")
	for name, r := range map[string]reply{
		"from another site":        p.send(http.MethodPost, "/c/acme/runs", strings.NewReader("token="+own), header("Content-Type", form), header("Sec-Fetch-Site", "cross-site")),
		"from another origin":      p.send(http.MethodPost, "/c/acme/runs", strings.NewReader("token="+own), header("Content-Type", form), header("Origin", "https://evil.test")),
		"without a token":          p.postWith("", "/c/acme/runs"),
		"with another one's token": p.postWith(other.token("/c/acme/runs"), "/c/acme/runs"),
		"with the token as query":  p.postWith("", "/c/acme/runs?token="+own),
	} {
		if r.status != http.StatusForbidden {
			t.Errorf("%s: answers %d", name, r.status)
		}
	}
	if s.caller("StartRun") != (rpc.Caller{}) {
		t.Fatal("a run was started")
	}
	if r := p.postWith(own, "/c/acme/runs"); r.status != http.StatusSeeOther || r.to != "/c/acme/runs/r1" {
		t.Errorf("its own form: answers %d, to %q", r.status, r.to)
	}
	// A page of ours is not to be read through a name that somebody else points here.
	if r := p.get("/c/acme", func(r *http.Request) { r.Host = "evil.test" }); r.status != http.StatusMisdirectedRequest || strings.Contains(r.body, "Acme IT") {
		t.Errorf("another name: answers %d", r.status)
	}
}

func TestCallsAreThoseOfThePerson(t *testing.T) {
	s := start(t)
	name := "Zoë O’Neill 🌱 <zoe@example.com>"
	if r := s.enter(t, name, rpc.RoleOperator).post("/c/acme/runs", "/c/acme/runs"); r.status != http.StatusSeeOther {
		t.Fatalf("answers %d: %s", r.status, r.body)
	}
	if got, want := s.caller("StartRun"), (rpc.Caller{Name: name, Role: rpc.RoleOperator, Via: "console"}); got != want {
		t.Errorf("the run was started by %+v, want %+v", got, want)
	}
	s.enter(t, "vera", rpc.RoleViewer).get("/c/acme/runs")
	if got, want := s.caller("ListRuns"), (rpc.Caller{Name: "vera", Role: rpc.RoleViewer, Via: "console"}); got != want {
		t.Errorf("runs were listed by %+v, want %+v", got, want)
	}
	// A call that nobody made does not go out as the console's own, which could read secrets.
	if _, err := connectionv1.NewConnectionServiceClient(s.Server.services.Console).ListConnections(t.Context(), &connectionv1.ListConnectionsRequest{}); rpc.Reason(err) != "NOBODY" {
		t.Errorf("a call for nobody: %v", err)
	}
}

func TestViewersLookAndOperatorsAct(t *testing.T) {
	s := start(t)
	s.runs = map[string]*runv1.Run{"held": {Id: "held", Connection: "acme", Outcome: runv1.Outcome_OUTCOME_HELD, StartTime: stamp("2026-11-23T14:00:00Z")}}
	viewer, operator := s.enter(t, "vera", rpc.RoleViewer), s.enter(t, "olga", rpc.RoleOperator)
	for _, c := range []struct{ path, button string }{{"/c/acme/runs", "Run now"}, {"/c/acme", "Run now"}, {"/c/acme/runs/held", "Release …"}} {
		if r := viewer.get(c.path); r.status != http.StatusOK || strings.Contains(r.body, c.button) {
			t.Errorf("%s offers a viewer %q, or answers %d", c.path, c.button, r.status)
		}
		if r := operator.get(c.path); r.status != http.StatusOK || !strings.Contains(r.body, c.button) {
			t.Errorf("%s does not offer an operator %q, or answers %d", c.path, c.button, r.status)
		}
	}
	r := viewer.post("/c/acme/runs", "/c/acme/runs")
	if r.status != http.StatusForbidden || !strings.Contains(r.body, "vera is a viewer") {
		t.Errorf("a viewer's run: answers %d: %s", r.status, r.body)
	}
	if s.caller("StartRun") != (rpc.Caller{}) {
		t.Error("a viewer started a run")
	}
}

func TestOneTimeLink(t *testing.T) {
	s := start(t)
	link, _, err := s.store.NewLink(t.Context(), access.Person{Name: "local", Role: rpc.RoleOperator})
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(s.SignInLink()(link), s.URL())
	first, second := s.visitor(t), s.visitor(t)
	if r := first.get(path, header("Sec-Purpose", "prefetch;prerender")); r.status != http.StatusNoContent {
		t.Errorf("a browser that looks ahead: answers %d", r.status)
	}
	if r := first.get(path); r.status != http.StatusSeeOther || r.to != "/" {
		t.Fatalf("the first time: answers %d, to %q", r.status, r.to)
	}
	if r := first.get("/c/acme"); r.status != http.StatusOK || !strings.Contains(r.body, "local") {
		t.Errorf("not signed in: %d", r.status)
	}
	if r := second.get(path); r.status != http.StatusForbidden || !strings.Contains(r.body, "does not sign in any more") {
		t.Errorf("the second time: answers %d", r.status)
	}
	if r := second.get("/c/acme"); r.status != http.StatusSeeOther {
		t.Errorf("a spent link signed in: %d", r.status)
	}
}

func TestPasswordSessionAndSignOut(t *testing.T) {
	s := start(t)
	p := s.visitor(t)
	if r := p.get("/sign-in"); !strings.Contains(r.body, "seatline console set-password") || strings.Contains(r.body, `type="password"`) {
		t.Error("without any account, the page does not say how to make one")
	}
	if _, err := s.store.SetPassword(t.Context(), access.Person{Name: "olga", Role: rpc.RoleOperator}, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	r := p.post("/sign-in", "/sign-in", "name", "olga", "password", "wrong", "back", "/c/acme/plan")
	if r.status != http.StatusUnauthorized || !strings.Contains(r.body, "The name or the password is wrong.") || !strings.Contains(r.body, `value="olga"`) || strings.Contains(r.body, `value="wrong"`) {
		t.Errorf("wrong password: answers %d", r.status)
	}
	r = p.post("/sign-in", "/sign-in", "name", "olga", "password", "correct horse battery", "back", "/c/acme/plan?state=held")
	if r.status != http.StatusSeeOther || r.to != "/c/acme/plan?state=held" {
		t.Fatalf("right password: answers %d, to %q", r.status, r.to)
	}
	set := r.header.Values("Set-Cookie")
	if len(set) == 0 || !strings.Contains(set[0], "-session=") || !strings.Contains(set[0], "HttpOnly") || !strings.Contains(set[0], "SameSite=Lax") || strings.Contains(set[0], "Secure") {
		t.Errorf("cookies on loopback: %q", set)
	}
	s.clock.Advance(3 * time.Hour)
	if r := p.get("/c/acme"); r.status != http.StatusSeeOther {
		t.Errorf("idle for 3 hours: answers %d", r.status)
	}
	p = s.enter(t, "olga", rpc.RoleOperator)
	copied := p.cookies()
	if r := p.post("/sign-out", "/c/acme"); r.status != http.StatusSeeOther || r.to != "/sign-in" {
		t.Errorf("sign-out: answers %d, to %q", r.status, r.to)
	}
	thief := s.visitor(t)
	if r := thief.get("/c/acme", func(r *http.Request) {
		for _, c := range copied {
			r.AddCookie(c)
		}
	}); r.status != http.StatusSeeOther {
		t.Errorf("a copied cookie after the sign-out: answers %d", r.status)
	}
}

func TestASessionIsNeverTakenOver(t *testing.T) {
	s := start(t)
	p := s.enter(t, "olga", rpc.RoleOperator)
	before := p.cookies()
	link, _, err := s.store.NewLink(t.Context(), access.Person{Name: "vera", Role: rpc.RoleViewer})
	if err != nil {
		t.Fatal(err)
	}
	p.get(strings.TrimPrefix(s.SignInLink()(link), s.URL()))
	for _, old := range before {
		for _, now := range p.cookies() {
			if strings.HasSuffix(old.Name, "-session") && old.Name == now.Name && old.Value == now.Value {
				t.Error("signing in kept the session's id")
			}
		}
	}
}

func TestThrottleAcrossReplicas(t *testing.T) {
	s := start(t)
	other := serveSite(t, Config{Addr: "127.0.0.1:0", Services: s.cfg.Services, Log: s.log, Clock: s.clock}, s.store)
	if _, err := s.store.SetPassword(t.Context(), access.Person{Name: "olga", Role: rpc.RoleOperator}, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	here, there := s.visitor(t), s.visitor(t)
	there.base = other.URL()
	for i := range 5 {
		p := []*person{here, there}[i%2]
		if r := p.post("/sign-in", "/sign-in", "name", "olga", "password", "wrong"); r.status != http.StatusUnauthorized {
			t.Fatalf("attempt %d: answers %d", i, r.status)
		}
	}
	for _, p := range []*person{here, there} {
		r := p.post("/sign-in", "/sign-in", "name", "OLGA", "password", "correct horse battery")
		if r.status != http.StatusTooManyRequests || !strings.Contains(r.body, "Try again in 15 minutes") || r.header.Get("Retry-After") != "900" {
			t.Errorf("the sixth: answers %d, Retry-After %q", r.status, r.header.Get("Retry-After"))
		}
	}
}

func TestBackNeverLeadsElsewhere(t *testing.T) {
	for _, back := range []string{"https://evil.test/", "//evil.test", `/\evil.test`, "evil", "javascript:alert(1)", "/\tevil", "", "/%0d%0aX: y\r\n"} {
		if got := local(back); got != "/" {
			t.Errorf("%q leads to %q", back, got)
		}
	}
	if got := local("/c/acme/plan?state=held&q=a%20b"); got != "/c/acme/plan?state=held&q=a%20b" {
		t.Errorf("a way of ours became %q", got)
	}
}

func TestPlainHTTPStaysOnThisMachine(t *testing.T) {
	store, clock := newStore(t)
	_, err := New(Config{Addr: "0.0.0.0:0", Clock: clock}, store)
	if err == nil || !strings.Contains(err.Error(), "--web-tls-cert") || !strings.Contains(err.Error(), "--web-proxy") {
		t.Errorf("listens for everybody in plain HTTP: %v", err)
	}
	s := start(t, func(c *Config) { c.Proxy, c.URL = true, "https://seatline.example.com" })
	if s.SignInLink() != nil {
		t.Error("others reach it, and it makes links that sign in")
	}
	p := s.visitor(t)
	p.base = "http://" + s.listener.Addr().String() // where the proxy reaches it
	ours := func(r *http.Request) { r.Host = "seatline.example.com" }
	r := p.get("/sign-in", ours)
	if set := strings.Join(r.header.Values("Set-Cookie"), "\n"); r.status != http.StatusOK || (set != "" && (!strings.Contains(set, "__Host-") || !strings.Contains(set, "Secure"))) || r.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("behind a proxy: %d, cookies %q", r.status, set)
	}
	if _, err := New(Config{Addr: "127.0.0.1:0", Proxy: true, URL: "http://seatline.example.com", Clock: clock}, store); err == nil {
		t.Error("behind TLS its own address may be plain HTTP")
	}
	if _, err := New(Config{Addr: "127.0.0.1:0", URL: "https://seatline.example.com", Clock: clock}, store); err == nil || !strings.Contains(err.Error(), "--web-proxy") {
		t.Errorf("an address of TLS that nobody ends: %v", err)
	}
}

func TestErrorsArePagesThatSayWhatToDo(t *testing.T) {
	s := start(t)
	p := s.enter(t, "olga", rpc.RoleOperator)
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{http.MethodGet, "/nowhere", http.StatusNotFound, "There is no page at /nowhere."},
		{http.MethodGet, "/c/other/plan", http.StatusNotFound, "connection &#34;other&#34; does not exist"},
		{http.MethodGet, "/c/acme/runs/none", http.StatusNotFound, "run &#34;none&#34; does not exist"},
		{http.MethodDelete, "/c/acme/runs", http.StatusMethodNotAllowed, "Go back, reload the page"},
		{http.MethodGet, "/c/acme/changes?page=rubbish", http.StatusUnprocessableEntity, "start again at the first page"},
	} {
		r := p.send(c.method, c.path, nil, header("Sec-Fetch-Site", "same-origin"))
		if r.status != c.status || !strings.Contains(r.body, c.says) || !strings.Contains(r.body, `aria-label="Pages"`) {
			t.Errorf("%s %s answers %d, want %d and %q:\n%s", c.method, c.path, r.status, c.status, c.says, r.body)
		}
	}
	s.fail = rpc.Errorf(codes.Unavailable, "BUSY", "the fetcher is busy").Do("try again in a minute")
	if r := p.get("/c/acme/runs"); r.status != http.StatusServiceUnavailable || !strings.Contains(r.body, "the fetcher is busy") || !strings.Contains(r.body, "try again in a minute") {
		t.Errorf("a service's error: answers %d", r.status)
	}
	// The overview is there all the same, and says what is missing.
	if r := p.get("/c/acme"); r.status != http.StatusOK || !strings.Contains(r.body, "No answer from: fetcher, mapper, licence, billing") {
		t.Errorf("the overview without services: answers %d", r.status)
	}
}

func TestNamesCannotBecomeMarkup(t *testing.T) {
	s := start(t)
	evil := `<script>alert(1)</script>"'& 🌱`
	s.connections[0].DisplayName = evil
	s.runs = map[string]*runv1.Run{"r": {Id: "r", Connection: "acme", Who: evil, StartTime: stamp("2026-07-01T13:05:00Z")}}
	p := s.enter(t, evil, rpc.RoleOperator)
	for _, path := range []string{"/c/acme", "/c/acme/runs", "/c/acme/runs/r", "/c/acme/plan?q=" + "%3Cscript%3Ealert(1)%3C/script%3E"} {
		r := p.get(path)
		if strings.Contains(r.body, "<script>alert") || !strings.Contains(r.body, "&lt;script&gt;alert(1)") || strings.Contains(r.body, evil) {
			t.Errorf("%s does not escape it, or does not show it (%d)", path, r.status)
		}
	}
	if r := p.get("/c/acme/runs"); !strings.Contains(r.body, "1 Jul 2026, 14:05") { // British summer time
		t.Error("dates are not British")
	}
}

func TestThemeAndConnectionAreRemembered(t *testing.T) {
	s := start(t)
	s.connections = append(s.connections, &connectionv1.Connection{Slug: "beta", Enabled: true})
	p := s.enter(t, "vera", rpc.RoleViewer)
	if r := p.post("/theme", "/c/acme", "theme", "dark", "back", "/c/acme"); r.status != http.StatusSeeOther || r.to != "/c/acme" {
		t.Errorf("answers %d, to %q", r.status, r.to)
	}
	if r := p.get("/c/acme"); !strings.Contains(r.body, `data-theme="dark"`) {
		t.Error("the theme is not dark")
	}
	if r := p.get("/switch?to=beta&from=%2Fc%2Facme%2Fruns%2Fr1%3Fx%3Dy"); r.to != "/c/beta/runs" {
		t.Errorf("switches to %q", r.to)
	}
	p.get("/c/beta")
	if r := p.get("/"); !strings.Contains(r.body, `<option value="beta" selected>`) {
		t.Error("the connection looked at last is not chosen")
	}
	if r := p.get("/switch?to=none&from=/c/acme"); r.to != "/" {
		t.Errorf("switches to %q", r.to)
	}
}
