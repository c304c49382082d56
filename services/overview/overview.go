// Package overview composes what several services tell into what a person asks: does Halo agree with
// Giacom, is everything in step, what is there to know about one licence, line or customer. It is a
// plain client of their gRPC, for the web console and the command line alike, and keeps nothing.
package overview

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	overviewv1 "seatline.dev/proto/seatline/overview/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

const (
	runsShown      = 5
	unmappedShown  = 20
	lowestMargins  = 10
	changesShown   = 50
	rowsOfCustomer = 1000
)

// Overview of a connection. A service that does not answer is named in it and its part left out; the connection itself
// must be known, or the error says that it is not.
func (s Services) Overview(ctx context.Context, connection string) (*overviewv1.Overview, error) {
	c, err := s.Connections().GetConnection(ctx, &connectionv1.GetConnectionRequest{Slug: connection})
	if err != nil {
		return nil, err
	}
	o := &overviewv1.Overview{Connection: c.GetSlug(), DisplayName: c.GetDisplayName(), Enabled: c.GetEnabled(), Mode: c.GetMode(), Canary: c.GetCanary()}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	ask := func(service string, do func() error) {
		group.Go(func() error {
			err := do()
			switch status.Code(err) {
			case codes.Unavailable, codes.DeadlineExceeded, codes.NotFound: // not there, or has not heard of the connection yet
				mu.Lock()
				defer mu.Unlock()
				if !slices.ContainsFunc(o.Missing, func(m *overviewv1.Missing) bool { return m.GetService() == service }) {
					o.Missing = append(o.Missing, &overviewv1.Missing{Service: service, Text: status.Convert(err).Message()})
				}
				return nil
			}
			return err
		})
	}
	others := &connectionv1.OtherWriters{}
	if c.GetMode() == connectionv1.Mode_MODE_AUTO { // until it writes itself, there are no two
		ask("console", func() (err error) {
			others, err = s.Connections().GetOtherWriters(ctx, &connectionv1.GetConnectionRequest{Slug: connection})
			return err
		})
	}
	ask("fetcher", func() (err error) {
		o.Sync, err = s.Runs().GetSyncStatus(ctx, &runv1.GetSyncStatusRequest{Connection: connection})
		return err
	})
	ask("licence", func() (err error) { o.Parity, err = s.Parity(ctx, connection, ""); return err })
	ask("licence", func() (err error) {
		o.Unmapped, o.UnmappedCustomers, err = s.unmapped(ctx, connection)
		return err
	})
	ask("billing", func() error {
		runs, err := s.Lines().ListInvoiceRuns(ctx, &invoicelinev1.ListInvoiceRunsRequest{Connection: connection, PageSize: runsShown})
		o.InvoiceRuns = runs.GetRuns()
		return err
	})
	ask("billing", func() error {
		m, err := s.Lines().ListMargins(ctx, &invoicelinev1.ListMarginsRequest{Connection: connection, PageSize: lowestMargins, OrderBy: "margin"})
		o.Margin, o.LowestMargins = m.GetTotals(), m.GetMargins()
		return err
	})
	ask("billing", func() (err error) {
		o.Budget, err = s.Writers()[2].Ops.GetHaloBudget(ctx, &opsv1.GetHaloBudgetRequest{Connection: connection})
		return err
	})
	for _, w := range s.Writers() {
		ask(w.Service, func() error {
			waiting, err := w.Ops.ListWaiting(ctx, &opsv1.ListWaitingRequest{Connection: connection})
			if err != nil {
				return err
			}
			days, err := w.Ops.ListChangeDays(ctx, &opsv1.ListChangeDaysRequest{Connection: connection, TimeZone: c.GetSchedule().GetTimeZone()})
			mu.Lock()
			defer mu.Unlock()
			o.Waiting, o.Days = append(o.Waiting, waiting.GetWaiting()...), append(o.Days, days.GetDays()...)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(o.Waiting, func(a, b *opsv1.Waiting) int { return int(b.GetCount() - a.GetCount()) })
	slices.SortStableFunc(o.Days, func(a, b *opsv1.ChangeDay) int {
		return strings.Compare(a.GetDate()+a.GetKind()+a.GetClass(), b.GetDate()+b.GetKind()+b.GetClass())
	})
	slices.SortFunc(o.Missing, func(a, b *overviewv1.Missing) int { return strings.Compare(a.GetService(), b.GetService()) })
	o.Attention = attention(o, others, zone(c))
	o.InStep = len(o.Attention) == 0
	return o, nil
}

// zone is where the connection's clocks are.
func zone(c *connectionv1.Connection) *time.Location {
	z, err := time.LoadLocation(cmp.Or(c.GetSchedule().GetTimeZone(), "Europe/London"))
	if err != nil {
		return time.UTC // a machine without time zones
	}
	return z
}

// InStep reads out that nothing needs attention. What waits for something that comes by itself is no trouble, but it is
// not in Halo yet.
func InStep(o *overviewv1.Overview) string {
	if n := Waits(o); n > 0 {
		return "Everything is in step; " + amountOf(n, "subscription waits", "subscriptions wait") + " for what comes by itself."
	}
	return "Everything is in step."
}

// Waits is how many subscriptions wait for what comes by itself.
func Waits(o *overviewv1.Overview) (n int64) {
	for _, c := range o.GetParity().GetClasses() {
		if c.GetClass() == "waiting" {
			n += c.GetCount()
		}
	}
	return n
}

// attention says what is not as it should be, the most pressing first; times are those of the zone.
func attention(o *overviewv1.Overview, others *connectionv1.OtherWriters, zone *time.Location) []string {
	const moment = "2 January 2006 at 15:04 MST"
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, m := range o.GetMissing() {
		say("The service %s does not answer for this connection: %s.", m.GetService(), m.GetText())
	}
	if !o.GetEnabled() {
		say("The connection is disabled: nothing is polled and nothing is written.")
	}
	for _, b := range others.GetFound() {
		say("%s Halo said so on %s.", b.GetText(), others.GetLookTime().AsTime().In(zone).Format(moment))
	}
	switch sync := o.GetSync(); {
	case sync.GetOpenRun().GetOutcome() == runv1.Outcome_OUTCOME_HELD:
		say("A run is held: %s", sync.GetOpenRun().GetReason().GetText())
	case sync.GetLastError() != nil:
		say("The last poll did not succeed: %s", sync.GetLastError().GetReason().GetText())
	case sync != nil && sync.GetLastSuccess() == nil:
		say("Giacom was never polled yet.")
	}
	for _, w := range o.GetWaiting() {
		if w.GetState() == itemv1.State_STATE_FAILED {
			say("%s: %s", amountOf(w.GetCount(), w.GetKind()+" was refused by Halo", w.GetKind()+"s were refused by Halo"), w.GetReason().GetText())
		}
	}
	for _, c := range o.GetParity().GetClasses() {
		if c.GetCount() > 0 && !slices.Contains([]string{"agrees", "details", "excluded", "waiting"}, c.GetClass()) {
			say("%s.", phrase(c, true))
		}
	}
	for _, r := range o.GetInvoiceRuns() {
		if n := r.GetHeld() + r.GetFailed(); n > 0 {
			say("Before the invoice run on %[2]s %[1]s.", amountOf(n, "line is held or refused", "lines are held or refused"),
				r.GetTime().AsTime().In(zone).Format(moment))
		}
	}
	return out
}
