package console

import (
	"context"
	"slices"
	"strings"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/halo"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// checkTogether compares the two sides: who of Giacom's customers Halo knows, and whether licences carry
// marks of another account. It needs both; g or h is nil where a side is not well.
func checkTogether(ctx context.Context, r *report, c *connectionv1.Connection, g *giacom.Client, h *halo.Client) {
	const customers, marks, field = "Together: customers", "Together: marks", "Together: our mark on customers"
	if g == nil || h == nil {
		for _, name := range []string{customers, marks, field} {
			r.skip(name, "Needs both Giacom and Halo to be well.")
		}
		return
	}
	names := map[string]int{} // Halo customers by name
	clients, some := 0, int64(0)
	for client, err := range h.Customers(ctx, halo.CustomerFilter{}) {
		if err != nil {
			text, fix := haloSentence(err, "The application needs the scope read:customers.")
			r.fail(customers, "halo_read", fix, "%s", text)
			return
		}
		clients++
		names[strings.TrimSpace(client.Name)]++
		some = int64(client.ID)
	}
	theirs := map[string]string{}
	_, err := g.Import(ctx, giacom.Want{Customers: true}, giacom.Sink{
		Customer:     func(x giacom.Customer) error { theirs[x.MexID] = strings.TrimSpace(x.Name); return nil },
		Subscription: func(giacom.Subscription) error { return nil },
	})
	if err != nil {
		r.fail(customers, "giacom_"+string(giacom.ClassOf(err)), fixGiacom(err), "%s", sentence(err))
		return
	}
	spelt := map[string]int{}
	for _, name := range theirs {
		spelt[name]++
	}
	same := 0
	for _, name := range theirs {
		if names[name] == 1 && spelt[name] == 1 {
			same++
		}
	}
	switch {
	case len(theirs) == 0:
		r.warn(customers, "no_customers", "Check that the key belongs to the right account, or take customers from the subscriptions (derived).", "Giacom lists no customers.")
	case same == 0 && clients > 0:
		r.warn(customers, "no_same_names", "Check that both belong to the same business; otherwise map the customers by hand or by file.",
			"None of %d Giacom customers has the name of exactly one of %d Halo customers.", len(theirs), clients)
	default:
		r.ok(customers, "%d of %d Giacom customers have exactly the name of one of %d Halo customers.", same, len(theirs), clients)
	}
	checkMarks(ctx, r, marks, c, h)
	checkField(ctx, r, field, c, h, some)
}

// checkField looks at a customer for the custom field that holds our mark on those we create. A Halo without the field
// does not say so before it is written.
func checkField(ctx context.Context, r *report, name string, c *connectionv1.Connection, h *halo.Client, some int64) {
	if !c.GetCustomers().GetCreate() {
		r.skip(name, "Not needed while Seatline creates no customers.")
		return
	}
	field := c.GetCustomers().GetCustomField()
	client, err := h.Customer(ctx, some)
	has := slices.ContainsFunc(client.CustomFields, func(f halo.CustomField) bool { return f.Name == field })
	switch {
	case has:
		r.ok(name, "Halo has the custom field %s.", field)
	case err != nil || len(client.CustomFields) == 0:
		r.skip(name, "No customer shows custom fields, so it cannot be told whether there is one called %s.", field)
	default:
		r.warn(name, "custom_field_missing", "In Halo, under Configuration > Custom Objects > Custom Fields, make a text field of that name for customers.",
			"Customer %d has custom fields in Halo, but none called %s: a customer that Seatline creates would carry no mark.", some, field)
	}
}

// checkMarks looks for licences of another account: of an earlier connection, or of a second Seatline.
func checkMarks(ctx context.Context, r *report, name string, c *connectionv1.Connection, h *halo.Client) {
	ours, foreign := 0, map[string]int{}
	for l, err := range h.Licences(ctx, halo.LicenceFilter{Inactive: true}) {
		if err != nil {
			text, fix := haloSentence(err, "The application needs the scope read:softwarelicensing.")
			r.fail(name, "halo_read", fix, "%s", text)
			return
		}
		rest, marked := strings.CutPrefix(l.Mark.Value, "giacom:")
		account, _, whole := strings.Cut(rest, ":")
		switch {
		case !marked || !whole:
		case account == c.GetGiacom().GetAccount():
			ours++
		default:
			foreign[account]++
		}
	}
	for account, n := range foreign {
		r.warn(name, "foreign_marks", "If that is another connection or another Seatline, leave them to it. If the account was renamed, make this connection with the old name.",
			"%d licences in Halo carry the mark of the account %q; Seatline leaves them alone.", n, account)
	}
	if len(foreign) == 0 {
		r.ok(name, "%d licences in Halo carry the mark of this account; none that of another.", ours)
	}
}
