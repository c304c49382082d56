//go:build unix

// Package child starts processes that do not outlive this one.
package child

import (
	"os/exec"
	"runtime"
	"syscall"
)

// Start starts cmd in a process group of its own, where a Ctrl-C at the terminal does not reach it. ended gets what
// cmd.Wait returns. On Linux the kernel sends last to it when this process ends, in whatever way; elsewhere it lives on
// when this process is killed.
func Start(cmd *exec.Cmd, last syscall.Signal) (ended chan error, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr, last)
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// Linux takes the end of the thread that forked for the parent's: it has to live as long as cmd does.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	return ended, <-started
}
