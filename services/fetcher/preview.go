package fetcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/rpc"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// GetPullPreview reads an account as a run would and compares it with the last picture by the same statements. Its
// staging table is its session's own and its transaction is rolled back: nothing is stored and nothing published.
func (s *runServer) GetPullPreview(ctx context.Context, req *runv1.GetPullPreviewRequest) (*runv1.PullPreview, error) {
	if err := rpc.AskOutside(ctx); err != nil {
		return nil, err
	}
	c, err := connections.Read(ctx, s.Pool, req.GetConnection())
	if errors.Is(err, connections.ErrUnknown) || err == nil && c.GetDeleted() {
		return nil, rpc.NotFound("connection", req.GetConnection()).Do("look for it with `seatline connections list`")
	}
	if err != nil {
		return nil, err
	}
	c = proto.CloneOf(c)
	if req.GetMethod() != 0 {
		c.Giacom.Method = req.GetMethod()
	}
	if req.GetAllProductsFeed() != 0 {
		c.Giacom.AllProductsFeed = req.GetAllProductsFeed()
	}
	r := s.newRun(c, order{customers: req.GetCustomers(), subscriptions: req.GetSubscriptions()})
	r.Id = "preview-" + uuid.NewString()
	pooled, err := s.Pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	conn := pooled.Hijack()
	defer hangUp(conn) // and with it the staging table
	result, rows, err := s.pull(ctx, conn, c, r.Run, func() error { return nil })
	if err != nil {
		if why := failure(err); why.GetCode() != "internal" {
			return nil, rpc.Unavailable("GIACOM", 10*time.Second, "the account of connection %q could not be read: %s", c.GetSlug(), why.GetText())
		}
		return nil, err
	}
	p := &preview{run: r.Run, limit: int(req.GetLimit()), names: map[string]string{}}
	if p.limit <= 0 {
		p.limit = 1000
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if err := insertRun(ctx, tx, r, rulesOf(c), sourceOf(c)); err != nil {
		return nil, err
	}
	if err := prove(ctx, tx, c, r.Run, result, rows); err != nil {
		return nil, err
	}
	found, err := compare(ctx, tx, r.Id, r.Connection)
	if err != nil {
		return nil, err
	}
	count(r.Run, found, result)
	if err := p.read(ctx, tx); err != nil {
		return nil, err
	}
	_, complete, why := concluded(giacom.Want{Customers: r.ImportCustomers, Subscriptions: r.ImportSubscriptions}, result)
	if why == nil {
		why = rulesOf(c).hold(found.shrink)
	}
	out := p.answer()
	out.Customers, out.Subscriptions, out.Complete, out.Reason, out.Requests = r.Customers, r.Subscriptions, complete, why, result.Requests
	return out, tx.QueryRow(ctx, `select supersedes from runs where id = $1`, r.Id).Scan(&out.MethodChanged)
}

// preview collects what a run would publish.
type preview struct {
	run   *runv1.Run
	limit int // rows of each kind that are listed
	names map[string]string

	rows       []*previewed
	byCustomer []*runv1.PreviewCustomer
}

type previewed struct {
	*runv1.PreviewRow
	sku string
}

var previewKinds = map[string]runv1.PreviewRow_Kind{
	"new": runv1.PreviewRow_KIND_NEW, "changed": runv1.PreviewRow_KIND_CHANGED, "absent": runv1.PreviewRow_KIND_ABSENT,
	"removed": runv1.PreviewRow_KIND_REMOVED, "superseded": runv1.PreviewRow_KIND_SUPERSEDED,
}

// read lists every row of which something would be published. The bodies are decoded where a match is looked for.
func (p *preview) read(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, staged(p.run.GetId(), `
		select entity, key, what, mex_id, name, quantity, before, body from (
			select coalesce(c.entity, s.entity) as entity, coalesce(c.key, s.key) as key, coalesce(nullif(c.mex_id, ''), s.mex_id) as mex_id,
				coalesce(nullif(c.name, ''), s.name) as name, coalesce(c.quantity, '') as quantity, coalesce(s.quantity, '') as before,
				coalesce(c.body, s.body) as body,
				case when c.key is not null then `+present+` when `+conclusive+` then `+missing+` end as what
			from `+joined+` offset 0
		) j where what is not null and what <> 'confirmed' order by entity, mex_id, name, key`), p.run.GetId(), p.run.GetConnection())
	if err != nil {
		return fmt.Errorf("list what the run would publish: %w", err)
	}
	var entity int16
	var key, what, mexID, name, quantity, before string
	var body []byte
	customers := map[string]*runv1.PreviewCustomer{}
	_, err = pgx.ForEachRow(rows, []any{&entity, &key, &what, &mexID, &name, &quantity, &before, &body}, func() error {
		x := &previewed{PreviewRow: &runv1.PreviewRow{
			Entity: "customer", Key: key, Kind: previewKinds[what], MexId: mexID, Name: name, Quantity: quantity, QuantityBefore: before,
		}}
		p.rows = append(p.rows, x)
		if entity == entityCustomer {
			x.CustomerName = name
			return nil
		}
		x.Entity = "subscription"
		var m giacomv1.Subscription
		if err := proto.Unmarshal(body, &m); err != nil {
			return fmt.Errorf("subscription %s: %w", key, err)
		}
		x.CustomerName, x.sku = m.GetCustomerName(), m.GetSku()
		if x.Kind != runv1.PreviewRow_KIND_NEW && x.Kind != runv1.PreviewRow_KIND_CHANGED {
			return nil
		}
		c := customers[mexID]
		if c == nil {
			c = &runv1.PreviewCustomer{MexId: mexID, Name: m.GetCustomerName()}
			customers[mexID] = c
			p.byCustomer = append(p.byCustomer, c)
		}
		if x.Kind == runv1.PreviewRow_KIND_NEW {
			c.New++
		} else {
			c.Changed++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list what the run would publish: %w", err)
	}
	return nil
}

// answer matches, counts, and lists as many rows of each kind as asked for.
func (p *preview) answer() *runv1.PullPreview {
	out := &runv1.PullPreview{ByCustomer: p.byCustomer}
	matchMethods(p.rows)
	type class struct {
		entity string
		kind   runv1.PreviewRow_Kind
		match  runv1.PreviewRow_Match
	}
	listed := map[class]int{}
	for _, x := range p.rows {
		switch {
		case x.Kind == runv1.PreviewRow_KIND_NEW && x.Match == runv1.PreviewRow_MATCH_ONE:
			out.Matched++
		case x.Kind == runv1.PreviewRow_KIND_NEW && x.Match == runv1.PreviewRow_MATCH_UNSURE:
			out.Unsure++
		case x.Kind == runv1.PreviewRow_KIND_SUPERSEDED && x.Match == runv1.PreviewRow_MATCH_UNSPECIFIED:
			out.Unmatched++
		}
		at := class{x.Entity, x.Kind, x.Match}
		if listed[at]++; listed[at] <= p.limit {
			out.Rows = append(out.Rows, x.PreviewRow)
		}
	}
	return out
}

// matchMethods finds out of new and superseded subscriptions those that are one: the same customer and product, in the
// same quantity, and nobody else in question. It is the rule by which the licence service adopts.
func matchMethods(rows []*previewed) {
	old := map[string][]*previewed{} // superseded, by customer
	var fresh []*previewed
	for _, x := range rows {
		switch x.Kind {
		case runv1.PreviewRow_KIND_SUPERSEDED:
			old[x.MexId] = append(old[x.MexId], x)
		case runv1.PreviewRow_KIND_NEW:
			if x.Entity == "subscription" {
				fresh = append(fresh, x)
			}
		}
	}
	exact, rivals := map[*previewed][]*previewed{}, map[*previewed]int{}
	similar := map[*previewed][]*previewed{}
	for _, n := range fresh {
		for _, o := range old[n.MexId] {
			if !(giacom.Product{Name: n.Name, SKU: n.sku}).Same(giacom.Product{Name: o.Name, SKU: o.sku}) {
				continue
			}
			similar[n] = append(similar[n], o)
			if n.Quantity == o.QuantityBefore {
				exact[n] = append(exact[n], o)
				rivals[o]++
			}
		}
	}
	for _, n := range fresh {
		if len(exact[n]) == 1 && rivals[exact[n][0]] == 1 {
			pair(n, exact[n][0], runv1.PreviewRow_MATCH_ONE)
		}
	}
	for _, n := range fresh {
		for _, o := range similar[n] {
			if n.Match == runv1.PreviewRow_MATCH_UNSPECIFIED && o.Match != runv1.PreviewRow_MATCH_ONE {
				pair(n, o, runv1.PreviewRow_MATCH_UNSURE)
			}
		}
	}
}

func pair(n, o *previewed, match runv1.PreviewRow_Match) {
	n.Match, n.MatchKey, n.QuantityBefore = match, o.Key, o.QuantityBefore
	o.Match, o.MatchKey = match, n.Key
}
