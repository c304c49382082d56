package webtest

import (
	"fmt"
	"strings"

	"github.com/chromedp/chromedp"
)

// faults of a page that a person with weak eyes, a keyboard or a screen reader would run into.
const faults = `(() => {
  const out = [];
  const say = (e) => e.tagName.toLowerCase() + (e.id ? "#" + e.id : "") + (e.className && e.className.baseVal === undefined ? "." + [...e.classList].join(".") : "") + " “" + (e.innerText || e.value || "").trim().slice(0, 40) + "”";
  const rgb = (c) => { const m = c.match(/[\d.]+/g); return m ? m.map(Number) : [0, 0, 0, 0]; };
  const light = ([r, g, b]) => { const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b); };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0.99) return c; } return rgb(getComputedStyle(document.documentElement).colorScheme.includes("dark") ? "rgb(18,18,18)" : "rgb(255,255,255)"); };
  const shown = (e) => e.checkVisibility() && !e.closest(".heard, .skip");

  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (words.nextNode()) {
    const e = words.currentNode.parentElement;
    if (!words.currentNode.data.trim() || !e || seen.has(e) || !shown(e) || e.closest("svg, option, :disabled")) continue;
    seen.add(e);
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const [a, b] = [light(rgb(style.color)), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio < least) out.push("contrast " + ratio.toFixed(2) + " of " + say(e));
  }
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
    if (!e.labels?.length && !e.getAttribute("aria-label")) out.push("no label for " + say(e) + " " + e.name);
  for (const e of document.querySelectorAll("a[href], button, summary"))
    if (shown(e) && !(e.textContent.trim() || e.getAttribute("aria-label"))) out.push("no words on " + say(e));
  for (const e of document.querySelectorAll("[id]"))
    if (document.querySelectorAll("#" + CSS.escape(e.id)).length > 1) out.push("the id " + e.id + " is there twice");
  if (document.querySelectorAll("h1").length > 1) out.push("more than one h1");
  if (!document.title) out.push("no title");
  for (const e of document.querySelectorAll("[style], script:not([src])")) out.push("inline style or script on " + say(e));
  return [...new Set(out)];
})()`

// Faults of the page as it is now, on the screen it is on.
func (p *Person) Faults() ([]string, error) {
	out, err := ask(p, chromedp.Evaluate[[]string](faults))
	if err != nil {
		return nil, err
	}
	wide, err := p.Truth(`document.documentElement.scrollWidth > document.documentElement.clientWidth`)
	if wide {
		out = append(out, "one has to scroll sideways")
	}
	return out, err
}

// Look at a page on every screen: it is kept as an image, and must be without faults.
func (p *Person) Look(name string) error {
	own := p.screen
	var found []string
	for _, screen := range Screens() {
		if err := p.shot(name, screen); err != nil {
			return fmt.Errorf("screenshot %s on %s: %w", name, screen.Name, err)
		}
		faults, err := p.Faults()
		if err != nil {
			return err
		}
		for _, f := range faults {
			found = append(found, screen.Name+": "+f)
		}
	}
	if err := p.On(own); err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%s:\n%s", name, strings.Join(found, "\n"))
	}
	return nil
}
