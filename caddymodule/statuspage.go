package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/client"
)

func init() {
	caddy.RegisterModule(new(StatusPage))
	httpcaddyfile.RegisterHandlerDirective("comet_status", parseStatusPage)
	// Before comet_publish, which may have no matcher.
	httpcaddyfile.RegisterDirectiveOrder("comet_status", httpcaddyfile.After, "encode")
}

// StatusPage is a page that shows how the hubs are doing, live, and what happens on
// their channels; and the same as JSON, at `status.json` beside it.
//
// It is for programs and browsers on this machine, unless `allow` says who else may
// see it.
type StatusPage struct {
	// The only hub whose figures and events are shown. Default: all.
	Hub string `json:"hub,omitempty"`

	// Who may see the page: `users` whom Caddy has authenticated, wherever they are
	// (`basic_auth` does that), or `everyone` who gets as far as this handler. Default:
	// whoever is on this machine.
	Allow string `json:"allow,omitempty"`

	// Keeps the events of channels, and the channels' names, to themselves.
	HideEvents bool `json:"hide_events,omitempty"`

	app *App
	use *hubUse // nil where all hubs are shown
}

// Who may see the page.
const (
	allowUsers    = "users"
	allowEveryone = "everyone"
)

// CaddyModule returns the Caddy module information.
func (*StatusPage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.comet_status", New: func() caddy.Module { return new(StatusPage) }}
}

// Provision refers to the hub.
func (s *StatusPage) Provision(ctx caddy.Context) error {
	if err := s.check(); err != nil {
		return fmt.Errorf("comet_status: %w", err)
	}
	app, err := ctx.App("comet")
	if err != nil {
		return err
	}
	s.app = app.(*App)
	if s.Hub != "" {
		if s.use, err = s.app.serve(s.Hub, Settings{}, nil); err != nil {
			return fmt.Errorf("comet_status: %w", err)
		}
	}
	s.app.shows(s.Hub)
	s.app.onShutdown(ctx, false)
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	return s.checkListeners(srv)
}

func (s *StatusPage) check() error {
	switch s.Allow {
	case "", allowUsers, allowEveryone:
		return nil
	}
	return fmt.Errorf("allow %q: allow users (whom basic_auth lets in) or allow everyone; without it the page is for this machine alone", s.Allow)
}

// ServeHTTP serves the page.
func (s *StatusPage) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	guardPage(w.Header())
	if err := s.admit(r); err != nil {
		writeText(w, http.StatusForbidden, err.Error())
		return nil
	}
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return nil
	}
	s.app.awaitReady(r.Context())
	path := asBrowsersSee(r)
	switch name := lastElement(path); name {
	case "":
		if wantsJSON(r) {
			writeJSON(w, http.StatusOK, s.status())
			return nil
		}
		servePageFile(w, r, "index.html")
	case "page.js", "page.css", "icon.svg":
		servePageFile(w, r, name)
	case "status.json":
		writeJSON(w, http.StatusOK, s.status())
	case "history.json":
		writeRawJSON(w, http.StatusOK, sampling.recorder.History(s.Hub, r.URL.Query().Get("by") == "minutes"))
	case "live":
		return s.live(w, r)
	case "channels.json":
		s.channels(w, r)
	case "events":
		return s.events(w, r)
	default:
		if strings.Contains(name, ".") {
			writeText(w, http.StatusNotFound, "the status page has no "+name+"; it is one level up")
			return nil
		}
		// What the page loads stands behind a slash. Relative, so that it leads nowhere
		// else, and works below a prefix that a handler took off.
		w.Header().Set("Location", "./"+url.PathEscape(unescaped(name))+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
	}
	return nil
}

// asBrowsersSee is the escaped path that the client asked for, whatever handlers made
// of it: from there it follows links.
func asBrowsersSee(r *http.Request) string {
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok && original.URL != nil {
		return original.URL.EscapedPath()
	}
	return r.URL.EscapedPath()
}

func unescaped(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		return u
	}
	return s
}

func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// guardPage keeps the page to itself: nothing of elsewhere runs in it, no page frames
// it, and none of elsewhere reads it.
func guardPage(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Robots-Tag", "noindex")
}

func servePageFile(w http.ResponseWriter, r *http.Request, name string) {
	file := client.Page[name]
	h := w.Header()
	h.Set("Content-Type", map[string]string{
		"index.html": "text/html; charset=utf-8", "page.js": "text/javascript; charset=utf-8",
		"page.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
	}[name])
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", file.ETag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(file.Text))
}

// parseStatusPage reads the directive. Syntax:
//
//	comet_status [<matcher>] {
//		hub   <name>
//		allow users|everyone
//		hide_events
//	}
func parseStatusPage(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	s := new(StatusPage)
	return s, s.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads the directive; see parseStatusPage for the syntax.
func (s *StatusPage) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	a := d.RemainingArgs()
	if err := matcherFirst(d, "comet_status", a); err != nil {
		return err
	}
	if len(a) > 0 {
		return d.Errf("comet_status takes no word but a matcher; the hub goes into the block: hub %s", a[0])
	}
	return options{
		"hub": text(&s.Hub),
		"allow": {read: func(d *caddyfile.Dispenser) error {
			a, err := args(d, "users or everyone", 1, 1)
			if err != nil {
				return err
			}
			if s.Allow = a[0]; s.Allow == "" {
				return d.WrapErr(errors.New("allow: users or everyone"))
			}
			if err := s.check(); err != nil {
				return d.WrapErr(err)
			}
			return nil
		}},
		"hide_events": flag(&s.HideEvents),
	}.parse(d, "comet_status")
}

// Interface guards
var (
	_ caddy.Provisioner           = (*StatusPage)(nil)
	_ caddyhttp.MiddlewareHandler = (*StatusPage)(nil)
	_ caddyfile.Unmarshaler       = (*StatusPage)(nil)
)
