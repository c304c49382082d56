package mapper

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// watch follows an import to its end.
func (w *world) watch(id string) (last *mappingv1.CustomerImport) {
	w.Helper()
	stream, err := w.mappings.WatchCustomerImport(context.Background(), &mappingv1.GetCustomerImportReportRequest{Id: id})
	if err != nil {
		w.Fatal(err)
	}
	for {
		now, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last
		}
		if err != nil {
			w.Fatal(err)
		}
		last = now
	}
}

func rowsOf(p *mappingv1.CustomerImport) map[string]string {
	out := map[string]string{}
	for _, r := range p.GetRows() {
		out[r.MexId] = strings.TrimSpace(word(r.Action) + " " + word(r.Outcome) + " " + r.Reason.GetCode())
	}
	return out
}

func TestCustomersAreImportedByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, halosim.Client{ID: 7, Name: "Mapped"}, halosim.Client{ID: 8, Name: "Near Bakery Ltd", TopLevelID: 1}, halosim.Client{ID: 9, Name: "Old name"})
	w.conn.Customers.TopLevelId, w.conn.Customers.FollowNameOfMapped = 2, true
	w.conn.Mode = connectionv1.Mode_MODE_OBSERVE
	w.start()
	w.connect()
	w.send(customerEvent("M", "Mapped"), customerEvent("N", "NEAR Bakery"), customerEvent("R", "New name"), customerEvent("C", `New "<&>" 🦷`),
		customerEvent("D", "Deux"), customerEvent("E", "Deux Ltd"), customerEvent("I", "Internal"), subscriptionEvent("giacom/1", "C", ""))
	w.settle()
	ctx := t.Context()
	if _, err := w.mappings.IgnoreCustomer(ctx, &mappingv1.IgnoreCustomerRequest{Connection: "demo", MexId: "I", Reason: "ours"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.mappings.SetMapping(ctx, &mappingv1.SetMappingRequest{Connection: "demo", MexId: "R", HaloClientId: 9}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	req := &mappingv1.ImportCustomersRequest{Connection: "demo"}
	preview, err := w.mappings.GetCustomerImport(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"C": "create unspecified", "R": "update unspecified", "N": "ask unspecified near_match", "D": "ask unspecified near_match", "E": "ask unspecified near_match", "I": "skip unspecified customer_ignored"}
	if diff := cmp.Diff(want, rowsOf(preview)); diff != "" || preview.Create != 1 || preview.Update != 1 || preview.Ask != 3 || preview.Skip != 1 || preview.Unchanged != 1 {
		t.Errorf("preview %v (-want +got):\n%s", preview, diff)
	}
	if preview.Blocked.GetCode() != "OBSERVE" {
		t.Errorf("blocked: %v", preview.Blocked)
	}
	for _, r := range preview.Rows {
		if r.MexId == "N" && (len(r.Candidates) == 0 || r.Candidates[0].HaloClientId != 8) {
			t.Errorf("no candidate for the near match: %v", r)
		}
	}
	_, err = w.mappings.ImportCustomers(ctx, req)
	fails(t, "while observing", err, codes.FailedPrecondition, "observes")

	w.conn.Mode = connectionv1.Mode_MODE_AUTO
	w.connect()
	w.settle() // the name of R is written now
	req.Answers = []*mappingv1.ImportAnswer{
		{MexId: "n", Answer: &mappingv1.ImportAnswer_Link{Link: 8}}, {MexId: "D", Answer: &mappingv1.ImportAnswer_Create{Create: true}}, {MexId: "E", Answer: &mappingv1.ImportAnswer_Skip{Skip: true}},
	}
	_, err = w.mappings.ImportCustomers(ctx, &mappingv1.ImportCustomersRequest{Connection: "demo", Answers: req.Answers, Etag: preview.Etag})
	fails(t, "another preview", err, codes.Aborted, "not what was shown")
	_, err = w.mappings.ImportCustomers(ctx, &mappingv1.ImportCustomersRequest{Connection: "demo", Answers: []*mappingv1.ImportAnswer{{MexId: "N", Answer: &mappingv1.ImportAnswer_Link{Link: 404}}}})
	fails(t, "a link to nobody", err, codes.FailedPrecondition, "cannot be linked")
	if preview, err = w.mappings.GetCustomerImport(ctx, req); err != nil {
		t.Fatal(err)
	}
	if err := w.sim.Inject(halosim.Fault{Name: "cut_after", Method: "POST", Route: "/Client", Times: 1}); err != nil {
		t.Fatal(err)
	}
	started, err := w.mappings.ImportCustomers(ctx, &mappingv1.ImportCustomersRequest{Connection: "demo", Answers: req.Answers, Etag: preview.Etag})
	if err != nil || started.Id == "" || started.Who != "local" {
		t.Fatalf("%v, %v", started, err)
	}
	if started.EndTime == nil {
		_, err = w.mappings.ImportCustomers(ctx, req)
		fails(t, "a second one", err, codes.FailedPrecondition, "is under way")
	}
	end := w.watch(started.Id)
	if end.GetEndTime() == nil || end.Created != 2 || end.Linked != 1 || end.Failed != 0 || end.Pending != 0 || end.Stage != "done" {
		t.Errorf("ended as %v", end)
	}
	report, err := w.mappings.GetCustomerImportReport(ctx, &mappingv1.GetCustomerImportReportRequest{Id: started.Id})
	if err != nil {
		t.Fatal(err)
	}
	want = map[string]string{"C": "create done", "D": "create done", "N": "link done", "E": "skip skipped answered", "I": "skip skipped customer_ignored"}
	if diff := cmp.Diff(want, rowsOf(report)); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	// Created once each in spite of the lost reply, under the top level; the others stay where they are.
	top := map[string]int64{}
	for _, c := range w.sim.State().Clients {
		top[c.Name] += c.TopLevelID
	}
	if diff := cmp.Diff(map[string]int64{"Mapped": 0, "NEAR Bakery": 1, "New name": 0, `New "<&>" 🦷`: 2, "Deux": 2}, top); diff != "" {
		t.Errorf("Halo (-want +got):\n%s", diff)
	}
	for _, format := range []mappingv1.FileFormat{mappingv1.FileFormat_FILE_FORMAT_CSV, mappingv1.FileFormat_FILE_FORMAT_JSON} {
		file, err := w.mappings.GetCustomerImportFile(ctx, &mappingv1.GetCustomerImportFileRequest{Id: started.Id, Format: format})
		if err != nil || !strings.Contains(string(file.Content), "🦷") || !strings.HasPrefix(file.Name, "customers-demo-") {
			t.Errorf("%v, %v", file, err)
		}
		if format == mappingv1.FileFormat_FILE_FORMAT_JSON && !json.Valid(file.GetContent()) {
			t.Errorf("no JSON: %s", file.GetContent())
		}
	}
	list, err := w.mappings.ListCustomerImports(ctx, &mappingv1.ListCustomerImportsRequest{Filter: `connection = "demo"`})
	if err != nil || len(list.Imports) != 1 || list.Imports[0].Created != 2 || len(list.Imports[0].Rows) != 0 {
		t.Errorf("imports: %v, %v", list, err)
	}
	_, err = w.mappings.GetCustomerImportReport(ctx, &mappingv1.GetCustomerImportReportRequest{Id: "nope"})
	fails(t, "one that is not", err, codes.NotFound, "nope")
}

func TestAnImportReportsWhatHaloRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{UniqueClientNames: true}, halosim.Client{ID: 7, Name: "Acme", Inactive: true})
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), customerEvent("B", "Bakery"))
	w.settle()
	started, err := w.mappings.ImportCustomers(t.Context(), &mappingv1.ImportCustomersRequest{Connection: "demo"})
	if err != nil {
		t.Fatal(err)
	}
	if end := w.watch(started.Id); end.Created != 1 || end.Failed != 1 {
		t.Errorf("ended as %v", end)
	}
	report, err := w.mappings.GetCustomerImportReport(t.Context(), &mappingv1.GetCustomerImportReportRequest{Id: started.Id})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"A": "create failed halo_refused", "B": "create done"}, rowsOf(report)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTopLevelsAreHalosOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	w.conn.Customers.TopLevelId = 3
	w.start()
	w.connect()
	w.settle()
	got, err := w.mappings.ListTopLevels(t.Context(), &mappingv1.ListTopLevelsRequest{Connection: "demo"})
	if err != nil || len(got.TopLevels) != 2 || got.TopLevels[1].Id != 2 || got.TopLevels[1].Name != "Giacom" || got.ChosenId != 3 || !got.ChosenMissing {
		t.Errorf("%v, %v", got, err)
	}
	if err := w.sim.Inject(halosim.Fault{Name: "unauthorised"}); err != nil {
		t.Fatal(err)
	}
	_, err = w.mappings.ListTopLevels(t.Context(), &mappingv1.ListTopLevelsRequest{Connection: "demo"})
	fails(t, "without rights", err, codes.Unavailable, "Halo could not be asked")
}
