package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// file is the YAML file with values of flags, by their names:
//
//	nats-url: nats://nats:4222
//	grpc-addr: ":7704"
//
// A flag on the command line wins over the environment, the environment over the file, the file
// over the default. It is a kong.Resolver.
type file struct {
	path   string // empty when there is none
	values map[string]any
}

// readFile finds the file's name before the command line is parsed, because parsing needs its content.
func readFile(args []string, env func(string) (string, bool)) (*file, error) {
	path, _ := env("SEATLINE_CONFIG")
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			path = value
		}
		if arg == "--config" && i+1 < len(args) {
			path = args[i+1]
		}
		if arg == "--" {
			break
		}
	}
	f := &file{path: path}
	if path == "" {
		return f, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	if err := yaml.Unmarshal(content, &f.values); err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", path, err)
	}
	return f, nil
}

// Validate refuses keys that no flag has: a typing error must not silently leave a default in force.
func (f *file) Validate(app *kong.Application) error {
	known := map[string]bool{}
	for _, node := range append([]*kong.Node{app.Node}, app.Leaves(false)...) {
		for _, group := range node.AllFlags(false) {
			for _, flag := range group {
				known[flag.Name] = true
			}
		}
	}
	var unknown []string
	for key := range f.values {
		if !known[key] {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("configuration file %s: no flag is called %s; `seatline config` prints the names", f.path, strings.Join(unknown, ", "))
}

// Resolve is asked for flags that are not on the command line.
func (f *file) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	value, ok := f.values[flag.Name]
	if !ok || fromEnvironment(flag) != "" {
		return nil, nil
	}
	switch value := value.(type) {
	case map[string]any, []any:
		return nil, fmt.Errorf("configuration file %s: %s must be a single value", f.path, flag.Name)
	case bool:
		return value, nil
	default:
		return fmt.Sprint(value), nil
	}
}

// fromEnvironment is the name of the variable that sets the flag, if one does.
func fromEnvironment(flag *kong.Flag) string {
	for _, name := range flag.Envs {
		if value, ok := os.LookupEnv(name); ok && value != "" {
			return name
		}
	}
	return ""
}
