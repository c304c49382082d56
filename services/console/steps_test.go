package console

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// Of two who edit, the later is told by whom and when, and loses nothing: what was stored is as the first left it.
func TestAStaleEditIsToldWhoAndWhen(t *testing.T) {
	r := start(t)
	read := r.apply(t, acme("acme"))
	r.apply(t, edit(read, func(c *connectionv1.Connection) { c.DisplayName = "Acme Ltd" }))
	_, err := r.operator.ApplyConnection(t.Context(), edit(read, func(c *connectionv1.Connection) { c.DisplayName = "Other" }))
	e, _ := rpc.ErrorFrom(err)
	if status.Code(err) != codes.Aborted || e.Reason != "CHANGED_MEANWHILE" || e.Metadata["who"] != "operator" || e.Metadata["when"] == "" ||
		!strings.Contains(e.Message, "changed by operator on ") || !strings.Contains(e.Next, "read it again") {
		t.Errorf("got %+v", e)
	}
	if now, err := r.viewer.GetConnection(t.Context(), slug("acme")); err != nil || now.GetDisplayName() != "Acme Ltd" || now.GetUpdatedBy() != "operator" {
		t.Errorf("stored %v, %v", now, err)
	}
}

func (r *running) changes(t *testing.T) []*connectionv1.ConnectionChange {
	t.Helper()
	page, err := r.viewer.ListConnectionChanges(t.Context(), &connectionv1.ListConnectionChangesRequest{Filter: `connection = "acme"`})
	if err != nil {
		t.Fatal(err)
	}
	return page.GetChanges()
}

func TestWhatPeopleDoIsRecorded(t *testing.T) {
	r := start(t)
	_, _, made := estate(t, halosim.Config{}, nil)
	c := r.apply(t, made)
	req := edit(c, func(c *connectionv1.Connection) {
		c.Mode, c.Giacom.Method = connectionv1.Mode_MODE_AUTO, connectionv1.ImportMethod_IMPORT_METHOD_BOTH
		c.Billing.ProRata = proto.Int32(1)
	})
	req.GiacomApiKey = "canary-giacom-key-0003"
	r.apply(t, req)
	for _, call := range []func() error{
		func() error { _, err := r.operator.DisableConnection(t.Context(), slug("acme")); return err },
		func() error {
			_, err := r.operator.EnableConnection(t.Context(), &connectionv1.EnableConnectionRequest{Slug: "acme"})
			return err
		},
		func() error { _, err := r.operator.DeleteConnection(t.Context(), slug("acme")); return err },
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	var what []string
	all := r.changes(t)
	for _, x := range all {
		what = append(what, x.GetWhat())
		if x.GetWho() != "operator" || x.GetTime() == nil {
			t.Errorf("who and when are missing: %v", x)
		}
		mustNotShow(t, "the record", x.String())
	}
	if got := strings.Join(what, " "); got != "deleted enabled disabled updated created" {
		t.Fatalf("recorded: %s", got)
	}
	fields := map[string]string{}
	for _, f := range all[3].GetFields() {
		fields[f.GetField()] = f.GetBefore() + "→" + f.GetAfter()
	}
	for field, want := range map[string]string{
		"mode": "MODE_OBSERVE→MODE_AUTO", "giacom.method": "IMPORT_METHOD_SUBSCRIPTIONS→IMPORT_METHOD_BOTH", "billing.pro_rata": "→1",
		"giacom.api_key": "version 1, ends in 0001→version 2, ends in 0003",
	} {
		if fields[field] != want {
			t.Errorf("%s: %q, want %q", field, fields[field], want)
		}
	}
	if len(fields) != 4 {
		t.Errorf("fields: %v", fields)
	}
}

// While another integration is known to write, auto is refused, unless a reason is given, which is kept.
func TestTwoWritersKeepAConnectionObserving(t *testing.T) {
	for name, test := range map[string]struct {
		on   func(*halosim.Control)
		code string
	}{
		"Halo's own Giacom integration": {func(c *halosim.Control) { c.GiacomIntegrator = true }, "two_writers_giacom"},
		"Inty's":                        {func(c *halosim.Control) { c.IntyIntegrator = true }, "two_writers_inty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			_, h, req := estate(t, halosim.Config{}, func(s *halosim.State) { test.on(&s.Control) })
			c := r.apply(t, req)
			// A viewer's looking asks Halo nothing, so there is nothing to tell until an operator has looked.
			if leave, err := r.viewer.GetLeaveObserve(t.Context(), slug("acme")); err != nil || len(leave.GetBlockers())+len(leave.GetChecks()) != 0 || leave.GetLookTime() != nil {
				t.Errorf("to a viewer, first: %v, %v", leave, err)
			}
			leave, err := r.operator.GetLeaveObserve(t.Context(), slug("acme"))
			if err != nil {
				t.Fatal(rpc.Describe(err))
			}
			if b := leave.GetBlockers(); len(b) != 1 || b[0].GetCode() != test.code || !b[0].GetOverridable() || !strings.Contains(b[0].GetFix(), "before leaving observe") || !leave.GetMayLeave() {
				t.Errorf("blockers: %v", b)
			}
			if leave, err := r.viewer.GetLeaveObserve(t.Context(), slug("acme")); err != nil || len(leave.GetBlockers()) != 1 || leave.GetBlockers()[0].GetCode() != test.code || len(leave.GetChecks()) != 0 || leave.GetLookTime() == nil {
				t.Errorf("to a viewer, then: %v, %v", leave, err)
			}
			if len(leave.GetUnknown()) == 0 {
				t.Error("the services that do not run are not named")
			}
			auto := edit(c, func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_AUTO })
			_, err = r.operator.ApplyConnection(t.Context(), auto)
			if e, _ := rpc.ErrorFrom(err); rpc.Reason(err) != "TWO_WRITERS" || e.Metadata["finding"] != test.code || !strings.Contains(e.Next, "give a reason") {
				t.Fatalf("got %v", err)
			}
			auto.OverrideReason = "agreed with Halo support"
			if got := r.apply(t, auto); got.GetMode() != connectionv1.Mode_MODE_AUTO {
				t.Errorf("with a reason: %v", got.GetMode())
			}
			if got := r.changes(t)[0]; got.GetReason() != "agreed with Halo support" {
				t.Errorf("recorded %v", got)
			}
			// In auto already, an edit is no step into it; back, and switched off in Halo, the way is free.
			r.apply(t, edit(r.get(t), func(c *connectionv1.Connection) { c.DisplayName = "Acme" }))
			r.apply(t, edit(r.get(t), func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_OBSERVE }))
			h.EditControl(func(c *halosim.Control) { c.GiacomIntegrator, c.IntyIntegrator = false, false })
			r.apply(t, edit(r.get(t), func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_AUTO }))
		})
	}
}

func (r *running) get(t *testing.T) *connectionv1.Connection {
	t.Helper()
	c, err := r.viewer.GetConnection(t.Context(), slug("acme"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestQuestionsHaveTheirPresentAnswers(t *testing.T) {
	r := start(t)
	_, _, req := estate(t, halosim.Config{Scopes: []string{"read:customers", "read:softwarelicensing", "read:invoices", "read:items"}}, nil)
	r.apply(t, req)
	leave, err := r.operator.GetLeaveObserve(t.Context(), slug("acme"))
	if err != nil {
		t.Fatal(rpc.Describe(err))
	}
	answered := map[string]bool{}
	for _, q := range leave.GetQuestions() {
		answered[q.GetCode()] = q.GetAnswered()
		if q.GetQuestion() == "" || q.GetAnswer() == "" || q.GetConsequence() == "" || q.GetSetting() == "" || len(q.GetChoices()) < 2 {
			t.Errorf("question %v", q)
		}
	}
	for code, want := range map[string]bool{"sell_price": false, "add_lines": false, "pro_rata": false, "price_basis": false, "create_customers": true, "deactivate": true} {
		if got, there := answered[code]; !there || got != want {
			t.Errorf("%s: answered %v (%v), want %v", code, got, there, want)
		}
	}
	// Read-only credentials suffice to observe, and not to leave it.
	if leave.GetMayLeave() || len(leave.GetBlockers()) != 2 || leave.GetBlockers()[0].GetCode() != "scope_missing" {
		t.Errorf("blockers: %v", leave.GetBlockers())
	}
	c := r.apply(t, edit(r.get(t), func(c *connectionv1.Connection) { c.Billing.ProRata, c.Giacom.AnnualPriceBasis = proto.Int32(3), 1 }))
	for _, q := range questions(c, nil) {
		if (q.GetCode() == "pro_rata" || q.GetCode() == "price_basis") && !q.GetAnswered() {
			t.Errorf("after the answer: %v", q)
		}
	}
}

func TestChecksAreToldAsTheyAreMade(t *testing.T) {
	r := start(t)
	_, _, req := estate(t, halosim.Config{}, nil)
	r.apply(t, req)
	stream, err := r.operator.StreamValidation(t.Context(), slug("acme"))
	if err != nil {
		t.Fatal(err)
	}
	groups := map[connectionv1.Check_Group]int{}
	for {
		check, err := stream.Recv()
		if err != nil {
			break
		}
		groups[check.GetGroup()]++
	}
	whole, err := r.operator.ValidateConnection(t.Context(), slug("acme"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range whole.GetChecks() {
		groups[c.GetGroup()]--
	}
	for group, n := range groups {
		if n != 0 {
			t.Errorf("%s: %d more checks in the stream", group, n)
		}
	}
	if len(groups) != 4 {
		t.Errorf("groups: %v", groups)
	}
}

// A new key is tried before it takes the place of one that works.
func TestANewSecretIsTriedFirst(t *testing.T) {
	r := start(t)
	g, _, req := estate(t, halosim.Config{}, nil)
	r.apply(t, req)
	rotate := func(change func(*connectionv1.RotateSecretsRequest)) error {
		req := &connectionv1.RotateSecretsRequest{Slug: "acme"}
		change(req)
		_, err := r.operator.RotateSecrets(t.Context(), req)
		return err
	}
	stored := func() string {
		s, err := r.service.GetSecrets(t.Context(), slug("acme"))
		if err != nil {
			t.Fatal(err)
		}
		return s.GetGiacomApiKey() + " " + s.GetHaloClientSecret()
	}
	for name, change := range map[string]func(*connectionv1.RotateSecretsRequest){
		"key refused":    func(x *connectionv1.RotateSecretsRequest) { x.GiacomApiKey = "canary-wrong-key-0009" },
		"secret refused": func(x *connectionv1.RotateSecretsRequest) { x.HaloClientSecret = "canary-wrong-secret" },
		"nothing given":  func(*connectionv1.RotateSecretsRequest) {},
	} {
		err := rotate(change)
		if err == nil || stored() != "canary-giacom-key-0001 sim-secret" {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			mustNotShow(t, "the message", rpc.Describe(err))
		}
	}
	if err := rotate(func(x *connectionv1.RotateSecretsRequest) { x.GiacomApiKey, x.Untried = "canary-giacom-key-0009", true }); err != nil || stored() != "canary-giacom-key-0009 sim-secret" {
		t.Errorf("untried: %v, %s", err, stored())
	}
	g.RevokeKey()
	if err := rotate(func(x *connectionv1.RotateSecretsRequest) { x.HaloClientSecret = "sim-secret" }); err != nil {
		t.Errorf("Halo's secret has nothing to do with Giacom's key: %v", err)
	}
	if _, err := r.viewer.RotateSecrets(t.Context(), &connectionv1.RotateSecretsRequest{Slug: "acme", GiacomApiKey: "x"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a viewer: %v", err)
	}
}

// The keyset is rotated: new secrets are sealed with the new key, old ones still open, all are sealed anew, and then the
// old key may go.
func TestTheKeysetIsRotated(t *testing.T) {
	r := start(t)
	r.apply(t, acme("acme"))
	before := r.sealed(t)
	if err := RotateKeyset(r.keyset); err != nil {
		t.Fatal(err)
	}
	reseal := func() *connectionv1.ResealSecretsResponse {
		t.Helper()
		out, err := r.operator.ResealSecrets(t.Context(), &connectionv1.ResealSecretsRequest{})
		if err != nil {
			t.Fatal(rpc.Describe(err))
		}
		return out
	}
	if out := reseal(); out.GetResealed() != 2 || out.GetCurrent() != 0 || len(out.GetUnreadable()) != 0 {
		t.Errorf("first: %v", out)
	}
	if after := r.sealed(t); after == before {
		t.Error("nothing was sealed anew")
	}
	if out := reseal(); out.GetResealed() != 0 || out.GetCurrent() != 2 {
		t.Errorf("again: %v", out)
	}
	if n, err := RetireKeys(r.keyset); n != 1 || err != nil {
		t.Errorf("retired %d, %v", n, err)
	}
	if out := reseal(); out.GetCurrent() != 2 || len(out.GetUnreadable()) != 0 {
		t.Errorf("without the old key: %v", out)
	}
	s, err := r.service.GetSecrets(t.Context(), slug("acme"))
	if err != nil || s.GetGiacomApiKey() != "canary-giacom-key-0001" || s.GetGiacomApiKeyVersion() != 1 {
		t.Errorf("secrets: %v, %v", s, err)
	}
	if info, err := os.Stat(r.keyset); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keyset file: %v, %v", info.Mode(), err)
	}
	// A secret that no key opens is named, and the others are not held up by it.
	if _, err := r.pool.Exec(t.Context(), `update secrets set sealed = '\x0102030405060708' where field = 'halo_client_secret'`); err != nil {
		t.Fatal(err)
	}
	if out := reseal(); out.GetCurrent() != 1 || strings.Join(out.GetUnreadable(), " ") != "acme/halo_client_secret" {
		t.Errorf("with a spoilt one: %v", out)
	}
	mustNotShow(t, "the log", r.log.String())
	for _, row := range r.everyRow(t) {
		mustNotShow(t, "a row", row)
	}
	// A keyset that cannot be read changes nothing.
	if err := os.WriteFile(r.keyset, []byte(`{"key":"canary"`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = r.operator.ResealSecrets(t.Context(), &connectionv1.ResealSecretsRequest{})
	if rpc.Reason(err) != "KEYSET_UNREADABLE" || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v", err)
	}
	if err := RotateKeyset(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a keyset that is not there was rotated")
	}
}

// sealed is what is stored, in one text.
func (r *running) sealed(t *testing.T) string {
	t.Helper()
	var all string
	if err := r.pool.QueryRow(t.Context(), `select string_agg(encode(sealed, 'hex'), ' ' order by field) from secrets`).Scan(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// What needs another service says which, when that is down; what needs it in part gives the rest.
func TestOtherServicesDown(t *testing.T) {
	r := start(t)
	r.apply(t, acme("acme"))
	effects, err := r.viewer.GetDeletionEffects(t.Context(), slug("acme"))
	if err != nil || strings.Join(effects.GetUnknown(), " ") != "licence billing mapper fetcher" || len(effects.GetForgotten()) != 3 {
		t.Errorf("effects: %v, %v", effects, err)
	}
	for _, e := range effects.GetForgotten() {
		if e.GetCode() == "secrets_forgotten" && e.GetText() != "2 secrets are dropped for good." {
			t.Errorf("got %v", e)
		}
	}
	_, err = r.operator.GetMethodChange(t.Context(), &connectionv1.GetMethodChangeRequest{Slug: "acme", Method: connectionv1.ImportMethod_IMPORT_METHOD_REPORT})
	if rpc.Reason(err) != "SERVICE_UNREACHABLE" || !strings.Contains(err.Error(), "fetcher") {
		t.Errorf("method: %v", err)
	}
	if _, err = r.viewer.GetMethodChange(t.Context(), &connectionv1.GetMethodChangeRequest{Slug: "acme", Method: connectionv1.ImportMethod_IMPORT_METHOD_REPORT}); rpc.Reason(err) != "ROLE_FORBIDS" {
		t.Errorf("a viewer has the account read: %v", err)
	}
	if _, err = r.integrator.GetSubscriptionImport(t.Context(), &runv1.GetSubscriptionImportRequest{Connection: "acme"}); rpc.Reason(err) != "ROLE_FORBIDS" {
		t.Errorf("a viewer has the account read for an import: %v", err)
	}
	x, err := r.integrator.GetIntegrator(t.Context(), &runv1.GetIntegratorRequest{Connection: "acme"})
	if err != nil || x.GetScheduleText() != "Off: customers and subscriptions are imported by hand only." || strings.Join(x.GetUnknown(), "") != "fetcher" {
		t.Errorf("integrator: %v, %v", x, err)
	}
}

func TestSchedulesInWords(t *testing.T) {
	for want, s := range map[string]*connectionv1.Schedule{
		"Every hour from 06:00 to 22:00, Europe/London: customers and subscriptions.": {Enabled: true, Cron: "0 6-22 * * *", TimeZone: "Europe/London", Customers: true, Subscriptions: true},
		"Every day at 05:30, Europe/London: customers.":                               {Enabled: true, Cron: "30 5 * * *", TimeZone: "Europe/London", Customers: true},
		"By the cron expression */5 * * * 1, Europe/London: subscriptions.":           {Enabled: true, Cron: "*/5 * * * 1", TimeZone: "Europe/London", Subscriptions: true},
		"By the cron expression 0 6-22 * * 1-5, UTC: subscriptions.":                  {Enabled: true, Cron: "0 6-22 * * 1-5", TimeZone: "UTC", Subscriptions: true},
	} {
		if got := scheduleText(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
