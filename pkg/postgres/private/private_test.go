//go:build unix

package private

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestMain doubles as a program that starts a server, says where, and waits to be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SEATLINE_TEST_PARENT"); dir != "" {
		s, err := Start(context.Background(), Config{Dir: dir, Temporary: os.Getenv("SEATLINE_TEST_TEMPORARY") != ""})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(s.URL())
		select {}
	}
	os.Exit(m.Run())
}

// open is a directory that the server's user can reach, even when we are root.
func open(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "seatline-private-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func query(t *testing.T, url, sql string) (text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return text
}

func TestDataOutlivesAStopAndTwoServersRunSideBySide(t *testing.T) {
	cfg := Config{Dir: open(t)}
	first, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Stop()
	other, err := Start(t.Context(), Config{Dir: open(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Stop()
	conn, err := pgx.Connect(t.Context(), first.URL())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `create table kept as select 'here'::text as word`); err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
	if got := query(t, other.URL(), `select coalesce(to_regclass('kept')::text, 'absent')`); got != "absent" {
		t.Error("the two servers share data")
	}
	first.Stop()
	first.Stop() // again does no harm

	again, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Stop()
	if got := query(t, again.URL(), `select word from kept`); got != "here" {
		t.Errorf("kept %q", got)
	}
}

func TestTheServerEndsWithAParentThatIsKilled(t *testing.T) {
	for _, temporary := range []string{"", "yes"} {
		t.Run("temporary="+temporary, func(t *testing.T) {
			dir := open(t)
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), "SEATLINE_TEST_PARENT="+dir, "SEATLINE_TEST_TEMPORARY="+temporary)
			out, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "postgres://") {
				t.Fatalf("parent said %q (%v)", line, err)
			}
			url := strings.TrimSpace(line)
			query(t, url, `select version()`)
			if err := parent.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = parent.Wait() // killed, as it should be
			eventually(t, "the server is gone", func() bool {
				conn, err := pgx.Connect(t.Context(), url)
				if err == nil {
					conn.Close(t.Context())
				}
				return err != nil
			})
			if temporary != "" {
				eventually(t, "its directory is gone", func() bool {
					_, err := os.Stat(dir)
					return os.IsNotExist(err)
				})
				return
			}
			again, err := Start(t.Context(), Config{Dir: dir})
			if err != nil {
				t.Fatalf("after the kill: %v", err)
			}
			again.Stop()
		})
	}
}

func TestALockLeftBehindDoesNotMatterUnlessItsServerLives(t *testing.T) {
	dir := open(t)
	first, err := Start(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Stop()

	waiting, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if second, err := Start(waiting, Config{Dir: dir}); err == nil {
		second.Stop()
		t.Error("two servers run on one directory")
	}
	first.Stop()

	// Process numbers come round: the one in the lock is now that of this test.
	lock := filepath.Join(dir, "data", "postmaster.pid")
	if err := os.WriteFile(lock, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Start(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	again.Stop()
}

func TestADirectoryThatTheServersUserCannotReachIsReplaced(t *testing.T) {
	if os.Geteuid() != 0 {
		return // an ordinary user runs the server itself and reaches what is its own
	}
	closed := open(t)
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "deep", "pg")
	first, err := Start(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	standIn := filepath.Dir(query(t, first.URL(), `show data_directory`))
	first.Stop()
	second, err := Start(t.Context(), Config{Dir: dir, Temporary: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := filepath.Dir(query(t, second.URL(), `show data_directory`)); got != standIn {
		t.Errorf("the second time the data is in %s, the first in %s", got, standIn)
	}
	second.Stop()
	if _, err := os.Stat(standIn); !os.IsNotExist(err) {
		t.Errorf("the temporary directory %s is still there (%v)", standIn, err)
	}
}

// fake makes a directory with programs that say they are PostgreSQL of this version.
func fake(t *testing.T, version string) string {
	t.Helper()
	dir := open(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", name, version)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTheNewestServerIsChosenUnlessTheDataIsOfAnother(t *testing.T) {
	as, err := unprivileged()
	if err != nil {
		t.Fatal(err)
	}
	v9, v14, v16, v17 := fake(t, "9.6.24"), fake(t, "14.11 (Debian 14.11-1)"), fake(t, "16.2"), fake(t, "17beta1")
	empty := open(t)
	for _, c := range []struct {
		name string
		dirs []string
		want int
		dir  string
		says string
	}{
		{"newest", []string{empty, v14, v17, v16, v9}, 0, v17, ""},
		{"that of the data", []string{v17, v14, v16}, 14, v14, ""},
		{"none for the data", []string{v17, v16}, 15, "", "found version 17 in " + v17},
		{"too old", []string{v9, empty}, 0, "", "found version 9 in " + v9},
	} {
		t.Run(c.name, func(t *testing.T) {
			best, unfit := choose(t.Context(), c.dirs, c.want, as)
			if best.dir != c.dir {
				t.Errorf("chose %q, want %q", best.dir, c.dir)
			}
			if !strings.Contains(unfit, c.says) {
				t.Errorf("says %q, want it to hold %q", unfit, c.says)
			}
		})
	}
	_, err = find(t.Context(), nil, []string{v17}, 15, as)
	if err == nil || !strings.Contains(err.Error(), "made by PostgreSQL 15") || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("data of a version that is not installed: %v", err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}
