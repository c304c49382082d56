//go:build unix

package private

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// oldest major version that Seatline runs on.
const oldest = 14

// places where distributions and package managers put the server's binaries.
var places = []string{
	"/usr/lib/postgresql/*/bin", "/usr/lib/postgresql*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/usr/local/pgsql/bin",
	"/usr/local/opt/postgresql*/bin", "/opt/homebrew/opt/postgresql*/bin", "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin", "/Library/PostgreSQL/*/bin", "/opt/local/lib/postgresql*/bin",
	"/run/current-system/sw/bin", "/nix/var/nix/profiles/default/bin", "/snap/postgresql/current/usr/lib/postgresql/*/bin",
}

// binaries of a server.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(name string) string { return filepath.Join(b.dir, name) }

// installed lists every directory that may hold a server, whether it does or not.
func installed() []string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	patterns := places
	if home, err := os.UserHomeDir(); err == nil {
		patterns = append(patterns[:len(patterns):len(patterns)], filepath.Join(home, ".nix-profile/bin"), filepath.Join(home, ".asdf/installs/postgres/*/bin"))
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil { // only a pattern that is malformed can do that
			continue
		}
		dirs = append(dirs, found...)
	}
	return dirs
}

// find returns the server to use for data written by version want; 0 means new data and the newest
// server. It fetches one when none is installed.
func find(ctx context.Context, log *slog.Logger, dirs []string, want int, as user) (binaries, error) {
	best, unfit := choose(ctx, dirs, want, as)
	if best.dir != "" {
		return best, nil
	}
	if want != 0 && want != fetchedMajor {
		return binaries{}, fmt.Errorf("the database here was made by PostgreSQL %d, of which no server is installed%s: install that version, or begin anew in another data directory, or set DATABASE_URL", want, unfit)
	}
	best, err := fetch(ctx, log, as)
	if err != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL server of version %d or later is installed%s and none could be fetched (%w): "+
			"install it (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; Alpine: apk add postgresql; macOS: brew install postgresql), or set DATABASE_URL", oldest, unfit, err)
	}
	return best, nil
}

// choose picks the newest that fits; unfit says, for the error, what else there was.
func choose(ctx context.Context, dirs []string, want int, as user) (best binaries, unfit string) {
	tried := map[string]bool{}
	var others []string
	for _, dir := range dirs {
		// Debian links some programs into the PATH; the rest of them lie where the link leads.
		if path, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb")); err == nil {
			dir = filepath.Dir(path)
		}
		if tried[dir] {
			continue
		}
		tried[dir] = true
		switch major := version(ctx, dir, as); {
		case major == 0:
		case major < oldest || (want != 0 && major != want):
			others = append(others, fmt.Sprintf("%d in %s", major, dir))
		case major > best.major:
			best = binaries{dir, major}
		}
	}
	if len(others) > 0 {
		unfit = " (found version " + strings.Join(others, ", ") + ")"
	}
	return best, unfit
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// version of the server in dir; 0 when there is none that the user can run.
func version(ctx context.Context, dir string, as user) int {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return 0
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Dir = "/"
	as.become(cmd)
	out, err := cmd.Output()
	if err != nil {
		return 0
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return 0
	}
	v, _ := strconv.Atoi(string(m[1])) // digits, by the pattern
	return v
}
