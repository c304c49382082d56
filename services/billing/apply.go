package billing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
)

type (
	item    = reconcile.Item[Fields]
	outcome = reconcile.Outcome[Fields]
)

// apply writes the lines of some recurring invoices of one instance: each is read, decided about anew over
// what is found, posted once for all of its lines, and read again to compare.
func (s *service) apply(ctx context.Context, items []item) []outcome {
	b := &batch{s: s, items: items, instance: items[0].Instance, out: make([]*outcome, len(items))}
	byInvoice := map[string]*attempt{}
	for i, x := range items {
		a := byInvoice[x.Group]
		if a == nil {
			a = &attempt{batch: b, requestID: uuid.NewString(), added: map[int]int64{}}
			byInvoice[x.Group] = a
			b.attempts = append(b.attempts, a)
		}
		a.mine = append(a.mine, i)
	}
	var g errgroup.Group
	for _, a := range b.attempts {
		s.writing <- struct{}{}
		g.Go(func() error {
			defer func() { <-s.writing }()
			if err := a.run(ctx); err != nil {
				s.Log.WarnContext(ctx, "write recurring invoice", "instance", b.instance, "invoice", a.invoice, "request_id", a.requestID, "err", err)
				a.rest(failure(err))
			}
			a.rest(reconcile.Retry[Fields](0, "changed", "Something changed meanwhile; it is looked at again."))
			a.end()
			return nil
		})
	}
	_ = g.Wait()                         // each has given its outcomes
	if err := b.handOver(); err != nil { // whoever decides next finds the lines
		s.Log.WarnContext(ctx, "hand over lines that were added", "instance", b.instance, "err", err)
	}
	outcomes := make([]outcome, len(items))
	for _, a := range b.attempts {
		for _, i := range a.mine {
			if outcomes[i] = *b.out[i]; a.seen != nil {
				outcomes[i] = outcomes[i].Looked() // its lines show whether an earlier write landed
			}
			outcomes[i].RequestID = a.requestID
			// Whatever was seen is stored with the outcomes, and where it may matter the customers are decided anew over it.
			outcomes[i].Also = b.store
		}
	}
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
	*batch
	mine      []int // places in the batch
	invoice   int64
	requestID string
	client    *halo.Client

	seen    *sight // as last read
	gone    bool
	at      time.Time // when that was found out
	lost    *loss
	decided *known        // what was decided over last
	added   map[int]int64 // lines that are there now, by the places of the items that were to add them
	// complete: deciding about the invoice as it was last seen would change nothing
	complete bool

	over bool // under the lock of the batch
}

// job is one line to be written.
type job struct {
	index    int
	decision Decision
	name     string
	proRata  *int64
}

func (a *attempt) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
}

// guarded is the client for writing the invoice, as long as nobody has taken its lines over since they were claimed.
func (a *attempt) guarded() *halo.Client {
	items := make([]item, len(a.mine))
	for n, i := range a.mine {
		items[n] = a.batch.items[i]
	}
	return a.client.Guarded(a.s.engine.Guard(items...))
}

// rest gives an outcome to the items that have none.
func (a *attempt) rest(o outcome) {
	for _, i := range a.mine {
		if a.out[i] == nil {
			c := o
			a.out[i] = &c
		}
	}
}

func (a *attempt) run(ctx context.Context) (err error) {
	first := a.batch.items[a.mine[0]]
	if a.invoice, err = strconv.ParseInt(first.Group, 10, 64); err != nil {
		return fmt.Errorf("recurring invoice %q: %w", first.Group, err)
	}
	known, err := a.known(ctx)
	if err != nil {
		return err
	}
	c, err := known.connection(first.Connection)
	if err != nil {
		return err
	}
	quiet := settingsOf(c).Quiet
	if inv := known.invoices[a.invoice]; inv != nil && a.s.Clock.Now().Before(inv.Next) && a.parkBefore(inv.Next, quiet) {
		return nil // known without asking; whether a run that is due has happened must be asked
	}
	if a.client, err = a.s.halo.Client(ctx, c); err != nil {
		return err
	}
	a.client = a.client.At(halo.Urgent)
	if err := a.look(ctx); err != nil || a.gone {
		return err
	}
	if a.parkBefore(a.seen.Next, quiet) {
		return nil
	}
	jobs, err := a.decide(ctx)
	if err != nil || len(jobs) == 0 {
		return err
	}
	return a.write(ctx, jobs, true)
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
		a.gone, a.at = true, at
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
	a.seen, err = sightOf(inv, at)
	return err
}

// decide decides anew over the invoice as it is, and gives the lines that must be written. Items that
// need no write, or may not be written, get their outcome.
func (a *attempt) decide(ctx context.Context) ([]job, error) {
	known, err := a.known(ctx)
	if err != nil {
		return nil, err
	}
	if inv := known.invoices[a.invoice]; inv == nil || !a.seen.shows(inv) {
		// It is not as it was stored: what is known of the others does not do.
		if known, err = a.gather(ctx, a.mine, &a.seen.Invoice); err != nil {
			return nil, err
		}
	}
	a.decided = known
	var jobs []job
	for _, i := range a.mine {
		if a.out[i] != nil {
			continue
		}
		x := a.batch.items[i]
		set := known.book.Settings[x.Connection]
		d := known.find(a.invoice, x)
		var o outcome
		switch {
		case d == nil:
			o = reconcile.HoldFor[Fields]("line_gone", "The line is gone from Halo, or bills no licence of ours any more.")
		case d.Verdict.State == reconcile.Held:
			o = reconcile.HoldFor[Fields](d.Verdict.Reason.Code, d.Verdict.Reason.Text)
		case d.Verdict.State == reconcile.Parked:
			o = reconcile.ParkUntil[Fields](time.Time{}, d.Verdict.Reason.Code, d.Verdict.Reason.Text)
		case d.Applied != nil && len(diff(d.Applied, &d.Desired)) == 0:
			o = a.confirmed(i, d.Facts.Line, d.Applied)
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
