package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
)

const eventCount = 50_000

// events measures the outbox with its relay, and a consumer, against raw JetStream: the same
// messages, in atomic batches of the same size, each synced to disk.
func (r *Report) events(ctx context.Context, dir, database string) error {
	server, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: filepath.Join(dir, "events-nats")})
	if err != nil {
		return err
	}
	defer server.Stop()
	conn, err := server.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := bus.EnsureStreams(ctx, conn.JS, 1); err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, database, "bench_events")
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := postgres.Migrate(ctx, pool, event.Schema); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log := slog.New(slog.DiscardHandler)
	relay := &event.Relay{Bus: conn, Pool: pool, Log: log, Service: "bench"}
	go relay.Run(ctx) //nolint:errcheck // it ends with ctx

	all := make([]event.Event, eventCount)
	for i := range all {
		all[i] = event.Event{
			Type: "seatline.giacom.subscription.changed.v1", Entity: "giacom-subscription", Connection: "bench", Key: fmt.Sprintf("microsoft/%08d", i),
			Revision: int64(i + 1), Run: "run", Source: "seatline/bench", Time: time.Now(),
			Data: &giacomv1.Subscription{Key: fmt.Sprintf("microsoft/%08d", i), MexId: "MEX10021", CustomerName: "Harbour Dental Ltd",
				Name: "Microsoft 365 Business Premium", Sku: "CFQ7TTC0LCHC:0002", Quantity: "12", StartTime: timestamppb.Now()},
		}
	}
	ours, err := took(func() error {
		for batch := all; len(batch) > 0; batch = batch[min(1000, len(batch)):] {
			err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error { return event.Publish(ctx, tx, batch[:min(1000, len(batch))]...) })
			if err != nil {
				return err
			}
		}
		return until(ctx, func() (bool, error) {
			var left int
			err := pool.QueryRow(ctx, "select count(*) from outbox").Scan(&left)
			return left == 0, err
		})
	})
	if err != nil {
		return err
	}
	floor, err := took(func() error { return rawPublish(ctx, conn, all) })
	if err != nil {
		return err
	}
	r.Publish = ratio(eventCount/ours, eventCount/floor)

	var seen atomic.Int64
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	ours, err = took(func() error {
		ended := make(chan error, 1)
		go func() {
			ended <- event.Consume(consuming, event.ConsumerConfig{Bus: conn, Pool: pool, Log: log, Service: "bench", Entity: "giacom-subscription",
				Handler: func(_ context.Context, _ pgx.Tx, batch []event.Event) error { seen.Add(int64(len(batch))); return nil }})
		}()
		return until(ctx, func() (bool, error) {
			select {
			case err := <-ended:
				return false, errors.Join(errors.New("the consumer ended"), err)
			default:
				return seen.Load() >= eventCount, nil
			}
		})
	})
	if err != nil {
		return err
	}
	floor, err = took(func() error { return rawConsume(ctx, conn) })
	if err != nil {
		return err
	}
	r.Consumer = ratio(eventCount/ours, eventCount/floor)
	return nil
}

func rawPublish(ctx context.Context, conn *bus.Conn, all []event.Event) error {
	for start := 0; start < len(all); start += 1000 {
		batch, err := jetstreamext.NewBatchPublisher(conn.JS)
		if err != nil {
			return err
		}
		part := all[start:min(start+1000, len(all))]
		for i, e := range part {
			e.Connection, e.ID = "floor", fmt.Sprint("floor-", start+i)
			m, err := event.Encode(e)
			if err != nil {
				return err
			}
			if i == len(part)-1 {
				_, err = batch.CommitMsg(ctx, m)
			} else {
				err = batch.AddMsg(m)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func rawConsume(ctx context.Context, conn *bus.Conn) error {
	consumer, err := conn.JS.CreateOrUpdateConsumer(ctx, bus.StateStream, jetstream.ConsumerConfig{
		Durable: "floor", FilterSubject: event.Filter("floor", "giacom-subscription", false), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000,
	})
	if err != nil {
		return err
	}
	for seen := 0; seen < eventCount; {
		batch, err := consumer.Fetch(500, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return err
		}
		for m := range batch.Messages() {
			seen++
			if err := m.Ack(); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return err
		}
	}
	return nil
}

func until(ctx context.Context, done func() (bool, error)) error {
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}
