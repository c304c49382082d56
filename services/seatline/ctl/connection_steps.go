package ctl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/console/connectionfile"
)

// printEffects says what deleting a connection means.
func printEffects(c *Client, e *connectionv1.DeletionEffects) error {
	if c.Output == "json" {
		return printOne(c, e)
	}
	for _, part := range []struct {
		title   string
		effects []*connectionv1.Effect
	}{{"Stays in Halo", e.GetStaysInHalo()}, {"Stops", e.GetStops()}, {"Is forgotten", e.GetForgotten()}} {
		fmt.Fprintln(c.out, part.title+":")
		for _, x := range part.effects {
			if x.GetCount() > 0 {
				fmt.Fprintln(c.out, "  "+clean(x.GetText()))
			}
		}
	}
	return printUnknown(c, e.GetUnknown())
}

// printUnknown says whose part of an answer is missing.
func printUnknown(c *Client, services []string) error {
	if len(services) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(c.out, "Not known, because no answer came: what %s would add.\n", strings.Join(services, " and "))
	return err
}

// change reads a connection, changes it and applies it with the etag that was read.
func (c *Client) change(ctx context.Context, slug, reason string, change func(*connectionv1.Connection) error) (now *connectionv1.Connection, err error) {
	err = c.connections(ctx, func(ctx context.Context, client connectionClient) error {
		read, err := client.GetConnection(ctx, &connectionv1.GetConnectionRequest{Slug: slug})
		if err != nil {
			return err
		}
		wanted := proto.CloneOf(read)
		if err := change(wanted); err != nil {
			return err
		}
		now, err = client.ApplyConnection(ctx, &connectionv1.ApplyConnectionRequest{Connection: wanted, OverrideReason: reason})
		return err
	})
	return now, err
}

// ConnectionsLeave is `connections leave-observe`.
type ConnectionsLeave struct {
	Slug string `arg:"" name:"connection" help:"Connection."`
	answers
	Yes      bool     `help:"Begin to write to Halo."`
	Canary   []string `placeholder:"MEX-ID" help:"With --yes: write only what concerns these Giacom customers, and observe all others."`
	Override string   `placeholder:"REASON" help:"With --yes: why it is right although another integration writes in Halo, or Halo could not be asked; kept with the change."`
}

func (cmd *ConnectionsLeave) Run(ctx context.Context, c *Client) error {
	if !cmd.Yes {
		if err := cmd.keep(ctx, c, cmd.Slug); err != nil {
			return err
		}
		err := onConnection(ctx, c, cmd.Slug, connectionClient.GetLeaveObserve, func(x *connectionv1.LeaveObserve) error { return printLeave(c, x) })
		if err == nil {
			err = cmd.unheeded()
		}
		return err
	}
	// What no reason overrides, such as a missing right, is only told by asking; other writers the change itself looks for.
	err := onConnection(ctx, c, cmd.Slug, connectionClient.GetLeaveObserve, func(x *connectionv1.LeaveObserve) error {
		for _, b := range x.GetBlockers() {
			if !b.GetOverridable() {
				return rpc.FailedPrecondition("BLOCKED", cmd.Slug, "connection %q cannot leave observe: %s", cmd.Slug, b.GetText()).Do("%s", b.GetFix())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The answers come first: what is written to Halo is written by them.
	if err := cmd.keep(ctx, c, cmd.Slug); err != nil {
		return err
	}
	now, err := c.change(ctx, cmd.Slug, cmd.Override, func(x *connectionv1.Connection) error {
		x.Mode = connectionv1.Mode_MODE_AUTO
		if x.Canary = nil; len(cmd.Canary) > 0 {
			x.Canary = &connectionv1.Canary{MexIds: cmd.Canary}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if now.GetCanary() != nil {
		return done(c, now, "Connection %s writes to Halo what concerns %s, and observes everything else.", now.GetSlug(), strings.Join(cmd.Canary, ", "))
	}
	return done(c, now, "Connection %s writes to Halo from now on.", now.GetSlug())
}

// unheeded is the error of flags that say how to begin, without the one that begins: who gives them means to.
func (cmd *ConnectionsLeave) unheeded() error {
	var given string
	switch {
	case len(cmd.Canary) > 0 && cmd.Override != "":
		given = "--canary and --override say"
	case len(cmd.Canary) > 0:
		given = "--canary says"
	case cmd.Override != "":
		given = "--override says"
	default:
		return nil
	}
	return &rpc.Exit{Code: rpc.ExitUsage, Err: fmt.Errorf("connection %s writes nothing yet: %s only how to begin; repeat with --yes", cmd.Slug, given)}
}

func printLeave(c *Client, x *connectionv1.LeaveObserve) error {
	if c.Output == "json" {
		return printOne(c, x)
	}
	fmt.Fprintf(c.out, "Connection %s is in mode %s. Before it writes to Halo:\n\n", x.GetSlug(), word(x.GetMode()))
	for _, q := range x.GetQuestions() {
		fmt.Fprintf(c.out, "%s\n  Now: %s %s\n  Setting: %s\n", clean(q.GetQuestion()), clean(q.GetAnswer()), clean(q.GetConsequence()), q.GetSetting())
		if how := howToAnswer(q); how != "" {
			fmt.Fprintf(c.out, "  Answer: %s\n", how)
		}
	}
	fmt.Fprintln(c.out)
	for _, e := range x.GetPlan() {
		fmt.Fprintln(c.out, clean(e.GetText()))
	}
	for _, b := range x.GetBlockers() {
		fmt.Fprintf(c.out, "In the way: %s %s\n", clean(b.GetText()), clean(b.GetFix()))
	}
	for _, check := range x.GetChecks() {
		if check.GetCode() == "scopes_unknown" {
			fmt.Fprintf(c.out, "Not known: %s: %s\n", clean(check.GetName()), clean(check.GetText()))
		}
	}
	if len(x.GetChecks()) == 0 {
		fmt.Fprintf(c.out, "Halo was not asked for this. It last said who else writes there: %s.\n", when(x.GetLookTime()))
	}
	if err := printUnknown(c, x.GetUnknown()); err != nil {
		return err
	}
	if !x.GetMayLeave() {
		return &rpc.Exit{Code: rpc.ExitFailed, Err: fmt.Errorf("connection %s cannot leave observe yet", x.GetSlug())}
	}
	_, err := fmt.Fprintf(c.out, "See the plan (seatline plan %[1]s), then: seatline connections leave-observe %[1]s --yes\n", x.GetSlug())
	return err
}

// ConnectionsObserve is `connections observe`.
type ConnectionsObserve struct {
	Slug string `arg:"" name:"connection" help:"Connection."`
}

func (cmd *ConnectionsObserve) Run(ctx context.Context, c *Client) error {
	now, err := c.change(ctx, cmd.Slug, "", func(x *connectionv1.Connection) error { x.Mode = connectionv1.Mode_MODE_OBSERVE; return nil })
	if err != nil {
		return err
	}
	return done(c, now, "Connection %s observes: nothing is written to Halo.", now.GetSlug())
}

// ConnectionsMethod is `connections method`.
type ConnectionsMethod struct {
	Slug   string `arg:"" name:"connection" help:"Connection."`
	Method string `arg:"" enum:"subscriptions,report,both" help:"One of ${enum}: all products; Microsoft only (subscriptionsmanagementreport); the report for Microsoft and the other feed for the rest."`
	Feed   string `enum:",subscriptions,account-totals" default:"" help:"The feed of all products: subscriptions or account-totals. Default: as it is."`
	Ask    bool   `help:"Do not take licences over by themselves: hold each that may be there already until somebody says adopt or create."`
	Yes    bool   `help:"Choose it."`
}

func (cmd *ConnectionsMethod) Run(ctx context.Context, c *Client) error {
	method := map[string]connectionv1.ImportMethod{
		"subscriptions": connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS, "report": connectionv1.ImportMethod_IMPORT_METHOD_REPORT, "both": connectionv1.ImportMethod_IMPORT_METHOD_BOTH,
	}[cmd.Method]
	feed := map[string]connectionv1.AllProductsFeed{
		"subscriptions": connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS, "account-totals": connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_ACCOUNT_TOTALS,
	}[cmd.Feed]
	if !cmd.Yes {
		return c.callConsole(ctx, func(ctx context.Context, client connectionClient) error {
			change, err := client.GetMethodChange(ctx, &connectionv1.GetMethodChangeRequest{Slug: cmd.Slug, Method: method, AllProductsFeed: feed})
			if err != nil {
				return err
			}
			return printMethod(c, change)
		})
	}
	now, err := c.change(ctx, cmd.Slug, "", func(x *connectionv1.Connection) error {
		x.Giacom.Method = method
		if feed != 0 {
			x.Giacom.AllProductsFeed = feed
		}
		x.Licences.AdoptAcrossMethods = proto.Bool(!cmd.Ask)
		return nil
	})
	if err != nil {
		return err
	}
	return done(c, now, "Connection %s imports by the method %s from the next run on.", now.GetSlug(), word(now.GetGiacom().GetMethod()))
}

func printMethod(c *Client, m *connectionv1.MethodChange) error {
	if c.Output == "json" {
		return printOne(c, m)
	}
	for _, sentence := range m.GetExplanation() {
		fmt.Fprintln(c.out, clean(sentence))
	}
	if len(m.GetRows()) == 0 {
		return nil
	}
	fmt.Fprintln(c.out)
	return printList(c, m.GetRows(), false,
		column[*connectionv1.MethodRow]{"what", func(x *connectionv1.MethodRow) string { return word(x.GetKind()) }},
		column[*connectionv1.MethodRow]{"customer", (*connectionv1.MethodRow).GetCustomerName},
		column[*connectionv1.MethodRow]{"product", (*connectionv1.MethodRow).GetName},
		column[*connectionv1.MethodRow]{"now", func(x *connectionv1.MethodRow) string { return orDash(x.GetKeyBefore()) }},
		column[*connectionv1.MethodRow]{"then", func(x *connectionv1.MethodRow) string { return orDash(x.GetKeyAfter()) }},
		column[*connectionv1.MethodRow]{"seats", func(x *connectionv1.MethodRow) string { return seatsOf(x.GetQuantityBefore(), x.GetQuantityAfter()) }},
	)
}

// seatsOf shows a number of seats, or how it changes.
func seatsOf(before, after string) string {
	switch {
	case before == after || after == "":
		return orDash(before)
	case before == "":
		return after
	}
	return before + " → " + after
}

// ConnectionsRotate is `connections rotate`.
type ConnectionsRotate struct {
	Slug             string `arg:"" name:"connection" help:"Connection."`
	GiacomAPIKey     string `name:"giacom-api-key" placeholder:"REFERENCE" help:"The new key, as env:NAME or file:PATH."`
	HaloClientSecret string `name:"halo-client-secret" placeholder:"REFERENCE" help:"The new secret, as env:NAME or file:PATH."`
	Untried          bool   `help:"Store it without trying it with Giacom or Halo."`
}

func (cmd *ConnectionsRotate) Run(ctx context.Context, c *Client) error {
	resolve := func(flag, reference string) (telemetry.Secret, error) {
		if reference == "" {
			return "", nil
		}
		secret, err := connectionfile.FromSystem().Resolve(reference)
		if err != nil {
			return "", &rpc.Exit{Code: rpc.ExitUsage, Err: fmt.Errorf("--%s: %w", flag, err)}
		}
		return secret, nil
	}
	key, err := resolve("giacom-api-key", cmd.GiacomAPIKey)
	if err != nil {
		return err
	}
	secret, err := resolve("halo-client-secret", cmd.HaloClientSecret)
	if err != nil {
		return err
	}
	if key == "" && secret == "" {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("name the new secret: --giacom-api-key or --halo-client-secret, or both")}
	}
	return c.callConsole(ctx, func(ctx context.Context, client connectionClient) error {
		answer, err := client.RotateSecrets(ctx, &connectionv1.RotateSecretsRequest{Slug: cmd.Slug, GiacomApiKey: key.Reveal(), HaloClientSecret: secret.Reveal(), Untried: cmd.Untried})
		if err != nil {
			return err
		}
		now := answer.GetConnection()
		return done(c, answer, "Connection %s has Giacom key version %d (ends in %s) and Halo secret version %d (ends in %s).", now.GetSlug(),
			now.GetGiacom().GetApiKey().GetVersion(), orDash(now.GetGiacom().GetApiKey().GetLastFour()),
			now.GetHalo().GetClientSecret().GetVersion(), orDash(now.GetHalo().GetClientSecret().GetLastFour()))
	})
}

// ConnectionsReseal is `connections reseal`.
type ConnectionsReseal struct{}

func (cmd *ConnectionsReseal) Run(ctx context.Context, c *Client) error {
	return c.connections(ctx, func(ctx context.Context, client connectionClient) error {
		answer, err := client.ResealSecrets(ctx, &connectionv1.ResealSecretsRequest{})
		if err != nil {
			return err
		}
		if err := done(c, answer, "%d secrets sealed anew, %d were already.", answer.GetResealed(), answer.GetCurrent()); err != nil {
			return err
		}
		if lost := answer.GetUnreadable(); len(lost) > 0 {
			return &rpc.Exit{Code: rpc.ExitFailed, Err: fmt.Errorf("no key of the keyset opens %s: enter these secrets again, or restore the keyset that sealed them", strings.Join(lost, ", "))}
		}
		return nil
	})
}

// ConnectionsHistory is `connections history`.
type ConnectionsHistory struct {
	Slug string `arg:"" optional:"" name:"connection" help:"Of this connection only."`
	List
}

func (cmd *ConnectionsHistory) Run(ctx context.Context, c *Client) error {
	var rows []*connectionv1.ConnectionChange
	var more bool
	err := c.connections(ctx, func(ctx context.Context, client connectionClient) (err error) {
		more, err = cmd.collect(func(size int32, token string) (int, string, error) {
			page, err := client.ListConnectionChanges(ctx, &connectionv1.ListConnectionChangesRequest{PageSize: size, PageToken: token, Filter: within(cmd.Slug, cmd.Filter), OrderBy: cmd.OrderBy})
			rows = append(rows, page.GetChanges()...)
			return len(page.GetChanges()), page.GetNextPageToken(), err
		})
		return err
	})
	if err != nil {
		return err
	}
	return printList(c, rows, more,
		column[*connectionv1.ConnectionChange]{"time", func(x *connectionv1.ConnectionChange) string { return when(x.GetTime()) }},
		column[*connectionv1.ConnectionChange]{"connection", (*connectionv1.ConnectionChange).GetConnection},
		column[*connectionv1.ConnectionChange]{"who", func(x *connectionv1.ConnectionChange) string { return orDash(x.GetWho()) }},
		column[*connectionv1.ConnectionChange]{"what", (*connectionv1.ConnectionChange).GetWhat},
		column[*connectionv1.ConnectionChange]{"settings", func(x *connectionv1.ConnectionChange) string {
			var all []string
			for _, f := range x.GetFields() {
				all = append(all, fmt.Sprintf("%s: %s → %s", f.GetField(), orDash(f.GetBefore()), orDash(f.GetAfter())))
			}
			return strings.Join(all, "; ")
		}},
		column[*connectionv1.ConnectionChange]{"why", (*connectionv1.ConnectionChange).GetReason},
	)
}
