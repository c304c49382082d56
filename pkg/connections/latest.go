package connections

import (
	"context"
	"errors"
	"time"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// How long a change may be on its way from the console, and how often it is looked for.
const (
	patience = 5 * time.Second
	glance   = 25 * time.Millisecond
)

// Latest is Read for what a person starts: whoever changes a connection and starts something right after that means the
// connection as it is now. It waits for a change that is on its way over the bus; one that does not come is Unavailable.
// Where the console does not answer, what is known here counts.
func Latest(ctx context.Context, q Querier, console SecretSource, slug string) (*connectionv1.Connection, error) {
	for began := time.Now(); ; {
		now, asked := console.GetSecrets(ctx, &connectionv1.GetConnectionRequest{Slug: slug})
		c, err := Read(ctx, q, slug)
		if err != nil && !errors.Is(err, ErrUnknown) || asked != nil || now.GetEtag() == "" || now.GetEtag() == c.GetEtag() {
			return c, err
		}
		if time.Since(began) > patience {
			return nil, rpc.Unavailable("CHANGE_UNDER_WAY", time.Second, "the last change of connection %q has not come here yet", slug).Do("try again; if it stays so, look with `seatline status`")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(glance):
		}
	}
}
