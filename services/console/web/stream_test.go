package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"seatline.dev/pkg/rpc"
	"seatline.dev/services/console/web/access"
	"seatline.dev/services/console/web/ui"
)

// streamed is what a browser gets of a stream of a session; look is told how often it has looked.
func streamed(t *testing.T, s *site, id string, look func(n int) (text string, last bool)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, n := &visit{s: s.Server, w: w, r: r, id: id}, 0
		err := v.stream(func(context.Context) error { return nil }, func(context.Context) ([]ui.Block, bool, error) {
			n++
			text, last := look(n)
			return []ui.Block{ui.Paragraph{Text: text}}, last, nil
		})
		if err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// event is the first of a stream that has anything in it; the stream is left then.
func (p *person) event(path string) string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.base+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var event strings.Builder
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if event.WriteString(lines.Text() + "\n"); lines.Text() == "" && strings.Contains(event.String(), "event: ") {
			break
		}
	}
	return event.String()
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	s := start(t)
	id, err := s.store.Begin(t.Context(), access.Person{Name: "olga", Role: rpc.RoleOperator}, access.ByLink, "")
	if err != nil {
		t.Fatal(err)
	}
	body := streamed(t, s, id, func(n int) (string, bool) {
		if n == 2 {
			if err := s.store.End(t.Context(), id); err != nil {
				t.Error(err)
			}
		}
		return fmt.Sprint("look ", n), n == 3
	})
	if !strings.Contains(body, "look 1") || strings.Contains(body, "look 2") || strings.Contains(body, "look 3") {
		t.Errorf("whose session ended got:\n%s", body)
	}
}

func TestTextFromOutsideCannotEndALineOfAStream(t *testing.T) {
	s := start(t)
	id, err := s.store.Begin(t.Context(), access.Person{Name: "olga", Role: rpc.RoleOperator}, access.ByLink, "")
	if err != nil {
		t.Fatal(err)
	}
	body := streamed(t, s, id, func(int) (string, bool) { return "one\rtwo\r\nthree\r\rdata: four", true })
	for line := range strings.Lines(strings.ReplaceAll(body, "\r", "\n")) {
		if line != "\n" && !strings.HasPrefix(line, "data: ") && !strings.HasPrefix(line, "event: ") {
			t.Errorf("the browser passes over %q", line)
		}
	}
	if !strings.HasSuffix(body, "event: end\ndata: done\n\n") || strings.Count(body, "event: replace") != 1 {
		t.Errorf("not one event:\n%q", body)
	}
}

func TestWhoIsNotSignedInSendsLittle(t *testing.T) {
	s := start(t)
	if _, err := s.store.SetPassword(t.Context(), access.Person{Name: "olga", Role: rpc.RoleOperator}, "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	p := s.visitor(t)
	r := p.post("/sign-in", "/sign-in", "name", strings.Repeat("x", 70<<10), "password", "x")
	if r.status != http.StatusUnprocessableEntity || !strings.Contains(r.body, "larger than 64 kB") {
		t.Errorf("answers %d", r.status)
	}
}
