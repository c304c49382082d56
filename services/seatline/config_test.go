package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// clear takes away what the environment of the test may hold.
func clear(t *testing.T) {
	t.Helper()
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "SEATLINE_") || name == "DATABASE_URL" {
			os.Unsetenv(name)
			t.Cleanup(func() { os.Setenv(name, value) })
		}
	}
}

func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func configFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "seatline.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigSaysWhatIsInForceAndWhy(t *testing.T) {
	clear(t)
	path := configFile(t, "nats-url: nats://file:4222\nseed: 5\ncustomers: 9\nonce: true\nhalo-timeout: 30s\n")
	t.Setenv("SEATLINE_SEED", "6")
	t.Setenv("DATABASE_URL", "postgres://me:hunter2@db/seatline")
	code, out, errs := call(t, "config", "--config", path, "--customers=7")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var got map[string]any
	if err := yaml.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("not YAML: %v\n%s", err, out)
	}
	for name, want := range map[string]string{
		"seed": "6", "customers": "7", "subscriptions": "2100", "once": "true", "halo-timeout": "30s", "nats-url": "[redacted]", "database-url": "[redacted]", "operator-token": "",
	} {
		if text := strings.TrimSpace(toText(got[name])); text != want {
			t.Errorf("%s is %q, want %q", name, text, want)
		}
	}
	for _, want := range []string{
		"# From: command line. Variable: SEATLINE_CUSTOMERS.", "# From: environment SEATLINE_SEED.", "# From: environment DATABASE_URL.",
		"# From: file " + path + ". Variable: SEATLINE_NATS_URL.", "# From: default. Variable: SEATLINE_SUBSCRIPTIONS.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("does not say %q", want)
		}
	}
	if strings.Contains(out, "hunter2") {
		t.Error("shows the password")
	}
}

func toText(v any) string {
	b, _ := yaml.Marshal(v)
	return strings.Trim(strings.TrimSpace(string(b)), `"`)
}

func TestAMistakeInTheFileIsNotOverlooked(t *testing.T) {
	clear(t)
	for name, c := range map[string]struct{ content, says string }{
		"unknown key":  {"nats-ulr: x\n", "no flag is called nats-ulr"},
		"nested":       {"nats-url: [a, b]\n", "nats-url must be a single value"},
		"no YAML":      {"a: b: c\n", "configuration file"},
		"wrong number": {"seed: many\n", "seed"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errs := call(t, "config", "--config="+configFile(t, c.content))
			if code != 2 || !strings.Contains(errs, c.says) {
				t.Errorf("exit code %d, says %q; want 2 and %q", code, errs, c.says)
			}
		})
	}
	if code, _, errs := call(t, "config", "--config", filepath.Join(t.TempDir(), "none")); code != 2 || !strings.Contains(errs, "configuration file") {
		t.Errorf("file that is not there: exit code %d, %q", code, errs)
	}
}

func TestUsageIsExitCode2AndSaysWhatToDo(t *testing.T) {
	clear(t)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"unknown command":       {[]string{"fly"}, "seatline --help"},
		"unknown service":       {[]string{"serve", "kitchen"}, "console"},
		"service without NATS":  {[]string{"serve", "licence"}, "SEATLINE_NATS_URL"},
		"service without token": {[]string{"serve", "licence", "--nats-url=nats://x", "--database-url=postgres://x"}, "SEATLINE_SERVICE_TOKEN"},
		"once for real":         {[]string{"up", "--once", "--no-demo"}, "--no-demo"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errs := call(t, c.args...)
			if code != 2 || !strings.Contains(errs, c.says) {
				t.Errorf("exit code %d, says %q; want 2 and %q", code, errs, c.says)
			}
		})
	}
}

func TestTokensFile(t *testing.T) {
	path := configFile(t, "# who may\nalice operator 0123456789abcdef\n\nboard viewer fedcba9876543210\n")
	tokens, err := settings{TokensFile: path, ServiceToken: "ssssssssssssssss"}.tokens()
	if err != nil || len(tokens) != 3 || tokens[1].Name != "alice" || tokens[2].Role != "viewer" {
		t.Errorf("tokens %v (%v)", tokens, err)
	}
	_, err = settings{TokensFile: configFile(t, "alice boss 0123456789abcdef\n")}.tokens()
	if err == nil || !strings.Contains(err.Error(), "line 1") || strings.Contains(err.Error(), "0123456789abcdef") {
		t.Errorf("error %v", err)
	}
}
