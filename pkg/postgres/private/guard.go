//go:build unix

package private

import (
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
)

// guard is a small process that outlives us if we are killed: it ends the server, and removes its
// directory when that is temporary.
type guard struct {
	hold *os.File // its other end reads as ended when we are gone
	gone chan struct{}
	once sync.Once
}

// watch reads until nobody can write any more. What it read says whether the server was stopped
// already. An ended server may remain as a zombie where nobody reaps orphans, as in many containers,
// so its lock file tells that it has ended, and patience is limited.
const watch = `read word
[ "$word" = stopped ] || kill -QUIT "$1"
n=0
while [ -e "$2/data/postmaster.pid" ] && kill -0 "$1" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
[ "$3" != remove ] || rm -rf -- "$2"`

// newGuard watches over the server with this process number and directory.
func newGuard(pid int, dir string, temporary bool) (*guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	action := "keep"
	if temporary {
		action = "remove"
	}
	cmd := exec.Command("/bin/sh", "-c", watch, "seatline-guard", strconv.Itoa(pid), dir, action)
	cmd.Dir, cmd.Stdin = "/", r
	// A group of its own: neither Ctrl-C nor the end of our group reaches it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, err
	}
	g := &guard{hold: w, gone: make(chan struct{})}
	go func() {
		defer close(g.gone)
		_ = cmd.Wait() // its outcome changes nothing for us
		// Holding on to the pipe until here also keeps it from being collected, and so closed, before.
		g.hold.Close()
	}()
	return g, nil
}

// stop tells the guard that the server has ended, and waits until it has cleaned up.
func (g *guard) stop() {
	if g == nil {
		return
	}
	g.once.Do(func() {
		_, _ = g.hold.WriteString("stopped\n") // if it is gone, there is nothing to tell
		<-g.gone
	})
}
