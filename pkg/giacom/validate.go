package giacom

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Check is one thing that [Client.Validate] looked at.
type Check struct {
	Name string // for example "Giacom key", "Giacom customers"
	Text string // what was found
	Err  error  // nil when it is well
}

// Validate tries the key and then the first page of everything an import would read, with as little data as can be asked
// for. It stops at a key that is not accepted. Each request is retried as in an import.
func (c *Client) Validate(ctx context.Context) []Check {
	checks := []Check{{Name: "Giacom key"}}
	if checks[0].Text, checks[0].Err = c.validateKey(ctx); checks[0].Err != nil {
		return checks
	}
	for _, f := range c.needed() {
		check := Check{Name: "Giacom " + f.what}
		rows, err := c.glance(ctx, f.path)
		switch {
		case err == nil:
			check.Text = fmt.Sprintf("%s answers, %d rows on a page of one", f.path, rows)
		case ClassOf(err) == NotFound && f.what == "customers":
			check.Err = fmt.Errorf("%w; or take customers from the subscriptions (derived)", err)
		case ClassOf(err) == NotFound && f.path == c.cfg.SubscriptionsPath:
			check.Err = fmt.Errorf("%w; or choose AccountTotals as the feed of all products", err)
		default:
			check.Err = err
		}
		checks = append(checks, check)
	}
	return checks
}

// validateKey asks for Status first, of which even a 400 proves that the key passed the gateway, then for AccountTotals,
// as the one client that is public does [F-1].
func (c *Client) validateKey(ctx context.Context) (string, error) {
	if c.cfg.Version == V2 {
		_, err := c.glance(ctx, organisationPath)
		return "v2 answers; it is not available for production instances", err
	}
	err := c.get(ctx, c.cfg.BaseURL+"/"+c.cfg.StatusPath, func(_ http.Header, body io.Reader) error {
		_, err := io.Copy(io.Discard, io.LimitReader(body, 1<<20))
		return err
	})
	switch ClassOf(err) {
	case "":
		return "accepted", err
	case Refused:
		return "accepted (Status wants arguments)", nil
	case NotFound:
	default:
		return "", err
	}
	if _, err := c.glance(ctx, c.cfg.AccountTotalsPath); err != nil && ClassOf(err) != Refused {
		return "", err
	}
	return "accepted", nil
}

type needed struct{ what, path string }

func (c *Client) needed() []needed {
	var list []needed
	add := func(what, path string) { list = append(list, needed{what, path}) }
	if c.cfg.Version == V2 {
		add("subscriptions", servicePath)
		return list
	}
	if !c.cfg.DeriveCustomers {
		add("customers", c.cfg.CustomersPath)
	}
	if c.cfg.Method != MethodSubscriptions {
		add("report", c.cfg.ReportPath)
	}
	if c.cfg.Method != MethodReport {
		path := c.cfg.SubscriptionsPath
		if c.cfg.AllProducts == FromAccountTotals {
			path = c.cfg.AccountTotalsPath
		}
		add("subscriptions", path)
	}
	return list
}

// glance counts the rows of a page of one.
func (c *Client) glance(ctx context.Context, path string) (int, error) {
	small := &Client{cfg: c.cfg, http: c.http, measured: c.measured}
	small.cfg.PageSize = 1
	small.token.client = small
	t, _, err := small.page(ctx, feed{path: path, row: func(dec *json.Decoder, _ *tally) error {
		var raw json.RawMessage
		return decode(dec, &raw)
	}}, 1, 0)
	c.requests.Add(small.requests.Load())
	return t.elements, err
}
