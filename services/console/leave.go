package console

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// GetLeaveObserve asks Halo for the rights and who else writes there, and the other services what waits. Viewers are told what Halo answered last.
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
	if err = s.blockers(ctx, c, out); err != nil {
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

// blockers adds what stands against writing to Halo, by asking it now where the caller may.
func (s *server) blockers(ctx context.Context, c *connectionv1.Connection, out *connectionv1.LeaveObserve) error {
	if !c.GetEnabled() {
		out.Blockers = append(out.Blockers, &connectionv1.Blocker{Code: "disabled", Text: "The connection is disabled.", Fix: "Enable it.", Overridable: true})
	}
	if rpc.AskOutside(ctx) == nil {
		if err := s.askBlockers(ctx, c, out); err != nil {
			return err
		}
	}
	// What cannot be read now counts as it was found last.
	found, err := knownWriters(ctx, s.pool, c.GetHalo().GetInstance())
	if err != nil {
		return err
	}
	for _, f := range found {
		out.Blockers = append(out.Blockers, f.blocker())
	}
	out.LookTime, err = lookedAt(ctx, s.pool, c.GetHalo().GetInstance())
	return err
}

// askBlockers tries what writing to Halo will need, and keeps who else is found to write there.
func (s *server) askBlockers(ctx context.Context, c *connectionv1.Connection, out *connectionv1.LeaveObserve) error {
	secrets, err := s.secrets(ctx, c.GetSlug())
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	wanted := proto.CloneOf(c)
	wanted.Mode = connectionv1.Mode_MODE_AUTO // what it will need, not what it needs now
	r := &report{connectionv1.Check_GROUP_HALO, func(check *connectionv1.Check) {
		out.Checks = append(out.Checks, check)
		b := &connectionv1.Blocker{Code: check.GetCode(), Text: check.GetName() + ": " + check.GetText(), Fix: check.GetFix()}
		switch {
		case check.GetOutcome() == connectionv1.Check_OUTCOME_FAILED:
			out.Blockers = append(out.Blockers, b)
		case check.GetCode() == controlUnread: // a person can look in Halo themselves
			b.Text, b.Overridable = "Could not look whether another integration writes the same licences. "+b.GetText(), true
			out.Blockers = append(out.Blockers, b)
		}
	}}
	h := s.checkToken(asking, r, wanted, secrets)
	if h == nil {
		return nil
	}
	checkScopes(r, wanted, h.Scopes())
	checkRights(asking, r, h, wanted)
	_, _, err = s.checkWriters(asking, r, h, wanted)
	return err
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
