package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"seatline.dev/pkg/rpc"
)

func TestTheDefaultDataDirectoryGivesWayToTheNextFreeOne(t *testing.T) {
	t.Chdir(t.TempDir())
	first, skipped, err := openData("")
	if err != nil || skipped != "" || first.path != ".seatline" {
		t.Fatalf("first: %+v, skipped %q (%v)", first, skipped, err)
	}
	second, skipped, err := openData("")
	if err != nil || skipped != ".seatline" || second.path != ".seatline-2" {
		t.Fatalf("second: %+v, skipped %q (%v)", second, skipped, err)
	}
	first.close()
	again, skipped, err := openData("")
	if err != nil || skipped != "" || again.path != ".seatline" {
		t.Errorf("after the first ended: %+v, skipped %q (%v)", again, skipped, err)
	}
	second.close()
	again.close()
}

func TestADataDirectoryThatWasAskedForIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	first, _, err := openData(path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.close()
	_, _, err = openData(path)
	if !errors.Is(err, errLocked) || rpc.ExitCode(err) != rpc.ExitRefused || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, exit code %d", err, rpc.ExitCode(err))
	}
}
