package halo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"
	"go.opentelemetry.io/otel/metric"
)

// stub is a Halo whose API is one function, behind a token server that counts.
type stub struct {
	tokens atomic.Int64
	calls  atomic.Int64
	life   int
	secret string
	meters metric.MeterProvider
}

// serve starts the stub and gives a client for it, whose clock runs by itself through every wait.
func serve(t *testing.T, s *stub, api http.HandlerFunc) (*Client, *clockwork.FakeClock) {
	t.Helper()
	if s.life == 0 {
		s.life = 3600
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /auth/token", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("tenant") != "acme" || r.FormValue("grant_type") != "client_credentials" {
			http.Error(w, "wrong tenant", http.StatusInternalServerError)
			return
		}
		if r.FormValue("client_secret") != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"no such application"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"t%d","token_type":"Bearer","expires_in":%d}`, s.tokens.Add(1), s.life)
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		api(w, r)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	clock := clockwork.NewFakeClock()
	if s.secret == "" {
		s.secret = "s3cret"
	}
	c, err := New(Config{
		BaseURL: srv.URL, Credentials: Credentials{ClientID: "id", Secret: s.secret, Tenant: "acme"}, Clock: clock, Log: slog.New(slog.DiscardHandler),
		Budget: NewBudget(BudgetConfig{Bucket: &memory{}, Key: "k", Limit: 10_000, Clock: clock}), Timeout: 2 * time.Second, Meters: s.meters,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, clock
}

// hurry moves the clock whenever somebody waits for it.
func hurry(t *testing.T, clock *clockwork.FakeClock) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for clock.BlockUntilContext(ctx, 1) == nil {
			clock.Advance(10 * time.Second)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func TestOneTokenServesManyAndIsRenewedEarly(t *testing.T) {
	s := &stub{life: 600}
	c, clock := serve(t, s, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":1,"name":%q}`, r.Header.Get("Authorization"))
	})
	ctx := context.Background()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := c.Licence(ctx, 1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.tokens.Load(); n != 1 {
		t.Errorf("%d tokens were asked for, want one for all", n)
	}
	clock.Advance(541 * time.Second)
	l, err := c.Licence(ctx, 1)
	if err != nil || l.Name != "Bearer t2" {
		t.Errorf("a minute before its end the token is %q, %v; want a new one", l.Name, err)
	}
}

func TestA401RenewsOnceAndThenMeansMissingRights(t *testing.T) {
	s := &stub{}
	c, _ := serve(t, s, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer t1" || strings.Contains(r.URL.Path, "Control") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"id":1}`)
	})
	if _, err := c.Licence(context.Background(), 1); err != nil {
		t.Errorf("a token that ended early was not renewed: %v", err)
	}
	_, err := c.Control(context.Background())
	if ClassOf(err) != MissingRights {
		t.Errorf("got %v, want missing rights", err)
	}
	if n := s.tokens.Load(); n != 3 {
		t.Errorf("%d tokens, want one renewal per refusal and no loop", n)
	}
}

func TestAWrongSecretIsUnauthorisedAndNotShown(t *testing.T) {
	c, _ := serve(t, &stub{secret: "wr0ng"}, func(http.ResponseWriter, *http.Request) {})
	err := c.Authenticate(context.Background())
	if ClassOf(err) != Unauthorised || strings.Contains(err.Error(), "wr0ng") || !strings.Contains(err.Error(), "no such application") {
		t.Errorf("got %v", err)
	}
}

func TestErrorBodies(t *testing.T) {
	for _, c := range []struct {
		name, body, message string
		rows                map[int]string
	}{
		{
			"fields of rows", `{"[0].outcome_id":["Could not convert x."],"[2].count":["Bad.","Worse."]}`,
			"row 0: Could not convert x.; row 2: Bad.; Worse.", map[int]string{0: "Could not convert x.", 2: "Bad.; Worse."},
		},
		{"exception", `{"ClassName":"System.Exception","Message":"Password is mandatory","Data":null}`, "Password is mandatory", nil},
		{"bare string", `"Priority Description must not be blank"`, "Priority Description must not be blank", nil},
		{"lower case message", `{"message":"no"}`, "no", nil},
		{"result code", `{"resultCode":1,"errorMessage":"no"}`, "no", nil},
		{"text", "Bad\n Request", "Bad Request", nil},
		{"nothing", "", "", nil},
	} {
		message, rows := parseRefusal([]byte(c.body))
		if message != c.message || !cmp.Equal(rows, c.rows) {
			t.Errorf("%s: got %q, %v", c.name, message, rows)
		}
	}
}

func TestStatusesBecomeClasses(t *testing.T) {
	for _, c := range []struct {
		status      int
		read, write Class
	}{
		{400, Refused, Refused},
		{403, MissingRights, MissingRights},
		{404, NotFound, NotFound},
		{409, Refused, Refused},
		{500, Unavailable, Unclear},
		{504, Unavailable, Unclear},
	} {
		s := &stub{}
		cl, clock := serve(t, s, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(c.status) })
		hurry(t, clock)
		_, err := cl.Licence(context.Background(), 7)
		if ClassOf(err) != c.read {
			t.Errorf("read with %d: %v, want %s", c.status, err, c.read)
		}
		s.calls.Store(0)
		_, err = cl.PostLicences(context.Background(), []LicenceWrite{{ClientID: 1, Name: "new"}})
		if ClassOf(err) != c.write {
			t.Errorf("create with %d: %v, want %s", c.status, err, c.write)
		}
		if n := s.calls.Load(); n != 1 {
			t.Errorf("a create was sent %d times", n)
		}
		s.calls.Store(0)
		_, err = cl.PostLicences(context.Background(), []LicenceWrite{{ID: 5, ClientID: 1}})
		if want := map[bool]int64{true: triesFailing, false: 1}[c.status >= 500]; s.calls.Load() != want || ClassOf(err) != c.write {
			t.Errorf("an update met %d and was sent %d times, want %d: %v", c.status, s.calls.Load(), want, err)
		}
	}
}

func TestACutConnectionLeavesACreateUnclearAndAReadRepeated(t *testing.T) {
	s := &stub{}
	var cut atomic.Int64
	c, clock := serve(t, s, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost || cut.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, `{"id":1}`)
	})
	hurry(t, clock)
	if _, err := c.Licence(context.Background(), 1); err != nil {
		t.Errorf("a read was not repeated: %v", err)
	}
	s.calls.Store(0)
	_, err := c.PostLicences(context.Background(), []LicenceWrite{{ClientID: 1}, {ID: 5, ClientID: 1}})
	if ClassOf(err) != Unclear || s.calls.Load() != 1 {
		t.Errorf("%v after %d tries, want unclear after one", err, s.calls.Load())
	}
}

func TestAServerThatIsNotThereMeansNothingWasWritten(t *testing.T) {
	c, clock := serve(t, &stub{}, func(http.ResponseWriter, *http.Request) {})
	if err := c.Authenticate(context.Background()); err != nil {
		t.Fatal(err)
	}
	hurry(t, clock)
	c.api = "http://127.0.0.1:1/api"
	_, err := c.PostLicences(context.Background(), []LicenceWrite{{ClientID: 1}})
	if ClassOf(err) != Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
}

func TestA429ShutsTheBudgetForEveryone(t *testing.T) {
	s := &stub{}
	var refuse atomic.Bool
	refuse.Store(true)
	c, clock := serve(t, s, func(w http.ResponseWriter, _ *http.Request) {
		if refuse.Swap(false) {
			w.Header().Set("Retry-After", "90")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, "Rate Limit Reached - 300 Requests per rolling 5 minute window")
			return
		}
		fmt.Fprint(w, `[{"id":9}]`)
	})
	done := make(chan error, 1)
	var reply Reply
	go func() {
		var err error
		reply, err = c.PostLicences(context.Background(), []LicenceWrite{{ClientID: 1}})
		done <- err
	}()
	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	other := NewBudget(BudgetConfig{Bucket: c.budget.bucket, Key: "k", Limit: 10_000, Clock: clock})
	if wait, err := other.try(context.Background(), Urgent); err != nil || wait > 90*time.Second || wait < 89*time.Second {
		t.Errorf("another process waits %v, %v; want Halo's 90 s", wait, err)
	}
	clock.Advance(91 * time.Second)
	if err := <-done; err != nil || reply.ID() != 9 {
		t.Errorf("the create that was refused unread was not sent again: %v, %d", err, reply.ID())
	}
}

func TestRepliesToAPost(t *testing.T) {
	for _, c := range []struct {
		body string
		rows int
		id   int64
	}{{`{"id":4}`, 1, 4}, {`[{"id":4}]`, 1, 4}, {`{"id":4}`, 2, 0}, {`[{"id":4},{"id":5}]`, 2, 0}, {``, 1, 0}} {
		cl, _ := serve(t, &stub{}, func(w http.ResponseWriter, r *http.Request) {
			var rows []json.RawMessage
			if err := json.NewDecoder(r.Body).Decode(&rows); err != nil || len(rows) != c.rows {
				w.WriteHeader(400)
				return
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, c.body)
		})
		reply, err := cl.PostCustomers(context.Background(), make([]CustomerWrite, c.rows))
		if err != nil || reply.ID() != c.id {
			t.Errorf("%d rows answered %s: id %d, %v", c.rows, c.body, reply.ID(), err)
		}
	}
}

func TestOnlyIDLinesAndChangeSeqOfAnInvoiceArePosted(t *testing.T) {
	var got string
	c, _ := serve(t, &stub{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			fmt.Fprint(w, `{"id":-94,"client_id":3,"change_seq":7,"nextcreationdate":"2026-02-01T00:00:00","lines":[{"id":1,"a":1.0,"t":"<&>"}]}`)
			return
		}
		b, _ := io.ReadAll(r.Body)
		got = string(b)
		fmt.Fprint(w, `{}`)
	})
	i, err := c.Invoice(context.Background(), -94)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.PostInvoice(context.Background(), i); err != nil {
		t.Fatal(err)
	}
	if want := `[{"id":-94,"change_seq":7,"lines":[{"id":1,"a":1.0,"t":"<&>"}]}]`; got != want {
		t.Errorf("posted %s, want %s", got, want)
	}
	if _, err := c.PostInvoice(context.Background(), Invoice{Object: i.Object}); err == nil {
		t.Error("an invoice without its lines was written")
	}
}

func TestACallWhoseContextEndsWhileItWaitsIsNotUnclear(t *testing.T) {
	s := &stub{}
	c, _ := serve(t, s, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := c.PostLicences(ctx, []LicenceWrite{{ClientID: 1}})
	var e *Error
	if !errors.As(err, &e) || e.Class != RateLimited {
		t.Errorf("got %v, want rate limited: nothing can have landed", err)
	}
}

func TestAnUpdateThatWasRepeatedSaysSo(t *testing.T) {
	var tries atomic.Int64
	c, clock := serve(t, &stub{}, func(w http.ResponseWriter, _ *http.Request) {
		if tries.Add(1) == 1 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, `{"id":5}`)
	})
	hurry(t, clock)
	reply, err := c.PostLicences(context.Background(), []LicenceWrite{{ID: 5, ClientID: 1}})
	if err != nil || !reply.Astray {
		t.Errorf("%v, astray %v; the first try may land yet", err, reply.Astray)
	}
	reply, err = c.PostLicences(context.Background(), []LicenceWrite{{ID: 5, ClientID: 1}})
	if err != nil || reply.Astray {
		t.Errorf("%v, astray %v; there was one try only", err, reply.Astray)
	}
}

func TestNoSecretAndNoWriteFollowsARedirect(t *testing.T) {
	var reached atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		fmt.Fprint(w, `{"access_token":"t","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(elsewhere.Close)
	leading := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(leading.Close)
	clock := clockwork.NewFakeClock()
	cl, err := New(Config{
		BaseURL: leading.URL, Credentials: Credentials{ClientID: "id", Secret: "s3cret", Tenant: "acme"}, Clock: clock, Log: slog.New(slog.DiscardHandler),
		Budget: NewBudget(BudgetConfig{Bucket: &memory{}, Key: "k", Limit: 10_000, Clock: clock}), Timeout: 2 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	hurry(t, clock)
	if _, err := cl.Licence(t.Context(), 7); ClassOf(err) != Unauthorised || reached.Load() != 0 {
		t.Errorf("the secret went elsewhere %d times: %v", reached.Load(), err)
	}

	s := &stub{}
	cl, clock = serve(t, s, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(http.StatusFound)
	})
	hurry(t, clock)
	if _, err := cl.PostLicences(t.Context(), []LicenceWrite{{ClientID: 1, Name: "new"}}); err == nil || reached.Load() != 0 {
		t.Errorf("a write that was led elsewhere %d times: %v", reached.Load(), err)
	}
	if _, err := cl.Licence(t.Context(), 7); err == nil || reached.Load() != 0 {
		t.Errorf("a read that was led elsewhere %d times: %v", reached.Load(), err)
	}
}

// Whoever guards a client is asked right before each request that writes, also where it is repeated, and never for a read.
func TestAGuardIsAskedRightBeforeEachWrite(t *testing.T) {
	var events []string
	c, clock := serve(t, &stub{}, func(w http.ResponseWriter, r *http.Request) {
		events = append(events, r.Method)
		if len(events) < 3 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, `{"id":5}`)
	})
	hurry(t, clock)
	lost, answers := errors.New("not ours"), []error{nil, nil}
	guarded := c.Guarded(func(context.Context) error {
		events = append(events, "asked")
		answer := error(nil)
		if len(answers) > 0 {
			answer, answers = answers[0], answers[1:]
		}
		return answer
	})
	update := []LicenceWrite{{ID: 5, ClientID: 1}}
	if _, err := guarded.PostLicences(t.Context(), update); err != nil {
		t.Error(err)
	}
	if _, err := guarded.Licence(t.Context(), 5); err != nil {
		t.Error(err)
	}
	answers = []error{lost}
	if _, err := guarded.PostLicences(t.Context(), update); !errors.Is(err, lost) {
		t.Errorf("a write that the guard keeps back: %v", err)
	}
	if diff := cmp.Diff([]string{"asked", "POST", "asked", "POST", "GET", "asked"}, events); diff != "" {
		t.Error(diff)
	}
}

// A try of an update got no answer, and then it cannot be repeated: it may land all the same, so nothing is clear.
func TestAnUpdateThatCouldNotBeRepeatedIsUnclear(t *testing.T) {
	c, clock := serve(t, &stub{}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	hurry(t, clock)
	tries := 0
	guarded := c.Guarded(func(context.Context) error {
		if tries++; tries > 1 {
			return errors.New("not ours")
		}
		return nil
	})
	if _, err := guarded.PostLicences(t.Context(), []LicenceWrite{{ID: 5, ClientID: 1}}); ClassOf(err) != Unclear || tries != 2 {
		t.Errorf("after %d tries: %v, want it unclear", tries, err)
	}
}
