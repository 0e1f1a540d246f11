package caddymodule

import (
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/rewrite"
	"go.uber.org/zap"
)

// warnOfRewrites says where a rewrite that runs earlier can hide comet: a site
// with `try_files {path} /index.php` has made /index.php of /comet/orders before
// comet sees it.
func (a *App) warnOfRewrites() {
	for srv := range a.servers {
		if hiddenByRewrite(srv.Routes, false) {
			a.logger.Warn("a rewrite or try_files runs before comet and can change the path that comet is to match; put each into a handle block of its own",
				zap.Strings("listen", srv.Listen), zap.String("example", "handle /comet/* { comet }"))
		}
	}
}

// hiddenByRewrite walks routes in the order in which they run, and reports
// whether a comet handler stands behind a rewrite of the same chain.
func hiddenByRewrite(routes caddyhttp.RouteList, rewritten bool) bool {
	for _, route := range routes {
		for _, handler := range route.Handlers {
			switch h := handler.(type) {
			case *rewrite.Rewrite:
				rewritten = rewritten || h.URI != ""
			case *Comet:
				if rewritten {
					return true
				}
			case *caddyhttp.Subroute:
				if hiddenByRewrite(h.Routes, rewritten) {
					return true
				}
			}
		}
	}
	return false
}
