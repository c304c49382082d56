package web

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
)

func TestTheTopLevelOfNewCustomersIsChosenFromHalosList(t *testing.T) {
	m := startMapped(t, halosim.State{})
	at := "/c/acme/top-level"
	page := m.olga.get(at).says(t, 200, "Giacom &lt;new&gt; &amp; &#34;bright&#34;", "Halo’s default", "Applies to customers that are created only.")
	if r := m.olga.post(at, at, "top_level", "2", "etag", page.field(t, "etag")); r.status != 303 {
		t.Fatalf("chosen: %d\n%s", r.status, r.body)
	}
	if c := m.settings.connection; c.GetCustomers().GetTopLevelId() != 2 || c.GetUpdatedBy() != "olga" || c.GetHalo().GetTenant() != "sim" {
		t.Errorf("the connection is %v", c)
	}
	// Somebody else was faster: it is said who, what it is now, and what was chosen stays chosen.
	m.olga.post(at, at, "top_level", "1", "etag", page.field(t, "etag")).
		says(t, 409, "were changed by olga", "The top level is Giacom &lt;new&gt; &amp; &#34;bright&#34; now.", `<option value="1" selected>`)
	m.olga.post(at, at, "top_level", "many").says(t, 422, "is no top level")
	vera := m.enter(t, "vera", rpc.RoleViewer)
	vera.get(at).says(t, 200, "Chosen now", "!<select id=\"f-top_level\"")

	m.api.Close() // Halo is down
	m.olga.get(at).says(t, 503, "Halo", "top level", "Check the connection", "Chosen now", "Number 2")
}

func TestATopLevelThatIsGoneIsSaid(t *testing.T) {
	m := startMapped(t, halosim.State{})
	gone := proto.CloneOf(m.settings.connection)
	gone.Customers.TopLevelId = 77
	m.settings.connection = gone
	eventtest.Send(t, m.env.Bus, event.Event{Type: "seatline.connection.changed.v1", Entity: "connection", Connection: "acme", Key: "acme", Revision: 9e15, Data: gone})
	m.settle()
	m.olga.get("/c/acme/top-level").says(t, 200, "The chosen top level is gone", "Halo has no top level 77", "Number 77")
}
