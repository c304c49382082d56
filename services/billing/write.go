package billing

import (
	"context"
	"slices"
	"strings"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
)

// write posts the jobs in one request and compares. A refusal is met once with a fresh look, because
// the invoice may have been changed meanwhile; then the lines are tried apart, to find the one at fault.
func (a *attempt) write(ctx context.Context, jobs []job, again bool) error {
	before := a.seen
	edited := before.raw
	edited.Lines = slices.Clone(before.raw.Lines)
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
	reply, err := a.guarded().PostInvoice(ctx, edited)
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
func (a *attempt) confirmed(at int, line int64, holds *Fields) outcome {
	if strings.HasPrefix(a.items[at].Key, addPrefix) {
		a.added[at] = line
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
		o := failure(refusal)
		if code, text := a.client.CustomerTrouble(ctx, a.seen.ClientID); code != "" {
			o = reconcile.Refused[Fields](code, text)
		}
		a.give(jobs, o)
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
func (a *attempt) compare(before *sight, jobs []job, reply halo.Reply) error {
	if ids := lost(before.raw, a.seen.raw); len(ids) > 0 {
		a.s.Log.Error("LINES LOST: a recurring invoice has fewer lines than before it was written",
			"instance", a.instance, "invoice", a.invoice, "lines", ids, "request_id", a.requestID)
		a.lost = &loss{invoice: a.invoice, lines: ids, before: before.raw}
		a.give(jobs, reconcile.HoldFor[Fields](linesLost, a.lost.text()))
		return nil
	}
	for _, j := range jobs {
		id, holds := taken(before.Lines, a.seen.Lines, j.decision)
		var o outcome
		switch {
		case holds == nil || len(diff(holds, &j.decision.Desired)) > 0:
			o = reconcile.Refused[Fields]("not_taken", "Halo accepted the write but holds something else in the line. Look at the line in Halo, then retry.")
		case reply.Astray && before.raw.ChangeSeq() == 0:
			o = reconcile.Unclear[Fields]("astray", "An earlier try of this write may land yet; the invoice is looked at again.")
		default:
			o = a.confirmed(j.index, id, holds)
		}
		a.out[j.index] = &o
	}
	return nil
}
