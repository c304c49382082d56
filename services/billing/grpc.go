package billing

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// lineServer answers LineService.
type lineServer struct {
	invoicelinev1.UnimplementedLineServiceServer
	s *service
}

// fact is a field of what an item carries; an index on it must hold this very expression.
func fact(name string) string {
	return `coalesce(listed->>'` + name + `', '')`
}

// ofInvoice is the invoice of an item, 0 for none, in the words of its index.
const ofInvoice = `(case when grp = '' then 0 else grp::bigint end)`

func factNumber(name string) string {
	return `coalesce((listed->>'` + name + `')::bigint, 0)`
}

var lineList = list.Spec{
	Noun: "lines",
	Fields: map[string]list.Field{
		"connection": list.Text("connection"), "key": list.Text("key"),
		"kind":       list.Enum(`(case when (listed->>'linked')::boolean then 1 else 2 end)`, invoicelinev1.Kind(0).Descriptor()),
		"invoice_id": list.Integer(ofInvoice), "client_id": list.Integer(factNumber("client")),
		"client_name": list.Text(fact("client_name")), "description": list.Text(fact("text")),
		"state": list.Enum("state", itemv1.State(0).Descriptor()), "reason": list.Text("reason_code"),
		"licence_key":  list.JSONTexts(`listed->'licences'`),
		"next_invoice": list.Text(fact("next")),
		"update_time":  list.Time("updated"),
	},
	Key:    []string{"connection", "key"},
	Search: []string{"client_name", "description", "key"},
}

// ListLines pages through the lines that bill licences of ours, and those to be added. Lines that are
// no longer ours are left out.
func (l *lineServer) ListLines(ctx context.Context, req *invoicelinev1.ListLinesRequest) (*invoicelinev1.ListLinesResponse, error) {
	lines, next, err := listLines(ctx, l.s.pool, req)
	if err != nil {
		return nil, err
	}
	return &invoicelinev1.ListLinesResponse{Lines: lines, NextPageToken: next}, nil
}

func listLines(ctx context.Context, db list.DB, req *invoicelinev1.ListLinesRequest) ([]*invoicelinev1.Line, string, error) {
	q, err := lineList.Query(req)
	if err != nil {
		return nil, "", err
	}
	return reconcile.List(ctx, db, q, reconcile.Listing{Where: "state <> 7"}, lineProto)
}

// GetLine answers with one line, also one that is no longer ours.
func (l *lineServer) GetLine(ctx context.Context, req *invoicelinev1.GetLineRequest) (*invoicelinev1.Line, error) {
	items, err := l.s.engine.Query(ctx, l.s.pool, `connection = $1 and key = $2`, req.GetConnection(), req.GetKey())
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, rpc.NotFound("line", req.GetConnection()+" "+req.GetKey())
	}
	return lineProto(items[0])
}

// RetryLine tries a failed line again, or one that was held by what Halo showed. It also says that
// somebody has looked at an invoice that lost lines.
func (l *lineServer) RetryLine(ctx context.Context, req *invoicelinev1.GetLineRequest) (*invoicelinev1.Line, error) {
	err := postgres.InTx(ctx, l.s.pool, func(tx pgx.Tx) error {
		if done, err := l.s.acknowledge(ctx, tx, req.GetConnection(), req.GetKey(), rpc.Who(ctx)); done || err != nil {
			return err
		}
		return l.s.engine.Release(ctx, tx, req.GetConnection(), req.GetKey(), rpc.Who(ctx), nil)
	})
	switch {
	case errors.Is(err, reconcile.ErrNotFound):
		return nil, rpc.NotFound("line", req.GetConnection()+" "+req.GetKey())
	case errors.Is(err, reconcile.ErrHeldByRule):
		return nil, rpc.FailedPrecondition("held_by_rule", req.GetKey(), "%v", err).Do("do what the reason says; the line goes on by itself then")
	case err != nil:
		return nil, err
	}
	l.s.wake.Nudge()
	l.s.engine.Kick()
	return l.GetLine(ctx, req)
}

// RefreshLines reads the recurring invoices of the connection's Halo instance now.
func (l *lineServer) RefreshLines(ctx context.Context, req *invoicelinev1.RefreshLinesRequest) (*invoicelinev1.RefreshLinesResponse, error) {
	c, err := connections.Read(ctx, l.s.pool, req.GetConnection())
	if errors.Is(err, connections.ErrUnknown) {
		return nil, rpc.NotFound("connection", req.GetConnection()).Do("look for it with `seatline connections list`")
	}
	if err != nil {
		return nil, err
	}
	if !c.GetEnabled() || c.GetDeleted() {
		return nil, rpc.FailedPrecondition("connection_disabled", req.GetConnection(), "connection %s is not enabled", req.GetConnection()).Do("enable it first")
	}
	instance, owner, now := c.GetHalo().GetInstance(), uuid.NewString(), l.s.Clock.Now()
	got, err := l.s.claimReading(ctx, owner, now, `instance = $4`, instance)
	if err != nil {
		return nil, err
	}
	if got == "" {
		return nil, rpc.Unavailable("being_read", queryTimeout, "the recurring invoices of %s are being read already", instance).Do("wait for it")
	}
	found, err := l.s.read(ctx, instance, owner)
	if err != nil {
		var e *halo.Error
		if errors.As(err, &e) {
			return nil, rpc.Unavailable(string(e.Class), e.RetryAfter, "%v", err)
		}
		return nil, err
	}
	return &invoicelinev1.RefreshLinesResponse{Invoices: int32(found.invoices), Lines: int32(found.lines)}, nil
}

// pricingServer answers PricingService.
type pricingServer struct {
	pricingv1.UnimplementedPricingServiceServer
	s *service
}

// GetPriceRules answers with the rules of a connection, none if none were set.
func (p *pricingServer) GetPriceRules(ctx context.Context, req *pricingv1.GetPriceRulesRequest) (*pricingv1.PriceRules, error) {
	if _, err := connections.Read(ctx, p.s.pool, req.GetConnection()); errors.Is(err, connections.ErrUnknown) {
		return nil, rpc.NotFound("connection", req.GetConnection()).Do("look for it with `seatline connections list`")
	} else if err != nil {
		return nil, err
	}
	if err := p.s.knowRules(ctx); err != nil {
		return nil, err
	}
	return readRules(ctx, p.s.pool, req.GetConnection())
}

// SetPriceRules replaces the rules of a connection and has all of its lines decided anew.
func (p *pricingServer) SetPriceRules(ctx context.Context, req *pricingv1.SetPriceRulesRequest) (*pricingv1.PriceRules, error) {
	want, connection := req.GetRules(), req.GetRules().GetConnection()
	if _, err := connections.Read(ctx, p.s.pool, connection); errors.Is(err, connections.ErrUnknown) {
		return nil, rpc.NotFound("connection", connection).Do("look for it with `seatline connections list`")
	} else if err != nil {
		return nil, err
	}
	if _, wrong := parseRules(want.GetRules()); len(wrong) > 0 {
		return nil, refused(wrong)
	}
	if err := p.s.knowRules(ctx); err != nil {
		return nil, err
	}
	stored := &pricingv1.PriceRules{Connection: connection, Rules: want.GetRules()}
	err := postgres.InTx(ctx, p.s.pool, func(tx pgx.Tx) error {
		// The row of the connection serialises those who set its rules.
		if _, err := tx.Exec(ctx, `select 1 from connections where slug = $1 for no key update`, connection); err != nil {
			return err
		}
		now, old := p.s.Clock.Now(), int64(0)
		known, err := readRules(ctx, tx, connection)
		if err != nil {
			return err
		}
		if !req.GetForce() && want.GetEtag() != known.GetEtag() {
			return overtaken(known)
		}
		if known.GetEtag() != "" {
			if old, err = strconv.ParseInt(known.GetEtag(), 36, 64); err != nil {
				return fmt.Errorf("stored etag: %w", err)
			}
		}
		revision := event.NewRevision(old, now)
		stored.Etag, stored.UpdateTime, stored.Who = strconv.FormatInt(revision, 36), timestamppb.New(now), rpc.Who(ctx)
		if req.GetValidateOnly() {
			return nil
		}
		if _, err := saveRules(ctx, tx, stored, revision); err != nil {
			return err
		}
		if err := tellRules(ctx, tx, stored, revision); err != nil {
			return err
		}
		return dirtyAll(ctx, tx, connection, now)
	})
	if err != nil {
		return nil, err
	}
	p.s.wake.Nudge()
	return stored, nil
}
