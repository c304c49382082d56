package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/postgres/postgrestest"
)

func set(name string, files ...string) postgres.Migrations {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return postgres.Migrations{Name: name, FS: m}
}

func TestMigrationsRunOnceInNameOrderAndTogetherFromManyReplicas(t *testing.T) {
	pool := postgrestest.New(t)
	first := set("a", "002.sql", `insert into log values ('a2'); insert into log values ('a2, second statement')`, "001.sql", `create table log (line text)`)
	second := set("b", "001.sql", `insert into log values ('b1')`)
	var replicas sync.WaitGroup
	for range 4 {
		replicas.Go(func() {
			if err := postgres.Migrate(t.Context(), pool, first, second); err != nil {
				t.Error(err)
			}
		})
	}
	replicas.Wait()
	rows, err := pool.Query(t.Context(), `select line from log`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a2", "a2, second statement", "b1"}, got); diff != "" {
		t.Errorf("what ran (-want +got):\n%s", diff)
	}
}

func TestAMigrationThatFailsLeavesNothingAndNamesItself(t *testing.T) {
	pool := postgrestest.New(t)
	err := postgres.Migrate(t.Context(), pool, set("bad", "001.sql", `create table half (x int); select broken`))
	if err == nil || !strings.Contains(err.Error(), "migration bad/001.sql") {
		t.Errorf("error: %v", err)
	}
	var there bool
	if err := pool.QueryRow(t.Context(), `select to_regclass('half') is not null`).Scan(&there); err != nil || there {
		t.Errorf("half of it is there: %v (%v)", there, err)
	}
	// The lock was given back: the mended one runs.
	if err := postgres.Migrate(t.Context(), pool, set("bad", "001.sql", `create table half (x int)`)); err != nil {
		t.Error(err)
	}
}

func TestSchemasDoNotSeeEachOther(t *testing.T) {
	url := postgrestest.URL(t)
	one, two := postgrestest.Open(t, url, "Odd name"), postgrestest.Open(t, url, "other-name")
	if _, err := one.Exec(t.Context(), `create table mine (x int)`); err != nil {
		t.Fatal(err)
	}
	var schema string
	if err := one.QueryRow(t.Context(), `select current_schema()`).Scan(&schema); err != nil || schema != "Odd name" {
		t.Errorf("current schema %q (%v)", schema, err)
	}
	if _, err := two.Exec(t.Context(), `select * from mine`); err == nil {
		t.Error("another schema sees the table")
	}
}

func TestAnAddressThatCannotBeReadDoesNotShowItsPassword(t *testing.T) {
	_, err := postgres.Open(t.Context(), "postgres://me:hunter2@host:notaport/db", "s")
	if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("error: %v", err)
	}
}

func TestADeadlockIsRunAgain(t *testing.T) {
	pool := postgrestest.New(t, set("t", "001.sql", `create table n (id int primary key, v int); insert into n values (1, 0), (2, 0)`))
	var met sync.WaitGroup
	met.Add(2)
	move := func(first, second int) error {
		attempt := 0
		return postgres.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			attempt++
			if _, err := tx.Exec(t.Context(), `update n set v = v + 1 where id = $1`, first); err != nil {
				return err
			}
			if attempt == 1 {
				met.Done()
				met.Wait()
			}
			_, err := tx.Exec(t.Context(), `update n set v = v + 1 where id = $1`, second)
			return err
		})
	}
	var both sync.WaitGroup
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		both.Go(func() {
			if err := move(order[0], order[1]); err != nil {
				t.Errorf("%v: %v", order, err)
			}
		})
	}
	both.Wait()
	var sum int
	if err := pool.QueryRow(t.Context(), `select sum(v) from n`).Scan(&sum); err != nil || sum != 4 {
		t.Errorf("sum %d (%v), want 4", sum, err)
	}
}

func TestATransactionIsTriedFiveTimesAndOtherErrorsOnce(t *testing.T) {
	pool := postgrestest.New(t)
	for _, c := range []struct {
		err  error
		want int
	}{
		{&pgconn.PgError{Code: "40001"}, 5}, {&pgconn.PgError{Code: "40P01"}, 5},
		{&pgconn.PgError{Code: "23505"}, 1}, {errors.New("mine"), 1},
	} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			tries := 0
			err := postgres.InTx(context.Background(), pool, func(pgx.Tx) error { tries++; return fmt.Errorf("wrapped: %w", c.err) })
			if !errors.Is(err, c.err) || tries != c.want {
				t.Errorf("%d tries, error %v; want %d", tries, err, c.want)
			}
		})
	}
}
