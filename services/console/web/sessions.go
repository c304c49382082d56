package web

import (
	"net/http"

	"seatline.dev/pkg/rpc"
	"seatline.dev/services/console/web/access"
	"seatline.dev/services/console/web/ui"
)

func sessionsPages() []page {
	return []page{
		{path: "/you", title: "You", handle: showYou},
		{path: "/you/sign-out-everywhere", title: "Sign out everywhere", handle: askSignOutEverywhere},
		{path: "/you/sign-out-everywhere", method: http.MethodPost, title: "Sign out everywhere", role: rpc.RoleViewer, handle: signOutEverywhere},
	}
}

var methodOfSignIn = map[access.Method]string{access.ByPassword: "With a password", access.ByOpenID: "At your organisation", access.ByLink: "By a one-time link"}

// showYou says who is signed in, what that allows, and where else.
func showYou(v *visit) error {
	all, err := v.s.store.Sessions(v.ctx())
	if err != nil {
		return err
	}
	t := ui.Table{Caption: "Your sessions", Columns: []ui.Column{{Title: "Signed in", Wide: true}, {Title: "From"}, {Title: "Last used"}, {Title: "Ends at the latest"}}}
	for _, x := range all {
		if x.Name != v.session.Name {
			continue
		}
		where := any(methodOfSignIn[x.Method])
		if x.Created.Equal(v.session.Created) && x.Address == v.session.Address {
			where = ui.Beside{methodOfSignIn[x.Method], ui.Badge{Text: "This one", Tone: ui.Info}}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{
			ui.Stack{Top: where, Under: ui.Time{Time: x.Created}}, ui.Mono(x.Address), ui.Time{Time: x.Last, Ago: ui.Ago(x.Last, v.now())}, ui.Time{Time: x.ExpiresAt},
		}})
	}
	may := "You may look at everything but secrets. What changes something is for operators."
	if v.operator() {
		may = "You may look at everything but secrets, and change everything. What you change is recorded with your name."
	}
	password := "Your password is set anew on the command line: seatline console set-password"
	if v.s.cfg.OpenID != nil {
		password = "Your organisation’s sign-in decides who may enter, and in which role."
	}
	return v.show(ui.Header{Title: v.session.Name, Badges: []ui.Badge{{Text: roleWord(v.session.Role), Tone: ui.Info}}, Lead: may},
		ui.Section{Title: "Where you are signed in", Lead: "A session ends " + ui.Span(v.s.store.Idle) + " after it was last used, and " + ui.Span(v.s.store.Max) + " after it began in any case.",
			Actions: []ui.Button{{Label: "Sign out everywhere …", Href: "/you/sign-out-everywhere", Small: true}}, Blocks: []ui.Block{t}},
		ui.Paragraph{Text: ui.Quiet{Value: password}})
}

func askSignOutEverywhere(v *visit) error {
	return v.show(ui.Header{Title: "Sign out everywhere?", Crumbs: []ui.Link{{Text: "You", Href: "/you"}}}, ui.Confirm{
		Text:         "Every session of " + v.session.Name + " ends, this one too.",
		Consequences: []string{"Whoever has one of them open has to sign in again.", "What they were entering is not saved."},
		Form:         ui.Form{Action: "/you/sign-out-everywhere", Cancel: "/you", Submit: "Sign out everywhere", Danger: true},
	})
}

func signOutEverywhere(v *visit) error {
	n, err := v.s.store.EndOf(v.ctx(), v.session.Name)
	if err != nil {
		return err
	}
	v.s.log.InfoContext(v.ctx(), "signed out everywhere", "who", v.session.Name, "sessions", n)
	v.s.setCookie(v.w, "session", "", 0)
	return v.done("/sign-in")
}
