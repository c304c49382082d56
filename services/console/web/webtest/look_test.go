package webtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// What is to be found must be found, or a page without faults means nothing.
func TestFaultsAreFound(t *testing.T) {
	page := `<!doctype html><html><head><title>x</title></head><body style="margin:0"><main><h1>One</h1>%s</main></body></html>`
	bodies := map[string]string{
		"/well":     `<p>Well</p><label for=a>A</label><input id=a>`,
		"/contrast": `<p id=pale>Pale</p><style>#pale{color:#999;background:#fff}</style>`,
		"/label":    `<input id=b name=b>`,
		"/words":    `<button id=c></button>`,
		"/twice":    `<p id=d>1</p><p id=d>2</p>`,
		"/wide":     `<pre>` + strings.Repeat("wide ", 200) + `</pre>`,
		"/error":    `<script src=/none.js></script>`,
		"/away":     `<img alt="" src="http://127.0.0.1:1/away.png">`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := bodies[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, page, body)
	}))
	defer server.Close()
	b, err := Launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, err := b.Open(server.URL, t.TempDir(), Phone)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Expect("favicon")
	for path, want := range map[string]string{"/well": "", "/contrast": "contrast 2.85", "/label": "no label", "/words": "no words", "/twice": "the id d", "/wide": "scroll sideways"} {
		if err := p.Go(path); err != nil {
			t.Fatal(err)
		}
		found, err := p.Faults()
		if err != nil {
			t.Fatal(err)
		}
		found = slices.DeleteFunc(found, func(f string) bool { return strings.HasPrefix(f, "inline style") }) // the body's
		if want == "" && len(found) > 0 || want != "" && !strings.Contains(strings.Join(found, "\n"), want) {
			t.Errorf("%s: found %q, want %q", path, found, want)
		}
	}
	if problems := p.Problems(); len(problems) > 0 {
		t.Errorf("complaints so far: %q", problems)
	}
	for path, want := range map[string]string{"/error": "none.js", "/away": "a request elsewhere"} {
		if err := p.Go(path); err != nil {
			t.Fatal(err)
		}
		if problems := strings.Join(p.Problems(), "\n"); !strings.Contains(problems, want) {
			t.Errorf("%s: noted %q, want %q", path, problems, want)
		}
	}
}
