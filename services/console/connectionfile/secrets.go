package connectionfile

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"seatline.dev/pkg/telemetry"
)

// Secrets finds what env:NAME and file:PATH refer to.
type Secrets struct {
	Env  func(name string) (string, bool)
	File func(path string) ([]byte, error)
}

// FromSystem reads the environment and the files of this process.
func FromSystem() Secrets { return Secrets{Env: os.LookupEnv, File: os.ReadFile} }

// Resolve never repeats a reference that it does not understand: it may be the secret itself.
func (s Secrets) Resolve(reference string) (telemetry.Secret, error) {
	kind, name, _ := strings.Cut(strings.TrimSpace(reference), ":")
	value := ""
	switch {
	case kind == "env" && name != "":
		v, ok := s.Env(name)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		value = v
	case kind == "file" && name != "":
		content, err := s.File(name)
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		value = string(content)
	default:
		return "", errors.New("secrets do not stand in this file: put it into an environment variable and write env:NAME, or into a file and write file:/path. If it was a secret that stood here, consider it known and make a new one")
	}
	if value = strings.TrimSpace(value); value == "" {
		return "", fmt.Errorf("%s %s is empty", map[string]string{"env": "the environment variable", "file": "the file"}[kind], name)
	}
	return telemetry.Secret(value), nil
}
