package billing

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
)

func TestListsOfAMigration(t *testing.T) {
	t.Parallel()
	m := aMigrant(t, 3, halosim.Config{}, func(st *halosim.State) {
		for i := range st.Clients {
			st.Clients[i].Name = []string{"Zoë <Ltd>", "acme \"one\"", "Middling"}[i]
		}
	})
	m.noted()
	for _, tc := range []struct {
		search, order string
		want          []string
	}{
		{"", "", []string{"701", "702", "703"}},
		{"", "customer", []string{"702", "703", "701"}},
		{"", "customer desc", []string{"701", "703", "702"}},
		{"", "seats", []string{"701", "702", "703"}},
		{"<ltd>", "", []string{"701"}},
		{"PRODUCT mid", "", []string{"703"}},
		{"zoë acme", "", nil},
	} {
		resp, err := m.ListPairs(m.Context(), &intyv1.ListPairsRequest{Connection: "acme", Search: tc.search, OrderBy: tc.order})
		m.must(err)
		var got []string
		for _, p := range resp.GetPairs() {
			got = append(got, fmt.Sprint(p.GetInty().GetHaloId()))
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("search %q, order %q (-want +got):\n%s", tc.search, tc.order, diff)
		}
	}
	one, err := m.ListPairs(m.Context(), &intyv1.ListPairsRequest{Connection: "acme", HaloId: 702})
	m.must(err)
	if len(one.GetPairs()) != 1 || one.GetPairs()[0].GetInty().GetHaloId() != 702 {
		t.Errorf("licence 702 alone: %v", one)
	}
	first, err := m.SetPair(m.Context(), &intyv1.SetPairRequest{Connection: "acme", HaloId: 702, Leave: true, Etag: one.GetPairs()[0].GetEtag()})
	m.must(err)
	_, err = m.SetPair(m.Context(), &intyv1.SetPairRequest{Connection: "acme", HaloId: 702, Key: one.GetPairs()[0].GetGiacom().GetKey(), Etag: one.GetPairs()[0].GetEtag()})
	if rpc.ExitCode(err) != rpc.ExitRefused || !strings.Contains(err.Error(), "decided to leave it alone meanwhile") {
		t.Errorf("a second choice on what was seen before the first: %v", err)
	}
	_, err = m.SetPair(m.Context(), &intyv1.SetPairRequest{Connection: "acme", HaloId: 702, Etag: first.GetEtag()})
	m.must(err)
	if _, err := m.ListPairs(m.Context(), &intyv1.ListPairsRequest{Connection: "acme", OrderBy: "colour"}); rpc.ExitCode(err) != rpc.ExitUsage {
		t.Errorf("ordered by a colour: %v", err)
	}
	users, err := m.ListUserLines(m.Context(), &intyv1.ListUserLinesRequest{Connection: "acme", Search: "user zoë"})
	m.must(err)
	if len(users.GetLines()) != 1 || users.GetNote() == "" {
		t.Errorf("lines that count Zoë's users: %v", users)
	}
	old, err := m.ListOldMappings(m.Context(), &intyv1.ListOldMappingsRequest{Connection: "acme", Search: "inty-2"})
	m.must(err)
	if len(old.GetMappings()) != 1 || old.GetMappings()[0].GetClientId() != 2 {
		t.Errorf("the old mapping INTY-2: %v", old)
	}

	for range 2 {
		_, err := m.CreateReport(m.Context(), acme)
		m.must(err)
	}
	kept, err := m.ListReports(m.Context(), &intyv1.ListReportsRequest{Connection: "acme"})
	m.must(err)
	if r := kept.GetReports(); len(r) != 2 || r[0].GetId() <= r[1].GetId() || r[0].GetTime() == nil || r[0].GetCsv() != "" {
		t.Errorf("reports kept: %v", kept)
	}
}
