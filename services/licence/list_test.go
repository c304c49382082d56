package licence

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list/listtest"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// lists are ways in which people and programs page through licences.
var lists = map[string]struct{ filter, order string }{
	"connection":              {`connection = "demo"`, ""},
	"everything":              {``, ""},
	"backwards":               {`connection = "demo"`, "key desc"},
	"customer by id":          {`connection = "demo" AND mex_id = "M500"`, ""},
	"customer by name":        {`connection = "demo" AND customer_name = "Customer 500"`, ""},
	"client":                  {`connection = "demo" AND halo_client_id = 500`, ""},
	"common state":            {`connection = "demo" AND state = in_sync`, ""},
	"rare state":              {`connection = "demo" AND state = failed`, ""},
	"two states":              {`connection = "demo" AND state = (held OR parked)`, ""},
	"state anywhere":          {`state = held`, ""},
	"reason":                  {`connection = "demo" AND reason = "possible_duplicate"`, ""},
	"licence of Halo":         {`halo_id = 50000`, ""},
	"product":                 {`connection = "demo" AND sku = "SKU7"`, ""},
	"word":                    {`connection = "demo" AND "product 7"`, ""},
	"by customer":             {`connection = "demo"`, "customer_name"},
	"by name":                 {`connection = "demo"`, "name"},
	"by sku":                  {`connection = "demo"`, "sku desc"},
	"by customer's id":        {`connection = "demo"`, "mex_id"},
	"by client":               {`connection = "demo"`, "halo_client_id"},
	"by state":                {`connection = "demo"`, "state"},
	"by reason":               {`connection = "demo"`, "reason desc"},
	"by count":                {`connection = "demo"`, "count desc"},
	"by licence of Halo":      {`connection = "demo"`, "halo_id"},
	"the latest":              {`connection = "demo"`, "update_time desc"},
	"the latest of one state": {`connection = "demo" AND state = held`, "update_time desc"},
}

// sorted are the lists for which no index is kept, because every write of a licence would have to write
// it too: the connection's licences are gone through instead.
var sorted = []string{"by state", "reason", "word", "by reason", "by count", "by licence of Halo", "the latest", "the latest of one state"}

// estate fills the tables with n licences: a thousand customers, forty products, a tenth of them not in sync.
func estate(t testing.TB, pool *pgxpool.Pool, n int) {
	t.Helper()
	ctx := t.Context()
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var items, subs [][]any
	for i := range n {
		customer, product := i%1000, i/7%40
		s := sub(fmt.Sprintf("microsoft/%08d", i), int64(customer), i%250, func(s *subscriptionv1.Subscription) {
			s.Giacom.Name, s.Giacom.Sku = fmt.Sprint("Product ", product), fmt.Sprint("SKU", product)
			// as much as a row of the report says
			s.Giacom.CustomerName, s.Giacom.TenantId = s.HaloClientName, fmt.Sprintf("6f3c0a52-2d0e-4a7b-9c1d-%012d", customer)
			s.Giacom.Rrp = &moneyv1.Money{Amount: "19.90", Currency: "GBP", Basis: moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH}
			s.Giacom.EndTime, s.UpdateTime = timestamppb.New(begun.AddDate(1, 0, 0)), timestamppb.New(begun)
			s.Giacom.Term, s.Giacom.TermWord, s.Giacom.CycleWord, s.Giacom.StatusWord = giacomv1.Term_TERM_ANNUAL, "Annual", "Monthly", "Active"
			s.Giacom.NewCommerce, s.Giacom.TermEndAction = true, "Renew"
		})
		facts, err := proto.Marshal(&licencev1.Licence{Subscription: s})
		if err != nil {
			t.Fatal(err)
		}
		body, err := proto.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		desired := fmt.Sprintf(`{"client": %d, "count": %d, "cost": "16.60", "start": "2026-01-01T00:00:00", "end": "2027-01-01T00:00:00",
			"cycle": "Monthly", "term": "Annual", "active": true, "mark": "giacom:acct:%s"}`, customer, i%250, s.Key)
		state, code, text := 1, "", ""
		var applied any = desired
		switch {
		case i%1000 == 3:
			state, code, text = 6, "refused", "Halo refused it."
		case i%20 == 5:
			state, code, text, applied = 5, "possible_duplicate", "There is one like it.", nil
		case i%20 == 6:
			state, code, text, applied = 4, "customer_not_mapped", "Its customer is not mapped.", nil
		}
		name := fmt.Sprint("Customer ", customer)
		at := begun.Add(time.Duration(i*7919%n) * time.Second)
		items = append(items, []any{"demo", s.Key, "sim/sim", at.UnixMicro(), desired, applied, int64(i + 1), state, code, text, facts,
			name + ": " + s.Giacom.Name, name, "GBP", "r1", at})
		subs = append(subs, []any{"demo", s.Key, at.UnixMicro(), 1, int64(customer), s.Giacom.MexId, name, s.Giacom.Name, s.Giacom.Sku, false, false, "r1", "", "", at, body})
	}
	copyIn := func(table string, columns []string, rows [][]any) {
		if _, err := pool.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows)); err != nil {
			t.Fatal(err)
		}
		if _, err := pool.Exec(ctx, "vacuum analyze "+table); err != nil {
			t.Fatal(err)
		}
	}
	copyIn("subscriptions", strings.Fields("connection key revision state client_id mex_id customer_name name sku absent removed run cause trace first_seen body"), subs)
	copyIn("items", strings.Fields("connection key instance revision desired applied halo_id state reason_code reason_text facts title customer currency run updated"), items)
	engine := reconcile.New(reconcile.Config[Fields]{Service: Service, Kind: "licence", Pool: pool, Event: licenceEvent, Listed: true})
	if kept, err := engine.Keep(ctx); err != nil || kept != n {
		t.Fatalf("kept what is shown of %d licences, %v", kept, err)
	}
	if _, err := pool.Exec(ctx, "vacuum (full, analyze) items"); err != nil { // as if it had been written like that
		t.Fatal(err)
	}
}

// received is a message as whoever asked for it has it.
func received[M proto.Message](t testing.TB, sent M) M {
	t.Helper()
	encoded, err := proto.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	got := sent.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(encoded, got); err != nil {
		t.Fatal(err)
	}
	return got
}

// What an item carries goes out as it is stored, and reads as part of the licence.
func TestALicenceCarriesItsFacts(t *testing.T) {
	t.Parallel()
	s := sub("microsoft/1", 7, 5, func(s *subscriptionv1.Subscription) { s.Giacom.Name, s.Giacom.Sku = "Product <é>", "SKU9" })
	facts := &licencev1.Licence{Subscription: s, Gone: true, ReplacedBy: "microsoft/2", Candidates: []*licencev1.Candidate{{HaloId: 4, Name: "Product"}, {HaloId: 5}}}
	stored, err := proto.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(5)
	x := item{Connection: "demo", Key: s.Key, Instance: "sim/sim", Revision: 12, State: reconcile.Held, HaloID: 9, Currency: "GBP", Facts: stored,
		Desired: &Fields{ClientID: 7, Count: &n, Active: true}}
	l, err := licenceOf(x)
	if err != nil {
		t.Fatal(err)
	}
	got := received(t, l)
	want := proto.CloneOf(facts)
	want.Connection, want.Key, want.Instance, want.Etag, want.Status = "demo", s.Key, "sim/sim", "12", x.Status()
	want.Desired = &licencev1.Fields{ClientId: 7, Count: 5, Active: true, Name: "Product <é>", Sku: "SKU9"}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
	x.Facts = stored[:9]
	if _, err := licenceOf(x); err == nil {
		t.Error("facts that were cut off are sent")
	}
	x.Facts = nil
	if l, err := licenceOf(x); err != nil || l.Desired.Name != "" {
		t.Errorf("without facts: %v, %v", l, err)
	}
}

// BenchmarkList tells what a page of 100 from the middle of a list of 100,000 licences costs a caller over gRPC, and what
// the same page costs from memory: the medians, and the tenth percentiles, which are the better figures on a machine that
// has other work.
func BenchmarkList(b *testing.B) {
	w := newWorld(b, halosim.Config{}, 0)
	w.start()
	estate(b, w.pool, 100_000)
	floor := servePage(b)
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			req := &licencev1.ListLicencesRequest{PageSize: 1000, Filter: lists[name].filter, OrderBy: lists[name].order}
			for range 50 { // to the middle, or the last page of a shorter list
				resp, err := w.licences.ListLicences(b.Context(), req)
				if err != nil {
					b.Fatal(err)
				}
				if resp.NextPageToken == "" {
					break
				}
				req.PageToken = resp.NextPageToken
			}
			req.PageSize = 100
			took := map[string][]float64{}
			ask := func(whose string, of licencev1.LicenceServiceClient) *licencev1.ListLicencesResponse {
				began := time.Now()
				resp, err := of.ListLicences(b.Context(), req)
				if err != nil || len(resp.Licences) == 0 {
					b.Fatalf("%d licences, %v", len(resp.GetLicences()), err)
				}
				took[whose] = append(took[whose], float64(time.Since(began).Microseconds())/1000)
				return resp
			}
			for b.Loop() {
				floor.page.Store(ask("page", w.licences))
				ask("floor", floor.client)
			}
			for whose, ms := range took {
				slices.Sort(ms)
				b.ReportMetric(ms[len(ms)/2], "ms/"+whose)
				b.ReportMetric(ms[len(ms)/10], "ms/"+whose+"-when-quiet")
			}
		})
	}
}

// memory answers with the page that it was given.
type memory struct {
	licencev1.UnimplementedLicenceServiceServer
	page   atomic.Pointer[licencev1.ListLicencesResponse]
	client licencev1.LicenceServiceClient
}

func (m *memory) ListLicences(context.Context, *licencev1.ListLicencesRequest) (*licencev1.ListLicencesResponse, error) {
	return m.page.Load(), nil
}

func servePage(t testing.TB) *memory {
	t.Helper()
	server, err := rpc.NewServer(rpc.Config{Addr: "127.0.0.1:0", InsecureLoopback: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	licencev1.RegisterLicenceServiceServer(server, m)
	go func() { _ = server.Serve(t.Context()) }()
	conn, err := rpc.Dial(rpc.Endpoint{Addr: server.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	m.client = licencev1.NewLicenceServiceClient(conn)
	return m
}

// A page from the middle of a list is found in an index: it takes the rows of the page and the way down to them,
// wherever it lies.
func TestAtScaleAPageIsFoundInAnIndex(t *testing.T) {
	pool := postgrestest.New(t, event.Schema, reconcile.Schema(), connections.Schema(), schema())
	estate(t, pool, 16_000)
	for name, l := range lists {
		if slices.Contains(sorted, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			db := &postgrestest.Explained{Pool: pool}
			_, slow := listtest.Walk(t, db, func(size int32, token string) ([]*licencev1.Licence, string, error) {
				page, next, err := listLicences(t.Context(), db, &licencev1.ListLicencesRequest{PageSize: size, PageToken: token, Filter: l.filter, OrderBy: l.order})
				return received(t, &licencev1.ListLicencesResponse{Licences: page}).GetLicences(), next, err
			}, (*licencev1.Licence).GetKey)
			if slow != nil {
				t.Error(slow)
			}
		})
	}
}
