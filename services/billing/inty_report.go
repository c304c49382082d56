package billing

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/billing/inty"
	"seatline.dev/services/csvfile"
)

// CreateReport writes down what was done and what is left, and keeps it.
func (y *intyServer) CreateReport(ctx context.Context, req *intyv1.MigrationRequest) (*intyv1.Report, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	users, err := y.s.userLines(ctx, p)
	if err != nil {
		return nil, err
	}
	now := y.s.Clock.Now()
	r := &intyv1.Report{Connection: req.GetConnection(), Time: timestamppb.New(now), Who: rpc.Who(ctx), Steps: p.steps(), Rows: p.report(users)}
	for _, row := range r.Rows {
		if row.GetNext() != "" {
			r.Left++
		}
	}
	if r.Csv, err = reportCSV(r.Rows); err != nil {
		return nil, err
	}
	body, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	err = y.s.pool.QueryRow(ctx, `insert into inty_reports (connection, time, who, body) values ($1, $2, $3, $4) returning id`, req.GetConnection(), now, r.Who, body).Scan(&r.Id)
	if err != nil {
		return nil, fmt.Errorf("store the report of %s: %w", req.GetConnection(), err)
	}
	return r, nil
}

// GetReport answers with a report as it was made.
func (y *intyServer) GetReport(ctx context.Context, req *intyv1.GetReportRequest) (*intyv1.Report, error) {
	rows, err := y.s.pool.Query(ctx, `select id, body from inty_reports where connection = $1 and ($2 = 0 or id = $2) order by id desc limit 1`, req.GetConnection(), req.GetId())
	if err != nil {
		return nil, fmt.Errorf("read reports of %s: %w", req.GetConnection(), err)
	}
	found, err := pgx.CollectRows(rows, scanReport)
	if err != nil {
		return nil, fmt.Errorf("read reports of %s: %w", req.GetConnection(), err)
	}
	if len(found) == 0 {
		return nil, rpc.NotFound("report of the migration of", req.GetConnection()).Do("make one: `seatline inty report %s`", req.GetConnection())
	}
	return found[0], nil
}

// report lists everything that was done or is left, what is left first.
func (p *picture) report(users []*intyv1.UserLine) []*intyv1.ReportRow {
	var left, rest []*intyv1.ReportRow
	add := func(r *intyv1.ReportRow) {
		if r.GetNext() != "" {
			left = append(left, r)
		} else {
			rest = append(rest, r)
		}
	}
	if p.Module == nil {
		add(&intyv1.ReportRow{Kind: "module", What: "Inty module", Why: "Nobody has looked whether it is cleared and disabled.", Next: "Check it."})
	} else {
		for _, what := range p.Module.toDo() {
			add(&intyv1.ReportRow{Kind: "module", What: "Inty module", Why: "Not cleared, or not disabled.", Next: what})
		}
	}
	for _, m := range p.oldMappings() {
		row := &intyv1.ReportRow{Kind: "mapping", Customer: m.GetClientName(), ClientId: m.GetClientId(), What: strings.TrimSpace(m.GetIntyName() + " (" + m.GetIntyId() + ")"), Why: m.GetWhy()}
		switch m.GetState() {
		case intyv1.OldMappingState_OLD_MAPPING_STATE_MAPPED:
			row.Why = "Mapped to " + m.GetMexId() + " (" + m.GetGiacomName() + ")."
		case intyv1.OldMappingState_OLD_MAPPING_STATE_EXCLUDED:
			row.Kind = "excluded"
		case intyv1.OldMappingState_OLD_MAPPING_STATE_ASKED:
			row.Kind, row.Why, row.Next = "asked", m.GetRegionWhy(), "Say whether the customer is in the United States."
		case intyv1.OldMappingState_OLD_MAPPING_STATE_PROPOSED:
			row.Next = "Accept the proposal " + m.GetMexId() + " (" + m.GetGiacomName() + "), or map another."
		default:
			row.Next = "Map the customer by hand."
		}
		add(row)
	}
	for _, x := range p.pairs {
		p.reportPair(x, add)
	}
	for _, l := range users {
		add(&intyv1.ReportRow{Kind: "user line", Customer: l.GetClientName(), ClientId: l.GetClientId(), What: l.GetDescription(), InvoiceId: l.GetInvoiceId(), LineId: l.GetLineId(), Why: intyUserNote})
	}
	return append(left, rest...)
}

var reportKinds = map[intyv1.PairState][2]string{ // kind, and what to do
	intyv1.PairState_PAIR_STATE_ADOPTED: {"adopted", ""}, intyv1.PairState_PAIR_STATE_MOVED: {"moved", ""},
	intyv1.PairState_PAIR_STATE_EXCLUDED: {"excluded", ""}, intyv1.PairState_PAIR_STATE_LEFT: {"left", ""},
	intyv1.PairState_PAIR_STATE_MOVING: {"moving", "Wait, or look at the line's reason."}, intyv1.PairState_PAIR_STATE_READY: {"ready", "Apply the re-pointing."},
	intyv1.PairState_PAIR_STATE_DUPLICATE: {"duplicate", "Adopt it in place, or create the Giacom licence beside it."},
	intyv1.PairState_PAIR_STATE_AMBIGUOUS: {"ambiguous", "Choose its Giacom licence, or leave it alone."},
	intyv1.PairState_PAIR_STATE_UNPAIRED:  {"unpaired", "Import or choose its Giacom licence, or leave it alone."},
	intyv1.PairState_PAIR_STATE_ASKED:     {"asked", "Say whether the customer is in the United States."},
}

func (p *picture) reportPair(x inty.Pair, add func(*intyv1.ReportRow)) {
	state, why := p.stateOf(x)
	kind := reportKinds[state]
	row := &intyv1.ReportRow{Kind: kind[0], Customer: p.nameOf(x.Licence.ClientID), ClientId: x.Licence.ClientID, What: x.Licence.Name, LicenceId: x.Licence.ID, Why: why, Next: kind[1]}
	links := p.links[x.Licence.ID]
	if state == intyv1.PairState_PAIR_STATE_READY && p.count(x.Licence.ID, intyv1.LineState_LINE_STATE_LINKED) == 0 {
		row.Kind, row.Next = "still active", "No line bills it: deactivate it in Halo when nobody needs it any more."
	}
	if len(links) == 0 {
		add(row)
	}
	for _, l := range links {
		c := proto.CloneOf(row)
		c.InvoiceId, c.LineId = l.invoice.ID, l.line.ID
		switch {
		case l.state == intyv1.LineState_LINE_STATE_BY_HAND:
			c.Why, c.Next = "The line counts licences rather than subscriptions, which Seatline never writes.", "Let the line count the Giacom subscription, in Halo."
		case l.state == intyv1.LineState_LINE_STATE_IDLE:
			c.Why, c.Next = "The line, or its recurring invoice, is inactive in Halo: it bills nothing and is left as it is.", ""
		case l.state == intyv1.LineState_LINE_STATE_CHANGED:
			c.Why, c.Next = "Somebody changed the line in Halo: it links neither licence any more.", "Look at the line in Halo."
		case l.state == intyv1.LineState_LINE_STATE_MOVING && l.item != nil && l.item.Reason.Text != "":
			c.Why = l.item.Reason.Text
		}
		add(c)
	}
	if state == intyv1.PairState_PAIR_STATE_MOVED && x.Licence.Active {
		c := proto.CloneOf(row)
		c.Kind, c.Why, c.Next = "still active", "Its lines are re-pointed, and it was not asked to be deactivated.", "Deactivate it in Halo when nobody needs it any more."
		add(c)
	}
}

func reportCSV(rows []*intyv1.ReportRow) (string, error) {
	records := [][]string{{"kind", "customer", "client_id", "what", "licence_id", "invoice_id", "line_id", "why", "next"}}
	for _, r := range rows {
		records = append(records, []string{r.GetKind(), r.GetCustomer(), csvfile.ID(r.GetClientId()), r.GetWhat(), csvfile.ID(r.GetLicenceId()), csvfile.ID(r.GetInvoiceId()), csvfile.ID(r.GetLineId()), r.GetWhy(), r.GetNext()})
	}
	var b strings.Builder
	err := csvfile.Write(&b, records)
	return b.String(), err
}
