package billing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
)

type (
	item    = reconcile.Item[Fields]
	outcome = reconcile.Outcome[Fields]
)

// apply writes the lines of one recurring invoice: it reads the invoice, decides anew over what it
// finds, posts it once for all lines, and reads it again to compare.
func (s *service) apply(ctx context.Context, batch []item) []outcome {
	a := &attempt{s: s, batch: batch, instance: batch[0].Instance, out: make([]*outcome, len(batch)), requestID: uuid.NewString()}
	if err := a.run(ctx); err != nil {
		s.Log.WarnContext(ctx, "write recurring invoice", "instance", a.instance, "invoice", a.invoice, "request_id", a.requestID, "err", err)
		a.rest(failure(err))
	}
	a.rest(reconcile.Retry[Fields](0, "changed", "Something changed meanwhile; it is looked at again."))
	outcomes := make([]outcome, len(batch))
	for i, o := range a.out {
		o.RequestID = a.requestID
		outcomes[i] = *o
	}
	// Whatever was seen is stored with the outcomes, and the customers are decided anew over it.
	outcomes[0].Also = a.store
	return outcomes
}

// failure is what an error of Halo means for lines that are not known to be written.
func failure(err error) outcome {
	var e *halo.Error
	if !errors.As(err, &e) {
		return reconcile.Retry[Fields](0, "unavailable", "The line could not be written; it is tried again.")
	}
	text := "Halo: " + strings.TrimSpace(e.Error())
	switch e.Class {
	case halo.Unclear:
		return reconcile.Unclear[Fields]("unclear", "Halo did not answer and the write may have landed; the invoice is read again before anything else is written to it.")
	case halo.Refused:
		return reconcile.Refused[Fields]("refused", text+". Correct it in Halo or in the price rules, then retry the line.")
	case halo.Unauthorised, halo.MissingRights:
		return reconcile.Retry[Fields](5*time.Minute, string(e.Class), text)
	case halo.NotFound:
		return reconcile.Retry[Fields](time.Minute, "not_found", text)
	default:
		return reconcile.Retry[Fields](e.RetryAfter, string(e.Class), text)
	}
}

// attempt is one try at the lines of one invoice.
type attempt struct {
	s         *service
	batch     []item
	out       []*outcome
	instance  string
	invoice   int64
	requestID string
	client    *halo.Client

	seen   *halo.Invoice // as last read
	readAt time.Time
	gone   bool
	lost   *loss
}

// job is one line to be written.
type job struct {
	index    int
	decision Decision
	name     string
	proRata  *int64
}

// rest gives an outcome to the items that have none.
func (a *attempt) rest(o outcome) {
	for i := range a.out {
		if a.out[i] == nil {
			c := o
			a.out[i] = &c
		}
	}
}

func (a *attempt) run(ctx context.Context) (err error) {
	if a.invoice, err = strconv.ParseInt(a.batch[0].Group, 10, 64); err != nil {
		return fmt.Errorf("recurring invoice %q: %w", a.batch[0].Group, err)
	}
	c, err := connections.Read(ctx, a.s.pool, a.batch[0].Connection)
	if err != nil {
		return err
	}
	quiet := settingsOf(c).Quiet
	if known, err := a.stored(ctx); err != nil {
		return err
	} else if known != nil && a.s.Clock.Now().Before(known.Next) && a.parkBefore(known.Next, quiet) {
		return nil // known without asking; whether a run that is due has happened must be asked
	}
	if a.client, err = a.s.halo.Client(ctx, c); err != nil {
		return err
	}
	a.client = a.client.At(halo.Urgent)
	if err := a.look(ctx); err != nil || a.gone {
		return err
	}
	if a.parkBefore(a.seen.NextCreation().Time, quiet) {
		return nil
	}
	jobs, err := a.decide(ctx)
	if err != nil || len(jobs) == 0 {
		return err
	}
	return a.write(ctx, jobs, true)
}

// stored is the invoice as it was last read, nil if it was not.
func (a *attempt) stored(ctx context.Context) (*Invoice, error) {
	sc := &scope{snapshot: Snapshot{Items: map[int64]Item{}}}
	if err := sc.readInvoices(ctx, a.s.pool, a.instance, []int64{a.invoice}, nil); err != nil || len(sc.snapshot.Invoices) == 0 {
		return nil, err
	}
	return &sc.snapshot.Invoices[0], nil
}

// parkBefore keeps an invoice alone from some hours before Halo makes the next invoice from it until
// that has happened: what is written while Halo computes may be billed by half.
func (a *attempt) parkBefore(next time.Time, quiet time.Duration) bool {
	now := a.s.Clock.Now()
	if next.IsZero() || quiet <= 0 || now.Before(next.Add(-quiet)) {
		return false
	}
	wake := next.Add(5 * time.Minute)
	if late := now.Sub(next); late > 0 {
		wake = now.Add(min(max(late/2, 15*time.Minute), 6*time.Hour))
	}
	a.rest(reconcile.ParkUntil[Fields](wake, "invoice_run", fmt.Sprintf("Halo makes the next invoice on %s UTC; the line is written once it has.", next.UTC().Format("2 January 2006 15:04"))))
	return true
}

// look reads the invoice.
func (a *attempt) look(ctx context.Context) error {
	at := a.s.Clock.Now()
	inv, err := a.client.Invoice(ctx, a.invoice)
	if halo.ClassOf(err) == halo.NotFound {
		a.gone, a.readAt = true, at
		a.rest(reconcile.HoldFor[Fields]("invoice_gone", "Halo has no such recurring invoice any more."))
		return nil
	}
	if err != nil {
		// Nothing was written; a read whose answer did not come is no write that may land.
		if halo.ClassOf(err) == halo.Unclear {
			return fmt.Errorf("read recurring invoice %d: no answer", a.invoice)
		}
		return err
	}
	a.seen, a.readAt = &inv, at
	return nil
}

// decide decides anew over the invoice as it is, and gives the lines that must be written. Items that
// need no write, or may not be written, get their outcome.
func (a *attempt) decide(ctx context.Context) ([]job, error) {
	fresh := invoiceOf(*a.seen)
	var connections, keys []string
	for _, x := range a.batch {
		if key, ok := strings.CutPrefix(x.Key, addPrefix); ok {
			connections, keys = append(connections, x.Connection), append(keys, key)
		}
	}
	clients, err := column[int64](ctx, a.s.pool, `select distinct client_id from licences where (connection, key) in (select * from unnest($1::text[], $2::text[]))`, connections, keys)
	if err != nil {
		return nil, err
	}
	clients = append(clients, fresh.ClientID)
	sc, err := a.s.gather(ctx, a.s.pool, a.instance, clients, &fresh)
	if err != nil {
		return nil, err
	}
	decisions := decide(&sc.snapshot, sc.book)
	var jobs []job
	for i, x := range a.batch {
		if a.out[i] != nil {
			continue
		}
		set := sc.book.Settings[x.Connection]
		d := find(decisions, fresh, x)
		var o outcome
		switch {
		case d == nil:
			o = reconcile.HoldFor[Fields]("line_gone", "The line is gone from Halo, or bills no licence of ours any more.")
		case d.Verdict.State == reconcile.Held:
			o = reconcile.HoldFor[Fields](d.Verdict.Reason.Code, d.Verdict.Reason.Text)
		case d.Verdict.State == reconcile.Parked:
			o = reconcile.ParkUntil[Fields](time.Time{}, d.Verdict.Reason.Code, d.Verdict.Reason.Text)
		case d.Applied != nil && len(diff(d.Applied, &d.Desired)) == 0:
			o = confirmed(x.Key, d.Facts.Line, d.Applied)
		case d.Facts.Invoice != a.invoice, set.Mode != reconcile.Auto:
			o = reconcile.Retry[Fields](0, "changed", "Something changed meanwhile; it is looked at again.")
		default:
			jobs = append(jobs, job{i, *d, d.Facts.Text, set.ProRata})
			continue
		}
		a.out[i] = &o
	}
	return jobs, nil
}

// find gives the decision about an item. A line to be added may be there already: an earlier write
// whose answer did not come. It is known by the licence it links.
func find(decisions []Decision, inv Invoice, x item) *Decision {
	for i := range decisions {
		if (decisions[i].ItemKey == ItemKey{x.Connection, x.Key}) {
			return &decisions[i]
		}
	}
	key, ok := strings.CutPrefix(x.Key, addPrefix)
	if !ok {
		return nil
	}
	for i := range decisions {
		if d := &decisions[i]; d.Connection == x.Connection && d.Facts.Invoice == inv.ID && d.Facts.Linked && slices.Contains(d.Facts.Licences, key) && d.Applied != nil {
			there := *d
			there.Verdict, there.Desired = reconcile.Go(), *d.Applied
			return &there
		}
	}
	return nil
}
