package billing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// overdue is how long a run stays in sight whose time has passed: Halo makes invoices some time after it.
const overdue = 48 * time.Hour

// ListInvoiceRuns gives the times at which Halo makes invoices with lines of the connection, the soonest first, with what
// would not be on them as it should.
func (l *lineServer) ListInvoiceRuns(ctx context.Context, req *invoicelinev1.ListInvoiceRunsRequest) (*invoicelinev1.ListInvoiceRunsResponse, error) {
	settings, err := l.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	after := l.s.Clock.Now().Add(-overdue)
	if t := req.GetPageToken(); t != "" {
		if after, err = time.Parse(time.RFC3339, t); err != nil {
			return nil, rpc.InvalidArgument("page_token", "is not one of ours: send back next_page_token as it was given")
		}
	}
	if req.GetPageSize() < 0 {
		return nil, rpc.InvalidArgument("page_size", "%d is less than 0", req.GetPageSize())
	}
	size := min(int(req.GetPageSize()), 1000)
	if size == 0 {
		size = 100
	}
	rows, err := l.s.pool.Query(ctx, `
		with line as (
			select (v.digest->>'next')::timestamptz as next, v.id, v.read_at, i.state, i.currency, i.monthly_before, i.monthly_after
			from items i join invoices v on v.instance = i.instance and v.id::text = i.grp
			where i.connection = $1 and i.state <> 7 and not v.gone and not coalesce((v.digest->>'disabled')::boolean, false)
				and (v.digest->>'next')::timestamptz > $2
		), page as (
			select next, count(distinct id) as invoices, count(*) as lines, count(*) filter (where state in (2, 3)) as pending,
				count(*) filter (where state = 4) as parked, count(*) filter (where state = 5) as held, count(*) filter (where state = 6) as failed,
				min(read_at) as read_at
			from line group by next order by next limit $3
		), sums as (
			select next, jsonb_agg(jsonb_build_object('c', currency, 'b', before::text, 'a', after::text) order by currency) as sums
			from (select next, currency, sum(monthly_before) as before, sum(monthly_after) as after from line where state <> 1 group by next, currency) s
			group by next
		)
		select next, invoices, lines, pending, parked, held, failed, read_at, coalesce(sums, '[]') from page left join sums using (next) order by next`,
		req.GetConnection(), after, size+1)
	if err != nil {
		return nil, fmt.Errorf("list invoice runs of %s: %w", req.GetConnection(), err)
	}
	runs, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*invoicelinev1.InvoiceRun, error) {
		x := &invoicelinev1.InvoiceRun{}
		var next, readAt time.Time
		var sums []byte
		if err := r.Scan(&next, &x.Invoices, &x.Lines, &x.Pending, &x.Parked, &x.Held, &x.Failed, &readAt, &sums); err != nil {
			return nil, err
		}
		x.Time, x.QuietTime, x.ReadTime = timestamppb.New(next), timestamppb.New(next.Add(-settings.Quiet)), timestamppb.New(readAt)
		x.Filter = fmt.Sprintf(`next_invoice = %q AND state = (pending OR applying OR parked OR held OR failed)`, halo.NewDate(next).String())
		var list []struct{ C, B, A *string }
		if err := json.Unmarshal(sums, &list); err != nil {
			return nil, err
		}
		for _, s := range list {
			x.AffectedBefore, x.AffectedAfter = withSum(x.AffectedBefore, s.B, *s.C), withSum(x.AffectedAfter, s.A, *s.C)
		}
		return x, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list invoice runs of %s: %w", req.GetConnection(), err)
	}
	resp := &invoicelinev1.ListInvoiceRunsResponse{Runs: runs}
	if len(runs) > size {
		resp.Runs = runs[:size]
		resp.NextPageToken = runs[size-1].GetTime().AsTime().Format(time.RFC3339)
	}
	return resp, nil
}

func withSum(sums []*moneyv1.Money, sum *string, currency string) []*moneyv1.Money {
	if sum == nil {
		return sums
	}
	return append(sums, &moneyv1.Money{Amount: *sum, Currency: currency, Basis: moneyv1.Basis_BASIS_PER_MONTH})
}

// ListLicenceBilling tells what enabled recurring invoices bill for licences of Halo, whosever they are.
func (l *lineServer) ListLicenceBilling(ctx context.Context, req *invoicelinev1.ListLicenceBillingRequest) (*invoicelinev1.ListLicenceBillingResponse, error) {
	settings, err := l.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	if len(req.GetLicences()) > 1000 {
		return nil, rpc.InvalidArgument("licences", "%d are too many; ask for up to 1000 at once", len(req.GetLicences()))
	}
	seats, ids := map[int64]int64{}, []int64{}
	for _, x := range req.GetLicences() {
		seats[x.GetHaloId()] = x.GetCount()
		ids = append(ids, x.GetHaloId())
	}
	digests, err := column[[]byte](ctx, l.s.pool, `select digest from invoices where instance = $1 and licence_ids && $2 and not gone order by id desc`, settings.Instance, ids)
	if err != nil {
		return nil, fmt.Errorf("read recurring invoices: %w", err)
	}
	invoices := make([]Invoice, len(digests))
	for i, d := range digests {
		if err := json.Unmarshal(d, &invoices[i]); err != nil {
			return nil, fmt.Errorf("stored recurring invoice: %w", err)
		}
	}
	if err := l.addSeats(ctx, settings.Instance, invoices, seats); err != nil {
		return nil, err
	}
	found := billingOf(invoices, ids, seats)
	resp := &invoicelinev1.ListLicenceBillingResponse{}
	for _, id := range slices.Sorted(slices.Values(ids)) {
		if b := found[id]; b != nil {
			resp.Licences = append(resp.Licences, &invoicelinev1.LicenceBilling{
				HaloId: id, LineKeys: b.lines, Billed: money(b.sum(), settings.Currency, moneyv1.Basis_BASIS_PER_MONTH),
			})
			delete(found, id)
		}
	}
	return resp, nil
}

// addSeats adds what is known of other licences that the lines count.
func (l *lineServer) addSeats(ctx context.Context, instance string, invoices []Invoice, seats map[int64]int64) error {
	others := []int64{}
	for _, inv := range invoices {
		for _, line := range inv.Lines {
			others = append(others, line.linked()...)
		}
	}
	rows, err := l.s.pool.Query(ctx, `select halo_id, (body->>'Holds')::bigint from licences where instance = $1 and halo_id = any($2) and halo_id <> 0 and present`, instance, others)
	if err != nil {
		return fmt.Errorf("read seats: %w", err)
	}
	var id, n int64
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		if _, told := seats[id]; !told {
			seats[id] = n
		}
		return nil
	})
	return err
}
