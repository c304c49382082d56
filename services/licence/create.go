package licence

import (
	"context"
	"fmt"
	"slices"
	"time"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// postWithin bounds the wait for a turn before a create is sent: what Halo showed when it was decided is old by then, and is
// looked at again.
const postWithin = time.Minute

// listPage is how many licences Halo lists in one request, where it does not cap the page.
const listPage = 1000

// create makes licences in Halo. Those whose earlier create is unclear are looked up first; ids are learnt by listing,
// because what a POST of many rows answers is not known.
func (b *batch) create(ctx context.Context, indices []int) {
	if len(indices) == 0 {
		return
	}
	todo, err := b.stillMissing(ctx, indices)
	if err != nil {
		for _, i := range indices {
			b.out[i] = b.unsent(i, err)
		}
		return
	}
	var posted []int
	for chunk := range slices.Chunk(todo, halo.MaxBatch) {
		posted = append(posted, b.post(ctx, chunk)...)
	}
	b.confirm(ctx, posted)
}

// unsent is the outcome of an item of which nothing was sent this time; an unclear one stays so.
func (b *batch) unsent(i int, err error) outcome {
	if b.items[i].Unclear {
		return unclear
	}
	return failed(err)
}

// stillMissing settles the items that turn out to have a licence in Halo, or may have, and gives the others.
func (b *batch) stillMissing(ctx context.Context, indices []int) ([]int, error) {
	known, err := readInstance(ctx, b.Pool, b.settings.Instance)
	if err != nil {
		return nil, err
	}
	unclear := slices.DeleteFunc(slices.Clone(indices), func(i int) bool { return !b.items[i].Unclear })
	if b.outdated(known.ListedAt) {
		err = b.refresh(ctx, nil)
	} else if len(unclear) > 0 {
		err = b.refresh(ctx, unclear)
	}
	if err != nil {
		return nil, err
	}
	matches, wants, err := b.matches(ctx, indices)
	if err != nil {
		return nil, err
	}
	var missing []int
	for _, i := range indices {
		x := b.items[i]
		m, ok := matches[x.Key]
		switch {
		case m.Adopt != nil && m.Adopt.Fields.Mark == b.settings.Mark(x.Key): // ours already
			b.out[i] = reconcile.Done(m.Adopt.HaloID, &m.Adopt.Fields)
			b.out[i].Action = "create"
		case m.Verdict.State == reconcile.Held && m.Verdict.Reason.Code == "duplicate_mark":
			b.out[i] = reconcile.HoldFor[Fields](m.Verdict.Reason.Code, m.Verdict.Reason.Text)
		case !ok || m.Adopt != nil || m.Verdict.State != reconcile.Pending || !x.Desired.Active || !wants[x.Key]:
			b.out[i] = b.reconsider(x)
		default:
			missing = append(missing, i)
		}
	}
	return missing, nil
}

// matches asks adoption again, with what Halo shows now, and tells which may still be made: what was claimed again
// because its create was unclear may have lost its reason since, or the leave to write.
func (b *batch) matches(ctx context.Context, indices []int) (map[string]match, map[string]bool, error) {
	var marks []string
	var subs []subscription
	wants := map[string]bool{}
	keys := make([]string, len(b.items))
	for i, x := range b.items {
		keys[i] = x.Key
	}
	for _, i := range indices {
		x := b.items[i]
		l, err := unmarshal(x.Facts, &licencev1.Licence{})
		if err != nil {
			return nil, nil, err
		}
		wants[x.Key] = situation{Sub: l.GetSubscription(), Settings: b.settings}.needsMatch() &&
			b.settings.Permit.Mode(x.Desired.ClientID, l.GetSubscription().GetGiacom().GetMexId()) == reconcile.Auto
		marks = append(marks, b.settings.Mark(x.Key))
		sub := subscription{Subscription: l.GetSubscription()}
		sub.HaloClientId = x.Desired.ClientID
		subs = append(subs, sub)
	}
	rows, err := readFound(ctx, b.Pool, b.settings, subs, marks, nil)
	if err != nil {
		return nil, nil, err
	}
	// Those of this batch are being looked up with it.
	creating, err := readCreating(ctx, b.Pool, b.settings, clientsOf(subs), `w.unclear and not key = any($3)`, keys)
	if err != nil {
		return nil, nil, err
	}
	matches, err := matchAll(ctx, b.Pool, b.settings, subs, rows, creating)
	return matches, wants, err
}

// refresh reads Halo's licences anew: all of them (indices nil), or of the customers concerned where that takes fewer
// requests than all.
func (b *batch) refresh(ctx context.Context, indices []int) error {
	started := b.Clock.Now()
	var customers []int64
	for _, i := range indices {
		customers = append(customers, b.items[i].Desired.ClientID)
		if intent := b.items[i].Intent; intent != nil { // it may have been mapped to another since
			customers = append(customers, intent.ClientID)
		}
	}
	slices.Sort(customers)
	customers = slices.Compact(customers)
	var pages int
	if err := b.Pool.QueryRow(ctx, `select count(*) / 1000 + 1 from halo_licences where instance = $1`, b.settings.Instance).Scan(&pages); err != nil {
		return fmt.Errorf("count Halo's licences: %w", err)
	}
	if indices == nil || len(customers) > pages {
		if err := b.store(ctx, b.client, b.settings.Instance, started, 0); err != nil {
			return err
		}
		if err := b.learnMarks(ctx, b.client, b.settings.Instance, nil); err != nil {
			return err
		}
		return b.conclude(ctx, b.settings.Instance, started) // others may have waited for a list
	}
	for _, customer := range customers {
		if err := b.store(ctx, b.client, b.settings.Instance, started, customer); err != nil {
			return err
		}
	}
	return b.learnMarks(ctx, b.client, b.settings.Instance, customers)
}

// guarded is the client for a request that writes these items, as long as nobody has taken them over while we waited.
func (b *batch) guarded(chunk []int) *halo.Client {
	items := make([]item, len(chunk))
	for n, i := range chunk {
		items[n] = b.items[i]
	}
	return b.client.Guarded(b.engine.Guard(items...))
}

// post sends a chunk and gives the items that Halo accepted. A refused chunk may have been applied in part: its marks
// are looked up before any of it is sent again.
func (b *batch) post(ctx context.Context, chunk []int) []int {
	if len(chunk) == 0 {
		return nil
	}
	rows := make([]halo.LicenceWrite, len(chunk))
	for n, i := range chunk {
		var err error
		if rows[n], err = newLicence(b.items[i], b.settings); err != nil {
			b.all(chunk, failed(err))
			return nil
		}
	}
	within, cancel := context.WithTimeout(ctx, postWithin+b.client.Timeout())
	defer cancel()
	_, err := b.guarded(chunk).PostLicences(within, rows)
	switch class := halo.ClassOf(err); {
	case err == nil:
		return chunk
	case class == halo.Unclear:
		b.all(chunk, unclear)
		return nil
	case class == halo.Refused && len(chunk) == 1:
		b.out[chunk[0]] = b.refused(ctx, rows[0].ClientID, err)
		return nil
	case class != halo.Refused:
		b.all(chunk, failed(err))
		return nil
	}
	if lookErr := b.refresh(ctx, chunk); lookErr != nil {
		b.all(chunk, unclear)
		return nil
	}
	there, lookErr := b.marked(ctx, chunk, time.Time{})
	if lookErr != nil {
		b.all(chunk, unclear)
		return nil
	}
	var posted []int
	for _, part := range split(chunk, err) {
		var missing []int
		for _, i := range part {
			if len(there[b.items[i].Key]) > 0 {
				posted = append(posted, i)
			} else {
				missing = append(missing, i)
			}
		}
		posted = append(posted, b.post(ctx, missing)...)
	}
	return posted
}

// confirm learns the ids of what was created, by its marks.
func (b *batch) confirm(ctx context.Context, posted []int) {
	if len(posted) == 0 {
		return
	}
	started := b.Clock.Now()
	seen, err := b.newest(ctx, posted)
	if err == nil && !seen {
		err = b.refresh(ctx, posted)
	}
	if err != nil { // what was seen until then is known all the same; the others wait until nothing can land any more
		b.Log.WarnContext(ctx, "not all of the licences that were created could be listed, the others are looked up later", "connection", b.connection.GetSlug(), "licences", len(posted), "err", err)
	}
	there, err := b.marked(ctx, posted, started)
	if err != nil {
		b.Log.WarnContext(ctx, "created licences are looked up later", "connection", b.connection.GetSlug(), "licences", len(posted), "err", err)
		b.all(posted, unclear)
		return
	}
	for _, i := range posted {
		x := b.items[i]
		switch rows := there[x.Key]; len(rows) {
		case 0:
			b.out[i] = unclear
		case 1:
			b.out[i] = reconcile.Done(rows[0].HaloID, merge(&rows[0].Fields, x.Desired))
		default:
			v := duplicateMark(rows)
			b.out[i] = reconcile.HoldFor[Fields](v.Reason.Code, v.Reason.Text)
		}
	}
}

// newest reads Halo's licences from the highest id down until all that were just created have been seen, stores those,
// and tells whether they were: a large instance is not listed whole for each batch. Where that would not spare a request,
// where lists do not show marks, or where Halo orders otherwise, nothing is claimed.
func (b *batch) newest(ctx context.Context, posted []int) (bool, error) {
	missing := make(map[string]bool, len(posted))
	customers := map[int64]bool{}
	for _, i := range posted {
		missing[b.settings.Mark(b.items[i].Key)] = true
		customers[b.items[i].Desired.ClientID] = true
	}
	if len(customers) <= (len(posted)+listPage-1)/listPage {
		return false, nil
	}
	listing := b.Clock.Now().UnixMicro()
	rows, seen, last, read := make([]halo.Licence, 0, len(posted)), map[int64]bool{}, int64(0), 0
	for l, err := range b.client.Licences(ctx, halo.LicenceFilter{Inactive: true, Newest: true}) {
		if err != nil {
			return false, err
		}
		id, mark := int64(l.ID), l.Mark
		if seen[id] { // what others create meanwhile pushes it on to the next page
			continue
		}
		if last != 0 && id > last || !mark.Present || read > 2*len(posted)+2*listPage { // others create as well
			return false, nil
		}
		seen[id], last, read = true, id, read+1
		if !missing[mark.Value] {
			continue // whoever made it lists it
		}
		delete(missing, mark.Value)
		if rows = append(rows, l); len(missing) == 0 {
			break
		}
	}
	if len(missing) > 0 {
		return false, nil
	}
	for page := range slices.Chunk(rows, listPage) {
		if err := save(ctx, b.Pool, b.settings.Instance, listing, page); err != nil {
			return false, err
		}
	}
	return true, nil
}

// marked gives the licences that carry the marks of these items, by key, as far as they were listed since then.
func (b *batch) marked(ctx context.Context, indices []int, since time.Time) (map[string][]found, error) {
	keys := map[string]string{}
	marks := make([]string, len(indices))
	for n, i := range indices {
		marks[n] = b.settings.Mark(b.items[i].Key)
		keys[marks[n]] = b.items[i].Key
	}
	rows, err := readShownWhere(ctx, b.Pool, `instance = $1 and mark <> '' and mark = any($2) and listing >= $3`, b.settings.Instance, marks, since.UnixMicro())
	if err != nil {
		return nil, err
	}
	there := map[string][]found{}
	for _, r := range rows {
		key := keys[r.Fields.Mark]
		there[key] = append(there[key], r)
	}
	return there, nil
}

// newLicence is what is posted to create a licence. Its name, product and parties are ours only now: later they belong
// to the people who work in Halo.
func newLicence(x item, settings Settings) (halo.LicenceWrite, error) {
	l, err := unmarshal(x.Facts, &licencev1.Licence{})
	if err != nil {
		return halo.LicenceWrite{}, err
	}
	g := l.GetSubscription().GetGiacom()
	empty := x
	empty.Applied = nil
	w := change(empty)
	w.ID, w.Type = 0, whole(halo.TypeSubscription)
	w.Name, w.ProductSKU, w.TenantID, w.ThirdPartyClient, w.Distributor = g.GetName(), g.GetSku(), g.GetTenantId(), g.GetMexId(), "Giacom"
	if g.GetMicrosoft() {
		w.Vendor = "Microsoft"
	}
	if w.Price == nil {
		// The recommended price is per the same time as the purchase price.
		if rrp, code, _ := perCycle(g.GetRrp(), w.BillingCycle, w.TermDuration, settings); code == "" {
			w.Price = money(&rrp)
		}
	}
	return w, nil
}
