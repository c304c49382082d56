package ctl

import (
	"context"

	"seatline.dev/services/overview"
)

// Show is the command of that name.
type Show struct {
	Client
	Licence  ShowLicence  `cmd:"" help:"A licence with its subscription, customer, lines, price, cost, margin, changes and history."`
	Line     ShowLine     `cmd:"" help:"A line with its licences, price, cost, margin, changes and history. Put -- before the key: it begins with a minus."`
	Customer ShowCustomer `cmd:"" help:"A Giacom customer with its mapping, how its subscriptions stand, its lines, margin and changes."`
}

// ShowLicence is `show licence`.
type ShowLicence struct{ keyArgs }

func (cmd *ShowLicence) Run(ctx context.Context, c *Client) error {
	return c.compose(ctx, func(ctx context.Context, s overview.Services) error {
		d, err := s.LicenceDetail(ctx, cmd.Connection, cmd.Key)
		if err != nil {
			return err
		}
		return printOne(c, d)
	})
}

// ShowLine is `show line`.
type ShowLine struct{ keyArgs }

func (cmd *ShowLine) Run(ctx context.Context, c *Client) error {
	return c.compose(ctx, func(ctx context.Context, s overview.Services) error {
		d, err := s.LineDetail(ctx, cmd.Connection, cmd.Key)
		if err != nil {
			return err
		}
		return printOne(c, d)
	})
}

// ShowCustomer is `show customer`.
type ShowCustomer struct {
	Connection string `arg:"" help:"Connection."`
	MexID      string `arg:"" name:"mex-id" help:"Giacom's id of the customer."`
}

func (cmd *ShowCustomer) Run(ctx context.Context, c *Client) error {
	return c.compose(ctx, func(ctx context.Context, s overview.Services) error {
		d, err := s.CustomerDetail(ctx, cmd.Connection, cmd.MexID)
		if err != nil {
			return err
		}
		return printOne(c, d)
	})
}
