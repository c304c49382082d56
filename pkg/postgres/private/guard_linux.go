package private

import (
	"os/exec"
	"runtime"
	"syscall"
)

// attributes make the server end when we do, even when we are killed before its guard stands.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Setpgid: true}
}

// startGuarded starts cmd on a thread that lives as long as it does: the kernel sends the parent
// death signal when the thread that forked ends, not the process.
func startGuarded(cmd *exec.Cmd, done chan<- error) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
	}()
	return <-started
}
