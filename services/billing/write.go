package billing

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
)

// write posts the jobs in one request and compares. A refusal is met once with a fresh look, because
// the invoice may have been changed meanwhile; then the lines are tried apart, to find the one at fault.
func (a *attempt) write(ctx context.Context, jobs []job, again bool) error {
	before := *a.seen
	edited := before
	edited.Lines = slices.Clone(before.Lines)
	var posted []job
	for _, j := range jobs {
		if err := edit(&edited, j.decision, j.name, j.proRata); err != nil {
			o := reconcile.HoldFor[Fields]("edit", "The line could not be changed: "+err.Error())
			a.out[j.index] = &o
			continue
		}
		posted = append(posted, j)
	}
	if len(posted) == 0 {
		return nil
	}
	reply, err := a.client.PostInvoice(ctx, edited)
	if halo.ClassOf(err) == halo.Refused {
		return a.refused(ctx, posted, again, err)
	}
	if err != nil {
		return err
	}
	if err := a.look(ctx); err != nil {
		// It landed as far as Halo's answer goes, but nobody has seen it.
		o := reconcile.Unclear[Fields]("unconfirmed", "Halo took the write, but reading it back failed; it is looked up.")
		a.give(posted, o)
		return err
	}
	if a.gone {
		return nil
	}
	return a.compare(before, posted, reply)
}

// confirmed is the outcome of a line that Halo holds as it should be. A line that was added is an item
// of its own from now on.
func confirmed(key string, line int64, holds *Fields) outcome {
	if strings.HasPrefix(key, addPrefix) {
		return reconcile.Ended(line, holds, nowBilled.Code, nowBilled.Text)
	}
	return reconcile.Done(line, holds)
}

func (a *attempt) give(jobs []job, o outcome) {
	for _, j := range jobs {
		c := o
		a.out[j.index] = &c
	}
}

func (a *attempt) refused(ctx context.Context, jobs []job, again bool, refusal error) error {
	if !again && len(jobs) == 1 {
		a.give(jobs, failure(refusal))
		return nil
	}
	parts := [][]job{jobs}
	if !again {
		parts = [][]job{jobs[:len(jobs)/2], jobs[len(jobs)/2:]}
	}
	for _, part := range parts {
		if err := a.look(ctx); err != nil || a.gone {
			return err
		}
		fresh, err := a.decide(ctx)
		if err != nil {
			return err
		}
		fresh = slices.DeleteFunc(fresh, func(j job) bool {
			return !slices.ContainsFunc(part, func(p job) bool { return p.index == j.index })
		})
		if len(fresh) == 0 {
			continue
		}
		if err := a.write(ctx, fresh, false); err != nil {
			return err
		}
	}
	return nil
}

// compare checks that Halo holds what was written, and that no line was lost.
func (a *attempt) compare(before halo.Invoice, jobs []job, reply halo.Reply) error {
	if ids := lost(before, *a.seen); len(ids) > 0 {
		a.s.Log.Error("LINES LOST: a recurring invoice has fewer lines than before it was written",
			"instance", a.instance, "invoice", a.invoice, "lines", ids, "request_id", a.requestID)
		a.lost = &loss{invoice: a.invoice, lines: ids, before: before}
		a.give(jobs, reconcile.HoldFor[Fields](linesLost, a.lost.text()))
		return nil
	}
	was, is := invoiceOf(before).Lines, invoiceOf(*a.seen).Lines
	for _, j := range jobs {
		id, holds := taken(was, is, j.decision)
		var o outcome
		switch {
		case holds == nil || len(diff(holds, &j.decision.Desired)) > 0:
			o = reconcile.Refused[Fields]("not_taken", "Halo accepted the write but holds something else in the line. Look at the line in Halo, then retry.")
		case reply.Astray && before.ChangeSeq() == 0:
			o = reconcile.Unclear[Fields]("astray", "An earlier try of this write may land yet; the invoice is looked at again.")
		default:
			o = confirmed(j.decision.Key, id, holds)
		}
		a.out[j.index] = &o
	}
	return nil
}

// store keeps the invoice as it was last seen, and has its customer decided anew.
func (a *attempt) store(ctx context.Context, tx pgx.Tx) error {
	now := a.s.Clock.Now()
	clients := []int64{}
	if a.lost != nil {
		if err := a.lost.store(ctx, tx, a.instance, a.requestID, now); err != nil {
			return err
		}
	}
	if a.gone {
		ids, err := column[int64](ctx, tx, `update invoices set gone = true where instance = $1 and id = $2 and read_at <= $3 returning client_id`, a.instance, a.invoice, a.readAt)
		if err != nil {
			return err
		}
		clients = ids
	}
	if a.seen != nil {
		if err := saveInvoices(ctx, tx, a.instance, []halo.Invoice{*a.seen}, a.readAt, now); err != nil {
			return err
		}
		clients = append(clients, a.seen.ClientID())
	}
	return dirty(ctx, tx, a.instance, clients, now)
}
