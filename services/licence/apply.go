package licence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

type (
	item    = reconcile.Item[Fields]
	outcome = reconcile.Outcome[Fields]
)

// batch is items of one connection on their way to Halo. Outcomes are written to out, at the item's index.
type batch struct {
	*service
	client     *halo.Client
	connection *connectionv1.Connection
	settings   Settings
	items      []item
	out        []outcome
	asked      map[int64]*outcome // customers whose licences Halo refused: why, nil where it is not for their sake
}

// apply writes items to Halo: those that have a licence there are updated, the others created, up to 50 in a request
// and of many customers at once.
func (s *service) apply(ctx context.Context, items []item) []outcome {
	out := make([]outcome, len(items))
	groups := map[string][]int{}
	for i, x := range items {
		groups[x.Connection] = append(groups[x.Connection], i)
	}
	for connection, indices := range groups {
		b, err := s.batchOf(ctx, connection, items, out)
		if err != nil {
			for _, i := range indices {
				out[i] = failed(err)
			}
			continue
		}
		var updates, creates []int
		for _, i := range indices {
			switch {
			case items[i].HaloID != 0 && items[i].Unclear && !b.mayWrite(items[i]):
				b.look(ctx, i)
			case items[i].HaloID != 0:
				updates = append(updates, i)
			case isReplaced(items[i].Key):
				out[i] = replacedGone
			default:
				creates = append(creates, i)
			}
		}
		for chunk := range slices.Chunk(updates, halo.MaxBatch) {
			b.update(ctx, chunk)
		}
		b.create(ctx, creates)
	}
	return out
}

func (s *service) batchOf(ctx context.Context, connection string, items []item, out []outcome) (*batch, error) {
	c, err := connections.Read(ctx, s.Pool, connection)
	if err != nil {
		return nil, err
	}
	client, err := s.halos.Client(ctx, c)
	if err != nil {
		return nil, err
	}
	return &batch{service: s, client: client.At(halo.Urgent), connection: c, settings: settingsOf(c), items: items, out: out, asked: map[int64]*outcome{}}, nil
}

// update posts what differs. A batch that Halo refuses is split until the bad row is alone; updates set values, so those
// that were applied already may be repeated.
func (b *batch) update(ctx context.Context, chunk []int) {
	if len(chunk) == 0 {
		return
	}
	rows := make([]halo.LicenceWrite, len(chunk))
	for n, i := range chunk {
		rows[n] = change(b.items[i])
	}
	reply, err := b.guarded(chunk).PostLicences(ctx, rows)
	switch class := halo.ClassOf(err); {
	case err == nil && reply.Astray:
		b.all(chunk, unclear)
	case err == nil:
		for _, i := range chunk {
			x := b.items[i]
			b.out[i] = reconcile.Done(x.HaloID, merge(x.Applied, x.Desired))
		}
	case class == halo.Unclear: // it may land after what is written next
		b.all(chunk, unclear)
	case class == halo.NotFound && len(chunk) == 1:
		b.out[chunk[0]] = goneInHalo(b.items[chunk[0]].HaloID)
	case (class == halo.Refused || class == halo.NotFound) && len(chunk) > 1:
		for _, part := range split(chunk, err) {
			b.update(ctx, part)
		}
	case class == halo.Refused:
		b.out[chunk[0]] = b.refused(ctx, rows[0].ClientID, err)
	default:
		b.all(chunk, failed(err))
	}
}

// refused is the outcome of a licence that Halo said no to. Where its customer is inactive by now, or gone, that is what to
// mend, whatever Halo said.
func (b *batch) refused(ctx context.Context, customer int64, err error) outcome {
	why, asked := b.asked[customer]
	if !asked {
		if code, text := b.client.CustomerTrouble(ctx, customer); code != "" {
			o := reconcile.Refused[Fields](code, text)
			why = &o
		}
		b.asked[customer] = why
	}
	if why == nil {
		return failed(err)
	}
	return *why
}

// mayWrite tells whether the connection still writes what concerns the customer of an item.
func (b *batch) mayWrite(x item) bool {
	l, err := unmarshal(x.Facts, &licencev1.Licence{})
	return err == nil && b.settings.Permit.Mode(x.Desired.ClientID, l.GetSubscription().GetGiacom().GetMexId()) == reconcile.Auto
}

// look finds out what became of an update that is unclear, where it may not be written again.
func (b *batch) look(ctx context.Context, i int) {
	x := b.items[i]
	l, err := b.client.Licence(ctx, x.HaloID)
	switch {
	case halo.ClassOf(err) == halo.NotFound:
		b.out[i] = goneInHalo(x.HaloID)
	case err != nil:
		b.out[i] = failed(err)
	default:
		f := foundIn(l).Fields
		b.out[i] = reconcile.Found(x.HaloID, &f)
	}
}

func goneInHalo(id int64) outcome {
	return reconcile.HoldFor[Fields]("gone_in_halo", fmt.Sprintf("Halo has no licence %d any more. Create it anew, or adopt another one.", id))
}

func (b *batch) all(chunk []int, o outcome) {
	for _, i := range chunk {
		b.out[i] = o
	}
}

var unclear = reconcile.Unclear[Fields]("unclear", "Halo did not answer: whether the last write took effect is looked up once it cannot land any more.")

// failed is the outcome of an error after which nothing was written.
func failed(err error) outcome {
	var e *halo.Error
	if !errors.As(err, &e) {
		return reconcile.Retry[Fields](0, "unavailable", fmt.Sprintf("Could not be written: %v. Tried again by itself.", err))
	}
	switch e.Class {
	case halo.Refused:
		return reconcile.Refused[Fields]("refused", "Halo refused it: "+strings.TrimRight(cmp.Or(e.Rows[0], e.Message, "it gave no reason"), ".")+". Correct the cause, then retry.")
	case halo.RateLimited:
		return reconcile.Retry[Fields](max(e.RetryAfter, time.Second), "budget", "Waits for room in Halo's request budget.")
	case halo.Unauthorised, halo.MissingRights:
		return reconcile.Retry[Fields](time.Minute, "rights", "Halo does not let Seatline write: "+e.Error()+".")
	default:
		return reconcile.Retry[Fields](0, "unavailable", "Halo could not be reached. Tried again by itself.")
	}
}

// split isolates the rows that Halo complained of by number; if it named none, it halves.
func split(chunk []int, err error) [][]int {
	var e *halo.Error
	if errors.As(err, &e) && len(e.Rows) > 0 && len(e.Rows) < len(chunk) {
		var good []int
		var parts [][]int
		for n, i := range chunk {
			if e.Rows[n] != "" {
				parts = append(parts, []int{i})
			} else {
				good = append(good, i)
			}
		}
		if len(parts) > 0 {
			return append(parts, good)
		}
	}
	half := len(chunk) / 2
	return [][]int{chunk[:half], chunk[half:]}
}

// change is what is posted to update a licence: the fields that differ, and the client, which Halo asks for. Where an earlier
// update is unclear it is not known what differs, and all are posted.
func change(x item) halo.LicenceWrite {
	d, before := x.Desired, x.Applied
	if x.Unclear {
		before = nil
	}
	w := halo.LicenceWrite{ID: x.HaloID, ClientID: d.ClientID}
	if w.ClientID == 0 && x.Applied != nil {
		w.ClientID = x.Applied.ClientID
	}
	for _, f := range diff(before, d) {
		switch f.Name {
		case "count":
			w.Count = whole(*d.Count)
		case "purchase_price":
			w.PurchasePrice = money(d.PurchasePrice)
		case "price":
			w.Price = money(d.Price)
		case "start_date":
			w.StartDate = date(d.Start)
		case "end_date":
			w.EndDate = date(d.End)
		case "billing_cycle":
			w.BillingCycle = d.Cycle
		case "term_duration":
			w.TermDuration = d.Term
		case "snowid":
			w.Mark = d.Mark
		case "is_active":
			active := d.Active
			w.IsActive = &active
		}
	}
	return w
}

func whole(n int64) *halo.Int {
	i := halo.Int(n)
	return &i
}

func money(d *decimal.Decimal) *halo.Money {
	if d == nil {
		return nil
	}
	return &halo.Money{Decimal: *d}
}

// date reads back what haloDate wrote.
func date(s string) *halo.Date {
	d, err := halo.ParseDate(s)
	if err != nil || s == "" {
		return nil
	}
	return &d
}

// reconsider parks an item whose circumstances changed since it was decided, and has it decided anew.
func (b *batch) reconsider(x item) outcome {
	o := reconcile.ParkUntil[Fields](time.Time{}, waitForList.Reason.Code, waitForList.Reason.Text)
	o.Also = func(ctx context.Context, tx pgx.Tx) error {
		return revisit(ctx, tx, x.Connection, []string{x.Key}, b.Clock.Now())
	}
	return o.Looked()
}
