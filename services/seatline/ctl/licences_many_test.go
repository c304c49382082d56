package ctl

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"seatline.dev/pkg/rpc"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// duplicates answers about n possible duplicates, a thousand at a time.
type duplicates struct {
	licencev1.UnimplementedLicenceServiceServer
	n     int
	asked []string
}

func (d *duplicates) GetDuplicateDecisions(_ context.Context, req *licencev1.GetDuplicateDecisionsRequest) (*licencev1.DuplicateDecisions, error) {
	d.asked = append(d.asked, fmt.Sprint("show ", req.GetWay(), " ", req.GetFilter()))
	from := 0
	fmt.Sscan(req.GetPageToken(), &from)
	out := &licencev1.DuplicateDecisions{}
	for i := from; i < min(d.n, from+1000); i++ {
		x := &licencev1.DuplicateDecision{Key: fmt.Sprint("giacom/", i), Customer: "Zoë", Name: "E3", Count: 5, Candidate: &licencev1.Candidate{HaloId: int64(i + 1), Count: 7}}
		if req.GetWay() == licencev1.Way_WAY_ADOPT {
			x.HaloId = int64(i + 1)
		}
		out.Decisions = append(out.Decisions, x)
	}
	if from+1000 < d.n {
		out.NextPageToken = fmt.Sprint(from + 1000)
	} else {
		out.Skipped = []*licencev1.SkippedDuplicate{{Key: "giacom/x", Customer: "Zoë", Name: "E5", Reason: &itemv1.Reason{Code: "several", Text: "2 licences in Halo could be it."}}}
	}
	return out, nil
}

func (d *duplicates) DecideDuplicates(ctx context.Context, req *licencev1.DecideDuplicatesRequest) (*licencev1.DuplicateDecisions, error) {
	d.asked = append(d.asked, fmt.Sprint(rpc.Who(ctx), " decides ", len(req.GetDecisions()), " from ", req.GetDecisions()[0].GetKey(), " on"))
	return &licencev1.DuplicateDecisions{Decisions: req.GetDecisions()}, nil
}

func TestManyDuplicatesAreShownFirstAndDecidedWithYes(t *testing.T) {
	d := &duplicates{n: 2100}
	dir := start(t, &everything{licences: d})
	out, code, message := seatline(t, dir, "licences", "adopt", "acme", "--all", "--filter", "sku = E3")
	if code != rpc.ExitUsage || !strings.Contains(message, "--yes") || len(d.asked) != 3 || d.asked[0] != "show WAY_ADOPT sku = E3" {
		t.Errorf("exits %d (%s); asked %q", code, message, d.asked)
	}
	for _, says := range []string{"Zoë, E3 takes over licence 2100 of Halo, with 5 seats instead of 7", "leave  giacom/x: Zoë, E5: 2 licences in Halo could be it.", "2100 possible duplicates would be decided about; 1 left as they are."} {
		if !strings.Contains(out, says) {
			t.Errorf("does not say %q", says)
		}
	}
	d.asked = nil
	out, code, _ = seatline(t, dir, "licences", "create", "acme", "--all", "--yes")
	if code != 0 || !strings.Contains(out, "2100 possible duplicates decided about; 1 left") || !strings.Contains(out, "a new licence with 5 seats beside licence 1\n") {
		t.Errorf("exits %d", code)
	}
	want := "olga decides 1000 from giacom/0 on, olga decides 1000 from giacom/1000 on, olga decides 100 from giacom/2000 on"
	if got := strings.Join(d.asked[3:], ", "); got != want {
		t.Errorf("asked %s", got)
	}
	for _, args := range [][]string{{"adopt", "acme"}, {"adopt", "acme", "giacom/1"}, {"create", "acme"}, {"create", "acme", "giacom/1", "--all"}, {"create", "acme", "giacom/1", "--yes"}} {
		if _, code, message := seatline(t, dir, append([]string{"licences"}, args...)...); code != rpc.ExitUsage {
			t.Errorf("%v exits %d: %s", args, code, message)
		}
	}
}
