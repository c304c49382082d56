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
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/billing/inty"
)

// intyServer answers MigrationService.
type intyServer struct {
	intyv1.UnimplementedMigrationServiceServer
	s *service
}

// GetMigration says how far the migration is.
func (y *intyServer) GetMigration(ctx context.Context, req *intyv1.MigrationRequest) (*intyv1.Migration, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	m := &intyv1.Migration{
		Connection: req.GetConnection(), Instance: p.instance, Steps: p.steps(), Module: p.Module.proto(), Mappings: int32(len(p.mappings)),
		MappingsFrom: p.MappingsFrom, MappingsWho: p.MappingsWho,
	}
	if !p.MappingsTime.IsZero() {
		m.MappingsTime = timestamppb.New(p.MappingsTime)
	}
	if !p.ReadTime.IsZero() {
		m.ReadTime = timestamppb.New(p.ReadTime)
	}
	counts := p.counts()
	for _, state := range sortedKeys(counts) {
		m.Pairs = append(m.Pairs, &intyv1.PairCount{State: state, Count: counts[state]})
	}
	m.Asked = int32(len(p.asked()))
	for _, links := range p.links {
		for _, l := range links {
			switch {
			case l.state == intyv1.LineState_LINE_STATE_LINKED:
				m.LinesLinked++
			case l.move != nil && !l.move.Back:
				m.LinesApplied++
				if l.state == intyv1.LineState_LINE_STATE_MOVED {
					m.LinesDone++
				}
			case l.state == intyv1.LineState_LINE_STATE_RESTORING:
				m.LinesRestoring++
			}
		}
	}
	if r, err := y.GetReport(ctx, &intyv1.GetReportRequest{Connection: req.GetConnection()}); err == nil {
		m.ReportTime = r.GetTime()
	}
	return m, nil
}

func (m *intyModule) proto() *intyv1.Module {
	if m == nil {
		return nil
	}
	out := &intyv1.Module{
		CheckTime: timestamppb.New(m.Time), Done: m.done(), IntegratorOn: m.On, MappingsLeft: int32(m.Mappings), Url: m.URL, UserName: m.UserName,
		LastError: m.LastError, ToDo: m.toDo(),
	}
	if !m.LastSync.IsZero() {
		out.LastSyncTime = timestamppb.New(m.LastSync)
	}
	return out
}

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

// CheckModule looks whether the Inty module is cleared and off.
func (y *intyServer) CheckModule(ctx context.Context, req *intyv1.MigrationRequest) (*intyv1.Module, error) {
	c, err := y.s.intyConnection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	_, m, err := y.s.askControl(ctx, c)
	return m.proto(), err
}

// RefreshMigration reads from Halo what Inty left.
func (y *intyServer) RefreshMigration(ctx context.Context, req *intyv1.MigrationRequest) (*intyv1.Migration, error) {
	c, err := y.s.intyConnection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	if err := y.s.readInty(ctx, c); err != nil {
		return nil, err
	}
	y.s.wake.Nudge()
	return y.GetMigration(ctx, req)
}

// page cuts a list that is known in full.
func page[T any](all []T, size int32, token string) ([]T, string, error) {
	from, n := 0, int(size)
	if token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil || from < 0 {
			return nil, "", rpc.InvalidArgument("page_token", "is none that this list gave")
		}
	}
	if n <= 0 || n > 1000 {
		n = 100
	}
	from = min(from, len(all))
	to := min(from+n, len(all))
	next := ""
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next, nil
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

// intyUserNote is the guide's word on lines that count people, and what it leaves out.
const intyUserNote = "These lines count people, not licences, so they need no re-pointing. Inty's integration synced users into Halo, and nothing syncs them any more unless something else does, such as Halo's own Microsoft 365 (Entra ID) integration: Halo bills these lines by the number of users that it has of the customer."

// ListUserLines lists lines that count the users of customers that had Inty.
func (y *intyServer) ListUserLines(ctx context.Context, req *intyv1.ListUserLinesRequest) (*intyv1.ListUserLinesResponse, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	all, err := y.s.userLines(ctx, p)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(l *intyv1.UserLine) bool {
		return !matches(req.GetSearch(), l.GetClientName(), l.GetClientId(), l.GetDescription(), l.GetInvoiceId())
	})
	out := &intyv1.ListUserLinesResponse{Note: intyUserNote}
	out.Lines, out.NextPageToken, err = page(all, req.GetPageSize(), req.GetPageToken())
	return out, err
}

func (s *service) userLines(ctx context.Context, p *picture) ([]*intyv1.UserLine, error) {
	var clients []int64
	for _, id := range sortedKeys(p.regions) {
		if p.regions[id] != inty.UnitedStates {
			clients = append(clients, id)
		}
	}
	invoices, err := jsonColumn[Invoice](ctx, s.pool, "recurring invoices", `select digest from invoices
		where instance = $1 and not gone and client_id = any($2) and digest @> '{"lines":[{"type":2}]}' order by client_id, id desc`, p.instance, clients)
	if err != nil {
		return nil, err
	}
	var all []*intyv1.UserLine
	for _, inv := range invoices {
		for _, l := range inv.Lines {
			if l.Type == 2 && l.bills() && !inv.Disabled {
				all = append(all, &intyv1.UserLine{InvoiceId: inv.ID, LineId: l.ID, ClientId: inv.ClientID, ClientName: inv.ClientName, Description: l.Description, Quantity: l.Quantity.String()})
			}
		}
	}
	return all, nil
}
