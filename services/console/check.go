package console

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"

	"github.com/jackc/pgx/v5"
)

// checkTime bounds each side of a validation. A person is waiting for it.
const checkTime = 50 * time.Second

// ValidateConnection asks Giacom and Halo, side by side, for a little of everything that will be needed
// of them. It writes to neither. What it finds out about the Halo instance is kept.
func (s *server) ValidateConnection(ctx context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.ValidateConnectionResponse, error) {
	c, err := live(ctx, s.pool, req.GetSlug())
	if err != nil {
		return nil, err
	}
	secrets, err := s.secrets(ctx, c.GetSlug())
	if err != nil {
		return nil, err
	}
	others, err := neighbours(ctx, s.pool, c)
	if err != nil {
		return nil, err
	}
	var ofGiacom, ofHalo report
	var found halo.Capabilities
	group := errgroup.Group{}
	group.Go(func() error {
		s.checkGiacom(ctx, &ofGiacom, c, telemetry.Secret(secrets.GetGiacomApiKey()))
		return nil
	})
	group.Go(func() error { found = s.checkHalo(ctx, &ofHalo, c, secrets); return nil })
	_ = group.Wait()
	if err := s.remember(ctx, c.GetHalo().GetInstance(), found); err != nil {
		return nil, err
	}
	all := report{}
	checkSettings(&all, c, others)
	return &connectionv1.ValidateConnectionResponse{Checks: append(append(all.checks, ofGiacom.checks...), ofHalo.checks...)}, nil
}

// report collects checks in the order in which they were made.
type report struct{ checks []*connectionv1.Check }

func (r *report) add(name string, outcome connectionv1.Check_Outcome, format string, args ...any) {
	r.checks = append(r.checks, &connectionv1.Check{Name: name, Outcome: outcome, Text: fmt.Sprintf(format, args...)})
}

func (r *report) ok(name, format string, args ...any) {
	r.add(name, connectionv1.Check_OUTCOME_OK, format, args...)
}

func (r *report) warn(name, format string, args ...any) {
	r.add(name, connectionv1.Check_OUTCOME_WARNING, format, args...)
}

func (r *report) fail(name, format string, args ...any) {
	r.add(name, connectionv1.Check_OUTCOME_FAILED, format, args...)
}

// checkSettings says what of the settings alone will hold work or surprise. Wrong ones were never stored,
// except by a version of Seatline that knew less.
func checkSettings(r *report, c *connectionv1.Connection, others []*connectionv1.Connection) {
	for _, wrong := range Validate(c, c) {
		r.fail("Settings: "+wrong.Field, "%s", wrong.Description)
	}
	if c.GetGiacom().GetAnnualPriceBasis() == 0 {
		r.warn("Settings: giacom.annual_price_basis", "Not set: subscriptions with an annual or longer term are held until you say whether Giacom's price is per month or per term.")
	}
	if c.GetBilling().ProRata == nil {
		r.warn("Settings: billing.pro_rata", "Not set: a link from an invoice line to a licence is held where the line has no pro rata mode to copy.")
	}
	for _, o := range others {
		switch same := o.GetHalo().GetInstance() == c.GetHalo().GetInstance(); {
		case !same && (o.GetHalo().GetTenant() == "" || c.GetHalo().GetTenant() == ""):
			r.warn("Halo instance", "Connection %q is at the same host with tenant %q, this one with %q. If both are one Halo, give both the same tenant: they then share its request budget and customers.",
				o.GetSlug(), o.GetHalo().GetTenant(), c.GetHalo().GetTenant())
		case same && (o.GetHalo().GetBudgetRequests() != c.GetHalo().GetBudgetRequests() || !proto.Equal(o.GetHalo().GetBudgetWindow(), c.GetHalo().GetBudgetWindow())):
			r.warn("Halo instance", "Connection %q shares this Halo and allows %d requests in %s, this one %d in %s. The budget is one: set both alike.",
				o.GetSlug(), o.GetHalo().GetBudgetRequests(), o.GetHalo().GetBudgetWindow().AsDuration(), c.GetHalo().GetBudgetRequests(), c.GetHalo().GetBudgetWindow().AsDuration())
		case same:
			r.ok("Halo instance", "Shared with connection %q: one request budget for both.", o.GetSlug())
		}
	}
}

func (s *server) checkGiacom(ctx context.Context, r *report, c *connectionv1.Connection, key telemetry.Secret) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if key == "" {
		r.fail("Giacom key", "There is none. Make one in the Giacom portal under Settings > API and enter it in the connection.")
		return
	}
	if c.GetGiacom().GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		r.warn("Giacom version", "v2 is not available for production accounts; what Seatline knows of it is a guess. Choose v1 before billing on it.")
	}
	cfg := connections.Giacom(c, key)
	cfg.Clock, cfg.Log = s.clock, s.log
	cfg.HTTP = client(s.transport)
	g, err := giacom.New(cfg)
	if err != nil {
		r.fail("Giacom key", "%s", sentence(err))
		return
	}
	for _, check := range g.Validate(ctx) {
		if check.Err != nil {
			r.fail(check.Name, "%s", sentence(check.Err))
		} else {
			r.ok(check.Name, "%s", sentence(errors.New(check.Text)))
		}
	}
}

// held gives a Halo client secrets that are at hand already.
type held struct{ *connectionv1.Secrets }

func (h held) GetSecrets(context.Context, *connectionv1.GetConnectionRequest, ...grpc.CallOption) (*connectionv1.Secrets, error) {
	return h.Secrets, nil
}

func (s *server) checkHalo(ctx context.Context, r *report, c *connectionv1.Connection, secrets *connectionv1.Secrets) halo.Capabilities {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	none := halo.Capabilities{}
	if secrets.GetHaloClientSecret() == "" {
		r.fail("Halo token", "There is no client secret. It is shown once when the API application is made in Halo; make a new one there if it is lost, and enter it in the connection.")
		return none
	}
	clients := connections.NewHalo(connections.HaloConfig{
		Secrets: held{secrets}, Bucket: s.bucket, Clock: s.clock, Log: s.log, Transport: s.transport, Timeout: checkTime / 2,
	})
	h, err := clients.Client(ctx, c)
	if err != nil {
		r.fail("Halo token", "%s", sentence(err))
		return none
	}
	if err := h.Authenticate(ctx); err != nil {
		r.fail("Halo token", "%s", haloSentence(err, "In Halo the application needs the method client id and secret, and an agent to log in as. A wrong tenant fails here too."))
		return none
	}
	r.ok("Halo token", "Obtained.")
	s.checkRights(ctx, r, h, c)
	checkControl(ctx, r, h)
	return probe(ctx, r, h)
}

// checkRights reads the start of every list that will be needed.
func (s *server) checkRights(ctx context.Context, r *report, h *halo.Client, c *connectionv1.Connection) {
	for _, x := range []struct {
		what, scope string
		read        func() error
	}{
		{"customers", "read:customers", func() error { return first(h.Customers(ctx, halo.CustomerFilter{})) }},
		{"licences", "read:softwarelicensing", func() error { return first(h.Licences(ctx, halo.LicenceFilter{})) }},
		{"recurring invoices", "read:invoices", func() error { return first(h.Invoices(ctx, halo.InvoiceFilter{})) }},
		{"items", "read:items", func() error { return first(h.Items(ctx)) }},
	} {
		if err := x.read(); err != nil {
			r.fail("Halo: read "+x.what, "%s", haloSentence(err, "The application needs the scope "+x.scope+", and its agent's role read access to "+x.what+"."))
		} else {
			r.ok("Halo: read "+x.what, "Allowed.")
		}
	}
	wanted := c.GetCustomers().GetTopLevelId()
	if !c.GetCustomers().GetCreate() || wanted == 0 {
		return
	}
	for t, err := range h.TopLevels(ctx) {
		switch {
		case err != nil:
			r.fail("Halo: top level", "%s", haloSentence(err, "The application needs the scope read:customers."))
			return
		case int64(t.ID) == wanted:
			r.ok("Halo: top level", "New customers go under %q.", t.Name)
			return
		}
	}
	r.fail("Halo: top level", "Halo has no top level %d, under which customers should be created. Choose another customers.top_level_id, or 0 for Halo's default.", wanted)
}

// first is the error, if any, of reading the beginning of a list.
func first[T any](rows iter.Seq2[T, error]) error {
	for _, err := range rows {
		return err
	}
	return nil
}

// checkControl looks for other writers: where two integrations maintain the same licences, seats are billed twice.
func checkControl(ctx context.Context, r *report, h *halo.Client) {
	control, err := h.Control(ctx)
	if err != nil {
		r.warn("Halo: settings", "%s", haloSentence(err, "Without them Seatline cannot see Halo's own customer mappings, nor whether Halo's own Giacom integration is on: look under Configuration > Integrations."))
		return
	}
	quiet := true
	warn := func(format string, args ...any) { quiet = false; r.warn("Halo: settings", format, args...) }
	if on(control, "halointegrator_giacom") {
		warn("Halo's own Giacom integration is switched on: two writers would maintain the same licences, and seats may be billed twice. Switch its integrator off in Halo before you set the mode auto.")
	}
	if on(control, "halointegrator_inty") {
		warn("Halo's Inty integration is switched on: its licences would stand beside those of Giacom and may be billed twice. Clear and disable the Inty module in Halo before you set the mode auto.")
	}
	if control.Has("allow_quantity_calculations") && !on(control, "allow_quantity_calculations") {
		warn("Halo does not compute quantities of recurring invoice lines (allow_quantity_calculations is off): lines linked to licences would not follow them. Switch it on in Halo under Configuration > Billing.")
	}
	if quiet {
		r.ok("Halo: settings", "No other integration writes Giacom licences.")
	}
}

// on reads a switch of Halo, which may be true, 1 or "True".
func on(c halo.Control, name string) bool {
	switch strings.ToLower(strings.Trim(string(c.Raw(name)), `"`)) {
	case "true", "1":
		return true
	}
	return false
}

// probe finds out what nobody has documented. It never fails a validation: each has a slower way without.
func probe(ctx context.Context, r *report, h *halo.Client) halo.Capabilities {
	found, err := h.Probe(ctx, halo.Capabilities{})
	if err != nil {
		r.warn("Halo: probes", "%s", haloSentence(err, "Seatline works without, at more requests. Validate again later."))
	}
	for _, x := range []struct {
		name, yes, no, unknown string
		answer                 halo.Answer
	}{
		{"Halo: marks in lists", "Lists of licences show our mark: few requests are needed.", "Lists of licences do not show our mark: licences just created are read one by one, at more requests.",
			"No licence in Halo has a mark yet, so it cannot be told whether lists show it. Validate again after the first import.", found.ListMarks},
		{"Halo: lines in lists", "Lists of recurring invoices are whole: few requests are needed.", "Lists of recurring invoices are not whole: each invoice is read by itself, at more requests.",
			"There is no recurring invoice with lines to tell by. Validate again when there is.", found.WholeInvoices},
	} {
		switch {
		case x.answer == halo.Yes:
			r.ok(x.name, "%s", x.yes)
		case x.answer == halo.No:
			r.warn(x.name, "%s", x.no)
		case err == nil:
			r.ok(x.name, "%s", x.unknown)
		}
	}
	if found.PageSize > 0 {
		r.warn("Halo: page size", "Halo gives %d rows per page at most, not 1000: lists need more requests.", found.PageSize)
	}
	return found
}

// remember keeps what was found out on every connection of the instance. What stayed unknown leaves
// standing what was known.
func (s *server) remember(ctx context.Context, instance string, found halo.Capabilities) error {
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockWrites(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `select body from connections where instance = $1 and not deleted order by slug`, instance)
		if err != nil {
			return fmt.Errorf("read the connections of %s: %w", instance, err)
		}
		list, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return fmt.Errorf("read the connections of %s: %w", instance, err)
		}
		now := s.clock.Now()
		for _, c := range list {
			known := c.GetHalo().GetCapabilities()
			merged := merge(known, found)
			if proto.Equal(known, merged) {
				continue
			}
			merged.ProbeTime = timestamppb.New(now)
			c.Halo.Capabilities = merged
			if err := write(ctx, tx, c, now, false); err != nil {
				return err
			}
		}
		return nil
	})
}

func merge(known *connectionv1.Capabilities, found halo.Capabilities) *connectionv1.Capabilities {
	if known == nil && found == (halo.Capabilities{}) {
		return nil
	}
	merged := &connectionv1.Capabilities{}
	if known != nil {
		merged = proto.CloneOf(known)
	}
	if found.ListMarks != halo.Unknown {
		merged.LicenceListHasSnowid = proto.Bool(found.ListMarks == halo.Yes)
	}
	if found.WholeInvoices != halo.Unknown {
		merged.InvoiceListHasLines = proto.Bool(found.WholeInvoices == halo.Yes)
	}
	if found.PageSize > 0 {
		merged.PageSize_1000 = proto.Bool(false)
	}
	return merged
}

// haloSentence says what to do, unless the trouble is that there was no answer at all.
func haloSentence(err error, do string) string {
	text := sentence(err)
	switch halo.ClassOf(err) {
	case halo.Unavailable:
		return text + " Check the address of the connection, and whether this machine may reach it."
	case halo.RateLimited:
		return text + " Other work has used up what Halo allows; validate again in a few minutes."
	}
	return text + " " + do
}

// sentence makes an error one that ends in a full stop.
func sentence(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("No answer within %s.", checkTime)
	}
	text := strings.TrimRight(err.Error(), ". ")
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
