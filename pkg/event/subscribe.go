package event

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
)

// SubscribeConfig says what to read. Empty Connection or Entity means any.
type SubscribeConfig struct {
	Connection string
	Entity     string
	// Handler is called for one event at a time, in stream order: first for the last state of each
	// entity, then for every change. An error ends the subscription.
	Handler func(ctx context.Context, e Event) error
	// SnapshotComplete is called once, when everything that was there at the start was handled.
	SnapshotComplete func()
	// Malformed is called for messages that are no events; without it they end the subscription.
	Malformed func(subject string, err error)
	// Log reads the log stream instead, from Since on (by default only what happens from now).
	Log   bool
	Since time.Time
}

// Subscribe is for readers without a database of their own, such as other teams' services: a
// complete snapshot, then the tail, starting over with every call. It blocks until ctx ends, and
// then returns nil, or until the handler fails. A reader that keeps state should ignore events
// whose Revision is not above the one it has.
func Subscribe(ctx context.Context, conn *bus.Conn, cfg SubscribeConfig) error {
	stream := bus.StateStream
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{Filter(cfg.Connection, cfg.Entity, cfg.Log)},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
	}
	if cfg.Log {
		stream = bus.LogStream
		config.DeliverPolicy = jetstream.DeliverNewPolicy
		if !cfg.Since.IsZero() {
			config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &cfg.Since
		}
	}
	consumer, err := conn.JS.OrderedConsumer(ctx, stream, config)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", config.FilterSubjects[0], err)
	}
	complete := cfg.SnapshotComplete
	if complete == nil {
		complete = func() {}
	}
	waiting := true
	if info := consumer.CachedInfo(); info != nil && info.NumPending == 0 {
		complete()
		waiting = false
	}
	iter, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", config.FilterSubjects[0], err)
	}
	defer iter.Stop()
	for {
		m, err := iter.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // The server is away; the ordered consumer comes back by itself.
		case err != nil:
			return fmt.Errorf("subscribe to %s: %w", config.FilterSubjects[0], err)
		}
		e, err := DecodeMsg(m)
		switch {
		case err == nil:
			if err := cfg.Handler(ctx, e); err != nil {
				return err
			}
		case cfg.Malformed != nil:
			cfg.Malformed(m.Subject(), err)
		default:
			return fmt.Errorf("message on %s: %w", m.Subject(), err)
		}
		if !waiting {
			continue
		}
		if meta, err := m.Metadata(); err == nil && meta.NumPending == 0 {
			complete()
			waiting = false
		}
	}
}
