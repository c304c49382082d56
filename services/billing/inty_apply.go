package billing

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/billing/inty"
)

// ApplyMigration stores the re-pointings; from then on they are part of what the lines should be, and
// are written as every other difference is.
func (y *intyServer) ApplyMigration(ctx context.Context, req *intyv1.ApplyMigrationRequest) (*intyv1.ApplyMigrationResponse, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	if p.MappingsTime.IsZero() {
		return nil, rpc.FailedPrecondition("MAPPINGS_NOT_SAVED", req.GetConnection(), "the old mappings of %s are not saved", req.GetConnection()).
			Do("save them first: `seatline inty save-mappings %s`", req.GetConnection())
	}
	_, module, err := y.s.askControl(ctx, p.connection)
	if err != nil {
		return nil, err
	}
	if module.On {
		return nil, rpc.FailedPrecondition("INTY_MODULE_ON", req.GetConnection(), "Halo's Inty integration is still switched on and would write the licences that are to be replaced").
			Do("clear out and disable the module in Halo, then apply again")
	}
	preview, moves, err := y.s.preview(ctx, p, req.GetClientIds())
	if err != nil {
		return nil, err
	}
	if req.GetEtag() != preview.GetEtag() {
		return nil, rpc.Conflict("preview of", req.GetConnection()).Do("preview it again, and send its etag")
	}
	who, now := rpc.Who(ctx), y.s.Clock.Now()
	err = postgres.InTx(ctx, y.s.pool, func(tx pgx.Tx) error {
		if err := changeMigration(ctx, tx, req.GetConnection(), p.instance, func(*intyMigration) {}); err != nil {
			return err
		}
		clients := []int64{}
		for _, m := range moves {
			m.Who, m.Time = who, now
			// One that a line counts in a way that is never written here stays active, or that line would bill less.
			m.Deactivate = req.GetDeactivate() && p.count(m.From, intyv1.LineState_LINE_STATE_BY_HAND) == 0
			if err := saveMove(ctx, tx, p.instance, m); err != nil {
				return err
			}
			if err := y.s.release(ctx, tx, m.Connection, lineKey(m.Invoice, m.Line), who); err != nil {
				return err
			}
			clients = append(clients, p.payer(m))
		}
		return dirty(ctx, tx, p.instance, clients, now)
	})
	if err != nil {
		return nil, err
	}
	y.s.wake.Nudge()
	return &intyv1.ApplyMigrationResponse{Lines: int32(len(moves))}, nil
}

// payer is whom the invoice of a move bills.
func (p *picture) payer(m storedMove) int64 {
	for _, l := range p.links[m.From] {
		if l.invoice.ID == m.Invoice {
			return l.invoice.ClientID
		}
	}
	return 0
}

// UndoMigration has the links put back as they were.
func (y *intyServer) UndoMigration(ctx context.Context, req *intyv1.UndoMigrationRequest) (*intyv1.UndoMigrationResponse, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, x := range p.pairs {
		if len(req.GetClientIds()) == 0 || slices.Contains(req.GetClientIds(), x.Licence.ClientID) {
			ids = append(ids, x.Licence.ID)
		}
	}
	who, now := rpc.Who(ctx), y.s.Clock.Now()
	out := &intyv1.UndoMigrationResponse{}
	err = postgres.InTx(ctx, y.s.pool, func(tx pgx.Tx) error {
		moves, err := readMoves(ctx, tx, `connection = $1 and licence_id = any($2) and not back`, req.GetConnection(), ids)
		if err != nil {
			return err
		}
		clients := []int64{}
		for _, m := range moves {
			_, err := tx.Exec(ctx, `update inty_moves set back = true, who = $5, time = $6 where instance = $1 and invoice_id = $2 and line_id = $3 and licence_id = $4`,
				p.instance, m.Invoice, m.Line, m.Licence, who, now)
			if err != nil {
				return fmt.Errorf("undo the re-pointing of line %d: %w", m.Line, err)
			}
			if err := y.s.release(ctx, tx, m.Connection, lineKey(m.Invoice, m.Line), who); err != nil {
				return err
			}
			clients = append(clients, p.payer(m))
		}
		out.Lines = int32(len(moves))
		return dirty(ctx, tx, p.instance, clients, now)
	})
	if err != nil {
		return nil, err
	}
	y.s.wake.Nudge()
	return out, nil
}

// VerifyMigration reads the invoices and the licences in question again, and compares.
func (y *intyServer) VerifyMigration(ctx context.Context, req *intyv1.MigrationRequest) (*intyv1.VerifyMigrationResponse, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	client, err := y.s.haloOf(ctx, p.connection)
	if err != nil {
		return nil, err
	}
	invoices := map[int64]bool{}
	for _, links := range p.links {
		for _, l := range links {
			if l.move != nil {
				invoices[l.invoice.ID] = true
			}
		}
	}
	for _, id := range sortedKeys(invoices) {
		if err := y.s.readAgain(ctx, client, p.instance, id); err != nil {
			return nil, err
		}
	}
	if p, err = y.s.look(ctx, req.GetConnection()); err != nil {
		return nil, err
	}
	out := &intyv1.VerifyMigrationResponse{}
	for _, x := range p.pairs {
		for _, l := range p.links[x.Licence.ID] {
			switch {
			case l.move == nil:
			case l.state == intyv1.LineState_LINE_STATE_MOVED, l.move.Back && l.state == intyv1.LineState_LINE_STATE_LINKED:
				out.Right++
			default:
				out.Wrong = append(out.Wrong, l.proto())
			}
		}
		if still, err := y.s.stillActive(ctx, client, p, x.Licence); err != nil {
			return nil, err
		} else if still {
			out.Active = append(out.Active, p.licenceProto(x.Licence))
		}
	}
	return out, nil
}

// readAgain reads one invoice and keeps what it shows.
func (s *service) readAgain(ctx context.Context, client *halo.Client, instance string, id int64) error {
	began := s.Clock.Now()
	inv, err := client.Invoice(ctx, id)
	if halo.ClassOf(err) == halo.NotFound {
		_, err := s.pool.Exec(ctx, `update invoices set gone = true where instance = $1 and id = $2 and read_at <= $3`, instance, id, began)
		return err
	}
	if err != nil {
		return unreachable(err)
	}
	v, err := sightOf(inv, began)
	if err != nil {
		return err
	}
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		return saveInvoices(ctx, tx, instance, []*sight{v}, s.Clock.Now())
	})
}

// stillActive asks Halo whether a licence that should be inactive by now is.
func (s *service) stillActive(ctx context.Context, client *halo.Client, p *picture, l inty.Licence) (bool, error) {
	if !p.deactivates(l.ID) {
		return false, nil
	}
	x, err := client.Licence(ctx, l.ID)
	if halo.ClassOf(err) == halo.NotFound {
		return false, nil
	}
	if err != nil {
		return false, unreachable(err)
	}
	_, err = s.pool.Exec(ctx, `update inty_licences set active = $3 where instance = $1 and halo_id = $2`, p.instance, l.ID, x.IsActive)
	return x.IsActive, err
}
