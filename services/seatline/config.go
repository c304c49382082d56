package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"seatline.dev/pkg/telemetry"
	"seatline.dev/services/console"
)

// configCommand prints what is in force as a file that --config reads.
type configCommand struct {
	Output string `short:"o" enum:"yaml,json" default:"yaml" help:"How to print: ${enum}."`
	settings
	upSettings
}

// value is a setting as it is in force.
type value struct {
	Name   string `json:"name"`
	Value  any    `json:"value"`
	Source string `json:"source"`
	Help   string `json:"help"`
	Envs   []string
}

func (c configCommand) Run(k *kong.Kong, ctx *kong.Context, f *file) error {
	values := inForce(ctx, f)
	if c.Output == "json" {
		content, err := json.MarshalIndent(values, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(k.Stdout, "%s\n", content)
		return err
	}
	_, err := k.Stdout.Write(document(values))
	return err
}

// inForce lists the settings of the command at hand in the order of their declaration.
func inForce(ctx *kong.Context, f *file) []value {
	given := map[string]bool{}
	for _, p := range ctx.Path {
		if p.Flag != nil && !p.Resolved {
			given[p.Flag.Name] = true
		}
	}
	var values []value
	for _, flag := range ctx.Selected().Flags {
		if flag.Name == "help" || flag.Name == "output" {
			continue
		}
		v := value{Name: flag.Name, Value: plain(flag.Target), Help: flag.Help, Envs: flag.Envs}
		_, inFile := f.values[flag.Name]
		switch env := fromEnvironment(flag); {
		case given[flag.Name]:
			v.Source = "command line"
		case env != "":
			v.Source = "environment " + env
		case inFile:
			v.Source = "file " + f.path
		default:
			v.Source = "default"
		}
		values = append(values, v)
	}
	return values
}

// plain is a flag's value for printing. Secrets print themselves redacted.
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case telemetry.Secret:
		return x.String()
	case fmt.Stringer:
		return x.String()
	case []string: // as a flag takes them
		return strings.Join(x, ",")
	default:
		return x
	}
}

// document is YAML with what each setting means.
func document(values []value) []byte {
	var out bytes.Buffer
	for i, v := range values {
		if i > 0 {
			out.WriteByte('\n')
		}
		for _, line := range wrap(v.Help, 100) {
			fmt.Fprintf(&out, "# %s\n", line)
		}
		fmt.Fprintf(&out, "# From: %s. Variable: %s.\n", v.Source, strings.Join(v.Envs, " or "))
		text, err := yaml.Marshal(map[string]any{v.Name: v.Value})
		if err != nil { // scalars only
			text = fmt.Appendf(nil, "%s: %q\n", v.Name, fmt.Sprint(v.Value))
		}
		out.Write(text)
	}
	return out.Bytes()
}

// wrap breaks text into lines of at most width bytes where it can.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// keysetCommand makes and rotates what seals secrets at rest.
type keysetCommand struct {
	Path   string `arg:"" type:"path" help:"File to make. Keep a copy apart from the database's backup: who loses it must enter all secrets again."`
	Rotate bool   `xor:"what" help:"Add a new key, which seals from now on; older keys still open. Then run 'seatline connections reseal'."`
	Retire bool   `xor:"what" help:"Drop every key but the one that seals. Only after 'seatline connections reseal' says that no secret needs an older one."`
}

func (c keysetCommand) Run(k *kong.Kong) error {
	switch {
	case c.Rotate:
		if err := console.RotateKeyset(c.Path); err != nil {
			return err
		}
		_, err := fmt.Fprintf(k.Stdout, "%s has a new key. Seal all secrets with it: seatline connections reseal\n", c.Path)
		return err
	case c.Retire:
		n, err := console.RetireKeys(c.Path)
		if err == nil {
			_, err = fmt.Fprintf(k.Stdout, "%s lost %d older keys. Keep the old file with the backups of the database that it opens.\n", c.Path, n)
		}
		return err
	}
	if err := console.EnsureKeyset(c.Path); err != nil {
		return err
	}
	_, err := fmt.Fprintf(k.Stdout, "%s is there. Give it to the console as SEATLINE_KEYSET_FILE.\n", c.Path)
	return err
}
