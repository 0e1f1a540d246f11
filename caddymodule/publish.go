package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/access"
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
// says, through another proxy, or from a browser. Where users are named it answers
// them alone, over a Unix socket. A key lifts the bounds of the machine, not those of
// browsers: who sends one is let in wherever he is and whoever he is.
type Publish struct {
	// The hub to publish in. Needed once hubs are declared in the `comet` app,
	// and only then allowed.
	Hub string `json:"hub,omitempty"`

	// The Unix users, by name or number, who may publish without a key: each over
	// a Unix socket to which he has connected himself, on Linux. Exactly these:
	// neither root nor the server's own user unless named. Default: whoever may use
	// the socket, if there are no keys either.
	Users []string `json:"users,omitempty"`

	// Secrets of which each request must carry one, as
	// `Authorization: Bearer <key>`, unless a user is named who sends it. At least 16
	// characters each; may be a placeholder such as `{env.COMET_KEY}`.
	Keys []string `json:"keys,omitempty"`

	// Files with more such secrets, one on each line; empty lines and those that
	// begin with `#` are left out. Absolute paths. The keys are those that the file has
	// when a request comes. A file that all users of the machine may read is refused.
	KeyFiles []string `json:"key_files,omitempty"`

	// Secrets by which publishers sign a JSON Web Token that a request carries in the
	// place of a key, as GRIP's libraries do: with the claims `iss` and `exp`, an hour
	// ahead at most.
	JWTKeys []JWTKey `json:"jwt_keys,omitempty"`

	// How much each publisher may publish: each user, each key, and where neither is
	// configured all together. A request counts as many events as it names channels,
	// also one that only asks or forgets. Default: no limit.
	Rate *Rate `json:"rate,omitempty"`

	// The largest data of one event, in bytes, where that is less than the hub's.
	// Default: the hub's.
	MaxEvent int `json:"max_event,omitempty"`

	app     *App
	use     *hubUse
	quota   *access.Quota
	turns   atomic.Int32 // of those who wait for theirs
	keyring access.Keyring
	users   []uint32
	// onlySockets: there are tenants and no key, so no port may publish.
	onlySockets bool
}

// CaddyModule returns the Caddy module information.
func (*Publish) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.comet_publish", New: func() caddy.Module { return new(Publish) }}
}

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
		return fmt.Errorf("comet_publish: %w", err)
	}
	if err := p.readUsers(); err != nil {
		return fmt.Errorf("comet_publish: %w", err)
	}
	if err := p.readLimits(); err != nil {
		return fmt.Errorf("comet_publish: %w", err)
	}
	a.onShutdown(ctx, false)
	srv, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if !ok {
		return nil
	}
	if len(p.users) > 0 {
		a.rememberPeers(srv)
	}
	p.onlySockets = len(a.Hubs) > 0 && p.keyring.Empty()
	return p.checkListeners(srv, noting(ctx.Logger()))
}

func (p *Publish) readKeys() error {
	for _, key := range p.Keys {
		secret, err := secretOf(key, inKeyFile)
		if err != nil {
			return err
		}
		if err := access.CheckKey(secret); err != nil {
			return fmt.Errorf("key: %w", err)
		}
		p.keyring.Add(access.KeyOf(secret))
	}
	for _, key := range p.JWTKeys {
		shared, err := key.read()
		if err != nil {
			return fmt.Errorf("jwt_key: %w", err)
		}
		p.keyring.AddShared(shared)
	}
	for _, config := range p.KeyFiles {
		path, err := keyFileOf(config)
		if err != nil {
			return err
		}
		if err := p.keyring.AddFile(path, sayOfKeyFile(p.use.hub.name, path)); err != nil {
			return err
		}
	}
	return nil
}

// inKeyFile is where a key is better kept.
const inKeyFile = "key_file <path>"

// secretOf returns the key that the configuration has, or has a placeholder for. A file
// is where it is better kept.
func secretOf(key, file string) (string, error) {
	secret, err := caddy.NewReplacer().ReplaceOrErr(key, true, true)
	switch {
	case err != nil && wholePlaceholder.MatchString(key):
		return "", fmt.Errorf("key: %w", err)
	case err != nil: // which may repeat a part of the key
		return "", fmt.Errorf("key: it has braces with no known placeholder in them; keep it in a file instead: %s", file)
	}
	return secret, nil
}

// keyFileOf returns the path of a file of keys.
func keyFileOf(config string) (string, error) {
	path, err := caddy.NewReplacer().ReplaceOrErr(config, true, true)
	if err != nil {
		return "", fmt.Errorf("key_file: %w", err)
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("key_file %s: not an absolute path; write one as in key_file /etc/caddy/shop.keys", path)
	}
	return path, nil
}

// wholePlaceholder is a key of which an error may tell everything.
var wholePlaceholder = regexp.MustCompile(`^\{(env|file)\.[^{}]*\}$`)

// sayOfKeyFile is for [access.Keyring.AddFile].
func sayOfKeyFile(hub, path string) func(error) {
	return func(err error) {
		if err != nil {
			logs().holds.Error("the keys of a file open nothing until it is mended", zap.String("hub", hub), zap.Error(err))
			return
		}
		logs().holds.Info("the keys of a file open again", zap.String("hub", hub), zap.String("key_file", path))
	}
}

func (p *Publish) readUsers() error {
	if len(p.Users) > 0 && !access.PeersAreKnown {
		return errors.New("user: only Linux says which user is at the other end of a Unix socket; let the socket's mode decide (bind unix/…|0660), or set a key")
	}
	for _, name := range p.Users {
		uid, err := access.User(name)
		if err != nil {
			return err
		}
		p.users = append(p.users, uid)
	}
	return nil
}

// ServeHTTP serves the endpoint.
func (p *Publish) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	who, status, err := p.admit(r)
	if err != nil {
		metrics().denied.WithLabelValues(p.use.hub.name, "publisher").Inc()
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="comet_publish"`)
		}
		writeError(w, status, err)
		return nil
	}
	names := lastElement(r.URL.EscapedPath())
	if status, err := p.ration(r.Context(), w.Header(), who, names); err != nil {
		metrics().denied.WithLabelValues(p.use.hub.name, "rate").Inc()
		writeError(w, status, err)
		return nil
	}
	p.app.awaitReady(r.Context())
	e := endpoint{hub: p.use.hub, retire: p.app.retire, maxEvent: p.MaxEvent}
	if isGrip(r.URL.EscapedPath()) {
		e.more = func(events int) (int, error) { return p.rationEvents(r.Context(), w.Header(), who, events) }
		e.grip(w, r)
		return nil
	}
	if e.serveMembers(w, r, r.URL.EscapedPath()) {
		return nil
	}
	e.serve(w, r, names)
	return nil
}

// lastElement returns the last element of an escaped path.
func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// Interface guards
var (
	_ caddy.Provisioner           = (*Publish)(nil)
	_ caddyhttp.MiddlewareHandler = (*Publish)(nil)
)
