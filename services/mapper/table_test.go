package mapper

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

func priced(key, id, name, quantity, price, currency string) event.Event {
	e := subscriptionEvent(key, id, name)
	g := e.Data.(*giacomv1.Subscription)
	g.Quantity, g.PurchasePrice = quantity, nil
	if price != "" {
		g.PurchasePrice = &moneyv1.Money{Amount: price, Currency: currency}
	}
	return e
}

// table is what ListMappings shows, one line for each customer.
func (w *world) table(filter, order string) []string {
	w.Helper()
	page, err := w.mappings.ListMappings(context.Background(), &mappingv1.ListMappingsRequest{Filter: filter, OrderBy: order})
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, m := range page.Mappings {
		out = append(out, line(m))
	}
	return out
}

func line(m *mappingv1.Mapping) string {
	var sums []string
	for _, x := range m.Monthly {
		sums = append(sums, x.Amount+" "+x.Currency)
	}
	s := fmt.Sprintf("%s %s %d [%s]", m.MexId, strings.ToLower(strings.TrimPrefix(m.Standing.String(), "STANDING_")), m.HaloClientId, strings.Join(sums, ", "))
	if m.Unpriced > 0 {
		s += fmt.Sprintf(" +%d unknown", m.Unpriced)
	}
	return s
}

func TestTheTableShowsEverythingInOneCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Harbour Bakery Ltd"}, halosim.Client{ID: 8, Name: "Mapped"})
	w.conn.Giacom.AnnualPriceBasis = moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH
	w.start()
	w.connect()
	odd := `O'Neill "Sons" <b>&amp; 🦷</b>`
	w.send(customerEvent("A", "Harbour Bakery"), customerEvent("B", "Mapped"), customerEvent("C", odd), customerEvent("D", "Nobody"),
		priced("giacom/1", "A", "", "2", "10.25", "GBP"), priced("giacom/2", "A", "", "1", "7", "EUR"), priced("giacom/3", "A", "", "1", "", ""),
		priced("giacom/4", "B", "", "3", "100", "GBP"), priced("giacom/5", "C", "", "1", "5.5", "GBP"))
	w.settle()
	if _, err := w.mappings.IgnoreCustomer(t.Context(), &mappingv1.IgnoreCustomerRequest{Connection: "demo", MexId: "C", Reason: "=HYPERLINK(\"x\")"}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	for _, c := range []struct {
		filter, order string
		want          []string
	}{
		{"", "", []string{"A suggested 0 [7 EUR, 20.5 GBP] +1 unknown", "B mapped 8 [300 GBP]", "C ignored 0 [5.5 GBP]", "D unmapped 0 []"}},
		{"", "monthly desc", []string{"B mapped 8 [300 GBP]", "A suggested 0 [7 EUR, 20.5 GBP] +1 unknown", "C ignored 0 [5.5 GBP]", "D unmapped 0 []"}},
		{`connection = "demo" AND standing = suggested AND score > 80`, "", []string{"A suggested 0 [7 EUR, 20.5 GBP] +1 unknown"}},
		{"monthly > 5.4 AND monthly < 20.6", "giacom_name desc", []string{"C ignored 0 [5.5 GBP]", "A suggested 0 [7 EUR, 20.5 GBP] +1 unknown"}},
		{"neill", "", []string{"C ignored 0 [5.5 GBP]"}},
	} {
		if diff := cmp.Diff(c.want, w.table(c.filter, c.order)); diff != "" {
			t.Errorf("%q by %q (-want +got):\n%s", c.filter, c.order, diff)
		}
	}
	m, err := w.mappings.GetMapping(t.Context(), &mappingv1.GetMappingRequest{Connection: "demo", MexId: "C"})
	if err != nil || m.GiacomName != odd || m.ChangedBy != "local" {
		t.Errorf("%v, %v", m, err)
	}
	sum, err := w.mappings.GetMappingSummary(t.Context(), &mappingv1.GetMappingSummaryRequest{Connection: "demo"})
	if err != nil || sum.Mapped != 1 || sum.Suggested != 1 || sum.Unmapped != 1 || sum.Ignored != 1 || sum.HaloCustomers != 2 || sum.HaloReadTime == nil ||
		len(sum.MonthlyUnmapped) != 2 || sum.MonthlyUnmapped[1].Amount != "20.5" || sum.UnmappedUnpriced != 1 || sum.Alert.GetRaised() {
		t.Errorf("summary: %v, %v", sum, err)
	}
	clients, err := w.mappings.ListHaloCustomers(t.Context(), &mappingv1.ListHaloCustomersRequest{Connection: "demo", Filter: "mapped > 0"})
	if err != nil || len(clients.Customers) != 1 || clients.Customers[0].Id != 8 || !cmp.Equal(clients.Customers[0].MexIds, []string{"B"}) {
		t.Errorf("Halo's customers: %v, %v", clients, err)
	}

	// Renamed: shown until somebody decides.
	w.send(customerEvent("B", "Renamed"))
	w.settle()
	if m, _ := w.mappings.GetMapping(t.Context(), &mappingv1.GetMappingRequest{Connection: "demo", MexId: "B"}); m.GetPreviousGiacomName() != "Mapped" || m.GetRenameTime() == nil {
		t.Errorf("renamed: %v", m)
	}
	if got := w.table("renamed = true", ""); len(got) != 1 {
		t.Errorf("renamed: %v", got)
	}
	if m, err := w.mappings.SetMapping(t.Context(), &mappingv1.SetMappingRequest{Connection: "demo", MexId: "B", HaloClientId: 8}); err != nil || m.PreviousGiacomName != "" {
		t.Errorf("decided: %v, %v", m, err)
	}

	// Out as CSV, and in again as it is: nothing changes, and nothing in it is a formula or lost.
	file, err := w.mappings.GetMappingsFile(t.Context(), &mappingv1.GetMappingsFileRequest{Connection: "demo"})
	if err != nil || !strings.Contains(string(file.Content), "'=HYPERLINK") || !strings.Contains(string(file.Content), "🦷") {
		t.Fatalf("%s, %v", file.GetContent(), err)
	}
	resp, err := w.mappings.ImportMappings(t.Context(), &mappingv1.ImportMappingsRequest{Connection: "demo", Csv: file.Content})
	if err != nil || len(resp.Errors) > 0 || resp.Imported != 0 || resp.Unchanged != 2 {
		t.Errorf("%v, %v", resp, err)
	}
}

func TestCustomersThatAreGoneInHaloAreToBeRemapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Acme"}, halosim.Client{ID: 8, Name: "Bakery"}, halosim.Client{ID: 9, Name: "Bakery Group"})
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), customerEvent("B", "Bakery"), subscriptionEvent("giacom/1", "A", ""), subscriptionEvent("giacom/2", "B", ""))
	w.wantSubs(map[string]string{"giacom/1": "resolved 7", "giacom/2": "resolved 8"})
	refresh := func() {
		t.Helper()
		if _, err := w.mappings.RefreshMappings(t.Context(), &mappingv1.RefreshMappingsRequest{Connection: "demo"}); err != nil {
			t.Fatal(err)
		}
		w.settle()
	}
	if err := w.sim.EditClient(7, func(c *halosim.Client) { c.Inactive = true }); err != nil {
		t.Fatal(err)
	}
	// 8 is merged into 9, which Halo's own integration now ties to its Giacom customer.
	state := w.sim.State()
	state.Clients = append(state.Clients[:1:1], state.Clients[2])
	state.Control.GiacomMappings = []halosim.Link{{ID: 1, TableID: 2, HaloID: 9, ThirdPartyID: "B"}}
	w.sim.Set(state)
	refresh()
	w.wantSubs(map[string]string{"giacom/1": "unresolved 0 " + reasonInactive, "giacom/2": "unresolved 0 " + reasonMerged})
	for id, says := range map[string]string{"A": "is inactive: activate it there", "B": "merged"} {
		m, err := w.mappings.GetMapping(t.Context(), &mappingv1.GetMappingRequest{Connection: "demo", MexId: id})
		if err != nil || m.Standing != mappingv1.Standing_STANDING_REMAP || m.State != mapped || !strings.Contains(m.Reason.GetText(), says) || m.Status.GetState().String() != "STATE_HELD" {
			t.Errorf("%s: %v, %v", id, m, err)
		}
	}
	// The one is activated again, the other remapped by its suggestion.
	if err := w.sim.EditClient(7, func(c *halosim.Client) { c.Inactive = false }); err != nil {
		t.Fatal(err)
	}
	refresh()
	m, err := w.mappings.AcceptSuggestion(t.Context(), &mappingv1.AcceptSuggestionRequest{Connection: "demo", MexId: "B"})
	if err != nil || m.HaloClientId != 9 || m.Standing != mappingv1.Standing_STANDING_MAPPED {
		t.Errorf("%v, %v", m, err)
	}
	w.wantSubs(map[string]string{"giacom/1": "resolved 7", "giacom/2": "resolved 9"})
	if _, err := w.mappings.SetMapping(t.Context(), &mappingv1.SetMappingRequest{Connection: "demo", MexId: "A", HaloClientId: 8}); err == nil {
		t.Error("mapped to a customer that was deleted")
	} else {
		fails(t, "a deleted customer", err, codes.FailedPrecondition, "Halo has no customer 8")
	}
}

func TestWhoStaysUnmappedRaisesAnAlert(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	w.conn.Customers.UnmappedAlertAfter = durationpb.New(time.Millisecond)
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), customerEvent("B", "No subscriptions"), priced("giacom/1", "A", "", "2", "10", "GBP"))
	w.settle()
	summary := func() *mappingv1.UnmappedAlert {
		sum, err := w.mappings.GetMappingSummary(t.Context(), &mappingv1.GetMappingSummaryRequest{Connection: "demo"})
		if err != nil {
			t.Fatal(err)
		}
		return sum.Alert
	}
	eventtest.Eventually(t, "the alert is raised", func() bool { return summary().GetRaised() })
	if a := summary(); a.Customers != 1 || a.Subscriptions != 1 || a.Monthly[0].Amount != "20" || !strings.Contains(a.Text, "20 GBP a month ex VAT") || a.Since == nil {
		t.Errorf("alert: %v", a)
	}
	if got := w.table("overdue = true", ""); len(got) != 1 {
		t.Errorf("overdue: %v", got)
	}
	eventtest.Eventually(t, "it is said aloud", func() bool { return w.count(`select count(*) from unmapped_alerts where customers = 1`) == 1 })
	if _, err := w.mappings.IgnoreCustomer(t.Context(), &mappingv1.IgnoreCustomerRequest{Connection: "demo", MexId: "A", Reason: "internal"}); err != nil {
		t.Fatal(err)
	}
	if summary().GetRaised() {
		t.Error("still raised")
	}
	eventtest.Eventually(t, "it is withdrawn", func() bool { return w.count(`select count(*) from unmapped_alerts`) == 0 })
}

// 5,000 customers with 50,000 subscriptions: every page, in every order, is there at once.
func TestAtScaleFiveThousandCustomers(t *testing.T) {
	w := newWorld(t, halosim.Config{})
	w.start()
	w.connect()
	w.settle()
	for _, sql := range []string{
		`insert into customers (connection, mex_id, name, in_feed, state, client_id, client_name)
			select 'demo', 'M' || lpad(i::text, 5, '0'), 'Customer ' || md5(i::text), true, case when i % 10 = 0 then 3 else 1 end, case when i % 10 = 0 then 0 else i end, 'Halo ' || md5(i::text) from generate_series(1, 5000) i`,
		`insert into subscriptions (connection, key, mex_id, revision, body, gone, customer_name, name, sku, state, run, cause, trace, updated, currency, if_month, if_term)
			select 'demo', 'giacom/' || i, 'M' || lpad((1 + i % 5000)::text, 5, '0'), 1, '', false, '', 'Product', '', 1, '', '', '', now(), 'GBP', i % 100, i % 100 from generate_series(1, 50000) i`,
		`insert into suggestions select 'demo', mex_id, 1, 90, '', '[{"id": 1, "name": "x", "score": 90, "reasons": ["y"]}]' from customers where state = 3`,
		`analyze customers`, `analyze subscriptions`,
	} {
		if _, err := w.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, order := range []string{"", "monthly desc", "giacom_name", "score desc, subscriptions"} {
		seen, token, slowest := map[string]bool{}, "", time.Duration(0)
		for {
			began := time.Now()
			page, err := w.mappings.ListMappings(t.Context(), &mappingv1.ListMappingsRequest{Filter: `connection = "demo"`, OrderBy: order, PageSize: 500, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			slowest = max(slowest, time.Since(began))
			for _, m := range page.Mappings {
				seen[m.MexId] = true
			}
			if token = page.NextPageToken; token == "" {
				break
			}
		}
		t.Logf("by %q: slowest page of 500 in %s", order, slowest)
		if len(seen) != 5000 {
			t.Errorf("by %q: %d customers", order, len(seen))
		}
		if slowest > 5*time.Second { // a fraction of a second on an idle machine
			t.Errorf("by %q: a page took %s", order, slowest)
		}
	}
	began := time.Now()
	sum, err := w.mappings.GetMappingSummary(t.Context(), &mappingv1.GetMappingSummaryRequest{Connection: "demo"})
	if err != nil || sum.Mapped != 4500 || sum.Suggested != 500 {
		t.Errorf("summary: %v, %v", sum, err)
	}
	t.Logf("summary in %s", time.Since(began))
}

func TestTwoOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Seven"}, halosim.Client{ID: 8, Name: "Eight"})
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), subscriptionEvent("giacom/1", "A", ""))
	w.settle()
	ctx := t.Context()
	seen, err := w.mappings.GetMapping(ctx, &mappingv1.GetMappingRequest{Connection: "demo", MexId: "A"})
	if err != nil {
		t.Fatal(err)
	}
	// Both saw the same; of what they do at once one thing happens, and the others are told.
	var failed []error
	done := make(chan error)
	for _, act := range []func() error{
		func() error {
			_, err := w.mappings.SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: "demo", MexId: "A", HaloClientId: 7, Etag: seen.Etag})
			return err
		},
		func() error {
			_, err := w.mappings.SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: "demo", MexId: "A", HaloClientId: 8, Etag: seen.Etag})
			return err
		},
		func() error {
			_, err := w.mappings.IgnoreCustomer(ctx, &mappingv1.IgnoreCustomerRequest{Connection: "demo", MexId: "A", Reason: "x", Etag: seen.Etag})
			return err
		},
	} {
		go func() { done <- act() }()
	}
	for range 3 {
		if err := <-done; err != nil {
			fails(t, "the slower one", err, codes.Aborted, "was changed by local at ")
			failed = append(failed, err)
		}
	}
	if len(failed) != 2 {
		t.Errorf("%d were refused, want 2 of 3: %v", len(failed), failed)
	}
	_, err = w.mappings.RemoveMapping(ctx, &mappingv1.GetMappingRequest{Connection: "demo", MexId: "A", Etag: seen.Etag})
	fails(t, "a stale removal", err, codes.Aborted, "since you read it")
	_, err = w.mappings.CreateCustomer(ctx, &mappingv1.GetMappingRequest{Connection: "demo", MexId: "A", Etag: seen.Etag})
	fails(t, "a stale creation", err, codes.Aborted, "since you read it")
	file := "mex_id,halo_client_id,etag\nA,8," + seen.Etag + "\n"
	if m, _ := w.mappings.GetMapping(ctx, &mappingv1.GetMappingRequest{Connection: "demo", MexId: "A"}); m.HaloClientId == 8 {
		file = strings.Replace(file, "A,8", "A,7", 1)
	}
	resp, err := w.mappings.ImportMappings(ctx, &mappingv1.ImportMappingsRequest{Connection: "demo", Csv: []byte(file)})
	if err != nil || len(resp.Errors) != 1 || resp.Errors[0].Line != 2 || !strings.Contains(resp.Errors[0].Text, "since you read it") {
		t.Errorf("a stale row of a file: %v, %v", resp, err)
	}
}

func TestWrongFilesAreNamedByLine(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"":          "1: the file has no first line",
		"id,name\n": "1: there is no column mex_id",
		"mex_id,halo_client_id\nC1,twelve\nC2,x\n": "2: halo_client_id \"twelve\" is no number; 3: halo_client_id \"x\" is no number",
		"mex_id,halo_client_id\nC1,12,13\nC2,x\n":  "2: it has 3 columns, the first line 2; 3: halo_client_id",
		"mex_id,halo_client_id\nC1,12\nC2,1":       "3: the file ends within this line",
		"mex_id,halo_client_name\nC1,\"Half\n":     "2: it cannot be read",
		"mex_id,halo_client_id\nC1\n":              "2: it has 1 columns",
		"mex_id,halo_client_name\nC1,\xff\n":       "1: the file is not in UTF-8",
		"mex_id,halo_client_id\nC1,\nC2,0\n":       "",
	} {
		_, wrong := readMappings([]byte(content))
		var got []string
		for _, e := range wrong {
			got = append(got, fmt.Sprintf("%d: %s", e.Line, e.Text))
		}
		all := strings.Join(got, "; ")
		for part := range strings.SplitSeq(want, "; ") {
			if !strings.Contains(all, part) || want == "" && all != "" {
				t.Errorf("%q: %s; want %q", content, all, part)
			}
		}
	}
	rows, wrong := readMappings([]byte("\ufeffGIACOM_NAME,Halo_Client_Name,mex_id\n\"a, \"\"b\"\"\",\"<i>O'Neill</i> 🦷 \"\"x\"\"\",C1\n"))
	if len(wrong) > 0 || len(rows) != 1 || rows[0].HaloClientName != `<i>O'Neill</i> 🦷 "x"` || rows[0].Line != 2 {
		t.Errorf("%v, %v", rows, wrong)
	}
}

func TestGeneratedNativeAndSuggestedMappings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 1, Name: "Exact"}, halosim.Client{ID: 2, Name: "Twice"}, halosim.Client{ID: 3, Name: "Twice"},
		halosim.Client{ID: 4, Name: "Native over there"}, halosim.Client{ID: 5, Name: "Near Bakery Ltd"}, halosim.Client{ID: 6, Name: "Else"})
	w.sim.EditControl(func(c *halosim.Control) {
		c.GiacomMappings = []halosim.Link{{ID: 1, TableID: 2, HaloID: 4, ThirdPartyID: "N"}, {ID: 2, TableID: 2, HaloID: 404, ThirdPartyID: "X"}, {ID: 3, TableID: 2, HaloID: 4, ThirdPartyID: "M"}}
	})
	w.conn.Customers.MapByName, w.conn.Customers.MapFromNative = proto.Bool(false), proto.Bool(false)
	w.start()
	w.connect()
	w.send(customerEvent("E", "Exact"), customerEvent("T", "Twice"), customerEvent("N", "Native"), customerEvent("S", "NEAR Bakery Limited"), customerEvent("X", "Lost"), customerEvent("M", "Other"),
		priced("giacom/1", "E", "", "2", "3", "GBP"), priced("giacom/2", "S", "", "1", "4", "GBP"))
	w.settle()
	ctx := t.Context()
	if got := w.table("state = mapped", ""); len(got) != 0 {
		t.Fatalf("mapped although it is off: %v", got)
	}
	if _, err := w.mappings.SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: "demo", MexId: "M", HaloClientId: 6}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	show := func(c *mappingv1.MappingChanges, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, x := range c.Changes {
			out = append(out, fmt.Sprintf("%s=%d", x.MexId, x.HaloClientId))
		}
		for _, x := range c.Skipped {
			out = append(out, x.MexId+":"+x.Reason.Code)
		}
		return strings.Join(out, " ")
	}
	all := &mappingv1.MapAllRequest{Connection: "demo"}
	preview, err := w.mappings.GetGeneratedMappings(ctx, all)
	if got := show(preview, err); got != "E=1 N:no_such_name S:no_such_name T:ambiguous X:no_such_name" || preview.Applied || preview.Subscriptions != 1 || preview.Monthly[0].Amount != "6" {
		t.Errorf("generated: %s, %v", got, preview)
	}
	_, err = w.mappings.GenerateMappings(ctx, &mappingv1.MapAllRequest{Connection: "demo", Etag: "of another preview"})
	fails(t, "another preview", err, codes.Aborted, "not what was shown")
	done, err := w.mappings.GenerateMappings(ctx, &mappingv1.MapAllRequest{Connection: "demo", Etag: preview.Etag})
	if got := show(done, err); !strings.HasPrefix(got, "E=1 ") || !done.Applied {
		t.Errorf("generated: %s", got)
	}
	if got := show(w.mappings.GetNativeMappings(ctx, all)); got != "N=4 M:mapped_otherwise X:halo_customer_gone" {
		t.Errorf("native: %s", got)
	}
	show(w.mappings.TakeOverMappings(ctx, all))
	w.settle()
	if got := show(w.mappings.GetAcceptableSuggestions(ctx, &mappingv1.AcceptSuggestionsRequest{Connection: "demo", MinScore: 50})); got != "S=5 T:ambiguous" {
		t.Errorf("suggested: %s", got)
	}
	_, err = w.mappings.AcceptSuggestion(ctx, &mappingv1.AcceptSuggestionRequest{Connection: "demo", MexId: "T"})
	fails(t, "an ambiguous one", err, codes.FailedPrecondition, "fit about equally well")
	if m, err := w.mappings.AcceptSuggestion(ctx, &mappingv1.AcceptSuggestionRequest{Connection: "demo", MexId: "T", HaloClientId: 3}); err != nil || m.HaloClientId != 3 || m.Origin != mappingv1.Origin_ORIGIN_SUGGESTION {
		t.Errorf("one of two by hand: %v, %v", m, err)
	}
	list, err := w.mappings.ListSuggestions(ctx, &mappingv1.ListSuggestionsRequest{Connection: "demo", MinScore: 80})
	if err != nil || len(list.Suggestions) != 1 || list.Suggestions[0].MexId != "S" || len(list.Suggestions[0].Candidates[0].Reasons) == 0 {
		t.Errorf("suggestions: %v, %v", list, err)
	}
	show(w.mappings.AcceptSuggestions(ctx, &mappingv1.AcceptSuggestionsRequest{Connection: "demo", MinScore: 80}))
	_, err = w.mappings.AcceptSuggestions(ctx, &mappingv1.AcceptSuggestionsRequest{Connection: "demo"})
	fails(t, "no score", err, codes.InvalidArgument, "min_score")
	w.settle()
	want := []string{"E mapped 1 [6 GBP]", "M mapped 6 []", "N mapped 4 []", "S mapped 5 [4 GBP]", "T mapped 3 []", "X unmapped 0 []"}
	if diff := cmp.Diff(want, w.table("", "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	origins := map[string]mappingv1.Origin{"E": mappingv1.Origin_ORIGIN_NAME, "N": mappingv1.Origin_ORIGIN_NATIVE, "S": mappingv1.Origin_ORIGIN_SUGGESTION}
	for id, origin := range origins {
		if m := w.mapping(id); m.Origin != origin {
			t.Errorf("%s is of origin %s, want %s", id, m.Origin, origin)
		}
	}
}
