package browser

import (
	"slices"
	"testing"
	"time"

	"seatline.dev/pkg/halo/halosim"
	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/estate"
)

// The guide's "Have customers and/or subscriptions import/update automatically": the integrator is switched on, licences
// that are deleted from Giacom are deactivated when it next runs, and the report says so.
func TestTheIntegratorDeactivatesWhatIsGone(t *testing.T) {
	t.Parallel()
	s := tell(t, estate.Plain(estate.Config{Seed: 6, Customers: 5, Subscriptions: 15, Now: time.Now()}, estate.LinkedLines), accessv1.Role_ROLE_OPERATOR)
	s.connect(func(c *connectionv1.Connection) { c.Licences.DeactivateRemoved = false })
	s.must(s.Go("/c/acme/integrator"))
	s.must(s.Await("Off: customers and subscriptions are imported by hand only."))
	s.must(s.Await("No runs yet"))
	s.must(s.Look("integrator-off"))

	s.Expect("422")
	s.must(s.Click("#f-schedule-enabled"))
	s.must(s.Click("#f-licences-deactivate_removed"))
	s.must(s.Fill("Cron expression", "every hour"))
	s.must(s.Press("Save"))
	s.must(s.Await("is no cron expression of five fields"))
	s.must(s.Look("integrator-wrong"))
	s.must(s.Fill("Cron expression", "0 6-22 * * *"))
	s.must(s.Press("Save"))
	s.must(s.Await("The integrator is saved."))
	s.must(s.Await("The next 5 times")) // as soon as the fetcher knows
	s.must(s.Await("Every hour from 06:00 to 22:00, Europe/London: customers and subscriptions."))

	s.must(s.Press("Run now"))
	s.must(s.Await("Succeeded"))
	s.must(s.w.Settle(t.Context(), "acme"))

	// One subscription is deleted from Giacom; scheduled runs find that out, twice, and then it is proven.
	gone := s.w.Giacom.Account().Subscriptions[3]
	s.must(s.w.Giacom.Remove(gone.ID))
	active := func() int {
		n := 0
		for _, l := range s.w.Halo.State().Licences {
			if l.IsActive {
				n++
			}
		}
		return n
	}
	before := active()
	var run *runv1.Run
	for range 2 {
		var err error
		run, err = s.w.Run(t.Context(), "acme", true)
		s.must(err)
		s.must(s.w.Settle(t.Context(), "acme"))
	}
	if after := active(); after != before-1 {
		t.Errorf("%d licences are active, and %d were", after, before)
	}
	if !slices.ContainsFunc(s.w.Halo.State().Licences, func(l halosim.Licence) bool { return !l.IsActive }) {
		t.Error("none is inactive")
	}
	s.must(s.Go("/c/acme/integrator"))
	s.must(s.Await("1 licence: deactivate"))
	s.must(s.Await("1 removed"))
	s.must(s.Look("integrator"))
	s.must(s.Go("/c/acme/runs/" + run.GetId() + "/report"))
	s.must(s.Await("Deactivate"))
	s.must(s.Await("Change by change"))
	s.must(s.Look("run-report"))

	// Giacom refuses the key: the page says so by itself.
	s.must(s.Go("/c/acme/integrator"))
	s.w.Giacom.RevokeKey()
	_, err := s.w.Run(t.Context(), "acme", true)
	s.must(err)
	s.must(s.Await("Last error: failed"))
	s.must(s.Look("integrator-error"))
}
