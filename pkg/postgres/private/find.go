package private

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// oldest major version that Seatline runs on.
const oldest = 14

// places where distributions and package managers put the server's binaries.
var places = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/libexec/postgresql*", "/usr/lib/postgresql*/bin",
	"/usr/local/pgsql/bin", "/usr/local/opt/postgresql*/bin", "/opt/homebrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin", "/run/current-system/sw/bin", "/nix/var/nix/profiles/default/bin",
	"/opt/local/lib/postgresql*/bin", "/snap/postgresql/current/usr/lib/postgresql/*/bin",
}

// Find returns the directory of initdb and postgres: the newest installed, else fetched ones.
func Find(ctx context.Context, log *slog.Logger) (string, error) {
	var dirs []string
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, pattern := range places {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err // a defect of the table above
		}
		dirs = append(dirs, found...)
	}
	best, bestVersion, tooOld := "", 0, ""
	for _, dir := range dirs {
		switch v := version(ctx, dir); {
		case v == 0:
		case v < oldest:
			tooOld = fmt.Sprintf(" (found version %d in %s: too old)", v, dir)
		case v > bestVersion:
			best, bestVersion = dir, v
		}
	}
	if best != "" {
		return best, nil
	}
	dir, err := fetch(log)
	if err != nil {
		return "", fmt.Errorf("no PostgreSQL server of version %d or later is installed%s and none could be fetched (%w): "+
			"install it (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; Alpine: apk add postgresql; macOS: brew install postgresql), or set DATABASE_URL", oldest, tooOld, err)
	}
	return dir, nil
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// version of the server in dir; 0 when there is none that works.
func version(ctx context.Context, dir string) int {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return 0
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
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

// fetch downloads binaries once into the user's cache. The library would also run them, but not as
// root; we only let it unpack, and take what it left.
func fetch(log *slog.Logger) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	if os.Geteuid() == 0 {
		cache = "/var/cache" // root's own cache cannot be entered by the server's user
	}
	dir := filepath.Join(cache, "seatline", "postgresql")
	bin := filepath.Join(dir, "bin")
	if version(context.Background(), bin) >= oldest {
		return bin, nil
	}
	log.Info("fetching PostgreSQL, once", "into", dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	db := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().Version(embeddedpostgres.V17).Port(uint32(port)).
		BinariesPath(dir).CachePath(dir).RuntimePath(filepath.Join(dir, "runtime")).Logger(io.Discard))
	startErr := db.Start()
	if startErr == nil {
		startErr = db.Stop()
	}
	if version(context.Background(), bin) >= oldest {
		return bin, nil // unpacked; whether the library could start it does not matter
	}
	if startErr == nil {
		startErr = errors.New("nothing was unpacked")
	}
	return "", startErr
}
