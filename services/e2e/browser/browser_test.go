// Package browser tells stories of people in front of the web console: headless Chromium, the real
// binary, a real PostgreSQL, NATS, and both simulators. Screenshots are kept in dist/screens.
package browser

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"seatline.dev/pkg/postgres/postgrestest"
	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/console/web/webtest"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
)

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "seatline-browser-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "seatline")
	return path, world.Build(path)
})

// chromium is one for all stories; people have tabs of their own in it.
var chromium = sync.OnceValues(func() (*webtest.Browser, error) { return webtest.Launch(context.Background()) })

func TestMain(m *testing.M) {
	flag.Parse()
	// Stories mostly wait, as people do: for pages, for a run, for each other.
	if err := flag.Set("test.parallel", "3"); err != nil {
		panic(err)
	}
	code := m.Run()
	if b, err := chromium(); err == nil {
		b.Close()
	}
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// screens is dist/screens, wherever the test is started.
func screens() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "dist", "screens")
}

// story is a world, and somebody who looks at it.
type story struct {
	*testing.T
	w *world.World
	*webtest.Person
}

// tell starts a world with an estate, and a person who is signed in to its console.
func tell(t *testing.T, data estate.Data, role accessv1.Role) *story {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	w, err := world.Start(t.Context(), world.Options{Binary: path, Dir: t.TempDir(), Server: postgrestest.URL(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.Logs())
		}
		w.Close()
	})
	if err := data.Fill(w.Giacom, w.Halo); err != nil {
		t.Fatal(err)
	}
	browser, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	p, err := browser.Open(w.WebURL, screens(), webtest.Desktop)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{t, w, p}
	t.Cleanup(func() {
		for _, problem := range p.Problems() {
			t.Errorf("the browser complains: %s", problem)
		}
		p.Close()
	})
	link, err := w.SignInLink(t.Context(), "Zoë O’Neill", role)
	s.must(err)
	s.must(p.Go(link))
	return s
}

func (s *story) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// connect makes the connection acme and imports its estate.
func (s *story) connect(change func(*connectionv1.Connection)) {
	s.Helper()
	c := s.w.Connection("acme")
	c.DisplayName = "Acme IT"
	if change != nil {
		change(c)
	}
	_, err := s.w.Apply(s.Context(), c, world.KeepAndAdd())
	s.must(err)
	_, err = s.w.Validate(s.Context(), "acme")
	s.must(err)
}

func TestFirstPages(t *testing.T) {
	t.Parallel()
	data := estate.Generate(estate.Config{Seed: 7, Customers: 24, Subscriptions: 160, Now: time.Now()})
	s := tell(t, data, accessv1.Role_ROLE_OPERATOR)
	s.must(s.Await("No connection yet"))
	s.must(s.Look("welcome"))
	s.connect(nil)

	s.must(s.Go("/"))
	s.must(s.Await("Acme IT"))
	s.must(s.Press("Run now"))
	s.must(s.Await("Succeeded")) // the page gets there by itself
	s.must(s.Look("run"))
	if at, err := s.Location(); err != nil || !strings.HasPrefix(at, "/c/acme/runs/") {
		t.Errorf("a run's page is at %q (%v)", at, err)
	}
	s.must(s.w.Settle(t.Context(), "acme"))

	s.must(s.Go("/c/acme"))
	s.must(s.Await("In sync"))
	s.must(s.Look("overview"))
	s.must(s.Go("/c/acme/runs"))
	s.must(s.Await("Zoë O’Neill"))
	s.must(s.Look("runs"))
	s.must(s.Go("/c/acme/plan"))
	s.must(s.Await("Near match"))
	s.must(s.Look("plan"))
	s.must(s.Choose("State", "parked"))
	s.must(s.Press("Show"))
	if text, err := s.Text(); err != nil || strings.Contains(text, "Near match: ") && !strings.Contains(text, "Parked") {
		t.Errorf("the plan of what is parked (%v):\n%s", err, text)
	}
	s.must(s.Go("/c/acme/changes"))
	s.must(s.Await("Applied"))
	s.must(s.Look("changes"))

	s.Expect("404") // which the browser says aloud
	s.must(s.Go("/c/acme/nowhere"))
	s.must(s.Await("There is no page at /c/acme/nowhere."))
	s.must(s.Look("not-found"))

	s.must(s.Go("/c/acme"))
	s.must(s.Click(`.side button[name="theme"][value="dark"]`))
	if dark, err := s.Truth(`document.documentElement.dataset.theme === "dark" && getComputedStyle(document.body).backgroundColor === "rgb(15, 20, 23)"`); err != nil || !dark {
		t.Errorf("the choice of dark: %v, %v", dark, err)
	}
	s.must(s.Click(`.side button[name="theme"][value=""]`))
	s.must(s.On(webtest.Phone))
	s.must(s.Click(".menu > summary"))
	s.must(s.Keep("menu"))
	s.must(s.On(webtest.Desktop))
	s.must(s.Click(`.side form[action="/sign-out"] button`))
	s.must(s.Await("Sign in"))
	s.must(s.Look("sign-in"))
	s.must(s.Go("/c/acme/plan"))
	if at, err := s.Location(); err != nil || !strings.HasPrefix(at, "/sign-in?back=") {
		t.Errorf("after the sign-out the plan is at %q (%v)", at, err)
	}
}
