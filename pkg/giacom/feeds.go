package giacom

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// Customers reads the customers path [G].
func (c *Client) Customers(ctx context.Context, customer func(Customer) error) (Pull, error) {
	if c.cfg.Version == V2 {
		return c.organisations(ctx, customer)
	}
	return c.pull(ctx, feed{path: c.cfg.CustomersPath, row: func(dec *json.Decoder, t *tally) error {
		var r customerRow
		if err := decode(dec, &r); err != nil {
			return err
		}
		got := r.customer()
		if got.MexID == "" || len(got.MexID) > maxID {
			t.noID++
			return nil
		}
		t.saw(got.MexID)
		if got.Name == "" {
			t.bad++
		}
		return caller(customer(got))
	}})
}

// Report reads SubscriptionsManagementReport [F-1]: Microsoft subscriptions, each after its customer's block was handed
// to customer. A block without subscriptions is still a customer.
func (c *Client) Report(ctx context.Context, customer func(Customer) error, subscription func(Subscription) error) (Pull, error) {
	return c.pull(ctx, feed{path: c.cfg.ReportPath, row: func(dec *json.Decoder, t *tally) error {
		var block reportBlock
		if err := decode(dec, &block); err != nil {
			return err
		}
		of := block.customer()
		if of.MexID == "" && len(block.Subscriptions) == 0 {
			t.noID++
			return nil
		}
		if of.MexID != "" {
			if err := customer(of); err != nil {
				return callerError{err}
			}
		}
		if len(block.Subscriptions) == 0 && t.first == "" {
			t.first = of.MexID
		}
		for _, r := range block.Subscriptions {
			if err := hand(r.subscription(of), t, subscription); err != nil {
				return err
			}
		}
		return nil
	}})
}

// Products reads the path Subscriptions [G]: all products, one row each.
func (c *Client) Products(ctx context.Context, subscription func(Subscription) error) (Pull, error) {
	return c.products(ctx, subscription, false)
}

func (c *Client) products(ctx context.Context, subscription func(Subscription) error, leave bool) (Pull, error) {
	return c.pull(ctx, feed{path: c.cfg.SubscriptionsPath, row: func(dec *json.Decoder, t *tally) error {
		var r productRow
		if err := decode(dec, &r); err != nil {
			return err
		}
		s := r.subscription()
		if leave && s.ID != "" && s.Microsoft {
			t.left++
			if t.first == "" {
				t.first = s.Key()
			}
			return nil
		}
		return hand(s, t, subscription)
	}})
}

// AccountTotals reads the billing lines of AccountTotals [F-1] as subscriptions.
//
// Its rows have no id, and a product bought on several days has several rows. Rows of one customer, product and cost per
// seat are one subscription: quantities are summed, the start is the earliest. Its id is "<customer>/<product>". When a
// customer has a product at several costs, the group that started first (then the cheaper) keeps that id and the others
// are "<customer>/<product>@<cost>": a price change alone changes no id.
//
// Rows of one group may lie anywhere, so groups are held until the last page: about 400 bytes for each customer and
// product, 40 MB for 100,000. No other feed takes memory that grows with the account.
func (c *Client) AccountTotals(ctx context.Context, subscription func(Subscription) error) (Pull, error) {
	return c.accountTotals(ctx, subscription, false)
}

func (c *Client) accountTotals(ctx context.Context, subscription func(Subscription) error, leave bool) (Pull, error) {
	whole := groups{}
	var page groups
	p, err := c.pull(ctx, feed{
		path:  c.cfg.AccountTotalsPath,
		begin: func() { page = groups{} }, // a page fetched again must not count twice
		end:   func() { whole.merge(page) },
		row: func(dec *json.Decoder, t *tally) error {
			var r productRow
			if err := decode(dec, &r); err != nil {
				return err
			}
			s := r.subscription()
			if s.MexID == "" || s.SKU == "" || len(s.MexID)+len(s.SKU) > maxID-maxNumber {
				t.noID++
				return nil
			}
			id := s.MexID + "/" + s.SKU + " " + string(r.Quantity) + " " + string(r.Created)
			if leave && s.Microsoft {
				t.left++
				if t.first == "" {
					t.first = id
				}
				return nil
			}
			t.saw(id)
			if len(s.Problems) > 0 {
				t.bad++
			}
			page.add(s)
			return nil
		},
	})
	if err != nil {
		return p, err
	}
	return p, whole.each(subscription)
}

type group struct{ mexID, sku string }

// groups holds the summed rows of each customer and product, one for each cost per seat.
type groups map[group][]Subscription

func (g groups) add(s Subscription) {
	key := group{s.MexID, s.SKU}
	for i := range g[key] {
		if have := &g[key][i]; samePrice(have.Price, s.Price) {
			have.Quantity = plus(have.Quantity, s.Quantity)
			have.Start = earliest(have.Start, s.Start)
			have.Problems = append(have.Problems, s.Problems...)
			return
		}
	}
	g[key] = append(g[key], s)
}

// merge adds a page that came whole.
func (g groups) merge(page groups) {
	for _, rows := range page {
		for _, s := range rows {
			g.add(s)
		}
	}
}

// each hands on the groups in the order of their ids.
func (g groups) each(subscription func(Subscription) error) error {
	keys := make([]group, 0, len(g))
	for key := range g {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b group) int {
		return cmp.Or(strings.Compare(a.mexID, b.mexID), strings.Compare(a.sku, b.sku))
	})
	for _, key := range keys {
		rows := g[key]
		slices.SortFunc(rows, func(a, b Subscription) int {
			return cmp.Or(a.Start.Compare(b.Start), a.Price.Decimal.Cmp(b.Price.Decimal))
		})
		for i, s := range rows {
			s.ID = key.mexID + "/" + key.sku
			if i > 0 {
				s.ID += "@" + s.Price.Decimal.String()
			}
			if err := subscription(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func samePrice(a, b decimal.NullDecimal) bool {
	return a.Valid == b.Valid && a.Decimal.Equal(b.Decimal)
}

// plus is not valid if either is not: a sum with an unknown part is unknown.
func plus(a, b decimal.NullDecimal) decimal.NullDecimal {
	if !a.Valid || !b.Valid {
		return decimal.NullDecimal{}
	}
	return decimal.NewNullDecimal(a.Decimal.Add(b.Decimal))
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// maxID bounds what passes for an id, in bytes; those known have 36 at most.
const maxID = 300

// hand notes a subscription and hands it on, unless its id could not be read.
func hand(s Subscription, t *tally, subscription func(Subscription) error) error {
	if s.ID == "" || len(s.ID) > maxID {
		t.noID++
		return nil
	}
	t.saw(s.Key())
	if s.MexID == "" {
		s.Problems = append(s.Problems, "the row names no customer")
	}
	if len(s.Problems) > 0 {
		t.bad++
	}
	return caller(subscription(s))
}

func caller(err error) error {
	if err != nil {
		return callerError{err}
	}
	return nil
}
