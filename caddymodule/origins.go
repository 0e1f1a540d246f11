package caddymodule

import (
	"net/http"
	"net/url"
	"strings"
)

// forEveryone lets pages of any other site read an answer that is as public as
// its address.
func forEveryone(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

// preflight lets a page of another site send any of the methods with any body:
// its browser asks first, where the body's type is not one that a form has.
func preflight(h http.Header, methods []string) {
	h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
	h.Set("Access-Control-Allow-Headers", "*")
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
		return "the page's origin is not this site, and the request has the visitor's cookies: name the origin in the Caddyfile, by header Access-Control-Allow-Origin <origin>, instead of *"
	}
	return "the page's origin is not this site, so it may not read the answer; the site's Caddyfile lets it by: header Access-Control-Allow-Origin <origin> (a line of its own: a block that also removes headers sets it too late)"
}
