package mapper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// postRows is how many customers go into one request.
const postRows = 50

type (
	item    = reconcile.Item[Fields]
	outcome = reconcile.Outcome[Fields]
)

// write gives Halo what a batch of customers should hold. It is the engine's Apply.
func (s *service) write(ctx context.Context, batch []item) []outcome {
	out := make([]outcome, len(batch))
	byConnection := map[string][]int{}
	for i, x := range batch {
		byConnection[x.Connection] = append(byConnection[x.Connection], i)
	}
	for connection, at := range byConnection {
		w := &writer{service: s, batch: batch, out: out}
		if err := w.open(ctx, connection); err != nil {
			w.all(at, func(item) outcome { return retry(err) })
			continue
		}
		var create, look, rename []int
		for _, i := range at {
			switch x := batch[i]; {
			case x.Unclear && aim(x).Create: // whatever is wanted by now: Halo may have it
				look = append(look, i)
			case x.Desired == nil:
				out[i] = reconcile.Retry[Fields](0, "", "").Looked() // a name that nobody wants any more
			case !x.Desired.Create && x.Unclear && connections.PermitOf(w.connection).Mode(x.Desired.ClientID, x.Key) != reconcile.Auto:
				out[i] = w.look(ctx, x)
			case !x.Desired.Create:
				rename = append(rename, i)
			default:
				create = append(create, i)
			}
		}
		w.rename(ctx, rename)
		for _, i := range w.find(ctx, look, true) { // it is made now only if that is wanted still
			out[i] = reconcile.Retry[Fields](time.Nanosecond, "not_created", "Halo has not made the customer.").Looked()
		}
		for len(create) > 0 {
			n := w.distinct(create)
			w.create(ctx, create[:n])
			create = create[n:]
		}
	}
	return out
}

// aim is what a customer's last call set out to write, where that is unclear, and what is wanted otherwise.
func aim(x item) *Fields {
	if x.Intent != nil {
		return x.Intent
	}
	return x.Desired
}

// writer writes the items of one connection.
type writer struct {
	*service
	batch      []item
	out        []outcome
	connection *connectionv1.Connection
	settings   settings
	api        *halo.Client
	known      picture
}

func (w *writer) open(ctx context.Context, connection string) (err error) {
	if w.connection, err = connections.Read(ctx, w.Pool, connection); err != nil {
		return err
	}
	w.settings = settingsOf(w.connection)
	if w.known, err = readPicture(ctx, w.Pool, w.settings); err != nil {
		return err
	}
	w.api, err = w.halos.Client(ctx, w.connection)
	return err
}

func (w *writer) all(at []int, f func(item) outcome) {
	for _, i := range at {
		w.out[i] = f(w.batch[i])
	}
}

// guarded is the client for a request that writes these items, as long as nobody has taken them over while we waited.
func (w *writer) guarded(at []int) *halo.Client {
	items := make([]item, len(at))
	for n, i := range at {
		items[n] = w.batch[i]
	}
	return w.api.Guarded(w.engine.Guard(items...))
}

// retry is the outcome of an error after which nothing can have landed.
func retry(err error) outcome {
	var e *halo.Error
	if errors.As(err, &e) {
		return reconcile.Retry[Fields](e.RetryAfter, "halo_"+string(e.Class), e.Error())
	}
	code := "halo_unreachable"
	if errors.Is(err, reconcile.ErrClaimLost) {
		code = "claim_lost"
	}
	return reconcile.Retry[Fields](0, code, err.Error())
}

// rename gives customers that exist the names they should have. Doing it twice does no harm.
func (w *writer) rename(ctx context.Context, at []int) {
	for len(at) > 0 {
		part := at[:min(len(at), postRows)]
		at = at[len(part):]
		rows := make([]halo.CustomerWrite, len(part))
		for n, i := range part {
			rows[n] = halo.CustomerWrite{ID: w.batch[i].Desired.ClientID, Name: w.batch[i].Desired.Name}
		}
		reply, err := w.guarded(part).PostCustomers(ctx, rows)
		switch class := halo.ClassOf(err); {
		case err == nil && !reply.Astray:
			w.all(part, func(x item) outcome {
				o := reconcile.Done(x.Desired.ClientID, &Fields{ClientID: x.Desired.ClientID, Name: x.Desired.Name})
				o.Also = func(ctx context.Context, tx pgx.Tx) error {
					return renamed(ctx, tx, w.settings.Instance, x.Desired.ClientID, x.Desired.Name)
				}
				return o
			})
		case err == nil, class == halo.Unclear:
			w.all(part, func(item) outcome {
				return reconcile.Unclear[Fields]("rename_unclear", "Halo did not answer; the name is written again when an earlier request cannot land any more.")
			})
		case class == halo.Refused && len(part) > 1, class == halo.NotFound && len(part) > 1:
			for _, i := range part {
				w.rename(ctx, []int{i})
			}
		case class == halo.Refused, class == halo.NotFound:
			w.all(part, func(x item) outcome {
				o := reconcile.Refused[Fields]("halo_"+string(class), fmt.Sprintf("Halo refused the name %q for customer %d: %v", x.Desired.Name, x.Desired.ClientID, err))
				if class == halo.NotFound { // The next look tells that the customer is gone, which is no failure.
					o.Also = func(ctx context.Context, tx pgx.Tx) error {
						return setDue(ctx, tx, x.Connection, w.Clock.Now(), w.Clock.Now(), true)
					}
				}
				return o
			})
		default:
			w.all(part, func(item) outcome { return retry(err) })
		}
	}
}

// look finds out what became of a name that may have been written, where it may not be written again.
func (w *writer) look(ctx context.Context, x item) outcome {
	c, err := w.api.Customer(ctx, x.Desired.ClientID)
	if err != nil {
		return retry(err)
	}
	o := reconcile.Found(x.Desired.ClientID, &Fields{ClientID: x.Desired.ClientID, Name: c.Name})
	o.Also = func(ctx context.Context, tx pgx.Tx) error {
		return renamed(ctx, tx, w.settings.Instance, x.Desired.ClientID, c.Name)
	}
	return o
}

func renamed(ctx context.Context, tx pgx.Tx, instance string, id int64, name string) error {
	_, err := tx.Exec(ctx, `update clients set name = $3 where instance = $1 and id = $2`, instance, id, name)
	if err != nil {
		return fmt.Errorf("note the name of customer %d: %w", id, err)
	}
	return nil
}

// distinct returns how many of the first items have names of their own, up to a full request: ids of
// created customers are learnt by name.
func (w *writer) distinct(at []int) int {
	seen := map[string]bool{}
	for n, i := range at {
		name := strings.TrimSpace(w.batch[i].Desired.Name)
		if n == postRows || seen[name] {
			return n
		}
		seen[name] = true
	}
	return len(at)
}

// create makes customers in Halo. When a request of several is refused nobody knows which of them
// were written, so those are looked for before the rest goes out in halves.
func (w *writer) create(ctx context.Context, at []int) {
	if len(at) == 0 {
		return
	}
	rows := make([]halo.CustomerWrite, len(at))
	for n, i := range at {
		x := w.batch[i]
		rows[n] = halo.CustomerWrite{Name: x.Desired.Name, TopLevelID: x.Desired.TopLevelID,
			CustomFields: []halo.CustomField{halo.Mark(w.settings.Field, x.Key)}}
	}
	reply, err := w.guarded(at).PostCustomers(ctx, rows)
	switch class := halo.ClassOf(err); {
	case err == nil && reply.ID() != 0:
		w.created(ctx, map[int]int64{at[0]: reply.ID()})
	case err == nil:
		for _, i := range w.find(ctx, at, false) {
			w.out[i] = unclear("Halo accepted the customer but does not show it yet; it is looked for before anything else is done.")
		}
	case class == halo.Unclear:
		w.all(at, func(item) outcome {
			return unclear("Halo did not answer; the customer may exist, and is looked for when the request cannot land any more.")
		})
	case class == halo.Refused && len(at) == 1:
		w.all(at, func(x item) outcome {
			return reconcile.Refused[Fields]("halo_refused", fmt.Sprintf("Halo refused to create %q: %s. Map it to a customer that exists, or correct the name in Giacom.", x.Desired.Name, saying(err)))
		})
	case class == halo.Refused:
		rest := w.find(ctx, at, false)
		w.create(ctx, rest[:len(rest)/2])
		w.create(ctx, rest[len(rest)/2:])
	default:
		w.all(at, func(item) outcome { return retry(err) })
	}
}

func unclear(text string) outcome { return reconcile.Unclear[Fields]("create_unclear", text) }

// saying is what Halo said, without how it was asked.
func saying(err error) string {
	var e *halo.Error
	if errors.As(err, &e) && e.Message != "" {
		return e.Message
	}
	return err.Error()
}

// created concludes items whose customer exists now. Where the instance does not keep our custom
// field, which it does not say when it is written, a link takes its place.
func (w *writer) created(ctx context.Context, found map[int]int64) {
	if len(found) == 0 {
		return
	}
	marked := true
	for i, id := range found { // One answers for all: the field is defined in the instance or it is not.
		if detail, err := w.api.Customer(ctx, id); err == nil {
			marked = mexID(detail.Field(w.settings.Field)) == w.batch[i].Key
		}
		break
	}
	if !marked {
		var links []halo.ExternalLink
		for i, id := range found {
			links = append(links, halo.ExternalLink{TableID: halo.TableCustomer, HaloID: halo.Int(id),
				ThirdPartyID: halo.Mark("", w.batch[i].Key).Value, Description: linkText + w.settings.Account})
		}
		if _, err := w.guarded(slices.Collect(maps.Keys(found))).PostExternalLinks(ctx, links); err != nil {
			// The mapping is in the database too; without mark it is only not found again after a loss.
			w.Log.WarnContext(ctx, "created customers carry no mark", "connection", w.connection.GetSlug(), "field", w.settings.Field, "err", err)
		}
	}
	for i, id := range found {
		w.out[i] = w.conclude(w.batch[i], id, marked)
	}
}

// conclude maps a customer to the one created for it and releases its subscriptions, in the
// transaction that records the creation.
func (w *writer) conclude(x item, id int64, marked bool) outcome {
	name := aim(x).Name
	o := reconcile.Done(id, &Fields{ClientID: id, Name: name})
	o.Action = "create"
	now := w.Clock.Now()
	var before mappingv1.Mapping
	if err := proto.Unmarshal(x.Facts, &before); err == nil {
		r := record{Connection: x.Connection, customer: customer{MexID: x.Key, Name: cmp.Or(before.GetGiacomName(), name)}}
		r.Now = mapping{State: mappingv1.State_STATE_MAPPED, ClientID: id, ClientName: name, Origin: mappingv1.Origin_ORIGIN_CREATED}
		o.Facts = r.facts()
	}
	o.Also = func(ctx context.Context, tx pgx.Tx) error {
		marks := map[string]string{}
		if marked {
			marks[w.settings.Field] = x.Key
		}
		_, err := tx.Exec(ctx, `insert into clients (instance, id, name, inactive, marks, first_seen) values ($1, $2, $3, false, $4, $5)
			on conflict (instance, id) do update set marks = clients.marks || excluded.marks`, w.settings.Instance, id, name, marks, now)
		if err != nil {
			return fmt.Errorf("note the created customer: %w", err)
		}
		if !marked {
			if err := saveTies(ctx, tx, w.settings.Instance, []tie{{mexID: w.settings.Account + "/" + x.Key, client: id}}); err != nil {
				return err
			}
		}
		locked, err := lockCustomers(ctx, tx, x.Connection, []string{x.Key})
		if err != nil {
			return err
		}
		c := locked[0]
		if c.Decision.State != mappingv1.State_STATE_MAPPED && c.Decision.State != mappingv1.State_STATE_IGNORED {
			c.Now = mapping{State: mappingv1.State_STATE_MAPPED, ClientID: id, ClientName: name, Origin: mappingv1.Origin_ORIGIN_CREATED}
			c.Version, c.Updated = c.Version+1, now
			if err := saveCustomer(ctx, tx, c); err != nil {
				return err
			}
			if err := w.resend(ctx, tx, x.Connection, []record{c}, []string{x.Key}); err != nil {
				return err
			}
		}
		// From here on the item is about the customer's name, if that is to follow.
		return setDue(ctx, tx, x.Connection, now, now, false)
	}
	return o
}
