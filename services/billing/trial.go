package billing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/shopspring/decimal"
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// GetPriceRuleTrial decides about every line of a connection twice, with the present rules and with the candidates, and
// tells where that makes a difference. It rests on what is stored: nothing is written, and Halo is not asked.
func (p *pricingServer) GetPriceRuleTrial(ctx context.Context, req *pricingv1.GetPriceRuleTrialRequest) (*pricingv1.PriceRuleTrial, error) {
	connection := req.GetRules().GetConnection()
	c, err := connections.Read(ctx, p.s.pool, connection)
	if errors.Is(err, connections.ErrUnknown) {
		return nil, rpc.NotFound("connection", connection).Do("look for it with `seatline connections list`")
	}
	if err != nil {
		return nil, err
	}
	rules, wrong := parseRules(req.GetRules().GetRules())
	if len(wrong) > 0 {
		return nil, refused(wrong)
	}
	if req.GetPageSize() < 0 {
		return nil, rpc.InvalidArgument("page_size", "%d is less than 0", req.GetPageSize())
	}
	present, err := readRules(ctx, p.s.pool, connection)
	if err != nil {
		return nil, err
	}
	t := trial{connection: connection, rules: rules, lines: map[string]twice{}, licences: map[string]string{}}
	if err := p.s.try(ctx, c.GetHalo().GetInstance(), &t); err != nil {
		return nil, fmt.Errorf("try price rules of %s: %w", connection, err)
	}
	out := t.proto(settingsOf(c).Currency, req.GetPageToken(), cmp.Or(min(int(req.GetPageSize()), 1000), 100))
	out.Etag = present.GetEtag()
	return out, nil
}

// refused says everything that is wrong with rules.
func refused(wrong []Violation) error {
	bad := rpc.InvalidArgument("rules."+wrong[0].Field, "%s", wrong[0].Text)
	for _, v := range wrong[1:] {
		bad = bad.Violate("rules."+v.Field, "%s", v.Text)
	}
	return bad
}

// overtaken says who set the rules meanwhile, and when.
func overtaken(by *pricingv1.PriceRules) error {
	what := "there are none any more"
	if by.GetUpdateTime() != nil {
		what = fmt.Sprintf("%s set them on %s UTC", cmp.Or(by.GetWho(), "somebody"), by.GetUpdateTime().AsTime().Format("2 January 2006 at 15:04"))
	}
	return rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "the price rules of %s are not those that you read: %s", by.GetConnection(), what).
		Do("read them again, make your change to them, and send it with their etag").With("who", by.GetWho())
}

// twice is one line, decided with the present rules and with the candidates; nil: with these there is none.
type twice struct{ present, candidate *Decision }

// trial collects what candidate rules do.
type trial struct {
	connection string
	rules      []Rule
	lines      map[string]twice
	licences   map[string]string // by key, the candidate that decides
}

// try decides about all customers of a connection, a hundred at a time. Customers that are decided about more than once,
// because somebody else's invoice bills them, come out the same.
func (s *service) try(ctx context.Context, instance string, t *trial) error {
	clients, err := column[int64](ctx, s.pool, `
		select distinct c from licences, unnest(array[client_id, old_client_id, left_client_id]) c
		where connection = $1 and instance = $2 and present and c <> 0 order by c`, t.connection, instance)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(clients, customersAtOnce) {
		sc, err := s.gather(ctx, s.pool, instance, some, nil)
		if err != nil {
			return err
		}
		if err := sc.alsoNamed(ctx, s.pool, instance, t.rules); err != nil {
			return err
		}
		t.add(sc)
	}
	return nil
}

// alsoNamed adds the invoices that candidate rules name for new lines.
func (sc *scope) alsoNamed(ctx context.Context, q reader, instance string, rules []Rule) error {
	missing := []int64{}
	for _, r := range rules {
		id := r.Add.GetInvoiceId()
		if id != 0 && !slices.ContainsFunc(sc.snapshot.Invoices, func(v Invoice) bool { return v.ID == id }) && !slices.Contains(missing, id) {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return sc.readInvoices(ctx, q, instance, missing, nil)
}

// add decides about what was gathered.
func (t *trial) add(sc *scope) {
	for _, d := range decide(&sc.snapshot, sc.book) {
		if d.Connection == t.connection {
			x := t.lines[d.Key]
			x.present = &d
			t.lines[d.Key] = x
		}
	}
	book := Book{Settings: sc.book.Settings, Rules: maps.Clone(sc.book.Rules)}
	book.Rules[t.connection] = t.rules
	for _, d := range decide(&sc.snapshot, book) {
		if d.Connection == t.connection {
			x := t.lines[d.Key]
			x.candidate = &d
			t.lines[d.Key] = x
		}
	}
	for _, l := range sc.snapshot.Licences {
		if l.Connection == t.connection && l.Active && l.Waits == nil {
			t.licences[l.Key] = deciding(t.rules, l)
		}
	}
}

// deciding names the rule that decides about a licence; empty for none.
func deciding(rules []Rule, l Licence) string {
	for _, r := range rules {
		if match, verdict := r.matches(l); match || verdict.State != reconcile.Pending {
			return r.Name
		}
	}
	return ""
}

// differs tells whether the candidates make another line of it. A price that stays what it was is no difference, though
// it be kept by the one and set by the other.
func (x twice) differs() bool {
	a, b := x.present, x.candidate
	if a == nil || b == nil {
		return a != b
	}
	// What a licence holds when nothing sets it is not told here; its effect on the sum is.
	oneOfLicence := (a.Facts.LicencePrice == nil) != (b.Facts.LicencePrice == nil)
	return !oneOfLicence && !same(a.price(), b.price()) || !same(a.Facts.QuantityAfter, b.Facts.QuantityAfter) || !same(a.After, b.After) ||
		!sameInt(a.minimum(), b.minimum()) || !sameInt(a.included(), b.included()) || a.Verdict != b.Verdict
}

// price per unit that the line would have, be it its own or its licence's.
func (d *Decision) price() *decimal.Decimal {
	switch {
	case d.Desired.Price != nil:
		return d.Desired.Price
	case d.Facts.LicencePrice != nil:
		return d.Facts.LicencePrice
	case d.Applied != nil:
		return d.Applied.Price
	}
	return nil
}

func (d *Decision) minimum() *int64 {
	if d.Desired.Minimum == nil && d.Applied != nil {
		return d.Applied.Minimum
	}
	return d.Desired.Minimum
}

func (d *Decision) included() *int64 {
	if d.Desired.Included == nil && d.Applied != nil {
		return d.Applied.Included
	}
	return d.Desired.Included
}

func (t *trial) proto(currency, after string, size int) *pricingv1.PriceRuleTrial {
	out := &pricingv1.PriceRuleTrial{Lines: int64(len(t.lines))}
	var before, then decimal.Decimal
	for _, key := range slices.Sorted(maps.Keys(t.lines)) {
		x := t.lines[key]
		if !x.differs() {
			continue
		}
		out.Changed++
		before, then = before.Add(monthlyAfter(x.present)), then.Add(monthlyAfter(x.candidate))
		switch {
		case key <= after:
		case len(out.Rows) == size:
			out.NextPageToken = out.Rows[size-1].GetKey()
		default:
			out.Rows = append(out.Rows, x.proto(key, currency))
		}
	}
	if out.Changed > 0 {
		difference := then.Sub(before)
		for _, f := range []struct {
			sum  *decimal.Decimal
			into *[]*moneyv1.Money
		}{{&before, &out.Before}, {&then, &out.After}, {&difference, &out.Difference}} {
			*f.into = []*moneyv1.Money{money(f.sum, currency, moneyv1.Basis_BASIS_PER_MONTH)}
		}
	}
	uses := map[string]int64{}
	for _, rule := range t.licences {
		uses[rule]++
	}
	for _, r := range t.rules {
		out.Uses = append(out.Uses, &pricingv1.RuleUse{Name: r.Name, Licences: uses[r.Name]})
	}
	if n := uses[""]; n > 0 {
		out.Uses = append(out.Uses, &pricingv1.RuleUse{Licences: n})
	}
	return out
}

// monthlyAfter is what a line would bill; what is not known counts as nothing.
func monthlyAfter(d *Decision) decimal.Decimal {
	if d == nil || d.After == nil {
		return decimal.Zero
	}
	return *d.After
}

func (x twice) proto(key, currency string) *pricingv1.TriedLine {
	d := x.candidate
	if d == nil {
		d = x.present
	}
	row := &pricingv1.TriedLine{
		Key: key, Customer: d.Customer, Description: d.Facts.Text, LicenceKeys: d.Facts.Licences,
		Billed: money(d.Before, currency, moneyv1.Basis_BASIS_PER_MONTH),
	}
	if a := x.present; a != nil {
		row.RuleBefore, row.UnitPriceBefore, row.QuantityBefore = a.Facts.Rule, a.unitPrice(currency), text(a.Facts.QuantityAfter)
		row.MonthlyBefore, row.ReasonBefore = money(a.After, currency, moneyv1.Basis_BASIS_PER_MONTH), a.against()
	}
	if b := x.candidate; b != nil {
		row.RuleAfter, row.UnitPriceAfter, row.QuantityAfter = b.Facts.Rule, b.unitPrice(currency), text(b.Facts.QuantityAfter)
		row.MonthlyAfter, row.ReasonAfter = money(b.After, currency, moneyv1.Basis_BASIS_PER_MONTH), b.against()
	}
	return row
}

func (d *Decision) unitPrice(currency string) *moneyv1.Money {
	return money(d.price(), currency, moneyv1.Basis_BASIS_PER_SEAT_PER_CYCLE)
}

// against is what stands against writing the line.
func (d *Decision) against() *itemv1.Reason {
	if d.Verdict.State == reconcile.Pending {
		return nil
	}
	return &itemv1.Reason{Code: d.Verdict.Reason.Code, Text: d.Verdict.Reason.Text}
}
