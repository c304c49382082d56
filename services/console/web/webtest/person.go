package webtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Person in front of the browser: a tab with cookies of its own.
type Person struct {
	ctx    context.Context
	close  func()
	base   string
	screen Screen
	dir    string

	mu       sync.Mutex
	problems []string
	expected []string
}

// Close the tab.
func (p *Person) Close() { p.close() }

// On changes to another screen.
func (p *Person) On(screen Screen) error {
	p.screen = screen
	scheme := "light"
	if screen.Dark {
		scheme = "dark"
	}
	phone := screen.Width < 600
	return p.run(
		command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: screen.Width, Height: screen.Height, DeviceScaleFactor: 1, Mobile: phone}),
		command(emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: phone}),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}}),
	)
}

// command of the protocol as a step.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// note what a page does that it should not.
func (p *Person) note(event any) {
	problem := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning && e.Entry.Source == log.EntrySourceSecurity {
			problem = fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		problem = "exception: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			problem = "console.error"
			for _, a := range e.Args {
				problem += " " + string(a.Value)
			}
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, p.base+"/") && !strings.HasPrefix(e.Request.URL, "data:") && !strings.HasPrefix(e.Request.URL, "about:") {
			problem = "a request elsewhere: " + e.Request.URL
		}
	}
	if problem == "" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = append(p.problems, problem)
}

// Expect says that problems with this text in them are what the test is about.
func (p *Person) Expect(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expected = append(p.expected, text)
}

// Problems that were noted and not expected.
func (p *Person) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for _, problem := range p.problems {
		if !slices.ContainsFunc(p.expected, func(text string) bool { return strings.Contains(problem, text) }) {
			out = append(out, problem)
		}
	}
	return out
}

func (p *Person) run(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

// ask is run for one value.
func ask[T any](p *Person, a chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, a)
}

// step is run with a word about what it was, and where.
func (p *Person) step(what string, steps ...chromedp.Action[chromedp.Void]) error {
	if err := p.run(steps...); err != nil {
		at, _ := p.Location()
		return fmt.Errorf("%s (at %s): %w", what, at, err)
	}
	return nil
}

var ready = chromedp.WaitReady(chromedp.CSS("main"))

// Go opens a page: a path, or a whole address.
func (p *Person) Go(path string) error {
	if strings.HasPrefix(path, "/") {
		path = p.base + path
	}
	return p.step("go to "+path, chromedp.Navigate(path), ready)
}

// Click on what a CSS selector finds, and wait for the page that follows, if one does.
func (p *Person) Click(selector string) error {
	at := chromedp.CSS(selector)
	return p.step("click "+selector, chromedp.ScrollIntoView(at), chromedp.Click(at, chromedp.NodeVisible), chromedp.Sleep(settle), ready)
}

// Press a button or link in the page's main part by its words, as a person finds it.
func (p *Person) Press(words string) error {
	at := fmt.Sprintf(`//main//*[(self::a or self::button or self::summary) and normalize-space(.)=%s]`, literal(words))
	return p.step("press "+words, chromedp.ScrollIntoView(at), chromedp.Click(at, chromedp.NodeVisible), chromedp.Sleep(settle), ready)
}

// settle is how long a click may take until its page is on its way.
const settle = 200 * time.Millisecond

// labelled is the field with a label that begins with these words.
func labelled(label string) string {
	return fmt.Sprintf(`//main//*[@id=//label[starts-with(normalize-space(.),%s)]/@for]`, literal(label))
}

// Fill a field by its label, as a person finds it.
func (p *Person) Fill(label, value string) error {
	at := labelled(label)
	if value == "" { // which SetValue cannot tell from a field that takes no value
		return p.step("clear "+label, chromedp.WaitVisible(at), chromedp.Clear(at))
	}
	return p.step("fill "+label, chromedp.WaitVisible(at), chromedp.SetValue(at, value))
}

// Choose an option of a field by the field's label and the option's value.
func (p *Person) Choose(label, value string) error {
	at := labelled(label)
	return p.step("choose "+label, chromedp.WaitVisible(at), chromedp.SetValue(at, value))
}

// Upload chooses a file for a field of kind file, by the field's name.
func (p *Person) Upload(name, path string) error {
	return p.step("upload "+path, chromedp.SetUploadFiles(chromedp.CSS(`input[type="file"][name="`+name+`"]`), []string{path}))
}

// literal of XPath, which knows no escapes.
func literal(s string) string {
	if !strings.Contains(s, `"`) {
		return `"` + s + `"`
	}
	return `concat("` + strings.ReplaceAll(s, `"`, `",'"',"`) + `")`
}

// Text that the page shows in its main part.
func (p *Person) Text() (string, error) { return ask(p, chromedp.Text(chromedp.CSS("main"))) }

// Location of the page, without the console's own address.
func (p *Person) Location() (string, error) {
	at, err := ask(p, chromedp.Location())
	return strings.TrimPrefix(at, p.base), err
}

// Truth of a script's expression, for what only the page itself knows.
func (p *Person) Truth(expression string) (bool, error) {
	return ask(p, chromedp.Evaluate[bool](expression))
}

// Await text on the page; pages that keep themselves up to date get there by themselves.
func (p *Person) Await(text string) error {
	deadline := time.Now().Add(patience)
	for {
		shown, err := p.Text()
		if err == nil && strings.Contains(shown, text) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("the page does not show %q; it shows:\n%s", text, shown), err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Keep an image of the page on the screen at hand.
func (p *Person) Keep(name string) error { return p.shot(name, p.screen) }

// shot keeps what the page looks like, top to bottom, on a screen.
func (p *Person) shot(name string, screen Screen) error {
	if err := p.On(screen); err != nil {
		return err
	}
	if err := p.run(chromedp.Sleep(settle)); err != nil {
		return err
	}
	image, err := ask(p, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		metrics, err := cdp.Call(ctx, t, page.GetLayoutMetrics, cdp.Empty{})
		if err != nil {
			return nil, err
		}
		// A list that goes on for ever says no more than its first screens.
		height := min(max(metrics.CSSContentSize.Height, float64(screen.Height)), 3*float64(screen.Height))
		shot, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{
			CaptureBeyondViewport: new(true), OptimizeForSpeed: new(true), Clip: &page.Viewport{Width: float64(screen.Width), Height: height, Scale: 1},
		})
		return shot.Data, err
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, name+"-"+screen.Name+".png"), image, 0o644)
}
