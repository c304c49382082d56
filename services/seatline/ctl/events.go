package ctl

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Events is the command of that name.
type Events struct {
	Client
	Tail EventsTail `cmd:"" help:"Show the state of things and then every change, or with --log what happens."`
}

// EventsTail is `events tail`.
type EventsTail struct {
	Connection string           `arg:"" optional:"" help:"Of this connection only."`
	Entity     string           `short:"e" help:"Only this entity: connection, giacom-customer, giacom-subscription, mapping, subscription, licence, invoice-line, price-rules; with --log run or change."`
	Log        bool             `help:"The log stream: runs and changes as they happen."`
	Since      time.Duration    `help:"With --log: begin so long ago."`
	New        bool             `help:"Leave out the present state, show changes only."`
	NATSURL    telemetry.Secret `name:"nats-url" env:"SEATLINE_NATS_URL" placeholder:"URL" help:"NATS; default: that of a running 'seatline up'."`
	NATSCreds  string           `name:"nats-creds" env:"SEATLINE_NATS_CREDS" type:"path" placeholder:"FILE" help:"Credentials file for NATS."`
}

// Payloads maps the entities of the catalogue to an empty payload of each.
func Payloads() map[string]proto.Message {
	return map[string]proto.Message{
		"connection": &connectionv1.Connection{}, "giacom-customer": &giacomv1.Customer{}, "giacom-subscription": &giacomv1.Subscription{},
		"mapping": &mappingv1.Mapping{}, "subscription": &subscriptionv1.Subscription{}, "licence": &licencev1.Licence{},
		"invoice-line": &invoicelinev1.Line{}, "price-rules": &pricingv1.PriceRules{}, "run": &runv1.Run{}, "change": &itemv1.Change{},
	}
}

func (cmd *EventsTail) Run(ctx context.Context, c *Client) error {
	url := cmd.NATSURL
	if url == "" {
		url = telemetry.Secret(c.endpoints.NATS)
	}
	if url == "" {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: fmt.Errorf("the address of NATS is not known: give --nats-url or SEATLINE_NATS_URL, or --data-dir of a running 'seatline up'")}
	}
	conn, err := bus.Connect(ctx, bus.Config{URL: url.Reveal(), CredsFile: cmd.NATSCreds, Name: "seatline-events-tail", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer conn.Close()
	snapshot := !cmd.Log && cmd.New
	cfg := event.SubscribeConfig{
		Connection: cmd.Connection, Entity: cmd.Entity, Log: cmd.Log,
		SnapshotComplete: func() { snapshot = false },
		Handler: func(_ context.Context, e event.Event) error {
			if snapshot {
				return nil
			}
			return cmd.print(c, e)
		},
	}
	if cmd.Since > 0 {
		cfg.Since = time.Now().Add(-cmd.Since)
	}
	return event.Subscribe(ctx, conn, cfg)
}

// print shows one event: a line for people, or the payload with its attributes as one JSON document.
func (cmd *EventsTail) print(c *Client, e event.Event) error {
	payload := Payloads()[e.Entity]
	if payload == nil {
		_, err := fmt.Fprintf(c.out, "%s %s %s/%s (unknown entity)\n", e.Time.Local().Format(time.DateTime), e.Type, e.Connection, clean(e.Key))
		return err
	}
	if err := e.Unmarshal(payload); err != nil {
		return err
	}
	if c.Output == "json" {
		return printLine(c, payload)
	}
	text, err := protojson.Marshal(payload)
	if err != nil {
		return err
	}
	const most = 160
	if r := []rune(string(text)); len(r) > most {
		text = []byte(string(r[:most]) + "…")
	}
	_, err = fmt.Fprintf(c.out, "%s %s %s/%s %s\n", e.Time.Local().Format(time.DateTime), e.Type, e.Connection, clean(e.Key), clean(string(text)))
	return err
}
