package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"seatline.dev/pkg/rpc"
	"seatline.dev/services/seatline/ctl"
)

// dataDir is a directory that belongs to this process for as long as it holds the lock in it.
type dataDir struct {
	path string
	lock *os.File
}

var errLocked = errors.New("another seatline up is running there")

// openData locks path, or when it is empty the default directory or the next free one beside it.
// skipped is the directory that was not free, empty if it was.
func openData(path string) (dir *dataDir, skipped string, err error) {
	if path != "" {
		dir, err = lockData(path)
		if errors.Is(err, errLocked) {
			err = &rpc.Exit{Code: rpc.ExitRefused, Err: fmt.Errorf("data directory %s: %w: stop it, or choose another --data", path, err)}
		}
		return dir, "", err
	}
	for n := 1; n <= 100; n++ {
		path = ctl.DefaultDataDir
		if n > 1 {
			path = fmt.Sprintf("%s-%d", ctl.DefaultDataDir, n)
			skipped = ctl.DefaultDataDir
		}
		dir, err = lockData(path)
		if !errors.Is(err, errLocked) {
			return dir, skipped, err
		}
	}
	return nil, skipped, fmt.Errorf("data directory: %w, and in the hundred after it too: choose one with --data", err)
}

func lockData(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o711); err != nil { // 0711: the user that the database runs as must get through
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	return &dataDir{path, f}, nil
}

// sub is the path of something in the directory.
func (d *dataDir) sub(name string) string { return filepath.Join(d.path, name) }

// close gives the directory up; the kernel would too.
func (d *dataDir) close() { d.lock.Close() }

// isDefault tells whether operator commands find the directory without being told.
func (d *dataDir) isDefault() bool { return d.path == ctl.DefaultDataDir }
