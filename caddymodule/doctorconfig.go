package caddymodule

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-comet/caddy-comet/internal/doctor"
)

// runningConfig is what the doctor reads of a running configuration, Caddy's JSON.
type runningConfig struct {
	Apps struct {
		HTTP struct {
			Servers map[string]*struct {
				Listen       []string       `json:"listen"`
				Routes       []runningRoute `json:"routes"`
				WriteTimeout caddy.Duration `json:"write_timeout"`
			} `json:"servers"`
		} `json:"http"`
	} `json:"apps"`
}

type runningRoute struct {
	Match []struct {
		Host []string `json:"host"`
		Path []string `json:"path"`
	} `json:"match"`
	Handle []runningHandler `json:"handle"`
}

// runningHandler has the fields of all handlers that matter.
type runningHandler struct {
	Handler   string          `json:"handler"`
	Routes    []runningRoute  `json:"routes"`
	Dialect   string          `json:"dialect"`
	Hub       string          `json:"hub"`
	Authorize json.RawMessage `json:"authorize"`
	Token     json.RawMessage `json:"token"`
	Publish   bool            `json:"publish"`
	Users     []string        `json:"users"`
	Keys      []string        `json:"keys"`
	KeyFiles  []string        `json:"key_files"`
	JWTKeys   []JWTKey        `json:"jwt_keys"`
	Upstreams []struct {
		Dial string `json:"dial"`
	} `json:"upstreams"`
	FlushInterval caddy.Duration `json:"flush_interval"`
	Transport     struct {
		Protocol string            `json:"protocol"`
		Env      map[string]string `json:"env"`
	} `json:"transport"`
}

// readSetup finds what is ours, and the PHP behind it, in a configuration.
func readSetup(config []byte) (*doctor.Setup, error) {
	var c runningConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return nil, err
	}
	s := new(doctor.Setup)
	for _, name := range slices.Sorted(maps.Keys(c.Apps.HTTP.Servers)) {
		srv := c.Apps.HTTP.Servers[name]
		if srv == nil {
			continue
		}
		var listen []string
		for _, l := range srv.Listen {
			l, _, _ = strings.Cut(l, "|") // a socket's mode
			listen = append(listen, l)
		}
		r := setupReader{setup: s, listen: listen}
		named := func(r runningRoute) bool { return len(r.Match) > 0 && len(r.Match[0].Host) > 0 }
		for i, route := range srv.Routes {
			if i == 0 || named(route) || named(srv.Routes[i-1]) { // a site without a name has its routes side by side
				r.endSite()
			}
			r.route(route, nil, nil)
		}
		r.endSite()
		s.Servers = append(s.Servers, doctor.Server{Listen: listen, WriteTimeout: time.Duration(srv.WriteTimeout), Comet: r.comet})
	}
	return s, nil
}

// setupReader walks the routes of a server.
type setupReader struct {
	setup  *doctor.Setup
	listen []string
	comet  bool
	// hubs and sites are those of the Caddyfile's site that is read.
	hubs  []string
	sites []doctor.Site
}

// endSite adds what was read to the setup, and begins another site.
func (r *setupReader) endSite() {
	for i := range r.sites {
		r.sites[i].Hubs = r.hubs
	}
	r.setup.Sites = append(r.setup.Sites, r.sites...)
	r.hubs, r.sites = nil, nil
}

func (r *setupReader) route(route runningRoute, hosts, paths []string) {
	for i, m := range route.Match {
		if i == 0 && len(m.Host) > 0 {
			hosts = nil
		}
		if i == 0 && len(m.Path) > 0 {
			paths = nil
		}
		hosts, paths = append(hosts[:len(hosts):len(hosts)], m.Host...), append(paths[:len(paths):len(paths)], m.Path...)
	}
	for i := range route.Handle {
		r.handler(&route.Handle[i], hosts, paths)
	}
}

func (r *setupReader) handler(h *runningHandler, hosts, paths []string) {
	hub := cmp.Or(h.Hub, defaultHub)
	switch h.Handler {
	case "comet":
		r.comet = true
		line := doctor.Line{Dialect: cmp.Or(h.Dialect, nativeDialect), Hub: hub, Listen: r.listen, Hosts: hosts, Paths: paths}
		for name, guard := range map[string]json.RawMessage{"authorize": h.Authorize, "token": h.Token} {
			if len(guard) > 0 {
				line.Guards = append(line.Guards, name)
			}
		}
		slices.Sort(line.Guards)
		r.hubs = append(r.hubs, hub)
		if line.Dialect == "doorbell" {
			line.Hub += doorbellNamespace
			r.hubs = append(r.hubs, line.Hub)
		}
		r.setup.Lines = append(r.setup.Lines, line)
	case "comet_publish":
		r.setup.Publishers = append(r.setup.Publishers, doctor.Publisher{
			Hub: hub, Listen: r.listen, Hosts: hosts, Users: h.Users, Keys: len(h.Keys)+len(h.KeyFiles)+len(h.JWTKeys) > 0,
		})
	case "comet_backend":
		r.hubs = append(r.hubs, hub)
		if h.Publish {
			r.setup.Backends = append(r.setup.Backends, hub)
		}
	case "reverse_proxy":
		site := doctor.Site{Hosts: hosts, Proxy: h.Transport.Protocol != "fastcgi", Streams: h.FlushInterval < 0, Env: h.Transport.Env}
		for _, u := range h.Upstreams {
			site.Dial = append(site.Dial, u.Dial)
		}
		r.sites = append(r.sites, site)
	}
	for _, inner := range h.Routes {
		r.route(inner, hosts, paths)
	}
}
