package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"seatline.dev/pkg/halo/halosim"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

// A provider with Halo's Inty integration moves to Giacom's licences by the guide's own steps, on the
// command line: mappings noted, module cleared, mapped, imported, re-pointed. Nobody is billed twice,
// customers in the United States are left as they are, and undo puts back what was, byte for byte.
func TestFromIntyToGiacom(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: estate.Inty(estate.Config{Seed: 5, Now: time.Now()}, 2), rules: keepAndAdd, world: world.Options{Override: "the move from Inty begins"}})
	others, same, american := s.data.Cases[estate.IntyOtherSeats], s.data.Cases[estate.IntySameSeats], s.data.Cases[estate.IntyAmerican]
	unknown, without := s.data.Cases[estate.IntyUnknown], s.data.Cases[estate.IntyNoGiacom]
	original := s.w.Halo.State()

	s.command(7, "inty", "module", "acme")
	s.says(s.command(0, "inty", "save-mappings", "acme"), "10 old mappings are saved")
	s.w.Halo.EditControl(func(c *halosim.Control) {
		c.IntyMappings, c.IntyURL, c.IntyUserName, c.IntyIntegrator = nil, "", "", false
	})
	s.command(0, "inty", "module", "acme")
	s.says(s.command(0, "inty", "save-mappings", "acme"), "10 old mappings are saved, 0 of them now")
	s.poll(true) // Giacom's customers come in; by their names alone none is mapped
	s.command(0, "inty", "refresh", "acme")
	s.says(s.command(0, "inty", "mappings", "acme", "--state", "asked"), "neither country nor currency is known")
	s.says(s.command(0, "inty", "answer", "acme", "--all", "--elsewhere"), "Answered for 2 customers; 0 still asked about.")
	s.says(s.command(0, "inty", "mappings", "acme", "--accept"), "8 proposals accepted")
	s.settle()
	s.poll(true)
	s.command(0, "inty", "refresh", "acme")

	s.pairs("after the import", map[estate.Case]string{
		estate.IntySameSeats: "ADOPTED", estate.IntyOtherSeats: "DUPLICATE", estate.IntyAmerican: "EXCLUDED", estate.IntyUnknown: "DUPLICATE", estate.IntyNoGiacom: "UNPAIRED",
	})
	if l := s.licenceByID(same[0].LicenceID); !strings.HasPrefix(l.SnowID, "giacom:") || l.Count != 9 {
		t.Errorf("the licence with the same seats was not adopted in place: %+v", l)
	}
	// Two ways in, by the pair or by the licence that is held: adopt in place, or beside and re-point.
	held := func(x estate.Tag) string {
		t.Helper()
		page, err := intyv1.NewMigrationServiceClient(s.w.Client(ctl.Billing)).ListPairs(s.ctx, &intyv1.ListPairsRequest{Connection: "acme", HaloId: x.LicenceID})
		s.must(err)
		return page.GetPairs()[0].GetGiacom().GetKey()
	}
	s.says(s.command(0, "licences", "adopt", "acme", held(others[1]), fmt.Sprint(others[1].LicenceID)), fmt.Sprintf("takes over licence %d of Halo", others[1].LicenceID))
	s.says(s.command(0, "licences", "create", "acme", held(unknown[1])), "A new licence", "is to be created")
	for _, x := range []estate.Tag{others[0], unknown[0]} {
		s.command(0, "inty", "pair", "acme", fmt.Sprint(x.LicenceID), "--beside")
	}
	s.settle()
	before := s.w.Halo.State()
	for _, x := range []estate.Tag{others[0], unknown[0], american[0], american[1]} {
		s.sameInvoice("before the re-pointing", original, x)
	}
	s.command(4, "inty", "pair", "acme", fmt.Sprint(others[1].LicenceID), "--leave") // it is ours by now

	preview := &intyv1.Preview{}
	s.decode(s.command(0, "inty", "preview", "acme", "-o", "json"), preview)
	if len(preview.GetItems()) != 3 || preview.GetWritable() != 3 || preview.GetDeactivated() != 3 {
		t.Fatalf("preview: %v", preview)
	}
	for _, x := range preview.GetItems() {
		if x.GetQuantityBefore() != "12" || x.GetQuantityAfter() != "9" || x.GetProRata().GetQuantity() != "-3" {
			t.Errorf("preview of %s: %v", x.GetLine().GetClientName(), x)
		}
	}
	s.command(4, "inty", "apply", "acme", "--etag", "of-yesterday")
	s.command(0, "inty", "apply", "acme", "--etag", preview.GetEtag(), "--deactivate")
	s.must(s.w.Kill(s.ctx, ctl.Billing, 0)) // in the middle of it
	s.must(s.w.Kill(s.ctx, ctl.Licence, 0))
	s.settle()
	s.moved("re-pointed", others[0], unknown[0], unknown[1])
	s.says(s.command(0, "inty", "verify", "acme"), "3 lines")
	for _, x := range append(slices.Clone(american), without...) {
		if !s.licenceByID(x.LicenceID).IsActive {
			t.Errorf("licence %d was deactivated although it was not replaced", x.LicenceID)
		}
	}
	s.sameInvoice("after the re-pointing", original, american[0])
	s.says(s.command(0, "changes", "acme", "-f", "action = deactivate"), "deactivate")

	// Undo, with the licence service killed: the links and the invoices are what they were.
	s.must(s.w.Kill(s.ctx, ctl.Licence, 0))
	s.says(s.command(0, "inty", "undo", "acme"), "3 lines")
	s.settle()
	for _, x := range []estate.Tag{others[0], unknown[0], unknown[1]} {
		s.sameInvoice("after undo", before, x)
		if l := s.licenceByID(x.LicenceID); !l.IsActive {
			t.Errorf("licence %d is not active again", l.ID)
		}
	}
	s.poll(true)
	for _, x := range []estate.Tag{others[0], unknown[0]} {
		s.sameInvoice("a poll after undo", before, x)
	}

	// For good, one customer first.
	one := fmt.Sprint(others[0].ClientID)
	s.decode(s.command(0, "inty", "preview", "acme", "--client", one, "-o", "json"), preview)
	s.command(0, "inty", "apply", "acme", "--client", one, "--etag", preview.GetEtag(), "--deactivate")
	s.settle()
	s.moved("the canary", others[0])
	s.sameInvoice("beside the canary", before, unknown[0])
	s.decode(s.command(0, "inty", "preview", "acme", "-o", "json"), preview)
	s.command(0, "inty", "apply", "acme", "--etag", preview.GetEtag(), "--deactivate")
	s.settle()
	s.moved("in the end", others[0], unknown[0], unknown[1])

	report := s.command(7, "inty", "report", "acme", "--csv") // two licences have no counterpart in Giacom
	for kind, n := range map[string]int{"moved": 3, "adopted": 3, "unpaired": 2, "excluded": 4, "user line": 8} {
		if got := strings.Count("\n"+report, "\n"+kind+","); got != n {
			t.Errorf("the report has %d rows %q, want %d:\n%s", got, kind, n, report)
		}
	}
	for _, x := range without {
		s.command(0, "inty", "pair", "acme", fmt.Sprint(x.LicenceID), "--leave")
	}
	s.command(0, "inty", "report", "acme")
	for _, line := range strings.Split(strings.TrimSpace(s.command(0, "inty", "status", "acme")), "\n")[1:] {
		if !strings.Contains(line, "  done  ") {
			t.Errorf("not done: %s", line)
		}
	}
}

func (s *story) decode(out string, into *intyv1.Preview) {
	s.Helper()
	*into = intyv1.Preview{}
	s.must(protojson.Unmarshal([]byte(out), into))
}

// pairs wants the licences of each case in one state.
func (s *story) pairs(when string, want map[estate.Case]string) {
	s.Helper()
	resp, err := intyv1.NewMigrationServiceClient(s.w.Client(ctl.Billing)).ListPairs(s.ctx, &intyv1.ListPairsRequest{Connection: "acme"})
	s.must(err)
	for c, state := range want {
		for _, tag := range s.data.Cases[c] {
			at := slices.IndexFunc(resp.GetPairs(), func(p *intyv1.Pair) bool { return p.GetInty().GetHaloId() == tag.LicenceID })
			if at < 0 {
				s.Errorf("%s: licence %d (%s) is not listed", when, tag.LicenceID, c)
			} else if p := resp.GetPairs()[at]; p.GetState().String() != "PAIR_STATE_"+state {
				s.Errorf("%s: licence %d (%s) is %s: %s", when, tag.LicenceID, c, p.GetState(), p.GetWhy())
			}
		}
	}
}

func (s *story) licenceByID(id int64) halosim.Licence {
	s.Helper()
	all := s.w.Halo.State().Licences
	return all[slices.IndexFunc(all, func(l halosim.Licence) bool { return l.ID == id })]
}

// moved wants the lines to link Giacom's licence, Inty's to be inactive, and nobody to be billed twice.
func (s *story) moved(when string, tags ...estate.Tag) {
	s.Helper()
	state := s.w.Halo.State()
	for _, x := range tags {
		inv := invoiceIn(state, x.InvoiceID)
		linked := inv.Lines[slices.IndexFunc(inv.Lines, func(l halosim.Line) bool { return l.ID == x.Line })]
		giacom := state.Licences[slices.IndexFunc(state.Licences, func(l halosim.Licence) bool {
			return strings.HasSuffix(l.SnowID, "/"+x.SubscriptionID) || l.ID == linked.Subscriptions[0].LicenceID
		})]
		if linked.Subscriptions[0].LicenceID == x.LicenceID || giacom.Count != 9 || !strings.HasPrefix(giacom.SnowID, "giacom:") || linked.Quantity.String() != "9" {
			s.Errorf("%s: line %d links %d (%+v)", when, x.Line, linked.Subscriptions[0].LicenceID, giacom)
		}
		if len(inv.Lines) != 3 || s.licenceByID(x.LicenceID).IsActive {
			s.Errorf("%s: %d lines, Inty's licence active: %t", when, len(inv.Lines), s.licenceByID(x.LicenceID).IsActive)
		}
	}
}

func invoiceIn(state halosim.State, id int64) halosim.Invoice {
	return state.Invoices[slices.IndexFunc(state.Invoices, func(i halosim.Invoice) bool { return i.ID == id })]
}

// sameInvoice wants an invoice to be what it was, but for the counter that every write moves on and the
// pro-rata rows, which are Halo's own.
func (s *story) sameInvoice(when string, was halosim.State, x estate.Tag) {
	s.Helper()
	text := func(state halosim.State) string {
		inv := invoiceIn(state, x.InvoiceID)
		inv.ChangeSeq = 0
		inv.Lines = slices.Clone(inv.Lines)
		for i := range inv.Lines {
			inv.Lines[i].ProRata = nil
		}
		b, err := json.MarshalIndent(inv, "", " ")
		s.must(err)
		return string(b)
	}
	if a, b := text(was), text(s.w.Halo.State()); a != b {
		s.Errorf("%s, invoice %d changed from\n%s\nto\n%s", when, x.InvoiceID, a, b)
	}
}
