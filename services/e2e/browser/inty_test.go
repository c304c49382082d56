package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"seatline.dev/pkg/halo/halosim"
	accessv1 "seatline.dev/proto/seatline/access/v1"
	"seatline.dev/services/estate"
)

// called gives a customer another name everywhere; in Giacom it goes by its legal form.
func called(d *estate.Data, x estate.Tag, name string) {
	for i := range d.Halo.Clients {
		if d.Halo.Clients[i].ID == x.ClientID {
			d.Halo.Clients[i].Name = name
		}
	}
	for i := range d.Halo.Invoices {
		if d.Halo.Invoices[i].ClientID == x.ClientID {
			d.Halo.Invoices[i].ClientName = name
		}
	}
	for i := range d.Halo.Control.IntyMappings {
		if m := &d.Halo.Control.IntyMappings[i]; m.HaloID == x.ClientID {
			m.HaloText, m.Text = name, name
		}
	}
	for i := range d.Giacom.Customers {
		if d.Giacom.Customers[i].MexID == x.MexID {
			d.Giacom.Customers[i].Name = name + " Limited"
		}
	}
}

// links are the licences that a line of Halo counts.
func (s *story) links(x estate.Tag) []int64 {
	s.Helper()
	state := s.w.Halo.State()
	inv := state.Invoices[slices.IndexFunc(state.Invoices, func(i halosim.Invoice) bool { return i.ID == x.InvoiceID })]
	var ids []int64
	for _, row := range inv.Lines[slices.IndexFunc(inv.Lines, func(l halosim.Line) bool { return l.ID == x.Line })].Subscriptions {
		ids = append(ids, row.LicenceID)
	}
	return ids
}

func (s *story) isActive(licence int64) bool {
	all := s.w.Halo.State().Licences
	return all[slices.IndexFunc(all, func(l halosim.Licence) bool { return l.ID == licence })].IsActive
}

// visit goes to a page, waits for words on it, and looks at it on every screen.
func (s *story) visit(path, words, name string) {
	s.Helper()
	s.must(s.Go(path))
	s.must(s.Await(words))
	s.must(s.Look(name))
}

// A provider moves from Inty to Giacom in front of the browser, in the order of Halo's guide: mappings
// noted, module cleared, mapped, imported, re-pointed, undone, and done for good.
func TestFromIntyInTheBrowser(t *testing.T) {
	t.Parallel()
	data := estate.Inty(estate.Config{Seed: 5, Now: time.Now()}, 2)
	others, unknown, american, without := data.Cases[estate.IntyOtherSeats], data.Cases[estate.IntyUnknown], data.Cases[estate.IntyAmerican], data.Cases[estate.IntyNoGiacom]
	called(&data, others[0], `O’Brien & "Söhne" <b>Bakery</b> 🥐`)
	s := tell(t, data, accessv1.Role_ROLE_OPERATOR)
	s.w.Override = "the move from Inty begins"
	s.connect(nil)
	const inty = "/c/acme/inty"

	// 1. Note the old mappings: half a file is refused as a whole, then they are read from Halo.
	s.visit(inty, "The old mappings are not saved.", "inty-begin")
	s.must(s.Press("Upload a file …"))
	half := filepath.Join(t.TempDir(), "half.csv")
	s.must(os.WriteFile(half, []byte("inty_id,client_id\nIN-1,1\nIN-2,\"2"), 0o600))
	s.must(s.Upload("file", half))
	s.Expect("422")
	s.must(s.Press("Save these mappings"))
	s.must(s.Await("Nothing was saved"))
	s.must(s.Look("inty-file"))
	s.must(s.Go(inty))
	s.must(s.Press("Save from Halo"))
	s.must(s.Await("10 old mappings are saved, 10 of them just now, from Halo."))

	// 2. Clear out and disable the module.
	s.must(s.Press("Check it in Halo"))
	s.must(s.Await("The Inty module is not cleared and disabled yet"))
	s.must(s.Look("inty-module"))
	s.w.Halo.EditControl(func(c *halosim.Control) {
		c.IntyMappings, c.IntyURL, c.IntyUserName, c.IntyIntegrator = nil, "", "", false
	})
	s.must(s.Press("Check it in Halo"))
	s.must(s.Await("The Inty module is cleared and disabled."))

	// 3. Map in Giacom.
	s.run(true)
	s.must(s.Go(inty))
	s.must(s.Press("Read Halo"))
	s.must(s.Await("Halo was read for what Inty left."))
	s.visit(inty+"/mappings", "Where is it?", "inty-mappings")
	s.visit(inty+"/where", "Neither country nor currency is known", "inty-where")
	s.must(s.Click(`input[type="radio"][name="where"][value="elsewhere"]`))
	s.must(s.Press("Answer for all 2"))
	s.must(s.Await("Nobody is asked about any more."))
	s.must(s.Go(inty + "/mappings"))
	s.must(s.Press("Accept all proposals …"))
	s.must(s.Await(`O’Brien & "Söhne" <b>Bakery</b> 🥐`))
	s.must(s.Look("inty-accept"))
	s.must(s.Press("Accept 8 proposals"))
	s.must(s.Await("8 proposals are accepted"))
	s.must(s.w.Settle(t.Context(), "acme"))

	// 4. Import, and decide on what may be there twice.
	s.run(true)
	s.must(s.Go(inty))
	s.must(s.Press("Read Halo again"))
	s.must(s.Await("Decide on 4 possible duplicates"))
	s.must(s.Look("inty-imported"))
	s.visit(inty+"/pairs", "Taken over", "inty-pairs")
	s.must(s.Go(inty + "/pairs?state=duplicate&q=brien"))
	s.must(s.Press(s.nameOf(others[0].LicenceID)))
	s.must(s.Await("Which of two ways?"))
	s.must(s.Look("inty-pair"))
	s.must(s.Press("Create beside it"))
	s.must(s.Await("Ready")) // the page gets there by itself
	for _, x := range unknown {
		s.must(s.Go(fmt.Sprintf("%s/pairs/%d", inty, x.LicenceID)))
		s.must(s.Press("Create beside it"))
	}
	s.must(s.Go(fmt.Sprintf("%s/pairs/%d", inty, others[1].LicenceID)))
	s.must(s.Press("Take over in place"))
	s.must(s.Await("its lines bill it already"))
	s.must(s.Go(fmt.Sprintf("%s/pairs/%d", inty, without[0].LicenceID)))
	s.must(s.Await("Choose its Giacom licence"))
	s.must(s.Look("inty-unpaired"))
	s.must(s.Press("Leave it alone"))
	s.must(s.Await("Left alone"))
	s.visit(inty+"/users", "count people, not licences", "inty-users")
	s.must(s.w.Settle(t.Context(), "acme"))

	// 5. Re-point: one customer first, then all, then back.
	s.visit(inty+"/preview", "estimate for −3 seats over the days left", "inty-preview")
	s.must(s.Press("Apply …"))
	s.must(s.Await("Re-point 3 lines?"))
	s.must(s.Look("inty-apply"))
	s.must(s.Press("Re-point 3 lines"))
	s.must(s.Await("3 lines are being re-pointed"))
	s.must(s.w.Settle(t.Context(), "acme"))
	s.must(s.Await("3 of 3"))
	s.must(s.Look("inty-repointed"))
	moved := []estate.Tag{others[0], unknown[0], unknown[1]}
	for _, x := range moved {
		if slices.Contains(s.links(x), x.LicenceID) || s.isActive(x.LicenceID) {
			t.Errorf("line %d links %v; Inty's licence %d active: %t", x.Line, s.links(x), x.LicenceID, s.isActive(x.LicenceID))
		}
	}
	for _, x := range american {
		if !slices.Equal(s.links(x), []int64{x.LicenceID}) || !s.isActive(x.LicenceID) {
			t.Errorf("the line of an American customer links %v", s.links(x))
		}
	}
	s.must(s.Press("Verify in Halo"))
	s.must(s.Await("Everything is as it should be"))
	s.must(s.Look("inty-verified"))

	s.must(s.Go(inty))
	s.must(s.Press("Undo …"))
	s.must(s.Await("Undo the re-pointing?"))
	s.must(s.Look("inty-undo"))
	s.must(s.Press("Undo the re-pointing"))
	s.must(s.Await("3 lines are being put back as they were."))
	s.must(s.w.Settle(t.Context(), "acme"))
	s.must(s.Await("0 links of lines are re-pointed"))
	for _, x := range moved {
		if !slices.Equal(s.links(x), []int64{x.LicenceID}) || !s.isActive(x.LicenceID) {
			t.Errorf("after undo line %d links %v; Inty's licence %d active: %t", x.Line, s.links(x), x.LicenceID, s.isActive(x.LicenceID))
		}
	}

	// For good: a preview that is not what is there any more is refused, and shown anew.
	s.must(s.Go(fmt.Sprintf("%s/apply?customers=%d", inty, others[0].ClientID)))
	s.must(s.Await("Re-point 1 line?"))
	s.must(s.Go(fmt.Sprintf("%s/apply", inty)))
	s.must(s.Await("Re-point 3 lines?"))
	preview := s.command(0, "inty", "preview", "acme", "--client", fmt.Sprint(others[0].ClientID))
	etag := strings.TrimSpace(preview[strings.LastIndex(preview, "--etag")+len("--etag"):])
	s.command(0, "inty", "apply", "acme", "--client", fmt.Sprint(others[0].ClientID), "--etag", etag, "--deactivate")
	s.must(s.w.Settle(t.Context(), "acme"))
	s.Expect("409")
	s.must(s.Press("Re-point 3 lines"))
	s.must(s.Await("It is not what was shown any more"))
	s.must(s.Look("inty-stale"))
	s.must(s.Press("Re-point 2 lines"))
	s.must(s.w.Settle(t.Context(), "acme"))
	s.must(s.Await("3 of 3"))

	s.must(s.Press("Write a report"))
	s.must(s.Await("1 row asks for something."))
	s.must(s.Press("Only what is left"))
	s.must(s.Await("Unpaired"))
	s.must(s.Look("inty-report"))
	s.must(s.Go(fmt.Sprintf("%s/pairs/%d", inty, without[1].LicenceID)))
	s.must(s.Press("Leave it alone"))
	s.must(s.Await("Left alone"))
	s.must(s.Go(inty + "/reports"))
	s.must(s.Press("Write a report"))
	s.must(s.Await("Nothing is left"))
	if ok, err := s.Truth(`(() => { const r = new XMLHttpRequest(); r.open("GET", document.querySelector('main a[href$="/csv"]').href, false); r.send();
		return r.status === 200 && r.getResponseHeader("Content-Disposition").includes("attachment") && r.responseText.split("\nmoved,").length === 4; })()`); err != nil || !ok {
		t.Errorf("the report as a file: %t, %v", ok, err)
	}
	s.visit(inty+"/reports", "Zoë O’Neill", "inty-reports")
	s.visit(inty, "Done", "inty-done")
	if text, err := s.Text(); err != nil || strings.Contains(text, "To do") || strings.Contains(text, "Partly done") {
		t.Errorf("at the end (%v):\n%s", err, text)
	}
}

// run polls Giacom once and waits for what comes of it.
func (s *story) run(scheduled bool) {
	s.Helper()
	_, err := s.w.Run(s.Context(), "acme", scheduled)
	s.must(err)
	s.must(s.w.Settle(s.Context(), "acme"))
}

// command of the operator beside the browser, with the exit code it should have.
func (s *story) command(code int, args ...string) string {
	s.Helper()
	out, got, err := s.w.Command(s.Context(), args...)
	s.must(err)
	if got != code {
		s.Fatalf("seatline %s: exit %d, want %d:\n%s", strings.Join(args, " "), got, code, out)
	}
	return out
}

// nameOf a licence in Halo.
func (s *story) nameOf(licence int64) string {
	all := s.w.Halo.State().Licences
	return all[slices.IndexFunc(all, func(l halosim.Licence) bool { return l.ID == licence })].Name
}
