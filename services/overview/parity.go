package overview

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	overviewv1 "seatline.dev/proto/seatline/overview/v1"
)

// Parity says how a connection stands, whether or not anything was written yet: the licence service's classes, and what
// billing knows of licences in Halo that are no subscription's. filter narrows it as in ListParity; empty for all.
func (s Services) Parity(ctx context.Context, connection, filter string) (*licencev1.Parity, error) {
	p, err := s.Licences().GetParity(ctx, &licencev1.GetParityRequest{Connection: connection, Filter: filter})
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(p.GetClasses(), func(c *itemv1.Standing) bool { return c.GetClass() == "stray" })
	if at < 0 || p.GetClasses()[at].GetCount() == 0 {
		return p, nil
	}
	stray := p.GetClasses()[at]
	err = s.eachRow(ctx, connection, stray.GetFilter(), func(rows []*licencev1.ParityRow) error {
		if err := s.BillStrays(ctx, connection, rows); err != nil {
			return err
		}
		for _, r := range rows {
			stray.Billed = add(stray.GetBilled(), r.GetBilled())
		}
		return nil
	})
	return p, err
}

// ParityRows is a page of the rows behind the numbers, those without a subscription with what lines bill for them.
func (s Services) ParityRows(ctx context.Context, req *licencev1.ListParityRequest) (*licencev1.ListParityResponse, error) {
	page, err := s.Licences().ListParity(ctx, req)
	if err != nil {
		return nil, err
	}
	byConnection := map[string][]*licencev1.ParityRow{}
	for _, r := range page.GetRows() {
		byConnection[r.GetConnection()] = append(byConnection[r.GetConnection()], r)
	}
	for connection, rows := range byConnection {
		if err := s.BillStrays(ctx, connection, rows); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// BillStrays fills in what lines bill for licences that belong to no subscription; the licence service hears only of
// lines of ours.
func (s Services) BillStrays(ctx context.Context, connection string, rows []*licencev1.ParityRow) error {
	req, byID := &invoicelinev1.ListLicenceBillingRequest{Connection: connection}, map[int64]*licencev1.ParityRow{}
	for _, r := range rows {
		if r.GetClass() == "stray" {
			req.Licences = append(req.Licences, &invoicelinev1.Seats{HaloId: r.GetHaloId(), Count: r.GetSeatsHalo()})
			byID[r.GetHaloId()] = r
		}
	}
	if len(byID) == 0 {
		return nil
	}
	resp, err := s.Lines().ListLicenceBilling(ctx, req)
	if err != nil {
		return err
	}
	for _, b := range resp.GetLicences() {
		r := byID[b.GetHaloId()]
		r.Billed, r.LineKeys = b.GetBilled(), b.GetLineKeys()
	}
	return nil
}

// eachRow calls do with page after page of a connection's rows.
func (s Services) eachRow(ctx context.Context, connection, filter string, do func([]*licencev1.ParityRow) error) error {
	filter = fmt.Sprintf("connection = %q AND (%s)", connection, filter)
	return rpc.Pages(func(token string) (string, error) {
		page, err := s.Licences().ListParity(ctx, &licencev1.ListParityRequest{PageSize: 1000, PageToken: token, Filter: filter})
		if err != nil {
			return "", err
		}
		return page.GetNextPageToken(), do(page.GetRows())
	})
}

// unmapped groups the subscriptions that hide behind customers without a mapping, those that hide the most first.
func (s Services) unmapped(ctx context.Context, connection string) ([]*overviewv1.UnmappedCustomer, int64, error) {
	byID := map[string]*overviewv1.UnmappedCustomer{}
	var list []*overviewv1.UnmappedCustomer
	err := s.eachRow(ctx, connection, "class = unmapped", func(rows []*licencev1.ParityRow) error {
		for _, r := range rows {
			c := byID[r.GetMexId()]
			if c == nil {
				c = &overviewv1.UnmappedCustomer{MexId: r.GetMexId(), Name: r.GetCustomerName()}
				byID[c.MexId], list = c, append(list, c)
			}
			c.Subscriptions++
			c.Cost = add(c.GetCost(), r.GetCost())
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(list, func(a, b *overviewv1.UnmappedCustomer) int {
		return cmp.Or(whole(b.GetCost()).Cmp(whole(a.GetCost())), cmp.Compare(a.GetMexId(), b.GetMexId()))
	})
	return list[:min(len(list), unmappedShown)], int64(len(list)), nil
}

// Headline says how a connection stands: a sentence, and where it has sums a second one that they are ex VAT.
func Headline(p *licencev1.Parity) string {
	parts := []string{fmt.Sprintf("%s of %s agree with Halo", Count(p.GetAgree()), amountOf(p.GetSubscriptions(), "subscription", "subscriptions"))}
	for _, c := range p.GetClasses() {
		if c.GetCount() > 0 && c.GetClass() != "agrees" && c.GetClass() != "details" {
			parts = append(parts, phrase(c, false))
		}
	}
	text := strings.Join(parts, "; ") + "."
	if strings.Contains(text, aMonth) {
		text += " Sums are ex VAT."
	}
	return text
}

// aMonth ends every sum of a phrase.
const aMonth = " a month"

// phrase reads one class out with the money that matters about it; alone, it says what is counted.
func phrase(c *itemv1.Standing, alone bool) string {
	words := func(one, many string) string { return amountOf(c.GetCount(), one, many) }
	they := func(one, many string) string {
		if alone {
			return words("subscription "+one, "subscriptions "+many)
		}
		return words(one, many)
	}
	costing := func(text string) string { return withSums(text, "costing", c.GetCost()) }
	billing := func(text, verb string) string { return withSums(text, verb, c.GetBilled()) }
	switch c.GetClass() {
	case "gone":
		return billing(words("licence in Halo is no longer in Giacom", "licences in Halo are no longer in Giacom"), "still billing")
	case "stray":
		return billing(words("licence in Halo belongs to no subscription", "licences in Halo belong to no subscription"), "billing")
	case "unmapped":
		return costing(they("belongs to a customer that is not mapped", "belong to customers that are not mapped"))
	case "excluded":
		return costing(they("is left out on purpose", "are left out on purpose"))
	case "waiting":
		return they("waits for what comes by itself", "wait for what comes by itself")
	case "ambiguous":
		return they("needs a person to say which licence or line is meant", "need a person to say which licence or line is meant")
	case "held":
		return costing(they("is held or refused", "are held or refused"))
	case "no_licence":
		return costing(they("has no licence in Halo", "have no licence in Halo"))
	case "customer":
		return words("licence belongs to another customer in Halo", "licences belong to another customer in Halo")
	case "count":
		return changing(words("count differs", "counts differ"), c)
	case "no_line":
		return costing(they("is on no invoice line", "are on no invoice line"))
	case "price":
		return changing(words("price differs", "prices differ"), c)
	case "cost":
		return words("purchase price differs", "purchase prices differ")
	}
	return Count(c.GetCount()) + " " + c.GetText()
}

func withSums(text, verb string, sums []*moneyv1.Money) string {
	if len(sums) == 0 || whole(sums).IsZero() {
		return text
	}
	return text + ", " + verb + " " + Amounts(sums) + aMonth
}

// changing adds what the difference comes to.
func changing(text string, c *itemv1.Standing) string {
	var difference []*moneyv1.Money
	for _, m := range c.GetWanted() {
		difference = add(difference, m)
	}
	for _, m := range c.GetBilled() {
		difference = add(difference, &moneyv1.Money{Amount: value(m).Neg().String(), Currency: m.GetCurrency(), Basis: m.GetBasis()})
	}
	difference = slices.DeleteFunc(difference, func(m *moneyv1.Money) bool { return value(m).IsZero() })
	if len(difference) == 0 {
		return text
	}
	var parts []string
	for _, m := range difference {
		sign := "+"
		if value(m).IsNegative() {
			sign = ""
		}
		parts = append(parts, sign+Amount(m))
	}
	return text + ", " + strings.Join(parts, " and ") + aMonth
}

// value of money; what is not known counts as nothing.
func value(m *moneyv1.Money) decimal.Decimal {
	d, err := decimal.NewFromString(m.GetAmount())
	if err != nil {
		return decimal.Zero
	}
	return d
}

// whole adds up sums of different currencies, which is good for ordering and for asking whether there is any.
func whole(sums []*moneyv1.Money) (total decimal.Decimal) {
	for _, m := range sums {
		total = total.Add(value(m).Abs())
	}
	return total
}

// add adds one amount to the sum of its currency.
func add(sums []*moneyv1.Money, m *moneyv1.Money) []*moneyv1.Money {
	if m == nil {
		return sums
	}
	for _, s := range sums {
		if s.GetCurrency() == m.GetCurrency() {
			s.Amount = value(s).Add(value(m)).String()
			return sums
		}
	}
	return append(sums, &moneyv1.Money{Amount: value(m).String(), Currency: m.GetCurrency(), Basis: m.GetBasis()})
}
