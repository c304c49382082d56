package web

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"seatline.dev/services/seatline/ctl"
)

var quoted = regexp.MustCompile("`([^`]+)`")

// TestTheGuideNamesWhatIsThere holds every page, command and RPC of README's table of Halo's guide against the code.
func TestTheGuideNamesWhatIsThere(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, guide, found := strings.Cut(string(readme), "\n## Halo's guide, sentence by sentence\n")
	if !found {
		t.Fatal("README has no section about Halo's guide")
	}
	var commands ctl.Commands
	parser, err := kong.New(&commands)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(guide) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| The guide ") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 5 {
			t.Errorf("%d cells: %s", len(cells), line)
			continue
		}
		for column, known := range map[int]func(string) bool{1: isPage, 2: func(s string) bool { return isCommand(parser.Model.Node, s) }, 3: isRPC} {
			for _, name := range quoted.FindAllStringSubmatch(cells[column], -1) {
				if !known(name[1]) {
					t.Errorf("there is no %s, as named in: %s", name[1], line)
				}
			}
		}
	}
	if rows < 43 {
		t.Errorf("the guide has %d rows", rows)
	}
	if isPage("…/nowhere") || isCommand(parser.Model.Node, "inty fly") || isCommand(parser.Model.Node, "inty apply --fly") || isRPC("MigrationService.Fly") {
		t.Error("this test would believe anything")
	}
}

func isPage(name string) bool {
	path := strings.Replace(name, "…", ofConnection, 1)
	return slices.ContainsFunc(pages(), func(p page) bool { return p.path == path })
}

func isCommand(node *kong.Node, words string) bool {
	for word := range strings.FieldsSeq(words) {
		if flag, is := strings.CutPrefix(word, "--"); is {
			if !slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool { return f.Name == flag }) {
				return false
			}
			continue
		}
		at := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word })
		if at < 0 {
			return false
		}
		node = node.Children[at]
	}
	return true
}

func isRPC(name string) (found bool) {
	service, method, _ := strings.Cut(name, ".")
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if s := f.Services().ByName(protoreflect.Name(service)); s != nil && s.Methods().ByName(protoreflect.Name(method)) != nil {
			found = true
		}
		return !found
	})
	return found
}
