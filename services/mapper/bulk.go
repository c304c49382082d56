package mapper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// A command on many mappings: each has a preview, and both ask the same pure question of the same
// picture, so that what is done is what was shown.

// verdict is what a question says about one customer. Neither a client nor a reason: it is of no concern.
type verdict struct {
	To         client
	Score      int32
	Reasons    []string
	Code, Text string // why it is left as it is
}

// question decides about customers one by one; all of them are given to prepare it.
type question struct {
	origin mappingv1.Origin
	ask    func(all []tableRow, known picture) func(tableRow) verdict
}

func isUnknown(err error) bool { return errors.Is(err, connections.ErrUnknown) }

// acceptable asks for suggestions that stand out and have at least the score.
func acceptable(min int32) question {
	return question{mappingv1.Origin_ORIGIN_SUGGESTION, func(_ []tableRow, known picture) func(tableRow) verdict {
		return func(x tableRow) verdict {
			if len(x.Candidates) == 0 || x.Candidates[0].Score < min {
				return verdict{}
			}
			best := x.Candidates[0]
			there, ok := known.clients[best.ClientID]
			switch {
			case x.Ambiguity != "":
				return verdict{Code: "ambiguous", Text: x.Ambiguity + " Accept it by hand."}
			case !ok || there.Inactive:
				return verdict{Code: reasonGone, Text: fmt.Sprintf("Customer %d of Halo (%s) is there no longer, or inactive.", best.ClientID, best.Name)}
			}
			return verdict{To: there, Score: best.Score, Reasons: best.Reasons}
		}
	}}
}

// exactNames asks for the one active client of exactly a customer's name.
var exactNames = question{mappingv1.Origin_ORIGIN_NAME, func(all []tableRow, known picture) func(tableRow) verdict {
	var live []customer
	for _, x := range all {
		if x.live() {
			live = append(live, x.customer)
		}
	}
	d := newDecider(live, known)
	return func(x tableRow) verdict {
		if x.Now.State != mappingv1.State_STATE_UNMAPPED || !x.live() {
			return verdict{}
		}
		name := strings.TrimSpace(x.Name)
		id, ok := d.named(x.customer)
		switch n := len(d.byName[name]); {
		case ok:
			return verdict{To: known.clients[id], Reasons: []string{"The names are equal."}}
		case name == "" || n == 0:
			return verdict{Code: "no_such_name", Text: "Halo has no active customer of exactly that name."}
		case n > 1:
			return verdict{Code: "ambiguous", Text: fmt.Sprintf("Halo has %d active customers of that name.", n)}
		default:
			return verdict{Code: "ambiguous", Text: fmt.Sprintf("Giacom has %d customers of that name.", d.namesakes[name])}
		}
	}
}}

// nativeRows asks for the mappings of Halo's own Giacom integration.
var nativeRows = question{mappingv1.Origin_ORIGIN_NATIVE, func(all []tableRow, known picture) func(tableRow) verdict {
	d := newDecider(nil, known)
	return func(x tableRow) verdict {
		rows := known.native[x.MexID]
		if len(rows) == 0 {
			return verdict{}
		}
		id, ok := d.active(rows)
		switch {
		case !ok && len(rows) > 1:
			return verdict{Code: "ambiguous", Text: "Halo's integration ties it to several customers, or to none that is active."}
		case !ok:
			return verdict{Code: reasonGone, Text: fmt.Sprintf("Halo's integration ties it to customer %d, which Halo has no longer or has made inactive.", rows[0])}
		case x.Now.State == mappingv1.State_STATE_MAPPED && x.Now.ClientID == id && !x.Now.astray():
			return verdict{}
		case x.Now.State == mappingv1.State_STATE_MAPPED && !x.Now.astray():
			return verdict{Code: "mapped_otherwise", Text: fmt.Sprintf("It is mapped to customer %d (%s); Halo's integration says %d (%s). Change it by hand if that is right.",
				x.Now.ClientID, x.Now.ClientName, id, known.clients[id].Name)}
		case x.Now.State == mappingv1.State_STATE_IGNORED:
			return verdict{Code: reasonIgnored, Text: "It is ignored: " + x.Now.Text}
		case x.InFlight:
			return verdict{Code: "creating", Text: "Its customer is being created in Halo."}
		}
		return verdict{To: known.clients[id], Reasons: []string{"Halo's own Giacom integration maps it."}}
	}
}}

// GetAcceptableSuggestions says what AcceptSuggestions would do.
func (s *service) GetAcceptableSuggestions(ctx context.Context, req *mappingv1.AcceptSuggestionsRequest) (*mappingv1.MappingChanges, error) {
	if err := checkScore(req); err != nil {
		return nil, err
	}
	return s.preview(ctx, req.GetConnection(), acceptable(req.GetMinScore()))
}

// AcceptSuggestions maps every customer whose suggestion stands out and has at least the score.
func (s *service) AcceptSuggestions(ctx context.Context, req *mappingv1.AcceptSuggestionsRequest) (*mappingv1.MappingChanges, error) {
	if err := checkScore(req); err != nil {
		return nil, err
	}
	return s.carryOut(ctx, req.GetConnection(), req.GetEtag(), acceptable(req.GetMinScore()))
}

func checkScore(req *mappingv1.AcceptSuggestionsRequest) error {
	if req.GetMinScore() < 1 || req.GetMinScore() > 100 {
		return rpc.InvalidArgument("min_score", "%d is not between 1 and 100", req.GetMinScore())
	}
	return nil
}

// GetGeneratedMappings says what GenerateMappings would do.
func (s *service) GetGeneratedMappings(ctx context.Context, req *mappingv1.MapAllRequest) (*mappingv1.MappingChanges, error) {
	return s.preview(ctx, req.GetConnection(), exactNames)
}

// GenerateMappings maps customers to those of Halo that are called exactly the same.
func (s *service) GenerateMappings(ctx context.Context, req *mappingv1.MapAllRequest) (*mappingv1.MappingChanges, error) {
	return s.carryOut(ctx, req.GetConnection(), req.GetEtag(), exactNames)
}

// GetNativeMappings says what TakeOverMappings would do.
func (s *service) GetNativeMappings(ctx context.Context, req *mappingv1.MapAllRequest) (*mappingv1.MappingChanges, error) {
	return s.preview(ctx, req.GetConnection(), nativeRows)
}

// TakeOverMappings takes over the mappings of Halo's own Giacom integration.
func (s *service) TakeOverMappings(ctx context.Context, req *mappingv1.MapAllRequest) (*mappingv1.MappingChanges, error) {
	return s.carryOut(ctx, req.GetConnection(), req.GetEtag(), nativeRows)
}

func (s *service) preview(ctx context.Context, connection string, ask question) (*mappingv1.MappingChanges, error) {
	c, err := s.connection(ctx, connection)
	if err != nil {
		return nil, err
	}
	changes, _, err := s.answers(ctx, s.Pool, c, ask)
	return changes, err
}

// carryOut reads Halo's customers again, because a command must not rest on an old picture, and maps.
func (s *service) carryOut(ctx context.Context, connection, etag string, ask question) (*mappingv1.MappingChanges, error) {
	c, err := s.connection(ctx, connection)
	if err != nil {
		return nil, err
	}
	if err := s.readHalo(ctx, c); err != nil {
		return nil, unreachable(err)
	}
	var changes *mappingv1.MappingChanges
	err = postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		// Locked first, so that nothing moves between the answer and its being carried out.
		if _, err := tx.Exec(ctx, `select from customers where connection = $1 order by mex_id for update`, c.GetSlug()); err != nil {
			return fmt.Errorf("lock customers: %w", err)
		}
		var to map[string]client
		if changes, to, err = s.answers(ctx, tx, c, ask); err != nil {
			return err
		}
		if etag != "" && etag != changes.GetEtag() {
			return rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "what would be done to the mappings of %s is not what was shown any more", c.GetSlug()).Do("look at the preview again")
		}
		if len(to) == 0 {
			return nil
		}
		ids := make([]string, 0, len(to))
		for id := range to {
			ids = append(ids, id)
		}
		locked, err := lockCustomers(ctx, tx, c.GetSlug(), ids)
		if err != nil {
			return err
		}
		for i := range locked {
			locked[i].mapTo(to[locked[i].MexID], ask.origin, rpc.Who(ctx))
		}
		return s.decided(ctx, tx, c, locked...)
	})
	if err != nil {
		return nil, err
	}
	changes.Applied = true
	if err := s.weighNow(ctx, c.GetSlug()); err != nil {
		return nil, err
	}
	s.engine.Kick()
	return changes, nil
}

// answers puts the question for every customer that exists.
func (s *service) answers(ctx context.Context, q querier, c *connectionv1.Connection, ask question) (*mappingv1.MappingChanges, map[string]client, error) {
	all, err := s.readTable(ctx, q, `c.connection = $6 and `+shown+` order by c.mex_id`, c.GetSlug())
	if err != nil {
		return nil, nil, err
	}
	known, err := readPicture(ctx, q, settingsOf(c))
	if err != nil {
		return nil, nil, err
	}
	flight, err := s.inFlight(ctx, c.GetSlug())
	if err != nil {
		return nil, nil, err
	}
	out, to, sum := &mappingv1.MappingChanges{}, map[string]client{}, amounts{}
	answer := ask.ask(all, known)
	for _, x := range all {
		x.InFlight = flight[x.MexID]
		switch v := answer(x); {
		case v.To.ID != 0:
			to[x.MexID] = v.To
			out.Subscriptions += x.Subscriptions
			sum = sum.add(x.Monthly)
			out.Changes = append(out.Changes, &mappingv1.MappingChange{MexId: x.MexID, GiacomName: x.Name, HaloClientId: v.To.ID, HaloClientName: v.To.Name,
				Score: v.Score, Reasons: v.Reasons, Subscriptions: x.Subscriptions, Monthly: x.Monthly.money()})
		case v.Code != "":
			out.Skipped = append(out.Skipped, &mappingv1.SkippedCustomer{MexId: x.MexID, GiacomName: x.Name, Reason: &itemv1.Reason{Code: v.Code, Text: v.Text},
				Subscriptions: x.Subscriptions, Monthly: x.Monthly.money()})
		}
	}
	out.Monthly = sum.money()
	pairs := make([]any, len(out.Changes))
	for i, x := range out.Changes {
		pairs[i] = []any{x.GetMexId(), x.GetHaloClientId()}
	}
	out.Etag = fingerprint(pairs)
	return out, to, nil
}

// fingerprint of what a command would do.
func fingerprint(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("fingerprint: %v", err)) // text and numbers only
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// documents are values as PostgreSQL takes them for jsonb[].
func documents[T any](all []T) []string {
	out := make([]string, len(all))
	for i, v := range all {
		b, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("document: %v", err)) // text and numbers only
		}
		out[i] = string(b)
	}
	return out
}
