package mapper

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// fails checks an error's code and that its text says what a person needs.
func fails(t *testing.T, what string, err error, code codes.Code, says string) {
	t.Helper()
	if status.Code(err) != code || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v; want %s with %q", what, err, code, says)
	}
}

func TestAMappingThatComesLateReleasesItsSubscriptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Seven"}, halosim.Client{ID: 8, Name: "Eight"}, halosim.Client{ID: 9, Name: "Gone", Inactive: true})
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""), subscriptionEvent("giacom/2", "A", ""), subscriptionEvent("giacom/3", "B", "Other"))
	w.wantSubs(map[string]string{
		"giacom/1": "unresolved 0 customer_not_mapped", "giacom/2": "unresolved 0 customer_not_mapped", "giacom/3": "unresolved 0 customer_not_mapped",
	})
	ctx := t.Context()
	set := func(id int64, etag string) (*mappingv1.Mapping, error) {
		return w.mappings.SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: "demo", MexId: " a ", HaloClientId: id, Etag: etag})
	}
	_, err := set(404, "")
	fails(t, "a client that is missing", err, codes.FailedPrecondition, "Halo has no customer 404")
	_, err = set(9, "")
	fails(t, "a client that is inactive", err, codes.FailedPrecondition, "inactive")
	_, err = set(0, "")
	fails(t, "no client", err, codes.InvalidArgument, "halo_client_id")
	_, err = w.mappings.SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: "demo", MexId: "NOBODY", HaloClientId: 7})
	fails(t, "a customer that Giacom has not", err, codes.NotFound, "demo/NOBODY")
	_, err = w.mappings.SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: "nope", MexId: "A", HaloClientId: 7})
	fails(t, "a connection that is not", err, codes.NotFound, `connection "nope"`)

	m, err := set(7, "")
	if err != nil || m.State != mapped || m.HaloClientId != 7 || m.HaloClientName != "Seven" || m.Origin != mappingv1.Origin_ORIGIN_OPERATOR || m.Subscriptions != 2 {
		t.Fatalf("%v, %v", m, err)
	}
	w.wantSubs(map[string]string{"giacom/1": "resolved 7", "giacom/2": "resolved 7", "giacom/3": "unresolved 0 customer_not_mapped"})
	if on := w.mapping("A"); on.State != mapped || on.HaloClientId != 7 {
		t.Errorf("on the stream: %v", on)
	}
	_, err = set(8, "12345")
	fails(t, "an old etag", err, codes.Aborted, "it is mapped to customer 7 of Halo (Seven)")
	if _, err := set(8, m.Etag); err != nil {
		t.Fatal(err)
	}
	w.wantSubs(map[string]string{"giacom/1": "resolved 8", "giacom/2": "resolved 8", "giacom/3": "unresolved 0 customer_not_mapped"})

	_, err = w.mappings.IgnoreCustomer(ctx, &mappingv1.IgnoreCustomerRequest{Connection: "demo", MexId: "A"})
	fails(t, "no reason", err, codes.InvalidArgument, "reason")
	if _, err := w.mappings.IgnoreCustomer(ctx, &mappingv1.IgnoreCustomerRequest{Connection: "demo", MexId: "A", Reason: "internal"}); err != nil {
		t.Fatal(err)
	}
	w.wantSubs(map[string]string{"giacom/1": "unresolved 0 customer_ignored", "giacom/2": "unresolved 0 customer_ignored", "giacom/3": "unresolved 0 customer_not_mapped"})
	m, err = w.mappings.RemoveMapping(ctx, &mappingv1.GetMappingRequest{Connection: "demo", MexId: "A"})
	if err != nil || m.State != unmapped {
		t.Errorf("%v, %v", m, err)
	}
	w.wantSubs(map[string]string{"giacom/1": "unresolved 0 customer_not_mapped", "giacom/2": "unresolved 0 customer_not_mapped", "giacom/3": "unresolved 0 customer_not_mapped"})
}

func TestANearMatchIsDecidedByAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Acme Ltd"})
	w.conn.Customers.Create = true
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""))
	w.wantSubs(map[string]string{"giacom/1": "unresolved 0 customer_not_mapped"})
	if m := w.mapping("A"); m.Reason.GetCode() != reasonNear || !strings.Contains(m.Reason.GetText(), `"Acme Ltd"`) {
		t.Errorf("mapping: %v", m)
	}
	if _, err := w.mappings.CreateCustomer(t.Context(), &mappingv1.GetMappingRequest{Connection: "demo", MexId: "A"}); err != nil {
		t.Fatal(err)
	}
	eventtest.Eventually(t, "created", func() bool { return w.clients()["Acme"] == 1 })
	w.wantSubs(map[string]string{"giacom/1": "resolved 8"})
	_, err := w.mappings.CreateCustomer(t.Context(), &mappingv1.GetMappingRequest{Connection: "demo", MexId: "A"})
	fails(t, "created again", err, codes.FailedPrecondition, "is mapped to customer 8")
}

func TestImportIsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Seven"}, halosim.Client{ID: 8, Name: "Twice"}, halosim.Client{ID: 9, Name: "Twice"}, halosim.Client{ID: 10, Name: "Off", Inactive: true})
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""), subscriptionEvent("giacom/2", "IG", "Internal"))
	w.settle()
	rows := []*mappingv1.ImportRow{
		{Line: 2, MexId: "a", HaloClientName: "Seven"},
		{Line: 3, MexId: "IG", IgnoreReason: "internal use"},
		{Line: 4, MexId: "LATER", HaloClientId: 8},
	}
	wrong := append(rows[:len(rows):len(rows)],
		&mappingv1.ImportRow{Line: 5, MexId: "X"},
		&mappingv1.ImportRow{Line: 6, MexId: "A", HaloClientId: 7},
		&mappingv1.ImportRow{Line: 7, MexId: "Y", HaloClientName: "Twice"},
		&mappingv1.ImportRow{Line: 8, MexId: "Z", HaloClientId: 10},
		&mappingv1.ImportRow{Line: 9, HaloClientId: 7},
		&mappingv1.ImportRow{Line: 10, MexId: "Q", HaloClientId: 404},
		&mappingv1.ImportRow{Line: 11, MexId: "R", HaloClientName: "seven"},
		&mappingv1.ImportRow{Line: 12, MexId: "S", HaloClientId: 7, IgnoreReason: "both"},
		&mappingv1.ImportRow{Line: 13, MexId: "T", HaloClientId: 7, HaloClientName: "Eight"},
	)
	resp, err := w.mappings.ImportMappings(t.Context(), &mappingv1.ImportMappingsRequest{Connection: "demo", Rows: wrong})
	if err != nil {
		t.Fatal(err)
	}
	says := map[int32]string{5: "no customer of Halo", 6: "stands in line 2", 7: "2 active customers", 8: "inactive", 9: "id is missing",
		10: "no customer 404", 11: `called "seven"`, 12: "leave one of them empty", 13: `called "Seven", not "Eight"`}
	for _, e := range resp.Errors {
		if !strings.Contains(e.Text, says[e.Line]) || says[e.Line] == "" {
			t.Errorf("line %d: %s; want %q", e.Line, e.Text, says[e.Line])
		}
		delete(says, e.Line)
	}
	if len(says) > 0 || resp.Imported != 0 {
		t.Errorf("imported %d, not complained of: %v", resp.Imported, says)
	}
	w.wantSubs(map[string]string{"giacom/1": "unresolved 0 customer_not_mapped", "giacom/2": "unresolved 0 customer_not_mapped"})

	for _, only := range []bool{true, false} {
		resp, err = w.mappings.ImportMappings(t.Context(), &mappingv1.ImportMappingsRequest{Connection: "demo", Rows: rows, ValidateOnly: only})
		if diff := cmp.Diff(&mappingv1.ImportMappingsResponse{Imported: 3, NotListed: []string{"LATER"}}, resp, protocmp.Transform()); err != nil || diff != "" {
			t.Fatalf("validate only %t: %v (-want +got):\n%s", only, err, diff)
		}
	}
	if m, err := w.mappings.GetMapping(t.Context(), &mappingv1.GetMappingRequest{Connection: "demo", MexId: "A"}); err != nil || m.GetOrigin() != mappingv1.Origin_ORIGIN_OPERATOR {
		t.Errorf("rows that came in no file are of %v (%v)", m.GetOrigin(), err)
	}
	w.send(subscriptionEvent("giacom/3", "later", "Later"))
	w.wantSubs(map[string]string{"giacom/1": "resolved 7", "giacom/2": "unresolved 0 customer_ignored", "giacom/3": "resolved 8"})
	resp, err = w.mappings.ImportMappings(t.Context(), &mappingv1.ImportMappingsRequest{Connection: "demo", Rows: rows})
	if diff := cmp.Diff(&mappingv1.ImportMappingsResponse{Unchanged: 3}, resp, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("again: %v (-want +got):\n%s", err, diff)
	}
}

func TestASingleSubscriptionGoesItsOwnWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Acme"}, halosim.Client{ID: 8, Name: "Eight"})
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""), subscriptionEvent("giacom/2", "A", ""))
	w.wantSubs(map[string]string{"giacom/1": "resolved 7", "giacom/2": "resolved 7"})
	ctx := t.Context()
	x, err := w.subscriptions.AssignSubscription(ctx, &subscriptionv1.AssignSubscriptionRequest{Connection: "demo", Key: "giacom/1", HaloClientId: 8})
	if err != nil || !x.Assigned || x.HaloClientName != "Eight" {
		t.Fatalf("%v, %v", x, err)
	}
	if _, err := w.subscriptions.ExcludeSubscription(ctx, &subscriptionv1.ExcludeSubscriptionRequest{Connection: "demo", Key: "giacom/2", Reason: "free of charge"}); err != nil {
		t.Fatal(err)
	}
	// Two operators looked at the same state: the second is told who was first.
	_, err = w.subscriptions.ExcludeSubscription(ctx, &subscriptionv1.ExcludeSubscriptionRequest{Connection: "demo", Key: "giacom/1", Reason: "internal", Etag: "stale"})
	fails(t, "a stale etag", err, codes.Aborted, "giacom/1")
	if again, err := w.subscriptions.AssignSubscription(ctx, &subscriptionv1.AssignSubscriptionRequest{Connection: "demo", Key: "giacom/1", HaloClientId: 8, Etag: x.Etag}); err != nil || again.Etag == x.Etag {
		t.Fatalf("with the etag just read: %v, %v", again, err)
	}
	// Giacom's next word about them changes nothing of that.
	w.send(subscriptionEvent("giacom/1", "A", ""), subscriptionEvent("giacom/2", "A", ""))
	w.wantSubs(map[string]string{"giacom/1": "resolved 8", "giacom/2": "unresolved 0 excluded"})
	for _, key := range []string{"giacom/1", "giacom/2"} {
		if _, err := w.subscriptions.ResetSubscription(ctx, &subscriptionv1.ResetSubscriptionRequest{Connection: "demo", Key: key}); err != nil {
			t.Fatal(err)
		}
	}
	w.wantSubs(map[string]string{"giacom/1": "resolved 7", "giacom/2": "resolved 7"})
	_, err = w.subscriptions.GetSubscription(ctx, &subscriptionv1.GetSubscriptionRequest{Connection: "demo", Key: "nope"})
	fails(t, "one that is not", err, codes.NotFound, "demo/nope")

	list, err := w.subscriptions.ListSubscriptions(ctx, &subscriptionv1.ListSubscriptionsRequest{PageSize: 1, Filter: `state = resolved AND mex_id = "A"`})
	if err != nil || len(list.Subscriptions) != 1 || list.NextPageToken == "" {
		t.Errorf("first page: %v, %v", list, err)
	}
	all, err := w.mappings.ListMappings(ctx, &mappingv1.ListMappingsRequest{Filter: `state = mapped AND subscriptions > 1`, OrderBy: "subscriptions desc"})
	if err != nil || len(all.Mappings) != 1 || all.Mappings[0].MexId != "A" {
		t.Errorf("mappings: %v, %v", all, err)
	}
}

func TestRemovedSubscriptionsAndLateNews(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Acme"})
	w.start()
	w.connect()
	one := subscriptionEvent("giacom/1", "A", "Acme")
	one.Revision = 10
	w.send(one)
	w.wantSubs(map[string]string{"giacom/1": "resolved 7"})
	gone := one
	gone.Type, gone.Revision = "seatline.giacom.subscription.removed.v1", 20
	w.send(gone)
	w.wantSubs(map[string]string{"giacom/1": "removed 7"})
	w.send(one) // Older, and late.
	w.wantSubs(map[string]string{"giacom/1": "removed 7"})
	one.Revision = 30
	w.send(one)
	w.wantSubs(map[string]string{"giacom/1": "resolved 7"})
}

func TestWithoutHaloPeopleAreToldAndItIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Acme"})
	if err := w.sim.Inject(halosim.Fault{Name: "unauthorised"}); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.connect()
	w.send(subscriptionEvent("giacom/1", "A", "Acme"))
	eventtest.Eventually(t, "shown as not mapped", func() bool { return w.subs()["giacom/1"] == "unresolved 0 customer_not_mapped" })
	if m := w.mapping("A"); m.Reason.GetCode() != reasonUnread {
		t.Errorf("mapping: %v", m)
	}
	_, err := w.mappings.RefreshMappings(t.Context(), &mappingv1.RefreshMappingsRequest{Connection: "demo"})
	fails(t, "refresh", err, codes.Unavailable, "Halo could not be asked")
	w.sim.Clear("")
	w.conn.Halo.ClientSecret = nil
	w.conn.Halo.AuthUrl = w.api.URL + "/auth" // Any change of how Halo is reached is a reason to try again.
	w.connect()
	w.wantSubs(map[string]string{"giacom/1": "resolved 7"})
}

// The streams are deleted, and later the database is taken back to before the customer was created.
func TestItHealsFromLosses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	w.conn.Customers.Create = true
	stop := w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""))
	eventtest.Eventually(t, "created", func() bool { return w.clients()["Acme"] == 1 })
	want := map[string]string{"giacom/1": fmt.Sprintf("resolved %d", w.sim.State().Clients[0].ID)}
	w.wantSubs(want)
	if err := w.bus.JS.DeleteStream(t.Context(), bus.StateStream); err != nil {
		t.Fatal(err)
	}
	eventtest.Eventually(t, "the stream is back", func() bool {
		s, err := w.bus.JS.Stream(t.Context(), bus.StateStream)
		return err == nil && s.CachedInfo().State.Msgs >= 2
	})
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""))
	w.wantSubs(want)

	stop()
	if _, err := w.pool.Exec(t.Context(), `truncate customers, subscriptions, clients, ties, instances, due, items, changes, history, outbox, consumers, streams, connections`); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.wantSubs(want)
	if got := w.clients(); got["Acme"] != 1 || len(got) != 1 {
		t.Errorf("Halo has %v", got)
	}
}

// BenchmarkImport measures subscriptions per second from the stream to the outgoing stream.
func BenchmarkImport(b *testing.B) {
	var clients []halosim.Client
	for i := range int64(500) {
		clients = append(clients, halosim.Client{ID: i + 1, Name: fmt.Sprintf("Customer %d", i)})
	}
	w := newWorld(b, halosim.Config{}, clients...)
	w.start()
	var events []event.Event
	for i := range b.N {
		c := i % 500
		events = append(events, subscriptionEvent(fmt.Sprintf("microsoft/%08d", i), fmt.Sprintf("MEX%d", c), fmt.Sprintf("Customer %d", c)))
	}
	send(b, w.bus, events)
	began := time.Now()
	w.connect()
	w.settle()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "subscriptions/s")
	if n := w.count(`select count(*) from subscriptions where state = 1`); n != b.N {
		b.Fatalf("%d resolved, want %d", n, b.N)
	}
}

// send publishes many events without waiting for each.
func send(b *testing.B, conn *bus.Conn, events []event.Event) {
	for i, e := range events {
		e.ID, e.Source, e.Revision, e.Time = fmt.Sprint(i), "seatline/test", 1, time.Now()
		m, err := event.Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := conn.JS.PublishMsgAsync(m); err != nil {
			b.Fatal(err)
		}
	}
	<-conn.JS.PublishAsyncComplete()
}
