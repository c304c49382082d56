package overview

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	overviewv1 "seatline.dev/proto/seatline/overview/v1"
)

// LicenceDetail is everything about one licence: NotFound if there is none.
func (s Services) LicenceDetail(ctx context.Context, connection, key string) (*overviewv1.LicenceDetail, error) {
	l, err := s.Licences().GetLicence(ctx, &licencev1.GetLicenceRequest{Connection: connection, Key: key})
	if err != nil {
		return nil, err
	}
	d := &overviewv1.LicenceDetail{Licence: l}
	rows, err := s.Licences().ListParity(ctx, &licencev1.ListParityRequest{PageSize: 1, Filter: of(connection, "key = %q", key)})
	if err != nil {
		return nil, err
	}
	for _, r := range rows.GetRows() {
		d.Cost = r.GetCost()
	}
	group, sub := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if d.Lines, err = s.allLines(sub, of(connection, "licence_key : %q", key)); err != nil {
			return err
		}
		d.Price, d.Margin = margin(d.GetLines(), d.GetCost())
		keys := []string{}
		for _, line := range d.GetLines() {
			keys = append(keys, line.GetKey())
		}
		d.Changes, err = s.changes(sub, connection, map[string][]string{"licence": {key}, "billing": keys})
		return err
	})
	group.Go(func() (err error) {
		d.Customer, err = s.mapping(sub, connection, l.GetSubscription().GetGiacom().GetMexId())
		return err
	})
	group.Go(func() (err error) {
		d.History, err = history(sub, s.Writers()[1], connection, "licence", key)
		return err
	})
	group.Go(func() (err error) {
		d.Links, err = s.links(sub, connection, func(base string) []*overviewv1.Link {
			return []*overviewv1.Link{
				link("The customer in Halo", halo.CustomerPage(base, clientOf(l))), link("The licence in Halo", halo.LicencePage(base, l.GetStatus().GetHaloId())),
			}
		})
		return err
	})
	return d, group.Wait()
}

// LineDetail is everything about one line: NotFound if there is none.
func (s Services) LineDetail(ctx context.Context, connection, key string) (*overviewv1.LineDetail, error) {
	l, err := s.Lines().GetLine(ctx, &invoicelinev1.GetLineRequest{Connection: connection, Key: key})
	if err != nil {
		return nil, err
	}
	d := &overviewv1.LineDetail{Line: l}
	group, sub := errgroup.WithContext(ctx)
	group.Go(func() error {
		known := true
		for _, licence := range l.GetLicenceKeys() {
			x, err := s.Licences().GetLicence(sub, &licencev1.GetLicenceRequest{Connection: connection, Key: licence})
			if status.Code(err) == codes.NotFound {
				known = false
				continue
			}
			if err != nil {
				return err
			}
			rows, err := s.Licences().ListParity(sub, &licencev1.ListParityRequest{PageSize: 1, Filter: of(connection, "key = %q", licence)})
			if err != nil {
				return err
			}
			d.Licences = append(d.Licences, x)
			if len(rows.GetRows()) == 0 || rows.GetRows()[0].GetCost() == nil {
				known = false
				continue
			}
			if sums := add(oneOf(d.GetCost()), rows.GetRows()[0].GetCost()); len(sums) == 1 {
				d.Cost = sums[0]
			}
		}
		if !known {
			d.Cost = nil // part of it would look like the whole
		}
		d.Price, d.Margin = margin([]*invoicelinev1.Line{l}, d.GetCost())
		return nil
	})
	group.Go(func() (err error) {
		d.Changes, err = s.changes(sub, connection, map[string][]string{"licence": l.GetLicenceKeys(), "billing": {key}})
		return err
	})
	group.Go(func() (err error) {
		d.History, err = history(sub, s.Writers()[2], connection, "invoice-line", key)
		return err
	})
	group.Go(func() (err error) {
		d.Links, err = s.links(sub, connection, func(base string) []*overviewv1.Link {
			return []*overviewv1.Link{
				link("The customer in Halo", halo.CustomerPage(base, l.GetClientId())), link("The recurring invoice in Halo", halo.RecurringInvoicePage(base, l.GetInvoiceId())),
			}
		})
		return err
	})
	return d, group.Wait()
}

// CustomerDetail is everything about one Giacom customer: NotFound if there is none.
func (s Services) CustomerDetail(ctx context.Context, connection, mexID string) (*overviewv1.CustomerDetail, error) {
	m, err := s.Mappings().GetMapping(ctx, &mappingv1.GetMappingRequest{Connection: connection, MexId: mexID})
	if err != nil {
		return nil, err
	}
	d := &overviewv1.CustomerDetail{Customer: m}
	mexID = m.GetMexId()
	rows, err := s.ParityRows(ctx, &licencev1.ListParityRequest{PageSize: rowsOfCustomer, Filter: of(connection, "mex_id = %q", mexID)})
	if err != nil {
		return nil, err
	}
	d.Rows = rows.GetRows()
	group, sub := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		d.Parity, err = s.Parity(sub, connection, fmt.Sprintf("mex_id = %q", mexID))
		return err
	})
	group.Go(func() error {
		if m.GetHaloClientId() != 0 {
			lines, err := s.allLines(sub, of(connection, "client_id = %d", m.GetHaloClientId()))
			if err != nil {
				return err
			}
			d.Lines = lines
		}
		var keys []string
		for _, r := range d.GetRows() {
			if !strings.HasPrefix(r.GetKey(), "halo/") {
				keys = append(keys, r.GetKey())
			}
			for _, key := range r.GetLineKeys() { // somebody else may be invoiced for it
				if r.GetClass() == "stray" || slices.ContainsFunc(d.GetLines(), func(l *invoicelinev1.Line) bool { return l.GetKey() == key }) {
					continue
				}
				l, err := s.Lines().GetLine(sub, &invoicelinev1.GetLineRequest{Connection: connection, Key: key})
				if status.Code(err) == codes.NotFound {
					continue
				}
				if err != nil {
					return err
				}
				d.Lines = append(d.Lines, l)
			}
		}
		lineKeys := make([]string, len(d.GetLines()))
		for i, l := range d.GetLines() {
			lineKeys[i] = l.GetKey()
		}
		changes, err := s.changes(sub, connection, map[string][]string{"mapper": {mexID}, "licence": keys, "billing": lineKeys})
		d.Changes = changes
		return err
	})
	group.Go(func() error {
		if m.GetHaloClientId() == 0 {
			return nil
		}
		margins, err := s.Lines().ListMargins(sub, &invoicelinev1.ListMarginsRequest{Connection: connection, Filter: fmt.Sprintf("client_id = %d", m.GetHaloClientId())})
		d.Margin = margins.GetMargins()
		return err
	})
	group.Go(func() (err error) {
		d.History, err = history(sub, s.Writers()[0], connection, "mapping", mexID)
		return err
	})
	group.Go(func() (err error) {
		d.Links, err = s.links(sub, connection, func(base string) []*overviewv1.Link {
			return []*overviewv1.Link{link("The customer in Halo", halo.CustomerPage(base, m.GetHaloClientId()))}
		})
		return err
	})
	return d, group.Wait()
}

// of is a filter within a connection.
func of(connection, format string, args ...any) string {
	return fmt.Sprintf("connection = %q AND ", connection) + fmt.Sprintf(format, args...)
}

func (s Services) allLines(ctx context.Context, filter string) (lines []*invoicelinev1.Line, err error) {
	err = rpc.Pages(func(token string) (string, error) {
		page, err := s.Lines().ListLines(ctx, &invoicelinev1.ListLinesRequest{PageSize: 1000, PageToken: token, Filter: filter})
		lines = append(lines, page.GetLines()...)
		return page.GetNextPageToken(), err
	})
	return lines, err
}

// mapping of a customer; nil for one that the mapper has not heard of.
func (s Services) mapping(ctx context.Context, connection, mexID string) (*mappingv1.Mapping, error) {
	m, err := s.Mappings().GetMapping(ctx, &mappingv1.GetMappingRequest{Connection: connection, MexId: mexID})
	if status.Code(err) == codes.NotFound {
		return nil, nil
	}
	return m, err
}

// keysAtOnce keeps filters below the length that services take.
const keysAtOnce = 25

// changes of things by the service that writes them, the newest first.
func (s Services) changes(ctx context.Context, connection string, keys map[string][]string) ([]*itemv1.Change, error) {
	var all []*itemv1.Change
	for _, w := range s.Writers() {
		for some := range slices.Chunk(keys[w.Service], keysAtOnce) {
			quoted := make([]string, len(some))
			for i, key := range some {
				quoted[i] = fmt.Sprintf("key = %q", key)
			}
			page, err := w.Ops.ListChanges(ctx, &opsv1.ListChangesRequest{Connection: connection, PageSize: changesShown, Filter: strings.Join(quoted, " OR ")})
			if err != nil {
				return nil, err
			}
			all = append(all, page.GetChanges()...)
		}
	}
	slices.SortStableFunc(all, func(a, b *itemv1.Change) int { return b.GetTime().AsTime().Compare(a.GetTime().AsTime()) })
	return all[:min(len(all), changesShown)], nil
}

func history(ctx context.Context, w Writer, connection, entity, key string) ([]*opsv1.Revision, error) {
	page, err := w.Ops.ListHistory(ctx, &opsv1.ListHistoryRequest{Connection: connection, Entity: entity, Key: key, PageSize: changesShown})
	return page.GetRevisions(), err
}

// links into Halo; those that lead to nothing are left out.
func (s Services) links(ctx context.Context, connection string, of func(base string) []*overviewv1.Link) ([]*overviewv1.Link, error) {
	c, err := s.Connections().GetConnection(ctx, &connectionv1.GetConnectionRequest{Slug: connection})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(of(c.GetHalo().GetBaseUrl()), func(l *overviewv1.Link) bool { return l.GetUrl() == "" }), nil
}

func link(text, url string) *overviewv1.Link {
	return &overviewv1.Link{Text: text, Url: url, Guess: true}
}

func clientOf(l *licencev1.Licence) int64 {
	if id := l.GetApplied().GetClientId(); id != 0 {
		return id
	}
	return l.GetDesired().GetClientId()
}

// margin of lines over a cost: both absent unless all is known and in one currency.
func margin(lines []*invoicelinev1.Line, cost *moneyv1.Money) (price, difference *moneyv1.Money) {
	var sums []*moneyv1.Money
	for _, l := range lines {
		if l.GetMonthlyBefore() == nil {
			return nil, nil
		}
		sums = add(sums, l.GetMonthlyBefore())
	}
	if len(sums) != 1 {
		return nil, nil
	}
	price = sums[0]
	if cost == nil || cost.GetCurrency() != price.GetCurrency() {
		return price, nil
	}
	d := value(price).Sub(value(cost))
	return price, &moneyv1.Money{Amount: d.String(), Currency: price.GetCurrency(), Basis: price.GetBasis()}
}

func oneOf(m *moneyv1.Money) []*moneyv1.Money {
	if m == nil {
		return nil
	}
	return []*moneyv1.Money{m}
}
