package console

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/simulator"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

func auto(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_AUTO }

// looks counts how often Halo was asked who else writes there.
func looks(h *halosim.Sim) int { return h.Requests()["GET /Control"] }

// However a connection comes to write, Halo is asked first, although nobody ever looked or validated.
func TestHaloIsAskedBeforeAConnectionWrites(t *testing.T) {
	t.Parallel()
	r := start(t)
	_, h, req := estate(t, halosim.Config{}, func(s *halosim.State) { s.Control.GiacomIntegrator = true })
	refused := func(when string, req *connectionv1.ApplyConnectionRequest, reason string) *rpc.Error {
		t.Helper()
		_, err := r.operator.ApplyConnection(t.Context(), req)
		e, known := rpc.ErrorFrom(err)
		if !known || e.Reason != reason || !strings.Contains(e.Next, "give a reason") {
			t.Fatalf("%s: got %v, want %s", when, err, reason)
		}
		return e
	}
	auto(req.Connection)
	refused("new", req, "TWO_WRITERS")
	dry := proto.CloneOf(req)
	dry.ValidateOnly = true
	refused("new, as a trial", dry, "TWO_WRITERS")
	if _, err := r.viewer.GetConnection(t.Context(), slug("acme")); status.Code(err) != codes.NotFound {
		t.Fatalf("what was refused is stored: %v", err)
	}
	h.EditControl(func(c *halosim.Control) { c.GiacomIntegrator = false })
	c := r.apply(t, req)
	asked := looks(h)
	c = r.apply(t, edit(c, func(c *connectionv1.Connection) { c.DisplayName = "Acme" }))
	c = r.apply(t, edit(c, func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_OBSERVE }))
	if asked != 3 || looks(h) != asked {
		t.Errorf("Halo was asked %d times, then %d; want 3 times, and not for changes that are no step into auto", asked, looks(h))
	}
	// What was found before does not count: it is what Halo says now.
	h.EditControl(func(c *halosim.Control) { c.IntyIntegrator = true })
	refused("again", edit(c, auto), "TWO_WRITERS")
	h.EditControl(func(c *halosim.Control) { c.IntyIntegrator = false })
	r.validate(t, "acme")

	// A Halo that does not say counts as a second writer.
	if err := h.Inject(simulator.Fault{Name: "forbidden", Method: "GET", Route: "/Control"}); err != nil {
		t.Fatal(err)
	}
	if e := refused("unread", edit(c, auto), "WRITERS_UNKNOWN"); e.Metadata["finding"] != "control_unread" || !strings.Contains(e.Next, "seatline connections validate acme") {
		t.Errorf("got %+v", e)
	}
	leave, err := r.operator.GetLeaveObserve(t.Context(), slug("acme"))
	if err != nil {
		t.Fatal(rpc.Describe(err))
	}
	if b := leave.GetBlockers(); len(b) != 1 || b[0].GetCode() != "control_unread" || !b[0].GetOverridable() || !strings.Contains(b[0].GetText(), "Could not look") || b[0].GetFix() == "" || !leave.GetMayLeave() {
		t.Errorf("blockers: %v", b)
	}
	away := edit(c, auto)
	away.Connection.Halo.ClientId, away.HaloClientSecret = "somebody", "canary-wrong"
	if e := refused("no token", away, "WRITERS_UNKNOWN"); e.Metadata["finding"] != "halo_token" {
		t.Errorf("got %+v", e)
	}
	given := edit(c, auto)
	given.OverrideReason = "looked there with Halo support"
	if r.apply(t, given).GetMode() != connectionv1.Mode_MODE_AUTO || r.changes(t)[0].GetReason() != given.OverrideReason {
		t.Error("a reason did not suffice, or was not kept")
	}
}

// Enabling what is in mode auto, and writing everything instead of a canary, are steps into writing as leaving observe is.
func TestHaloIsAskedBeforeAConnectionWritesMore(t *testing.T) {
	t.Parallel()
	r := start(t)
	_, h, req := estate(t, halosim.Config{}, nil)
	auto(req.Connection)
	canary := func(ids ...string) func(*connectionv1.Connection) {
		return func(c *connectionv1.Connection) { c.Canary = &connectionv1.Canary{MexIds: ids} }
	}
	everything := func(c *connectionv1.Connection) { c.Canary = nil }
	canary("MEX1")(req.Connection)
	c := r.apply(t, req)
	h.EditControl(func(c *halosim.Control) { c.IntyIntegrator = true })
	asked := looks(h)
	c = r.apply(t, edit(c, canary("MEX1", "MEX2"))) // still nobody but whom a person named
	if looks(h) != asked {
		t.Error("Halo was asked for one more customer of the canary")
	}
	refused := func(when, reason, says string, err error) {
		t.Helper()
		if e, known := rpc.ErrorFrom(err); !known || e.Reason != reason || !strings.Contains(e.Message, "acme") || !strings.Contains(e.Message, says) || e.Next == "" {
			t.Errorf("%s: got %v, want %s", when, err, reason)
		}
	}
	_, err := r.operator.ApplyConnection(t.Context(), edit(c, everything))
	refused("everything", "TWO_WRITERS", "cannot write everything", err)
	given := edit(c, everything)
	given.OverrideReason = "Inty is read only"
	r.apply(t, given)

	if c, err = r.operator.DisableConnection(t.Context(), slug("acme")); err != nil {
		t.Fatal(err)
	}
	enable := func(reason string) (*connectionv1.Connection, error) {
		return r.operator.EnableConnection(t.Context(), &connectionv1.EnableConnectionRequest{Slug: "acme", OverrideReason: reason})
	}
	_, err = enable(" ")
	refused("enabled", "TWO_WRITERS", "cannot be enabled in mode auto", err)
	_, err = r.operator.ApplyConnection(t.Context(), edit(c, func(c *connectionv1.Connection) { c.Enabled = true }))
	refused("enabled by its file", "TWO_WRITERS", "cannot be enabled in mode auto", err)
	if err := h.Inject(simulator.Fault{Name: "forbidden", Method: "GET", Route: "/Control"}); err != nil {
		t.Fatal(err)
	}
	_, err = enable("")
	refused("unread", "WRITERS_UNKNOWN", "Could not look", err)
	h.Clear("")
	if err := h.Inject(simulator.Fault{Name: "forbidden", Method: "GET", Route: "/RecurringInvoice"}); err != nil {
		t.Fatal(err)
	}
	_, err = enable("Inty is read only")
	refused("without a right", "BLOCKED", "recurring invoices", err)
	h.Clear("")
	on, err := enable("Inty is read only still")
	if err != nil || !on.GetEnabled() || r.changes(t)[0].GetReason() != "Inty is read only still" {
		t.Errorf("with a reason: %v, %v, kept %q", on, err, r.changes(t)[0].GetReason())
	}

	// While it observes, nothing is written by enabling it.
	r.apply(t, edit(on, func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_OBSERVE }))
	if _, err := r.operator.DisableConnection(t.Context(), slug("acme")); err != nil {
		t.Fatal(err)
	}
	asked = looks(h)
	if on, err := enable(""); err != nil || !on.GetEnabled() || looks(h) != asked {
		t.Errorf("in observe: %v, %v, asked %d times", on, err, looks(h)-asked)
	}
}

// To be asked, a Halo must be one that the secret may go to.
func TestAskingSendsNoStoredSecretElsewhere(t *testing.T) {
	t.Parallel()
	r := start(t)
	_, _, req := estate(t, halosim.Config{}, nil)
	c := r.apply(t, req)
	elsewhere := halosim.New(halosim.Config{})
	server := httptest.NewServer(elsewhere)
	defer server.Close()
	_, err := r.operator.ApplyConnection(t.Context(), edit(c, func(c *connectionv1.Connection) { auto(c); c.Halo.BaseUrl, c.Halo.AuthUrl = server.URL, "" }))
	if e, _ := rpc.ErrorFrom(err); len(e.Violations) == 0 || e.Violations[0].Field != "halo.client_secret" {
		t.Errorf("got %v", err)
	}
	if n := elsewhere.Requests(); len(n) > 0 {
		t.Errorf("the other host was asked: %v", n)
	}
}

// A right that writing needs and that is missing stands against leaving observe.
func TestAMissingRightKeepsAConnectionObserving(t *testing.T) {
	t.Parallel()
	r := start(t)
	_, _, req := estate(t, halosim.Config{Denied: []string{"read:invoices"}}, nil)
	req.Connection.Customers = &connectionv1.Customers{Create: true, TopLevelId: 99}
	r.apply(t, req)
	leave, err := r.operator.GetLeaveObserve(t.Context(), slug("acme"))
	if err != nil {
		t.Fatal(rpc.Describe(err))
	}
	b := leave.GetBlockers()
	if len(b) != 2 || b[0].GetCode() != "halo_read" || !strings.Contains(b[0].GetText(), "recurring invoices") || b[0].GetOverridable() || b[1].GetCode() != "top_level_unknown" || leave.GetMayLeave() {
		t.Errorf("blockers: %v", b)
	}
	if n := len(leave.GetChecks()); n < 8 || leave.GetLookTime() == nil {
		t.Errorf("%d checks are told, looked at %v", n, leave.GetLookTime())
	}
}

// A second writer that is switched on later is found within a day.
func TestHaloIsAskedAgainEveryDay(t *testing.T) {
	t.Parallel()
	r := start(t)
	_, h, req := estate(t, halosim.Config{}, nil)
	auto(req.Connection)
	r.apply(t, req)
	h.EditControl(func(c *halosim.Control) { c.GiacomIntegrator = true })
	sealer, err := OpenSealer(r.keyset)
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := r.bus.JS.KeyValue(t.Context(), bus.BudgetBucket)
	if err != nil {
		t.Fatal(err)
	}
	clock := clockwork.NewFakeClockAt(time.Now().Add(23 * time.Hour))
	s := &server{pool: r.pool, sealer: sealer, bucket: halo.Bucket(bucket), clock: clock, log: slog.New(slog.NewTextHandler(r.log, nil))}
	found := func() *connectionv1.OtherWriters {
		t.Helper()
		if _, err := s.lookAgain(t.Context()); err != nil {
			t.Fatal(err)
		}
		x, err := r.viewer.GetOtherWriters(t.Context(), slug("acme"))
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if x := found(); len(x.GetFound()) > 0 || looks(h) != 1 {
		t.Errorf("within a day: %v, asked %d times", x, looks(h))
	}
	clock.Advance(2 * time.Hour)
	if x := found(); len(x.GetFound()) != 1 || x.GetFound()[0].GetCode() != "two_writers_giacom" || !x.GetLookTime().AsTime().After(time.Now().Add(24*time.Hour)) {
		t.Errorf("after a day: %v", x)
	}
	if found(); looks(h) != 2 {
		t.Errorf("asked %d times, want 2", looks(h))
	}
	// It is told, and stops nothing.
	if r.get(t).GetMode() != connectionv1.Mode_MODE_AUTO {
		t.Error("the connection stopped writing")
	}
	// What observes is not asked for.
	clock.Advance(25 * time.Hour)
	r.apply(t, edit(r.get(t), func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_OBSERVE }))
	if found(); looks(h) != 2 {
		t.Errorf("asked %d times for a connection that observes", looks(h)-2)
	}
}
