// Package webtest drives the web console in headless Chromium, as a person would. Whatever a page does
// that it should not (an error in the console, something that its policy forbids, a request elsewhere)
// is noted and fails the test. Screenshots are kept in dist/screens, for people to look at.
package webtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Screen that a page is looked at on.
type Screen struct {
	Name          string
	Width, Height int64
	Dark          bool
}

// The screens of the screenshots.
var (
	Desktop     = Screen{"desktop-light", 1440, 900, false}
	DesktopDark = Screen{"desktop-dark", 1440, 900, true}
	Phone       = Screen{"phone-light", 390, 844, false}
	PhoneDark   = Screen{"phone-dark", 390, 844, true}
)

// Screens are all of them.
func Screens() []Screen { return []Screen{Desktop, DesktopDark, Phone, PhoneDark} }

// Browser that runs.
type Browser struct {
	ctx  context.Context
	stop []func()
}

// patience with one step: a loaded machine is slow.
const patience = 45 * time.Second

var names = []string{"chromium", "chromium-browser", "google-chrome", "chrome"}

// install puts Debian's package chromium where it is missing, once.
var install = sync.OnceValues(func() (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	missing := errors.New("the browser tests need Chromium: apt-get install chromium")
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", missing
	}
	for _, args := range [][]string{{"update", "-qq"}, {"install", "-y", "-qq", "--no-install-recommends", "chromium"}} {
		cmd := exec.Command("apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w (that failed here: %s)", missing, lastLine(string(out)))
		}
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		return "", missing
	}
	return path, nil
})

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// Launch starts a browser; Close ends it.
func Launch(ctx context.Context) (*Browser, error) {
	path, err := install()
	if err != nil {
		return nil, err
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.Flag("lang", "en-GB"), chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("disable-dev-shm-usage", true), // containers have a small one
		chromedp.Flag("disable-component-update", true), chromedp.Flag("font-render-hinting", "none"), chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses its sandbox to root
	}
	allocator, end := chromedp.NewExecAllocator(ctx, options...)
	browser, close := chromedp.NewContext(allocator)
	b := &Browser{ctx: browser, stop: []func(){end, close}}
	if err := chromedp.Do(browser); err != nil {
		b.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return b, nil
}

// Close ends the browser.
func (b *Browser) Close() {
	for _, f := range slices.Backward(b.stop) {
		f()
	}
}

// Open gives somebody a tab. base is the console's URL, dir where screenshots go.
func (b *Browser) Open(base, dir string, screen Screen) (*Person, error) {
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	p := &Person{ctx: ctx, close: cancel, base: strings.TrimSuffix(base, "/"), dir: dir}
	// The first run makes the tab, which ends with that run's context: so it has no limit of its own.
	err := chromedp.Do(ctx)
	if err == nil {
		err = chromedp.Listen(ctx, p.note)
	}
	if err == nil {
		err = p.run(command(log.Enable, cdp.Empty{}), command(network.Enable, network.EnableParams{}), command(runtime.Enable, cdp.Empty{}))
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	return p, p.On(screen)
}
