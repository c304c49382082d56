package console

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// rememberWriters replaces what is known of who else writes to an instance.
func (s *server) rememberWriters(ctx context.Context, instance string, found []finding) error {
	codes := []string{}
	for _, f := range found {
		codes = append(codes, f.Code)
	}
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `delete from findings where instance = $1 and code <> all($2)`, instance, codes); err != nil {
			return fmt.Errorf("forget what was found in %s: %w", instance, err)
		}
		for _, f := range found {
			_, err := tx.Exec(ctx, `insert into findings (instance, code, text, fix, since) values ($1, $2, $3, $4, $5)
				on conflict (instance, code) do update set text = excluded.text, fix = excluded.fix`, instance, f.Code, f.Text, f.Fix, s.clock.Now())
			if err != nil {
				return fmt.Errorf("keep what was found in %s: %w", instance, err)
			}
		}
		return nil
	})
}

func knownWriters(ctx context.Context, q querier, instance string) ([]finding, error) {
	rows, err := q.Query(ctx, `select code, text, fix from findings where instance = $1 order by code`, instance)
	if err != nil {
		return nil, fmt.Errorf("read what was found in %s: %w", instance, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[finding])
	if err != nil {
		return nil, fmt.Errorf("read what was found in %s: %w", instance, err)
	}
	return found, nil
}

// mayWrite refuses the step into mode auto while another integration is known to write the same licences, unless a
// reason is given. Who is there already stays: one finding must not undo what works.
func (s *server) mayWrite(ctx context.Context, tx pgx.Tx, old, c *connectionv1.Connection, reason string) error {
	auto := connectionv1.Mode_MODE_AUTO
	if c.GetMode() != auto || old.GetMode() == auto && old.GetHalo().GetInstance() == c.GetHalo().GetInstance() {
		return nil
	}
	found, err := knownWriters(ctx, tx, c.GetHalo().GetInstance())
	if err != nil || len(found) == 0 || strings.TrimSpace(reason) != "" {
		return err
	}
	e := rpc.FailedPrecondition("TWO_WRITERS", c.GetSlug(), "connection %q cannot leave observe: %s", c.GetSlug(), lower(found[0].Text))
	return e.Do("%s Then validate the connection again; or give a reason to override this, which is kept", lower(found[0].Fix)).With("finding", found[0].Code)
}

// lower makes a sentence the end of another.
func lower(text string) string {
	if strings.HasPrefix(text, "Halo") {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}

// GetLeaveObserve asks Halo who else writes there, and the other services what waits. Viewers are told what Halo answered last.
func (s *server) GetLeaveObserve(ctx context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.LeaveObserve, error) {
	c, err := live(ctx, s.pool, req.GetSlug())
	if err != nil {
		return nil, err
	}
	var unknown absent
	rules := &pricingv1.PriceRules{}
	err = unknown.ask(ctx, "billing", func(ctx context.Context) (err error) {
		rules, err = s.peers.Pricing().GetPriceRules(ctx, &pricingv1.GetPriceRulesRequest{Connection: c.GetSlug()})
		return missingIsNone(err)
	})
	if err != nil {
		return nil, err
	}
	out := &connectionv1.LeaveObserve{Slug: c.GetSlug(), Mode: c.GetMode(), Etag: c.GetEtag(), Questions: questions(c, rules)}
	if out.Blockers, err = s.blockers(ctx, c); err != nil {
		return nil, err
	}
	err = unknown.ask(ctx, "fetcher", func(ctx context.Context) error {
		sync, err := s.peers.Runs().GetSyncStatus(ctx, &runv1.GetSyncStatusRequest{Connection: c.GetSlug()})
		if open := sync.GetOpenRun(); open.GetOutcome() == runv1.Outcome_OUTCOME_HELD {
			out.Blockers = append(out.Blockers, &connectionv1.Blocker{Code: "run_held", Text: fmt.Sprintf("Run %s is held: %s", open.GetId(), open.GetReason().GetText()),
				Fix: "Release or reject it first.", Overridable: true})
		}
		return missingIsNone(err)
	})
	if err != nil {
		return nil, err
	}
	if out.Plan, err = s.pending(ctx, c.GetSlug(), &unknown); err != nil {
		return nil, err
	}
	out.MayLeave, out.Unknown = true, unknown
	for _, b := range out.Blockers {
		out.MayLeave = out.MayLeave && b.GetOverridable()
	}
	return out, nil
}

// missingIsNone: a service that has not heard of a new connection yet has nothing for it.
func missingIsNone(err error) error {
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// blockers are what stands against writing to Halo, by asking it now where the caller may.
func (s *server) blockers(ctx context.Context, c *connectionv1.Connection) ([]*connectionv1.Blocker, error) {
	var all []*connectionv1.Blocker
	if !c.GetEnabled() {
		all = append(all, &connectionv1.Blocker{Code: "disabled", Text: "The connection is disabled.", Fix: "Enable it.", Overridable: true})
	}
	if rpc.AskOutside(ctx) == nil {
		found, err := s.askBlockers(ctx, c)
		if all = append(all, found...); err != nil {
			return nil, err
		}
	}
	// What cannot be read now counts as it was found last.
	found, err := knownWriters(ctx, s.pool, c.GetHalo().GetInstance())
	for _, f := range found {
		all = append(all, &connectionv1.Blocker{Code: f.Code, Text: f.Text, Fix: f.Fix, Overridable: true})
	}
	return all, err
}

// askBlockers tries what writing to Halo will need, and keeps who else is found to write there.
func (s *server) askBlockers(ctx context.Context, c *connectionv1.Connection) (all []*connectionv1.Blocker, err error) {
	secrets, err := s.secrets(ctx, c.GetSlug())
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	wanted := proto.CloneOf(c)
	wanted.Mode = connectionv1.Mode_MODE_AUTO // what it will need, not what it needs now
	r := &report{connectionv1.Check_GROUP_HALO, func(check *connectionv1.Check) {
		if check.GetOutcome() == connectionv1.Check_OUTCOME_FAILED {
			all = append(all, &connectionv1.Blocker{Code: check.GetCode(), Text: check.GetName() + ": " + check.GetText(), Fix: check.GetFix()})
		}
	}}
	h := s.checkToken(asking, r, wanted, secrets)
	if h == nil {
		return all, nil
	}
	checkScopes(r, wanted, h.Scopes())
	if control, err := h.Control(asking); err == nil {
		return all, s.rememberWriters(ctx, c.GetHalo().GetInstance(), writers(control))
	}
	return all, nil
}

// pending counts the differences that are not in Halo yet, by kind, in the order of a plan.
func (s *server) pending(ctx context.Context, slug string, unknown *absent) ([]*connectionv1.Effect, error) {
	var all []*connectionv1.Effect
	for _, w := range s.peers.Writers() {
		byKind := map[string]int64{}
		var kinds []string
		err := unknown.ask(ctx, w.Service, func(ctx context.Context) error {
			p, err := w.Ops.GetProgress(ctx, &opsv1.GetProgressRequest{Connection: slug})
			for _, x := range p.GetItems() {
				if x.GetState() != itemv1.State_STATE_PENDING && x.GetState() != itemv1.State_STATE_APPLYING && x.GetReason() != "observe" && x.GetReason() != "canary" {
					continue
				}
				if _, seen := byKind[x.GetKind()]; !seen {
					kinds = append(kinds, x.GetKind())
				}
				byKind[x.GetKind()] += x.GetCount()
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, kind := range kinds {
			name := strings.ReplaceAll(kind, "-", " ")
			all = append(all, &connectionv1.Effect{Code: kind, Count: byKind[kind],
				Text: count(byKind[kind], "1 "+name+" would be written.", "%d "+name+"s would be written.")})
		}
	}
	return all, nil
}
