// Package web is the console that operators look at: HTML drawn on the server, a client of the
// services' gRPC like any other. It keeps nothing itself but who is signed in (package access).
//
// How to add a page is in README.md.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/jonboulle/clockwork"

	"seatline.dev/services/console/web/access"
	"seatline.dev/services/console/web/ui"
	"seatline.dev/services/overview"
)

// Config of the web console.
type Config struct {
	// Addr is host:port; port 0 takes a free one.
	Addr string
	// Listener, if set, is used instead of listening on Addr, which is its address then.
	Listener net.Listener
	// URL is where people find it, for example https://seatline.example.com; empty: at Addr.
	URL string
	// TLSCert and TLSKey are PEM files.
	TLSCert, TLSKey string
	// Proxy says that a proxy in front ends TLS and tells the caller's address as the last one in
	// X-Forwarded-For.
	Proxy bool
	// OpenID is the identity provider; nil: local accounts.
	OpenID *access.OpenID
	// Services are connections to all of them, with a token of the role service.
	Services overview.Services
	// Patience is how long a page waits for Halo before it says that Halo does not answer; default 15 s.
	// What reads all of Halo's customers may take four times as long.
	Patience time.Duration
	// Listening is called with the URL once pages are served; may be nil.
	Listening func(url string)
	Log       *slog.Logger
	// Clock is the real one if nil.
	Clock clockwork.Clock
}

// Server of the pages.
type Server struct {
	cfg      Config
	store    *access.Store
	ui       *ui.UI
	listener net.Listener
	base     *url.URL
	// secure: browsers reach it over TLS only.
	secure   bool
	services overview.Services
	clock    clockwork.Clock
	log      *slog.Logger
	handler  http.Handler
	// stopping ends streams, which would otherwise go on for as long as somebody looks.
	stopping context.Context
	stop     context.CancelFunc
}

// New listens, but serves nothing yet. Beyond this machine it refuses plain HTTP.
func New(cfg Config, store *access.Store) (*Server, error) {
	if cfg.Clock == nil {
		cfg.Clock = clockwork.NewRealClock()
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 15 * time.Second
	}
	s := &Server{cfg: cfg, store: store, services: forPeople(cfg.Services), secure: cfg.TLSCert != "" || cfg.Proxy, clock: cfg.Clock, log: cfg.Log}
	if !loopback(cfg.Addr) && !s.secure {
		return nil, fmt.Errorf("web console on %s: passwords and sessions would cross the network in plain HTTP; give --web-tls-cert and --web-tls-key, or --web-proxy when a proxy in front ends TLS, or listen on 127.0.0.1", cfg.Addr)
	}
	var err error
	if s.ui, err = ui.New(); err != nil {
		return nil, err
	}
	if s.listener, err = s.listen(); err != nil {
		return nil, fmt.Errorf("web console: %w", err)
	}
	if s.base, err = s.publicURL(); err != nil {
		s.listener.Close()
		return nil, fmt.Errorf("web console: %w", err)
	}
	if cfg.OpenID != nil {
		cfg.OpenID.Redirect = s.base.JoinPath("/sign-in/return").String()
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.handler = s.routes()
	return s, nil
}

func (s *Server) listen() (net.Listener, error) {
	var certificates []tls.Certificate
	if s.cfg.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(s.cfg.TLSCert, s.cfg.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", s.cfg.TLSCert, err)
		}
		certificates = append(certificates, pair)
	}
	listener := s.cfg.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", s.cfg.Addr); err != nil {
			return nil, err
		}
	}
	if certificates == nil {
		return listener, nil
	}
	return tls.NewListener(listener, &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}), nil
}

func (s *Server) publicURL() (*url.URL, error) {
	if s.cfg.URL == "" {
		scheme := "http"
		if s.secure {
			scheme = "https"
		}
		return &url.URL{Scheme: scheme, Host: s.listener.Addr().String()}, nil
	}
	u, err := url.Parse(s.cfg.URL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || (u.Path != "" && u.Path != "/") {
		return nil, fmt.Errorf("--web-url %q is not like https://seatline.example.com", s.cfg.URL)
	}
	if s.secure && u.Scheme != "https" {
		return nil, fmt.Errorf("--web-url %q: people reach the console by TLS, so it begins with https", s.cfg.URL)
	}
	if !s.secure && u.Scheme == "https" { // cookies would not be kept to TLS, and every caller would count as the proxy
		return nil, fmt.Errorf("--web-url %q: nothing here ends TLS; give --web-proxy when a proxy in front does, or --web-tls-cert and --web-tls-key, or an address that begins with http", s.cfg.URL)
	}
	return u, nil
}

// URL where people find the console.
func (s *Server) URL() string { return s.base.String() }

// SignInLink is the address of a one-time link; nil when such links are not made, because others than
// this machine reach the console.
func (s *Server) SignInLink() func(secret string) string {
	if !loopback(s.listener.Addr().String()) || s.cfg.Proxy {
		return nil
	}
	return func(secret string) string {
		return s.base.JoinPath("/sign-in/once").String() + "?" + url.Values{"link": {secret}}.Encode()
	}
}

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	defer s.stop()
	// No time limit on writing: a page may stream. Streams set their own.
	server := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.listener) }()
	if s.cfg.Listening != nil {
		s.cfg.Listening(s.URL())
	}
	select {
	case err := <-failed:
		return fmt.Errorf("web console: %w", err)
	case <-ctx.Done():
	}
	s.stop()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	if err := server.Shutdown(closing); err != nil {
		server.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("web console: %w", err)
	}
	return nil
}

// Close gives the address up when Serve is never called.
func (s *Server) Close() { s.listener.Close() }

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
