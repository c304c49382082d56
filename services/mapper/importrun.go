package mapper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// GetCustomerImport says what an import would do now.
func (s *service) GetCustomerImport(ctx context.Context, req *mappingv1.ImportCustomersRequest) (*mappingv1.CustomerImport, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	answers, err := readAnswers(req.GetAnswers())
	if err != nil {
		return nil, err
	}
	plan, err := s.planImport(ctx, s.Pool, c, answers)
	if err != nil {
		return nil, err
	}
	out := plan.proto(c)
	if err := blocked(c); err != nil {
		out.Blocked = &itemv1.Reason{Code: err.Reason, Text: err.Error()}
	}
	return out, nil
}

// blocked says why nothing may be written for the connection, nil if it may.
func blocked(c *connectionv1.Connection) *rpc.Error {
	if !c.GetEnabled() {
		return rpc.FailedPrecondition("CONNECTION_DISABLED", c.GetSlug(), "connection %s is disabled", c.GetSlug()).Do("enable it first")
	}
	if c.GetMode() != connectionv1.Mode_MODE_AUTO {
		return rpc.FailedPrecondition("OBSERVE", c.GetSlug(), "connection %s observes: nothing is written to Halo", c.GetSlug()).Do("set its mode to auto first; this preview needs nothing")
	}
	return nil
}

func readAnswers(all []*mappingv1.ImportAnswer) (map[string]answer, error) {
	out := map[string]answer{}
	for _, a := range all {
		id := mexID(a.GetMexId())
		if _, twice := out[id]; twice || id == "" {
			return nil, rpc.InvalidArgument("answers", "customer %q is answered twice, or has no id", id)
		}
		out[id] = answer{link: a.GetLink(), create: a.GetCreate(), skip: a.GetSkip()}
		if out[id] == (answer{}) {
			return nil, rpc.InvalidArgument("answers", "customer %s has an empty answer", id).Do("say link with the number of a customer of Halo, create, or skip")
		}
	}
	return out, nil
}

// importPlan is what an import does, from one picture.
type importPlan struct {
	rows      []importRow
	unchanged int32
}

func (s *service) planImport(ctx context.Context, q querier, c *connectionv1.Connection, answers map[string]answer) (p importPlan, err error) {
	all, err := s.readTable(ctx, q, `c.connection = $6 and `+shown+` order by c.mex_id`, c.GetSlug())
	if err != nil {
		return p, err
	}
	set := settingsOf(c)
	known, err := readPicture(ctx, q, set)
	if err != nil {
		return p, err
	}
	if !known.read {
		return p, rpc.FailedPrecondition("HALO_UNREAD", c.GetSlug(), "Halo's customers could not be read yet, so nobody knows which of Giacom's it lacks").
			Do("check the connection with `seatline connections validate`")
	}
	p.rows, p.unchanged = planImport(all, known, set, answers)
	for _, r := range p.rows {
		if r.answeredWrong {
			return p, rpc.FailedPrecondition("HALO_CUSTOMER_MISSING", r.MexID, "%s (%s) cannot be linked: %s", r.MexID, r.Name, r.Text)
		}
	}
	return p, nil
}

// etag of what would be written.
func (p importPlan) etag() string {
	var does []any
	for _, r := range p.rows {
		if r.Action != mappingv1.ImportAction_IMPORT_ACTION_SKIP {
			does = append(does, []any{r.MexID, r.Action, r.Client.ID, r.Name})
		}
	}
	return fingerprint(does)
}

func (p importPlan) proto(c *connectionv1.Connection) *mappingv1.CustomerImport {
	out := &mappingv1.CustomerImport{Connection: c.GetSlug(), Unchanged: p.unchanged, Etag: p.etag(), TopLevelId: c.GetCustomers().GetTopLevelId()}
	for _, r := range p.rows {
		out.Rows = append(out.Rows, r.proto())
	}
	countRows(p.rows).fill(out)
	return out
}

func (r importRow) proto() *mappingv1.CustomerImportRow {
	p := &mappingv1.CustomerImportRow{MexId: r.MexID, GiacomName: r.Name, Action: r.Action, Outcome: r.Outcome, HaloClientId: r.Client.ID,
		HaloClientName: r.Client.Name, Candidates: candidatesProto(r.Candidates), Subscriptions: r.Subscriptions}
	if r.Code != "" {
		p.Reason = &itemv1.Reason{Code: r.Code, Text: r.Text}
	}
	return p
}

// ImportCustomers starts an import. What it decides is a person's decision, and is carried out like any
// other: however often the process dies, each customer is created once.
func (s *service) ImportCustomers(ctx context.Context, req *mappingv1.ImportCustomersRequest) (*mappingv1.CustomerImport, error) {
	c, err := connections.Latest(ctx, s.Pool, s.halos.Secrets, req.GetConnection())
	c, err = existing(req.GetConnection(), c, err)
	if err != nil {
		return nil, err
	}
	if err := blocked(c); err != nil {
		return nil, err
	}
	answers, err := readAnswers(req.GetAnswers())
	if err != nil {
		return nil, err
	}
	if err := s.readHalo(ctx, c); err != nil {
		return nil, unreachable(err)
	}
	// What the rules make of the fresh picture comes first: it may leave less to be asked.
	if err := s.weighNow(ctx, c.GetSlug()); err != nil {
		return nil, err
	}
	id := uuid.Must(uuid.NewV7()).String()
	err = postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select from customers where connection = $1 order by mex_id for update`, c.GetSlug()); err != nil {
			return fmt.Errorf("lock customers: %w", err)
		}
		plan, err := s.planImport(ctx, tx, c, answers)
		if err != nil {
			return err
		}
		if e := req.GetEtag(); e != "" && e != plan.etag() {
			return rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "what the import of %s would do is not what was shown any more", c.GetSlug()).Do("look at the preview again")
		}
		if err := s.begin(ctx, tx, c, id, plan); err != nil {
			return err
		}
		return s.decideImport(ctx, tx, c, plan)
	})
	var taken *pgconn.PgError
	if errors.As(err, &taken) && taken.ConstraintName == "imports_running" {
		return nil, rpc.FailedPrecondition("IMPORT_RUNNING", c.GetSlug(), "an import of the customers of %s is under way", c.GetSlug()).Do("watch it to its end: seatline customers imports %s", c.GetSlug())
	}
	if err != nil {
		return nil, err
	}
	if err := s.weighNow(ctx, c.GetSlug()); err != nil {
		return nil, err
	}
	s.engine.Kick()
	return s.readImport(ctx, id, false)
}

// begin stores the import with what becomes of each row when nothing more happens.
func (s *service) begin(ctx context.Context, tx pgx.Tx, c *connectionv1.Connection, id string, plan importPlan) error {
	_, err := tx.Exec(ctx, `insert into imports (id, connection, who, started, unchanged, top_level) values ($1, $2, $3, $4, $5, $6)`,
		id, c.GetSlug(), rpc.Who(ctx), s.Clock.Now(), plan.unchanged, c.GetCustomers().GetTopLevelId())
	if err != nil {
		return fmt.Errorf("store the import: %w", err)
	}
	rows := make([][]any, len(plan.rows))
	for i, r := range plan.rows {
		outcome := mappingv1.ImportOutcome_IMPORT_OUTCOME_PENDING
		switch r.Action {
		case mappingv1.ImportAction_IMPORT_ACTION_LINK:
			outcome = mappingv1.ImportOutcome_IMPORT_OUTCOME_DONE
		case mappingv1.ImportAction_IMPORT_ACTION_SKIP, mappingv1.ImportAction_IMPORT_ACTION_ASK:
			outcome = mappingv1.ImportOutcome_IMPORT_OUTCOME_SKIPPED
		}
		rows[i] = []any{id, r.MexID, r.Name, int16(r.Action), int16(outcome), r.Client.ID, r.Client.Name, r.Code, r.Text, documents([][]candidate{r.Candidates})[0], r.Subscriptions}
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"import_rows"}, []string{"import", "mex_id", "name", "action", "outcome", "client_id", "client_name", "reason_code", "reason_text", "candidates", "subscriptions"},
		pgx.CopyFromRows(rows))
	if err != nil {
		return fmt.Errorf("store the rows of the import: %w", err)
	}
	return nil
}

// decideImport decides about the customers that are to be linked or created, and has failures tried again.
func (s *service) decideImport(ctx context.Context, tx pgx.Tx, c *connectionv1.Connection, plan importPlan) error {
	by := map[string]importRow{}
	var ids, again []string
	for _, r := range plan.rows {
		switch r.Action {
		case mappingv1.ImportAction_IMPORT_ACTION_CREATE:
			again = append(again, r.MexID)
			fallthrough
		case mappingv1.ImportAction_IMPORT_ACTION_LINK:
			by[r.MexID], ids = r, append(ids, r.MexID)
		case mappingv1.ImportAction_IMPORT_ACTION_UPDATE:
			again = append(again, r.MexID)
		}
	}
	locked, err := lockCustomers(ctx, tx, c.GetSlug(), ids)
	if err != nil {
		return err
	}
	for i := range locked {
		x := &locked[i]
		if r := by[x.MexID]; r.Action == mappingv1.ImportAction_IMPORT_ACTION_LINK {
			x.mapTo(r.Client, mappingv1.Origin_ORIGIN_OPERATOR, rpc.Who(ctx))
		} else {
			x.Decision = decision{State: mappingv1.State_STATE_CREATING, Origin: mappingv1.Origin_ORIGIN_OPERATOR, Who: rpc.Who(ctx)}
		}
	}
	if err := s.decided(ctx, tx, c, locked...); err != nil {
		return err
	}
	items, err := s.engine.Get(ctx, tx, c.GetSlug(), again...)
	if err != nil {
		return err
	}
	for _, x := range items {
		if x.State != reconcile.Failed {
			continue
		}
		if err := s.engine.Release(ctx, tx, c.GetSlug(), x.Key, rpc.Who(ctx), nil); err != nil && !errors.Is(err, reconcile.ErrHeldByRule) {
			return err
		}
	}
	return nil
}

// followImports notes what became of the rows of imports under way, and ends those that are done.
func (s *service) followImports(ctx context.Context) (did int, err error) {
	rows, err := s.Pool.Query(ctx, `select i.id from imports i where i.ended is null
		and not exists (select from due d where d.connection = i.connection and d.failures = 0)`)
	if err != nil {
		return 0, fmt.Errorf("look for imports: %w", err)
	}
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("look for imports: %w", err)
	}
	for _, id := range open {
		if err := postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error { return s.follow(ctx, tx, id) }); err != nil {
			return 0, fmt.Errorf("follow import %s: %w", id, err)
		}
	}
	return 0, nil
}

// follow: a row is done when its customer is mapped, or its name is written; failed, or waiting, when
// its item is; and skipped when somebody decided otherwise meanwhile.
func (s *service) follow(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := tx.Exec(ctx, `
		with seen as (
			select r.mex_id, c.client_id, c.client_name, c.reason_text as decided, x.reason_code, x.reason_text,
				case
					when r.action = 1 and c.state = 1 and c.origin in (1, 4) then 2 -- created, or found by our mark
					when r.action = 1 and c.state <> 2 or r.action = 2 and (c.state <> 1 or c.client_id <> r.client_id) or x.state = 7 then 5
					when r.action = 2 and x.state = 1 then 2
					when x.state = 6 then 3 when x.state in (4, 5) then 4 else 1 end as outcome
			from import_rows r join imports i on i.id = r.import
				join customers c on c.connection = i.connection and c.mex_id = r.mex_id
				left join items x on x.connection = i.connection and x.key = r.mex_id
			where r.import = $1 and r.outcome = 1
		)
		update import_rows r set outcome = s.outcome,
			client_id = case when s.outcome = 2 then s.client_id else r.client_id end,
			client_name = case when s.outcome = 2 and r.action = 1 then s.client_name else r.client_name end,
			reason_code = case s.outcome when 2 then '' when 5 then 'decided_otherwise' else coalesce(s.reason_code, '') end,
			reason_text = case s.outcome when 2 then '' when 5 then btrim('It was decided otherwise meanwhile. ' || s.decided) else coalesce(s.reason_text, '') end
		from seen s where r.import = $1 and r.mex_id = s.mex_id and s.outcome <> 1`, id)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `update imports set ended = $2 where id = $1 and ended is null and not exists (select from import_rows where import = $1 and outcome = 1)`, id, s.Clock.Now())
	return err
}

// WatchCustomerImport sends an import whenever it has moved, until it has ended.
func (s *service) WatchCustomerImport(req *mappingv1.GetCustomerImportReportRequest, stream grpc.ServerStreamingServer[mappingv1.CustomerImport]) error {
	ctx := stream.Context()
	var last *mappingv1.CustomerImport
	for {
		now, err := s.readImport(ctx, req.GetId(), false)
		if err != nil {
			return err
		}
		if !proto.Equal(now, last) {
			if err := stream.Send(now); err != nil {
				return err
			}
			last = now
		}
		if now.GetEndTime() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.Poll):
		}
	}
}
