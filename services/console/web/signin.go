package web

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"seatline.dev/pkg/telemetry"
	"seatline.dev/services/console/web/access"
	"seatline.dev/services/console/web/ui"
)

func signInPages() []page {
	return []page{
		{path: "/sign-in", title: "Sign in", open: true, handle: showSignIn},
		{path: "/sign-in", method: http.MethodPost, title: "Sign in", open: true, handle: signInByPassword},
		{path: "/sign-in/provider", title: "Sign in", open: true, handle: goToProvider},
		{path: "/sign-in/return", title: "Sign in", open: true, handle: comeFromProvider},
		{path: "/sign-in/once", title: "Sign in", open: true, handle: signInByLink},
		{path: "/sign-out", method: http.MethodPost, title: "Sign out", open: true, handle: signOut},
		{path: "/theme", method: http.MethodPost, title: "Colours", open: true, handle: setTheme},
	}
}

// signInFirst answers people who are not, or no longer, signed in.
func (v *visit) signInFirst() {
	switch {
	case v.r.Header.Get("Accept") == "text/event-stream":
		http.Error(v.w, "signed out", http.StatusUnauthorized)
	case v.page.method == http.MethodGet:
		http.Redirect(v.w, v.r, "/sign-in?"+url.Values{"back": {v.here()}}.Encode(), http.StatusSeeOther)
	default:
		notice := ui.Notice{Tone: ui.Warn, Title: "You were signed out", Text: "What you sent was not saved: your session had ended.", Next: "Sign in, and do it again."}
		if err := v.signInPage(http.StatusUnauthorized, "/", "", &notice); err != nil {
			v.fail(err)
		}
	}
}

func showSignIn(v *visit) error {
	back := local(v.query("back"))
	if v.session.Name != "" {
		return v.done(back)
	}
	return v.signInPage(http.StatusOK, back, "", nil)
}

func (v *visit) signInPage(status int, back, name string, notice *ui.Notice) error {
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	if v.s.cfg.OpenID != nil {
		to := "/sign-in/provider?" + url.Values{"back": {back}}.Encode()
		blocks = append(blocks, ui.Section{Title: "Sign in", Lead: "Your organisation’s sign-in decides who may enter.",
			Blocks: []ui.Block{ui.Actions{Buttons: []ui.Button{{Label: "Sign in with your organisation", Href: to, Kind: "primary"}}}}})
		return v.showAs(status, ui.Header{}, blocks...)
	}
	accounts, err := v.s.store.Accounts(v.ctx())
	if err != nil {
		return err
	}
	if len(accounts) == 0 {
		lead := ui.Sentence{"There is no account yet. Make one on the command line: ", ui.Mono("seatline console set-password")}
		if v.s.SignInLink() != nil {
			lead = append(lead, " or print a link that signs you in once: ", ui.Mono("seatline console sign-in"))
		}
		return v.showAs(status, ui.Header{}, append(blocks, ui.Section{Title: "Sign in", Lead: lead})...)
	}
	form := ui.Form{Action: "/sign-in", Submit: "Sign in", Groups: ui.Fields(
		ui.Field{Name: "name", Label: "Name", Value: name, Autocomplete: "username", Required: true, Wide: true},
		ui.Field{Name: "password", Label: "Password", Kind: "password", Autocomplete: "current-password", Required: true, Wide: true},
		ui.Field{Name: "back", Kind: "hidden", Value: back},
	)}
	blocks = append(blocks, ui.Section{Title: "Sign in", Lead: "With an account of this console.", Blocks: []ui.Block{form}})
	return v.showAs(status, ui.Header{}, blocks...)
}

func signInByPassword(v *visit) error {
	back := local(v.form("back"))
	if v.s.cfg.OpenID != nil {
		return v.done("/sign-in?" + url.Values{"back": {back}}.Encode())
	}
	name := v.form("name")
	person, err := v.s.store.SignIn(v.ctx(), name, telemetry.Secret(v.r.PostFormValue("password")), v.address())
	var tooMany *access.TooMany
	switch {
	case errors.As(err, &tooMany):
		v.s.log.WarnContext(v.ctx(), "sign-in throttled", "account", name, "address", v.address())
		notice := ui.Notice{Tone: ui.Bad, Title: "Too many attempts", Text: "From here, or for this account, there were too many wrong passwords.", Next: "Try again in " + ui.Span(tooMany.Wait+time.Second) + "."}
		v.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(tooMany.Wait.Seconds()))))
		return v.signInPage(http.StatusTooManyRequests, back, name, &notice)
	case errors.Is(err, access.ErrWrong):
		v.s.log.WarnContext(v.ctx(), "sign-in refused", "account", name, "address", v.address())
		notice := ui.Notice{Tone: ui.Bad, Title: "Not signed in", Text: "The name or the password is wrong.", Next: "Try again. A password is set anew with: seatline console set-password"}
		return v.signInPage(http.StatusUnauthorized, back, name, &notice)
	case err != nil:
		return err
	}
	return v.enter(person, access.ByPassword, back)
}

// enter begins a session, a new one even where there was one, so that nobody can have planted it.
func (v *visit) enter(p access.Person, by access.Method, back string) error {
	if v.id != "" {
		if err := v.s.store.End(v.ctx(), v.id); err != nil {
			return err
		}
	}
	id, err := v.s.store.Begin(v.ctx(), p, by, v.address())
	if err != nil {
		return err
	}
	v.s.setCookie(v.w, "session", id, v.s.store.Max)
	v.s.setCookie(v.w, "form", "", 0)
	v.s.log.InfoContext(v.ctx(), "signed in", "who", p.Name, "role", p.Role, "method", by, "address", v.address())
	return v.done(back)
}

func signInByLink(v *visit) error {
	if strings.Contains(v.r.Header.Get("Sec-Purpose"), "prefetch") || v.r.Method == http.MethodHead { // nobody has clicked yet
		v.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if v.s.SignInLink() != nil {
		p, ok, err := v.s.store.UseLink(v.ctx(), v.query("link"))
		if err != nil {
			return err
		}
		if ok {
			return v.enter(p, access.ByLink, "/")
		}
	}
	if v.session.Name != "" { // the link once more, by one who is in already
		return v.done("/")
	}
	notice := ui.Notice{Tone: ui.Warn, Title: "This link does not sign in any more", Text: "Each link works once, and for 15 minutes.", Next: "Print another one: seatline console sign-in"}
	return v.signInPage(http.StatusForbidden, "/", "", &notice)
}

func signOut(v *visit) error {
	if v.id != "" {
		if err := v.s.store.End(v.ctx(), v.id); err != nil {
			return err
		}
		v.s.log.InfoContext(v.ctx(), "signed out", "who", v.session.Name)
	}
	v.s.setCookie(v.w, "session", "", 0)
	return v.done("/sign-in")
}

func setTheme(v *visit) error {
	theme := v.form("theme")
	if theme != "light" && theme != "dark" {
		theme = ""
	}
	v.remember("theme", theme)
	return v.done(local(v.form("back")))
}

func goToProvider(v *visit) error {
	if v.s.cfg.OpenID == nil {
		return v.done("/sign-in")
	}
	to, state, err := v.s.cfg.OpenID.Start(v.ctx(), v.s.store, local(v.query("back")))
	if err != nil {
		return v.providerFailed(err)
	}
	// The state comes back through the provider, and must be the one of this very browser.
	v.s.setCookie(v.w, "state", state, 10*time.Minute)
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

func comeFromProvider(v *visit) error {
	if v.s.cfg.OpenID == nil {
		return v.done("/sign-in")
	}
	state := v.query("state")
	own := v.remembered("state")
	v.s.setCookie(v.w, "state", "", 0)
	if state == "" || state != own {
		return v.startAgain("The answer belongs to another visit, or took too long.")
	}
	flow, ok, err := v.s.store.EndFlow(v.ctx(), state)
	if err != nil {
		return err
	}
	if !ok {
		return v.startAgain("The answer came twice, or took longer than 10 minutes.")
	}
	if refused := v.query("error"); refused != "" {
		text := "It says: " + refused
		if more := v.query("error_description"); more != "" {
			text += " (" + more + ")"
		}
		return v.startAgain(text)
	}
	person, err := v.s.cfg.OpenID.Finish(v.ctx(), flow, v.query("code"))
	if errors.Is(err, access.ErrOutside) {
		v.s.log.WarnContext(v.ctx(), "sign-in refused", "who", person.Name, "address", v.address(), "err", err)
		notice := ui.Notice{Tone: ui.Bad, Title: "You may not enter", Text: "Your organisation knows you as " + person.Name + ", and this console lets in other people or groups.", Next: "Ask whoever runs Seatline to add you to its operators or viewers."}
		return v.signInPage(http.StatusForbidden, "/", "", &notice)
	}
	if err != nil {
		return v.providerFailed(err)
	}
	return v.enter(person, access.ByOpenID, local(flow.Back))
}

func (v *visit) startAgain(text string) error {
	notice := ui.Notice{Tone: ui.Warn, Title: "Your organisation’s sign-in was not completed", Text: text, Next: "Sign in again."}
	return v.signInPage(http.StatusForbidden, "/", "", &notice)
}

func (v *visit) providerFailed(err error) error {
	v.s.log.ErrorContext(v.ctx(), "sign-in at the provider failed", "err", err)
	notice := ui.Notice{Tone: ui.Bad, Title: "Your organisation’s sign-in did not work", Text: "The console and the identity provider did not come to terms; the console’s log says what was wrong.", Next: "Try again. If it stays, tell whoever runs Seatline."}
	return v.signInPage(http.StatusBadGateway, "/", "", &notice)
}
