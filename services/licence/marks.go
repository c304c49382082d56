package licence

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/halo"
)

// marksAtOnce is how many licences are read at the same time to learn their marks. One after another, a thousand take a
// thousand times what one takes on a Halo far away, or on a machine with other work.
const marksAtOnce = 4

// learnMarks reads licences by themselves where lists do not show marks: only those that belong to nobody we know, of
// customers with subscriptions that have no licence yet (customers nil) or of these customers. Batches that are created
// side by side look at the same time, each for what all of them created: so they take turns, and what one has learnt
// nobody else reads again. Those of another replica take others, chosen at random.
func (s *service) learnMarks(ctx context.Context, client *halo.Client, instance string, customers []int64) error {
	if customers == nil {
		var err error
		if customers, err = lackingLicences(ctx, s.Pool); err != nil {
			return err
		}
	}
	lost := []int64{} // listed, and gone since
	for {
		more, err := s.learnSome(ctx, client, instance, customers, &lost)
		if err != nil || !more {
			return err
		}
	}
}

// marksTurn waits until nobody else learns marks of an instance, and gives what lets the next one do so.
func (s *service) marksTurn(ctx context.Context, instance string) (pass func(), err error) {
	x, _ := s.learning.LoadOrStore(instance, make(chan struct{}, 1))
	turn := x.(chan struct{})
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// learnSome learns a few marks, and tells whether there were any to learn.
func (s *service) learnSome(ctx context.Context, client *halo.Client, instance string, customers []int64, lost *[]int64) (more bool, err error) {
	pass, err := s.marksTurn(ctx, instance)
	if err != nil {
		return false, err
	}
	defer pass()
	ids, err := unknownMarks(ctx, s.Pool, instance, customers, *lost)
	if err != nil || len(ids) == 0 {
		return false, err
	}
	read := make([]*halo.Licence, len(ids))
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(marksAtOnce)
	for n, id := range ids {
		group.Go(func() error {
			l, err := client.Licence(reading, id)
			switch {
			case err == nil:
				read[n] = &l
			case halo.ClassOf(err) != halo.NotFound:
				return err
			}
			return nil
		})
	}
	failed := group.Wait()
	var known []int64
	var marks []string
	for n, l := range read {
		if l == nil {
			*lost = append(*lost, ids[n])
			continue
		}
		known, marks = append(known, ids[n]), append(marks, l.Mark.Value)
	}
	_, err = s.Pool.Exec(ctx, `update halo_licences h set mark = t.mark, mark_known = true
		from unnest($2::bigint[], $3::text[]) as t(id, mark) where h.instance = $1 and h.halo_id = t.id`, instance, known, marks)
	if err != nil {
		return false, fmt.Errorf("store the marks of %d licences: %w", len(known), err)
	}
	return true, failed // what was read until then is known
}

// lackingLicences gives the customers, of any Halo, with subscriptions that have no licence yet.
func lackingLicences(ctx context.Context, q querier) ([]int64, error) {
	rows, err := q.Query(ctx, `
		select distinct s.client_id from subscriptions s `+withItem+`
		where not s.removed and coalesce(i.halo_id, 0) = 0`)
	if err != nil {
		return nil, fmt.Errorf("look for customers that lack licences: %w", err)
	}
	customers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for customers that lack licences: %w", err)
	}
	return customers, nil
}

// unknownMarks gives some of the licences whose mark is to be learnt: a fiftieth, so that two replicas that do this at once
// read few of them twice, and a few at most, so that nobody waits long for the turn.
func unknownMarks(ctx context.Context, q querier, instance string, customers, besides []int64) ([]int64, error) {
	rows, err := q.Query(ctx, `
		with unknown as materialized (
			select h.halo_id from halo_licences h
			where h.instance = $1 and not h.mark_known and not h.halo_id = any($3)
				and not exists (select from items i where i.instance = h.instance and i.halo_id = h.halo_id and i.halo_id <> 0 and i.state <> 7)
				and h.client_id = any($2))
		select halo_id from unknown order by random() limit least(4 * $4, greatest($4, (select count(*) / 50 from unknown)))`,
		instance, customers, besides, marksAtOnce)
	if err != nil {
		return nil, fmt.Errorf("look for licences whose mark is not known: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("look for licences whose mark is not known: %w", err)
	}
	return ids, nil
}
