package main

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/telemetry"
)

func TestADemonstrationHasADatabaseOfItsOwnForItsTime(t *testing.T) {
	server := telemetry.Secret(postgrestest.URL(t))
	own, drop, err := ownDatabase(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	name := ask(t, own, `select current_database()`)
	if !strings.HasPrefix(name, "seatline_demo_") {
		t.Errorf("the database is called %q", name)
	}
	drop()
	if n := ask(t, server, `select count(*)::text from pg_database where datname = '`+name+`'`); n != "0" {
		t.Errorf("%s is still there", name)
	}
}

func ask(t *testing.T, url telemetry.Secret, sql string) (answer string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestWithDatabase(t *testing.T) {
	for in, want := range map[telemetry.Secret]string{
		"postgres://me:pw@db:5433/mine?sslmode=disable": "postgres://me:pw@db:5433/other?sslmode=disable",
		"postgresql://db?dbname=mine&user=me":           "postgresql://db/other?user=me",
		"host=db user=me dbname=mine":                   "host=db user=me dbname=mine dbname=other",
	} {
		got := withDatabase(in, "other")
		if got.Reveal() != want {
			t.Errorf("%s became %s, want %s", in.Reveal(), got.Reveal(), want)
		}
		cfg, err := pgx.ParseConfig(got.Reveal())
		if err != nil || cfg.Database != "other" || cfg.Host != "db" {
			t.Errorf("%s leads to %q on %q (%v)", got.Reveal(), cfg.Database, cfg.Host, err)
		}
	}
}
