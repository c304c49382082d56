package ctl

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

const root = "../../.."

type reference struct {
	Ref string `yaml:"$ref"`
}

type asyncAPI struct {
	Channels map[string]struct {
		Address     string
		Description string
		Messages    map[string]reference
	}
	Operations map[string]struct {
		Action  string
		Channel reference
	}
	Components struct {
		Messages map[string]struct {
			Name    string
			Headers reference
			Payload struct {
				Schema reference
			}
			Message string `yaml:"x-protobuf-message"`
		}
		Schemas map[string]struct {
			Required   []string
			Properties map[string]any
		}
	}
}

func readAsyncAPI(t *testing.T) asyncAPI {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "proto/asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var document asyncAPI
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	return document
}

func TestCatalogueHasTheEntitiesSubjectsAndPayloadsOfTheCode(t *testing.T) {
	document := readAsyncAPI(t)
	entities := slices.Sorted(maps.Keys(Payloads()))
	if diff := cmp.Diff(entities, slices.Sorted(maps.Keys(document.Channels))); diff != "" {
		t.Fatalf("entities (-code +document):\n%s", diff)
	}
	used := map[string]bool{}
	for entity, channel := range document.Channels {
		isLog := strings.HasPrefix(channel.Address, "seatline.log.")
		subject := event.Subject(event.Event{Connection: "CONNECTION", Entity: entity, Key: "KEY", Log: isLog})
		want := strings.NewReplacer("CONNECTION", "{connection}", "KEY", "{key}").Replace(subject)
		if channel.Address != want {
			t.Errorf("%s: address %s, the code publishes on %s", entity, channel.Address, want)
		}
		stream := map[bool]string{false: bus.StateStream, true: bus.LogStream}[isLog]
		if !strings.Contains(channel.Description, stream) {
			t.Errorf("%s: the description does not name its stream %s", entity, stream)
		}
		if operation := document.Operations["send-"+entity]; operation.Action != "send" || operation.Channel.Ref != "#/channels/"+entity {
			t.Errorf("%s: no operation sends on it", entity)
		}
		payload := Payloads()[entity].ProtoReflect().Descriptor()
		for name, ref := range channel.Messages {
			used[name] = true
			message, ok := document.Components.Messages[name]
			if !ok || ref.Ref != "#/components/messages/"+name || message.Name != name {
				t.Errorf("%s: message %s leads nowhere", entity, name)
				continue
			}
			if message.Message != string(payload.FullName()) {
				t.Errorf("%s carries %s, the document says %s", name, payload.FullName(), message.Message)
			}
			if message.Payload.Schema.Ref != payload.ParentFile().Path() {
				t.Errorf("%s: payload from %s, the code's is in %s", name, message.Payload.Schema.Ref, payload.ParentFile().Path())
			}
			headers := map[bool]string{false: "#/components/schemas/stateHeaders", true: "#/components/schemas/logHeaders"}[isLog]
			if message.Headers.Ref != headers {
				t.Errorf("%s: headers %s, want %s", name, message.Headers.Ref, headers)
			}
		}
	}
	for name := range document.Components.Messages {
		if !used[name] {
			t.Errorf("message %s is on no channel", name)
		}
	}
}

func TestCatalogueHasTheHeadersOfTheCode(t *testing.T) {
	document := readAsyncAPI(t)
	full := event.Event{
		ID: "id", Type: "seatline.run.started.v1", Entity: "run", Connection: "demo", Key: "k", Revision: 1, Run: "r", Cause: "c", Source: "seatline/fetcher",
		Time: time.Now(), TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Sequence: 1, Data: &runv1.Run{},
	}
	least := full
	least.Run, least.Cause, least.TraceParent, least.Sequence = "", "", "", 0
	for schema, isLog := range map[string]bool{"stateHeaders": false, "logHeaders": true} {
		for _, test := range []struct {
			event event.Event
			want  []string
		}{
			{full, slices.Sorted(maps.Keys(document.Components.Schemas[schema].Properties))},
			{least, slices.Sorted(slices.Values(document.Components.Schemas[schema].Required))},
		} {
			e := test.event
			e.Log = isLog
			if isLog && e.Run == "" { // only state needs a revision
				e.Revision = 0
			}
			message, err := event.Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, slices.Sorted(maps.Keys(message.Header))); diff != "" {
				t.Errorf("%s (-document +code):\n%s", schema, diff)
			}
		}
	}
}

// The types stand in the code as literals, whole or put together: "seatline.licence." + verb + ".v1".
func TestCatalogueHasTheTypesOfTheCode(t *testing.T) {
	document := readAsyncAPI(t)
	documented := map[string]bool{}
	for name := range document.Components.Messages {
		documented[name] = true
	}
	whole := regexp.MustCompile(`seatline\.[a-z_]+\.[a-z_.]+\.v1\b`)
	stem := regexp.MustCompile(`^seatline\.[a-z_.]+\.$`)
	published := map[string]bool{}
	for dir, literals := range literalsByPackage(t) {
		for literal := range literals {
			for _, name := range whole.FindAllString(literal, -1) {
				published[name] = true
				if !documented[name] {
					t.Errorf("%s publishes or reads %s, which the document does not have", dir, name)
				}
			}
			if !stem.MatchString(literal) {
				continue
			}
			found := false
			for name := range documented {
				verb, ok := strings.CutPrefix(strings.TrimSuffix(name, ".v1"), literal)
				if ok && literals[verb] {
					published[name], found = true, true
				}
			}
			if !found {
				t.Errorf("%s makes types that begin with %s; the document has none", dir, literal)
			}
		}
	}
	for name := range documented {
		if !published[name] {
			t.Errorf("no service publishes %s", name)
		}
	}
}

// literalsByPackage collects the string literals of everything but tests that is built into the binary.
func literalsByPackage(t *testing.T) map[string]map[string]bool {
	t.Helper()
	found := map[string]map[string]bool{}
	for _, tree := range []string{"pkg", "services"} {
		err := filepath.WalkDir(filepath.Join(root, tree), func(path string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "e2e") {
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			dir := filepath.Dir(path)
			if found[dir] == nil {
				found[dir] = map[string]bool{}
			}
			ast.Inspect(file, func(node ast.Node) bool {
				if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					found[dir][strings.Trim(literal.Value, "`\"")] = true
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}
