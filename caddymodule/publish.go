package caddymodule

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(new(Publish))
}

// Publish is the local endpoint that PHP posts to: `POST /<channel>` publishes
// the body, `GET /` lists the channels, `GET /<channel>` describes one and
// `DELETE /<channel>` forgets its history.
//
// It answers only programs on this machine: over a Unix socket, or over
// loopback. It refuses whoever comes from elsewhere, whatever the Host header
// says, through another proxy, or from a browser. A key lifts the bounds of the
// machine, not those of browsers.
type Publish struct {
	// The hub to publish in. Needed once hubs are declared in the `comet` app,
	// and only then allowed.
	Hub string `json:"hub,omitempty"`

	// Secrets of which each request must carry one, as
	// `Authorization: Bearer <key>`. At least 16 characters each; may be a
	// placeholder such as `{env.COMET_KEY}`.
	Keys []string `json:"keys,omitempty"`

	app  *App
	use  *hubUse
	keys [][sha256.Size]byte
	// onlySockets: there are tenants and no key, so no port may publish.
	onlySockets bool
}

// CaddyModule returns the Caddy module information.
func (*Publish) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.comet_publish", New: func() caddy.Module { return new(Publish) }}
}

// minKey is the least length of a key.
const minKey = 16

// Provision refers to the hub.
func (p *Publish) Provision(ctx caddy.Context) error {
	app, err := ctx.App("comet")
	if err != nil {
		return err
	}
	a := app.(*App)
	if p.use, err = a.serve(p.Hub, Settings{}, nil); err != nil {
		return err
	}
	p.app = a
	if err := p.readKeys(); err != nil {
		return err
	}
	a.onShutdown(ctx, false)
	p.onlySockets = len(a.Hubs) > 0 && len(p.keys) == 0
	if p.onlySockets {
		return refusePorts(ctx, p.use.hub.name)
	}
	return nil
}

func (p *Publish) readKeys() error {
	repl := caddy.NewReplacer()
	for _, key := range p.Keys {
		key, err := repl.ReplaceOrErr(key, true, true)
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		if len(key) < minKey {
			return fmt.Errorf("key: %d characters are too few to be a secret; use at least %d, for example from: openssl rand -hex 16", len(key), minKey)
		}
		p.keys = append(p.keys, sha256.Sum256([]byte(key)))
	}
	return nil
}

// refusePorts refuses a port without a key where there are tenants: every local
// user reaches loopback.
func refusePorts(ctx caddy.Context, hub string) error {
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	for _, listen := range srv.Listen {
		address, err := caddy.ParseNetworkAddress(listen)
		if err == nil && !address.IsUnixNetwork() && !address.IsFdNetwork() {
			return fmt.Errorf("comet_publish on %s: hubs are declared, and every user of this machine reaches a port, so each tenant needs a Unix socket (bind unix//run/comet/%s-publish/publish.sock|0660) or a key", listen, hub)
		}
	}
	return nil
}

// ServeHTTP serves the endpoint.
func (p *Publish) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if status, err := p.admit(r); err != nil {
		metrics().denied.WithLabelValues(p.use.hub.name, "publisher").Inc()
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="comet_publish"`)
		}
		writeError(w, status, err)
		return nil
	}
	p.app.awaitReady(r.Context())
	e := endpoint{p.use.hub, p.app.retire}
	e.serve(w, r, lastElement(r.URL.EscapedPath()))
	return nil
}

// admit reports why a request may not publish.
func (p *Publish) admit(r *http.Request) (int, error) {
	if err := refuseBrowser(r); err != nil {
		return http.StatusForbidden, err
	}
	if len(p.keys) > 0 {
		return p.admitKey(r)
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(name) != "" {
			return http.StatusForbidden, fmt.Errorf("the request came through a proxy (%s is set), so its sender is unknown; publish directly, or set a key", name)
		}
	}
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if local != nil && strings.HasPrefix(local.Network(), "unix") {
		return 0, nil
	}
	if p.onlySockets { // a port that the configuration did not show, such as a passed descriptor
		return http.StatusForbidden, errors.New("only a Unix socket publishes here without a key, since every user of this machine reaches a port")
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return http.StatusForbidden, errors.New("only programs on this machine may publish here; for others set a key: comet_publish { key … }")
	}
	if !loopbackHost(r.Host) {
		return http.StatusForbidden, fmt.Errorf("the Host %q is not this machine's own; publish to 127.0.0.1 or localhost", r.Host)
	}
	return 0, nil
}

func (p *Publish) admitKey(r *http.Request) (int, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	match := 0
	for i := range p.keys {
		match |= subtle.ConstantTimeCompare(p.keys[i][:], sum[:])
	}
	if !strings.EqualFold(scheme, "Bearer") || match != 1 {
		return http.StatusUnauthorized, errors.New("a key is needed: send Authorization: Bearer <key>")
	}
	return 0, nil
}

// refuseBrowser refuses what a browser sent: a page from anywhere may make the
// visitor's browser post to the visitor's own machine.
func refuseBrowser(r *http.Request) error {
	for _, name := range []string{"Origin", "Sec-Fetch-Site"} {
		if r.Header.Get(name) != "" {
			return fmt.Errorf("browsers may not publish here (%s is set); let the site's PHP publish", name)
		}
	}
	return nil
}

// loopbackHost reports whether a Host header names this machine. A name that an
// attacker's DNS points to 127.0.0.1 does not (DNS rebinding).
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// lastElement returns the last element of an escaped path.
func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// Interface guards
var (
	_ caddy.Provisioner           = (*Publish)(nil)
	_ caddyhttp.MiddlewareHandler = (*Publish)(nil)
)
