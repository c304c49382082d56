package giacom

import "context"

// Want says what an import reads.
type Want struct{ Customers, Subscriptions bool }

// Sink receives the rows of an import as they come. A function may be called with the same row again; the last call for
// an id counts. An error of a function ends the import and is returned as it is.
type Sink struct {
	Customer     func(Customer) error
	Subscription func(Subscription) error
}

// Result says what an import gave.
type Result struct {
	Customers, Subscriptions Pull
	Requests                 int64
}

// Import reads what is wanted by the configured method.
//
// Whenever subscriptions are read for customers too, each customer that a subscription's row names is handed on with
// Derived set, often several times: the customers path may leave some out. With Config.DeriveCustomers there are no
// others, so customers without any subscription are not among them.
func (c *Client) Import(ctx context.Context, want Want, sink Sink) (Result, error) {
	var r Result
	before := c.Requests()
	listed := want.Customers && !c.cfg.DeriveCustomers
	if listed {
		var err error
		if r.Customers, err = c.Customers(ctx, sink.Customer); err != nil {
			return c.counted(r, before), err
		}
	}
	if !want.Subscriptions && (listed || !want.Customers) {
		return c.counted(r, before), nil
	}
	if !want.Subscriptions {
		sink.Subscription = func(Subscription) error { return nil }
	}
	derived := 0
	pull, err := c.subscriptions(ctx, deriving(sink, want.Customers, &derived))
	if want.Subscriptions {
		r.Subscriptions = pull
	}
	switch {
	case listed:
		r.Customers = r.Customers.and(Pull{Complete: pull.Complete, Reason: pull.Reason, Rows: derived})
	case want.Customers:
		r.Customers = pull
		r.Customers.Rows, r.Customers.Bad = derived, 0
	}
	return c.counted(r, before), err
}

func (c *Client) counted(r Result, before int64) Result {
	r.Requests = c.Requests() - before
	return r
}

// deriving hands on a customer whenever a row names another one than the row before.
func deriving(sink Sink, derive bool, rows *int) Sink {
	var last Customer
	customer := func(got Customer) error {
		if !derive || got.MexID == "" || len(got.MexID) > maxID || got == last {
			return nil
		}
		last = got
		*rows++
		return sink.Customer(got)
	}
	return Sink{Customer: customer, Subscription: func(s Subscription) error {
		if err := customer(s.customer()); err != nil {
			return err
		}
		return sink.Subscription(s)
	}}
}

func (c *Client) subscriptions(ctx context.Context, sink Sink) (Pull, error) {
	if c.cfg.Version == V2 {
		return c.services(ctx, sink.Subscription)
	}
	both := c.cfg.Method == MethodBoth
	var report Pull
	if c.cfg.Method == MethodReport || both {
		var err error
		if report, err = c.Report(ctx, sink.Customer, sink.Subscription); err != nil || !both {
			return report, err
		}
	}
	other := c.products
	if c.cfg.AllProducts == FromAccountTotals {
		other = c.accountTotals
	}
	pull, err := other(ctx, sink.Subscription, both)
	if both {
		pull = report.and(pull)
	}
	return pull, err
}
