package billing

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/billing/inty"
)

// SaveMappings notes the old mappings.
func (y *intyServer) SaveMappings(ctx context.Context, req *intyv1.SaveMappingsRequest) (*intyv1.SaveMappingsResponse, error) {
	c, err := y.s.intyConnection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	var list []inty.Mapping
	from := "csv"
	if len(req.GetRows()) > 0 {
		if list, err = y.s.savedRows(ctx, c.GetHalo().GetInstance(), req.GetRows()); err != nil {
			return nil, err
		}
	} else {
		from = "halo"
		control, _, err := y.s.askControl(ctx, c)
		if err != nil {
			return nil, err
		}
		list = mappingsOf(control.Mappings)
	}
	added, err := y.s.saveMappings(ctx, c, from, rpc.Who(ctx), list)
	if err != nil {
		return nil, err
	}
	saved, err := readMappings(ctx, y.s.pool, c.GetSlug())
	return &intyv1.SaveMappingsResponse{Saved: int32(len(saved)), Added: int32(added), From: from}, err
}

// savedRows checks rows of a file: all of them, before any is stored.
func (s *service) savedRows(ctx context.Context, instance string, rows []*intyv1.SavedMapping) ([]inty.Mapping, error) {
	var bad *rpc.Error
	wrong := func(i int, format string, args ...any) {
		field, text := fmt.Sprintf("rows[%d]", i), fmt.Sprintf("line %d: ", rows[i].GetLine())+fmt.Sprintf(format, args...)
		if bad == nil {
			bad = rpc.InvalidArgument(field, "%s", text).Do("nothing was saved; correct the file and send it again")
		} else {
			bad = bad.Violate(field, "%s", text)
		}
	}
	list := make([]inty.Mapping, 0, len(rows))
	for i, r := range rows {
		m := inty.Mapping{
			IntyID: strings.TrimSpace(r.GetIntyId()), IntyName: strings.TrimSpace(r.GetIntyName()), ClientID: r.GetClientId(), ClientName: strings.TrimSpace(r.GetClientName()),
			TenantID: strings.TrimSpace(r.GetTenantId()), Country: strings.TrimSpace(r.GetCountry()), Currency: strings.TrimSpace(r.GetCurrency()),
		}
		if m.ClientID == 0 && m.ClientName != "" {
			ids, err := column[int64](ctx, s.pool, `select client_id from inty_clients where instance = $1 and btrim(name) = $2`, instance, m.ClientName)
			if err != nil {
				return nil, err
			}
			if len(ids) != 1 {
				wrong(i, "%d customers of Halo are named %q; give the number instead (and let Halo be read first: `seatline inty refresh`)", len(ids), m.ClientName)
				continue
			}
			m.ClientID = ids[0]
		}
		switch {
		case m.IntyID == "":
			wrong(i, "inty_id is missing")
		case m.ClientID <= 0:
			wrong(i, "the customer of Halo is missing: client_id, or client_name")
		default:
			list = append(list, m)
		}
	}
	if bad != nil {
		return nil, bad
	}
	return list, nil
}

// ListOldMappings lists the old mappings with what they mean in Giacom.
func (y *intyServer) ListOldMappings(ctx context.Context, req *intyv1.ListOldMappingsRequest) (*intyv1.ListOldMappingsResponse, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	all := p.oldMappings()
	want := req.GetState()
	all = slices.DeleteFunc(all, func(m *intyv1.OldMapping) bool {
		return want != 0 && m.GetState() != want || !matches(req.GetSearch(), m.GetIntyId(), m.GetIntyName(), m.GetClientId(), m.GetClientName(), m.GetMexId(), m.GetGiacomName())
	})
	if err := sorted(all, req.GetOrderBy(), orderOfMappings); err != nil {
		return nil, err
	}
	out := &intyv1.ListOldMappingsResponse{}
	out.Mappings, out.NextPageToken, err = page(all, req.GetPageSize(), req.GetPageToken())
	return out, err
}

var regionWords = map[inty.Region]intyv1.Region{
	inty.Asked: intyv1.Region_REGION_ASKED, inty.UnitedStates: intyv1.Region_REGION_UNITED_STATES, inty.Elsewhere: intyv1.Region_REGION_ELSEWHERE,
}

func (p *picture) oldMappings() []*intyv1.OldMapping {
	all := make([]*intyv1.OldMapping, len(p.mappings))
	for i, m := range p.mappings {
		x := p.proposals[i]
		all[i] = &intyv1.OldMapping{
			IntyId: m.IntyID, IntyName: m.IntyName, ClientId: m.ClientID, ClientName: p.nameOf(m.ClientID), TenantId: m.TenantID,
			Region: regionWords[p.regions[m.ClientID]], RegionWhy: p.why[m.ClientID], MexId: x.Customer.MexID, GiacomName: x.Customer.Name, Why: x.Why, Candidates: x.Candidates,
			State: map[inty.Fit]intyv1.OldMappingState{
				inty.None: intyv1.OldMappingState_OLD_MAPPING_STATE_NONE, inty.Mapped: intyv1.OldMappingState_OLD_MAPPING_STATE_MAPPED,
				inty.Proposed: intyv1.OldMappingState_OLD_MAPPING_STATE_PROPOSED, inty.Ambiguous: intyv1.OldMappingState_OLD_MAPPING_STATE_AMBIGUOUS,
			}[x.Fit],
		}
		switch p.regions[m.ClientID] {
		case inty.UnitedStates:
			all[i].State, all[i].Why = intyv1.OldMappingState_OLD_MAPPING_STATE_EXCLUDED, "Excluded: Inty's customers in the United States do not move to Giacom."
		case inty.Asked:
			if x.Fit != inty.Mapped {
				all[i].State = intyv1.OldMappingState_OLD_MAPPING_STATE_ASKED
			}
		}
	}
	return all
}

// asked lists the customers about whom it is not known whether they are in the United States.
func (p *picture) asked() []int64 {
	var ids []int64
	for _, id := range sortedKeys(p.regions) {
		if p.regions[id] == inty.Asked {
			ids = append(ids, id)
		}
	}
	return ids
}

// AnswerCustomers records where customers are.
func (y *intyServer) AnswerCustomers(ctx context.Context, req *intyv1.AnswerCustomersRequest) (*intyv1.AnswerCustomersResponse, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	ids := req.GetClientIds()
	if req.GetAllAsked() {
		ids = p.asked()
	} else if len(ids) == 0 {
		return nil, rpc.InvalidArgument("client_ids", "is empty: name customers of Halo by their numbers, or answer for all that are asked about")
	}
	for _, id := range ids {
		if _, ok := p.regions[id]; !ok {
			return nil, rpc.NotFound("customer of the migration", strconv.FormatInt(id, 10)).Do("`seatline inty mappings` lists them, with their numbers in Halo")
		}
	}
	err = postgres.InTx(ctx, y.s.pool, func(tx pgx.Tx) error {
		for _, id := range ids {
			_, err := tx.Exec(ctx, `insert into inty_answers (connection, client_id, united_states, who, time) values ($1, $2, $3, $4, $5)
				on conflict (connection, client_id) do update set united_states = excluded.united_states, who = excluded.who, time = excluded.time`,
				req.GetConnection(), id, req.GetUnitedStates(), rpc.Who(ctx), y.s.Clock.Now())
			if err != nil {
				return fmt.Errorf("store the answer about customer %d: %w", id, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if p, err = y.s.look(ctx, req.GetConnection()); err != nil {
		return nil, err
	}
	return &intyv1.AnswerCustomersResponse{Answered: int32(len(ids)), Asked: int32(len(p.asked()))}, nil
}
