package caddymodule

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI is comet under Caddy's admin endpoint, for the machine's
// administrator:
//
//	GET /comet/                     all hubs, and the file watches
//	GET /comet/_holds               what is held in all of them
//	…   /comet/<hub>/…              as comet_publish serves it
//	…   /comet/_doctor              see serveDoctor
//
// Whoever reaches the admin endpoint owns the server; PHP publishes through
// comet_publish. Caddy itself checks Host and Origin here.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.comet", New: func() caddy.Module { return new(adminAPI) }}
}

// Routes returns the endpoint's routes.
func (adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: "/comet/", Handler: caddy.AdminHandlerFunc(serveAdmin)}}
}

// serveAdmin looks the hub up for each request: the admin endpoint may be that
// of a configuration which failed to load.
func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	name, channels, inHub := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/comet/"), "/")
	if name == "" && !inHub {
		if allow(w, r, http.MethodGet, http.MethodHead) {
			writeJSON(w, http.StatusOK, currentStatus())
		}
		return nil
	}
	if name == doctorName {
		serveDoctor(w, r, channels)
		return nil
	}
	if name == holdsName && !inHub {
		if allow(w, r, http.MethodGet, http.MethodHead) {
			listHolds(w, r, runningHubs())
		}
		return nil
	}
	if unescaped, err := url.PathUnescape(name); err == nil {
		name = unescaped // the namespace default/doorbell is written default%2Fdoorbell
	}
	h, ok := findHub(name)
	if !ok {
		writeError(w, http.StatusNotFound, noHub(name))
		return nil
	}
	e := endpoint{hub: h}
	if e.serveMembers(w, r, channels) {
		return nil
	}
	if strings.Contains(channels, "/") {
		writeError(w, http.StatusNotFound, fmt.Errorf("after the hub comes one channel; write a slash in its name as %%2F"))
		return nil
	}
	e.serve(w, r, channels)
	return nil
}

// Interface guards
var _ caddy.AdminRouter = adminAPI{}
