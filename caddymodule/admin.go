package caddymodule

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-comet/caddy-comet/internal/source"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

// adminAPI is comet under Caddy's admin endpoint, for the machine's
// administrator:
//
//	GET /comet/                     all hubs, and the file watches
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
	if unescaped, err := url.PathUnescape(name); err == nil {
		name = unescaped // the namespace default/doorbell is written default%2Fdoorbell
	}
	h, ok := findHub(name)
	if !ok {
		writeError(w, http.StatusNotFound, fmt.Errorf("there is no hub %q in the running configuration", name))
		return nil
	}
	e := endpoint{hub: h}
	if channel, ok := e.membersOf(r, channels); ok {
		e.serveMembers(w, channel)
		return nil
	}
	if strings.Contains(channels, "/") {
		writeError(w, http.StatusNotFound, fmt.Errorf("after the hub comes one channel; write a slash in its name as %%2F"))
		return nil
	}
	e.serve(w, r, channels)
	return nil
}

// status is what the admin endpoint tells of all hubs.
type status struct {
	Hubs    []hubStatus     `json:"hubs"`
	Watches []source.Status `json:"watches"`
}

type hubStatus struct {
	Hub          string            `json:"hub"`
	Cursor       string            `json:"cursor"`
	Held         int               `json:"held"`
	Channels     int               `json:"channels"`
	History      int               `json:"history"`
	HistoryBytes int64             `json:"history_bytes"`
	Opened       uint64            `json:"opened"`
	Delivered    uint64            `json:"delivered"`
	Published    map[string]uint64 `json:"published"`
	// Answered is how long it took until all who waited for an event had it.
	Answered publishTimes `json:"answered"`
	Store    *storeStatus `json:"store,omitempty"`
}

// storeStatus is how a hub's store is doing.
type storeStatus struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	// Error is why it takes nothing now.
	Error string `json:"error,omitempty"`
}

func currentStatus() status {
	s := status{Hubs: []hubStatus{}, Watches: []source.Status{}}
	for _, h := range runningHubs() {
		stats := h.Stats()
		s.Hubs = append(s.Hubs, hubStatus{
			Hub: h.name, Cursor: stats.Cursor.String(), Held: stats.Holds, Channels: stats.Channels,
			History: stats.Events, HistoryBytes: stats.HistoryBytes,
			Opened: stats.Opened, Delivered: stats.Delivered, Published: stats.Published, Answered: publishTimesOf(h.name), Store: h.storeStatus(),
		})
	}
	s.Watches = append(s.Watches, watching()...)
	slices.SortFunc(s.Watches, func(a, b source.Status) int {
		return cmp.Or(strings.Compare(a.Hub, b.Hub), strings.Compare(a.Glob, b.Glob), strings.Compare(string(a.What), string(b.What)))
	})
	return s
}

// Interface guards
var _ caddy.AdminRouter = adminAPI{}
