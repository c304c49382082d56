package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"seatline.dev/services/seatline/ctl"
)

// Command runs the operator's command line against the world, and gives what it printed and its exit code.
func (w *World) Command(ctx context.Context, args ...string) (out string, code int, err error) {
	w.mu.Lock()
	services := maps.Clone(w.addrs)
	w.mu.Unlock()
	dir := filepath.Join(w.Dir, "operator-"+token())
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", 0, err
	}
	if err := ctl.WriteEndpoints(dir, ctl.Endpoints{Services: services, Token: operatorToken, NATS: w.natsURL}); err != nil {
		return "", 0, err
	}
	cmd := exec.CommandContext(ctx, w.Binary, args...)
	cmd.Env = append(append(cmd.Environ(), w.Env...), "SEATLINE_DATA_DIR="+dir)
	var printed, complaints strings.Builder
	cmd.Stdout, cmd.Stderr = &printed, &complaints
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return printed.String() + complaints.String(), exit.ExitCode(), nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("seatline %s: %w", strings.Join(args, " "), err)
	}
	return printed.String(), 0, nil
}
