package web

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// says fails unless a page has the status and all these texts, none of those with a "!" before them.
func (r reply) says(t *testing.T, status int, texts ...string) reply {
	t.Helper()
	if r.status != status {
		t.Errorf("answered %d, want %d:\n%s", r.status, status, mainOf(r.body))
	}
	for _, text := range texts {
		text, not := strings.CutPrefix(text, "!")
		if strings.Contains(r.body, text) == not {
			t.Errorf("says %q: %v; the page:\n%s", text, not, mainOf(r.body))
		}
	}
	return r
}

func mainOf(body string) string {
	if i := strings.Index(body, "<main"); i >= 0 {
		return body[i:]
	}
	return body
}

// field is the value of the first hidden field of a name on a page.
func (r reply) field(t *testing.T, name string) string {
	t.Helper()
	found := regexp.MustCompile(`name="` + regexp.QuoteMeta(name) + `" value="([^"]*)"`).FindStringSubmatch(r.body)
	if found == nil {
		t.Fatalf("no field %s on\n%s", name, mainOf(r.body))
	}
	return found[1]
}

// upload sends a form with a file, as a browser does.
func (p *person) upload(path, page, name string, content []byte, pairs ...string) reply {
	p.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i, pairs := 0, append([]string{"token", p.token(page)}, pairs...); i < len(pairs); i += 2 {
		if err := form.WriteField(pairs[i], pairs[i+1]); err != nil {
			p.t.Fatal(err)
		}
	}
	if name != "" {
		file, err := form.CreateFormFile("file", name)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := file.Write(content); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		p.t.Fatal(err)
	}
	return p.send(http.MethodPost, path, &body, header("Content-Type", form.FormDataContentType()), header("Sec-Fetch-Site", "same-origin"))
}
