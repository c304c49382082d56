// Package ui is the design system of the web console: blocks that pages are put together from, inline
// values that stand in them, and the layout around. A page says what is on it in Go; only this package
// knows HTML. Everything is drawn on the server, works without JavaScript, and is escaped by
// html/template.
package ui

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/http"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed assets
var assets embed.FS

// Block is a part of a page as wide as its column: a table, a form, a notice …
type Block interface{ block() string }

// Inline is a value that stands in a table's cell, a tile, a definition or a sentence. Everywhere such
// a value is of type any: a string, a number, an Inline, a Block, or nil for "nothing known".
type Inline interface{ inline() string }

// UI draws pages.
type UI struct {
	templates *template.Template
	// token stands for the form token until a page is done. It is random, so that no text of a
	// customer's can be mistaken for it.
	token   string
	version string // of the assets, by their content
}

// New reads the templates; an error is a defect of theirs.
func New() (*UI, error) {
	u := &UI{token: "token-" + rand.Text()}
	if err := u.hash(); err != nil {
		return nil, err
	}
	t := template.New("").Funcs(template.FuncMap{
		"show": u.show, "draw": u.block, "icon": icon, "asset": u.asset, "bars": drawBars,
		"token": func() string { return u.token }, "even": func(i int) bool { return i%2 == 0 },
	})
	parsed, err := t.ParseFS(templates, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("templates of the web console: %w", err)
	}
	u.templates = parsed
	return u, nil
}

func (u *UI) hash() error {
	sum := sha256.New()
	err := fs.WalkDir(assets, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := assets.ReadFile(path)
		sum.Write(content)
		return err
	})
	u.version = hex.EncodeToString(sum.Sum(nil))[:12]
	return err
}

// asset is the address of a file: it changes with the content, so browsers may keep it for good.
func (u *UI) asset(name string) string { return "/assets/" + u.version + "/" + name }

// Assets serves the style sheet, the script and the icon below /assets/.
func (u *UI) Assets() http.Handler {
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the directory is embedded above
	}
	return http.StripPrefix("/assets/"+u.version, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		http.FileServerFS(files).ServeHTTP(w, r)
	}))
}

// Page writes a whole page. token goes into its forms.
func (u *UI) Page(w io.Writer, l Layout, token string) error {
	return u.write(w, "layout", l, token)
}

// Blocks writes some blocks, to replace what a Live block showed before.
func (u *UI) Blocks(w io.Writer, blocks []Block, token string) error {
	return u.write(w, "blocks", blocks, token)
}

func (u *UI) write(w io.Writer, name string, data any, token string) error {
	var out bytes.Buffer
	if err := u.templates.ExecuteTemplate(&out, name, data); err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	_, err := w.Write(bytes.ReplaceAll(out.Bytes(), []byte(u.token), []byte(token)))
	return err
}

func (u *UI) block(b Block) (template.HTML, error) { return u.draw(b.block(), b) }

func (u *UI) draw(name string, data any) (template.HTML, error) {
	var out bytes.Buffer
	err := u.templates.ExecuteTemplate(&out, name, data)
	return template.HTML(out.String()), err //nolint:gosec // a template has escaped it
}

// show draws a value in place.
func (u *UI) show(v any) (template.HTML, error) {
	switch x := v.(type) {
	case nil:
		return `<span class="none" aria-label="none">–</span>`, nil
	case Inline:
		return u.draw(x.inline(), x)
	case Block:
		return u.block(x)
	case string:
		if x == "" {
			return u.show(nil)
		}
		return template.HTML(template.HTMLEscapeString(x)), nil //nolint:gosec // escaped
	case int:
		return u.show(Count(int64(x)))
	case int32:
		return u.show(Count(int64(x)))
	case int64:
		return u.show(Count(x))
	default:
		return u.show(fmt.Sprint(x))
	}
}
