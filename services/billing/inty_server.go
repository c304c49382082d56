package billing

import (
	"context"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
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
