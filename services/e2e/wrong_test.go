package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/oracle"
)

// What people get wrong on the command line: each mistake has an exit code, says what happened to what and what to do,
// shows no secret, and changes nothing.
func TestWhatGoesWrongOnTheCommandLine(t *testing.T) {
	t.Parallel()
	data, off := estate.Strangers(estate.Config{Seed: 3, Now: time.Now()}), false
	s := tell(t, plot{
		estate: data, rules: keepAndAdd,
		world: world.Options{
			Halo: halosim.Config{Scopes: []string{"read:customers", "edit:customers", "read:items", "read:invoices", "edit:invoices", "read:softwarelicensing", "edit:softwarelicensing"}, Denied: []string{"read:items", "edit:items"}},
			Env:  []string{"STORY_WRONG_KEY=a-wrong-key"},
		},
		settings: func(c *connectionv1.Connection) {
			c.Mode = connectionv1.Mode_MODE_OBSERVE
			c.Customers.Create, c.Customers.MapByName, c.Customers.MapFromNative = false, &off, &off
		},
	})
	s.pollOnly(false)
	before, dir := s.w.Halo.State(), t.TempDir()
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		s.must(os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	declare := func(name string, replace ...string) string {
		lines := strings.NewReplacer(append(replace, "SLUG", "other", "KEY", "env:STORY_WRONG_KEY", "SECRET", "env:STORY_WRONG_KEY", "GIACOM", s.w.GiacomURL, "HALO", s.w.HaloURL, "TENANT", "sim", "VERSION", "v1", "EXTRA", "")...)
		return file(name, lines.Replace("slug: SLUG\nenabled: true\nmode: observe\ngiacom: {account: SLUG, version: VERSION, base_url: 'GIACOM', api_key: 'KEY', method: both}\n"+
			"halo: {base_url: 'HALO', tenant: TENANT, client_id: sim-client, client_secret: 'SECRET'}\nEXTRA\n"))
	}
	mex, client := func(i int) string { return data.Giacom.Customers[i].MexID }, func(i int) int64 { return data.Halo.Clients[i].ID }

	secret := file("secret", "sim-secret\n")
	for _, x := range []struct {
		what  string
		args  []string
		code  int
		words []string
	}{
		{"a secret in the file", []string{"connections", "apply", "-f", declare("clear.yaml", "KEY", "sim-key-in-clear")}, 2, []string{"clear.yaml:4", "giacom.api_key", "env:NAME", "consider it known"}},
		{"a variable that is not set", []string{"connections", "apply", "-f", declare("unset.yaml", "KEY", "env:STORY_NOBODY_SET_THIS")}, 2, []string{"unset.yaml:4", "STORY_NOBODY_SET_THIS is not set"}},
		{"a field that does not exist", []string{"connections", "apply", "-f", declare("field.yaml", "EXTRA", "licenses: {}")}, 2, []string{"field.yaml:6", "licenses"}},
		{"half a file", []string{"connections", "apply", "-f", file("half.yaml", "slug: half\ngiacom: {account: half, method: bo")}, 2, []string{"half.yaml:2"}},
		{"v2 in production", []string{"connections", "apply", "-f", declare("v2.yaml", "VERSION", "v2", "GIACOM", "https://cloudmarket-services.azure-api.net/Billing/v2")}, 2, []string{"v2", "production"}},
		{"no such connection", []string{"connections", "validate", "acmee"}, 3, []string{`connection "acmee"`, "connections list"}},

		{"a wrong key", []string{"connections", "apply", "-f", declare("wrong.yaml", "SECRET", "file:"+secret)}, 0, nil},
		{"what validation says of it", []string{"connections", "validate", "other"}, 8, []string{"Giacom key", "My Account & Settings > Settings > API", "failed: Giacom key"}},
		{"a right that is missing", []string{"connections", "validate", "acme"}, 8, []string{"Halo: read items", "read:items", "failed: Halo: read items"}},
		{"a wrong tenant", []string{"connections", "apply", "-f", declare("tenant.yaml", "TENANT", "nobody", "SECRET", "file:"+secret)}, 0, nil},
		{"what validation says of that", []string{"connections", "validate", "other"}, 8, []string{"Halo token", "tenant"}},
		{"a Halo that is down", []string{"connections", "apply", "-f", declare("down.yaml", "HALO", "http://127.0.0.1:1", "SECRET", "file:"+secret)}, 0, nil},
		{"what validation says of it", []string{"connections", "validate", "other"}, 8, []string{"Halo token", "127.0.0.1:1"}},

		{"half a CSV", []string{"mappings", "import", "acme", file("half.csv", "mex_id,halo_client_id\n"+mex(0)+",101\n"+mex(1)+",10")}, 8, []string{"half.csv:3", "cut off", "nothing was imported"}},
		{"a CSV in another encoding", []string{"mappings", "import", "acme", file("latin.csv", "mex_id,ignore_reason\n"+mex(0)+",Z\xfcrich\n")}, 8, []string{"UTF-8"}},
		{"a CSV without the column", []string{"mappings", "import", "acme", file("column.csv", "customer,halo_client_id\n"+mex(0)+",101\n")}, 8, []string{"column.csv:1", "mex_id"}},
		{"rows that are wrong, all named", []string{"mappings", "import", "acme", file("rows.csv", "mex_id,halo_client_id,halo_client_name\n"+mex(0)+",4711,\n"+mex(0)+",101,\n"+mex(4)+",,Twin\n")}, 8,
			[]string{"2 rows are wrong", "rows.csv:2", "Halo has no customer 4711", "rows.csv:4", "2 active customers", "give the id"}},
		{"a customer twice", []string{"mappings", "import", "acme", file("twice.csv", "mex_id,halo_client_id\n"+mex(0)+",101\n"+strings.ToLower(mex(0))+",102\n")}, 8, []string{"twice.csv:3", "stands in line 2 already"}},
		{"a customer that Giacom does not have", []string{"mappings", "import", "acme", file("nobody.csv", "mex_id,halo_client_id\nMEX-NOBODY,101\n"), "--dry-run"}, 0, []string{"misspelt: MEX-NOBODY"}},
		{"a file that is not there", []string{"mappings", "import", "acme", filepath.Join(dir, "nowhere.csv")}, 2, []string{"nowhere.csv"}},

		{"a Halo customer that was deleted", []string{"mappings", "set", "acme", mex(0), "4711"}, 4, []string{"Halo has no customer 4711", "→"}},
		{"a Giacom customer that is not there", []string{"mappings", "set", "acme", "MEX-NOBODY", fmt.Sprint(client(0))}, 3, []string{"MEX-NOBODY", "mappings list"}},
		{"no reason", []string{"mappings", "ignore", "acme", mex(6)}, 2, []string{"--reason"}},
		{"an import while nothing may be written", []string{"customers", "import", "acme"}, 4, []string{"observes", "mode"}},
		{"a subscription that is not there", []string{"subscriptions", "exclude", "acme", "giacom/nothing", "--reason", "why not"}, 3, []string{"giacom/nothing"}},
		{"a licence that is not there", []string{"licences", "adopt", "acme", "giacom/nothing", "514"}, 3, []string{"giacom/nothing"}},
		{"not said which licence", []string{"licences", "adopt", "acme", "giacom/nothing"}, 2, []string{"licences get"}},
		{"a rule that does not exist", []string{"rules", "set", "acme", "-f", file("rules.yaml", "- {cost_plus: 20}\n")}, 2, []string{"rules.yaml:1", "cost_plus"}},
		{"a price that is none", []string{"rules", "set", "acme", "-f", file("cheap.yaml", "- {fixed: cheap}\n")}, 2, []string{"cheap"}},
		{"an answer that is none of the choices", []string{"connections", "leave-observe", "acme", "--pro-rata", "9"}, 2, []string{"billing.pro_rata", "none of 0"}},
		{"an order that does not exist", []string{"margins", "acme", "--order-by", "profit"}, 2, []string{"profit", "margin"}},
		{"no such run", []string{"runs", "release", "nothing", "--reason", "why not"}, 3, []string{"nothing"}},
		{"a time that is none", []string{"integrator", "set", "acme", "--every", "soon"}, 2, []string{"--every"}},
		{"too often", []string{"integrator", "set", "acme", "--enable", "--every", "1s"}, 2, []string{"schedule.interval"}},
		{"no such entity", []string{"integrator", "set", "acme", "--entities", "invoices"}, 2, []string{"customers", "subscriptions"}},
		{"a method that does not exist", []string{"connections", "method", "acme", "subscriptionsmanagement"}, 2, []string{"subscriptions", "report", "both"}},
		{"no token", []string{"mappings", "list", "acme", "--token", "of-nobody"}, 5, []string{"token"}},
		{"a service that is down", []string{"mappings", "list", "acme", "--mapper-addr", "127.0.0.1:1"}, 6, []string{"no answer from mapper at 127.0.0.1:1"}},
	} {
		out, code, err := s.w.Command(s.ctx, x.args...)
		s.must(err)
		if code != x.code {
			t.Errorf("%s: seatline %s: exit %d, want %d:\n%s", x.what, strings.Join(x.args, " "), code, x.code, out)
			continue
		}
		for _, w := range x.words {
			if !strings.Contains(out, w) {
				t.Errorf("%s: %q is not said in:\n%s", x.what, w, out)
			}
		}
		for _, hidden := range []string{"a-wrong-key", "sim-secret", "sim-key"} {
			if strings.Contains(out, hidden) {
				t.Errorf("%s: %s is shown in:\n%s", x.what, hidden, out)
			}
		}
	}

	// A Halo customer goes away after it was listed: it is asked about when somebody maps to it.
	s.must(s.w.Halo.EditClient(client(0), func(c *halosim.Client) { c.Inactive = true }))
	s.says(s.command(4, "mappings", "set", "acme", mex(0), fmt.Sprint(client(0))), "is inactive", "activate it in Halo, or choose another")

	// Two operators: the second is told who was first and what holds now, and nobody's change is lost.
	var read struct{ Etag string }
	s.must(json.Unmarshal([]byte(s.command(0, "mappings", "get", "acme", mex(1), "-o", "json")), &read))
	s.command(0, "mappings", "set", "acme", mex(1), fmt.Sprint(client(1)), "--etag", read.Etag)
	s.says(s.command(4, "mappings", "ignore", "acme", mex(1), "--reason", "theirs", "--etag", read.Etag), "changed by operator", "it is mapped to customer "+fmt.Sprint(client(1)), "decide again")
	s.says(s.command(0, "mappings", "get", "acme", mex(1)), fmt.Sprint(client(1)))
	mine := file("mine.yaml", strings.Replace(s.command(0, "connections", "get", "acme"), "displayName: Story", "displayName: Mine", 1))
	s.command(0, "integrator", "set", "acme", "--deactivate-removed=false")
	s.says(s.command(4, "connections", "apply", "-f", mine), "acme", "operator", "→")
	s.says(s.command(0, "connections", "get", "acme"), "Story")

	// Giacom takes the key away: the run says so.
	s.w.Giacom.RevokeKey()
	s.says(s.command(8, "runs", "start", "acme", "--watch"), "failed", "key")

	s.must(s.w.Halo.EditClient(client(0), func(c *halosim.Client) { c.Inactive = false }))
	for _, d := range oracle.Compare(before, s.w.Halo.State()) {
		t.Errorf("Halo was changed: %s", d)
	}
}
