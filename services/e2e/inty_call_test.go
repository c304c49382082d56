package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

// A program of the provider's own takes the guide's steps from Inty to Giacom over gRPC, undoes the re-pointing, and does
// it for good.
func TestFromIntyToGiacomOverGRPC(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: estate.Inty(estate.Config{Seed: 5, Now: time.Now()}, 2), rules: keepAndAdd, world: world.Options{Override: "the move from Inty begins"}})
	others, same, american := s.data.Cases[estate.IntyOtherSeats], s.data.Cases[estate.IntySameSeats], s.data.Cases[estate.IntyAmerican]
	unknown, without := s.data.Cases[estate.IntyUnknown], s.data.Cases[estate.IntyNoGiacom]
	original, acme := s.w.Halo.State(), &intyv1.MigrationRequest{Connection: "acme"}
	inty := intyv1.NewMigrationServiceClient(s.w.Client(ctl.Billing))
	licences := licencev1.NewLicenceServiceClient(s.w.Client(ctl.Licence))

	// 1. Note the old mappings; 2. clear out the module, which only a person does.
	saved, err := inty.SaveMappings(s.ctx, &intyv1.SaveMappingsRequest{Connection: "acme"})
	s.must(err)
	module, err := inty.CheckModule(s.ctx, acme)
	s.must(err)
	if saved.GetSaved() != 10 || module.GetDone() || len(module.GetToDo()) == 0 {
		t.Errorf("saved %v; the module: %v", saved, module)
	}
	s.w.Halo.EditControl(func(c *halosim.Control) {
		c.IntyMappings, c.IntyURL, c.IntyUserName, c.IntyIntegrator = nil, "", "", false
	})
	if module, err = inty.CheckModule(s.ctx, acme); err != nil || !module.GetDone() {
		t.Errorf("after it was cleared, the module: %v, %v", module, err)
	}

	// 3. Map in Giacom what is proposed from the old mappings.
	s.poll(true)
	_, err = inty.RefreshMigration(s.ctx, acme)
	s.must(err)
	answered, err := inty.AnswerCustomers(s.ctx, &intyv1.AnswerCustomersRequest{Connection: "acme", AllAsked: true})
	s.must(err)
	old, err := inty.ListOldMappings(s.ctx, &intyv1.ListOldMappingsRequest{Connection: "acme", State: intyv1.OldMappingState_OLD_MAPPING_STATE_PROPOSED})
	s.must(err)
	if answered.GetAnswered() != 2 || len(old.GetMappings()) != 8 {
		t.Fatalf("answered %v, proposed %v", answered, old)
	}
	accept := &mappingv1.ImportMappingsRequest{Connection: "acme"}
	for _, m := range old.GetMappings() {
		accept.Rows = append(accept.Rows, &mappingv1.ImportRow{MexId: m.GetMexId(), HaloClientId: m.GetClientId()})
	}
	accepted, err := mappingv1.NewMappingServiceClient(s.w.Client(ctl.Mapper)).ImportMappings(s.ctx, accept)
	s.must(err)
	if accepted.GetImported() != 8 || len(accepted.GetErrors()) > 0 {
		t.Fatalf("accepted %v", accepted)
	}
	s.settle()

	// 4. Import, and say what is beside what.
	s.poll(true)
	_, err = inty.RefreshMigration(s.ctx, acme)
	s.must(err)
	s.pairs("after the import", map[estate.Case]string{
		estate.IntySameSeats: "ADOPTED", estate.IntyOtherSeats: "DUPLICATE", estate.IntyAmerican: "EXCLUDED", estate.IntyUnknown: "DUPLICATE", estate.IntyNoGiacom: "UNPAIRED",
	})
	moving := []estate.Tag{others[0], others[1], unknown[0], unknown[1]}
	for _, x := range moving {
		page, err := inty.ListPairs(s.ctx, &intyv1.ListPairsRequest{Connection: "acme", HaloId: x.LicenceID})
		s.must(err)
		_, err = licences.CreateLicence(s.ctx, &licencev1.GetLicenceRequest{Connection: "acme", Key: page.GetPairs()[0].GetGiacom().GetKey()})
		s.must(err)
	}
	for _, x := range without {
		_, err := inty.SetPair(s.ctx, &intyv1.SetPairRequest{Connection: "acme", HaloId: x.LicenceID, Leave: true})
		s.must(err)
	}
	s.settle()
	before := s.w.Halo.State()

	// 5. Re-point as the preview says, and nothing else.
	apply := func() {
		t.Helper()
		preview, err := inty.GetPreview(s.ctx, &intyv1.PreviewRequest{Connection: "acme"})
		s.must(err)
		if len(preview.GetItems()) != 4 || preview.GetWritable() != 4 || preview.GetDeactivated() != 4 || preview.GetMonthlyBefore() == nil || preview.GetMonthlyAfter() == nil {
			t.Fatalf("preview: %v", preview)
		}
		_, err = inty.ApplyMigration(s.ctx, &intyv1.ApplyMigrationRequest{Connection: "acme", Etag: "of-yesterday"})
		if c := status.Code(err); c != codes.Aborted && c != codes.FailedPrecondition || !strings.Contains(rpc.Describe(err), "→") {
			t.Errorf("a preview of yesterday is answered with %v", err)
		}
		_, err = inty.ApplyMigration(s.ctx, &intyv1.ApplyMigrationRequest{Connection: "acme", Etag: preview.GetEtag(), Deactivate: true})
		s.must(err)
		s.settle()
		s.moved("re-pointed", moving...)
		right, err := inty.VerifyMigration(s.ctx, acme)
		s.must(err)
		if right.GetRight() != 4 || len(right.GetWrong())+len(right.GetActive()) > 0 {
			t.Errorf("verified: %v", right)
		}
	}
	apply()
	undone, err := inty.UndoMigration(s.ctx, &intyv1.UndoMigrationRequest{Connection: "acme"})
	s.must(err)
	if undone.GetLines() != 4 {
		t.Errorf("undone: %v", undone)
	}
	s.settle()
	for _, x := range moving {
		s.sameInvoice("after undo", before, x)
		if l := s.licenceByID(x.LicenceID); !l.IsActive {
			t.Errorf("licence %d is not active again", l.ID)
		}
	}
	apply() // for good
	for _, x := range append(slices.Clone(american), same...) {
		s.sameInvoice("of no concern to it", original, x)
	}

	report, err := inty.CreateReport(s.ctx, acme)
	s.must(err)
	if n := strings.Count("\n"+report.GetCsv(), "\nmoved,"); n != 4 || report.GetLeft() != 0 {
		t.Errorf("the report has %d lines that moved, and %d rows are left:\n%s", n, report.GetLeft(), report.GetCsv())
	}
	kept, err := inty.GetReport(s.ctx, &intyv1.GetReportRequest{Connection: "acme"})
	s.must(err)
	if kept.GetId() != report.GetId() || kept.GetCsv() != report.GetCsv() {
		t.Error("the report that is kept is another")
	}
	migration, err := inty.GetMigration(s.ctx, acme)
	s.must(err)
	for _, step := range migration.GetSteps() {
		if step.GetState() != intyv1.StepState_STEP_STATE_DONE {
			t.Errorf("not done: %v", step)
		}
	}
}
