package caddymodule

import (
	"encoding/json"
	"net"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// successor is the home of the server that listens, in the configuration now in
// force, where this one did when the connection came, by the same rules. It must
// be the very same address: a connection from outside must never land on a
// server that is for this machine only.
func (h *home) successor(local net.Addr) *home {
	app := newestApp()
	if app == nil || h.tls == unknownPolicies {
		return nil
	}
	for _, srv := range h.listeners(app, local) {
		if next := app.home(srv); next != nil && next != h && next.tls == h.tls {
			return next
		}
	}
	return nil
}

// Open reports whether a connection that came at an address can still be returned.
func (h *home) Open(local net.Addr) bool {
	return !h.closed.Load() || h.successor(local) != nil
}

// loggers are the names of the access loggers for a host, as the server is
// configured now on which a connection came, or was when nothing is any more.
func (h *home) loggers(local net.Addr, host string) []string {
	logs := h.logs
	if app := newestApp(); app != nil && h.closed.Load() {
		logs = nil
		if servers := h.listeners(app, local); len(servers) > 0 {
			logs = servers[0].Logs
		}
	}
	if logs == nil {
		return []string{""}
	}
	return loggerNames(logs, host)
}

// listeners are a configuration's servers that listen where this one did.
func (h *home) listeners(app *App, local net.Addr) (servers []*caddyhttp.Server) {
	listen, ok := listenerOf(h.listen, local)
	for _, srv := range app.http().Servers {
		if ok && slices.Contains(srv.Listen, listen) {
			servers = append(servers, srv)
		}
	}
	return servers
}

// listenerOf returns the one of a server's addresses at which a connection came,
// as it is written there.
func listenerOf(listen []string, local net.Addr) (string, bool) {
	var found []string
	for _, l := range listen {
		a, err := caddy.ParseNetworkAddress(l)
		if err == nil && at(a, local) {
			found = append(found, l)
		}
	}
	if len(found) != 1 {
		return "", false
	}
	return found[0], true
}

// at reports whether a connection can have come at an address.
func at(a caddy.NetworkAddress, local net.Addr) bool {
	switch local := local.(type) {
	case *net.UnixAddr:
		path, _, _ := strings.Cut(a.Host, "|") // behind it the socket's mode
		return a.IsUnixNetwork() && path == local.Name
	case *net.TCPAddr:
		if !strings.HasPrefix(a.Network, "tcp") || uint(local.Port) < a.StartPort || uint(local.Port) > a.EndPort {
			return false
		}
		ip := net.ParseIP(a.Host)
		return a.Host == "" || ip == nil || ip.IsUnspecified() || ip.Equal(local.IP)
	}
	return false
}

// policiesOf are a server's TLS policies as text, "" where it has none. Caddy
// forgets parts of them (matchers, whom to trust) when it provisions them, which
// is after it has provisioned the handlers.
func policiesOf(srv *caddyhttp.Server) string {
	if len(srv.TLSConnPolicies) == 0 {
		return ""
	}
	for _, p := range srv.TLSConnPolicies {
		if p.ClientAuthentication != nil {
			return unknownPolicies // whom it trusts may stand in files
		}
	}
	text, err := json.Marshal(srv.TLSConnPolicies)
	if err != nil {
		return unknownPolicies
	}
	return string(text)
}

// unknownPolicies are not the same as any others.
const unknownPolicies = "unknown"
