package event_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// Another team follows the licences of a connection: first a complete picture, then every change.
// Against a real installation, bus.Connect takes the place of the embedded server.
func ExampleSubscribe() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, stop := exampleServer(ctx)
	defer stop()

	send(ctx, conn, "microsoft/aa", 1, "Microsoft 365 Business Premium", 25)
	send(ctx, conn, "giacom/4711", 1, "Exclaimer", 40)
	send(ctx, conn, "microsoft/aa", 2, "Microsoft 365 Business Premium", 26) // Replaces the first.

	revisions := map[string]int64{}
	err := event.Subscribe(ctx, conn, event.SubscribeConfig{
		Connection: "demo",
		Entity:     "licence",
		Handler: func(_ context.Context, e event.Event) error {
			if e.Revision <= revisions[e.Key] {
				return nil // A repetition.
			}
			revisions[e.Key] = e.Revision
			var l licencev1.Licence
			if err := e.Unmarshal(&l); err != nil {
				return err
			}
			fmt.Printf("%s: %d seats of %s\n", e.Key, l.GetDesired().GetCount(), l.GetDesired().GetName())
			if l.GetDesired().GetCount() == 50 {
				cancel()
			}
			return nil
		},
		SnapshotComplete: func() {
			fmt.Printf("that is the complete picture: %d licences\n", len(revisions))
			send(ctx, conn, "giacom/4711", 2, "Exclaimer", 50)
		},
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// giacom/4711: 40 seats of Exclaimer
	// microsoft/aa: 26 seats of Microsoft 365 Business Premium
	// that is the complete picture: 2 licences
	// giacom/4711: 50 seats of Exclaimer
}

func exampleServer(ctx context.Context) (*bus.Conn, func()) {
	dir, err := os.MkdirTemp("", "seatline-example-")
	if err != nil {
		panic(err)
	}
	s, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: dir, Volatile: true})
	if err != nil {
		panic(err)
	}
	conn, err := s.Conn(ctx)
	if err != nil {
		panic(err)
	}
	if err := bus.EnsureStreams(ctx, conn.JS, 1); err != nil {
		panic(err)
	}
	return conn, func() { conn.NC.Close(); s.Stop(); os.RemoveAll(dir) }
}

// send does what the licence service does when a licence changes.
func send(ctx context.Context, conn *bus.Conn, key string, revision int64, name string, seats int64) {
	m, err := event.Encode(event.Event{
		ID: fmt.Sprint(key, revision), Type: "seatline.licence.changed.v1", Entity: "licence", Connection: "demo", Key: key,
		Revision: revision, Source: "seatline/licence", Time: time.Now(),
		Data: &licencev1.Licence{Desired: &licencev1.Fields{Name: name, Count: seats}},
	})
	if err != nil {
		panic(err)
	}
	if _, err := conn.JS.PublishMsg(ctx, m); err != nil {
		panic(err)
	}
}
