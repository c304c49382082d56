package licence

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// maxDecisions is how many possible duplicates one call shows or decides about.
const maxDecisions = 1000

// GetDuplicateDecisions says what could be decided about what is held as a possible duplicate.
func (s *service) GetDuplicateDecisions(ctx context.Context, req *licencev1.GetDuplicateDecisionsRequest) (*licencev1.DuplicateDecisions, error) {
	if req.GetWay() != licencev1.Way_WAY_ADOPT && req.GetWay() != licencev1.Way_WAY_CREATE {
		return nil, rpc.InvalidArgument("way", "is missing").Do("say whether to adopt or to create")
	}
	filter := fmt.Sprintf(`connection = %s AND state = held AND reason = "possible_duplicate"`, strconv.Quote(req.GetConnection()))
	if req.GetFilter() != "" {
		filter += " AND (" + req.GetFilter() + ")"
	}
	size := req.GetPageSize()
	if size <= 0 || size > maxDecisions {
		size = maxDecisions
	}
	q, err := licences.Query(&licencev1.ListLicencesRequest{Filter: filter, PageSize: size, PageToken: req.GetPageToken()})
	if err != nil {
		return nil, err
	}
	keys, next, err := list.Collect(ctx, s.Pool, q, list.Select{Columns: "i.key", From: "items i", Joins: listed.Joins}, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	waiting, err := s.waiting(ctx, s.Pool, req.GetConnection(), `key = any($2)`, keys)
	if err != nil {
		return nil, err
	}
	rivals, err := s.waiting(ctx, s.Pool, req.GetConnection(), `key in (select r.key from subscriptions r join subscriptions s using (connection, client_id)
		where r.connection = $1 and s.key = any($2))`, keys)
	if err != nil {
		return nil, err
	}
	wanted := map[int64]int{} // by candidate: how many could be it
	for _, d := range rivals {
		for _, c := range d.candidates {
			wanted[c.GetHaloId()]++
		}
	}
	taken, err := takenLicences(ctx, s.Pool, waiting)
	if err != nil {
		return nil, err
	}
	out := &licencev1.DuplicateDecisions{NextPageToken: next}
	for _, key := range keys {
		d, ok := waiting[key]
		switch {
		case !ok: // decided about since it was listed
		case req.GetWay() == licencev1.Way_WAY_CREATE:
			out.Decisions = append(out.Decisions, d.decision(0))
		case len(d.candidates) != 1:
			out.Skipped = append(out.Skipped, d.skipped("several", fmt.Sprintf("%d licences in Halo could be it: choose one on its own page.", len(d.candidates))))
		case wanted[d.candidates[0].GetHaloId()] > 1:
			out.Skipped = append(out.Skipped, d.skipped("contested", fmt.Sprintf("Licence %d in Halo could be another subscription's as well: choose on its own page.", d.candidates[0].GetHaloId())))
		case taken[d.candidates[0].GetHaloId()] != "":
			out.Skipped = append(out.Skipped, d.skipped("taken", fmt.Sprintf("Licence %d in Halo belongs to %s.", d.candidates[0].GetHaloId(), taken[d.candidates[0].GetHaloId()])))
		default:
			out.Decisions = append(out.Decisions, d.decision(d.candidates[0].GetHaloId()))
		}
	}
	return out, nil
}

// DecideDuplicates records a person's decisions and decides anew, all in one go.
func (s *service) DecideDuplicates(ctx context.Context, req *licencev1.DecideDuplicatesRequest) (*licencev1.DuplicateDecisions, error) {
	if n := len(req.GetDecisions()); n == 0 || n > maxDecisions {
		return nil, rpc.InvalidArgument("decisions", "are %d, and must be 1 to %d", n, maxDecisions).Do("send them in several calls")
	}
	adopt := map[string]int64{}
	for _, d := range req.GetDecisions() {
		adopt[d.GetKey()] = d.GetHaloId()
	}
	var out *licencev1.DuplicateDecisions
	err := postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		out = &licencev1.DuplicateDecisions{}
		if err := takeTurn(ctx, tx, req.GetConnection()); err != nil {
			return err
		}
		keys := slices.Sorted(maps.Keys(adopt))
		waiting, err := s.waiting(ctx, tx, req.GetConnection(), `key = any($2)`, keys)
		if err != nil {
			return err
		}
		taken, err := takenLicences(ctx, tx, waiting)
		if err != nil {
			return err
		}
		var decided []string
		var ids, clients []int64
		for _, key := range keys {
			d, id := waiting[key], adopt[key]
			switch {
			case d == nil:
				out.Skipped = append(out.Skipped, (&duplicate{item: item{Key: key}}).skipped("not_waiting", "It does not wait for this decision any more."))
			case id != 0 && !slices.ContainsFunc(d.candidates, func(c *licencev1.Candidate) bool { return c.GetHaloId() == id }):
				out.Skipped = append(out.Skipped, d.skipped("no_candidate", fmt.Sprintf("Licence %d in Halo is no candidate for it any more: look again.", id)))
			case id != 0 && taken[id] != "":
				out.Skipped = append(out.Skipped, d.skipped("taken", fmt.Sprintf("Licence %d in Halo belongs to %s.", id, taken[id])))
			default:
				if id != 0 {
					taken[id] = req.GetConnection() + "/" + key
				}
				out.Decisions = append(out.Decisions, d.decision(id))
				decided, ids, clients = append(decided, key), append(ids, id), append(clients, d.item.Desired.ClientID)
			}
		}
		if len(decided) == 0 {
			return nil
		}
		return s.decided(ctx, tx, req.GetConnection(), decided, ids, clients)
	})
	if err != nil {
		return nil, err
	}
	s.wake.Nudge()
	s.engine.Kick()
	return out, nil
}

// decided records what a person decided about licences, the id of the one in Halo to take over or 0, and decides anew, also
// about others of the customers that may have been waiting for the same.
func (s *service) decided(ctx context.Context, tx pgx.Tx, connection string, keys []string, adopt, clients []int64) error {
	_, err := tx.Exec(ctx, `insert into decisions (connection, key, adopt, who, time) select $1, key, adopt, $4, $5 from unnest($2::text[], $3::bigint[]) as t(key, adopt)
		on conflict (connection, key) do update set adopt = excluded.adopt, who = excluded.who, time = excluded.time`,
		connection, keys, adopt, rpc.Who(ctx), s.Clock.Now())
	if err != nil {
		return fmt.Errorf("record %d decisions: %w", len(keys), err)
	}
	if err := s.decideKeys(ctx, tx, connection, keys); err != nil || len(clients) == 0 {
		return err
	}
	return requeueRivals(ctx, tx, connection, clients, keys, s.Clock.Now())
}

// duplicate is a licence that is held as a possible duplicate.
type duplicate struct {
	item       item
	name       string
	candidates []*licencev1.Candidate
}

// waiting reads what is held as a possible duplicate, by key, as far as a condition on items is met.
func (s *service) waiting(ctx context.Context, q reconcile.Querier, connection, where string, keys []string) (map[string]*duplicate, error) {
	where = `connection = $1 and state = 5 and reason_code = 'possible_duplicate' and halo_id = 0 and desired is not null and ` + where + ` order by key`
	items, err := s.engine.Look(ctx, q, where, connection, keys)
	if err != nil {
		return nil, err
	}
	all := make(map[string]*duplicate, len(items))
	for _, x := range items {
		l, err := unmarshal(x.Facts, &licencev1.Licence{})
		if err != nil {
			return nil, err
		}
		all[x.Key] = &duplicate{item: x, name: l.GetSubscription().GetGiacom().GetName(), candidates: l.GetCandidates()}
	}
	return all, nil
}

// takenLicences are candidates that belong to a live subscription already, with that one.
func takenLicences(ctx context.Context, q querier, waiting map[string]*duplicate) (map[int64]string, error) {
	byInstance := map[string][]int64{}
	for _, d := range waiting {
		for _, c := range d.candidates {
			byInstance[d.item.Instance] = append(byInstance[d.item.Instance], c.GetHaloId())
		}
	}
	taken := map[int64]string{}
	for instance, ids := range byInstance { // one, as long as a connection keeps its Halo
		owners, err := ownersOf(ctx, q, instance, ids)
		if err != nil {
			return nil, err
		}
		maps.Copy(taken, owners)
	}
	return taken, nil
}

// ownersOf says to which live subscriptions licences in Halo belong, by their ids; those of nobody are left out.
func ownersOf(ctx context.Context, q querier, instance string, ids []int64) (map[int64]string, error) {
	rows, err := q.Query(ctx, `select i.halo_id, i.connection || '/' || i.key from items i join subscriptions s using (connection, key)
		where i.instance = $1 and i.halo_id = any($2) and i.halo_id <> 0 and i.state <> 7 and not s.removed`, instance, ids)
	if err != nil {
		return nil, fmt.Errorf("read whose licences these are: %w", err)
	}
	owners := map[int64]string{}
	var id int64
	var owner string
	if _, err := pgx.ForEachRow(rows, []any{&id, &owner}, func() error { owners[id] = owner; return nil }); err != nil {
		return nil, fmt.Errorf("read whose licences these are: %w", err)
	}
	return owners, nil
}

func (d *duplicate) decision(adopt int64) *licencev1.DuplicateDecision {
	out := &licencev1.DuplicateDecision{Key: d.item.Key, HaloId: adopt, Customer: d.item.Customer, Name: d.name, Count: deref(d.item.Desired.Count)}
	for _, c := range d.candidates {
		if c.GetHaloId() == adopt || adopt == 0 && out.Candidate == nil {
			out.Candidate = c
		}
	}
	if m := d.item.MonthlyAfter; m != nil {
		out.Monthly = &moneyv1.Money{Amount: m.String(), Currency: d.item.Currency, Basis: moneyv1.Basis_BASIS_PER_MONTH}
	}
	return out
}

func (d *duplicate) skipped(code, text string) *licencev1.SkippedDuplicate {
	return &licencev1.SkippedDuplicate{Key: d.item.Key, Customer: d.item.Customer, Name: d.name, Reason: &itemv1.Reason{Code: code, Text: text}}
}
