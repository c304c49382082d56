package event

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/postgres"
)

// received is a message with what it says.
type received struct {
	msg      jetstream.Msg
	event    Event
	delivery uint64 // the durable's count of deliveries
}

// handle digests the messages and acknowledges them. The error is one that passes: the messages
// were given back to come again.
func (c *consumer) handle(ctx context.Context, msgs []jetstream.Msg) (err error) {
	stop := c.keep(msgs)
	defer stop()
	var good []received
	for _, m := range msgs {
		r := received{msg: m}
		meta, err := m.Metadata()
		if err == nil {
			r.delivery = meta.Sequence.Consumer
			r.event, err = DecodeMsg(m)
		}
		if err == nil {
			good = append(good, r)
			continue
		}
		if err := c.bury(ctx, r, fmt.Errorf("not an event: %w", err)); err != nil {
			c.giveBack(msgs)
			return err
		}
	}
	if len(good) == 0 {
		return nil
	}
	if err := c.digest(ctx, good); err != nil {
		c.giveBack(msgs) // Those that are acknowledged already are unaffected.
		return err
	}
	return nil
}

// digest runs the handler over a batch, halving it when an event in it is at fault.
func (c *consumer) digest(ctx context.Context, batch []received) error {
	err := c.commit(ctx, batch)
	switch {
	case err == nil:
		for _, r := range batch {
			// When an acknowledgement is lost the message comes again, which does no harm.
			_ = r.msg.Ack()
		}
		return nil
	case passes(err):
		return err
	case len(batch) > 1:
		half := len(batch) / 2
		return errors.Join(c.digest(ctx, batch[:half]), c.digest(ctx, batch[half:]))
	default:
		return c.bury(ctx, batch[0], err)
	}
}

// commit runs the handler in a transaction of its own.
func (c *consumer) commit(ctx context.Context, batch []received) (err error) {
	events := newest(batch)
	ctx, end := c.metrics.processing(ctx, events, len(batch))
	defer func() { end(err) }()
	return postgres.InTx(ctx, c.Pool, func(tx pgx.Tx) error {
		if err := call(ctx, c.Handler, tx, events); err != nil {
			return err
		}
		return c.delivered(ctx, tx, batch)
	})
}

// call turns a panic of the handler into an error, so that one event cannot stop the service.
func call(ctx context.Context, h Handler, tx pgx.Tx, events []Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return h(ctx, tx, events)
}

// newest returns the newest event of each key, in the order of connection and key.
func newest(batch []received) []Event {
	events := make([]Event, len(batch))
	for i, r := range batch {
		events[i] = r.event
	}
	slices.SortStableFunc(events, func(a, b Event) int {
		return cmp.Or(strings.Compare(a.Connection, b.Connection), strings.Compare(a.Key, b.Key), cmp.Compare(b.Revision, a.Revision))
	})
	return slices.CompactFunc(events, func(a, b Event) bool { return a.Connection == b.Connection && a.Key == b.Key })
}

// giveBack has the messages delivered again after a delay that grows with their deliveries.
// The durable's BackOff would not do it: it does not apply to messages given back.
func (c *consumer) giveBack(msgs []jetstream.Msg) {
	for _, m := range msgs {
		tries := 1
		if meta, err := m.Metadata(); err == nil {
			tries = int(min(meta.NumDelivered, 20))
		}
		_ = m.NakWithDelay(c.delay(tries - 1))
	}
}

// keep tells the server that the messages are being worked on, until stop is called.
func (c *consumer) keep(msgs []jetstream.Msg) (stop func()) {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(c.AckWait / 3)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				for _, m := range msgs {
					_ = m.InProgress()
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}
