package billing

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/billing/inty"
)

// ListPairs lists Inty's licences with their Giacom licences and lines.
func (y *intyServer) ListPairs(ctx context.Context, req *intyv1.ListPairsRequest) (*intyv1.ListPairsResponse, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	var all []*intyv1.Pair
	for _, x := range p.pairs {
		l := x.Licence
		if req.GetClientId() != 0 && l.ClientID != req.GetClientId() || req.GetHaloId() != 0 && l.ID != req.GetHaloId() || !matches(req.GetSearch(), l.ID, l.Name, l.ClientID, p.nameOf(l.ClientID)) {
			continue
		}
		if state, _ := p.stateOf(x); req.GetState() == 0 || state == req.GetState() {
			all = append(all, p.pairProto(x))
		}
	}
	if err := sorted(all, req.GetOrderBy(), orderOfPairs); err != nil {
		return nil, err
	}
	out := &intyv1.ListPairsResponse{}
	out.Pairs, out.NextPageToken, err = page(all, req.GetPageSize(), req.GetPageToken())
	return out, err
}

// SetPair records a person's choice about one of Inty's licences.
func (y *intyServer) SetPair(ctx context.Context, req *intyv1.SetPairRequest) (*intyv1.Pair, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	x, err := p.find(req.GetHaloId())
	if err != nil {
		return nil, err
	}
	if err := p.choosable(x, req); err != nil {
		return nil, err
	}
	key := req.GetKey()
	err = postgres.InTx(ctx, y.s.pool, func(tx pgx.Tx) error {
		// Choices of one migration take turns: no Giacom licence is chosen twice.
		if err := changeMigration(ctx, tx, req.GetConnection(), p.instance, func(*intyMigration) {}); err != nil {
			return err
		}
		if err := p.unchosen(ctx, tx, req); err != nil {
			return err
		}
		if key == "" && !req.GetLeave() {
			_, err := tx.Exec(ctx, `delete from inty_choices where connection = $1 and halo_id = $2`, req.GetConnection(), req.GetHaloId())
			return err
		}
		var other int64
		err := tx.QueryRow(ctx, `select halo_id from inty_choices where connection = $1 and key = $2 and key <> '' and halo_id <> $3`, req.GetConnection(), key, req.GetHaloId()).Scan(&other)
		if err == nil {
			return rpc.FailedPrecondition("CHOSEN_ALREADY", key, "%s is chosen for licence %d of Inty's already", key, other).Do("free it there first: `seatline inty pair %s %d --auto`", req.GetConnection(), other)
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		_, err = tx.Exec(ctx, `insert into inty_choices (connection, halo_id, key, who, time) values ($1, $2, $3, $4, $5)
			on conflict (connection, halo_id) do update set key = excluded.key, who = excluded.who, time = excluded.time`,
			req.GetConnection(), req.GetHaloId(), key, cmp.Or(rpc.Who(ctx), "operator"), y.s.Clock.Now())
		return err
	})
	if err != nil {
		return nil, err
	}
	if p, err = y.s.look(ctx, req.GetConnection()); err != nil {
		return nil, err
	}
	if x, err = p.find(req.GetHaloId()); err != nil {
		return nil, err
	}
	return p.pairProto(x), nil
}

// etagOfChoice names what a person chose, or that nobody did.
func etagOfChoice(c inty.Choice) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%q %t %q", c.Key, c.Leave, c.Who))
	return hex.EncodeToString(h[:8])
}

// unchosen refuses a choice that somebody else made first, if the request asks for that.
func (p *picture) unchosen(ctx context.Context, tx pgx.Tx, req *intyv1.SetPairRequest) error {
	if req.GetEtag() == "" {
		return nil
	}
	choices, err := readChoices(ctx, tx, req.GetConnection())
	if err != nil {
		return err
	}
	now := choices[req.GetHaloId()]
	if etagOfChoice(now) == req.GetEtag() {
		return nil
	}
	what := "went back to what is found"
	switch {
	case now.Leave:
		what = "decided to leave it alone"
	case now.Key != "":
		what = "chose " + now.Key
	}
	return rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "about licence %d of Inty's %s %s meanwhile; nothing was changed", req.GetHaloId(), cmp.Or(now.Who, "somebody"), what).
		Do("look at it as it is now, and choose again if that is not right")
}

func (p *picture) find(licence int64) (inty.Pair, error) {
	at := slices.IndexFunc(p.pairs, func(x inty.Pair) bool { return x.Licence.ID == licence })
	if at < 0 {
		return inty.Pair{}, rpc.NotFound("licence of Inty's in Halo", strconv.FormatInt(licence, 10)).Do("`seatline inty pairs` lists them")
	}
	return p.pairs[at], nil
}

// choosable: a choice must be about lines that are not on their way, and a licence of the same customer.
func (p *picture) choosable(x inty.Pair, req *intyv1.SetPairRequest) error {
	subject := strconv.FormatInt(x.Licence.ID, 10)
	if req.GetKey() != "" && req.GetLeave() {
		return rpc.InvalidArgument("leave", "contradicts key: choose a licence, or leave this one alone")
	}
	if slices.ContainsFunc(p.links[x.Licence.ID], func(l link) bool { return l.move != nil && !l.move.Back }) {
		return rpc.FailedPrecondition("APPLIED_ALREADY", subject, "re-pointing of licence %s is applied already", subject).Do("undo it first: `seatline inty undo`")
	}
	if x.State == inty.Adopted {
		return rpc.FailedPrecondition("ADOPTED", subject, "licence %s was taken over in place and is %s now; there is nothing to choose", subject, x.Giacom.Key)
	}
	if req.GetKey() == "" {
		return nil
	}
	at := slices.IndexFunc(p.giacom, func(g inty.Giacom) bool { return g.Key == req.GetKey() })
	if at < 0 {
		return rpc.NotFound("licence", req.GetKey()).Do("`seatline licences list %s` lists them", req.GetConnection())
	}
	if p.giacom[at].ClientID != x.Licence.ClientID {
		return rpc.FailedPrecondition("OTHER_CUSTOMER", req.GetKey(), "%s belongs to %s, Inty's licence %s to %s", req.GetKey(), p.nameOf(p.giacom[at].ClientID), subject, p.nameOf(x.Licence.ClientID)).
			Do("a line is re-pointed within one customer only; correct the mapping of the Giacom customer first")
	}
	return nil
}
