package connectionfile

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What README tells people to write is read as it stands there.
func TestTheExampleOfREADME(t *testing.T) {
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s) *```yaml\n(.*?)```").FindSubmatch(readme)
	if block == nil {
		t.Fatal("README has no YAML any more")
	}
	example := strings.ReplaceAll(string(block[1]), "\n   ", "\n")
	got, err := Parse("acme.yaml", []byte(strings.TrimPrefix(example, "   ")), Secrets{
		Env: func(string) (string, bool) { return "key", true }, File: func(string) ([]byte, error) { return []byte("secret"), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Connection.GetSlug() != "acme" || len(got[0].PriceRules.GetRules()) != 1 || got[0].GiacomAPIKey.Reveal() != "key" {
		t.Errorf("read as %+v", got)
	}
}
