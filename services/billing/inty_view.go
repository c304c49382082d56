package billing

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/billing/inty"
)

// picture is all that is known of a migration, read in one go.
type picture struct {
	intyMigration
	connection *connectionv1.Connection
	instance   string
	mappings   []inty.Mapping
	proposals  []inty.Proposal
	names      map[int64]string
	regions    map[int64]inty.Region
	why        map[int64]string // of the regions
	pairs      []inty.Pair
	links      map[int64][]link // by Inty's licence
	giacom     []inty.Giacom
	choices    map[int64]inty.Choice // by Inty's licence
}

// look reads the picture of a connection's migration. It asks Halo nothing.
func (s *service) look(ctx context.Context, slug string) (*picture, error) {
	c, err := s.intyConnection(ctx, slug)
	if err != nil {
		return nil, err
	}
	p := &picture{connection: c, instance: c.GetHalo().GetInstance(), names: map[int64]string{}, regions: map[int64]inty.Region{}, why: map[int64]string{}, links: map[int64][]link{}}
	if p.intyMigration, err = readMigration(ctx, s.pool, slug, ""); err != nil {
		return nil, err
	}
	if p.mappings, err = readMappings(ctx, s.pool, slug); err != nil {
		return nil, err
	}
	moves, err := readMoves(ctx, s.pool, `connection = $1`, slug)
	if err != nil {
		return nil, err
	}
	found, err := readIntyLicences(ctx, s.pool, `instance = $1`, p.instance)
	if err != nil {
		return nil, err
	}
	customers, err := readIntyCustomers(ctx, s.pool, slug)
	if err != nil {
		return nil, err
	}
	tenants := map[int64][]string{}
	for _, l := range found {
		tenants[l.ClientID] = append(tenants[l.ClientID], l.TenantID)
	}
	p.proposals = inty.Propose(p.mappings, tenants, customers)
	if err := p.locate(ctx, s.pool, found, customers); err != nil {
		return nil, err
	}
	if p.giacom, err = readGiacom(ctx, s.pool, slug); err != nil {
		return nil, err
	}
	if err := s.readLinks(ctx, p, found, moves); err != nil {
		return nil, err
	}
	if p.choices, err = readChoices(ctx, s.pool, slug); err != nil {
		return nil, err
	}
	// One that is inactive and on no line needs nothing.
	found = slices.DeleteFunc(found, func(l inty.Licence) bool { return !l.Active && len(p.links[l.ID]) == 0 })
	p.pairs = inty.PairUp(found, p.giacom, p.regions, p.choices)
	return p, nil
}

func readIntyCustomers(ctx context.Context, q querier, connection string) ([]inty.Customer, error) {
	rows, err := q.Query(ctx, `select mex_id, name, tenants, country, client_id from inty_customers
		where connection = $1 and mapping_revision > 0 and not ignored order by mex_id`, connection)
	if err != nil {
		return nil, fmt.Errorf("read Giacom's customers: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[inty.Customer])
}

// locate says of every customer with an old mapping or a licence of Inty's where it is.
func (p *picture) locate(ctx context.Context, q querier, found []inty.Licence, customers []inty.Customer) error {
	evidence := map[int64]*inty.Evidence{}
	of := func(client int64) *inty.Evidence {
		if evidence[client] == nil {
			evidence[client] = &inty.Evidence{}
		}
		return evidence[client]
	}
	for i, m := range p.mappings {
		e := of(m.ClientID)
		e.Countries, e.Currencies = append(e.Countries, m.Country), append(e.Currencies, m.Currency)
		if x := p.proposals[i]; x.Fit == inty.Mapped || x.Fit == inty.Proposed {
			e.Countries = append(e.Countries, x.Customer.Country)
		}
		p.names[m.ClientID] = m.ClientName
	}
	for _, l := range found {
		of(l.ClientID)
	}
	for _, c := range customers {
		if e := evidence[c.ClientID]; e != nil {
			e.Countries = append(e.Countries, c.Country)
		}
	}
	rows, err := q.Query(ctx, `select client_id, name, countries, currencies from inty_clients where instance = $1 and client_id = any($2)`, p.instance, sortedKeys(evidence))
	if err != nil {
		return fmt.Errorf("read where customers are: %w", err)
	}
	var id int64
	var name, who string
	var countries, currencies []string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name, &countries, &currencies}, func() error {
		e := of(id)
		e.Countries, e.Currencies, p.names[id] = append(e.Countries, countries...), append(e.Currencies, currencies...), name
		return nil
	}); err != nil {
		return fmt.Errorf("read where customers are: %w", err)
	}
	var american bool
	if rows, err = q.Query(ctx, `select client_id, united_states, who from inty_answers where connection = $1`, p.connection.GetSlug()); err != nil {
		return fmt.Errorf("read answers: %w", err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&id, &american, &who}, func() error {
		answer := american
		of(id).Answer, of(id).Who = &answer, who
		return nil
	}); err != nil {
		return fmt.Errorf("read answers: %w", err)
	}
	for id, e := range evidence {
		p.regions[id], p.why[id] = inty.Locate(*e)
	}
	return nil
}

var termWords = map[giacomv1.Term]string{giacomv1.Term_TERM_MONTHLY: "Monthly", giacomv1.Term_TERM_ANNUAL: "Annual", giacomv1.Term_TERM_TRIENNIAL: "Triennial"}

// readGiacom reads the licences of a connection, those too that are held as possible duplicates.
func readGiacom(ctx context.Context, q querier, connection string) ([]inty.Giacom, error) {
	rows, err := q.Query(ctx, `select key, body from licences where connection = $1 and present order by key`, connection)
	if err != nil {
		return nil, fmt.Errorf("read licences: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (g inty.Giacom, err error) {
		var body []byte
		if err := r.Scan(&g.Key, &body); err != nil {
			return g, err
		}
		var l Licence
		if err := json.Unmarshal(body, &l); err != nil {
			return g, err
		}
		g.HaloID, g.ClientID, g.Name, g.SKU, g.Count, g.Term = l.HaloID, l.ClientID, l.Name, l.SKU, l.Count, termWords[l.Term]
		if w := l.Waits; w != nil {
			g.Rivals = w.Candidates
		}
		return g, nil
	})
}

func readChoices(ctx context.Context, q querier, connection string) (map[int64]inty.Choice, error) {
	rows, err := q.Query(ctx, `select halo_id, key, who from inty_choices where connection = $1`, connection)
	if err != nil {
		return nil, fmt.Errorf("read what was chosen: %w", err)
	}
	choices := map[int64]inty.Choice{}
	var id int64
	var key, who string
	_, err = pgx.ForEachRow(rows, []any{&id, &key, &who}, func() error {
		choices[id] = inty.Choice{Key: key, Leave: key == "", Who: who}
		return nil
	})
	return choices, err
}

// stateOf a pair, with what has become of its lines.
func (p *picture) stateOf(x inty.Pair) (intyv1.PairState, string) {
	moving, moved := 0, 0
	for _, l := range p.links[x.Licence.ID] {
		switch l.state {
		case intyv1.LineState_LINE_STATE_MOVING, intyv1.LineState_LINE_STATE_RESTORING:
			moving++
		case intyv1.LineState_LINE_STATE_MOVED:
			moved++
		}
	}
	linked := p.count(x.Licence.ID, intyv1.LineState_LINE_STATE_LINKED)
	switch {
	case x.State == inty.Adopted:
	case moving > 0:
		return intyv1.PairState_PAIR_STATE_MOVING, fmt.Sprintf("%d of its lines are being written.", moving)
	case moved > 0 && linked == 0 && x.Licence.Active && p.deactivates(x.Licence.ID):
		return intyv1.PairState_PAIR_STATE_MOVING, "Its lines are re-pointed; it is to be deactivated."
	case moved > 0 && linked == 0:
		return intyv1.PairState_PAIR_STATE_MOVED, "Its lines are re-pointed."
	}
	why := x.Why
	if x.State == inty.Ready && linked == 0 {
		why += " No line that bills links it: there is nothing to re-point."
	}
	return map[inty.State]intyv1.PairState{
		inty.Unpaired: intyv1.PairState_PAIR_STATE_UNPAIRED, inty.Adopted: intyv1.PairState_PAIR_STATE_ADOPTED, inty.Ready: intyv1.PairState_PAIR_STATE_READY,
		inty.Duplicate: intyv1.PairState_PAIR_STATE_DUPLICATE, inty.Several: intyv1.PairState_PAIR_STATE_AMBIGUOUS, inty.Excluded: intyv1.PairState_PAIR_STATE_EXCLUDED,
		inty.NotAnswered: intyv1.PairState_PAIR_STATE_ASKED, inty.Left: intyv1.PairState_PAIR_STATE_LEFT,
	}[x.State], why
}

func (p *picture) count(licence int64, state intyv1.LineState) (n int) {
	for _, l := range p.links[licence] {
		if l.state == state {
			n++
		}
	}
	return n
}

// deactivates tells whether the licence goes once no line links it: whoever re-pointed it said so, and
// nothing keeps it.
func (p *picture) deactivates(licence int64) bool {
	all := p.links[licence]
	return slices.ContainsFunc(all, func(l link) bool { return l.move != nil && !l.move.Back && l.move.Deactivate }) &&
		!slices.ContainsFunc(all, func(l link) bool {
			return l.state != intyv1.LineState_LINE_STATE_MOVED && l.state != intyv1.LineState_LINE_STATE_CHANGED
		})
}

func (p *picture) pairProto(x inty.Pair) *intyv1.Pair {
	out := &intyv1.Pair{Inty: p.licenceProto(x.Licence), Who: x.Who, Etag: etagOfChoice(p.choices[x.Licence.ID])}
	out.State, out.Why = p.stateOf(x)
	if x.Giacom != nil {
		out.Giacom = giacomProto(*x.Giacom, "")
	}
	for _, c := range x.Candidates {
		out.Candidates = append(out.Candidates, giacomProto(c.Giacom, c.WhyNot))
	}
	for _, l := range p.links[x.Licence.ID] {
		out.Lines = append(out.Lines, l.proto())
	}
	return out
}

func (p *picture) licenceProto(l inty.Licence) *intyv1.IntyLicence {
	return &intyv1.IntyLicence{
		HaloId: l.ID, ClientId: l.ClientID, ClientName: p.nameOf(l.ClientID), Name: l.Name, Product: l.Product(), Status: l.Status,
		Sku: l.SKU, Count: l.Count, Term: l.Term, Active: l.Active,
	}
}

func (p *picture) nameOf(client int64) string {
	if name := p.names[client]; name != "" {
		return name
	}
	return "customer " + strconv.FormatInt(client, 10)
}

func giacomProto(g inty.Giacom, whyNot string) *intyv1.GiacomLicence {
	return &intyv1.GiacomLicence{Key: g.Key, HaloId: g.HaloID, Name: g.Name, Sku: g.SKU, Count: g.Count, Term: g.Term, WhyNot: whyNot}
}
