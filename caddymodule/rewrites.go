package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
	"go.uber.org/zap"
)

// warnOfRewrites says where a rewrite that runs earlier can hide comet: a site
// with `try_files {path} /index.php` has made /index.php of /comet/orders before
// comet sees it.
func (a *App) warnOfRewrites() {
	for srv := range a.servers {
		if hiddenByRewrite(srv.Routes, cometPaths(srv.Routes), false) {
			a.logger.Warn("a rewrite or try_files runs before comet and can change the path that comet is to match; put each into a handle block of its own",
				zap.Strings("listen", srv.Listen), zap.String("example", "handle /comet/* { comet }"))
		}
	}
}

// cometPaths returns the path matchers of all routes that lead to comet. Where
// comet itself has none, as in the handle recipe, those around it count.
func cometPaths(routes caddyhttp.RouteList) []caddyhttp.MatchPath {
	paths, _ := pathsToComet(routes)
	return paths
}

func pathsToComet(routes caddyhttp.RouteList) (paths []caddyhttp.MatchPath, found bool) {
	for _, route := range routes {
		var own bool
		for _, handler := range route.Handlers {
			switch h := handler.(type) {
			case *Comet:
				found, own = true, true
			case *caddyhttp.Subroute:
				inner, ok := pathsToComet(h.Routes)
				paths, found = append(paths, inner...), found || ok
				own = own || ok && len(inner) == 0
			}
		}
		if !own {
			continue
		}
		for _, set := range route.MatcherSets {
			for _, m := range set {
				if path, ok := m.(*caddyhttp.MatchPath); ok {
					paths = append(paths, *path)
				}
			}
		}
	}
	return paths, found
}

// hiddenByRewrite walks routes in the order in which they run, and reports
// whether a comet handler stands behind a rewrite of the same chain that leads
// elsewhere.
func hiddenByRewrite(routes caddyhttp.RouteList, paths []caddyhttp.MatchPath, rewritten bool) bool {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch h := handler.(type) {
			case *rewrite.Rewrite:
				rewritten = rewritten || h.URI != "" && !leadsTo(paths, h.URI)
			case *Comet:
				if rewritten {
					return true
				}
			case *caddyhttp.Subroute:
				if hiddenByRewrite(h.Routes, paths, rewritten) {
					return true
				}
			}
		}
	}
	return false
}

// leadsTo reports whether a rewrite's target is one of the paths, and so meant
// for comet.
func leadsTo(paths []caddyhttp.MatchPath, target string) bool {
	target, _, _ = strings.Cut(target, "?")
	if strings.Contains(target, "{") {
		return false
	}
	r := &http.Request{URL: &url.URL{Path: target}}
	repl := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r, repl, nil, nil)
	return slices.ContainsFunc(paths, func(m caddyhttp.MatchPath) bool {
		ok, err := m.MatchWithError(r)
		return ok && err == nil
	})
}
