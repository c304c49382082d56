package billing

import (
	"context"
	"slices"

	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/billing/inty"
)

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
