package web

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/console/web/access"
	"seatline.dev/services/console/web/ui"
	"seatline.dev/services/overview"
)

// visit is one request to a page: who asks, about which connection, and the services to ask in turn.
type visit struct {
	// Services to ask. Calls made with the visit's context are those of the person who is signed in; any other is refused.
	overview.Services
	s    *Server
	w    http.ResponseWriter
	r    *http.Request
	nav  navigation
	page page

	session access.Session
	id      string // the cookie's secret
	// connection that the page is about; nil when it is about none.
	connection *connectionv1.Connection
	// clients are names of customers in Halo that were looked up, by their ids; see nameClients.
	clients map[string]string
	// all connections that are not deleted.
	all []*connectionv1.Connection
}

// maxForm bounds what a form may send, files included.
const maxForm = 16 << 20

// maxOpenForm bounds what those may send who have not signed in: a name, a password and an address.
const maxOpenForm = 64 << 10

// answer lets the right people in, checks what they send, and calls the page.
func (v *visit) answer() {
	most := int64(maxForm)
	if v.page.open {
		most = maxOpenForm
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, most)
	signedIn, err := v.identify()
	switch {
	case err != nil:
		v.fail(err)
		return
	case !signedIn && !v.page.open:
		v.signInFirst()
		return
	}
	if v.page.method != http.MethodGet {
		if err := v.checkForm(); err != nil {
			v.fail(err)
			return
		}
	}
	if signedIn {
		v.r = v.r.WithContext(context.WithValue(v.r.Context(), personKey{}, v.session.Person))
		if !v.page.open && v.session.Role != rpc.RoleOperator && v.page.least() == rpc.RoleOperator {
			v.fail(rpc.Errorf(codes.PermissionDenied, "ROLE_FORBIDS", "%s is a viewer, and this is for operators", v.session.Name))
			return
		}
		if err := v.loadConnections(); err != nil {
			v.fail(err)
			return
		}
	}
	if err := v.page.handle(v); err != nil {
		v.fail(err)
	}
}

// identify finds out who asks.
func (v *visit) identify() (bool, error) {
	cookie, err := v.r.Cookie(v.s.cookie("session"))
	if err != nil {
		return false, nil
	}
	// A page's own stream does not keep a session from going idle.
	used := v.r.Header.Get("Accept") != "text/event-stream"
	session, ok, err := v.s.store.Session(v.ctx(), cookie.Value, used)
	if err != nil || !ok {
		return false, err
	}
	v.session, v.id = session, cookie.Value
	return true, nil
}

// loadConnections for the switcher, and the one that the page is about.
func (v *visit) loadConnections() error {
	client := v.Connections()
	resp, err := client.ListConnections(v.ctx(), &connectionv1.ListConnectionsRequest{PageSize: 1000})
	if err != nil {
		return err
	}
	v.all = resp.GetConnections()
	if !v.page.aboutConnection() {
		return nil
	}
	slug := v.param("connection")
	for _, c := range v.all {
		if c.GetSlug() == slug {
			v.connection = c
			v.remember("connection", slug)
			return nil
		}
	}
	return rpc.NotFound("connection", slug).Do("choose another connection")
}

// ctx of the request: with it, calls of services are those of the person who is signed in.
func (v *visit) ctx() context.Context { return v.r.Context() }

func (v *visit) now() time.Time { return v.s.clock.Now() }

// param is a part of the path, query a parameter after it, form a value that was posted.
func (v *visit) param(name string) string { return v.r.PathValue(name) }
func (v *visit) query(name string) string { return v.r.URL.Query().Get(name) }
func (v *visit) form(name string) string  { return strings.TrimSpace(v.r.PostFormValue(name)) }

// operator tells whether the person may command: what they may not do is not offered.
func (v *visit) operator() bool { return v.session.Role == rpc.RoleOperator }

// slug of the connection at hand: the page's own, else the one looked at last, else the first; "" when
// there is none.
func (v *visit) slug() string {
	if v.connection != nil {
		return v.connection.GetSlug()
	}
	last := v.remembered("connection")
	for _, c := range v.all {
		if c.GetSlug() == last {
			return last
		}
	}
	if len(v.all) > 0 {
		return v.all[0].GetSlug()
	}
	return ""
}

// at is an address of the connection at hand: at("/plan") is "/c/acme/plan".
func (v *visit) at(rest string) string { return "/c/" + v.slug() + rest }

// show draws the page.
func (v *visit) show(header ui.Header, blocks ...ui.Block) error {
	return v.showAs(http.StatusOK, header, blocks...)
}

// showAs is show with another status, for example 422 for a form with something wrong in it.
func (v *visit) showAs(status int, header ui.Header, blocks ...ui.Block) error {
	l := ui.Layout{Title: header.Title, Header: header, Blocks: blocks, Theme: v.theme(), Here: v.here()}
	if l.Title == "" {
		l.Title = v.page.title
	}
	if v.session.Name != "" {
		l.Person, l.Role = v.session.Name, roleWord(v.session.Role)
		l.Nav = v.nav.groups(v.slug(), v.page.nav)
		for _, c := range v.all {
			l.Connections = append(l.Connections, ui.Option{Value: c.GetSlug(), Label: connectionName(c), Selected: c.GetSlug() == v.slug()})
		}
		if v.connection != nil {
			l.Title += " · " + connectionName(v.connection)
		}
		var flash []ui.Notice
		if _, err := v.s.store.TakeFlash(v.ctx(), v.id, &flash); err != nil {
			return err
		}
		l.Flash = flash
	}
	var out bytes.Buffer
	if err := v.s.ui.Page(&out, l, v.formToken()); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, err := out.WriteTo(v.w)
	if err != nil { // they went away
		v.s.log.DebugContext(v.ctx(), "page not sent", "err", err)
	}
	return nil
}

// done leads to another page after something was done, which says so there.
func (v *visit) done(path string, said ...ui.Notice) error {
	if len(said) > 0 && v.id != "" {
		if err := v.s.store.PutFlash(v.ctx(), v.id, said); err != nil {
			return err
		}
	}
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

// said is a notice that something went well.
func said(text string) ui.Notice { return ui.Notice{Tone: ui.Good, Text: text} }

// fail shows an error: what happened, to what, and what to do.
func (v *visit) fail(err error) {
	if v.ctx().Err() != nil { // nobody is there any more
		return
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		err = rpc.Errorf(codes.InvalidArgument, "TOO_LARGE", "what was sent is larger than %s", map[bool]string{true: "64 kB", false: "16 MB"}[tooLarge.Limit == maxOpenForm]).Do("send it in parts")
	}
	e, known := rpc.ErrorFrom(err)
	if !known {
		v.s.log.ErrorContext(v.ctx(), "page failed", "path", v.r.URL.Path, "who", v.session.Name, "err", err)
	}
	status := http.StatusInternalServerError
	if known {
		status = httpStatus(e.Code)
	}
	notice := ui.ErrorNotice(err)
	title := notice.Title
	notice.Title = ""
	if err := v.showAs(status, ui.Header{Title: title}, *notice, ui.Paragraph{Text: ui.Link{Text: "Go to the overview", Href: "/"}}); err != nil {
		v.s.log.ErrorContext(v.ctx(), "error page failed", "path", v.r.URL.Path, "err", err)
		http.Error(v.w, "Something broke on our side; the console's log says more.", http.StatusInternalServerError)
	}
}

// missing answers addresses that no page has.
func (v *visit) missing() {
	v.page = page{title: "Not found", open: true, method: http.MethodGet, handle: func(v *visit) error {
		return rpc.Errorf(codes.NotFound, "NO_PAGE", "There is no page at %s.", v.r.URL.Path).Do("Follow the navigation, or go back.")
	}}
	v.answer()
}

func (v *visit) methodWrong(methods map[string]page) {
	v.w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
	v.page = page{title: "Not possible", open: true, method: http.MethodGet, handle: func(v *visit) error {
		notice := ui.Notice{Tone: ui.Bad, Text: "This address cannot be asked that way: it is where a form is sent to, or a page that is only read.", Next: "Go back, reload the page, and try again from there."}
		return v.showAs(http.StatusMethodNotAllowed, ui.Header{Title: "Not possible"}, notice)
	}}
	v.answer()
}

func httpStatus(code codes.Code) int {
	switch code {
	case codes.InvalidArgument, codes.OutOfRange:
		return http.StatusUnprocessableEntity
	case codes.NotFound:
		return http.StatusNotFound
	case codes.FailedPrecondition, codes.Aborted, codes.AlreadyExists:
		return http.StatusConflict
	case codes.PermissionDenied, codes.Unauthenticated:
		return http.StatusForbidden
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return http.StatusServiceUnavailable
	case codes.Unimplemented:
		return http.StatusNotImplemented
	default:
		return http.StatusInternalServerError
	}
}

func connectionName(c *connectionv1.Connection) string {
	if c.GetDisplayName() != "" {
		return c.GetDisplayName()
	}
	return c.GetSlug()
}

func roleWord(r rpc.Role) string {
	if r == rpc.RoleOperator {
		return "Operator"
	}
	return "Viewer"
}

// notOfConnection is for what exists, but under another connection.
func notOfConnection(noun, key, slug string) error {
	return rpc.NotFound(noun, key).Do("it belongs to another connection than %s: choose that one", slug)
}
