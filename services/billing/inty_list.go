package billing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
)

// matches tells whether every word asked for occurs in one of the texts, upper or lower case.
func matches(search string, texts ...any) bool {
	all := strings.ToLower(fmt.Sprintln(texts...))
	for word := range strings.FieldsSeq(strings.ToLower(search)) {
		if !strings.Contains(all, word) {
			return false
		}
	}
	return true
}

// sorted orders a list that is known in full; equal ones stay in the order that they had.
func sorted[T any](all []T, orderBy string, by map[string]func(a, b T) int) error {
	field, descending := strings.CutSuffix(strings.TrimSpace(orderBy), " desc")
	if field == "" {
		return nil
	}
	compare, ok := by[field]
	if !ok {
		return rpc.InvalidArgument("order_by", "the list cannot be ordered by %q", field).Do("order by one of: %s", strings.Join(sortedKeys(by), ", "))
	}
	slices.SortStableFunc(all, func(a, b T) int {
		if descending {
			return compare(b, a)
		}
		return compare(a, b)
	})
	return nil
}

func byFold[T any](text func(T) string) func(a, b T) int {
	return func(a, b T) int { return cmp.Compare(strings.ToLower(text(a)), strings.ToLower(text(b))) }
}

var orderOfPairs = map[string]func(a, b *intyv1.Pair) int{
	"customer": byFold(func(x *intyv1.Pair) string { return x.GetInty().GetClientName() }),
	"name":     byFold(func(x *intyv1.Pair) string { return x.GetInty().GetName() }),
	"seats":    func(a, b *intyv1.Pair) int { return cmp.Compare(a.GetInty().GetCount(), b.GetInty().GetCount()) },
	"state":    func(a, b *intyv1.Pair) int { return cmp.Compare(a.GetState(), b.GetState()) },
}

var orderOfMappings = map[string]func(a, b *intyv1.OldMapping) int{
	"customer": byFold((*intyv1.OldMapping).GetClientName),
	"state":    func(a, b *intyv1.OldMapping) int { return cmp.Compare(a.GetState(), b.GetState()) },
}

// ListReports lists what was kept, newest first, without the rows.
func (y *intyServer) ListReports(ctx context.Context, req *intyv1.ListReportsRequest) (*intyv1.ListReportsResponse, error) {
	rows, err := y.s.pool.Query(ctx, `select id, body from inty_reports where connection = $1 order by id desc`, req.GetConnection())
	if err != nil {
		return nil, fmt.Errorf("read reports of %s: %w", req.GetConnection(), err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*intyv1.Report, error) {
		r, err := scanReport(row)
		return &intyv1.Report{Connection: r.GetConnection(), Id: r.GetId(), Time: r.GetTime(), Who: r.GetWho(), Left: r.GetLeft()}, err
	})
	if err != nil {
		return nil, fmt.Errorf("read reports of %s: %w", req.GetConnection(), err)
	}
	out := &intyv1.ListReportsResponse{}
	out.Reports, out.NextPageToken, err = page(all, req.GetPageSize(), req.GetPageToken())
	return out, err
}

func scanReport(row pgx.CollectableRow) (*intyv1.Report, error) {
	r, id, body := &intyv1.Report{}, int64(0), []byte(nil)
	if err := row.Scan(&id, &body); err != nil {
		return nil, err
	}
	err := proto.Unmarshal(body, r)
	r.Id = id
	return r, err
}
