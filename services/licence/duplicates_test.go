package licence

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// in words: what is decided, then what is left out.
func (w *world) duplicates(d *licencev1.DuplicateDecisions, err error) string {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, x := range d.GetDecisions() {
		out = append(out, fmt.Sprintf("%s takes %d", x.GetKey(), x.GetHaloId()))
	}
	for _, x := range d.GetSkipped() {
		out = append(out, fmt.Sprintf("%s %s", x.GetKey(), x.GetReason().GetCode()))
	}
	return strings.Join(out, ", ")
}

func TestManyPossibleDuplicatesAreDecidedAtOnce(t *testing.T) {
	t.Parallel()
	lic := func(id, client int64, seats int) halosim.Licence {
		return halosim.Licence{ID: id, Type: 1, ClientID: client, Name: "Microsoft 365", ProductSKU: "SKU1", Count: int64(seats), IsActive: true}
	}
	w := newWorld(t, halosim.Config{}, 6, lic(11, 1, 9), lic(12, 2, 9), lic(13, 3, 9), lic(14, 3, 8), lic(15, 4, 5), lic(16, 5, 9))
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 5), sub("giacom/2", 2, 5), sub("giacom/3", 3, 5), sub("giacom/4", 4, 5), sub("giacom/4b", 4, 5), sub("giacom/5", 5, 5), sub("giacom/6", 6, 5))
	w.wantState("giacom/5", "held possible_duplicate")
	ctx := context.Background()
	ask := func(way licencev1.Way, filter, token string, size int32) (*licencev1.DuplicateDecisions, error) {
		return w.licences.GetDuplicateDecisions(ctx, &licencev1.GetDuplicateDecisionsRequest{Connection: "demo", Filter: filter, Way: way, PageToken: token, PageSize: size})
	}
	shown, err := ask(licencev1.Way_WAY_ADOPT, "", "", 0)
	const all = "giacom/1 takes 11, giacom/2 takes 12, giacom/5 takes 16, giacom/3 several, giacom/4 contested, giacom/4b contested"
	if got := w.duplicates(shown, err); got != all {
		t.Errorf("to be taken over: %s, want %s", got, all)
	}
	if x := shown.GetDecisions()[0]; x.GetCount() != 5 || x.GetCandidate().GetCount() != 9 || x.GetCustomer() != "Customer 1" || x.GetName() != "Microsoft 365" || x.GetMonthly().GetAmount() != "83" {
		t.Errorf("shown as %v", x)
	}
	first, err := ask(licencev1.Way_WAY_ADOPT, "", "", 2)
	if got := w.duplicates(first, err); got != "giacom/1 takes 11, giacom/2 takes 12" || first.GetNextPageToken() == "" {
		t.Errorf("the first two: %s", got)
	}
	some, err := ask(licencev1.Way_WAY_CREATE, `halo_client_id = 5 OR halo_client_id = 4`, "", 0)
	if got := w.duplicates(some, err); got != "giacom/4 takes 0, giacom/4b takes 0, giacom/5 takes 0" {
		t.Errorf("to be created: %s", got)
	}
	if _, err := ask(0, "", "", 0); rpc.Reason(err) != "INVALID_ARGUMENT" {
		t.Errorf("no way out was named: %v", err)
	}
	if n := len(w.sim.State().Licences); n != 7 { // giacom/6 had no candidate
		t.Fatalf("a preview left %d licences", n)
	}
	decide := func(list ...*licencev1.DuplicateDecision) (*licencev1.DuplicateDecisions, error) {
		return w.licences.DecideDuplicates(ctx, &licencev1.DecideDuplicatesRequest{Connection: "demo", Decisions: list})
	}
	d := func(key string, id int64) *licencev1.DuplicateDecision {
		return &licencev1.DuplicateDecision{Key: key, HaloId: id}
	}
	// Nobody is given what is not a candidate of theirs, nor what another of the list takes.
	got := w.duplicates(decide(d("giacom/2", 11), d("giacom/6", 12), d("nobody", 0), d("giacom/4", 15), d("giacom/4b", 15)))
	if want := "giacom/4 takes 15, giacom/2 no_candidate, giacom/4b taken, giacom/6 not_waiting, nobody not_waiting"; got != want {
		t.Errorf("decided: %s, want %s", got, want)
	}
	if got := w.duplicates(decide(append(shown.GetDecisions(), d("giacom/3", 0))...)); got != "giacom/1 takes 11, giacom/2 takes 12, giacom/3 takes 0, giacom/5 takes 16" {
		t.Errorf("decided: %s", got)
	}
	if _, err := decide(make([]*licencev1.DuplicateDecision, 1001)...); rpc.Reason(err) != "INVALID_ARGUMENT" {
		t.Errorf("more than 1,000: %v", err)
	}
	w.settle()
	for key, want := range map[string]int64{"giacom/1": 11, "giacom/2": 12, "giacom/4": 15, "giacom/5": 16} {
		w.wantState(key, "in_sync")
		l, err := w.licences.GetLicence(ctx, &licencev1.GetLicenceRequest{Connection: "demo", Key: key})
		if err != nil || l.GetStatus().GetHaloId() != want {
			t.Errorf("%s has licence %d, want %d (%v)", key, l.GetStatus().GetHaloId(), want, err)
		}
	}
	w.wantState("giacom/3", "in_sync")
}
