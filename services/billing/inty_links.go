package billing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/halo"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/billing/inty"
)

// link of a line to a licence of Inty's, now or before it was re-pointed.
type link struct {
	invoice *Invoice
	line    *Line
	state   intyv1.LineState
	move    *storedMove
	item    *item
}

// readLinks finds the lines that link Inty's licences, or did before they were re-pointed.
func (s *service) readLinks(ctx context.Context, p *picture, found []inty.Licence, moves []storedMove) error {
	ids, invoices := map[int64]bool{}, map[int64]bool{}
	for _, l := range found {
		ids[l.ID] = true
	}
	byLink := map[linkID]*storedMove{}
	for i, m := range moves {
		byLink[m.linkID], invoices[m.Invoice] = &moves[i], true
	}
	list, err := jsonColumn[Invoice](ctx, s.pool, "recurring invoices", `select digest from invoices
		where instance = $1 and not gone and (licence_ids && $2 or id = any($3)) order by id desc`, p.instance, sortedKeys(ids), sortedKeys(invoices))
	if err != nil {
		return err
	}
	var keys []string
	seen := map[linkID]bool{}
	for i := range list {
		inv := &list[i]
		for j := range inv.Lines {
			line := &inv.Lines[j]
			for _, id := range line.linked() {
				if !ids[id] || line.Type != quantityLinked || seen[linkID{inv.ID, line.ID, id}] {
					continue
				}
				x := link{invoice: inv, line: line, state: intyv1.LineState_LINE_STATE_LINKED, move: byLink[linkID{inv.ID, line.ID, id}]}
				switch {
				case x.move != nil && !x.move.Back:
					x.state = intyv1.LineState_LINE_STATE_MOVING
				case inv.Disabled || !line.bills():
					x.state = intyv1.LineState_LINE_STATE_IDLE
				}
				p.links[id] = append(p.links[id], x)
				seen[linkID{inv.ID, line.ID, id}] = true
				keys = append(keys, lineKey(inv.ID, line.ID))
			}
		}
	}
	for i := range moves {
		m := &moves[i]
		if seen[m.linkID] || m.Finished {
			continue
		}
		x := link{invoice: &Invoice{ID: m.Invoice}, line: &Line{ID: m.Line}, state: intyv1.LineState_LINE_STATE_CHANGED, move: m}
		if at := slices.IndexFunc(list, func(v Invoice) bool { return v.ID == m.Invoice }); at >= 0 {
			x.invoice = &list[at]
			if n := slices.IndexFunc(list[at].Lines, func(l Line) bool { return l.ID == m.Line }); n >= 0 {
				x.line = &list[at].Lines[n]
				switch {
				case !slices.Contains(x.line.linked(), m.To):
				case m.Back:
					x.state = intyv1.LineState_LINE_STATE_RESTORING
				default:
					x.state = intyv1.LineState_LINE_STATE_MOVED
				}
			}
		}
		p.links[m.From] = append(p.links[m.From], x)
		keys = append(keys, lineKey(m.Invoice, m.Line))
	}
	if err := s.readByHand(ctx, p, ids); err != nil {
		return err
	}
	items, err := s.engine.Query(ctx, s.pool, `connection = $1 and key = any($2)`, p.connection.GetSlug(), keys)
	if err != nil {
		return err
	}
	byKey := make(map[string]*item, len(items))
	for i := range items {
		byKey[items[i].Key] = &items[i]
	}
	for id, all := range p.links {
		for i := range all {
			p.links[id][i].item = byKey[lineKey(all[i].invoice.ID, all[i].line.ID)]
		}
	}
	return nil
}

// readByHand finds lines that count Inty's licences as licences rather than subscriptions: those are
// never written by Seatline.
func (s *service) readByHand(ctx context.Context, p *picture, ids map[int64]bool) error {
	bodies, err := column[[]byte](ctx, s.pool, `select body from invoices where instance = $1 and not gone and digest @> '{"lines":[{"type":1}]}'`, p.instance)
	if err != nil {
		return fmt.Errorf("read recurring invoices: %w", err)
	}
	for _, b := range bodies {
		var raw halo.Invoice
		if err := json.Unmarshal(b, &raw); err != nil {
			return fmt.Errorf("stored recurring invoice: %w", err)
		}
		inv := invoiceOf(raw)
		for i, l := range raw.Lines {
			var rows []halo.QuantityRow
			if l.QuantityType() != halo.QuantityLicences || json.Unmarshal(l.Raw("quantity_licences"), &rows) != nil {
				continue
			}
			for _, r := range rows {
				if ids[r.LicenceID()] {
					p.links[r.LicenceID()] = append(p.links[r.LicenceID()], link{invoice: &inv, line: &inv.Lines[i], state: intyv1.LineState_LINE_STATE_BY_HAND})
				}
			}
		}
	}
	return nil
}

func (l link) proto() *intyv1.LinkedLine {
	out := &intyv1.LinkedLine{
		InvoiceId: l.invoice.ID, LineId: l.line.ID, ClientId: l.invoice.ClientID, ClientName: l.invoice.ClientName, Description: l.line.Description, State: l.state,
	}
	if l.item != nil {
		out.Status = l.item.Status()
	}
	if !l.invoice.Next.IsZero() {
		out.NextInvoiceTime = timestamppb.New(l.invoice.Next)
	}
	if l.move != nil {
		out.Who, out.Time = l.move.Who, timestamppb.New(l.move.Time)
	}
	return out
}
