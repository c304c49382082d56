package billing

import (
	"reflect"
	"slices"
)

// handOver has lines that were added recorded as what they are now, in the words in which whoever decides next would. Where
// a further decision would find nothing else, there need be none.
func (b *batch) handOver() error {
	over := map[*known][]*attempt{}
	for _, a := range b.attempts {
		if len(a.added) > 0 {
			over[a.decided] = append(over[a.decided], a)
		}
	}
	for k, attempts := range over {
		if err := k.handOver(attempts); err != nil {
			return err
		}
	}
	return nil
}

// handOver decides once more, over the invoices as the attempts left them.
func (k *known) handOver(attempts []*attempt) error {
	now := k.snapshot
	now.Invoices = slices.Clone(now.Invoices)
	for _, a := range attempts {
		if at := slices.IndexFunc(now.Invoices, func(v Invoice) bool { return v.ID == a.invoice }); at >= 0 {
			now.Invoices[at] = a.seen.Invoice
		}
	}
	before, after := byKey(k.decisions), byKey(decide(&now, k.book))
	for _, a := range attempts {
		a.complete = true
		for _, i := range a.mine {
			x := a.items[i]
			key := ItemKey{x.Connection, lineKey(a.invoice, a.added[i])}
			d := after[key]
			if d == nil || !a.out[i].IsDone() {
				a.complete = false
				continue
			}
			w, err := want(*d, k.book.Settings[d.Connection])
			if err != nil {
				return err
			}
			o := a.out[i].InFavourOf(w)
			a.out[i], a.complete = &o, a.complete && !x.Unclear
			delete(before, ItemKey{x.Connection, x.Key})
			delete(after, key)
		}
	}
	// What else the decision rests on was read after the lines were claimed. When it changes the customer is queued, and who
	// takes the queue meanwhile queues those again whose invoices are being written.
	quiet := !k.fresh && len(k.snapshot.Inty.Moves) == 0 && reflect.DeepEqual(before, after) &&
		!slices.ContainsFunc(k.snapshot.Licences, func(l Licence) bool { return l.LeftClientID != 0 })
	for _, a := range attempts {
		a.complete = a.complete && quiet
	}
	return nil
}

func byKey(list []Decision) map[ItemKey]*Decision {
	m := make(map[ItemKey]*Decision, len(list))
	for i := range list {
		m[list[i].ItemKey] = &list[i]
	}
	return m
}
