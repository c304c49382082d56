package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/overview"
)

// server answers ConnectionService.
type server struct {
	connectionv1.UnimplementedConnectionServiceServer
	pool      *pgxpool.Pool
	sealer    *Sealer
	peers     overview.Services
	bucket    halo.Bucket
	transport http.RoundTripper // nil for the usual one
	agent     string            // what Halo is told to be asked by
	clock     clockwork.Clock
	log       *slog.Logger
}

var connectionList = list.Spec{
	Noun: "connections",
	Fields: map[string]list.Field{
		"slug":         list.Text("slug"),
		"display_name": list.Text("display_name"),
		"enabled":      list.Bool("enabled"),
		"mode":         list.Enum("mode", connectionv1.Mode(0).Descriptor()),
		"account":      list.Text("account"),
		"instance":     list.Text("instance"),
		"deleted":      list.Bool("deleted"),
		"create_time":  list.Time("create_time"),
		"update_time":  list.Time("update_time"),
	},
	Key:    []string{"slug"},
	Search: []string{"slug", "display_name", "account", "instance"},
}

// ListConnections leaves deleted ones out, unless the filter speaks of deleted.
func (s *server) ListConnections(ctx context.Context, req *connectionv1.ListConnectionsRequest) (*connectionv1.ListConnectionsResponse, error) {
	query, err := connectionList.Query(req)
	if err != nil {
		return nil, err
	}
	from := list.Select{Columns: "body", From: "connections"}
	if !strings.Contains(req.GetFilter(), "deleted") {
		from.Where = "not deleted"
	}
	page, next, err := list.Collect(ctx, s.pool, query, from, scan)
	if err != nil {
		return nil, err
	}
	return &connectionv1.ListConnectionsResponse{Connections: page, NextPageToken: next}, nil
}

// GetConnection returns deleted ones too, marked so.
func (s *server) GetConnection(ctx context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.Connection, error) {
	c, err := read(ctx, s.pool, req.GetSlug())
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, rpc.NotFound("connection", req.GetSlug()).Do("look for it with `seatline connections list`")
	}
	return c, nil
}

// live is a connection that exists and is not deleted.
func live(ctx context.Context, q querier, slug string) (*connectionv1.Connection, error) {
	c, err := read(ctx, q, slug)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, rpc.NotFound("connection", slug).Do("look for it with `seatline connections list`")
	}
	if c.GetDeleted() {
		return nil, deleted(slug)
	}
	return c, nil
}

func deleted(slug string) error {
	return rpc.FailedPrecondition("CONNECTION_DELETED", slug, "connection %q was deleted, and its name is never used again", slug).
		Do("choose another slug")
}

// EnableConnection lets it run.
func (s *server) EnableConnection(ctx context.Context, req *connectionv1.EnableConnectionRequest) (*connectionv1.Connection, error) {
	if err := s.mayEnable(ctx, req); err != nil { // before the transaction, so that nobody else's change waits for Halo
		return nil, err
	}
	return s.change(ctx, req.GetSlug(), "enabled", req.GetOverrideReason(), func(_ pgx.Tx, c *connectionv1.Connection) (bool, error) {
		if c.GetEnabled() {
			return false, nil
		}
		c.Enabled = true
		return true, invalid(c.GetSlug(), Validate(c, c))
	})
}

// DisableConnection stops its runs and writes.
func (s *server) DisableConnection(ctx context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.Connection, error) {
	return s.change(ctx, req.GetSlug(), "disabled", "", func(_ pgx.Tx, c *connectionv1.Connection) (bool, error) {
		was := c.GetEnabled()
		c.Enabled = false
		return was, nil
	})
}

// DeleteConnection marks it deleted and drops its secrets. Doing so twice is no error.
func (s *server) DeleteConnection(ctx context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.DeleteConnectionResponse, error) {
	_, err := s.change(ctx, req.GetSlug(), "deleted", "", func(tx pgx.Tx, c *connectionv1.Connection) (bool, error) {
		c.Enabled, c.Deleted = false, true
		for _, ref := range []*connectionv1.SecretRef{c.GetGiacom().GetApiKey(), c.GetHalo().GetClientSecret()} {
			if ref != nil {
				ref.LastFour = ""
			}
		}
		return true, forgetSecrets(ctx, tx, c.GetSlug(), s.clock.Now())
	})
	if rpc.Reason(err) == "CONNECTION_DELETED" {
		err = nil
	}
	return &connectionv1.DeleteConnectionResponse{}, err
}

// change alters a connection in one transaction; f says whether it did. reason is why, as whoever did it says.
func (s *server) change(ctx context.Context, slug, what, reason string, f func(pgx.Tx, *connectionv1.Connection) (bool, error)) (c *connectionv1.Connection, err error) {
	changed := false
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockWrites(ctx, tx); err != nil {
			return err
		}
		if c, err = live(ctx, tx, slug); err != nil {
			return err
		}
		if changed, err = f(tx, c); err != nil || !changed {
			return err
		}
		now := s.clock.Now()
		c.UpdatedBy = rpc.Who(ctx)
		if err := write(ctx, tx, c, now, true); err != nil {
			return err
		}
		return record(ctx, tx, deed{slug: slug, what: what, who: rpc.Who(ctx), reason: strings.TrimSpace(reason)}, now)
	})
	if err != nil {
		return nil, err
	}
	if changed {
		s.log.InfoContext(ctx, "connection "+what, "connection", slug, "who", rpc.Who(ctx))
	}
	return c, nil
}

// GetSecrets is for services only, whatever the listener let through.
func (s *server) GetSecrets(ctx context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.Secrets, error) {
	if caller := rpc.CallerFrom(ctx); caller.Role != rpc.RoleService {
		return nil, rpc.Errorf(codes.PermissionDenied, "ROLE_FORBIDS", "%q may not read secrets: only services may", caller.Name)
	}
	return s.secrets(ctx, req.GetSlug())
}

func (s *server) secrets(ctx context.Context, slug string) (*connectionv1.Secrets, error) {
	c, err := live(ctx, s.pool, slug)
	if err != nil {
		return nil, err
	}
	rows, err := readSecrets(ctx, s.pool, slug)
	if err != nil {
		return nil, err
	}
	out := &connectionv1.Secrets{Etag: c.GetEtag()}
	for _, x := range []struct {
		field   string
		text    *string
		version *int64
	}{
		{fieldKey, &out.GiacomApiKey, &out.GiacomApiKeyVersion},
		{fieldSecret, &out.HaloClientSecret, &out.HaloClientSecretVersion},
	} {
		row, ok := rows[x.field]
		if !ok {
			continue
		}
		secret, err := s.sealer.open(slug, x.field, row.Sealed)
		if err != nil {
			s.log.ErrorContext(ctx, "secret cannot be opened", "connection", slug, "field", x.field, "err", err)
			return nil, rpc.FailedPrecondition("SECRET_UNREADABLE", slug, "%s of connection %q was sealed with another keyset than the console has now", x.field, slug).
				Do("restore the console's keyset file, or enter the secret again")
		}
		*x.text, *x.version = secret.Reveal(), row.Version
	}
	return out, nil
}

// errRollBack ends the transaction of a call that should only show what it would do.
var errRollBack = errors.New("only validated")

// ApplyConnection creates or updates. A call that changes nothing writes nothing and keeps the etag.
func (s *server) ApplyConnection(ctx context.Context, req *connectionv1.ApplyConnectionRequest) (*connectionv1.Connection, error) {
	if req.GetConnection() == nil {
		return nil, rpc.InvalidArgument("connection", "is missing")
	}
	c, did, err := s.tryApply(ctx, req, nil)
	if errors.Is(err, errLook) {
		// Between two transactions, so that nobody else's change waits for Halo; and after everything else was found
		// right, so that a secret goes nowhere that it must not.
		var seen *look
		if seen, err = s.lookFirst(ctx, c, req); err != nil {
			return nil, err
		}
		c, did, err = s.tryApply(ctx, req, seen)
	}
	switch {
	case errors.Is(err, errRollBack):
		return c, nil
	case err != nil:
		return nil, err
	case did != "":
		s.log.InfoContext(ctx, "connection "+did, "connection", c.GetSlug(), "mode", c.GetMode(), "enabled", c.GetEnabled(),
			"instance", c.GetHalo().GetInstance(), "etag", c.GetEtag(), "who", rpc.Who(ctx))
	}
	return c, nil
}

func (s *server) tryApply(ctx context.Context, req *connectionv1.ApplyConnectionRequest, seen *look) (c *connectionv1.Connection, did string, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
		if err := lockWrites(ctx, tx); err != nil {
			return err
		}
		if c, did, err = s.apply(ctx, tx, req, seen); err == nil && req.GetValidateOnly() {
			return errRollBack
		}
		return err
	})
	return c, did, err
}

// given is a secret of a request, with where its reference stands.
type given struct {
	field, path string
	secret      telemetry.Secret
	ref         **connectionv1.SecretRef
}

// checkEtag: an update says which state it was made from.
func checkEtag(old *connectionv1.Connection, req *connectionv1.ApplyConnectionRequest) error {
	slug, etag := req.GetConnection().GetSlug(), req.GetConnection().GetEtag()
	switch {
	case old.GetDeleted():
		return deleted(slug)
	case req.GetForce():
		return nil
	case old == nil && etag != "":
		return rpc.NotFound("connection", slug).Do("leave the etag out to create it")
	case old != nil && etag == "":
		return rpc.FailedPrecondition("ETAG_MISSING", slug, "connection %q exists already", slug).
			Do("to change it, read it and send its etag along, so that nobody's change is lost; or force")
	case old.GetEtag() != etag:
		return stale(old)
	}
	return nil
}

// stale is the answer to an edit of a state that is no longer the present one.
func stale(now *connectionv1.Connection) error {
	who, when := now.GetUpdatedBy(), now.GetUpdateTime().AsTime().UTC()
	e := rpc.Conflict("connection", now.GetSlug()).With("who", who).With("when", when.Format(time.RFC3339))
	if who == "" {
		who = "somebody"
	}
	e.Message = fmt.Sprintf("connection %q was changed by %s on %s UTC, after you had read it; nothing of your change was stored", now.GetSlug(), who, when.Format("2 January 2006 at 15:04:05"))
	return e
}
