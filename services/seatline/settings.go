package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	"seatline.dev/services/console"
)

// settings are what a process that runs services is told. Each is a flag, a variable, or a key of the
// file; `seatline config` prints them with this text.
type settings struct {
	DatabaseURL telemetry.Secret `name:"database-url" env:"SEATLINE_DATABASE_URL,DATABASE_URL" placeholder:"URL" help:"PostgreSQL 14 or later. Each service keeps to a schema of its own there. Empty with 'up': a private server is started."`

	NATSURL   telemetry.Secret `name:"nats-url" env:"SEATLINE_NATS_URL" placeholder:"URL" help:"NATS with JetStream, one server or several, comma separated. Empty with 'up': one is embedded."`
	NATSCreds string           `name:"nats-creds" env:"SEATLINE_NATS_CREDS" type:"path" placeholder:"FILE" help:"Credentials file for NATS."`
	NATSCA    string           `name:"nats-ca" env:"SEATLINE_NATS_CA" type:"path" placeholder:"FILE" help:"CA certificates for NATS (PEM)."`
	NATSCert  string           `name:"nats-cert" env:"SEATLINE_NATS_CERT" type:"path" placeholder:"FILE" help:"Certificate to show NATS (PEM)."`
	NATSKey   string           `name:"nats-key" env:"SEATLINE_NATS_KEY" type:"path" placeholder:"FILE" help:"Its key (PEM)."`
	Replicas  int              `name:"stream-replicas" env:"SEATLINE_STREAM_REPLICAS" default:"1" help:"Servers that keep a copy of each stream: 1, 3 or 5."`

	GRPCAddr    string `name:"grpc-addr" env:"SEATLINE_GRPC_ADDR" placeholder:"HOST:PORT" help:"Where gRPC listens. Default: the service's port (console 7701, fetcher 7702, mapper 7703, licence 7704, billing 7705) on loopback."`
	HTTPAddr    string `name:"http-addr" env:"SEATLINE_HTTP_ADDR" placeholder:"HOST:PORT" help:"Where /healthz, /readyz and /metrics listen. Default: 127.0.0.1:7700, or a free port when that is taken."`
	ConsoleAddr string `name:"console-addr" env:"SEATLINE_CONSOLE_ADDR" default:"127.0.0.1:7701" placeholder:"HOST:PORT" help:"gRPC address of the console, which hands the secrets of connections to the other services."`
	FetcherAddr string `name:"fetcher-addr" env:"SEATLINE_FETCHER_ADDR" default:"127.0.0.1:7702" placeholder:"HOST:PORT" help:"gRPC address of the fetcher; this and the next three are for the console, whose pages ask all services."`
	MapperAddr  string `name:"mapper-addr" env:"SEATLINE_MAPPER_ADDR" default:"127.0.0.1:7703" placeholder:"HOST:PORT" help:"gRPC address of the mapper."`
	LicenceAddr string `name:"licence-addr" env:"SEATLINE_LICENCE_ADDR" default:"127.0.0.1:7704" placeholder:"HOST:PORT" help:"gRPC address of the licence service."`
	BillingAddr string `name:"billing-addr" env:"SEATLINE_BILLING_ADDR" default:"127.0.0.1:7705" placeholder:"HOST:PORT" help:"gRPC address of billing."`

	TLSCert     string `name:"tls-cert" env:"SEATLINE_TLS_CERT" type:"path" placeholder:"FILE" help:"Certificate of the gRPC listener (PEM)."`
	TLSKey      string `name:"tls-key" env:"SEATLINE_TLS_KEY" type:"path" placeholder:"FILE" help:"Its key (PEM)."`
	TLSClientCA string `name:"tls-client-ca" env:"SEATLINE_TLS_CLIENT_CA" type:"path" placeholder:"FILE" help:"Lets callers authenticate with a certificate of this CA (PEM): the common name is who they are, the organisational unit their role."`
	ConsoleCA   string `name:"console-ca" env:"SEATLINE_CONSOLE_CA" type:"path" placeholder:"FILE" help:"Speak TLS to the console, trusting this CA (PEM)."`

	ServiceToken  telemetry.Secret `name:"service-token" env:"SEATLINE_SERVICE_TOKEN" placeholder:"TOKEN" help:"With it services get secrets from the console, and the console acts for people: whoever has it may do what any operator may, and read secrets. The same for all services; at least 16 characters."`
	OperatorToken telemetry.Secret `name:"operator-token" env:"SEATLINE_OPERATOR_TOKEN" placeholder:"TOKEN" help:"With it people and programs may command. Empty on loopback: whoever is on this machine may."`
	TokensFile    string           `name:"tokens-file" env:"SEATLINE_TOKENS_FILE" type:"path" placeholder:"FILE" help:"More tokens, one a line: NAME ROLE TOKEN. Roles: viewer, operator, service."`

	KeysetFile string           `name:"keyset-file" env:"SEATLINE_KEYSET_FILE" type:"path" placeholder:"FILE" help:"Tink keyset that seals secrets at rest; for the console. 'seatline keyset' makes one."`
	Keyset     telemetry.Secret `name:"keyset" env:"SEATLINE_KEYSET" placeholder:"JSON" help:"The keyset itself, instead of a file."`

	webSettings

	HaloTimeout time.Duration `name:"halo-timeout" env:"SEATLINE_HALO_TIMEOUT" default:"75s" help:"How long one request to Halo may take; longer than its gateway hangs."`
	ApplyLease  time.Duration `name:"apply-lease" env:"SEATLINE_APPLY_LEASE" placeholder:"DURATION" help:"How long a silent process keeps the work it took; longer than --halo-timeout. Default: that and half a minute."`
	ApplySettle time.Duration `name:"apply-settle" env:"SEATLINE_APPLY_SETTLE" placeholder:"DURATION" help:"How long after that a write may still land in Halo, whose gateway can hang on to it. Default: 3m."`
	Retention   int           `name:"retention-days" env:"SEATLINE_RETENTION_DAYS" default:"400" help:"Days for which history, changes, runs and reports are kept. What is true now is kept whatever its age."`
	LogLevel    slog.Level    `name:"log-level" env:"SEATLINE_LOG_LEVEL" default:"info" help:"debug, info, warn or error."`
}

const defaultHTTPPort = 7700

// lease of work taken; a request may last as long as its timeout, and the lease must outlast it.
func (s settings) lease() time.Duration {
	if s.ApplyLease > 0 {
		return s.ApplyLease
	}
	return s.HaloTimeout + 30*time.Second
}

// connectBus waits until NATS answers and makes the streams.
func (s settings) connectBus(ctx context.Context, name string, log *slog.Logger) (*bus.Conn, error) {
	conn, err := bus.Connect(ctx, bus.Config{
		URL: s.NATSURL.Reveal(), CredsFile: s.NATSCreds, CAFile: s.NATSCA, CertFile: s.NATSCert, KeyFile: s.NATSKey, Name: "seatline-" + name, Log: log,
	})
	if err != nil {
		return nil, err
	}
	// JetStream may come up after the server that it is in.
	if err := retry(ctx, 30*time.Second, func() error { return bus.EnsureStreams(ctx, conn.JS, s.Replicas) }); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// sealer of the console's secrets.
func (s settings) sealer() (*console.Sealer, error) {
	switch {
	case s.Keyset != "":
		return console.NewSealer(s.Keyset)
	case s.KeysetFile != "":
		return console.OpenSealer(s.KeysetFile)
	default:
		return nil, &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("the console needs a keyset to seal secrets with: make one with `seatline keyset FILE` and give it as --keyset-file or SEATLINE_KEYSET_FILE")}
	}
}

// tokens that the listeners accept.
func (s settings) tokens() ([]rpc.Token, error) {
	var tokens []rpc.Token
	if s.ServiceToken != "" {
		tokens = append(tokens, rpc.Token{Name: "service", Role: rpc.RoleService, Secret: s.ServiceToken})
	}
	if s.OperatorToken != "" {
		tokens = append(tokens, rpc.Token{Name: "operator", Role: rpc.RoleOperator, Secret: s.OperatorToken})
	}
	if s.TokensFile == "" {
		return tokens, nil
	}
	f, err := os.Open(s.TokensFile)
	if err != nil {
		return nil, fmt.Errorf("tokens file: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 3 || !rpc.Role(fields[1]).Valid() { // the line holds a secret: it is not repeated
			return nil, fmt.Errorf("tokens file %s, line %d: is not NAME ROLE TOKEN with the role viewer, operator or service", s.TokensFile, n)
		}
		tokens = append(tokens, rpc.Token{Name: fields[0], Role: rpc.Role(fields[1]), Secret: telemetry.Secret(fields[2])})
	}
	return tokens, lines.Err()
}

// listener is the configuration of a gRPC server on addr.
func (s settings) listener(addr string, tel *telemetry.Telemetry) (rpc.Config, error) {
	tokens, err := s.tokens()
	if err != nil {
		return rpc.Config{}, err
	}
	return rpc.Config{
		Addr: addr, Tokens: tokens, Telemetry: tel,
		TLS:              rpc.TLS{Cert: s.TLSCert, Key: s.TLSKey, ClientCA: s.TLSClientCA},
		InsecureLoopback: loopback(addr) && s.OperatorToken == "" && s.TLSClientCA == "" && s.TokensFile == "",
	}, nil
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
