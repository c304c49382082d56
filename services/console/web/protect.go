package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
)

// policy lets a page load what is its own and nothing else, run no script inside of it, and be shown
// in no frame.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// protect is around everything: headers, the host's name, and requests that other sites made.
func (s *Server) protect(next http.Handler) http.Handler {
	foreign := http.NewCrossOriginProtection()
	foreign.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Refused: the request comes from another site. Open the console itself and try again there.", http.StatusForbidden)
	}))
	checked := foreign.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		if s.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		if !s.ourHost(r.Host) {
			http.Error(w, "The console is not at "+r.Host+". It is at "+s.URL(), http.StatusMisdirectedRequest)
			return
		}
		checked.ServeHTTP(w, r)
	})
}

// ourHost refuses names that somebody else made point to this machine: with them a foreign page could
// read ours (DNS rebinding).
func (s *Server) ourHost(host string) bool {
	if s.cfg.URL != "" && strings.EqualFold(host, s.base.Host) {
		return true
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if loopback(s.listener.Addr().String()) {
		_, own, _ := net.SplitHostPort(s.listener.Addr().String())
		ip := net.ParseIP(strings.Trim(name, "[]"))
		return port == own && (strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback())
	}
	return s.cfg.URL == "" // nobody said what it is called
}

// cookie is the name of a cookie. Behind TLS the prefix ties it to this very host. On this machine the
// port is part of the name: browsers do not tell ports apart, and two consoles may run here.
func (s *Server) cookie(name string) string {
	if s.secure {
		return "__Host-seatline-" + name
	}
	_, port, _ := net.SplitHostPort(s.listener.Addr().String())
	return "seatline-" + port + "-" + name
}

func (s *Server) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	c := &http.Cookie{Name: s.cookie(name), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.secure}
	switch {
	case value == "":
		c.MaxAge = -1
	case life > 0:
		c.MaxAge = int(life / time.Second)
	}
	http.SetCookie(w, c)
}

// remember keeps a choice in the browser: the theme, the connection looked at last.
func (v *visit) remember(name, value string) {
	if v.remembered(name) != value {
		v.s.setCookie(v.w, name, value, 365*24*time.Hour)
	}
}

func (v *visit) remembered(name string) string {
	if c, err := v.r.Cookie(v.s.cookie(name)); err == nil {
		return c.Value
	}
	return ""
}

func (v *visit) theme() string {
	if t := v.remembered("theme"); t == "light" || t == "dark" {
		return t
	}
	return ""
}

// formToken goes into every form and must come back with it. It is made of the session's secret, or
// before there is a session of a secret in a cookie of its own.
func (v *visit) formToken() string {
	secret := v.id
	if secret == "" {
		if secret = v.remembered("form"); len(secret) < 20 {
			secret = rand.Text()
			v.s.setCookie(v.w, "form", secret, 0)
		}
	}
	return tokenOf(secret)
}

func tokenOf(secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("seatline form"))
	return hex.EncodeToString(mac.Sum(nil))
}

// checkForm reads what was posted and refuses it unless it comes from a form of ours.
func (v *visit) checkForm() error {
	kind, _, _ := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
	var err error
	if kind == "multipart/form-data" {
		err = v.r.ParseMultipartForm(maxForm)
	} else {
		err = v.r.ParseForm()
	}
	if err != nil {
		return err
	}
	secret := v.id
	if secret == "" {
		secret = v.remembered("form")
	}
	if secret == "" || subtle.ConstantTimeCompare([]byte(v.r.PostFormValue("token")), []byte(tokenOf(secret))) != 1 {
		return rpc.Errorf(codes.PermissionDenied, "FORM_STALE", "The form is not one that this session was given; nothing was done.").
			Do("Go back, reload the page, and send the form again.")
	}
	return nil
}

// address of the caller, for throttling and for the list of sessions.
func (v *visit) address() string {
	if v.s.cfg.Proxy {
		// The last entry is the proxy's own word; what stands before it anyone can write.
		if forwarded := v.r.Header.Values("X-Forwarded-For"); len(forwarded) > 0 {
			parts := strings.Split(forwarded[len(forwarded)-1], ",")
			if ip := net.ParseIP(strings.TrimSpace(parts[len(parts)-1])); ip != nil {
				return ip.String()
			}
		}
	}
	host, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		return v.r.RemoteAddr
	}
	return host
}

// here is the page's own address, to come back to.
func (v *visit) here() string {
	if v.r.Method != http.MethodGet {
		return "/"
	}
	return v.r.URL.RequestURI()
}

// local keeps a way back within the console: a path of ours, never an address elsewhere.
func local(back string) string {
	u, err := url.Parse(back)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.ContainsAny(back, "\\\r\n\t") {
		return "/"
	}
	return back
}
