package ctl

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"
	"google.golang.org/grpc"

	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Client is the flags that every command has: where the services are, and how to print. An address
// comes from its flag, else its variable, else the file that `seatline up` writes into its data
// directory, else the default port on this machine.
type Client struct {
	Output  string `short:"o" enum:"table,json" default:"table" env:"SEATLINE_OUTPUT" help:"How to print: ${enum}."`
	DataDir string `name:"data-dir" default:".seatline" env:"SEATLINE_DATA_DIR" type:"path" help:"Data directory of a running 'seatline up', to find its addresses and token."`

	Token   telemetry.Secret `env:"SEATLINE_TOKEN" placeholder:"TOKEN" help:"Token to authenticate with; better given by the variable."`
	Timeout time.Duration    `default:"60s" env:"SEATLINE_TIMEOUT" help:"How long a call may take."`

	ConsoleAddr string `name:"console-addr" env:"SEATLINE_CONSOLE_ADDR" placeholder:"HOST:PORT" help:"gRPC address of the console."`
	FetcherAddr string `name:"fetcher-addr" env:"SEATLINE_FETCHER_ADDR" placeholder:"HOST:PORT" help:"gRPC address of the fetcher."`
	MapperAddr  string `name:"mapper-addr" env:"SEATLINE_MAPPER_ADDR" placeholder:"HOST:PORT" help:"gRPC address of the mapper."`
	LicenceAddr string `name:"licence-addr" env:"SEATLINE_LICENCE_ADDR" placeholder:"HOST:PORT" help:"gRPC address of the licence service."`
	BillingAddr string `name:"billing-addr" env:"SEATLINE_BILLING_ADDR" placeholder:"HOST:PORT" help:"gRPC address of billing."`

	TLS       bool   `name:"tls" env:"SEATLINE_CLIENT_TLS" help:"Speak TLS, trusting this machine's roots."`
	TLSCA     string `name:"tls-ca" env:"SEATLINE_CLIENT_CA" type:"path" placeholder:"FILE" help:"Speak TLS, trusting these roots (PEM)."`
	TLSCert   string `name:"tls-cert" env:"SEATLINE_CLIENT_CERT" type:"path" placeholder:"FILE" help:"Client certificate to authenticate with (PEM)."`
	TLSKey    string `name:"tls-key" env:"SEATLINE_CLIENT_KEY" type:"path" placeholder:"FILE" help:"Its key (PEM)."`
	out       io.Writer
	endpoints Endpoints
}

// AfterApply makes the flags known to the command's Run.
func (c *Client) AfterApply(kctx *kong.Context) error {
	c.out = kctx.Stdout
	endpoints, err := ReadEndpoints(c.DataDir)
	if err != nil {
		return err
	}
	c.endpoints = endpoints
	kctx.Bind(c)
	return nil
}

// addr of a service.
func (c *Client) addr(service string) string {
	given := map[string]string{
		Console: c.ConsoleAddr, Fetcher: c.FetcherAddr, Mapper: c.MapperAddr, Licence: c.LicenceAddr, Billing: c.BillingAddr,
	}[service]
	switch {
	case given != "":
		return given
	case c.endpoints.Services[service] != "":
		return c.endpoints.Services[service]
	default:
		return fmt.Sprintf("127.0.0.1:%d", DefaultPort(service))
	}
}

func (c *Client) endpoint(addr string) rpc.Endpoint {
	token := c.Token
	if token == "" {
		token = telemetry.Secret(c.endpoints.Token)
	}
	return rpc.Endpoint{Addr: addr, Token: token, TLS: rpc.TLS{Enabled: c.TLS, CA: c.TLSCA, Cert: c.TLSCert, Key: c.TLSKey}}
}

// call connects to a service for the time of one command.
func (c *Client) call(ctx context.Context, service string, do func(context.Context, grpc.ClientConnInterface) error) error {
	return c.callFor(ctx, c.Timeout, service, do)
}

// callFor is call with a time limit of its own; 0 for none.
func (c *Client) callFor(ctx context.Context, limit time.Duration, service string, do func(context.Context, grpc.ClientConnInterface) error) error {
	conn, err := rpc.Dial(c.endpoint(c.addr(service)))
	if err != nil {
		return err
	}
	defer conn.Close()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if err := do(ctx, conn); err != nil {
		return atService(err, service, c.addr(service))
	}
	return nil
}

// callOf is call with a client of what the service answers.
func callOf[C any](ctx context.Context, c *Client, service string, client func(grpc.ClientConnInterface) C, do func(context.Context, C) error) error {
	return c.call(ctx, service, func(ctx context.Context, conn grpc.ClientConnInterface) error { return do(ctx, client(conn)) })
}

// atService says which service did not answer: gRPC's own words name neither it nor a way out.
func atService(err error, service, addr string) error {
	if rpc.ExitCode(err) != rpc.ExitUnavailable || rpc.Reason(err) != "" {
		return err
	}
	e, _ := rpc.ErrorFrom(err)
	e.Message = fmt.Sprintf("no answer from %s at %s (%s)", service, addr, e.Message)
	return e
}

func (c *Client) connections(ctx context.Context, do func(context.Context, connectionv1.ConnectionServiceClient) error) error {
	return callOf(ctx, c, Console, connectionv1.NewConnectionServiceClient, do)
}

func (c *Client) runs(ctx context.Context, do func(context.Context, runv1.RunServiceClient) error) error {
	return callOf(ctx, c, Fetcher, runv1.NewRunServiceClient, do)
}

func (c *Client) mappings(ctx context.Context, do func(context.Context, mappingv1.MappingServiceClient) error) error {
	return callOf(ctx, c, Mapper, mappingv1.NewMappingServiceClient, do)
}

func (c *Client) subscriptions(ctx context.Context, do func(context.Context, subscriptionv1.SubscriptionServiceClient) error) error {
	return callOf(ctx, c, Mapper, subscriptionv1.NewSubscriptionServiceClient, do)
}

func (c *Client) licences(ctx context.Context, do func(context.Context, licencev1.LicenceServiceClient) error) error {
	return callOf(ctx, c, Licence, licencev1.NewLicenceServiceClient, do)
}

func (c *Client) lines(ctx context.Context, do func(context.Context, invoicelinev1.LineServiceClient) error) error {
	return callOf(ctx, c, Billing, invoicelinev1.NewLineServiceClient, do)
}

func (c *Client) pricing(ctx context.Context, do func(context.Context, pricingv1.PricingServiceClient) error) error {
	return callOf(ctx, c, Billing, pricingv1.NewPricingServiceClient, do)
}

func (c *Client) ops(ctx context.Context, service string, do func(context.Context, opsv1.OpsServiceClient) error) error {
	return callOf(ctx, c, service, opsv1.NewOpsServiceClient, do)
}

// etagFlag keeps two people from overwriting each other.
type etagFlag struct {
	Etag string `help:"Refuse if it changed since this etag was read."`
}

// readFile reads a file, or standard input for "-".
func readFile(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(path)
}
