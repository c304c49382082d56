package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/event"
	"seatline.dev/services/seatline/ctl"
)

// asyncAPI is what of the catalogue only a running Seatline can contradict; package ctl holds the rest against the code.
type asyncAPI struct {
	Streams map[string]struct {
		Subjects    []string `yaml:"subjects"`
		PerSubject  int64    `yaml:"maxMessagesPerSubject"`
		MaximalAge  string   `yaml:"maxAge"`
		Retention   string   `yaml:"retention"`
		Ordering    string   `yaml:"ordering"`
		Subscribing string   `yaml:"subscribing"`
	} `yaml:"x-streams"`
	Channels map[string]struct {
		Address     string         `yaml:"address"`
		Description string         `yaml:"description"`
		Messages    map[string]any `yaml:"messages"`
	} `yaml:"channels"`
}

func readAsyncAPI(t *testing.T) asyncAPI {
	t.Helper()
	content, err := os.ReadFile("../../proto/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc asyncAPI
	if err := yaml.Unmarshal(content, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestCatalogueHasTheStreamsOfTheBus(t *testing.T) {
	t.Parallel()
	doc := readAsyncAPI(t)
	conn := bustest.New(t)
	for name, s := range doc.Streams {
		stream, err := conn.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatalf("stream %s: %v", name, err)
		}
		cfg := stream.CachedInfo().Config
		age, err := time.ParseDuration(s.MaximalAge)
		if err != nil || age != cfg.MaxAge || s.PerSubject != cfg.MaxMsgsPerSubject || !slices.Equal(s.Subjects, cfg.Subjects) {
			t.Errorf("%s is documented as %+v (%v) but made as %v, %d per subject, %v", name, s, err, cfg.MaxAge, cfg.MaxMsgsPerSubject, cfg.Subjects)
		}
		if s.Retention == "" || s.Ordering == "" || s.Subscribing == "" {
			t.Errorf("%s: retention, ordering and subscribing must be explained", name)
		}
	}
	if len(doc.Streams) != 2 {
		t.Errorf("%d streams are documented, there are 2", len(doc.Streams))
	}
}

// The catalogue in README.md is the same: "| `licence` | `licence.changed`, `.removed` | …".
func TestREADMETellsTheSameEvents(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z-]+)`(?: \\(log\\))? \\| (`[a-z_.]+\\.[a-z]+`(?:, `\\.[a-z]+`)*) \\|")
	told := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(content), -1) {
		var noun string
		for i, word := range strings.Split(strings.ReplaceAll(m[2], "`", ""), ", ") {
			if i == 0 {
				noun = word[:strings.LastIndex(word, ".")]
				word = strings.TrimPrefix(word, noun)
			}
			told[m[1]] = append(told[m[1]], "seatline."+noun+word+".v1")
		}
		slices.Sort(told[m[1]])
	}
	documented := map[string][]string{}
	for entity, c := range readAsyncAPI(t).Channels {
		documented[entity] = slices.Sorted(maps.Keys(c.Messages))
	}
	if diff := cmp.Diff(documented, told); diff != "" {
		t.Errorf("types (-proto/asyncapi.yaml +README.md):\n%s", diff)
	}
}

// What a Seatline at work publishes is documented, from its first import to the end of a subscription.
func TestWhatIsPublishedIsDocumented(t *testing.T) {
	t.Parallel()
	doc := readAsyncAPI(t)
	s := tell(t, plot{estate: small(), rules: keepAndAdd})
	var mu sync.Mutex
	began := s.now
	seen := map[string]map[string]bool{} // types by entity
	ctx, stop := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	for _, log := range []bool{false, true} {
		listening.Go(func() {
			err := event.Subscribe(ctx, s.w.Bus, event.SubscribeConfig{Log: log, Since: began, Handler: func(_ context.Context, e event.Event) error {
				mu.Lock()
				defer mu.Unlock()
				if seen[e.Entity] == nil {
					seen[e.Entity] = map[string]bool{}
				}
				if seen[e.Entity][e.Type] {
					return nil
				}
				seen[e.Entity][e.Type] = true
				return documented(doc, e)
			}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	s.poll(true)
	s.settle()
	s.must(s.w.Giacom.SetSeats(s.sub(0).ID, 41))
	s.must(s.w.Giacom.Remove(s.sub(1).ID))
	s.poll(true)
	s.poll(true)
	s.settle()
	deadline := time.Now().Add(20 * time.Second)
	for missing := []string{"…"}; len(missing) > 0; time.Sleep(50 * time.Millisecond) {
		missing = nil
		mu.Lock()
		for entity := range doc.Channels {
			if len(seen[entity]) == 0 {
				missing = append(missing, entity)
			}
		}
		mu.Unlock()
		if len(missing) > 0 && time.Now().After(deadline) {
			t.Errorf("no event of %v was published", missing)
			break
		}
	}
	stop()
	listening.Wait()
}

// documented checks one event as it came against the document.
func documented(doc asyncAPI, e event.Event) error {
	c := doc.Channels[e.Entity]
	if _, ok := c.Messages[e.Type]; !ok {
		return fmt.Errorf("%s is not documented for %s", e.Type, e.Entity)
	}
	blank := event.Event{Connection: "C", Entity: e.Entity, Key: "K", Log: e.Log}
	if subject := strings.NewReplacer("{connection}", "C", "{key}", "K").Replace(c.Address); subject != event.Subject(blank) {
		return fmt.Errorf("%s came on %s, documented is %s", e.Type, event.Subject(e), c.Address)
	}
	if service := strings.TrimPrefix(e.Source, "seatline/"); !strings.Contains(c.Description, service) {
		return fmt.Errorf("%s comes from %s, documented is %q", e.Type, service, c.Description)
	}
	return e.Unmarshal(ctl.Payloads()[e.Entity])
}
