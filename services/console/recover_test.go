package console

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event/eventtest"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/servicetest"
)

// A console whose database is an older dump takes back from the bus what people decided since. Only of secrets it knows no
// more than the dump: it says which to enter again, and no version of one ever comes twice.
func TestAnOlderDumpDoesNotUndoWhatPeopleDecided(t *testing.T) {
	env := servicetest.Env(t)
	sealer := newSealer(t, filepath.Join(t.TempDir(), "keyset"))
	run := func() (connectionv1.ConnectionServiceClient, func()) {
		conn, stop := servicetest.Start(t, env, func(ctx context.Context, env chassis.Env) error { return Run(ctx, Config{Env: env, Sealer: sealer}) })
		return connectionv1.NewConnectionServiceClient(conn), stop
	}
	must := func(c *connectionv1.Connection, err error) *connectionv1.Connection {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	sql := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := env.Pool.Exec(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	tables := []string{"connections", "secrets", "edits", "history", "streams"}

	console, stop := run()
	made := must(console.ApplyConnection(t.Context(), acme("acme")))
	must(console.ApplyConnection(t.Context(), acme("gone")))
	stop()
	for _, table := range tables {
		sql("create table dump_" + table + " as table " + table)
	}

	console, stop = run()
	change := edit(made, func(c *connectionv1.Connection) { c.DisplayName, c.Enabled = "Stopped", false })
	change.HaloClientSecret = "canary-halo-secret-0003"
	changed := must(console.ApplyConnection(t.Context(), change))
	if _, err := console.DeleteConnection(t.Context(), slug("gone")); err != nil {
		t.Fatal(err)
	}
	takes := acme("late")
	takes.Connection.Giacom.Account = "gone-account" // free since that one was deleted
	must(console.ApplyConnection(t.Context(), takes))
	onBus := func() (revisions map[string]int64) {
		revisions = map[string]int64{}
		for _, e := range eventtest.State(t, env.Bus, "connection") {
			revisions[e.Key] = e.Revision
		}
		return revisions
	}
	eventtest.Eventually(t, "all is on the bus", func() bool {
		var sent bool
		err := env.Pool.QueryRow(t.Context(), `select not exists (select from outbox)`).Scan(&sent)
		return err == nil && sent && len(onBus()) == 3
	})
	before := onBus()
	stop()
	sql("truncate connections, secrets, edits, history, streams")
	for _, table := range tables {
		columns := "*"
		if table == "edits" { // its ids are the database's
			columns, table = "slug, what, who, time, fields, reason", "edits (slug, what, who, time, fields, reason)"
		}
		sql("insert into " + table + " select " + columns + " from dump_" + strings.Fields(table)[0])
	}

	console, stop = run()
	got := must(console.GetConnection(t.Context(), slug("acme")))
	if got.GetDisplayName() != "Stopped" || got.GetEnabled() || got.GetUpdatedBy() != changed.GetUpdatedBy() {
		t.Errorf("acme is as in the dump: %v", got)
	}
	if c := must(console.GetConnection(t.Context(), slug("gone"))); !c.GetDeleted() {
		t.Errorf("a deleted connection is back: %v", c)
	}
	must(console.GetConnection(t.Context(), slug("late")))
	eventtest.Eventually(t, "others hear of it as the newest", func() bool {
		now := onBus()
		return now["acme"] > before["acme"] && now["gone"] > before["gone"] && now["late"] > before["late"]
	})
	edits, err := console.ListConnectionChanges(t.Context(), &connectionv1.ListConnectionChangesRequest{Filter: `connection = "acme" AND what = "recovered"`})
	if err != nil || len(edits.GetChanges()) != 1 || !strings.Contains(edits.GetChanges()[0].GetReason(), "halo_client_secret was changed after the dump: enter it again") {
		t.Errorf("nobody is told of the secret: %v, %v", edits, err)
	}
	again := edit(got, func(*connectionv1.Connection) {})
	again.HaloClientSecret = "canary-halo-secret-0003"
	if c := must(console.ApplyConnection(t.Context(), again)); c.GetHalo().GetClientSecret().GetVersion() <= changed.GetHalo().GetClientSecret().GetVersion() || c.GetHalo().GetClientSecret().GetLastFour() != "0003" {
		t.Errorf("the secret that was entered again is %v, after %v", c.GetHalo().GetClientSecret(), changed.GetHalo().GetClientSecret())
	}
	settled := onBus()
	stop()
	_, stop = run() // nothing is taken back twice
	defer stop()
	for key, revision := range onBus() {
		if key != "acme" && revision != settled[key] {
			t.Errorf("%s was sent again", key)
		}
	}
}
