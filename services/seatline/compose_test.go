package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"seatline.dev/services/seatline/ctl"
)

// composed is what is checked of docker-compose.yml.
type composed struct {
	Services map[string]container `yaml:"services"`
	Volumes  map[string]any       `yaml:"volumes"`
}

type container struct {
	Image       string            `yaml:"image"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	Restart     string            `yaml:"restart"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
	DependsOn map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
}

// ours tells whether the container runs this binary.
func (c container) ours() bool { return strings.HasPrefix(c.Image, "seatline:") }

const root = "../../"

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var interpolated = regexp.MustCompile(`\$\{([A-Z_]+)(?::-([^}]*)|:\?[^}]*)?\}`)

// compose is docker-compose.yml as it is with an .env that has the secrets and nothing else.
func compose(t *testing.T) composed {
	t.Helper()
	text := interpolated.ReplaceAllStringFunc(readText(t, "docker-compose.yml"), func(s string) string {
		parts := interpolated.FindStringSubmatch(s)
		if strings.Contains(s, ":-") {
			return parts[2]
		}
		return "0123456789abcdef" // of a secret
	})
	var c composed
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) < 8 {
		t.Fatalf("read %d services only", len(c.Services))
	}
	return c
}

// parse a command line as a container would, and give the values of its flags by their variables.
func parse(t *testing.T, args []string) (*kong.Context, map[string]string) {
	t.Helper()
	parser, err := grammar(t.Context(), &file{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.Errorf("seatline %s: %v", strings.Join(args, " "), err)
		return nil, nil
	}
	values := map[string]string{}
	for _, group := range parsed.Selected().AllFlags(false) {
		for _, flag := range group {
			for _, env := range flag.Envs {
				values[env] = fmt.Sprint(flag.Target.Interface())
			}
		}
	}
	return parsed, values
}

// everyVariable that any command knows.
func everyVariable(t *testing.T) map[string]bool {
	t.Helper()
	parser, err := grammar(t.Context(), &file{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, node := range append([]*kong.Node{parser.Model.Node}, parser.Model.Leaves(false)...) {
		for _, group := range node.AllFlags(false) {
			for _, flag := range group {
				for _, env := range flag.Envs {
					known[env] = true
				}
			}
		}
	}
	return known
}

// What the compose file says is understood by the binary: each command, each variable, each port, each health check.
func TestTheComposeFileAgreesWithTheBinary(t *testing.T) {
	clear(t)
	file, known := compose(t), everyVariable(t)
	var serve []string
	for name, c := range file.Services {
		for target, d := range c.DependsOn {
			other, there := file.Services[target]
			if !there || d.Condition == "service_healthy" && len(other.Healthcheck.Test) == 0 || d.Condition == "service_completed_successfully" && other.Restart != "" {
				t.Errorf("%s waits for %s as %s, which never comes", name, target, d.Condition)
			}
		}
		for _, v := range c.Volumes {
			source, _, _ := strings.Cut(v, ":")
			if _, named := file.Volumes[source]; !named {
				if _, err := os.Stat(filepath.Join(root, source)); err != nil {
					t.Errorf("%s mounts %s: %v", name, source, err)
				}
			}
		}
		if !c.ours() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			for env, value := range c.Environment {
				t.Setenv(env, value)
				if strings.HasPrefix(env, "SEATLINE_") && !known[env] {
					t.Errorf("no command knows %s", env)
				}
			}
			if len(c.Command) == 0 { // the operator's own
				return
			}
			parsed, values := parse(t, c.Command)
			if parsed == nil {
				return
			}
			for env := range c.Environment {
				_, own := values[env]
				operator := slices.Contains([]string{"SEATLINE_NATS_URL", "SEATLINE_FETCHER_ADDR"}, env) && parsed.Command() == "connections apply"
				if strings.HasPrefix(env, "SEATLINE_") && !own && !operator {
					t.Errorf("seatline %s does not know %s", strings.Join(c.Command, " "), env)
				}
			}
			check := c.Healthcheck.Test
			switch c.Command[0] {
			case "serve":
				service := c.Command[1]
				serve = append(serve, service)
				if want := fmt.Sprintf("0.0.0.0:%d", ctl.DefaultPort(service)); name != service || values["SEATLINE_GRPC_ADDR"] != want {
					t.Errorf("%s listens on %s, want %s", service, values["SEATLINE_GRPC_ADDR"], want)
				}
				if want := fmt.Sprintf("127.0.0.1:%[1]d:%[1]d", ctl.DefaultPort(service)); !slices.Contains(c.Ports, want) {
					t.Errorf("ports %v, want %s", c.Ports, want)
				}
				if len(check) < 4 || !slices.Equal(check[:4], []string{"CMD", "/seatline", "health", service}) {
					t.Errorf("health check of %s: %v", service, check)
				}
			case "simulate":
				for _, env := range []string{"SEATLINE_SIM_GIACOM_ADDR", "SEATLINE_SIM_HALO_ADDR"} {
					if _, port, _ := strings.Cut(values[env], ":"); !slices.Contains(c.Ports, fmt.Sprintf("127.0.0.1:%[1]s:%[1]s", port)) {
						t.Errorf("ports %v, and %s=%s", c.Ports, env, values[env])
					}
				}
				if !slices.Equal(check, []string{"CMD", "/seatline", "simulate", "--check"}) {
					t.Errorf("health check %v", check)
				}
			}
			if len(check) > 2 {
				asked, addresses := parse(t, check[2:])
				if service := c.Command[len(c.Command)-1]; asked != nil && c.Command[0] == "serve" {
					// From within the container, the service's own name leads to it; the console is asked on loopback.
					addr := addresses["SEATLINE_"+strings.ToUpper(service)+"_ADDR"]
					if port := fmt.Sprint(ctl.DefaultPort(service)); addr != "" && !strings.HasSuffix(addr, ":"+port) {
						t.Errorf("the health check asks %s at %s", service, addr)
					}
				}
			}
			for _, service := range ctl.Services() {
				if addr := c.Environment["SEATLINE_"+strings.ToUpper(service)+"_ADDR"]; addr != "" && addr != fmt.Sprintf("%s:%d", service, ctl.DefaultPort(service)) {
					t.Errorf("finds %s at %s", service, addr)
				}
			}
		})
	}
	slices.Sort(serve)
	if diff := cmp.Diff(slices.Sorted(slices.Values(ctl.Services())), serve); diff != "" {
		t.Errorf("services (-there are +served):\n%s", diff)
	}
	if web := fmt.Sprintf("127.0.0.1:%[1]d:%[1]d", defaultWebPort); !slices.Contains(file.Services[ctl.Console].Ports, web) {
		t.Errorf("the web console's port %s is not published", web)
	}
}

// Every variable that the compose file reads is in .env.example with the same default, and the other way round.
func TestTheExampleOfEnvIsThatOfTheComposeFile(t *testing.T) {
	text := readText(t, "docker-compose.yml")
	reads, offers := map[string]string{}, map[string]string{}
	for _, parts := range interpolated.FindAllStringSubmatch(text, -1) {
		if before, again := reads[parts[1]]; !again || before == "" {
			reads[parts[1]] = parts[2]
		}
	}
	for _, parts := range regexp.MustCompile(`(?m)^#?([A-Z_]{4,})=(.*)$`).FindAllStringSubmatch(readText(t, ".env.example"), -1) {
		offers[parts[1]] = parts[2]
	}
	// What is off unless given has an example instead of a default.
	for _, example := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT"} {
		offers[example] = ""
	}
	if diff := cmp.Diff(reads, offers); diff != "" {
		t.Errorf("variables (-docker-compose.yml +.env.example):\n%s", diff)
	}
}

// The connection to the simulators in containers leads to them, with what lets it in.
func TestTheConnectionOfContainersLeadsToTheirSimulators(t *testing.T) {
	var c struct {
		Giacom struct {
			URL string `yaml:"base_url"`
			Key string `yaml:"api_key"`
		}
		Halo struct {
			URL      string `yaml:"base_url"`
			Tenant   string
			ClientID string `yaml:"client_id"`
			Secret   string `yaml:"client_secret"`
			Budget   int    `yaml:"budget_requests"`
		}
	}
	if err := yaml.Unmarshal([]byte(readText(t, "deploy/docker/simulated.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	services := compose(t).Services
	env := services["simulated-connection"].Environment
	port := func(name string) string {
		return strings.TrimPrefix(services["simulators"].Environment[name], "0.0.0.0:")
	}
	got := []string{c.Giacom.URL, env[strings.TrimPrefix(c.Giacom.Key, "env:")], c.Halo.URL, c.Halo.Tenant, c.Halo.ClientID, env[strings.TrimPrefix(c.Halo.Secret, "env:")]}
	want := []string{"http://simulators:" + port("SEATLINE_SIM_GIACOM_ADDR") + "/Billing/v1", simKey, "http://simulators:" + port("SEATLINE_SIM_HALO_ADDR"), simTenant, simClient, simSecret}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("connection (-simulators +simulated.yaml):\n%s", diff)
	}
	if limit := services["simulators"].Environment["SEATLINE_SIM_HALO_LIMIT"]; fmt.Sprint(c.Halo.Budget*5/4) != limit {
		t.Errorf("a budget of %d where Halo allows %s", c.Halo.Budget, limit)
	}
}

// Both ways to the image lead to the same, and what is pulled for one of them is the Go that the code wants.
func TestBothImagesRunTheBinaryTheSameWay(t *testing.T) {
	shipped := func(path string) string {
		_, last, _ := strings.Cut(readText(t, path), "FROM scratch\n")
		return regexp.MustCompile(`(?m)^#.*\n|--from=build |/out/`).ReplaceAllString(last, "")
	}
	if diff := cmp.Diff(shipped("deploy/docker/Dockerfile"), shipped("deploy/docker/prebuilt.Dockerfile")); diff != "" {
		t.Errorf("image (-Dockerfile +prebuilt.Dockerfile):\n%s", diff)
	}
	needs := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readText(t, "go.work"))
	if text := readText(t, "deploy/docker/Dockerfile"); len(needs) < 2 || !strings.Contains(text, "FROM golang:"+needs[1]+" ") {
		t.Errorf("the image is not built by Go %v", needs)
	}
	for _, path := range regexp.MustCompile(`(?m)^COPY ([^-].*) \S+$`).FindAllStringSubmatch(readText(t, "deploy/docker/Dockerfile"), -1) {
		for source := range strings.FieldsSeq(path[1]) {
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Errorf("Dockerfile: %v", err)
			}
		}
	}
}
