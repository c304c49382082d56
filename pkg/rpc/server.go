// Package rpc makes gRPC servers and clients the same way everywhere: health, reflection,
// authentication, tracing, recovery, and errors that say what happened, to what, and what to do
// next (google.rpc details inside). The sub-package list answers every List method.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"seatline.dev/pkg/telemetry"
)

// defaultMaxMessage bounds one message either way: a page of 1,000 rows is below 2 MiB.
const defaultMaxMessage = 16 << 20

// A page of a list goes out in one piece: within a window that is known from the beginning, neither side measures the
// connection with pings in order to find one, and a buffer that holds it is one write, and one read.
const (
	window = 1 << 20
	buffer = 128 << 10
)

// Config of a server.
type Config struct {
	// Addr is host:port; port 0 takes a free one, which Server.Addr reports.
	Addr string
	// Listener, if set, is used instead of listening on Addr, which is its address then.
	Listener net.Listener
	// Tokens that are accepted as bearer tokens.
	Tokens []Token
	// TLS of the listener. With ClientCA set, callers may show a certificate instead of a token:
	// its common name is who they are, its organisational unit (viewer, operator or service) their role.
	TLS TLS
	// InsecureLoopback lets callers without a token act as operators, except for secrets. Only
	// allowed on a loopback address.
	InsecureLoopback bool
	// MaxMessageBytes of one message; default 16 MiB.
	MaxMessageBytes int
	// DrainTimeout is how long calls may go on after Serve's context ended; default 10 s.
	DrainTimeout time.Duration
	// Healthy is asked every few seconds, nil error meaning healthy; nil: always healthy while serving.
	Healthy func(context.Context) error
	// Telemetry traces and measures calls; nil: not.
	Telemetry *telemetry.Telemetry
}

// Server is a gRPC server with its listener. It is a grpc.ServiceRegistrar.
type Server struct {
	*grpc.Server
	listener net.Listener
	health   *health.Server
	healthy  func(context.Context) error
	drain    time.Duration
	log      *slog.Logger
	// stopping ends streams, which would otherwise go on for as long as their caller likes.
	stopping context.Context
	stop     context.CancelFunc
}

// NewServer listens and returns a server to register services with. It refuses an address that
// others can reach unless callers must authenticate.
func NewServer(cfg Config, log *slog.Logger) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("gRPC server on %s: %w", cfg.Addr, err)
	}
	creds, err := cfg.TLS.server()
	if err != nil {
		return nil, fmt.Errorf("gRPC server on %s: %w", cfg.Addr, err)
	}
	listener := cfg.Listener
	if listener == nil {
		if listener, err = net.Listen("tcp", cfg.Addr); err != nil {
			return nil, fmt.Errorf("gRPC server: %w", err)
		}
	}
	if !isLoopback(listener.Addr().String()) && !cfg.TLS.enabled() {
		log.Warn("gRPC listens beyond this machine without TLS: tokens travel in plain text", "addr", listener.Addr().String())
	}
	maxMessage := cfg.MaxMessageBytes
	if maxMessage == 0 {
		maxMessage = defaultMaxMessage
	}
	s := &Server{listener: listener, health: health.NewServer(), healthy: cfg.Healthy, drain: cfg.DrainTimeout, log: log}
	if s.drain == 0 {
		s.drain = 10 * time.Second
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	auth := authenticator{tokens: cfg.Tokens, open: cfg.InsecureLoopback}
	options := []grpc.ServerOption{
		grpc.Creds(creds),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		grpc.WriteBufferSize(buffer),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		// Outermost first: an error is mapped after everything inside it has spoken.
		grpc.ChainUnaryInterceptor(s.unary(auth)),
		grpc.ChainStreamInterceptor(s.stream(auth)),
	}
	if t := cfg.Telemetry; t != nil {
		options = append(options, grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(t.Tracers), otelgrpc.WithMeterProvider(t.Meters), otelgrpc.WithPropagators(t.Propagator))))
	}
	s.Server = grpc.NewServer(options...)
	healthpb.RegisterHealthServer(s.Server, s.health)
	reflection.Register(s.Server)
	s.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	return s, nil
}

func (cfg Config) check() error {
	for _, token := range cfg.Tokens {
		switch {
		case !token.Role.Valid():
			return fmt.Errorf("token %q has the role %q; roles are viewer, operator and service", token.Name, token.Role)
		case token.Name == "":
			return fmt.Errorf("a token of role %s has no name; the change log needs one", token.Role)
		case len(token.Secret) < 16:
			return fmt.Errorf("the token of %q is shorter than 16 characters; make one with `openssl rand -hex 32`", token.Name)
		}
	}
	authenticated := len(cfg.Tokens) > 0 || cfg.TLS.ClientCA != ""
	switch {
	case cfg.InsecureLoopback && !isLoopback(cfg.Addr):
		return errors.New("callers without a token are only let in on a loopback address; configure tokens or a client CA, or listen on 127.0.0.1")
	case !authenticated && !cfg.InsecureLoopback:
		return errors.New("no way for callers to authenticate; configure tokens or a client CA")
	case cfg.TLS.ClientCA != "" && cfg.TLS.Cert == "":
		return errors.New("a client CA needs the server's own certificate and key too")
	}
	return nil
}

// isLoopback is false for names other than localhost, whatever they resolve to now.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Addr is where the server listens, with the port that was taken.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// streamGrace is how long streams go on when the server stops, so that a watch of its health still
// learns that it does.
const streamGrace = 100 * time.Millisecond

// Serve answers calls until ctx ends, then tells health that it stops, ends streams, lets calls in
// hand finish for the drain time, and cuts off the rest. It returns nil after such an end.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.stop()
	failed := make(chan error, 1)
	go func() { failed <- s.Server.Serve(s.listener) }()
	watched := make(chan struct{})
	go func() { defer close(watched); s.watchHealth(ctx) }()

	select {
	case err := <-failed:
		cancel()
		<-watched
		return fmt.Errorf("gRPC server on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	<-watched
	s.health.Shutdown()
	time.AfterFunc(streamGrace, s.stop)
	drained := make(chan struct{})
	go func() { defer close(drained); s.GracefulStop() }()
	select {
	case <-drained:
	case <-time.After(s.drain):
		s.log.Warn("gRPC calls cut off at the end of the drain time", "addr", s.Addr(), "drain", s.drain)
		s.Stop()
		<-drained
	}
	<-failed
	return nil
}

// watchHealth keeps the health service saying what Healthy says.
func (s *Server) watchHealth(ctx context.Context) {
	const every = 5 * time.Second
	last := healthpb.HealthCheckResponse_UNKNOWN
	for {
		now := healthpb.HealthCheckResponse_SERVING
		if s.healthy != nil {
			asked, cancel := context.WithTimeout(ctx, every)
			err := s.healthy(asked)
			cancel()
			if err != nil && ctx.Err() == nil {
				now = healthpb.HealthCheckResponse_NOT_SERVING
				if last != now {
					s.log.Warn("not healthy", "addr", s.Addr(), "err", err)
				}
			}
		}
		if now != last {
			s.health.SetServingStatus("", now)
			last = now
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(every):
		}
	}
}

func (s *Server) unary(auth authenticator) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		defer s.recovered(ctx, info.FullMethod, &err)
		ctx, err = auth.authorise(ctx, info.FullMethod)
		if err != nil {
			return nil, err
		}
		if err := checkText(req); err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

func (s *Server) stream(auth authenticator) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer s.recovered(stream.Context(), info.FullMethod, &err)
		ctx, err := auth.authorise(stream.Context(), info.FullMethod)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.stopping, cancel)()
		err = handler(srv, callerStream{stream, ctx})
		if err != nil && s.stopping.Err() != nil {
			return Unavailable("STOPPING", time.Second, "the service is stopping").Do("call again: another replica, or its successor, answers")
		}
		return err
	}
}

type callerStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s callerStream) Context() context.Context { return s.ctx }

func (s callerStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return checkText(m)
}

// recovered turns panics and errors into what the caller may see; deferred around every call.
func (s *Server) recovered(ctx context.Context, method string, err *error) {
	if p := recover(); p != nil {
		s.log.ErrorContext(ctx, "gRPC call panicked", "method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		*err = internal(ctx)
		return
	}
	if *err == nil {
		return
	}
	answer, seen := outward(*err)
	if !seen {
		s.log.ErrorContext(ctx, "gRPC call failed", "method", method, "who", Who(ctx), "err", *err)
	}
	if answer == nil {
		answer = internal(ctx)
	}
	*err = answer
}

// internal names the trace, so that the log line with the cause can be found.
func internal(ctx context.Context) *Error {
	e := Errorf(codes.Internal, "INTERNAL", "the service could not do that because of a fault of its own")
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		return e.Do("its log says more under trace_id %s", span.TraceID())
	}
	return e.Do("its log says more")
}
