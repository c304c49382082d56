package browser

import (
	"maps"
	"slices"
	"testing"
	"time"

	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
)

// The guide says that swapping the method creates new subscriptions. Here the licences that match are adopted in place:
// the preview says how many, and afterwards Halo has the same licences, with the same links.
func TestTheMethodIsChangedAndLicencesAdopted(t *testing.T) {
	t.Parallel()
	data := estate.Plain(estate.Config{Seed: 3, Customers: 4, Subscriptions: 12, Now: time.Now()}, estate.LinkedLines)
	data.Giacom.Subscriptions[2].Name = strangeName
	s := tell(t, data, accessv1.Role_ROLE_OPERATOR)
	s.connect(func(c *connectionv1.Connection) {
		c.Giacom.Method = connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS
	})
	for range 2 {
		_, err := s.w.Run(t.Context(), "acme", true)
		s.must(err)
		s.must(s.w.Settle(t.Context(), "acme"))
	}
	licences, linked := world.Links(s.w.Halo.State())
	if len(licences) == 0 || len(linked) == 0 {
		t.Fatal("a story about nothing")
	}

	s.must(s.Go("/c/acme/connection"))
	s.must(s.Press("See what another method would change"))
	s.must(s.Await("create every licence a second time"))
	s.must(s.Look("method"))
	s.must(s.Click(`input[value="IMPORT_METHOD_BOTH"]`))
	s.must(s.Press("Show what would change"))
	s.must(s.Await("Match across methods")) // once the account is read
	s.must(s.Await("they go on as they are in Halo, under their new ids"))
	s.must(s.Await("Adopt them in place"))
	s.must(s.Look("method-preview"))
	if now, _ := world.Links(s.w.Halo.State()); !slices.Equal(licences, now) {
		t.Fatal("looking changed Halo")
	}

	s.must(s.Press("Change the import method"))
	s.must(s.Await("The import method is both from the next run on."))
	_, err := s.w.Run(t.Context(), "acme", true)
	s.must(err)
	s.must(s.w.Settle(t.Context(), "acme"))
	now, links := world.Links(s.w.Halo.State())
	if !slices.Equal(licences, now) || !maps.EqualFunc(linked, links, slices.Equal[[]int64]) {
		t.Errorf("licences %v and links %v, and they were %v and %v", now, links, licences, linked)
	}
	s.must(s.Go("/c/acme/integrator"))
	s.must(s.Await("under another id"))
	s.must(s.Await("adopt"))
	s.must(s.Look("method-changed"))
}
