package console

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// held gives a Halo client secrets that are at hand already.
type held struct{ *connectionv1.Secrets }

func (h held) GetSecrets(context.Context, *connectionv1.GetConnectionRequest, ...grpc.CallOption) (*connectionv1.Secrets, error) {
	return h.Secrets, nil
}

// halo makes a client of the connection's Halo with secrets that are at hand.
func (s *server) halo(ctx context.Context, c *connectionv1.Connection, secrets *connectionv1.Secrets) (*halo.Client, error) {
	return connections.NewHalo(connections.HaloConfig{
		Secrets: held{secrets}, Bucket: s.bucket, Agent: s.agent, Clock: s.clock, Log: s.log, Transport: s.transport, Timeout: checkTime / 2,
	}).Client(ctx, c)
}

// checkHalo returns a client unless it got no token. What it finds out about the instance is kept.
func (s *server) checkHalo(ctx context.Context, r *report, c *connectionv1.Connection, secrets *connectionv1.Secrets) (*halo.Client, error) {
	h := s.checkToken(ctx, r, c, secrets)
	if h == nil {
		for _, name := range []string{"Halo: scopes", "Halo: reading", "Halo: settings", "Halo: probes"} {
			r.skip(name, "Needs a token first.")
		}
		return nil, nil
	}
	checkScopes(r, c, h.Scopes())
	checkRights(ctx, r, h, c)
	control, told, err := s.checkWriters(ctx, r, h, c)
	if err != nil {
		return nil, err
	}
	if told {
		checkControl(r, control)
	}
	return h, s.remember(ctx, c.GetHalo().GetInstance(), probe(ctx, r, h))
}

// checkToken gets a token; nil if there is none to get.
func (s *server) checkToken(ctx context.Context, r *report, c *connectionv1.Connection, secrets *connectionv1.Secrets) *halo.Client {
	if secrets.GetHaloClientSecret() == "" {
		r.fail("Halo token", "secret_missing", "It is shown once when the API application is made in Halo; make a new one there if it is lost, and enter it in the connection.", "There is no client secret.")
		return nil
	}
	h, err := s.halo(ctx, c, secrets)
	if err != nil {
		r.fail("Halo token", "halo_settings", "Correct the settings of Halo in the connection.", "%s", sentence(err))
		return nil
	}
	if err := h.Authenticate(ctx); err != nil {
		text, fix := haloSentence(err, "In Halo the application needs the method client id and secret, and an agent to log in as. A wrong tenant fails here too.")
		r.fail("Halo token", "halo_token", fix+s.ownWords(ctx, c.GetHalo()), "%s", text)
		return nil
	}
	r.ok("Halo token", "Obtained.")
	return h
}

// ownWords is what Halo, asked without a token, says of itself that the connection says otherwise.
func (s *server) ownWords(ctx context.Context, h *connectionv1.Halo) string {
	authURL, tenant, err := halo.Discover(ctx, &http.Client{Transport: s.transport}, s.agent, h.GetBaseUrl())
	if err != nil {
		return "" // why it cannot be reached is said already
	}
	text := ""
	if tenant != "" && !strings.EqualFold(tenant, h.GetTenant()) {
		text += fmt.Sprintf(" Halo itself names its tenant %q, the connection %q: correct halo.tenant.", tenant, h.GetTenant())
	}
	if authURL = strings.TrimRight(authURL, "/"); authURL != "" && authURL != h.GetAuthUrl() {
		text += fmt.Sprintf(" Halo itself names its authorisation server %s, the connection %s: correct halo.auth_url.", authURL, h.GetAuthUrl())
	}
	return text
}

// checkScopes compares what Halo granted with what the mode needs. A mode that only observes needs no writing.
func checkScopes(r *report, c *connectionv1.Connection, granted []string) {
	const fix = "In Halo, under Configuration > Integrations > Halo PSA API, tick the scope %s of the application; and give its agent's role the right to %s."
	auto := c.GetMode() == connectionv1.Mode_MODE_AUTO
	for _, x := range []struct{ scope, right string }{
		{"edit:customers", "modify customers"}, {"edit:softwarelicensing", "modify software licences"}, {"edit:invoices", "modify recurring invoices"},
	} {
		name := "Halo: scope " + x.scope
		switch has := slices.Contains(granted, x.scope) || slices.Contains(granted, "all") || slices.Contains(granted, "admin"); {
		case x.scope == "edit:customers" && !c.GetCustomers().GetCreate() && !c.GetCustomers().GetFollowNameOfMapped() && auto:
			r.skip(name, "Not needed while Seatline creates no customers.")
		case len(granted) == 0:
			r.warn(name, "scopes_unknown", fmt.Sprintf(fix, x.scope, x.right), "Halo does not say which scopes it granted; whether writing is allowed shows at the first write.")
		case has:
			r.ok(name, "Granted. Whether the role of its agent allows it too shows at the first write.")
		case auto:
			r.fail(name, "scope_missing", fmt.Sprintf(fix, x.scope, x.right), "Not granted: the mode auto has to %s.", x.right)
		default:
			r.skip(name, "Not granted, and not needed while the connection observes; the mode auto will need it.")
		}
	}
}

// checkRights reads the start of every list that will be needed.
func checkRights(ctx context.Context, r *report, h *halo.Client, c *connectionv1.Connection) {
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
			text, fix := haloSentence(err, "The application needs the scope "+x.scope+", and its agent's role read access to "+x.what+".")
			r.fail("Halo: read "+x.what, "halo_read", fix, "%s", text)
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
			text, fix := haloSentence(err, "The application needs the scope read:customers.")
			r.fail("Halo: top level", "halo_read", fix, "%s", text)
			return
		case int64(t.ID) == wanted:
			r.ok("Halo: top level", "New customers go under %q.", t.Name)
			return
		}
	}
	r.fail("Halo: top level", "top_level_unknown", "Choose another customers.top_level_id, or 0 for Halo's default.", "Halo has no top level %d, under which customers should be created.", wanted)
}

// first is the error, if any, of reading the beginning of a list.
func first[T any](rows iter.Seq2[T, error]) error {
	for _, err := range rows {
		return err
	}
	return nil
}

// controlUnread is the code of a look for other writers that Halo did not answer.
const controlUnread = "control_unread"

// finding is another integration that writes the same licences.
type finding struct{ Code, Text, Fix string }

// writers are the integrations of Halo itself that are switched on: where two maintain the same licences, seats are
// billed twice.
func writers(control halo.Control) []finding {
	var found []finding
	if on(control, "halointegrator_giacom") {
		found = append(found, finding{"two_writers_giacom",
			"Halo's own Giacom integration is switched on: two writers would maintain the same licences, and seats may be billed twice.",
			"Turn it off before leaving observe: in Halo, under Configuration > Integrations > Giacom, switch off 'Enable the Halo Integrator for the Giacom integration'."})
	}
	if on(control, "halointegrator_inty") {
		found = append(found, finding{"two_writers_inty",
			"Halo's Inty integration is switched on: its licences stand beside those of Giacom and may be billed twice.",
			"Turn it off before leaving observe: note its mappings, then clear out and disable the Inty module in Halo. The Inty migration leads through it."})
	}
	return found
}

// checkWriters asks Halo who else writes there, and keeps the answer. told is false where Halo gave none.
func (s *server) checkWriters(ctx context.Context, r *report, h *halo.Client, c *connectionv1.Connection) (control halo.Control, told bool, err error) {
	const name = "Halo: settings"
	if control, err = h.Control(ctx); err != nil {
		text, fix := haloSentence(err, "Look in Halo under Configuration > Integrations yourself, or give the application's agent the right to read the configuration.")
		r.warn(name, controlUnread, fix, "%s Without them Seatline cannot see whether Halo's own Giacom integration or Inty's is on, nor Halo's own customer mappings.", text)
		return control, false, nil
	}
	found := writers(control)
	for _, f := range found {
		r.warn(name, f.Code, f.Fix, "%s", f.Text)
	}
	if len(found) == 0 {
		r.ok(name, "No other integration writes Giacom licences.")
	}
	return control, true, s.rememberWriters(ctx, c.GetHalo().GetInstance(), found)
}

// checkControl says what the settings of the instance mean for billing.
func checkControl(r *report, control halo.Control) {
	if links := control.GiacomMappings(); len(links) > 0 {
		r.ok("Halo: native mappings", "Halo's own Giacom integration has %d customer mappings, which can be taken over.", len(links))
	}
	if control.Has("allow_quantity_calculations") && !on(control, "allow_quantity_calculations") {
		r.warn("Halo: quantities", "quantities_not_computed", "Switch it on in Halo under Configuration > Billing. From then on Halo deletes no users and assets that lines count.",
			"Halo does not compute quantities of recurring invoice lines (allow_quantity_calculations is off): lines linked to licences would not follow them.")
	} else {
		r.ok("Halo: quantities", "Halo computes the quantities of linked lines.")
	}
	switch {
	case !control.Has("allow_negative_prorata"):
		r.skip("Halo: pro rata", "Halo does not show whether it allows negative pro rata.")
	case on(control, "allow_negative_prorata"):
		r.ok("Halo: pro rata", "Halo credits seats that go in mid-period, too (allow_negative_prorata is on).")
	default:
		r.warn("Halo: pro rata", "negative_pro_rata_off", "Switch allow_negative_prorata on in Halo if customers should be credited; otherwise nothing.",
			"Halo does not credit seats that go in mid-period (allow_negative_prorata is off).")
	}
	switch {
	case !control.Has("remove_licences_when_inactive") && !control.Has("use_subscription_status_for_invoice_line_status"):
		r.skip("Halo: inactive licences", "Halo does not show what becomes of the lines of inactive licences.")
	case on(control, "remove_licences_when_inactive") || on(control, "use_subscription_status_for_invoice_line_status"):
		r.ok("Halo: inactive licences", "When a licence becomes inactive, Halo makes its invoice line inactive too.")
	default:
		r.warn("Halo: inactive licences", "inactive_lines_stay", "Switch on 'Make recurring invoice lines inactive when subscription becomes inactive' in Halo if lines should not stay behind with a quantity of 0.",
			"When a licence becomes inactive, its invoice line stays active, with a quantity of 0.")
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
		text, fix := haloSentence(err, "Seatline works without, at more requests. Validate again later.")
		r.warn("Halo: probes", "probe", fix, "%s", text)
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
			r.warn(x.name, "slower", "Nothing: Seatline knows another way.", "%s", x.no)
		case err == nil:
			r.ok(x.name, "%s", x.unknown)
		}
	}
	if found.PageSize > 0 {
		r.warn("Halo: page size", "slower", "Nothing: Seatline asks for more pages.", "Halo gives %d rows per page at most, not 1000: lists need more requests.", found.PageSize)
	}
	return found
}

// haloSentence says what happened, and what to do: do, unless the trouble is that there was no answer at all.
func haloSentence(err error, do string) (text, fix string) {
	switch halo.ClassOf(err) {
	case halo.Unavailable:
		do = "Check the address of the connection, and whether this machine may reach it. " + do
	case halo.RateLimited:
		do = "Other work has used up what Halo allows; validate again in a few minutes."
	}
	return sentence(err), do
}
