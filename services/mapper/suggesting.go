package mapper

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// suggestLater has the suggestions of a connection made anew: what they rest on may have changed.
func (s *service) suggestLater(ctx context.Context, connection string) error {
	_, err := s.Pool.Exec(ctx, `insert into suggest_due (connection, at) values ($1, $2) on conflict (connection) do update set at = excluded.at`, connection, s.Clock.Now())
	if err != nil {
		return fmt.Errorf("queue the suggestions of %s: %w", connection, err)
	}
	return nil
}

// suggestAll makes the suggestions that are due. It costs Halo nothing: it looks at what was last read.
func (s *service) suggestAll(ctx context.Context) (did int, err error) {
	rows, err := s.Pool.Query(ctx, `select connection from suggest_due order by at`)
	if err != nil {
		return 0, fmt.Errorf("look for due suggestions: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("look for due suggestions: %w", err)
	}
	for _, c := range due {
		if err := s.suggestFor(ctx, c); err != nil {
			return did, fmt.Errorf("suggest customers of %s: %w", c, err)
		}
		did++
	}
	return did, nil
}

// suggestFor makes the suggestions of a connection. The row of suggest_due is locked, so that
// replicas take turns, and goes unless somebody has queued the connection anew meanwhile.
func (s *service) suggestFor(ctx context.Context, connection string) error {
	c, err := connections.Read(ctx, s.Pool, connection)
	if err != nil && !isUnknown(err) {
		return err
	}
	return postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `delete from suggest_due where connection = $1`, connection)
		if err != nil || tag.RowsAffected() == 0 || c == nil {
			return err
		}
		set := settingsOf(c)
		known, err := readPicture(ctx, tx, set)
		if err != nil {
			return err
		}
		customers, err := unmappedEvidence(ctx, tx, connection)
		if err != nil {
			return err
		}
		clients, err := clientEvidence(ctx, tx, set.Instance)
		if err != nil {
			return err
		}
		b, err := readBonds(ctx, tx, connection, known)
		if err != nil {
			return err
		}
		return saveSuggestions(ctx, tx, connection, suggest(customers, clients, b))
	})
}

// unmappedEvidence is what is known of customers that nobody is mapped to, and of those to be remapped.
func unmappedEvidence(ctx context.Context, tx pgx.Tx, connection string) ([]evidence, error) {
	rows, err := tx.Query(ctx, `select c.mex_id, `+nameSQL+`, c.traits,
			coalesce((select array_agg(distinct s.tenant) from subscriptions s where s.connection = c.connection and s.mex_id = c.mex_id and s.tenant <> '' and not s.gone), '{}')
		from customers c where c.connection = $1 and (c.state = $2 or c.state = $3 and c.reason_code <> '') order by c.mex_id`,
		connection, int16(mappingv1.State_STATE_UNMAPPED), int16(mappingv1.State_STATE_MAPPED))
	if err != nil {
		return nil, fmt.Errorf("read unmapped customers: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (e evidence, err error) {
		var tenants []string
		err = r.Scan(&e.ID, &e.Name, &e.traits, &tenants)
		e.Tenants = append(e.Tenants, tenants...)
		return e, err
	})
}

// clientEvidence is what is known of Halo's active customers.
func clientEvidence(ctx context.Context, tx pgx.Tx, instance string) ([]evidence, error) {
	rows, err := tx.Query(ctx, `select id, name, traits from clients where instance = $1 and not inactive order by id`, instance)
	if err != nil {
		return nil, fmt.Errorf("read the customers of Halo: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (e evidence, err error) {
		err = r.Scan(&e.Client, &e.Name, &e.traits)
		return e, err
	})
}

// readBonds is what ties customers already.
func readBonds(ctx context.Context, tx pgx.Tx, connection string, known picture) (bonds, error) {
	b := bonds{tied: map[string][]int64{}, taken: map[int64]string{}}
	for id, list := range known.native {
		b.tied[id] = append(b.tied[id], list...)
	}
	for id, list := range known.marks {
		b.tied[id] = append(b.tied[id], list...)
	}
	rows, err := tx.Query(ctx, `select client_id, min(mex_id) from customers where connection = $1 and state = $2 group by client_id`,
		connection, int16(mappingv1.State_STATE_MAPPED))
	if err != nil {
		return b, fmt.Errorf("read mappings: %w", err)
	}
	var to int64
	var id string
	_, err = pgx.ForEachRow(rows, []any{&to, &id}, func() error { b.taken[to] = id; return nil })
	if err != nil {
		return b, fmt.Errorf("read mappings: %w", err)
	}
	return b, nil
}

func saveSuggestions(ctx context.Context, tx pgx.Tx, connection string, all []suggestion) error {
	if _, err := tx.Exec(ctx, `delete from suggestions where connection = $1`, connection); err != nil {
		return fmt.Errorf("forget suggestions: %w", err)
	}
	n := len(all)
	ids, clients, scores, ambiguity, candidates := make([]string, n), make([]int64, n), make([]int32, n), make([]string, n), make([][]candidate, n)
	for i, x := range all {
		ids[i], clients[i], scores[i], ambiguity[i], candidates[i] = x.MexID, x.Candidates[0].ClientID, x.Candidates[0].Score, x.Ambiguity, x.Candidates
	}
	_, err := tx.Exec(ctx, `insert into suggestions (connection, mex_id, client_id, score, ambiguity, candidates)
		select $1, * from unnest($2::text[], $3::bigint[], $4::int[], $5::text[], $6::jsonb[])`, connection, ids, clients, scores, ambiguity, documents(candidates))
	if err != nil {
		return fmt.Errorf("store suggestions: %w", err)
	}
	return nil
}

// suggestions are the mappings that have candidates, the best first.
var suggestions = func() list.Spec {
	spec := mappings
	spec.Noun, spec.DefaultOrder = "suggestions", "score desc"
	return spec
}()

// ListSuggestions pages through customers with candidates.
func (s *service) ListSuggestions(ctx context.Context, req *mappingv1.ListSuggestionsRequest) (*mappingv1.ListSuggestionsResponse, error) {
	q, err := suggestions.Query(req, list.Scope{"connection": req.GetConnection()})
	if err != nil {
		return nil, err
	}
	found, next, err := s.collectTable(ctx, q, fmt.Sprintf("%s and g.score >= %d", shown, max(req.GetMinScore(), 1)))
	return &mappingv1.ListSuggestionsResponse{Suggestions: found, NextPageToken: next}, err
}

// AcceptSuggestion maps a customer to one of its candidates.
func (s *service) AcceptSuggestion(ctx context.Context, req *mappingv1.AcceptSuggestionRequest) (*mappingv1.Mapping, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	id := mexID(req.GetMexId())
	found, err := s.readTable(ctx, s.Pool, `c.connection = $6 and c.mex_id = $7`, c.GetSlug(), id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, noCustomer(c.GetSlug(), id)
	}
	x := found[0]
	if req.GetEtag() != "" && req.GetEtag() != x.etag() {
		return nil, changedMeanwhile(x.record)
	}
	wanted := req.GetHaloClientId()
	at := slices.IndexFunc(x.Candidates, func(k candidate) bool { return k.ClientID == wanted })
	switch {
	case wanted == 0 && len(x.Candidates) > 0 && x.Ambiguity != "":
		return nil, rpc.FailedPrecondition("SUGGESTION_AMBIGUOUS", id, "no suggestion for %s (%s) stands out: %s", id, x.Name, x.Ambiguity).Do("name the customer of Halo that you mean")
	case wanted == 0 && len(x.Candidates) > 0:
		at = 0
	case at < 0:
		return nil, rpc.FailedPrecondition("NOT_SUGGESTED", id, "%s (%s) has no such suggestion any more: %s", id, x.Name, x.Now.sentence()).
			Do("look at `seatline mappings suggestions`, or map it with `seatline mappings set`")
	}
	to, err := s.activeClient(ctx, c, x.Candidates[at].ClientID)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, c, id, cmp.Or(req.GetEtag(), x.etag()), func(x *record) error {
		x.mapTo(to, mappingv1.Origin_ORIGIN_SUGGESTION, rpc.Who(ctx))
		return nil
	})
}

// mapTo is a person's decision to map the customer.
func (c *record) mapTo(to client, origin mappingv1.Origin, who string) {
	c.Decision = decision{State: mappingv1.State_STATE_MAPPED, ClientID: to.ID, Origin: origin, Who: who}
	c.Now = mapping{State: mappingv1.State_STATE_MAPPED, ClientID: to.ID, ClientName: to.Name, Origin: origin}
}
