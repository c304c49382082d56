package console

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// RotateSecrets tries new secrets with Giacom and Halo and then stores them. The runs and writes that are under
// way end with the old ones; keep those valid for an hour.
func (s *server) RotateSecrets(ctx context.Context, req *connectionv1.RotateSecretsRequest) (*connectionv1.RotateSecretsResponse, error) {
	if req.GetGiacomApiKey() == "" && req.GetHaloClientSecret() == "" {
		return nil, rpc.InvalidArgument("giacom_api_key", "is missing, and so is halo_client_secret: give the one that is new, or both")
	}
	c, err := live(ctx, s.pool, req.GetSlug())
	if err != nil {
		return nil, err
	}
	out := &connectionv1.RotateSecretsResponse{}
	if !req.GetUntried() {
		if out.Checks, err = s.try(ctx, c, req); err != nil {
			return nil, err
		}
	}
	out.Connection, err = s.ApplyConnection(ctx, &connectionv1.ApplyConnectionRequest{
		Connection: c, GiacomApiKey: req.GetGiacomApiKey(), HaloClientSecret: req.GetHaloClientSecret(),
	})
	return out, err
}

// try asks Giacom and Halo with the new secrets. One that is refused is not stored: the old one may still work.
func (s *server) try(ctx context.Context, c *connectionv1.Connection, req *connectionv1.RotateSecretsRequest) ([]*connectionv1.Check, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var checks, failed []*connectionv1.Check
	r := &report{connectionv1.Check_GROUP_GIACOM, func(c *connectionv1.Check) {
		checks = append(checks, c)
		if c.GetOutcome() == connectionv1.Check_OUTCOME_FAILED {
			failed = append(failed, c)
		}
	}}
	if key := req.GetGiacomApiKey(); key != "" {
		s.checkGiacom(ctx, r, c, telemetry.Secret(key))
	}
	r.group = connectionv1.Check_GROUP_HALO
	if secret := req.GetHaloClientSecret(); secret != "" {
		s.checkToken(ctx, r, c, &connectionv1.Secrets{HaloClientSecret: secret})
	}
	if len(failed) == 0 {
		return checks, nil
	}
	texts := make([]string, len(failed))
	for i, c := range failed {
		texts[i] = c.GetName() + ": " + c.GetText()
	}
	return nil, rpc.FailedPrecondition("SECRET_REFUSED", c.GetSlug(), "the new secret of connection %q does not work, so the old one stays. %s", c.GetSlug(), strings.Join(texts, " ")).
		Do("%s Or store it untried", failed[0].GetFix())
}

// ResealSecrets seals every secret with the primary key of the keyset. Afterwards older keys may go from the keyset.
func (s *server) ResealSecrets(ctx context.Context, _ *connectionv1.ResealSecretsRequest) (*connectionv1.ResealSecretsResponse, error) {
	if err := s.sealer.Reload(); err != nil {
		return nil, rpc.FailedPrecondition("KEYSET_UNREADABLE", "keyset", "%w", err)
	}
	out := &connectionv1.ResealSecretsResponse{}
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		out.Reset()
		if err := lockWrites(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `select slug, field, sealed from secrets where sealed is not null order by slug, field`)
		if err != nil {
			return fmt.Errorf("read the sealed secrets: %w", err)
		}
		type box struct {
			Slug, Field string
			Sealed      []byte
		}
		boxes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[box])
		if err != nil {
			return fmt.Errorf("read the sealed secrets: %w", err)
		}
		for _, b := range boxes {
			secret, err := s.sealer.open(b.Slug, b.Field, b.Sealed)
			switch {
			case err != nil:
				out.Unreadable = append(out.Unreadable, b.Slug+"/"+b.Field)
				continue
			case s.sealer.current(b.Sealed):
				out.Current++
				continue
			}
			sealed, err := s.sealer.seal(b.Slug, b.Field, secret)
			if err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `update secrets set sealed = $3 where slug = $1 and field = $2`, b.Slug, b.Field, sealed); err != nil {
				return fmt.Errorf("seal %s of connection %s anew: %w", b.Field, b.Slug, err)
			}
			out.Resealed++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.log.InfoContext(ctx, "secrets sealed anew", "resealed", out.GetResealed(), "current", out.GetCurrent(), "unreadable", out.GetUnreadable(), "who", rpc.Who(ctx))
	return out, nil
}
