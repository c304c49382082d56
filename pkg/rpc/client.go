package rpc

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"seatline.dev/pkg/telemetry"
)

// Endpoint is where a server is and how to speak to it.
type Endpoint struct {
	// Addr is host:port.
	Addr string
	// Token is sent as a bearer token; empty: none.
	Token telemetry.Secret
	TLS   TLS
	// Telemetry traces and measures calls; nil: not.
	Telemetry *telemetry.Telemetry
}

// retries of calls that never reached a handler, which is all that UNAVAILABLE without a response means
// on an idempotent method; commands are safe too, since every one of them sets rather than adds.
const retries = `{"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":4,"initialBackoff":"0.1s","maxBackoff":"2s","backoffMultiplier":3,"retryableStatusCodes":["UNAVAILABLE"]}}]}`

// Dial returns a connection that connects when it is first used, and again whenever it was lost.
func Dial(to Endpoint) (*grpc.ClientConn, error) {
	creds, err := to.TLS.client()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to.Addr, err)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(defaultMaxMessage), grpc.MaxCallSendMsgSize(defaultMaxMessage)),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithReadBufferSize(buffer),
		grpc.WithDefaultServiceConfig(retries),
		grpc.WithUnaryInterceptor(sendText),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}
	if to.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer(to.Token)))
	}
	if t := to.Telemetry; t != nil {
		options = append(options, grpc.WithStatsHandler(otelgrpc.NewClientHandler(
			otelgrpc.WithTracerProvider(t.Tracers), otelgrpc.WithMeterProvider(t.Meters), otelgrpc.WithPropagators(t.Propagator))))
	}
	conn, err := grpc.NewClient(to.Addr, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to.Addr, err)
	}
	return conn, nil
}

type bearer telemetry.Secret

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + telemetry.Secret(b).Reveal()}, nil
}

// RequireTransportSecurity is false because within one machine or pod network there may be no TLS;
// the server warns when it listens further without it.
func (bearer) RequireTransportSecurity() bool { return false }

// Pages asks for one page of a list after the other, to the last. page is given the token of the one to ask for and
// returns that of the next.
func Pages(page func(token string) (next string, err error)) error {
	for token := ""; ; {
		next, err := page(token)
		if err != nil {
			return err
		}
		if token = next; token == "" {
			return nil
		}
	}
}
