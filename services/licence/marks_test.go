package licence

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/reconcile"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/servicetest"
)

// Two batches that look at the same time for what both of them created share the reading: none is read twice, and
// nobody waits for one answer before asking for the next.
func TestMarksAreReadTogether(t *testing.T) {
	t.Parallel()
	const licences, readers = 300, 2
	var state halosim.State
	customers := []int64{1, 2, 3}
	for _, id := range customers {
		state.Clients = append(state.Clients, halosim.Client{ID: id, Name: "Customer"})
	}
	for i := range int64(licences) {
		state.Licences = append(state.Licences, halosim.Licence{ID: i + 1, Type: 1, ClientID: customers[i%3], Name: "Product", SnowID: "giacom:acct:giacom/" + number(i), IsActive: true})
	}
	sim := halosim.New(halosim.Config{NoListMarks: true, Latency: 5 * time.Millisecond})
	sim.Set(state)
	var inside, most atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for now := inside.Add(1); ; {
			if old := most.Load(); now <= old || most.CompareAndSwap(old, now) {
				break
			}
		}
		sim.ServeHTTP(w, r)
		inside.Add(-1)
	}))
	t.Cleanup(api.Close)
	w := newWorld(t, halosim.Config{}, 0)
	w.conn.Halo.BaseUrl = api.URL
	s := &service{Config: Config{Env: w.env}.withDefaults()}
	if err := postgres.Migrate(t.Context(), w.pool, event.Schema, reconcile.Schema(), connections.Schema(), schema()); err != nil {
		t.Fatal(err)
	}
	halos, err := s.Halo(t.Context(), Service, servicetest.Secrets{}, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	client, err := halos.Client(t.Context(), w.conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store(t.Context(), client, "sim/sim", time.Now(), 0); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			if err := s.learnMarks(t.Context(), client, "sim/sim", customers); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	var known int
	if err := w.pool.QueryRow(t.Context(), `select count(*) from halo_licences where mark = 'giacom:acct:giacom/' || halo_id - 1 and mark_known`).Scan(&known); err != nil {
		t.Fatal(err)
	}
	if known != licences {
		t.Errorf("%d marks are known, want %d", known, licences)
	}
	if n := sim.Requests()["GET /SoftwareLicence/{id}"]; n != licences {
		t.Errorf("%d licences were read %d times", licences, n)
	}
	if n := most.Load(); n <= readers {
		t.Errorf("at most %d licences were read at the same time by %d readers", n, readers)
	}
}

// One licence that cannot be read keeps only those waiting whose marks are not known for it.
func TestAMarkThatCannotBeReadKeepsFewWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{NoListMarks: true}, 20)
	servicetest.Start(t, w.env, func(ctx context.Context, env chassis.Env) error {
		return Run(ctx, Config{Env: env, Secrets: servicetest.Secrets{}, Poll: 20 * time.Millisecond, Quiet: 200 * time.Millisecond, Settle: time.Hour})
	})
	if err := w.sim.Inject(halosim.Fault{Name: "forbidden", Method: "GET", Route: "/SoftwareLicence/{id}", Nth: 80}); err != nil {
		t.Fatal(err)
	}
	w.connect()
	var subs []*subscriptionv1.Subscription
	for i := range 100 {
		subs = append(subs, sub(fmt.Sprintf("giacom/%05d", i), int64(i%20+1), 5))
	}
	w.send(subs...)
	eventtest.Eventually(t, "most licences are known", func() bool {
		var known int
		err := w.pool.QueryRow(t.Context(), `select count(*) from items where state = 1 and halo_id <> 0`).Scan(&known)
		return err == nil && known > 50
	})
}

// Where lists lack marks, those of licences that nobody asked about are not known; they are learnt as soon as a subscription
// comes that could be one of them.
func TestMarksAreLearntForWhoComesAfterTheList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{NoListMarks: true}, 1, halosim.Licence{ClientID: 1, Type: 1, Name: "Microsoft 365", ProductSKU: "SKU1", Count: 5, IsActive: true})
	w.start()
	w.connect()
	eventtest.Eventually(t, "Halo's licences are listed", func() bool {
		var listed bool
		err := w.pool.QueryRow(t.Context(), `select exists (select from instances where listed_at is not null) and exists (select from halo_licences where not mark_known)`).Scan(&listed)
		return err == nil && listed
	})
	w.send(sub("microsoft/late", 1, 5))
	w.settle()
	if all := w.sim.State().Licences; len(all) != 1 || all[0].SnowID != "giacom:acct:microsoft/late" {
		t.Errorf("not adopted: %+v", all)
	}
}
