package console

import (
	"context"
	"fmt"
	"iter"
	"net/http"
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
		text := haloSentence(err, "In Halo the application needs the method client id and secret, and an agent to log in as. A wrong tenant fails here too.")
		r.fail("Halo token", "%s", text+s.ownWords(ctx, c.GetHalo()))
		return none
	}
	r.ok("Halo token", "Obtained.")
	checkRights(ctx, r, h, c)
	checkControl(ctx, r, h)
	return probe(ctx, r, h)
}

// ownWords is what Halo, asked without a token, says of itself that the connection says otherwise.
func (s *server) ownWords(ctx context.Context, h *connectionv1.Halo) string {
	authURL, tenant, err := halo.Discover(ctx, &http.Client{Transport: s.transport}, h.GetBaseUrl())
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
