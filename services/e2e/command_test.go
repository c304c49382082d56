package e2e

import (
	"strings"
	"testing"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/seatline/ctl"
)

// An operator goes through the procedures of Halo's guide on the command line: validate, map, choose a top
// level, import customers and subscriptions, set the integrator, and keep a report.
func TestTheGuideOnTheCommandLine(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: small(), rules: keepAndAdd, settings: func(c *connectionv1.Connection) {
		c.Customers.MapByName, c.Customers.MapFromNative = new(bool), new(bool)
	}})
	s.command(0, "connections", "validate", "acme")
	s.poll(true)
	if got := s.command(0, "mappings", "generate", "acme", "--dry-run"); !strings.Contains(got, s.data.Giacom.Customers[0].Name) {
		t.Errorf("the preview does not name %s:\n%s", s.data.Giacom.Customers[0].Name, got)
	}
	s.command(0, "mappings", "generate", "acme")
	s.command(0, "mappings", "list", "acme")
	s.command(0, "top-levels", "list", "acme")
	s.command(0, "customers", "import", "acme", "--dry-run")
	s.command(0, "integrator", "preview", "acme")
	s.command(0, "integrator", "set", "acme", "--enable", "--every", "90m", "--entities", "customers,subscriptions", "--deactivate-removed")
	s.says(s.command(0, "integrator", "get", "acme"), "1h30m")
	s.command(0, "integrator", "run-now", "acme", "--watch")
	s.settle()
	if n, want := len(s.w.Halo.State().Licences), len(s.data.Giacom.Subscriptions); n < want {
		t.Errorf("Halo has %d licences, want %d", n, want)
	}
	s.command(0, "integrator", "history", "acme")
	s.command(0, "parity", "acme")
	c, err := connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console)).GetConnection(s.ctx, &connectionv1.GetConnectionRequest{Slug: "acme"})
	s.must(err)
	if !c.GetLicences().GetDeactivateRemoved() || c.GetSchedule().GetInterval().AsDuration().Minutes() != 90 {
		t.Errorf("the integrator was not set: %v", c.GetSchedule())
	}
}
