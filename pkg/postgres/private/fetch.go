//go:build unix

package private

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const (
	fetchedVersion = embeddedpostgres.V17
	fetchedMajor   = 17
)

// fetch downloads binaries once into a cache. The library would also run them, but not as root, nor
// so that they end with us; we only let it unpack, and take what it left.
func fetch(ctx context.Context, log *slog.Logger, as user) (binaries, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	if as.other {
		cache = "/var/cache" // root's own cache cannot be entered by the server's user
	}
	dir := filepath.Join(cache, "seatline", fmt.Sprintf("postgresql-%d", fetchedMajor))
	bin := binaries{filepath.Join(dir, "bin"), fetchedMajor}
	if version(ctx, bin.dir, as) == fetchedMajor {
		return bin, nil
	}
	log.Info("fetching PostgreSQL, once", "into", dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return binaries{}, err
	}
	// Unpacked aside and moved into place whole: two processes may fetch at the same time, and either may die.
	aside, err := os.MkdirTemp(filepath.Dir(dir), "unpack-")
	if err != nil {
		return binaries{}, err
	}
	defer os.RemoveAll(aside)
	if err := os.Chmod(aside, 0o755); err != nil {
		return binaries{}, err
	}
	port, err := freePort()
	if err != nil {
		return binaries{}, err
	}
	unpacked := filepath.Join(aside, "server")
	db := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().Version(fetchedVersion).Port(uint32(port)).
		BinariesPath(unpacked).CachePath(aside).RuntimePath(filepath.Join(aside, "runtime")).Logger(io.Discard))
	startErr := db.Start()
	if startErr == nil {
		startErr = db.Stop()
	}
	// Whether the library could start it does not matter, if it was unpacked.
	if version(ctx, filepath.Join(unpacked, "bin"), as) != fetchedMajor {
		if startErr == nil {
			startErr = errors.New("what was unpacked does not run")
		}
		return binaries{}, startErr
	}
	if err := os.RemoveAll(dir); err != nil {
		return binaries{}, err
	}
	if err := os.Rename(unpacked, dir); err != nil && version(ctx, bin.dir, as) != fetchedMajor {
		return binaries{}, err
	}
	return bin, nil
}
