package mapper

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// tables of the mapper's schema, with each column but those that the database numbers.
func (w *world) tables() map[string]string {
	w.Helper()
	rows, err := w.pool.Query(context.Background(), `select c.table_name, string_agg(quote_ident(c.column_name), ', ')
		from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
		where c.table_schema = current_schema() and t.table_type = 'BASE TABLE' and c.is_identity = 'NO' and c.is_generated = 'NEVER' and c.table_name not like 'dump\_%'
		group by 1`)
	if err != nil {
		w.Fatal(err)
	}
	tables := map[string]string{}
	var table, columns string
	if _, err := pgx.ForEachRow(rows, []any{&table, &columns}, func() error { tables[table] = columns; return nil }); err != nil {
		w.Fatal(err)
	}
	return tables
}

// dump copies all tables aside, and returns what puts them back.
func (w *world) dump() (restore func()) {
	w.Helper()
	tables := w.tables()
	for table, columns := range tables {
		w.sql("create table dump_%s as select %s from %s", table, columns, table)
	}
	return func() {
		w.Helper()
		w.sql("truncate %s", strings.Join(slices.Sorted(maps.Keys(tables)), ", "))
		for table, columns := range tables {
			w.sql("insert into %s (%s) select %s from dump_%s", table, columns, columns, table)
		}
	}
}

func (w *world) sql(format string, args ...any) {
	w.Helper()
	if _, err := w.pool.Exec(context.Background(), fmt.Sprintf(format, args...)); err != nil {
		w.Fatal(err)
	}
}

// mappingsNow is what is on the stream of each customer: state, client and who decided it.
func (w *world) mappingsNow() map[string]string {
	w.Helper()
	out := map[string]string{}
	for key := range eventtest.State(w.TB, w.bus, "mapping") {
		m := w.mapping(key[len("demo/"):])
		out[key] = fmt.Sprintf("%s %d %s by %s %s", m.State, m.HaloClientId, m.Origin, m.Who, m.Reason.GetCode())
	}
	return out
}

// A mapper whose database is an older dump goes on with what people decided since, and with what was mapped since by names
// that are others now. Nothing is told otherwise in between: a licence would move, and move back.
func TestAnOlderDumpDoesNotUndoWhatPeopleDecided(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Harbour"}, halosim.Client{ID: 8, Name: "Eight"}, halosim.Client{ID: 9, Name: "Nine"})
	must := func(_ proto.Message, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(id string) *mappingv1.GetMappingRequest {
		return &mappingv1.GetMappingRequest{Connection: "demo", MexId: id}
	}
	exclude := func(key string) {
		t.Helper()
		must(w.subscriptions.ExcludeSubscription(t.Context(), &subscriptionv1.ExcludeSubscriptionRequest{Connection: "demo", Key: key, Reason: "ours"}))
	}
	toClient := func(id string, client int64) {
		t.Helper()
		must(w.mappings.SetMapping(t.Context(), &mappingv1.SetMappingRequest{Connection: "demo", MexId: id, HaloClientId: client}))
	}
	stop := w.start()
	w.connect()
	w.send(customerEvent("A", "Harbour"), customerEvent("B", "Blue"), customerEvent("D", "Dee"), customerEvent("F", "Far"))
	w.send(subscriptionEvent("giacom/1", "A", ""), subscriptionEvent("giacom/2", "B", ""), subscriptionEvent("giacom/4", "D", ""), subscriptionEvent("giacom/5", "A", ""),
		subscriptionEvent("giacom/6", "A", ""), subscriptionEvent("giacom/7", "A", ""), subscriptionEvent("giacom/9", "A", ""), subscriptionEvent("giacom/10", "F", ""))
	w.settle()
	toClient("F", 9)
	exclude("giacom/5")
	w.settle()
	stop()
	restore := w.dump()

	stop = w.start()
	toClient("A", 8)
	must(w.mappings.IgnoreCustomer(t.Context(), &mappingv1.IgnoreCustomerRequest{Connection: "demo", MexId: "B", Reason: "internal"}))
	must(w.mappings.RemoveMapping(t.Context(), at("F")))
	w.sim.AddClient(halosim.Client{ID: 10, Name: "Dee"})
	must(w.mappings.RefreshMappings(t.Context(), &mappingv1.RefreshMappingsRequest{Connection: "demo"}))
	w.send(customerEvent("D", "Dee and Sons"))
	exclude("giacom/6")
	exclude("giacom/9")
	must(w.subscriptions.AssignSubscription(t.Context(), &subscriptionv1.AssignSubscriptionRequest{Connection: "demo", Key: "giacom/7", HaloClientId: 9}))
	must(w.subscriptions.ResetSubscription(t.Context(), &subscriptionv1.ResetSubscriptionRequest{Connection: "demo", Key: "giacom/5"}))
	w.send(subscriptionEvent("giacom/8", "A", ""))
	w.settle()
	exclude("giacom/8")
	gone := subscriptionEvent("giacom/9", "A", "")
	gone.Type = "seatline.giacom.subscription.removed.v1"
	gone.Data = &giacomv1.Subscription{Key: "giacom/9", MexId: "A", Removal: &giacomv1.Removal{}}
	w.send(gone)
	w.wantSubs(map[string]string{
		"giacom/1": "resolved 8", "giacom/2": "unresolved 0 customer_ignored", "giacom/4": "resolved 10", "giacom/5": "resolved 8", "giacom/6": "unresolved 0 excluded",
		"giacom/7": "resolved 9", "giacom/8": "unresolved 0 excluded", "giacom/9": "removed 0", "giacom/10": "unresolved 0 customer_not_mapped",
	})
	mappings, subs := w.mappingsNow(), w.subs()
	stop()

	restore()
	restored := time.Now()
	w.start()
	w.settle()
	w.wantSubs(subs)
	if diff := cmp.Diff(mappings, w.mappingsNow()); diff != "" {
		t.Errorf("mappings (-before the restore, +after):\n%s", diff)
	}
	rows, err := w.pool.Query(t.Context(), `select key, payload from history where entity = 'subscription' and recorded_at > $1`, restored)
	if err != nil {
		t.Fatal(err)
	}
	var key string
	var payload []byte
	_, err = pgx.ForEachRow(rows, []any{&key, &payload}, func() error {
		var s subscriptionv1.Subscription
		if err := proto.Unmarshal(payload, &s); err != nil {
			return err
		}
		if said := told(&s); said != subs[key] {
			t.Errorf("%s was told to be %q in between, and is %q", key, said, subs[key])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	// What is taken back holds as if it had never been lost.
	w.send(subscriptionEvent("giacom/9", "A", ""))
	subs["giacom/9"] = "unresolved 0 excluded"
	w.wantSubs(subs)
	decided, err := w.subscriptions.GetSubscription(t.Context(), &subscriptionv1.GetSubscriptionRequest{Connection: "demo", Key: "giacom/7"})
	if d := decided.GetDecision(); err != nil || d.GetHaloClientId() != 9 || d.GetHaloClientName() != "Nine" || d.GetWho() == "" {
		t.Errorf("decision about giacom/7: %v, %v", d, err)
	}
	must(w.mappings.RemoveMapping(t.Context(), at("A")))
	w.settle()
	if m := w.mapping("A"); m.HaloClientId != 7 || m.Origin != mappingv1.Origin_ORIGIN_NAME {
		t.Errorf("A was let go, and is %v", m)
	}
}

// A customer may have been created just before the restore, and neither its name, which two have, nor the dump tells. It is
// looked for, and not created once more.
func TestAfterAnOlderDumpACreationIsLookedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	w.conn.Customers.MapByName = new(false)
	stop := w.start()
	w.connect()
	w.send(customerEvent("K1", "Kay"), customerEvent("K2", "Kay"), subscriptionEvent("giacom/1", "K1", ""))
	w.settle()
	stop()
	restore := w.dump()

	if err := w.sim.Inject(halosim.Fault{Name: "cut_after", Method: "POST", Route: "/Client", Times: 1}); err != nil {
		t.Fatal(err)
	}
	stop = w.start()
	if _, err := w.mappings.CreateCustomer(t.Context(), &mappingv1.GetMappingRequest{Connection: "demo", MexId: "K1"}); err != nil {
		t.Fatal(err)
	}
	onBus := func(state mappingv1.State) func() bool {
		return func() bool {
			e, ok := eventtest.State(t, w.bus, "mapping")["demo/K1"] // it may be replaced just now
			var m mappingv1.Mapping
			return ok && e.Unmarshal(&m) == nil && m.GetState() == state && w.clients()["Kay"] == 1
		}
	}
	eventtest.Eventually(t, "it is said that it is being created", onBus(mappingv1.State_STATE_CREATING))
	stop()
	restore()
	w.start()
	eventtest.Eventually(t, "it is found", onBus(mapped))
	w.settle()
	if n := w.clients()["Kay"]; n != 1 {
		t.Errorf("%d customers called Kay in Halo", n)
	}
	w.wantSubs(map[string]string{"giacom/1": fmt.Sprintf("resolved %d", w.sim.State().Clients[0].ID)})
	if m := w.mapping("K1"); m.GetDecision().GetState() != mappingv1.State_STATE_CREATING {
		t.Errorf("the decision to create it is lost: %v", m)
	}
}

// What is to be remapped stays so while Halo does not answer after the restore.
func TestAnOlderDumpWhileHaloIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Harbour"}, halosim.Client{ID: 8, Name: "Eight"}, halosim.Client{ID: 9, Name: "Nine"})
	stop := w.start()
	w.connect()
	w.send(customerEvent("A", "Harbour"), customerEvent("B", "Blue"), subscriptionEvent("giacom/1", "A", ""), subscriptionEvent("giacom/2", "B", ""))
	w.settle()
	if _, err := w.subscriptions.AssignSubscription(t.Context(), &subscriptionv1.AssignSubscriptionRequest{Connection: "demo", Key: "giacom/2", HaloClientId: 9}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	stop()
	restore := w.dump()

	stop = w.start()
	for _, id := range []int64{7, 9} {
		if err := w.sim.EditClient(id, func(c *halosim.Client) { c.Inactive = true }); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.mappings.RefreshMappings(t.Context(), &mappingv1.RefreshMappingsRequest{Connection: "demo"}); err != nil {
		t.Fatal(err)
	}
	w.wantSubs(map[string]string{"giacom/1": "unresolved 0 " + reasonInactive, "giacom/2": "unresolved 0 " + reasonInactive})
	want := w.subs()
	stop()
	restore()
	if err := w.sim.Inject(halosim.Fault{Name: "reset", Method: "GET", Route: "/Client"}); err != nil {
		t.Fatal(err)
	}
	w.start()
	eventtest.Eventually(t, "Halo was asked in vain", func() bool { return w.count(`select count(*) from due where failures > 0`) == 1 })
	w.settle()
	if diff := cmp.Diff(want, w.subs()); diff != "" {
		t.Errorf("subscriptions while Halo is away (-before the restore, +after):\n%s", diff)
	}
}

// A command's answer says what came of it, also when the rules are being applied already, to what was before.
func TestACommandWaitsForTheRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Harbour"}, halosim.Client{ID: 8, Name: "Eight"})
	w.start()
	w.connect()
	w.send(customerEvent("A", "Harbour"), subscriptionEvent("giacom/1", "A", ""))
	w.settle()
	_, err := w.mappings.SetMapping(t.Context(), &mappingv1.SetMappingRequest{Connection: "demo", MexId: "A", HaloClientId: 8})
	if err != nil {
		t.Fatal(err)
	}
	w.settle()
	busy, err := w.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Release()
	const lock = `(hashtext('seatline mapper ' || current_schema()), hashtext('demo'))`
	if _, err := busy.Exec(t.Context(), `select pg_advisory_lock`+lock); err != nil {
		t.Fatal(err)
	}
	answer := make(chan *mappingv1.Mapping, 1)
	go func() {
		m, err := w.mappings.RemoveMapping(t.Context(), &mappingv1.GetMappingRequest{Connection: "demo", MexId: "A"})
		if err != nil {
			t.Error(err)
		}
		answer <- m
	}()
	eventtest.Eventually(t, "the decision is stored", func() bool { return w.count(`select count(*) from customers where state = 0`) == 1 })
	if _, err := busy.Exec(t.Context(), `select pg_advisory_unlock`+lock); err != nil {
		t.Fatal(err)
	}
	if m := <-answer; m.GetHaloClientId() != 7 || m.GetOrigin() != mappingv1.Origin_ORIGIN_NAME {
		t.Errorf("answered %v", m)
	}
}
