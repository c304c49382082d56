package billing

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
)

// Whatever happens to the requests, and whoever is killed when, the lines are re-pointed once, and put
// back exactly.
func TestMigrationThroughFaultsAndRestarts(t *testing.T) {
	t.Parallel()
	for _, fault := range []halosim.Fault{
		{Name: "cut_after", Times: 2}, {Name: "error_after", Times: 2}, {Name: "late", Delay: 200 * time.Millisecond, Times: 1},
		{Name: "stale", Times: 1}, {Name: "error_503", Times: 2},
	} {
		t.Run(fault.Name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, halosim.Config{}, intyEstate(3))
			stop := b.start()
			b.connection(connectionv1.Mode_MODE_AUTO)
			for i := 1; i <= 3; i++ {
				b.licence(aLicenceEvent(i, int64(i), 5, "10"))
				b.mapped(i, int64(i))
			}
			b.settled()
			m := &migrant{b, intyv1.NewMigrationServiceClient(b.rpc)}
			m.noted()
			var before []string
			for i := 1; i <= 3; i++ {
				before = append(before, jsonOf(t, b.invoice(int64(-i))))
			}
			fault.Method, fault.Route = "POST", "/RecurringInvoice"
			m.must(b.sim.Inject(fault))
			p, err := m.GetPreview(t.Context(), &intyv1.PreviewRequest{Connection: "acme"})
			m.must(err)
			_, err = m.ApplyMigration(t.Context(), &intyv1.ApplyMigrationRequest{Connection: "acme", Etag: p.GetEtag()})
			m.must(err)
			stop() // in the middle of it
			b.rpc = nil
			b.start()
			m.MigrationServiceClient = intyv1.NewMigrationServiceClient(b.rpc)
			b.settled()
			m.want("after", "701 moved moved", "702 moved moved", "703 moved moved")
			for i := 1; i <= 3; i++ {
				inv := b.invoice(int64(-i))
				if len(inv.Lines) != 3 || inv.Lines[0].Subscriptions[0].LicenceID != int64(500+i) {
					t.Errorf("invoice %d: %+v", -i, inv.Lines)
				}
			}
			if _, err := m.ApplyMigration(t.Context(), &intyv1.ApplyMigrationRequest{Connection: "acme", Etag: p.GetEtag()}); rpc.Reason(err) != "CHANGED_MEANWHILE" {
				t.Errorf("an old preview was applied again: %v", err)
			}
			m.must(b.sim.Inject(fault))
			_, err = m.UndoMigration(t.Context(), &intyv1.UndoMigrationRequest{Connection: "acme"})
			m.must(err)
			b.settled()
			for i := 1; i <= 3; i++ {
				if diff := cmp.Diff(before[i-1], jsonOf(t, b.invoice(int64(-i)))); diff != "" {
					t.Errorf("undo left invoice %d as (-was +is):\n%s", -i, diff)
				}
			}
		})
	}
}

// A line that somebody changed since the preview is not written; it is shown, and can be applied anew.
func TestALineChangedSinceThePreviewIsNotWritten(t *testing.T) {
	t.Parallel()
	m := aMigrant(t, 1, halosim.Config{}, nil)
	m.noted()
	m.must(m.sim.EditInvoice(-1, func(inv *halosim.Invoice) { inv.Lines[0].Subscriptions[0].Minimum = 3 }))
	m.apply()
	if got := m.state("-1/1001"); got != "held edit" {
		t.Fatalf("the line is %s", got)
	}
	if got := m.invoice(-1).Lines[0].Subscriptions[0]; got.LicenceID != 701 {
		t.Errorf("written all the same: %+v", got)
	}
	_, err := m.UndoMigration(t.Context(), &intyv1.UndoMigrationRequest{Connection: "acme"})
	m.must(err)
	m.settled()
	m.want("after undo", "701 ready linked")
	m.apply()
	if got := m.invoice(-1).Lines[0].Subscriptions[0]; got.LicenceID != 501 || got.Minimum != 3 {
		t.Errorf("after a new preview: %+v", got)
	}
}

// A licence that two lines link is replaced when both are re-pointed, and one of them must wait: Halo is
// about to make the next invoice from it.
func TestALineThatWaitsForAnInvoiceRunKeepsIntysLicenceActive(t *testing.T) {
	t.Parallel()
	m := aMigrant(t, 1, halosim.Config{}, func(st *halosim.State) {
		line := simLinked(1900, 1, "9", "12")
		line.Subscriptions[0].LicenceID = 701
		st.Invoices = append(st.Invoices, halosim.Invoice{ID: -9, ClientID: 1, Period: 2, NextCreation: halosim.On(time.Now().Add(time.Hour)), LastCreated: halosim.On(time.Now().AddDate(0, -1, 0)), Lines: []halosim.Line{line}})
	})
	m.noted()
	p := m.apply()
	if p.GetWritable() != 1 || p.GetHeld() != 1 || p.GetItems()[1].GetHeld().GetCode() != "invoice_run" {
		t.Errorf("preview %v", p)
	}
	m.want("after applying", "701 moving moving moved")
	if got := m.state("-9/1900"); got != "parked invoice_run" {
		t.Errorf("the other line is %s", got)
	}
	if line := m.lines()["-1/1001"]; line.GetDesired().GetLicenceIds()[0] != 501 || len(line.GetReplaced()) != 0 {
		t.Errorf("replaced although another line links it: %v", line.GetReplaced())
	}
	if got := m.invoice(-9).Lines[0].Subscriptions[0].LicenceID; got != 701 {
		t.Errorf("written an hour before the invoice run: %d", got)
	}
	// Undone before it was through: the one that waits is not touched, the other is put back.
	_, err := m.UndoMigration(t.Context(), &intyv1.UndoMigrationRequest{Connection: "acme"})
	m.must(err)
	m.settled()
	m.want("after undo", "701 ready linked linked")
}

// What was undone is over: a link that a person makes by hand later is theirs, and so is the next re-pointing.
func TestAFinishedUndoLeavesLaterLinksAlone(t *testing.T) {
	t.Parallel()
	m := aMigrant(t, 1, halosim.Config{}, nil)
	m.noted()
	m.apply()
	_, err := m.UndoMigration(t.Context(), acmeUndo)
	m.must(err)
	m.settled()
	m.want("after undo", "701 ready linked")
	if verified, err := m.VerifyMigration(t.Context(), acme); err != nil || verified.GetRight() != 1 || len(verified.GetWrong()) != 0 {
		t.Errorf("verified %v (%v)", verified, err)
	}
	// Somebody re-points the line in Halo.
	m.must(m.sim.EditInvoice(-1, func(inv *halosim.Invoice) { inv.Lines[0].Subscriptions[0].LicenceID = 501 }))
	_, err = invoicelinev1.NewLineServiceClient(m.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"})
	m.must(err)
	m.settled()
	if got := m.invoice(-1).Lines[0].Subscriptions[0].LicenceID; got != 501 || m.state("-1/1001") != "in_sync" {
		t.Errorf("the link made by hand leads to %d; the line is %s", got, m.state("-1/1001"))
	}
	m.want("after a link by hand", "701 ready")
	if verified, err := m.VerifyMigration(t.Context(), acme); err != nil || verified.GetRight() != 0 || len(verified.GetWrong()) != 0 {
		t.Errorf("verified after a link by hand %v (%v)", verified, err)
	}
	// And back again, and re-pointed here: that is a move as the first was.
	m.must(m.sim.EditInvoice(-1, func(inv *halosim.Invoice) { inv.Lines[0].Subscriptions[0].LicenceID = 701 }))
	_, err = invoicelinev1.NewLineServiceClient(m.rpc).RefreshLines(t.Context(), &invoicelinev1.RefreshLinesRequest{Connection: "acme"})
	m.must(err)
	m.settled()
	m.apply()
	m.want("re-pointed once more", "701 moving moved")
}

// While the write that re-pointed a line may still land, the undo of it is not done, however the line looks.
func TestAnUndoIsNotDoneWhileItsLineIsWritten(t *testing.T) {
	t.Parallel()
	m := Move{Connection: "acme", From: 701, To: 501, Back: true}
	s := Snapshot{
		Invoices: []Invoice{{ID: -1, Lines: []Line{{ID: 11, Rows: []Row{{LicenceID: 701}}}}}},
		Inty:     Inty{Moves: map[linkID]Move{{-1, 11, 701}: m}},
		Known:    map[ItemKey]Known{{"acme", lineKey(-1, 11)}: {InFlight: true}},
	}
	if got := s.undone(); len(got) != 0 {
		t.Errorf("done while it is written: %v", got)
	}
	s.Known = nil
	if got := s.undone(); len(got) != 1 || got[0].Licence != 701 {
		t.Errorf("done: %v", got)
	}
	s.Invoices[0].Lines[0].Rows[0].LicenceID = 501
	if got := s.undone(); len(got) != 0 {
		t.Errorf("done before the link is back: %v", got)
	}
}
