package giacom

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Client reads one Giacom account. It is safe for use by several goroutines.
type Client struct {
	cfg      Config
	http     *http.Client
	token    tokenSource
	requests atomic.Int64
	measured metric.Int64Counter
}

// New checks cfg and returns a client; nothing is sent yet. Its error is of class [Misconfigured].
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	own := http.Client{}
	if cfg.HTTP != nil {
		own = *cfg.HTTP
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	measured, err := cfg.Meters.Meter("seatline.dev/pkg/giacom").Int64Counter("seatline.giacom.requests",
		metric.WithDescription("Requests of the Giacom API, by path and outcome."))
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, http: &own, measured: measured}
	c.token.client = c
	return c, nil
}

// Requests is the number of HTTP requests sent so far, retries and token requests included.
func (c *Client) Requests() int64 { return c.requests.Load() }

// Tries and waits of one request. A wait that Giacom asks for is honoured up to maxWait; a longer one ends the pull.
const (
	maxTries    = 5
	firstWait   = time.Second
	maxBackoff  = 30 * time.Second
	defaultWait = 30 * time.Second // after a 429 without Retry-After
	maxWait     = 5 * time.Minute
)

// callerError carries an error of the caller's callback past the retries.
type callerError struct{ error }

// get sends one GET until it succeeds, its error is final, or the tries are used up. read is called with the body of
// each 2xx answer, so it must be able to start again.
func (c *Client) get(ctx context.Context, address string, read func(http.Header, io.Reader) error) error {
	for try := 1; ; try++ {
		err := c.once(ctx, address, read)
		c.measure(ctx, address, err)
		if err == nil {
			return nil
		}
		var own callerError
		if errors.As(err, &own) {
			return own.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var e *Error
		if !errors.As(err, &e) || !e.retryable() || try == maxTries {
			return err
		}
		wait := c.wait(e, try)
		if wait > maxWait {
			return err
		}
		c.cfg.Log.Warn("giacom request will be tried again", "url", e.URL, "class", e.Class, "status", e.Status, "try", try, "wait", wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.cfg.Clock.After(wait):
		}
	}
}

// measure counts a request. Only the last part of its path is told, and never its query.
func (c *Client) measure(ctx context.Context, address string, err error) {
	class := "ok"
	var e *Error
	switch {
	case errors.As(err, &e):
		class = string(e.Class)
	case ctx.Err() != nil:
		class = "cancelled"
	}
	feed, _, _ := strings.Cut(address, "?")
	c.measured.Add(context.WithoutCancel(ctx), 1, metric.WithAttributes(attribute.String("feed", path.Base(feed)), attribute.String("class", class)))
}

// wait is how long to sit out e before the next try: what Giacom asks for, else twice as long each time, with up to half
// of it added at random so that several replicas do not come back at once.
func (c *Client) wait(e *Error, try int) time.Duration {
	wait := e.RetryAfter
	if wait == 0 && e.Class == RateLimited {
		wait = defaultWait
	}
	if wait == 0 {
		wait = min(firstWait<<(try-1), maxBackoff)
	}
	return wait + rand.N(wait/2)
}

func (c *Client) once(ctx context.Context, address string, read func(http.Header, io.Reader) error) error {
	resp, cancel, err := c.send(ctx, http.MethodGet, address, "", nil)
	if err != nil {
		return err
	}
	defer cancel()
	defer resp.Body.Close()
	shown := redactURL(address)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fromResponse(shown, resp, body, c.cfg.Clock.Now())
	}
	err = read(resp.Header, resp.Body)
	var e *Error
	if errors.As(err, &e) && e.URL == "" {
		e.URL, e.Status = shown, resp.StatusCode
	}
	return err
}

// send sends one request and answers with its response, whose body ends in an error when Giacom falls silent. An API
// request that is refused with an OAuth token is sent once more with a fresh one.
func (c *Client) send(ctx context.Context, method, address, form string, basic *url.Userinfo) (*http.Response, func(), error) {
	for fresh := false; ; fresh = true {
		ctx, cancel := context.WithCancel(ctx)
		req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form))
		if err != nil {
			cancel()
			return nil, nil, &Error{Class: Misconfigured, URL: redactURL(address), Message: "not a usable address"}
		}
		req.Header.Set("Accept", "application/json")
		if basic != nil {
			secret, _ := basic.Password()
			req.SetBasicAuth(url.QueryEscape(basic.Username()), url.QueryEscape(secret))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		} else if err := c.authorise(ctx, req, fresh); err != nil {
			cancel()
			return nil, nil, err
		}
		c.requests.Add(1)
		silence := time.AfterFunc(c.cfg.Silence, cancel)
		resp, err := c.http.Do(req)
		silence.Stop()
		if err != nil {
			cancel()
			return nil, nil, cut(redactURL(address), err)
		}
		if resp.StatusCode == http.StatusUnauthorized && basic == nil && c.usesToken() && !fresh {
			resp.Body.Close()
			cancel()
			continue
		}
		resp.Body = &silenced{ReadCloser: resp.Body, timer: silence, limit: c.cfg.Silence, url: redactURL(address)}
		return resp, cancel, nil
	}
}

func (c *Client) authorise(ctx context.Context, req *http.Request, fresh bool) error {
	if !c.usesToken() {
		req.Header.Set(c.cfg.KeyHeader, c.cfg.Key.Reveal())
		return nil
	}
	token, err := c.token.get(ctx, fresh)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// cut is an error of the connection. The URL inside net/http's error is dropped: ours is shown without its query.
func cut(address string, err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &Error{Class: Unavailable, URL: address, Message: "connection cut or silent", Err: err}
}

// silenced is a body of which every single read must bring something within limit.
type silenced struct {
	io.ReadCloser
	timer *time.Timer // cancels the request
	limit time.Duration
	url   string
}

func (s *silenced) Read(p []byte) (int, error) {
	s.timer.Reset(s.limit)
	n, err := s.ReadCloser.Read(p)
	s.timer.Stop()
	if err != nil && err != io.EOF {
		err = cut(s.url, err)
	}
	return n, err
}
