//go:build unix

package private

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// user is whom the server runs as; the zero value is whoever we are.
type user struct {
	uid, gid uint32
	other    bool
}

// unprivileged picks the server's user: ourselves, or when we are root, postgres or nobody.
func unprivileged() (user, error) {
	if os.Geteuid() != 0 {
		return user{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return user{uint32(uid), uint32(gid), true}, nil
		}
	}
	return user{}, fmt.Errorf("PostgreSQL refuses to run as root, and this machine has no user postgres or nobody: add one, or run as an ordinary user, or set DATABASE_URL")
}

// place makes the directory of the server and gives it to its user.
func (u user) place(cfg Config) (string, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if !u.other {
		return dir, nil
	}
	closed, err := u.closed(dir)
	if err != nil {
		return "", err
	}
	if closed != "" {
		// Root's home and the like. The stand-in follows from the name, so that the data is found again.
		base := "/var/lib/seatline"
		if !cfg.Durable {
			base = os.TempDir()
		}
		standIn := filepath.Join(base, fmt.Sprintf("postgres-%x", sha256.Sum256([]byte(dir)))[:len("postgres-")+12])
		cfg.Log.Info("the database lies elsewhere, because PostgreSQL does not run as root and its user cannot enter the data directory",
			"database", standIn, "closed", closed)
		dir = standIn
		if err := os.MkdirAll(base, 0o755); err != nil {
			return "", err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
		if closed, err = u.closed(dir); err != nil {
			return "", err
		}
		if closed != "" {
			return "", fmt.Errorf("%s cannot be entered by the user that the server runs as (uid %d): choose another data directory, or set DATABASE_URL", closed, u.uid)
		}
	}
	return dir, os.Chown(dir, int(u.uid), int(u.gid))
}

// closed returns the first directory above dir that the user cannot enter, or nothing.
func (u user) closed(dir string) (string, error) {
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return "", err
		}
		st, known := info.Sys().(*syscall.Stat_t)
		if info.Mode().Perm()&0o001 == 0 && (!known || st.Uid != u.uid) {
			return parent, nil
		}
		if parent == filepath.Dir(parent) {
			return "", nil
		}
	}
}

func (u user) chown(path string) error {
	if !u.other {
		return nil
	}
	return os.Chown(path, int(u.uid), int(u.gid))
}

func (u user) become(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if u.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: u.uid, Gid: u.gid}
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func random() string { return rand.Text() }
