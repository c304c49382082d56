package billing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	"seatline.dev/services/billing/inty"
)

// GetPreview says what applying would do.
func (y *intyServer) GetPreview(ctx context.Context, req *intyv1.PreviewRequest) (*intyv1.Preview, error) {
	p, err := y.s.look(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	out, _, err := y.s.preview(ctx, p, req.GetClientIds())
	return out, err
}

// preview decides about the lines as if the re-pointing were applied already: by the same rules, over
// what is known of Halo. It gives the moves that applying would store, too.
func (s *service) preview(ctx context.Context, p *picture, clients []int64) (*intyv1.Preview, []storedMove, error) {
	proposed := map[int64][]storedMove{} // by whom the invoice bills
	pairs := map[int64]inty.Pair{}
	for _, x := range p.pairs {
		if x.State != inty.Ready || len(clients) > 0 && !slices.Contains(clients, x.Licence.ClientID) {
			continue
		}
		pairs[x.Licence.ID] = x
		for _, l := range p.links[x.Licence.ID] {
			if l.state == intyv1.LineState_LINE_STATE_LINKED {
				proposed[l.invoice.ClientID] = append(proposed[l.invoice.ClientID], storedMove{linkID{l.invoice.ID, l.line.ID, x.Licence.ID}, Move{
					Connection: p.connection.GetSlug(), From: x.Licence.ID, To: x.Giacom.HaloID,
				}})
			}
		}
	}
	out := &intyv1.Preview{}
	var moves []storedMove
	for part := range slices.Chunk(sortedKeys(proposed), customersAtOnce) {
		var some []storedMove
		for _, client := range part {
			some = append(some, proposed[client]...)
		}
		if err := s.readWas(ctx, p.instance, some); err != nil {
			return nil, nil, err
		}
		items, err := s.suppose(ctx, p, part, some, pairs)
		if err != nil {
			return nil, nil, err
		}
		out.Items, moves = append(out.Items, items...), append(moves, some...)
	}
	p.sum(out, moves)
	return out, moves, etagOf(out, moves)
}

// readWas fills in what the lines hold now, exactly as Halo sent it.
func (s *service) readWas(ctx context.Context, instance string, moves []storedMove) error {
	ids := map[int64]bool{}
	for _, m := range moves {
		ids[m.Invoice] = true
	}
	invoices, err := jsonColumn[halo.Invoice](ctx, s.pool, "recurring invoices", `select body from invoices where instance = $1 and id = any($2)`, instance, sortedKeys(ids))
	if err != nil {
		return err
	}
	for i := range moves {
		m := &moves[i]
		for _, inv := range invoices {
			for _, l := range inv.Lines {
				if inv.ID() != m.Invoice || l.ID() != m.Line {
					continue
				}
				m.Was.Cost, m.Was.Price = l.UnitCost().Decimal, l.UnitPrice().Decimal
				for _, r := range l.Subscriptions() {
					if r.LicenceID() != m.From {
						continue
					}
					if m.Was.Row, err = r.MarshalJSON(); err != nil {
						return err
					}
				}
			}
		}
		if m.Was.Row == nil {
			return fmt.Errorf("recurring invoice %d: line %d links no licence %d", m.Invoice, m.Line, m.From)
		}
	}
	return nil
}

// suppose decides as if the moves were applied.
func (s *service) suppose(ctx context.Context, p *picture, clients []int64, moves []storedMove, pairs map[int64]inty.Pair) ([]*intyv1.PreviewItem, error) {
	sc, err := s.gather(ctx, s.pool, p.instance, clients, nil)
	if err != nil {
		return nil, err
	}
	to := []int64{}
	for _, m := range moves {
		sc.snapshot.Inty.Moves[m.linkID], sc.snapshot.Inty.Licences[m.From] = m.Move, pairs[m.From].Licence
		to = append(to, m.To)
	}
	if err := sc.addLicences(ctx, s.pool, p.instance, to); err != nil {
		return nil, err
	}
	decisions := decide(&sc.snapshot, sc.book)
	var out []*intyv1.PreviewItem
	for _, m := range moves {
		at := slices.IndexFunc(decisions, func(d Decision) bool {
			return d.Facts.Invoice == m.Invoice && d.Facts.Line == m.Line && slices.ContainsFunc(d.Moves, func(x Move) bool { return x.From == m.From })
		})
		inv := sc.invoice(m.Invoice)
		if inv == nil {
			continue
		}
		line := inv.Lines[slices.IndexFunc(inv.Lines, func(l Line) bool { return l.ID == m.Line })]
		item := &intyv1.PreviewItem{
			Line:        link{invoice: inv, line: &line, state: intyv1.LineState_LINE_STATE_LINKED}.proto(),
			FromLicence: m.From, FromName: pairs[m.From].Licence.Name, ToLicence: m.To, ToKey: pairs[m.From].Giacom.Key, ProRataWaiting: int32(line.ProRata),
		}
		if at < 0 {
			item.Held = &itemv1.Reason{Code: "not_decided", Text: "The licence is not known to billing yet. Wait until everything is settled."}
		} else {
			s.describe(item, decisions[at], sc.book.Settings[m.Connection], inv, m)
		}
		out = append(out, item)
	}
	return out, nil
}

func (sc *scope) invoice(id int64) *Invoice {
	at := slices.IndexFunc(sc.snapshot.Invoices, func(i Invoice) bool { return i.ID == id })
	if at < 0 {
		return nil
	}
	return &sc.snapshot.Invoices[at]
}

// describe says what a decision would change, and its money.
func (s *service) describe(item *intyv1.PreviewItem, d Decision, set Settings, inv *Invoice, m storedMove) {
	for _, f := range diff(d.Applied, &d.Desired) {
		item.Changes = append(item.Changes, &itemv1.FieldChange{Field: f.Name, Before: f.Before, After: f.After})
	}
	item.QuantityBefore, item.QuantityAfter = text(d.Facts.QuantityBefore), text(d.Facts.QuantityAfter)
	item.MonthlyBefore, item.MonthlyAfter = money(d.Before, set.Currency, moneyv1.Basis_BASIS_PER_MONTH), money(d.After, set.Currency, moneyv1.Basis_BASIS_PER_MONTH)
	now := s.Clock.Now()
	switch {
	case d.Verdict.State == reconcile.Held, d.Verdict.State == reconcile.Parked:
		item.Held = &itemv1.Reason{Code: d.Verdict.Reason.Code, Text: d.Verdict.Reason.Text}
	case !inv.Next.IsZero() && set.Quiet > 0 && !now.Before(inv.Next.Add(-set.Quiet)):
		item.Held = &itemv1.Reason{Code: "invoice_run", Text: fmt.Sprintf("Halo makes the next invoice on %s UTC; the line is written once it has.", inv.Next.UTC().Format("2 January 2006 15:04"))}
	case set.Mode != reconcile.Auto:
		item.Held = &itemv1.Reason{Code: reconcile.ReasonObserve.Code, Text: reconcile.ReasonObserve.Text}
	}
	price := m.Was.Price
	if d.Desired.Price != nil {
		price = *d.Desired.Price
	}
	item.ProRata = proRata(m.Was.Row, d.Facts.QuantityBefore, d.Facts.QuantityAfter, price, inv, set.Currency, now)
}

// proRata is the row that Halo may create when the seats of a line change within its period: modes 1, 3
// and 4 do so [C]. How Halo counts days and rounds is not known [G]; this is days left of days in the
// period. nil where none is to be expected.
func proRata(row json.RawMessage, before, after *decimal.Decimal, price decimal.Decimal, inv *Invoice, currency string, now time.Time) *intyv1.ProRata {
	var r halo.QuantityRow
	if json.Unmarshal(row, &r) != nil || before == nil || after == nil || before.Equal(*after) || !slices.Contains([]int64{1, 3, 4}, r.ProRata()) {
		return nil
	}
	seats := after.Sub(*before)
	out := &intyv1.ProRata{Quantity: seats.String(), Text: "Halo may create a pro-rata row, because the seats change within the period."}
	months, start := periods[inv.Period].months, inv.Last
	if start.IsZero() && months > 0 {
		start = inv.Next.AddDate(0, -int(months), 0)
	}
	if inv.Next.After(now) && inv.Next.After(start) {
		left, whole := decimal.NewFromInt(int64(inv.Next.Sub(now).Hours()/24)), decimal.NewFromInt(int64(inv.Next.Sub(start).Hours()/24))
		if whole.IsPositive() {
			sum := seats.Mul(price).Mul(left).DivRound(whole, 2)
			out.Amount = money(&sum, currency, moneyv1.Basis_BASIS_UNSPECIFIED)
			out.Text = fmt.Sprintf("Halo may create a pro-rata row for %s seats over the %s days left of %s, about %s %s ex VAT.", seats, left, whole, sum.StringFixed(2), currency)
		}
	}
	return out
}

// sum adds the totals, and what a person should know before applying.
func (p *picture) sum(out *intyv1.Preview, moves []storedMove) {
	before, after, currency := decimal.Zero, decimal.Zero, p.connection.GetGiacom().GetCurrency()
	unknown := 0
	for _, x := range out.Items {
		if x.Held != nil {
			out.Held++
		} else {
			out.Writable++
		}
		b, err1 := amount(x.MonthlyBefore)
		a, err2 := amount(x.MonthlyAfter)
		if err1 != nil || err2 != nil || a == nil || b == nil {
			unknown++
			continue
		}
		before, after = before.Add(*b), after.Add(*a)
	}
	if currency == "" {
		currency = "GBP"
	}
	out.MonthlyBefore, out.MonthlyAfter = money(&before, currency, moneyv1.Basis_BASIS_PER_MONTH), money(&after, currency, moneyv1.Basis_BASIS_PER_MONTH)
	gone := map[int64]bool{}
	for _, m := range moves {
		gone[m.From] = true
	}
	for id := range gone {
		if p.count(id, intyv1.LineState_LINE_STATE_IDLE)+p.count(id, intyv1.LineState_LINE_STATE_BY_HAND) == 0 {
			out.Deactivated++
		}
	}
	note := func(format string, args ...any) { out.Notes = append(out.Notes, fmt.Sprintf(format, args...)) }
	if unknown > 0 {
		note("The money of %d lines is not known and not in the totals.", unknown)
	}
	if out.Held > 0 {
		note("%d lines would wait, each for the reason shown; they are written by themselves when it is gone.", out.Held)
	}
	if p.MappingsTime.IsZero() {
		note("The old mappings are not saved yet: save them before anything is applied.")
	}
	if p.Module == nil || p.Module.On {
		note("The Inty module is still switched on, or nobody has looked: nothing is applied before it is off.")
	}
	if n := len(p.asked()); n > 0 {
		note("%d customers are left out, because it is not known whether they are in the United States.", n)
	}
	note("Cost and price of a re-pointed line follow the Giacom licence and the price rules, as those of every line that Seatline looks after.")
}

// etagOf signs the content of a preview.
func etagOf(out *intyv1.Preview, moves []storedMove) error {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(stable(out))
	if err != nil {
		return err
	}
	h := sha256.New()
	h.Write(b)
	for _, m := range moves {
		fmt.Fprintf(h, "\n%d %d %d %d %s", m.Invoice, m.Line, m.From, m.To, m.Was.Row)
	}
	out.Etag = hex.EncodeToString(h.Sum(nil))[:16]
	return nil
}

// stable is the preview without what changes by the hour: an estimate of pro rata, and its notes.
func stable(out *intyv1.Preview) *intyv1.Preview {
	c := proto.CloneOf(out)
	c.Notes = nil
	for _, x := range c.Items {
		if x.ProRata != nil {
			x.ProRata.Amount, x.ProRata.Text = nil, ""
		}
	}
	return c
}
