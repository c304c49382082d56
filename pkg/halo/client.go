package halo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// DefaultTimeout bounds one HTTP request. A gateway in front of Halo gives up after about a minute [C]; a lease on the
// object being written must be longer than this.
const DefaultTimeout = 75 * time.Second

const (
	triesBusy    = 10 // of a request that meets 429, reference 6.6
	triesFailing = 4  // of a request that meets 5xx or a cut connection and may be repeated
)

// maxReply bounds a reply: a page of 1,000 licences is about 2 MB, one of 100 invoices with lines may be 50.
const maxReply = 256 << 20

// scope names this package in traces and metrics.
const scope = "seatline.dev/pkg/halo"

// Config says which Halo instance to talk to, and how.
type Config struct {
	// BaseURL is the address of the instance, such as https://acme.halopsa.com, without /api.
	BaseURL string
	// AuthURL is the authorisation server; empty is BaseURL + "/auth".
	AuthURL     string
	Credentials Credentials
	// Budget admits every request, the token's included. Required: share one per instance.
	Budget *Budget
	// Agent is the User-Agent: which program asks, so that whoever runs Halo can tell; empty is "seatline".
	Agent string
	// Capabilities are what [Client.Probe] found on this instance; the zero value works everywhere, at more requests.
	Capabilities Capabilities
	// Timeout bounds one HTTP request, reply included; 0 is DefaultTimeout.
	Timeout time.Duration
	// Transport is http.DefaultTransport if nil.
	Transport http.RoundTripper
	Log       *slog.Logger
	Clock     clockwork.Clock
	// Tracers and Meters are OpenTelemetry's global ones if nil.
	Tracers trace.TracerProvider
	Meters  metric.MeterProvider
}

// Client calls one Halo instance. It may be used by many goroutines.
type Client struct {
	http     *http.Client
	api      string
	agent    string
	tokens   *tokens
	budget   *Budget
	caps     Capabilities
	timeout  time.Duration
	priority Priority
	log      *slog.Logger
	clock    clockwork.Clock
	tracer   trace.Tracer
	guard    func(context.Context) error // see Guarded; nil asks nobody
	requests metric.Int64Counter
}

// New makes a client. It sends nothing yet.
func New(c Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(c.BaseURL, "/"))
	if err != nil || base.Host == "" {
		return nil, &Error{Class: Refused, Message: "the address of the Halo instance must be like https://acme.halopsa.com, not " + strconv.Quote(c.BaseURL)}
	}
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.AuthURL == "" {
		c.AuthURL = base.String() + "/auth"
	}
	if c.Credentials.Scope == "" {
		c.Credentials.Scope = DefaultScope
	}
	if c.Tracers == nil {
		c.Tracers = otel.GetTracerProvider()
	}
	if c.Meters == nil {
		c.Meters = otel.GetMeterProvider()
	}
	if c.Agent == "" {
		c.Agent = "seatline"
	}
	requests, err := c.Meters.Meter(scope).Int64Counter("seatline.halo.requests",
		metric.WithDescription("Requests sent to Halo, by route and outcome."))
	if err != nil {
		return nil, err
	}
	client := &Client{
		http: &http.Client{Transport: c.Transport, Timeout: c.Timeout, CheckRedirect: stayHere}, api: base.String() + "/api", agent: c.Agent,
		budget: c.Budget, caps: c.Capabilities, timeout: c.Timeout, log: c.Log, clock: c.Clock,
		tracer: c.Tracers.Tracer(scope), requests: requests,
	}
	client.tokens = &tokens{
		http: client.http, agent: c.Agent, url: strings.TrimRight(c.AuthURL, "/") + "/token", creds: c.Credentials, clock: c.Clock,
		take: func(ctx context.Context) error { return c.Budget.Take(ctx, Urgent) }, turn: make(chan struct{}, 1),
		sent: func(ctx context.Context, err error) {
			client.count(ctx, http.MethodPost, "/token", cmp.Or(string(ClassOf(err)), "ok"))
		},
	}
	return client, nil
}

// At is the same client, with another priority in the shared budget.
func (c *Client) At(p Priority) *Client {
	other := *c
	other.priority = p
	return &other
}

// Guarded is the same client, asking before each request that writes: right before it is sent, when the wait for its turn
// is over, and again where it is repeated. What ask answers keeps the request from being sent, and is the error of the call.
// So a process that stood still meanwhile does not write what has become somebody else's to write.
func (c *Client) Guarded(ask func(context.Context) error) *Client {
	other := *c
	other.guard = ask
	return &other
}

// With is the same client, relying on what has been learnt of the instance.
func (c *Client) With(caps Capabilities) *Client {
	other := *c
	other.caps = caps
	return &other
}

// Budget is the one this client takes its requests from.
func (c *Client) Budget() *Budget { return c.budget }

// Timeout bounds each HTTP request of this client; an outcome that is unclear is settled no earlier than this.
func (c *Client) Timeout() time.Duration { return c.timeout }

// Scopes are what Halo granted with the last token, nil while it has said nothing. They are the application's; what
// the role of its agent allows shows at a request only.
func (c *Client) Scopes() []string {
	c.tokens.mu.Lock()
	defer c.tokens.mu.Unlock()
	return strings.Fields(c.tokens.scope)
}

// Authenticate obtains a token, which proves the credentials and nothing else.
func (c *Client) Authenticate(ctx context.Context) error {
	_, err := c.tokens.get(ctx, "")
	return err
}

// call is one logical request, which may be sent several times.
type call struct {
	method string
	route  string // of the metrics and spans: no ids
	path   string
	query  url.Values
	body   []byte
	write  bool
	// again: repeating it is harmless, as it is for reads and for writes that name every id.
	again bool
}

// do sends a call until it succeeds, must not be repeated, or ctx ends, and gives the body of the reply.
func (c *Client) do(ctx context.Context, q call) ([]byte, error) {
	body, _, err := c.attempt(ctx, q)
	return body, err
}

// attempt is do, and tells whether an earlier try of the same call may still be on its way to Halo.
func (c *Client) attempt(ctx context.Context, q call) (body []byte, astray bool, err error) {
	priority := c.priority
	if priority == ByMethod {
		priority = Background
		if q.write {
			priority = Urgent
		}
	}
	refused := ""
	for try := 1; ; try++ {
		if err := c.budget.Take(ctx, priority); err != nil {
			return nil, astray, notSent(q, err)
		}
		token, err := c.tokens.get(ctx, refused)
		if err != nil {
			return nil, astray, notSent(q, err)
		}
		if q.write && c.guard != nil {
			if err := c.guard(ctx); err != nil {
				return nil, astray, err
			}
		}
		body, failure := c.send(ctx, q, token)
		if failure == nil {
			return body, astray, nil
		}
		astray = astray || failure.Class == Unclear && failure.Status != http.StatusInternalServerError
		var wait time.Duration
		switch {
		case failure.Status == http.StatusUnauthorized && refused == "":
			refused = token // it may have ended early: renew once
		case failure.Class == RateLimited && try < triesBusy:
			wait = failure.RetryAfter
			if wait <= 0 {
				wait = backOff(5*time.Second, time.Minute, try)
			}
			failure.RetryAfter = wait
			if err := c.budget.Close(ctx, wait); err != nil {
				return nil, astray, notSent(q, err)
			}
			wait = 0 // the budget itself makes us wait, like everyone else
		case failure.Class == Unavailable && try < triesFailing, failure.Class == Unclear && q.again && try < triesFailing:
			wait = backOff(time.Second, time.Minute, try)
		default:
			return nil, astray, failure
		}
		c.log.DebugContext(ctx, "Halo request is repeated", "method", q.method, "route", q.route, "try", try, "wait", wait, "err", failure)
		if deadline, ok := ctx.Deadline(); ok && c.clock.Until(deadline) < wait {
			return nil, astray, failure
		}
		select {
		case <-ctx.Done():
			return nil, astray, failure
		case <-c.clock.After(wait):
		}
	}
}

// count a request that was sent, by what came of it: "ok" or the class of its error.
func (c *Client) count(ctx context.Context, method, route, class string) {
	c.requests.Add(ctx, 1, metric.WithAttributes(attribute.String("method", method), attribute.String("route", route), attribute.String("class", class)))
}

// send sends a call once.
func (c *Client) send(ctx context.Context, q call, token string) (body []byte, failure *Error) {
	ctx, span := c.tracer.Start(ctx, q.method+" "+q.route, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", q.method), attribute.String("url.template", "/api"+q.route)))
	defer func() {
		class := "ok"
		if failure != nil {
			class = string(failure.Class)
			span.SetStatus(codes.Error, class)
			span.SetAttributes(attribute.Int("http.response.status_code", failure.Status))
		}
		span.End()
		c.count(ctx, q.method, q.route, class)
	}()
	address := c.api + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, q.method, address, bytes.NewReader(q.body))
	if err != nil {
		return nil, &Error{Class: Refused, Method: q.method, Route: q.route, Err: err}
	}
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, lost(q, 0, err)
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil && res.StatusCode < 300 {
		return nil, lost(q, res.StatusCode, err)
	}
	if res.StatusCode < 300 {
		return body, nil
	}
	return nil, c.classify(q, res, body)
}

// classify turns a reply that is not a success into an Error.
func (c *Client) classify(q call, res *http.Response, body []byte) *Error {
	e := &Error{Class: Refused, Method: q.method, Route: q.route, Status: res.StatusCode}
	e.Message, e.Rows = parseRefusal(body)
	switch {
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		e.Class = MissingRights // of a token that is fresh; do renews the others
	case res.StatusCode == http.StatusNotFound:
		e.Class = NotFound
	case res.StatusCode == http.StatusTooManyRequests:
		e.Class = RateLimited
		e.RetryAfter = retryAfter(res.Header.Get("Retry-After"), c.clock.Now())
	case res.StatusCode >= 500 && q.write, res.StatusCode == http.StatusRequestTimeout && q.write:
		e.Class = Unclear
	case res.StatusCode >= 500, res.StatusCode == http.StatusRequestTimeout:
		e.Class = Unavailable
	}
	return e
}

// lost is a request whose reply did not come, or not whole.
func lost(q call, status int, err error) *Error {
	e := &Error{Class: Unavailable, Method: q.method, Route: q.route, Status: status, Err: err}
	var u *url.Error
	if errors.As(err, &u) {
		e.Err = u.Err // without the address, whose query may hold a customer's name
	}
	var op *net.OpError
	if notConnected := errors.As(err, &op) && op.Op == "dial"; q.write && !notConnected {
		e.Class = Unclear
	}
	return e
}

// notSent says of an error met before anything was sent which call it stopped.
func notSent(q call, err error) error {
	var e *Error
	if errors.As(err, &e) {
		told := *e
		if told.Route == "" {
			told.Method, told.Route = q.method, q.route
		}
		return &told
	}
	return &Error{Class: RateLimited, Method: q.method, Route: q.route, Message: "stopped while waiting for its turn", Err: err}
}

func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(strings.TrimSpace(header)); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// backOff doubles from first to most, with a quarter of jitter.
func backOff(first, most time.Duration, try int) time.Duration {
	d := min(first<<min(try-1, 16), most)
	return d - time.Duration(mathrand.Int64N(int64(d/4)+1))
}

// stayHere follows a redirect of a read within the same host only. The body of a request for a token is the
// secret, which no other host is to get; and a write that became a read would seem to have been done.
func stayHere(next *http.Request, before []*http.Request) error {
	first := before[0]
	if first.Method != http.MethodGet || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host || len(before) >= 5 {
		return http.ErrUseLastResponse
	}
	return nil
}
