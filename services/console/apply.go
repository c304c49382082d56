package console

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// apply does what a request asks for within the writers' lock, and tells whether it created or
// updated; "" when everything was so already. seen is who else writes in Halo; nil if it was not asked, and
// where it has to be, the error is errLook.
func (s *server) apply(ctx context.Context, tx pgx.Tx, req *connectionv1.ApplyConnectionRequest, seen *look) (*connectionv1.Connection, string, error) {
	slug := req.GetConnection().GetSlug()
	old, err := read(ctx, tx, slug)
	if err != nil {
		return nil, "", err
	}
	if err := checkEtag(old, req); err != nil {
		return nil, "", err
	}
	c := next(old, req.GetConnection())
	secrets, err := s.newSecrets(ctx, tx, c, req)
	if err != nil {
		return nil, "", err
	}
	v := &violations{list: Validate(old, c)}
	for _, x := range secrets {
		v.secret(x.path, x.secret.Reveal())
	}
	v.moved(old, c, req)
	if err := s.checkAccount(ctx, tx, c, v); err != nil {
		return nil, "", err
	}
	if err := invalid(slug, v.list); err != nil {
		return nil, "", err
	}
	if old != nil && proto.Equal(old, c) {
		return c, "", nil
	}
	if err := mayWrite(old, c, req.GetOverrideReason(), seen); err != nil {
		return c, "", err
	}
	now := s.clock.Now()
	c.UpdatedBy = rpc.Who(ctx)
	if err := write(ctx, tx, c, now, true); err != nil {
		return nil, "", err
	}
	for _, x := range secrets {
		if err := writeSecret(ctx, tx, s.sealer, slug, x.field, *x.ref, x.secret, now); err != nil {
			return nil, "", err
		}
	}
	did := "updated"
	if old == nil {
		did = "created"
	}
	e := deed{slug: slug, what: did, who: rpc.Who(ctx), reason: strings.TrimSpace(req.GetOverrideReason()), fields: differences(old, c)}
	return c, did, record(ctx, tx, e, now)
}

// newSecrets are those of the request that differ from what is sealed; their references in c are moved on.
func (s *server) newSecrets(ctx context.Context, tx pgx.Tx, c *connectionv1.Connection, req *connectionv1.ApplyConnectionRequest) ([]given, error) {
	stored, err := readSecrets(ctx, tx, c.GetSlug())
	if err != nil {
		return nil, err
	}
	var changed []given
	for _, x := range []given{
		{fieldKey, "giacom.api_key", telemetry.Secret(req.GetGiacomApiKey()), &c.Giacom.ApiKey},
		{fieldSecret, "halo.client_secret", telemetry.Secret(req.GetHaloClientSecret()), &c.Halo.ClientSecret},
	} {
		if x.secret == "" {
			continue
		}
		row, ok := stored[x.field]
		if ok {
			// One that does not open counts as another one: this is how it is mended.
			if before, err := s.sealer.open(c.GetSlug(), x.field, row.Sealed); err == nil && before == x.secret {
				continue
			}
		}
		*x.ref = &connectionv1.SecretRef{Version: max(row.Version, (*x.ref).GetVersion()) + 1, LastFour: lastFour(x.secret)}
		changed = append(changed, x)
	}
	return changed, nil
}

// checkAccount keeps two connections with one account out of one Halo: the marks of their licences would be the same.
func (s *server) checkAccount(ctx context.Context, tx pgx.Tx, c *connectionv1.Connection, v *violations) error {
	others, err := neighbours(ctx, tx, c)
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.GetHalo().GetInstance() == c.GetHalo().GetInstance() && o.GetGiacom().GetAccount() == c.GetGiacom().GetAccount() {
			v.add("giacom.account", "%q is joined to this Halo by connection %q already; two of them would take each other's licences for their own. Change that one, or name this account otherwise",
				o.GetGiacom().GetAccount(), o.GetSlug())
		}
	}
	return nil
}
