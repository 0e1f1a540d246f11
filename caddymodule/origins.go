package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
)

// forEveryone lets pages of any other site read an answer that is as public as
// its address.
func forEveryone(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

// preflight lets a page of another site send any of the methods with any body:
// its browser asks first, where the body's type is not one that a form has. The star
// is for all headers but Authorization, and for none where cookies come along (Fetch,
// section 4.9): those that mean something here are named.
func preflight(h http.Header, methods []string) {
	h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID, *")
}

// share lets pages of the origins that are named read an answer, with their
// visitors' cookies.
func (c *Comet) share(h http.Header, r *http.Request) {
	if len(c.Origins) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); slices.Contains(c.Origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", "Comet-Denied, Retry-After")
	}
}

// checkOrigin reports what is wrong with an origin (RFC 6454 section 6.2).
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || origin != strings.ToLower(u.Scheme+"://"+u.Host) {
		return fmt.Errorf("%q is no origin; write scheme, host and perhaps port, in small letters, as in https://app.example", origin)
	}
	return nil
}

// isScript reports whether the answer is a script, which pages of any site can run:
// their browsers send the visitor's cookies with the request, and name no origin.
func isScript(ask dialect.Ask) bool {
	return ask.Answer != nil && slices.Contains([]string{"jsonp", "script"}, ask.Answer.Transport())
}

// Why a page of another site is refused that asks by its visitor's session, with a GET
// that names no origin.
const (
	foreignScript  = "the request has the visitor's session, and is not from a page of this site, which a script would tell everything; use another transport, and name the page's origin: origins <origin>"
	foreignPicture = "the request has the visitor's session, and is not from a page of this site, so it publishes nothing; name the page's origin: origins <origin>"
)

// ours reports whether a request that may have the visitor's session is from a page of
// this site, or from no page. Browsers say from where they ask (Fetch Metadata), and
// older ones which page it is.
func (c *Comet) ours(r *http.Request) bool {
	if c.Token.inAddress(r) {
		return true // a page that knows it has been let in
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		return r.Header.Get("Cookie") == "" && r.Header.Get("Authorization") == "" || c.refersTo(r, r.Host)
	}
	return c.refersTo(r, "")
}

// refersTo reports whether the page that asks is of a host, or of an origin that is
// named.
func (c *Comet) refersTo(r *http.Request, host string) bool {
	u, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Host, host) || slices.Contains(c.Origins, u.Scheme+"://"+strings.ToLower(u.Host))
}

// foreign says why a page of another site may not read the answer, which its
// browser would keep from it anyway; but not that on a WebSocket, of which it leaves
// the judgement to us (RFC 6455 section 10.2). Browsers name the origin of a page that
// asks for it; who runs the site may let others in by a header.
func foreign(w http.ResponseWriter, r *http.Request, socket bool) string {
	origin := r.Header.Get("Origin")
	allowed := w.Header().Get("Access-Control-Allow-Origin")
	switch {
	case origin == "", allowed != "" && !socket, allowed == origin:
		return ""
	case allowed == "*" && r.Header.Get("Cookie") == "" && r.Header.Get("Authorization") == "":
		return "" // as for a fetch without credentials
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" {
		// A proxy in front may have added the port that the scheme has anyway.
		port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
		if strings.EqualFold(u.Host, strings.TrimSuffix(r.Host, port)) {
			return ""
		}
	}
	if allowed == "*" {
		return "the page's origin is not this site, and the request has the visitor's cookies: name the origin in the Caddyfile, by origins <origin> in the block of comet"
	}
	return "the page's origin is not this site, so it may not read the answer; the site's Caddyfile lets it by: origins <origin>, in the block of comet"
}
