package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"seatline.dev/pkg/rpc"
)

// page is what answers one method at one path. Each file of pages has a function that returns its own;
// pages lists these functions.
type page struct {
	// path is one of http.ServeMux: "/c/{connection}/runs/{run}". One that begins with /c/{connection} is
	// about a connection, which is read before handle is called (visit.connection).
	path string
	// method is GET if empty. GET changes nothing.
	method string
	// title for the browser's tab, and for the navigation where nav is set.
	title string
	// nav is the entry of the navigation that the page belongs to; see nav.go. The page whose path is the
	// shortest is where the entry leads.
	nav string
	// role is the least that is needed: viewer if empty, but operator for everything that is not GET.
	role rpc.Role
	// handle shows the page (visit.show), leads elsewhere (visit.done), or returns an error, which is
	// shown as a notice.
	handle func(*visit) error
	// open lets people in who are not signed in.
	open bool
}

// pages of the console. A file of pages adds its line here.
func pages() []page {
	return slices.Concat(
		signInPages(),
		overviewPages(),
		parityPages(),
		licencesPages(),
		subscriptionPages(),
		linesPages(),
		customerPages(),
		rulesPages(),
		leaveObservePages(),
		changesPages(),
		planPages(),
		runsPages(),
		deadLetterPages(),
		mappingsPages(),
		suggestionsPages(),
		topLevelPages(),
		importsPages(),
		intyPages(),
		connectionsPages(),
		validatePages(),
		methodPages(),
		integratorPages(),
		reportPages(),
		sessionsPages(),
	)
}

const ofConnection = "/c/{connection}"

func (p page) aboutConnection() bool {
	return p.path == ofConnection || strings.HasPrefix(p.path, ofConnection+"/")
}

func (p page) least() rpc.Role {
	switch {
	case p.role != "":
		return p.role
	case p.method == http.MethodGet:
		return rpc.RoleViewer
	default:
		return rpc.RoleOperator
	}
}

// routes of all pages, the assets, and what answers everything else.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	byPath := map[string]map[string]page{}
	all := pages()
	for i, p := range all {
		if p.method == "" {
			all[i].method, p.method = http.MethodGet, http.MethodGet
		}
		if byPath[p.path] == nil {
			byPath[p.path] = map[string]page{}
		}
		if _, twice := byPath[p.path][p.method]; twice {
			panic(fmt.Sprintf("two pages answer %s %s", p.method, p.path)) // a defect of the list above
		}
		byPath[p.path][p.method] = p
	}
	nav := newNavigation(all)
	for path, methods := range byPath {
		pattern := path
		if path == "/" {
			pattern = "/{$}"
		}
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			method := r.Method
			if method == http.MethodHead {
				method = http.MethodGet
			}
			v := &visit{Services: s.services, s: s, w: w, r: r, nav: nav}
			p, ok := methods[method]
			if !ok {
				v.methodWrong(methods)
				return
			}
			v.page = p
			v.answer()
		})
	}
	mux.Handle("/assets/", s.ui.Assets())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		v := &visit{Services: s.services, s: s, w: w, r: r, nav: nav}
		v.missing()
	})
	return s.protect(mux)
}
