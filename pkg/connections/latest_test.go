package connections

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/postgres/postgrestest"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// told is a console that says which edition of a connection is the last.
type told struct {
	etag string
	err  error
}

func (c *told) GetSecrets(context.Context, *connectionv1.GetConnectionRequest, ...grpc.CallOption) (*connectionv1.Secrets, error) {
	return &connectionv1.Secrets{Etag: c.etag}, c.err
}

func TestLatestWaitsForAChangeThatIsUnderWay(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, Schema())
	revision := int64(0)
	arrives := func(etag string) {
		t.Helper()
		revision++
		err := postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			e := event.Event{ID: etag, Source: "seatline/console", Time: time.Now(), Type: "seatline.connection.changed.v1", Entity: Entity, Connection: "acme", Key: "acme", Revision: revision, Data: &connectionv1.Connection{Slug: "acme", Etag: etag}}
			m, err := event.Encode(e)
			if err != nil {
				return err
			}
			if e, err = event.Decode(m); err == nil {
				_, err = Save(t.Context(), tx, []event.Event{e})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	latest := func(console *told) (string, error) {
		c, err := Latest(t.Context(), pool, console, "acme")
		return c.GetEtag(), err
	}

	if _, err := latest(&told{err: status.Error(codes.NotFound, "")}); !errors.Is(err, ErrUnknown) {
		t.Errorf("of none: %v", err)
	}
	for _, etag := range []string{"1", "2"} { // one that is new, and one that is changed
		go func() { time.Sleep(3 * glance); arrives(etag) }()
		if got, err := latest(&told{etag: etag}); got != etag || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, etag)
		}
	}
	for name, console := range map[string]*told{"a console that is down": {err: status.Error(codes.Unavailable, "")}, "a console of before": {}} {
		if got, err := latest(console); got != "2" || err != nil {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*glance)
	defer cancel()
	if _, err := Latest(ctx, pool, &told{etag: "3"}, "acme"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that does not come: %v", err)
	}
}
